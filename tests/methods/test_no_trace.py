"""Networks are shared by threads: a method leaves nothing behind and meets nobody's forward."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

import cbam_viz.methods.maps as maps_module
from cbam_viz import capture
from cbam_viz.errors import MethodError
from cbam_viz.methods import METHODS, method_map, method_maps
from tests.methods.nets import Linear, picture


def network() -> nn.Module:
    torch.manual_seed(0)
    more = {"block_args": {"attn_layer": "cbam"}, "zero_init_last": False, "num_classes": 4}
    return timm.create_model("resnet18", **more).eval()


def state_of(model: nn.Module) -> list[object]:
    tables = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [
        (
            name,
            part.training,
            *(len(getattr(part, table)) for table in tables),
            *((id(p), p.requires_grad, p.grad, p._version) for p in part.parameters(recurse=False)),
            *((id(b), b._version) for b in part.buffers(recurse=False)),
        )
        for name, part in model.named_modules()
    ]


@pytest.mark.parametrize("method", [*METHODS])
def test_nothing_of_the_network_changes(method: str) -> None:
    model, x = network(), picture(48, 48)
    next(model.parameters()).requires_grad_(False)
    capture(model, x)
    before, logits = state_of(model), model(x)
    random = torch.get_rng_state()
    method_map(model, x, "layer4.1.se", method, 1, chunk=64)
    assert state_of(model) == before
    assert torch.equal(model(x), logits)
    assert torch.equal(torch.get_rng_state(), random)
    assert x.grad is None
    assert not x.requires_grad


def test_nothing_is_left_where_the_network_fails() -> None:
    class Fails(Linear):
        def forward(self, x: Tensor) -> Tensor:
            found = super().forward(x)
            if torch.is_grad_enabled():
                raise ValueError("no gradients here")
            return found

    model, x = Fails().eval(), picture()
    before = state_of(model)
    with pytest.raises(MethodError, match="Fails fails: no gradients here"):
        method_map(model, x, "stage", "gradcam", 0)
    assert state_of(model) == before


def test_the_same_input_gives_the_same_bits() -> None:
    model, x = network(), picture(48, 48)
    one, two = (method_maps(model, x, ["layer4.1.se"], [*METHODS], 1, chunk=64) for _ in "ab")
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.values, second.values)


def test_threads_with_other_photos_classes_and_captures_do_not_meet() -> None:
    model = network()
    photos = [picture(48, 48, seed) for seed in range(4)]
    expected = [
        method_map(model, x, "layer3.1.se", "gradcam", k).values for k, x in enumerate(photos)
    ]
    gates = [capture(model, x)["layer3.1.se"].spatial for x in photos]
    wrong: list[object] = []

    def work(k: int) -> None:
        try:
            for _ in range(6):
                found = method_map(model, photos[k], "layer3.1.se", "gradcam", k)
                if not np.array_equal(found.values, expected[k]):
                    wrong.append(("map", k))
                if not torch.equal(capture(model, photos[k])["layer3.1.se"].spatial, gates[k]):
                    wrong.append(("gates", k))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_it_works_inside_the_callers_inference_mode() -> None:
    x = picture()
    plain = method_map(Linear().eval(), x, "stage", "gradcam", 0)
    with torch.inference_mode():
        made = Linear().eval()
        found = method_map(made, x * 1, "stage", "gradcam", 0)
    np.testing.assert_array_equal(found.values, plain.values)


def test_a_network_in_train_mode_is_refused() -> None:
    with pytest.raises(MethodError, match="train mode"):
        method_map(Linear(), picture(), "stage", "gradcam", 0)


def test_torchscript_is_refused_in_a_sentence() -> None:
    scripted = torch.jit.trace(Linear().eval(), picture())
    with pytest.raises(MethodError, match="TorchScript"):
        method_map(scripted, picture(), "stage", "gradcam", 0)


def test_a_network_that_cannot_be_copied_is_a_sentence() -> None:
    model = Linear().eval()
    model.lock = threading.Lock()
    with pytest.raises(MethodError, match="cannot be copied"):
        method_map(model, picture(), "stage", "gradcam", 0)


def test_wrapped_networks_are_looked_into() -> None:
    x = picture()
    plain = method_map(Linear().eval(), x, "stage", "gradcam", 0)
    wrapped = nn.DataParallel(Linear()).eval()
    np.testing.assert_array_equal(
        method_map(wrapped, x, "stage", "gradcam", 0).values, plain.values
    )


@pytest.mark.parametrize("target", [2, -1, "dog", "7"])
def test_a_class_that_is_not_there_is_a_sentence(target: int | str) -> None:
    with pytest.raises(MethodError, match=r"no class .*It has 2, numbered from 0: cat, cow"):
        method_map(Linear().eval(), picture(), "stage", "gradcam", target, classes=("cat", "cow"))


def test_classes_by_name_number_and_the_predicted_one() -> None:
    x, names = picture(), ("cat", "cow")
    of = {
        wish: method_map(Linear().eval(), x, "stage", "gradcam", wish, classes=names)
        for wish in ("Cow", "1", 1, None)
    }
    assert {of[wish].target for wish in ("Cow", "1", 1)} == {1}
    assert of["Cow"].title == "Grad-CAM of stage for cow"
    assert of[None].target == int(Linear().eval()(x).argmax())


def test_an_output_without_classes_is_a_sentence_and_takes_a_function() -> None:
    class Maps(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return self.stage(x) * 2

    with pytest.raises(MethodError, match="give a function of the output"):
        method_map(Maps().eval(), picture(), "stage", "gradcam")
    found = method_map(Maps().eval(), picture(), "stage", "gradcam", lambda y: y[:, 0, 1, 2])
    assert found.target_name == "a function of the output"
    # Only channel 0 has a gradient, 2 at one of 24 places.
    np.testing.assert_allclose(found.values, (picture()[0, 0] * 2 / 24).relu().numpy(), rtol=1e-6)


def test_numbers_that_are_none_are_refused() -> None:
    x = picture()
    x[0, 0, 0, 0] = float("nan")
    with pytest.raises(MethodError, match="input has values that are no finite"):
        method_map(Linear().eval(), x, "stage", "gradcam", 0)

    class Hole(Linear):
        """A value of one feature is none, and does not reach the score."""

        def forward(self, x: Tensor) -> Tensor:
            features = self.stage(torch.where(x > 1, float("nan"), x))
            return self.fc(features.nanmean((2, 3)))

    for method in ("gradcam", "layercam", "gradcam++", "eigencam", "scorecam"):
        with pytest.raises(MethodError, match="no finite numbers"):
            method_map(Hole().eval(), picture(), "stage", method, 0)


def test_without_torchcam_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MethodError, match=r'pip install "cbam-viz\[methods\]"'):
        method_map(Linear().eval(), picture(), "stage", "gradcam", 0)
    assert method_map(Linear().eval(), picture(), "stage", "occlusion", 0).values.any()


def test_a_method_or_input_that_is_none_is_a_sentence() -> None:
    with pytest.raises(MethodError, match="no method 'gradcamm'"):
        method_map(Linear().eval(), picture(), "stage", "gradcamm", 0)
    with pytest.raises(MethodError, match="input of one photo"):
        method_map(Linear().eval(), torch.zeros(2, 3, 4, 4), "stage", "gradcam", 0)
