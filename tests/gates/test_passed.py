"""Layers of timm's own classes are not watched inside; what comes of it is what watching gives."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from timm.layers.activations import Sigmoid
from timm.layers.cbam import CbamModule, ChannelAttn, LightCbamModule
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from cbam_viz.attention import Attention
from cbam_viz.gates import Capture, capture
from cbam_viz.gates.plan.table import forget
from cbam_viz.gates.watch.trace import Trace
from tests.gates.networks import AuthorsCbam, hooks_of, photos, timm_cbam, tiny_cbam

WIDTH = 8


class Net(nn.Module):
    """Convolutions, a layer, and one way or another on from there."""

    def __init__(self, layer: nn.Module, go: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1)
        self.cbam, self.other = layer, AuthorsCbam(WIDTH)
        self.last = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.weigh = nn.Conv2d(WIDTH, WIDTH, 1)
        self.go = [go]

    def forward(self, x: Tensor) -> Tensor:
        return self.go[0](self, self.stem(x))


def gate_of_its_result(net: Any, x: Tensor) -> Tensor:
    """Channel weights made of what a known layer returned, on what it received."""
    return x * torch.sigmoid(net.weigh(net.cbam(x).mean((2, 3), keepdim=True)))


def raw_map_of_its_result(net: Any, x: Tensor) -> Tensor:
    """Not squashed: attention only because there are weights on the way."""
    return x * net.cbam(x).mean(1, keepdim=True)


def pooled_by_weights(net: Any, x: Tensor) -> Tensor:
    x = net.cbam(x)
    return (x * torch.softmax(x.mean(1, keepdim=True).flatten(2), 2).view_as(x[:, :1])).sum((2, 3))


def parts_elsewhere(net: Any, x: Tensor) -> Tensor:
    """Its own convolutions make gates outside of it, too."""
    for part in net.cbam.modules():
        if isinstance(part, nn.Conv2d) and part.in_channels == part.out_channels:
            x = x * torch.sigmoid(part(x.mean((2, 3), keepdim=True)))
        if isinstance(part, nn.Conv2d) and part.in_channels == 2:
            x = x * torch.sigmoid(part(torch.cat([x.amax(1, True), x.mean(1, True)], 1)))
    return net.last(net.cbam(x))


WAYS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "alone": lambda net, x: net.last(net.cbam(x)),
    "twice": lambda net, x: net.cbam(net.last(net.cbam(x))),
    "beside another": lambda net, x: net.other(net.last(net.cbam(x))),
    "after another": lambda net, x: net.cbam(net.last(net.other(x))),
    "around": lambda net, x: net.other(net.cbam(net.other(x))),
    "by keyword": lambda net, x: net.last(net.cbam(x=x)),
    "its parts elsewhere": parts_elsewhere,
    "on its side": lambda net, x: net.cbam(x.transpose(2, 3)),
    "in vmap": lambda net, x: torch.vmap(net.cbam)(x[:, None])[:, 0],
    "gate of its result": gate_of_its_result,
    "raw map of its result": raw_map_of_its_result,
    "pooled by weights": pooled_by_weights,
    "residual": lambda net, x: net.last(net.cbam(x) + x),
    "in place": lambda net, x: net.last(net.cbam(x).relu_().mul_(2)),
    "enlarged": lambda net, x: net.cbam(nn.functional.interpolate(net.last(x), scale_factor=2) + x),
}
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "cbam": lambda: CbamModule(WIDTH, rd_channels=2),
    "light": lambda: LightCbamModule(WIDTH, rd_channels=2),
    "channel half": lambda: CbamModule(WIDTH, rd_channels=2).channel,
    "spatial half": lambda: CbamModule(WIDTH, rd_channels=2).spatial,
}


def told(model: nn.Module, x: Tensor, **options: Any) -> Attention | str:
    try:
        return capture(model, x, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def assert_alike(one: Attention | str, two: Attention | str) -> None:
    """The same but for what only one of them was asked for."""
    if isinstance(one, str) or isinstance(two, str):
        assert one == two
        return
    assert list(one) == list(two)
    assert (one.unsupported, one.not_called) == (two.unsupported, two.not_called)
    assert torch.equal(one.output, two.output)
    for mine, other in zip(one.values(), two.values(), strict=True):
        for gate in ("channel", "spatial"):
            a, b = getattr(mine, gate), getattr(other, gate)
            assert (a is None) == (b is None)
            assert a is None or torch.equal(a, b)
        for what in ("module", "call", "stage", "block", "cells", "composition", "found_by"):
            assert getattr(mine, what) == getattr(other, what), what
        assert (mine.verified, mine.dtype, mine.weights) == (
            other.verified,
            other.dtype,
            other.weights,
        )


@pytest.mark.parametrize("inference", [True, False], ids=["inference mode", "no grad"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("way", WAYS)
def test_as_if_it_were_watched_inside(way: str, layer: str, inference: bool) -> None:
    """`steps` watches every operation; first captures and later ones must say the same without."""
    torch.manual_seed(0)
    model = Net(LAYERS[layer](), WAYS[way]).eval()
    with torch.inference_mode() if inference else torch.no_grad():
        expected = told(copy.deepcopy(model), photos(), steps=True)
        assert_alike(told(model, photos()), expected)
        assert_alike(told(model, photos()), expected)
    assert hooks_of(model) == 0


@pytest.mark.parametrize("kind", ["cbam", "lcbam"])
@pytest.mark.parametrize("mode", ["grad", "train", "autocast"])
def test_in_other_modes(kind: str, mode: str) -> None:
    model = timm_cbam(kind).train(mode == "train")
    with torch.autocast("cpu", enabled=mode == "autocast", dtype=torch.bfloat16):
        expected = capture(copy.deepcopy(model), photos(), steps=True)
        for _ in range(2):
            assert_alike(capture(model, photos()), expected)
    assert all(layer.verified for layer in expected.values())


def test_operations_inside_are_not_met() -> None:
    """That is what it is for; with a hook of the user's inside, they are."""
    model = timm_cbam()
    met: list[int] = []
    handle = None
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        plain = Trace.leave

        def leave(trace: Trace, module: str) -> None:
            met.append(trace.operations)
            plain(trace, module)

        patch.setattr(Trace, "leave", leave)
        for hooked in (False, True):
            if hooked:
                handle = model.layer1[0].se.register_forward_hook(lambda *_: None)
            forget(model)
            met.clear()
            capture(model, photos(1))
            if not hooked:
                few = met[-1]
    assert handle is not None
    handle.remove()
    # In each of 8 layers: mean and maximum, four convolutions and two relus, sum, sigmoid, product;
    # then mean, maximum, cat, convolution, an empty tensor and the norm, sigmoid, product.
    assert met[-1] - few == 8 * (2 + 4 + 2 + 3 + 8)


