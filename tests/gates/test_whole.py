"""Torch's own modules are noted as a whole; what comes of it is what watching them gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _get_current_dispatch_mode_stack,
    is_in_torch_dispatch_mode,
)

from cbam_viz.gates import capture, recorder
from cbam_viz.gates.plan.table import forget
from cbam_viz.gates.watch.forward import WatchedForward
from cbam_viz.gates.watch.graph import Node
from cbam_viz.gates.watch.trace import Trace
from tests.gates.networks import AuthorsCbam, hooks_of, timm_cbam
from tests.gates.test_passed import assert_alike, told

WIDTH = 8


class Net(nn.Module):
    """One module, and a layer behind it."""

    def __init__(self, one: nn.Module) -> None:
        super().__init__()
        self.stem, self.one = nn.Conv2d(3, WIDTH, 3, padding=1), one
        self.cbam = AuthorsCbam(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.cbam(self.one(self.stem(x)))


def image(size: int = 12) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def conv(**options: Any) -> nn.Conv2d:
    options = {"kernel_size": 3, "padding": 1, **options}
    return nn.Conv2d(WIDTH, WIDTH, **options)


@contextmanager
def noted(whole: bool = True) -> Iterator[list[str]]:
    """The modules that are noted as a whole, if they may be."""
    found: list[str] = []
    done = Trace.done
    with pytest.MonkeyPatch.context() as patch:

        def note(trace: Trace, *given: Any) -> None:
            found.append(trace.frame.module)
            done(trace, *given)

        patch.setattr(Trace, "done", note)
        if not whole:
            patch.setattr(recorder, "rules", dict)
        yield found


def graph(model: nn.Module, x: Tensor, *, whole: bool) -> tuple[list[Any], WatchedForward]:
    """All that the output was computed from, described; each node's inputs by their numbers."""
    seen: list[WatchedForward] = []
    learned = recorder.learned_plan
    forget(model)
    with noted(whole), pytest.MonkeyPatch.context() as patch:

        def learn(forward: WatchedForward, *, draws: bool) -> Any:
            seen.append(forward)
            return learned(forward, draws=draws)

        patch.setattr(recorder, "learned_plan", learn)
        told(model, x)
    numbers: dict[Node, int] = {}
    described: list[Any] = []

    def number(value: Any) -> Any:
        if isinstance(value, Node):
            return ("node", numbers[value])
        return [*map(number, value)] if isinstance(value, (list, tuple)) else value

    def describe(node: Node) -> None:
        if node in numbers:
            return
        for one in node.inputs:
            describe(one)
        numbers[node] = len(numbers)
        described.append((
            node.name, node.func, number(node.args), node.kwargs, node.shape, node.layout,
            node.depends, node.certain, node.same, node.parameter, number(node.inputs),
            "" if node.name in ("parameter", "input") else node.frame.module.removesuffix(".act"),
        ))  # fmt: skip

    (end,) = seen[0].returned
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    describe(end)
    sys.setrecursionlimit(limit)
    return described, seen[0]


