"""Switches that modules do not keep: globals, closures, defaults, settings, what hooks hold."""

from __future__ import annotations

import argparse
import copy
import functools
import gc
import os
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm import create_model
from torch import Tensor, nn

from cbam_viz.gates import capture
from cbam_viz.gates.plan.table import table_of
from tests.gates.networks import AuthorsCbam, photos

WIDTH = 8
TURNS = (False, False, True, True, False, True)

FLAG = False
TABLE = {"on": False, "inner": {"on": False}}
LIST = [False]
SPACE = SimpleNamespace(on=False)
ARGUMENTS = argparse.Namespace(on=False)
CONTEXT: ContextVar[bool] = ContextVar("CONTEXT", default=False)
LOCAL = threading.local()
LOCAL.on = False
EVENT = threading.Event()
ARRAY = np.array([0, 0])
SETTINGS = types.ModuleType("settings")
SETTINGS.on = False  # type: ignore[attr-defined]
sys.modules["cbam_viz_test_settings"] = SETTINGS


class Config:
    on = False


@dataclass
class Options:
    inner: Any = field(default_factory=lambda: SimpleNamespace(on=False))


@dataclass(slots=True)
class Slotted:
    on: bool = False


class Property:
    kept = False

    @property
    def on(self) -> bool:
        return self.kept

    def __bool__(self) -> bool:
        return self.kept


OPTIONS, SLOTTED, PROPERTY, INSTANCE = Options(), Slotted(), Property(), Config()


def helper() -> bool:
    return FLAG


def by_default(on: dict[str, bool] = TABLE) -> bool:
    return on["on"]


def by_keyword(*, on: list[bool] = LIST) -> bool:
    return on[0]


def noted() -> bool:
    return getattr(noted, "on", False)


def imported_inside() -> bool:
    import cbam_viz_test_settings as settings

    return settings.on  # type: ignore[no-any-return]


def swapped(w: Tensor) -> Tensor:
    return w


def put_global(name: str) -> Callable[[bool], None]:
    return lambda on: globals().__setitem__(name, on)


def put_item(kept: Any, key: Any) -> Callable[[bool], None]:
    return lambda on: kept.__setitem__(key, on)


def put(kept: Any, name: str = "on") -> Callable[[bool], None]:
    return lambda on: setattr(kept, name, on)


def put_environment(on: bool) -> None:
    os.environ["CBAM_VIZ_TEST_SWITCH"] = "1" if on else "0"


def put_swapped(on: bool) -> None:
    globals()["swapped"] = (lambda w: w * 0.5) if on else (lambda w: w)


PLACES: dict[str, tuple[Callable[[], Any], Callable[[bool], Any]]] = {
    "global": (lambda: FLAG, put_global("FLAG")),
    "dict": (lambda: TABLE["on"], put_item(TABLE, "on")),
    "deep in a dict": (lambda: TABLE["inner"]["on"], put_item(TABLE["inner"], "on")),  # type: ignore[index]
    "list": (lambda: LIST[0], put_item(LIST, 0)),
    "namespace": (lambda: SPACE.on, put(SPACE)),
    "arguments": (lambda: ARGUMENTS.on, put(ARGUMENTS)),
    "context": (CONTEXT.get, CONTEXT.set),
    "thread": (lambda: LOCAL.on, put(LOCAL)),
    "event": (EVENT.is_set, lambda on: EVENT.set() if on else EVENT.clear()),
    "array": (lambda: ARRAY[1], put_item(ARRAY, 1)),
    "module": (lambda: SETTINGS.on, put(SETTINGS)),
    "class": (lambda: Config.on, put(Config)),
    "class by its instance": (lambda: INSTANCE.on, put(Config)),
    "object in an object": (lambda: OPTIONS.inner.on, put(OPTIONS.inner)),
    "slots": (lambda: SLOTTED.on, put(SLOTTED)),
    "property": (lambda: PROPERTY.on, put(PROPERTY, "kept")),
    "truth": (lambda: bool(PROPERTY), put(PROPERTY, "kept")),
    "in a function": (helper, put_global("FLAG")),
    "default": (by_default, put_item(TABLE, "on")),
    "keyword": (by_keyword, put_item(LIST, 0)),
    "of a function": (noted, put(noted)),
    "by name": (lambda: getattr(Config, "on"), put(Config)),  # noqa: B009
    "by globals()": (lambda: globals()["FLAG"], put_global("FLAG")),
    "imported inside": (imported_inside, put(SETTINGS)),
    "deterministic": (
        lambda: torch.are_deterministic_algorithms_enabled() is True,
        torch.use_deterministic_algorithms,
    ),
    "environment": (
        lambda: os.environ.get("CBAM_VIZ_TEST_SWITCH") == "1",
        put_environment,
    ),
}


def closure() -> tuple[Callable[[], Any], Callable[[bool], Any]]:
    on = False

    def put_here(now: bool) -> None:
        nonlocal on
        on = now

    return (lambda: on), put_here