@pytest.mark.parametrize("where", ["se", "se.channel", "se.spatial.gate"])
def test_what_a_hook_of_the_users_multiplies_is_seen(where: str) -> None:
    model = timm_cbam()
    module = model.layer2[0].get_submodule(where)
    handle = module.register_forward_hook(
        lambda _, args, output: output * torch.sigmoid(output.mean((2, 3), keepdim=True))
    )
    with torch.no_grad():
        expected = capture(model, photos(), steps=True)
        for _ in range(2):
            assert_alike(capture(model, photos()), expected)
    handle.remove()


def test_the_users_own_parts_inside_are_watched() -> None:
    """An activation that asks the features for its way, and draws."""

    class Asking(nn.Module):
        def __init__(self, inplace: bool = False) -> None:
            super().__init__()

        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if float(x.mean()) > 0 else x

    torch.manual_seed(0)
    model = Net(CbamModule(WIDTH, rd_channels=2, act_layer=Asking), WAYS["alone"]).eval()
    with torch.no_grad():
        for seed in range(3):
            x = photos(seed=seed)
            expected = capture(copy.deepcopy(model), x, steps=True)
            assert_alike(capture(model, x), expected)


def doubled(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """In place of a library's forward: what this gives is gated again by twice its mean."""

    @functools.wraps(plain)
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        x = plain(self, x)
        return x * torch.sigmoid(2 * x.mean((2, 3), keepdim=True))

    return forward


PATCHED: dict[str, type] = {
    "layer": CbamModule, "half": ChannelAttn, "convolution": nn.Conv2d, "gate": Sigmoid
}  # fmt: skip


@pytest.mark.parametrize("when", ["before", "between"])
@pytest.mark.parametrize("name", PATCHED)
def test_code_of_the_libraries_that_is_replaced(
    name: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first capture, or before the second; what watching shows is shown."""
    torch.manual_seed(0)
    model = Net(CbamModule(WIDTH, rd_channels=2), WAYS["alone"]).eval()
    with torch.no_grad():
        if when == "between":
            for _ in range(2):
                capture(model, photos())
        with monkeypatch.context() as patch:
            patch.setattr(PATCHED[name], "forward", doubled(PATCHED[name].forward))
            expected = capture(copy.deepcopy(model), photos(), steps=True)
            for _ in range(2):
                assert_alike(capture(model, photos()), expected)
        plain = capture(copy.deepcopy(model), photos(), steps=True)
        assert_alike(capture(model, photos()), plain)
    assert not torch.equal(plain.output, expected.output)
    assert [layer.found_by for layer in plain.values()] == ["hook"]


class Own(CbamModule):
    """A subclass of timm's with a gate more."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x * torch.sigmoid(x.mean(1, keepdim=True))


class Kept(CbamModule):
    """One that keeps timm's forward."""


@pytest.mark.parametrize("kind", [Own, Kept])
def test_subclasses_are_watched(kind: type[CbamModule]) -> None:
    torch.manual_seed(0)
    model = Net(kind(WIDTH, rd_channels=2), WAYS["alone"]).eval()
    with torch.no_grad():
        expected = capture(copy.deepcopy(model), photos(), steps=True)
        for _ in range(2):
            assert_alike(capture(model, photos()), expected)
    found = [layer.found_by for layer in expected.values()]
    assert found == (["hook"] if kind is Kept else ["hook", "hook", "watch"])


@pytest.mark.parametrize("part", ["channel.act", "spatial.gate"])
def test_a_part_that_is_a_part_of_something_else_too(part: str) -> None:
    """Its calls out there are seen, and those inside are not taken for them."""
    torch.manual_seed(0)

    def go(net: Any, x: Tensor) -> Tensor:
        x = x * torch.sigmoid(net.weigh(net.shared(x.mean((2, 3), keepdim=True))))
        return net.last(net.cbam(x))

    for first in (True, False):  # by its name in the layer, or out there
        model = Net(CbamModule(WIDTH, rd_channels=2), go).eval()
        model.shared = model.cbam.get_submodule(part)
        if not first:
            model._modules = dict(reversed(model._modules.items()))
        with torch.no_grad():
            expected = told(copy.deepcopy(model), photos(), steps=True)
            for _ in range(2):
                assert_alike(told(model, photos()), expected)


class Stop(BaseException):
    """No Exception: no hook is told of it."""


@pytest.fixture
def _no_modes() -> Iterator[None]:
    assert _get_current_dispatch_mode_stack() == []
    yield
    assert _get_current_dispatch_mode_stack() == []


@pytest.mark.usefixtures("_no_modes")
@pytest.mark.parametrize("error", [ValueError, Stop])
@pytest.mark.parametrize("caught", [True, False], ids=["caught", "raised"])
def test_an_error_inside(error: type[BaseException], caught: bool) -> None:
    """The modes are as they were, also those that the user has around it."""

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            return func(*args, **(kwargs or {}))

    def go(net: Any, x: Tensor) -> Tensor:
        if caught:
            try:
                net.cbam(x[:, :3])  # fewer channels than it takes
            except RuntimeError:
                return net.last(net.other(x))
        elif fail:
            raise error
        return net.last(net.cbam(x))

    torch.manual_seed(0)
    fail = True
    model = Net(CbamModule(WIDTH, rd_channels=2), go).eval()

    def bomb(*_: object) -> None:
        raise error

    with torch.no_grad(), Seen() as mode:
        if caught:
            assert list(capture(model, photos())) == ["other"]
        else:
            fail = False
            plain = model.cbam.channel.fc1.forward
            model.cbam.channel.fc1.forward = bomb
            with pytest.raises(error):
                capture(model, photos())
            assert _get_current_dispatch_mode_stack() == [mode]
            model.cbam.channel.fc1.forward = plain
            del model.cbam.channel.fc1.forward
        assert _get_current_dispatch_mode_stack() == [mode]
        assert hooks_of(model) == 0
        fail = False
        model.go[0] = WAYS["alone"]
        forget(model)
        assert_alike(capture(model, photos()), capture(copy.deepcopy(model), photos(), steps=True))


@pytest.mark.usefixtures("_no_modes")
@pytest.mark.parametrize("error", [ValueError, Stop])
def test_an_error_in_torchs_own_part(error: type[BaseException], monkeypatch: Any) -> None:
    """Ctrl-C in a convolution inside a layer that is not watched, say."""
    model = tiny_cbam()
    calls: list[int] = []
    plain = torch.conv2d

    def conv2d(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 4:  # stem, then inside the first layer
            raise error
        return plain(*args, **kwargs)

    monkeypatch.setattr("torch.nn.functional.conv2d", conv2d)
    with torch.no_grad(), Capture(model) as recorder:
        with pytest.raises(error):
            model(photos(1))
        assert _get_current_dispatch_mode_stack() == []
        output = model(photos(1))
    assert len(recorder.results) == 1
    assert recorder.results[0].output is output
    with torch.no_grad():
        assert_alike(recorder.results[0], capture(tiny_cbam(), photos(1), steps=True))
    assert hooks_of(model) == 0


def test_gates_that_somebody_else_gets_are_copied_at_once() -> None:
    """A user's hook keeps each gate and writes into it when the next one comes."""
    model, kept = tiny_cbam(), []

    def overwrite(_: nn.Module, args: object, output: Tensor) -> None:
        for one in kept:
            one.fill_(7.0)
        kept.append(output)

    with torch.no_grad():
        expected = capture(tiny_cbam(), photos(1))
        handles = [
            module.get_submodule(path).register_forward_hook(overwrite)
            for module in (model.layer1, model.layer2)
            for path in ("channel.gate", "spatial.gate")
        ]
        for _ in range(3):
            assert_alike(capture(model, photos(1)), expected)
            kept.clear()
    for handle in handles:
        handle.remove()


def test_a_gate_that_is_one_buffer_again_and_again() -> None:
    """A module of the user's in the gate's place, which overwrites what it returned before."""

    class Reusing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.buffer: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.buffer is None or self.buffer.shape != x.shape:
                self.buffer = torch.empty_like(x)
            return self.buffer.copy_(x.sigmoid())

    torch.manual_seed(0)
    model = Net(CbamModule(WIDTH, rd_channels=2), lambda net, x: net.cbam(net.cbam(x))).eval()
    with torch.no_grad():
        expected = capture(copy.deepcopy(model), photos())
        model.cbam.channel.gate, model.cbam.spatial.gate = Reusing(), Reusing()
        for _ in range(3):
            found = capture(model, photos())
            assert list(found) == ["cbam", "cbam#2"]
            for layer, wanted in zip(found.values(), expected.values(), strict=True):
                assert torch.equal(layer.channel, wanted.channel)
                assert torch.equal(layer.spatial, wanted.spatial)