def with_numbers(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Statistics and weights other than those it begins with."""
    for one in (*norm.parameters(), *norm.buffers()):
        if one.is_floating_point():
            nn.init.uniform_(one, 0.5, 1.5)
    return norm


WHOLE: dict[str, Callable[[], nn.Module]] = {
    "conv": conv,
    "conv with strides": lambda: conv(stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False),
    "conv of each channel": lambda: conv(groups=WIDTH),
    "norm": lambda: with_numbers(nn.BatchNorm2d(WIDTH)),
    "norm without weights": lambda: nn.BatchNorm2d(WIDTH, affine=False, momentum=None),
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "relu6 in place": lambda: nn.ReLU6(inplace=True),
    "silu": nn.SiLU,
    "silu in place": lambda: nn.SiLU(inplace=True),
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "norm and relu": lambda: with_numbers(BatchNormAct2d(WIDTH, eps=1e-3)),
    "norm and silu": lambda: with_numbers(BatchNormAct2d(WIDTH, act_layer=nn.SiLU, inplace=False)),
    "norm alone": lambda: with_numbers(BatchNormAct2d(WIDTH, apply_act=False)),
}


@pytest.mark.parametrize("inference", [True, False], ids=["inference mode", "no grad"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_module_is_noted_as_it_would_be_watched(name: str, inference: bool) -> None:
    torch.manual_seed(0)
    model = Net(WHOLE[name]()).eval()
    with torch.inference_mode(inference), torch.no_grad(), noted() as found:
        whole, one = graph(model, image(), whole=True)
        watched, two = graph(model, image(), whole=False)
    assert {"stem", "one"} <= set(found)
    assert whole == watched
    assert one.watch.calls == two.watch.calls
    assert one.watch.sequence == two.watch.sequence
    assert one.watch.operations == two.watch.operations
    assert (one.way, one.small, one.resizing) == (two.way, two.small, two.resizing)
    forget(model)
    with torch.inference_mode(inference):  # if not, with gradients
        result = capture(model, image())
        assert torch.equal(result.output, model(image()))
        with noted(whole=False):
            forget(model)
            assert_alike(result, told(model, image()))


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "mobilenetv3_small_050"])
def test_whole_networks_are_noted_as_they_would_be_watched(name: str) -> None:
    torch.manual_seed(0)
    model = timm_cbam() if name == "resnet18" else timm.create_model(name).eval()
    with torch.inference_mode():
        whole, one = graph(model, image(64), whole=True)
        watched, two = graph(model, image(64), whole=False)
    assert whole == watched
    assert one.watch.sequence == two.watch.sequence


class Sub(nn.Conv2d):
    """With a gate in its forward."""

    def forward(self, x: Tensor) -> Tensor:
        return gated(super().forward(x))


class OtherConvolution(nn.Conv2d):
    """With one below it."""

    def _conv_forward(self, *given: Any) -> Tensor:
        return gated(super()._conv_forward(*given))


def gated(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


def hooked(one: nn.Module) -> nn.Module:
    one.register_forward_hook(lambda module, args, output: gated(output))
    return one


def hooked_before(one: nn.Module) -> nn.Module:
    one.register_forward_pre_hook(lambda module, args: (gated(args[0]),))
    return one


def patched(one: nn.Module, method: str = "forward") -> nn.Module:
    plain = getattr(one, method)
    setattr(one, method, lambda *given: gated(plain(*given)))
    return one


def pruned(one: nn.Conv2d) -> nn.Module:
    return prune.l1_unstructured(one, "weight", 3)


class Kin(Tensor):
    """A tensor class of the user's."""


def with_weight(one: nn.Conv2d) -> nn.Module:
    one.weight = nn.Parameter(one.weight.detach().as_subclass(Kin), requires_grad=False)
    return one


GATED: dict[str, Callable[[], nn.Module]] = {
    "hook": lambda: hooked(conv()),
    "hook before": lambda: hooked_before(conv()),
    "hook on a norm": lambda: hooked(nn.BatchNorm2d(WIDTH)),
    "forward of its own": lambda: patched(conv()),
    "convolution of its own": lambda: patched(conv(), "_conv_forward"),
    "forward of its own, of a relu": lambda: patched(nn.ReLU()),
    "class of the user's": lambda: Sub(WIDTH, WIDTH, 1),
    "convolution of the user's": lambda: OtherConvolution(WIDTH, WIDTH, 1),
}
"""More than torch's own runs in these modules: a gate."""

OTHERS: dict[str, Callable[[], nn.Module]] = {
    "parametrised weight": lambda: parametrizations.weight_norm(conv()),
    "weight made before each call": lambda: pruned(conv()),
    "weight of another class": lambda: with_weight(conv()),
    "circular padding": lambda: conv(padding_mode="circular"),
    "reflected padding": lambda: conv(padding_mode="reflect"),
    "padding by its name": lambda: conv(padding="same"),
    "norm of the batch": lambda: nn.BatchNorm2d(WIDTH).train(),
    "norm without statistics": lambda: nn.BatchNorm2d(WIDTH, track_running_stats=False),
    "dropout": lambda: nn.Dropout(0.5).train(),
    "norm and a dropout": lambda: BatchNormAct2d(WIDTH, drop_layer=nn.Dropout),
    "norm and another activation": lambda: BatchNormAct2d(WIDTH, act_layer=nn.Mish),
    "norm, and a hook on its activation": lambda: hooked_inside(BatchNormAct2d(WIDTH)),
}
"""These do something else than what is noted as a whole."""


def hooked_inside(one: nn.Module) -> nn.Module:
    hooked(one.get_submodule("act"))
    return one


@pytest.mark.parametrize("name", [*GATED, *OTHERS])
def test_other_modules_are_watched(name: str) -> None:
    torch.manual_seed(0)
    model = Net((GATED | OTHERS)[name]())
    model.eval() if "batch" not in name and name != "dropout" else model.cbam.eval()
    with torch.no_grad():
        torch.manual_seed(1)
        with noted() as found:
            one = told(model, image())
        torch.manual_seed(1)
        forget(model)
        with noted(whole=False):
            two = told(model, image())
    assert "one" not in found
    assert not isinstance(one, str)
    assert_alike(one, two)
    if name in GATED:
        assert len(one) == 2
    assert hooks_of(model) == (1 if "hook" in name or "before" in name else 0)


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Meets every operation."""

    met = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.met += 1
        return func(*args, **(kwargs or {}))


class Gating(TorchFunctionMode):
    """Puts a gate behind each convolution."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return gated(result) if func is torch.conv2d and result.shape[1] == WIDTH else result


@contextmanager
def replaced(place: Any, name: str, function: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, function)
        yield


def everywhere() -> AbstractContextManager[Any]:
    return nn.modules.module.register_module_forward_hook(
        lambda module, args, output: gated(output) if type(module) is nn.ReLU6 else None
    )


plain_forward, plain_convolution = nn.Conv2d.forward, functional.conv2d
AROUND: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "mode of the user's": Counting,
    "mode for functions": Gating,
    "function of the user's": lambda: replaced(
        functional, "conv2d", lambda x, *given: gated(plain_convolution(x, *given))
    ),
    "forward for all convolutions": lambda: replaced(
        nn.Conv2d, "forward", lambda one, x: gated(plain_forward(one, x))
    ),
    "hook on all modules": everywhere,
}