def partial() -> tuple[Callable[[], Any], Callable[[bool], Any]]:
    kept = {"on": False}
    return functools.partial(lambda kept: kept["on"], kept), put_item(kept, "on")


def method() -> tuple[Callable[[], Any], Callable[[bool], Any]]:
    class Asked:
        def __init__(self) -> None:
            self.kept = False

        def on(self) -> bool:
            return self.kept

        def put(self, on: bool) -> None:
            self.kept = on

    asked = Asked()
    return asked.on, asked.put


PLACES |= {"closure": closure(), "partial": partial(), "method": method()}


class Gated(nn.Module):
    """A layer that is halved, moved or repeated while a switch is on."""

    def __init__(self, asked: Callable[[], Any], effect: str) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, WIDTH, 1)
        self.weigh, self.map = nn.Conv2d(WIDTH, WIDTH, 1), nn.Conv2d(2, 1, 3, padding=1)
        self.asked, self.effect = asked, effect

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        on = self.asked()
        if on and self.effect == "moved":
            x = x.flip(-1)
        w = torch.sigmoid(self.weigh(x.mean((2, 3), keepdim=True)))
        if on and self.effect == "halved":
            w = w * 0.5
        x = F.relu(self.last(x * w))
        for _ in range(2 if on and self.effect == "repeated" else 1):
            x = x * torch.sigmoid(self.map(torch.cat([x.amax(1, True), x.mean(1, True)], 1)))
        return x.mean((2, 3))


@pytest.mark.parametrize("effect", ["halved", "moved", "repeated"])
@pytest.mark.parametrize("place", PLACES)
def test_a_switch_that_plain_operations_ask(place: str, effect: str) -> None:
    asked, turn = PLACES[place]
    turn(False)
    torch.manual_seed(0)
    model = Gated(asked, effect).eval()
    try:
        with torch.no_grad():
            for seed, on in enumerate(TURNS):
                turn(on)
                x = photos(seed=seed)
                found = capture(model, x)
                stem = model.stem(x)
                w = torch.sigmoid(model.weigh(stem.mean((2, 3), keepdim=True)))[..., 0, 0]
                half = 0.5 if on and effect == "halved" else 1.0
                assert torch.allclose(found["weigh"].channel, w * half)
                maps = [layer for layer in found.values() if layer.spatial is not None]
                assert len(maps) == (2 if on and effect == "repeated" else 1)
                assert all(
                    layer.cells.stride_x == (-1 if on and effect == "moved" else 1)
                    for layer in maps
                )
    finally:
        turn(False)
    assert not table_of(model)[0].fickle
    assert len(table_of(model)[0]._plans) == 2


def test_a_function_that_is_put_in_anothers_place() -> None:
    class Net(Gated):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            w = torch.sigmoid(self.weigh(x.mean((2, 3), keepdim=True)))
            return self.last(x * swapped(w))

    torch.manual_seed(0)
    model = Net(helper, "").eval()
    with torch.no_grad():
        for seed, on in enumerate(TURNS):
            put_swapped(on)
            x = photos(seed=seed)
            w = torch.sigmoid(model.weigh(model.stem(x).mean((2, 3), keepdim=True)))[..., 0, 0]
            (layer,) = capture(model, x).values()
            assert torch.allclose(layer.channel, w * (0.5 if on else 1))
    put_swapped(False)


