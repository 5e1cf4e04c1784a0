"""What an output is: probabilities only where something establishes that it is class scores."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from cbam_viz.analysis import Analysis, analyse, analyse_batch
from cbam_viz.images import InputSpec, Photo, read_photo
from cbam_viz.models import create_model, imagenet_classes, insert_cbam, wrap_model
from cbam_viz.predictions import NAMES_UNKNOWN, read_output

SPEC = InputSpec(size=(32, 32))
SCORES = (2.0, -1.0, 0.5)
SOFTMAX = np.exp(SCORES) / np.exp(SCORES).sum()


class Gate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Linear(channels, channels)
        self.place = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.sigmoid(self.weight(x.mean((2, 3))))[:, :, None, None]
        return x * torch.sigmoid(self.place(x))


class Net(nn.Module):
    """Gates, then a last layer of known outputs, then whatever a test puts behind it."""

    def __init__(self, scores: Any = SCORES, tail: Any = lambda x: x, last: str = "fc") -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), Gate(6))
        layer = nn.Linear(6, len(scores))
        nn.init.zeros_(layer.weight)
        layer.bias.data = torch.tensor(scores, dtype=torch.float32)
        setattr(self, last, layer)
        self.last, self.tail = last, tail

    def forward(self, x: Tensor) -> Any:
        return self.tail(getattr(self, self.last)(self.body(x).mean((2, 3))))


def photo() -> Photo:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    return read_photo(pixels, name="p.png")


def seen(model: nn.Module, classes: Any = None) -> Analysis:
    return analyse(wrap_model(model.eval(), SPEC, classes), photo())


def shares(result: Analysis) -> list[float]:
    """Probabilities in the order of the outputs."""
    return [p.probability for p in sorted(result.predictions, key=lambda p: p.index)]


class Classifier(Net):
    def __init__(self, scores: Any = SCORES, tail: Any = lambda x: x, num_classes: int = 3) -> None:
        super().__init__(scores, tail)


def with_count(model: nn.Module, count: int) -> nn.Module:
    model.num_classes = count
    return model


@pytest.mark.parametrize(
    ("model", "classes"),
    [
        (Net(), ["a", "b", "c"]),
        (with_count(Net(), 3), None),
        (Classifier(), None),  # built with num_classes, 3 by default
        (Net(last="classifier"), None),
        (Net(last="cls_head"), None),
        (Net(tail=lambda x: {"features": x * 2, "logits": x}), None),
        (Net(tail=lambda x: {"logits": x, "aux_logits": x + 1}), None),
        (Net(tail=lambda x: namedtuple("Out", "logits aux_logits")(x, x + 1)), None),
        (Net(tail=lambda x: (x.softmax(1), x)), None),  # as ultralytics' classifier gives both
        (Net(tail=lambda x: [x, x.softmax(1)]), None),
        (Net(tail=lambda x: (x.log_softmax(1), x)), None),
        (with_count(Net(tail=lambda x: (torch.ones(1, 5), x)), 3), None),
    ],
)
def test_scores_that_something_calls_class_scores_become_probabilities_by_softmax(
    model: nn.Module, classes: Any
) -> None:
    result = seen(model, classes)
    np.testing.assert_allclose(shares(result), SOFTMAX, rtol=1e-5)
    assert result.predictions[0].index == 0
    assert result.predictions[0].label == ("a" if classes else "class 0")
    assert result.prediction_note == ("" if classes else NAMES_UNKNOWN)


@pytest.mark.parametrize(
    ("tail", "tolerance"),
    [
        (lambda x: x.softmax(1), 1e-6),
        (lambda x: x.log_softmax(1), 1e-6),
        (lambda x: {"probs": x.softmax(1)}, 1e-6),
        (lambda x: x.double().softmax(1), 1e-6),
        (lambda x: x.softmax(1).half().float(), 1e-3),
        (lambda x: x.softmax(1).bfloat16(), 4e-3),
        (lambda x: x.log_softmax(1).bfloat16().float(), 2e-2),
    ],
)
def test_probabilities_are_not_squashed_again(tail: Any, tolerance: float) -> None:
    result = seen(Net(tail=tail))
    np.testing.assert_allclose(shares(result), SOFTMAX, rtol=0, atol=tolerance)


NONE = "nothing says that the network's"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Net(), NONE),  # a linear layer called fc: classes, coordinates, an embedding?
        (Net((0.3, 0.8)), NONE),  # two values of a regression
        (Net((30.0, 41.5, 7.0, 9.0), last="head"), NONE),  # a box
        (nn.Sequential(nn.Conv2d(3, 6, 3), Gate(6), nn.AdaptiveAvgPool2d(1), nn.Flatten()), NONE),
        (Net(tail=lambda x: functional.normalize(x, dim=1)), "a vector of length one"),
        (Net(tail=torch.sigmoid), "lie between 0 and 1 and sum to 1.772, not to one"),
        (with_count(Net(tail=torch.sigmoid), 3), "labels that may hold together"),
        (with_count(Net(tail=lambda x: torch.sigmoid(x).reshape(-1, 3)), 3), "may hold together"),
        (with_count(Net(tail=lambda x: x * torch.nan), 3), "3 of the network's 3 outputs are not"),
        (with_count(Net((1.0, float("inf"), 2.0)), 3), "1 of the network's 3 outputs are not fin"),
        (Net((0.5,)), "one number"),
        (Net(tail=lambda x: (x, x + 1)), "rows of 3 and 3 numbers"),
        # Attention weights sum to one, too.
        (Net(tail=lambda x: (x, torch.full((1, 49), 1 / 49))), "rows of 3 and 49 numbers"),
        (Net(tail=lambda x: x[:, :, None, None].expand(-1, -1, 4, 4)), "maps (1 × 3 × 4 × 4)"),
        (Net(tail=lambda x: x.argmax(1, keepdim=True)), "whole numbers"),
        (Net(tail=lambda x: None), "no tensor"),
        (Net(tail=lambda x: {"logits": x[:, :, None, None]}), "maps"),
        (Net(tail=lambda x: [x[:, :, None], x[:, None]]), "2 tensors, none of them a row"),
    ],
)
def test_other_numbers_are_no_prediction_and_the_reason_is_said(
    model: nn.Module, reason: str
) -> None:
    result = seen(model)
    assert result.predictions == ()
    assert result.prediction_note.startswith("No prediction: ")
    assert reason in result.prediction_note


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Net((0.7, -0.7), torch.sigmoid), "each by a sigmoid of its own"),  # 0.67 and 0.33
        (with_count(Net((0.0, 0.0), lambda x: x.sigmoid_()), 2), "each by a sigmoid of its own"),
        (Net((0.7, -0.68), lambda x: x.bfloat16().sigmoid().float()), "each by a sigmoid"),
        (Net((0.6, -0.6), functional.hardsigmoid), "each by a sigmoid of its own"),
        (Net(tail=lambda x: functional.one_hot(x.argmax(1), 3).float()), "its choice"),
        (Net(tail=lambda x: (x == x.max()).float()), "its choice"),
        (Net(tail=lambda x: torch.complex(x, x)), "complex numbers (1 × 3)"),
        (Net((2.0, 30.0, 3.0, 4.0), last="class_agnostic_box"), NONE),
        (with_count(Net(tail=lambda x: x * -torch.inf * x), 3), "3 of the network's 3 outputs"),
    ],
)
def test_what_sums_to_one_by_chance_is_no_prediction(model: nn.Module, reason: str) -> None:
    result = seen(model)
    assert result.predictions == ()
    assert reason in result.prediction_note


@pytest.mark.parametrize(
    "tail",
    [
        lambda x: x.masked_fill(torch.tensor([False, True, False]), -torch.inf),
        lambda x: (x + torch.tensor([0, -torch.inf, 0])).log_softmax(1),
    ],
)
def test_a_class_that_is_ruled_out_has_no_share(tail: Any) -> None:
    result = seen(with_count(Net(tail=tail), 3))
    left = np.array(SOFTMAX) * [1, 0, 1]
    np.testing.assert_allclose(shares(result), left / left.sum(), rtol=1e-5)
    assert result.predictions[-1].index == 1


def test_a_saturated_softmax_is_no_bare_choice() -> None:
    result = seen(Net(tail=lambda x: (x * 1000).softmax(1)))
    assert shares(result) == [1, 0, 0]


def test_names_of_outputs_in_any_case() -> None:
    model = with_count(Net(tail=lambda x: namedtuple("Out", "Main Aux")(x, 2 * x)), 3)
    np.testing.assert_allclose(shares(seen(model)), SOFTMAX, rtol=1e-5)


def test_scores_that_look_like_something_else_by_chance_are_scores() -> None:
    for scores in ((0.25, 0.5, 0.75), (0.0, 1.0, 0.0), (-0.6, 0.8, 0.0), (0.0, 0.0, 0.0)):
        result = seen(with_count(Net(scores), 3))
        np.testing.assert_allclose(shares(result), np.exp(scores) / np.exp(scores).sum(), rtol=1e-5)
        assert NONE in seen(Net(scores)).prediction_note
    scores = (0.25, 0.5, 0.75)
    result = seen(with_count(Net(scores), 3))
    np.testing.assert_allclose(shares(result), np.exp(scores) / np.exp(scores).sum(), rtol=1e-5)
    squashed = with_count(Net(tuple(np.log(np.array(scores) / (1 - np.array(scores)))),
                              torch.sigmoid), 3)  # fmt: skip
    assert torch.allclose(seen(squashed).attention.output, torch.tensor([scores]))
    assert seen(squashed).predictions == ()


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "efficientnet_b0"])
def test_a_network_without_its_classifier_gives_features(name: str) -> None:
    kwargs = {"attention": None} if name == "convnext_atto" else {}
    plain = create_model(name, num_classes=0, **kwargs)
    off = create_model(name, num_classes=9, **kwargs)
    reading = read_output(torch.randn(1, 9), None, plain)
    assert reading.kind == "none"
    assert "(num_classes is 0)" in reading.note
    assert read_output(torch.randn(1, 9), None, off).kind == "logits"
    classifier = off.pretrained_cfg["classifier"]
    parent, _, leaf = classifier.rpartition(".")
    setattr(off.get_submodule(parent), leaf, nn.Identity())
    assert "its classifier was taken off" in read_output(torch.randn(1, 9), None, off).note


def test_torchvisions_networks() -> None:
    torch.manual_seed(0)
    whole = insert_cbam(torchvision.models.resnet18(), ["layer4"])
    result = seen(whole)
    expected = result.attention.output[0].softmax(0).max()
    assert result.predictions[0].probability == pytest.approx(float(expected), rel=1e-5)
    assert result.predictions[0].label == f"class {result.predictions[0].index}"  # not ImageNet's
    whole.fc = nn.Linear(512, 2)
    assert NONE in seen(whole).prediction_note
    assert [p.label for p in seen(whole, ["no", "yes"]).predictions] in (
        ["no", "yes"], ["yes", "no"],
    )  # fmt: skip
    whole.fc = nn.Identity()
    assert "its fc only passes on" in seen(whole).prediction_note


def test_names_of_another_number_are_not_used() -> None:
    result = seen(with_count(Net(), 3), ["a", "b"])
    assert result.predictions[0].label == "class 0"
    assert "2 class names are known, of 3 classes" in result.prediction_note
    assert seen(Net(), ["a", "b"]).predictions == ()


def test_a_network_names_its_own_classes() -> None:
    model = Net(tail=lambda x: (x.softmax(1), x))
    model.names = {0: "cat", 1: "dog", 2: "elk"}
    assert [p.label for p in seen(model).predictions] == ["cat", "elk", "dog"]
    assert imagenet_classes()[0] == "tench"


def test_a_mixture_of_distributions_is_one() -> None:
    experts = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]])
    for mix in (
        lambda x: x.softmax(1) @ experts,
        lambda x: (x.softmax(1)[:, None] @ experts)[:, 0],
    ):
        np.testing.assert_allclose(
            shares(seen(with_count(Net(tail=mix), 3))), SOFTMAX @ experts.numpy(), rtol=1e-5
        )


def test_batches_say_the_same_as_one_photo() -> None:
    for model in (Net(), with_count(Net((0.25, 0.5, 0.75)), 3), Net(tail=torch.sigmoid)):
        loaded = wrap_model(model.eval(), SPEC)
        alone = analyse(loaded, photo())
        for one in analyse_batch(loaded, [photo()] * 3):
            assert one.prediction_note == alone.prediction_note
            np.testing.assert_allclose(shares(one), shares(alone), rtol=1e-5)


def test_an_identity_beside_the_classifier_takes_nothing_off() -> None:
    model = with_count(Net(last="out"), 3)
    model.head = nn.Identity()
    np.testing.assert_allclose(shares(seen(model)), SOFTMAX, rtol=1e-5)


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda net: torch.jit.trace(net, torch.ones(1, 3, 32, 32))]
)
def test_wrapped_and_scripted_networks(wrap: Any) -> None:
    model = wrap(Net(last="classifier").eval())
    np.testing.assert_allclose(shares(seen(model, ["a", "b", "c"])), SOFTMAX, rtol=1e-5)


def test_hugging_face_networks_say_their_task() -> None:
    model = Net(tail=lambda x: {"logits": x})
    model.config = type("Config", (), {"problem_type": "regression", "num_labels": 3})()
    assert "config says regression" in seen(model).prediction_note
    model.config.problem_type = None
    assert len(seen(model).predictions) == 3


@pytest.mark.third_party
def test_ultralytics_classifier(ultralytics: Any) -> None:
    model = ultralytics.nn.tasks.ClassificationModel("yolov8n-cls.yaml", nc=4, verbose=False).eval()
    with torch.inference_mode():
        output = model(torch.randn(1, 3, 64, 64))
    reading = read_output(output, None, model)
    assert isinstance(output, tuple)
    assert reading.kind == "logits"
    assert reading.predictions[0].probability == pytest.approx(float(output[0].max()), rel=1e-5)


@pytest.mark.parametrize(
    ("tail", "dense"),
    [
        (lambda x: x[:, :, None, None].expand(-1, -1, 4, 4), True),
        (lambda x: {"out": x[:, :, None, None].expand(-1, -1, 4, 4)}, True),
        (lambda x: x[:, :, None].expand(-1, -1, 9), True),  # boxes, points
        (lambda x: (x[:, :, None].expand(-1, -1, 9), x[:, None].expand(-1, 5, -1)), True),
        (lambda x: x[:, :, None, None].expand(-1, -1, 4, 4).argmax(1), True),
        (torch.sigmoid, False),
        (lambda x: x[:, :1], False),
    ],
)
def test_of_dense_outputs_it_is_said_how_they_can_be_read(tail: Any, dense: bool) -> None:
    note = seen(Net(tail=tail)).prediction_note
    assert note.startswith("No prediction: ")
    for word in ("decode=", "--model FILE.py:FACTORY", "app"):
        assert (word in note) == dense, note