@pytest.mark.parametrize("name", AROUND)
def test_what_is_on_around_the_network_is_watched(name: str) -> None:
    torch.manual_seed(0)
    model = Net(nn.Sequential(conv(), nn.BatchNorm2d(WIDTH), nn.ReLU())).eval()
    with torch.no_grad():
        with AROUND[name](), noted() as found:
            one = told(model, image())
        forget(model)
        with AROUND[name](), noted(whole=False):
            two = told(model, image())
        bare = capture(model, image())
    assert not any(module.startswith(("stem", "one.0")) for module in found)
    assert not isinstance(one, str)
    assert_alike(one, two)
    assert list(bare) == ["cbam"]
    if "all convolutions" in name or "function" in name:
        assert "one.0" in one


CALLS: dict[str, Callable[[nn.Conv2d, Tensor], Tensor]] = {
    "by keyword": lambda one, x: one(input=x),
    "past all hooks": lambda one, x: one.forward(x),
    "one picture": lambda one, x: one(x[0])[None],
    "in vmap": lambda one, x: torch.vmap(lambda picture: one(picture[None])[0])(x),
    "tensor of the user's class": lambda one, x: one(x.as_subclass(Kin)).as_subclass(Tensor),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_of_other_kinds_are_watched(name: str) -> None:
    class Calling(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.cbam(CALLS[name](self.one, self.stem(x)))  # type: ignore[arg-type]

    torch.manual_seed(0)
    model = Calling(conv()).eval()
    with torch.no_grad(), noted() as found:
        one = told(model, image())
    forget(model)
    with torch.no_grad(), noted(whole=False):
        assert_alike(one, told(model, image()))
    assert "stem" in found
    assert "one" not in found


class Made(nn.Module):
    """Its gates are what plain modules return, and some weights serve twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again = nn.Conv2d(3, WIDTH, 1), conv()
        self.shared, self.weigh, self.squash = conv(), nn.Conv2d(WIDTH, WIDTH, 1), nn.Sigmoid()
        self.shared.weight = self.again.weight
        self.place, self.lay = nn.Conv2d(WIDTH, 1, 7, padding=3), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(self.again(self.stem(x)))
        x = x * self.squash(self.weigh(x.mean((2, 3), keepdim=True)))
        return x * self.lay(self.place(x))


def test_gates_that_plain_modules_give() -> None:
    torch.manual_seed(0)
    model = Made().eval()
    x = image()
    with torch.no_grad(), noted() as found:
        one = capture(model, x)
        later = capture(model, x)
        features = model.shared(model.again(model.stem(x)))
        weights = torch.sigmoid(model.weigh(features.mean((2, 3), keepdim=True)))
        places = torch.sigmoid(model.place(features * weights))
    assert found == ["stem", "again", "shared", "weigh", "squash", "place", "lay"]
    for result in (one, later):
        (layer,) = result.values()
        assert layer.verified
        assert layer.channel is not None
        assert layer.spatial is not None
        assert torch.equal(layer.channel, weights.flatten(1))
        assert torch.equal(layer.spatial, places[:, 0])
        assert {"weigh.weight", "place.bias"} <= set(layer.weights)


class Failing(Net):
    """Tries a module that cannot take what it is given, and goes on."""

    kind: type[BaseException] = RuntimeError

    def forward(self, x: Tensor) -> Tensor:
        with suppress(self.kind):
            self.one(x)
        return self.cbam(gated(self.stem(x)))


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_the_watch_goes_on_when_a_module_fails(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = Failing(conv()).eval()
    model.kind = kind
    if kind is KeyboardInterrupt:  # as from outside, while torch computes

        def interrupted(*given: Any) -> Tensor:
            if given[0].shape[1] == 3 and given[1].shape[1] == WIDTH:
                raise KeyboardInterrupt
            return plain_convolution(*given)

        monkeypatch.setattr(functional, "conv2d", interrupted)
        monkeypatch.setattr("cbam_viz.gates.watch.whole._is_torchs", lambda *_: True)
    flag = is_in_torch_dispatch_mode()  # of the process: tests with threads may have left it
    with torch.no_grad():
        found = capture(model, image())
    assert len(found) == 2
    assert not _get_current_dispatch_mode_stack()
    assert is_in_torch_dispatch_mode() == flag
    assert hooks_of(model) == 0


def test_a_forward_that_ends_inside_a_module_leaves_no_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Net(conv()).eval()

    def interrupted(*given: Any) -> Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(functional, "conv2d", interrupted)
    monkeypatch.setattr("cbam_viz.gates.watch.whole._is_torchs", lambda *_: True)
    flag = is_in_torch_dispatch_mode()
    with torch.no_grad(), pytest.raises(KeyboardInterrupt):
        capture(model, image())
    assert not _get_current_dispatch_mode_stack()
    assert is_in_torch_dispatch_mode() == flag
    assert hooks_of(model) == 0


def test_what_is_asked_for_beside_the_gates_is_watched() -> None:
    """Operations of layers, and what gates were made of."""
    model = timm_cbam()
    with torch.no_grad():
        for options in ({"steps": True}, {"branches": True}, {"descriptors": True}):
            forget(model)
            with noted() as found:
                capture(model, image(32), **options)
            assert not found