class Holder:
    """Its method is a hook, which asks what it keeps."""

    def __init__(self) -> None:
        self.on, self.seen = False, []

    def hook(self, module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        self.seen.append(len(self.seen))
        return gated(output) if self.on else None

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        return self.hook(module, args, output)


def gated(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x.mean(1, keepdim=True))


def global_hook(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
    return gated(output) if FLAG else None


def hooked(kind: str) -> tuple[Callable[..., Any], Callable[[bool], Any]]:
    holder, state = Holder(), {"on": False}
    if kind == "method":
        return holder.hook, put(holder)
    if kind == "object":
        return holder, put(holder)
    if kind == "global":
        return global_hook, put_global("FLAG")
    if kind == "partial":

        def told(state: dict[str, bool], module: Any, args: Any, output: Tensor) -> Tensor | None:
            return gated(output) if state["on"] else None

        return functools.partial(told, state), put_item(state, "on")
    if kind == "cell":
        on = False

        def put_here(now: bool) -> None:
            nonlocal on
            on = now

        return lambda module, args, output: gated(output) if on else None, put_here
    return (
        lambda module, args, output: gated(output) if state["on"] else None,
        put_item(state, "on"),
    )


@pytest.mark.parametrize("everywhere", [False, True], ids=["on a module", "on all"])
@pytest.mark.parametrize("kind", ["method", "object", "global", "partial", "cell", "dict"])
def test_a_hook_that_only_later_begins_to_gate(kind: str, everywhere: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, WIDTH, 3), AuthorsCbam(WIDTH), nn.Conv2d(WIDTH, WIDTH, 3))
    model.eval()
    hook, turn = hooked(kind)
    if everywhere:
        handle = nn.modules.module.register_module_forward_hook(
            lambda module, *rest: hook(module, *rest) if module is model[2] else None
        )
    else:
        handle = model[2].register_forward_hook(hook)
    try:
        with torch.no_grad():
            for seed, on in enumerate(TURNS):
                turn(on)
                x = photos(seed=seed)
                found = capture(model, x)
                assert list(found) == (["1", "2"] if on else ["1"])
                if on:
                    turn(False)
                    assert torch.allclose(found["2"].spatial, torch.sigmoid(model(x).mean(1)))
    finally:
        handle.remove()
        turn(False)
    assert not table_of(model)[0].fickle
    # What a method collects that a function on all modules calls is not told from a switch.
    assert len(table_of(model)[0]._plans) == 2 or (everywhere and kind in ("method", "object"))


def test_a_loop_of_the_callers_is_no_switch() -> None:
    """Nor is another global of the module that the forward stands in, or an attribute's name."""
    source = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.cbam, self.scale = nn.Conv2d(3, 8, 3), AuthorsCbam(8), 2

    def forward(self, x):
        return self.cbam(self.stem(x) * self.scale)
"""
    module = types.ModuleType("script")
    vars(module).update(nn=nn, AuthorsCbam=AuthorsCbam)
    exec(source, vars(module))
    model = module.Net().eval()
    with torch.no_grad():
        for seed in range(4):
            module.scale = module.seed = seed
            vars(module)[f"_i{seed}"] = seed
            capture(model, photos(seed=seed))
    assert len(table_of(model)[0]._plans) == 1


def watched() -> list[weakref.ref[Any]]:
    """A network whose hooks and functions hold it."""
    model, holder = Gated(lambda: False, ""), Holder()
    holder.model = model  # type: ignore[attr-defined]
    model.asked = lambda: holder is None
    model.last.register_forward_hook(holder.hook)
    model.stem.register_forward_hook(lambda *_: holder.__dict__.get("nothing"))
    with torch.no_grad():
        capture(model.eval(), photos())
    return [weakref.ref(model), weakref.ref(holder)]


def test_what_code_names_is_not_kept_alive() -> None:
    gone = watched()
    gc.collect()
    assert [one() for one in gone] == [None, None]


def test_what_forwards_collect_in_globals_is_no_switch() -> None:
    LIST[:] = [False]

    class Net(Gated):
        def forward(self, x: Tensor) -> Tensor:
            LIST.append(True)
            return super().forward(x)

    torch.manual_seed(0)
    model = Net(lambda: False, "").eval()
    with torch.no_grad():
        for seed in range(4):
            capture(model, photos(seed=seed))
    LIST[:] = [False]
    assert len(table_of(model)[0]._plans) == 1


def test_looking_costs_little() -> None:
    """A look at all that a ResNet's code names is a small part of a millisecond."""
    model = create_model("resnet18", pretrained=False, block_args={"attn_layer": "cbam"}).eval()
    with torch.no_grad():
        capture(model, torch.rand(1, 3, 32, 32))
    table, seen = table_of(model)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        table.modules.switches.now(seen.put_on)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3


def test_copies_have_their_own() -> None:
    on, turn = closure()
    torch.manual_seed(0)
    model = Gated(on, "halved").eval()
    with torch.no_grad():
        first = capture(model, photos())["weigh"].channel
        turn(True)
        second = capture(copy.deepcopy(model), photos())["weigh"].channel
    assert torch.allclose(second, first * 0.5)


class WithTheInput(nn.Module):
    """Asks its input how it lies in memory, or whether it is differentiated, for half its gate."""

    def __init__(self, asked: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.weigh, self.asked = nn.Conv2d(8, 8, 1), asked

    def forward(self, x: Tensor) -> Tensor:
        half, x = self.asked(x), self.stem(x)
        w = torch.sigmoid(self.weigh(x.mean((2, 3), keepdim=True)))
        return self.last(x * (w * 0.5 if half else w))


def to_columns(x: Tensor) -> Tensor:
    return x.to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("asked", "change"),
    [
        (lambda x: not x.is_contiguous(), to_columns),
        (lambda x: x.requires_grad, lambda x: x.clone().requires_grad_()),
    ],
    ids=["memory", "gradient"],
)
def test_what_a_network_asks_of_its_input(
    asked: Callable[[Tensor], bool], change: Callable[[Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    model, x = WithTheInput(asked).eval(), torch.randn(2, 3, 8, 8)
    w = torch.sigmoid(model.weigh(model.stem(x).mean((2, 3), keepdim=True)))[..., 0, 0]
    for k, now in enumerate((x, x, change(x), x, change(x))):
        (layer,) = capture(model, now).values()
        assert torch.allclose(layer.channel, w * (0.5 if k in (2, 4) else 1.0), atol=1e-6)
