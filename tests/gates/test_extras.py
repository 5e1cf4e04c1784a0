"""What is asked for by the names of layers comes of those layers alone, of repeated calls too."""

from __future__ import annotations

import pytest
import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

from cbam_viz.attention import LayerAttention
from cbam_viz.errors import CaptureError
from cbam_viz.gates import Capture, capture

from .networks import AuthorsCbam, multiplied, photos

WIDTH = 16


class Repeated(nn.Module):
    """`cbam` runs twice, with `other` in between, and a module is called as a second call is."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.cbam, self.other, self.last = kind(WIDTH), kind(WIDTH), kind(WIDTH)
        self.add_module("last#2", kind(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = self.cbam(self.other(self.cbam(self.stem(x))))
        x = self.get_submodule("last#2")(self.last(x))
        return self.last(x)


LAYERS = ["cbam", "other", "cbam#2", "last", "last#2", "last#3"]
KINDS = pytest.mark.parametrize("kind", [CbamModule, AuthorsCbam])
ASKED = pytest.mark.parametrize(
    "asked",
    [["cbam"], ["cbam#2"], ["other"], ("cbam#2", "other"), ["last"], ["last#2"], ["last#3"],
     {"cbam", "cbam#2"}, "cbam#2", [], LAYERS],
)  # fmt: skip


def network(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return Repeated(kind).eval()


def names(asked: object) -> list[str]:
    among = [asked] if isinstance(asked, str) else asked
    return [name for name in LAYERS if name in among]


def inputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each layer is given, computed by hand."""
    found, x = {}, model.stem(x)
    for name in LAYERS:
        found[name] = x
        x = model.get_submodule({"cbam#2": "cbam", "last#3": "last"}.get(name, name))(x)
    return found


def assert_of(layer: LayerAttention, given: Tensor, result: Tensor) -> None:
    """These features lie around this very call, and explain its gates."""
    assert torch.equal(layer.features.before, given)
    assert torch.equal(layer.features.after, result)
    torch.testing.assert_close(multiplied(layer), result, rtol=1e-5, atol=1e-6)


@KINDS
@ASKED
def test_features_of_some_layers(kind: type[nn.Module], asked: object) -> None:
    model, x = network(kind), photos()
    with torch.no_grad():
        given = inputs(model, x)
        results = dict(zip(LAYERS, [*list(given.values())[1:], model(x)], strict=True))
        for _ in range(3):  # watched, by a plan where there is one, and by a capture of gates
            attention = capture(model, x, features=asked)
            assert list(attention) == LAYERS
            with_some = [name for name, layer in attention.items() if layer.features is not None]
            assert with_some == names(asked)
            for name in with_some:
                assert_of(attention[name], given[name], results[name])
            assert all(layer.features is None for layer in capture(model, x).values())


@KINDS
@ASKED
def test_steps_of_some_layers_bring_no_features(kind: type[nn.Module], asked: object) -> None:
    model = network(kind)
    with torch.no_grad():
        attention = capture(model, photos(), steps=asked)
    assert [name for name, layer in attention.items() if layer.computation] == names(asked)
    assert all(layer.features is None for layer in attention.values())


@KINDS
def test_in_a_block_as_in_one_call(kind: type[nn.Module]) -> None:
    model = network(kind)
    with torch.no_grad(), Capture(model, features=["cbam#2"], steps=["last#3"]) as recorder:
        for seed in range(2):
            model(photos(seed=seed))
    for attention in recorder.results:
        assert [name for name, layer in attention.items() if layer.features] == ["cbam#2"]
        assert [name for name, layer in attention.items() if layer.computation] == ["last#3"]


WRONG = pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["nowhere"], "'nowhere'"),
        (["cba"], "'cba'.*cbam"),
        (["cbam", "othr"], "'othr'.*other"),
        (["cbam#3"], "'cbam#3'.*cbam#2"),  # the module is there, its third call is not
        ("stem", "'stem'"),  # a module, and no layer
    ],
)


@KINDS
@WRONG
@pytest.mark.parametrize("what", ["features", "steps"])
def test_a_name_that_no_layer_has_is_refused(
    kind: type[nn.Module], asked: object, says: str, what: str
) -> None:
    model, x = network(kind), photos()
    for _ in range(2):  # nothing known of the network, and all
        with torch.no_grad(), pytest.raises(CaptureError, match=says):
            capture(model, x, **{what: asked})
        with (
            torch.no_grad(),
            pytest.raises(CaptureError, match=says),
            Capture(model, **{what: asked}),
        ):
            model(x)
        assert list(capture(model, x)) == LAYERS


@KINDS
def test_what_is_called_as_no_module_is_refused_before_the_forward(kind: type[nn.Module]) -> None:
    model, runs = network(kind), []
    model.register_forward_pre_hook(lambda *_: runs.append(1))
    with pytest.raises(CaptureError, match="'layer1"):
        capture(model, photos(), features=["layer1.0.se"])
    assert not runs
    with pytest.raises(CaptureError, match="'stem'"):
        capture(model, photos(), features=["stem"])
    assert runs


class Sometimes(nn.Module):
    """A second layer that runs on bright photos alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.cbam, self.extra = CbamModule(WIDTH), CbamModule(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        features = self.cbam(self.stem(x))
        return self.extra(features) if float(x.detach().mean()) > 1 else features


def test_a_layer_that_did_not_run_is_told_from_one_that_is_not_there() -> None:
    model, dark, bright = Sometimes().eval(), torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
    with torch.no_grad():
        with pytest.raises(CaptureError, match="extra did not run"):
            capture(model, dark, features=["extra"])
        with Capture(model, features=["extra"]) as recorder:  # one of the forwards has it
            model(dark)
            model(2 * bright)
    assert [list(one) for one in recorder.results] == [["cbam"], ["cbam", "extra"]]
    assert recorder.results[1]["extra"].features is not None
