"""One photo, one call: equal to doing it by hand, alone and in batches, and fair to any network."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from cbam_viz import CbamVizError, ModelError, NoAttentionError, capture
from cbam_viz.analysis import analyse, analyse_batch, analyse_tensor, predictions
from cbam_viz.images import InputSpec, Photo, prepare, read_photo
from cbam_viz.models import LoadedModel, create_model, wrap_model


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    torch.manual_seed(0)
    model = create_model("resnet18", num_classes=6, zero_init_last=False)
    return wrap_model(model, InputSpec(size=(64, 64)), list("abcdef"), "small")


def photo(seed: int, size: tuple[int, int] = (80, 100)) -> Photo:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return read_photo(pixels, name=f"photo {seed}")


@pytest.mark.parametrize("view", ["crop", "whole"])
def test_it_is_what_one_would_do_by_hand(loaded: LoadedModel, view: Any) -> None:
    result = analyse(loaded, photo(0), view)
    by_hand = prepare(photo(0), loaded.spec, view)
    with torch.inference_mode():
        attention = capture(loaded.model, by_hand.tensor)
        logits = loaded.model(by_hand.tensor)
    assert list(result.attention) == list(attention)
    for name, layer in attention.items():
        assert torch.equal(result.attention[name].spatial, layer.spatial)
        assert torch.equal(result.attention[name].channel, layer.channel)
    assert result.layers == list(result.attention.values())
    assert result.geometry == by_hand.geometry
    assert result.model_name == "small"
    assert torch.equal(result.attention.output, logits)
    expected = np.exp(logits[0].double().numpy())
    expected /= expected.sum()
    order = np.argsort(-expected)[:5]
    assert [prediction.index for prediction in result.predictions] == order.tolist()
    assert [prediction.label for prediction in result.predictions] == ["abcdef"[i] for i in order]
    np.testing.assert_allclose(
        [prediction.probability for prediction in result.predictions], expected[order], rtol=1e-5
    )


@pytest.mark.parametrize("view", ["crop", "whole"])
def test_batches_give_each_photo_its_own(loaded: LoadedModel, view: Any) -> None:
    sizes = [(80, 100), (64, 64), (80, 100), (120, 60)] * 3
    photos = [photo(seed, size) for seed, size in enumerate(sizes)]
    together = analyse_batch(loaded, iter(photos), view, branches=True, features=True)
    assert [result.photo.name for result in together] == [one.name for one in photos]
    for one, result in zip(photos, together, strict=True):
        alone = analyse(loaded, one, view, branches=True, features=True)
        assert result.geometry == alone.geometry
        assert [p.index for p in result.predictions] == [p.index for p in alone.predictions]
        for name, layer in alone.attention.items():
            other = result.attention[name]
            torch.testing.assert_close(other.spatial, layer.spatial, rtol=0, atol=1e-5)
            torch.testing.assert_close(other.channel, layer.channel, rtol=0, atol=1e-5)
            for part in ("average", "maximum"):
                torch.testing.assert_close(
                    getattr(other.branches, part), getattr(layer.branches, part), rtol=0, atol=1e-4
                )
            torch.testing.assert_close(
                other.features.after, layer.features.after, rtol=1e-4, atol=1e-4
            )
    assert analyse_batch(loaded, []) == []


def test_threads_share_one_network(loaded: LoadedModel) -> None:
    photos = [photo(seed) for seed in range(24)]
    expected = [analyse(loaded, one) for one in photos]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda one: analyse(loaded, one), photos))
    for result, alone in zip(results, expected, strict=True):
        for name, layer in alone.attention.items():
            assert torch.equal(result.attention[name].spatial, layer.spatial)


def test_the_network_is_left_as_it_was(loaded: LoadedModel) -> None:
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    analyse(loaded, photo(1))
    assert not loaded.model.training
    assert all(torch.equal(loaded.model.state_dict()[name], v) for name, v in before.items())
    assert all(weight.grad is None for weight in loaded.model.parameters())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda logits: logits,
        lambda logits: (logits, torch.zeros(3)),
        lambda logits: {"logits": logits, "loss": None},
        lambda logits: type("Output", (), {"logits": logits})(),
    ],
)
def test_where_logits_are_looked_for(wrap: Any) -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    best, second, third = predictions(wrap(logits), None)
    total = 1 + np.exp(2) + np.e
    assert (best.index, best.label) == (1, "class 1")
    assert best.probability == pytest.approx(np.exp(2) / total)
    assert second.probability == pytest.approx(np.e / total)
    assert third.index == 0
    assert [p.label for p in predictions(wrap(logits), ["x", "y", "z"])] == ["y", "z", "x"]


@pytest.mark.parametrize(
    "output",
    [
        None,
        [],
        torch.zeros(1, 84, 100),
        torch.zeros(1, 2, 8, 8),
        torch.zeros(1, 1),
        torch.zeros(2, 5),
        torch.zeros(1, 5, dtype=torch.int64),
        torch.full((1, 3), float("nan")),
        [{"boxes": torch.zeros(3, 4)}],
    ],
)
def test_other_outputs_have_no_predictions(output: Any) -> None:
    assert predictions(output, None) == ()


class Segmenter(nn.Module):
    """A network with gates whose output is a dictionary of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.body = create_model("resnet18", zero_init_last=False)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.body.forward_features(x)}


def test_segmenters_work_alone_and_in_batches() -> None:
    torch.manual_seed(0)
    loaded = wrap_model(Segmenter().eval(), InputSpec(size=(64, 64)))
    photos = [photo(seed) for seed in range(3)]
    together = analyse_batch(loaded, photos)
    for one, result in zip(photos, together, strict=True):
        alone = analyse(loaded, one)
        assert result.predictions == ()
        assert len(result.layers) == 8
        both = result.attention.output["out"], alone.attention.output["out"]
        torch.testing.assert_close(*both, rtol=1e-4, atol=1e-5)


class Counted(nn.Module):
    """A network of CBAM whose output is made by a function, and how many photos it was shown."""

    def __init__(self, made: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = create_model("resnet10t", num_classes=3, channels=[8, 16, 32, 64])
        self.made = made
        self.shown: list[int] = []

    def forward(self, x: torch.Tensor) -> Any:
        self.shown.append(len(x))
        return self.made(self.body(x))


def objects(scores: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """As torchvision's detectors: of each photo another number of boxes."""
    return [
        {"boxes": one[:, None].repeat(n, 4).reshape(-1, 4), "labels": torch.arange(3 * n),
         "scores": one.sigmoid().repeat(n)}
        for n, one in enumerate(scores, 1)
    ]  # fmt: skip


TABLE = torch.ones(4, 2)
OUTPUTS: dict[str, Callable[[torch.Tensor], Any]] = {
    "tuple": lambda s: (s, {"raw": [s * 2, s + 1], "name": "x", "none": None}),
    "objects": objects,
    "a table": lambda s: (s, TABLE),
    "a number": lambda s: {"out": s, "loss": s.mean()},
    "an object": lambda s: (s, object()),
}


@pytest.mark.parametrize("kind", list(OUTPUTS))
def test_what_is_no_single_tensor_is_cut_by_photos(kind: str) -> None:
    module = Counted(OUTPUTS[kind]).eval()
    loaded = wrap_model(module, InputSpec(size=(64, 64)))
    photos = [photo(seed) for seed in range(4)]
    analyse_batch(loaded, photos[:1])  # learns the network
    module.shown.clear()
    batches = analyse_batch(loaded, photos)
    seen = list(module.shown)
    for one, result in zip(photos, batches, strict=True):
        alone = analyse(loaded, one).attention
        if kind in ("tuple", "a table"):
            torch.testing.assert_close(result.attention.output[0], alone.output[0])
        for name, layer in alone.items():
            torch.testing.assert_close(result.attention[name].spatial, layer.spatial)
    if kind == "tuple":
        assert [tuple(one.shape) for one in batches[2].attention.output[1]["raw"]] == [(1, 3)] * 2
        assert seen.count(1) == 1
    elif kind == "objects":
        assert [len(one.detections or ()) for one in batches] == [3, 6, 9, 12]
        assert seen.count(1) == 1
    else:
        assert seen.count(1) >= 4


def test_only_one_forward_of_several_is_made_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbam_viz.analysis.BATCH", 2)
    module = Counted(OUTPUTS["a number"]).eval()
    loaded = wrap_model(module, InputSpec(size=(64, 64)))
    analyse_batch(loaded, [photo(seed) for seed in range(2)])
    module.shown.clear()
    analyse_batch(loaded, [photo(seed) for seed in range(8)])
    assert module.shown.count(2) == 1


def test_half_precision_networks_get_half_precision_inputs(loaded: LoadedModel) -> None:
    import copy

    half = wrap_model(copy.deepcopy(loaded.model).bfloat16(), loaded.spec)
    result = analyse(half, photo(0))
    assert result.layers[0].dtype == torch.bfloat16
    assert result.layers[0].spatial.dtype == torch.float32
    assert len(result.predictions) == 5


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = create_model("resnet18")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nand a second line")


def test_failures_are_sentences() -> None:
    with pytest.raises(ModelError, match="fails on an input of 64 x 64 pixels: mat1") as caught:
        analyse(wrap_model(Failing().eval(), InputSpec(size=(64, 64))), photo(0))
    assert "\n" not in str(caught.value)
    plain = create_model("resnet18", attention=None)
    with pytest.raises(NoAttentionError):
        analyse(wrap_model(plain, InputSpec(size=(64, 64))), photo(0))
    with pytest.raises(CbamVizError):
        analyse(wrap_model(plain), photo(0), "sideways")  # type: ignore[arg-type]


def test_attention_that_cannot_be_drawn_is_an_error_that_names_it() -> None:
    """Selective kernels weigh branches: neither channel weights nor a map."""
    loaded = wrap_model(timm.create_model("skresnet18", num_classes=3).eval())
    with pytest.raises(
        NoAttentionError, match=r"layer1\.0\.conv1: channel weights for each of 2 b.*5 more"
    ):
        analyse(loaded, photo(0))


class InWindows(nn.Module):
    """Channel weights for each window of 32 x 32 pixels, and a map of the whole photo."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.score = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 1)
        self.squeeze = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        windows = x.unflatten(2, (-1, 32)).unflatten(4, (-1, 32)).permute(0, 2, 4, 1, 3, 5)
        windows = windows.flatten(0, 2)
        gated = windows * self.squeeze(windows.mean((2, 3))).sigmoid()[:, :, None, None]
        mean = gated.unflatten(0, (x.shape[0], -1)).mean((1, 3, 4))
        return mean + (x * self.score(x).sigmoid()).mean((2, 3))


@pytest.mark.parametrize("count", [1, 2])
def test_gates_of_windows_are_not_taken_for_the_photos(count: int) -> None:
    """Their first row is the first window's, which lies in a corner of the photo."""
    torch.manual_seed(0)
    model = InWindows().eval()
    loaded = wrap_model(model, InputSpec(size=(64, 64)), None, "windows")
    with torch.inference_mode():
        both = capture(model, torch.randn(count, 3, 64, 64))
    assert [len(one.channel) for one in both.values() if one.channel is not None] == [4 * count]
    for result in analyse_batch(loaded, [photo(seed) for seed in range(count)]):
        (layer,) = result.layers
        assert layer.composition == "spatial"
        assert layer.spatial.shape == (1, 64, 64)
        (left_out,) = result.attention.unsupported
        assert left_out.reason.startswith(f"{4 * count} gates for {count} photo")


def test_an_input_of_ones_own_pipeline() -> None:
    one = read_photo(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    module = create_model("resnet10t", num_classes=3, channels=[8, 16, 32, 64]).eval()
    spec = InputSpec(size=(64, 64))
    made = prepare(one, spec)
    ours = analyse(wrap_model(module, spec), one)
    own = analyse_tensor(module, made.tensor, one, made.geometry)
    assert torch.equal(own.attention.output, ours.attention.output)
    assert own.geometry == ours.geometry
    assert own.fed == "Input: 64 × 64, as given, where it is said to lie."
    whole = analyse_tensor(module, made.tensor, one)
    assert whole.geometry.seen == (0, 0, 60, 90)
    assert "taken for all of it" in whole.fed
    with pytest.raises(ModelError, match=r"\(1, C, H, W\)"):
        analyse_tensor(module, made.tensor[0], one)
    with pytest.raises(ModelError, match="The geometry is of an input"):
        analyse_tensor(module, made.tensor[..., :32], one, made.geometry)


def test_gates_are_not_asked_for() -> None:
    one = read_photo(np.zeros((64, 64, 3), np.uint8))
    plain = wrap_model(
        timm.create_model("resnet10t", num_classes=3).eval(), InputSpec(size=(64, 64))
    )
    with pytest.raises(NoAttentionError):
        analyse(plain, one)
    found = analyse(plain, one, gates=False)
    assert (found.layers, len(found.predictions)) == ([], 3)
    assert "gates no feature map" in found.no_gates
