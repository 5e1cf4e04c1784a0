"""Networks that go one way now and another way later: each forward shows what it did itself."""

from __future__ import annotations

import copy
import ctypes
import functools
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from timm.layers.cbam import CbamModule, LightCbamModule
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from cbam_viz.attention import Attention
from cbam_viz.errors import CaptureError, NoAttentionError
from cbam_viz.gates import Capture, capture
from cbam_viz.gates.model.hooks import Part, Passing, Root
from cbam_viz.gates.plan.signature import signature_of
from cbam_viz.gates.plan.table import table_of
from tests.gates.networks import AuthorsCbam, hooks_of, photos

WIDTH = 8


class Functional(nn.Module):
    """Both gates made by plain functions around two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh, self.map = nn.Conv2d(channels, channels, 1), nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sigmoid(self.weigh(x.mean((2, 3), keepdim=True))) * x
        maps = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return torch.sigmoid(self.map(maps)) * x


KINDS: dict[str, Callable[[int], nn.Module]] = {
    "timm's": lambda channels: CbamModule(channels, rd_ratio=0.5),
    "authors'": AuthorsCbam,
    "functional": Functional,
}


class Ways(nn.Module):
    """A stem, four layers and a switch that is no attribute: what the hooks cannot know of."""

    def __init__(self, make: Callable[[int], nn.Module], go: Callable[..., Tensor]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1)
        self.a, self.b, self.c, self.d = (make(WIDTH) for _ in range(4))
        self.between = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.go = [go]

    def forward(self, x: Tensor) -> Tensor:
        return self.go[0](self, self.stem(x))


class Hidden:
    """A number in memory of C's: no look at what code names finds it."""

    def __init__(self) -> None:
        self.kept = ctypes.c_int(0)

    def __getitem__(self, name: str) -> int:
        return self.kept.value

    def __setitem__(self, name: str, number: int) -> None:
        self.kept.value = number


SWITCH = Hidden()
"""What the ways below ask; of no module, so that nothing but their calls shows it."""


def flagged(net: Any, x: Tensor) -> Tensor:
    return net.b(net.a(x)) if SWITCH["on"] else net.a(x)


def repeated(net: Any, x: Tensor) -> Tensor:
    x = net.a(net.between(x))
    return net.a(net.between(x)) if SWITCH["on"] else x


def looped(net: Any, x: Tensor) -> Tensor:
    for _ in range(1 + 2 * SWITCH["on"]):
        x = net.b(x)
    return x


def expert(net: Any, x: Tensor) -> Tensor:
    return [net.a, net.b, net.c][SWITCH["on"]](net.d(x))


def exit_early(net: Any, x: Tensor) -> Tensor:
    x = net.a(x)
    return x if SWITCH["on"] else net.c(net.between(net.b(x)))


def skipping(net: Any, x: Tensor) -> Tensor:
    for k, layer in enumerate((net.a, net.b, net.c, net.d)):
        if not (SWITCH["on"] and k % 2):
            x = layer(x) + x
    return x


def swapped(net: Any, x: Tensor) -> Tensor:
    return net.a(net.b(x)) if SWITCH["on"] else net.b(net.a(x))


def none_at_first(net: Any, x: Tensor) -> Tensor:
    return net.a(x) if SWITCH["on"] else net.between(x)


def mapped(net: Any, x: Tensor) -> Tensor:
    """Inside torch.vmap, where gates show no values."""
    return torch.vmap(net.a)(x[:, None])[:, 0] if SWITCH["on"] else net.a(x)


WAYS = {
    way.__name__: way
    for way in (
        flagged, repeated, looped, expert, exit_early, skipping, swapped, none_at_first, mapped
    )
}  # fmt: skip


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    SWITCH["on"] = 0
    yield
    SWITCH["on"] = 0


def network(kind: str, way: str) -> nn.Module:
    torch.manual_seed(0)
    return Ways(KINDS[kind], WAYS[way]).eval()


def seen(model: nn.Module, x: Tensor) -> Attention | str:
    """What a first capture shows of a network that nothing is known of."""
    fresh = copy.deepcopy(model)
    return told(lambda: capture(fresh, x))


def told(get: Callable[[], Attention]) -> Attention | str:
    try:
        return get()
    except CaptureError as error:
        return f"{type(error).__name__}: {error}"


def assert_same(found: Attention | str, expected: Attention | str) -> None:
    if isinstance(expected, str) or isinstance(found, str):
        assert found == expected
        return
    assert list(found) == list(expected)
    assert found.not_called == expected.not_called
    assert found.unsupported == expected.unsupported
    assert torch.equal(found.output, expected.output)
    for one, other in zip(found.values(), expected.values(), strict=True):
        assert (one.module, one.call, one.composition) == (
            other.module,
            other.call,
            other.composition,
        )
        assert (one.cells, one.verified, one.weights) == (
            other.cells,
            other.verified,
            other.weights,
        )
        for gate, wanted in ((one.channel, other.channel), (one.spatial, other.spatial)):
            assert (gate is None) == (wanted is None)
            assert gate is None or torch.equal(gate, wanted)


TURNS = {"off, then on": (0, 0, 1, 1, 0), "on, then off": (1, 1, 0, 0, 1)}


@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_capture_shows_its_own_way(kind: str, way: str, turns: tuple[int, ...]) -> None:
    model = network(kind, way)
    with torch.no_grad():
        for seed, SWITCH["on"] in enumerate(turns):
            x = photos(seed=seed)
            assert_same(told(lambda: capture(model, x)), seen(model, x))  # noqa: B023
    assert hooks_of(model) == 0


@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "none_at_first"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_forward_of_a_block_shows_its_own_way(
    kind: str, way: str, turns: tuple[int, ...]
) -> None:
    model = network(kind, way)
    outputs, expected = [], []
    with torch.no_grad():
        with Capture(model) as recorder:
            for seed, SWITCH["on"] in enumerate(turns):
                outputs.append(model(photos(seed=seed)))
        for seed, SWITCH["on"] in enumerate(turns):
            expected.append(seen(model, photos(seed=seed)))
    assert len(recorder.results) == len(turns)
    for found, wanted, output in zip(recorder.results, expected, outputs, strict=True):
        assert_same(found, wanted)
        assert found.output is output
    assert hooks_of(model) == 0


def by_half(net: Any, x: Tensor) -> Tensor:
    return net.a.channel(x) if SWITCH["on"] else net.a(x)


def half_more(net: Any, x: Tensor) -> Tensor:
    return net.a.spatial(net.a(x)) if SWITCH["on"] else net.a(x)


def by_forward(net: Any, x: Tensor) -> Tensor:
    """Past what calls hooks."""
    return net.a.forward(x) if SWITCH["on"] else net.a(x)


def by_an_idle_part(net: Any, x: Tensor) -> Tensor:
    """timm's light layer has a sigmoid that it does not call: it uses the function."""
    x = net.a(x)
    return x * net.a.channel.gate(x.mean((2, 3), keepdim=True)) if SWITCH["on"] else x


PARTS: dict[str, tuple[Callable[..., Tensor], list[str]]] = {
    "by half": (by_half, ["a.channel"]),
    "half more": (half_more, ["a", "a.spatial"]),
    "by an idle part": (by_an_idle_part, ["a", "a.channel.gate"]),
}
"""And the layers that there are when the switch is on."""


@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("way", PARTS)
def test_parts_of_known_layers_that_are_called_from_outside(
    way: str, turns: tuple[int, ...]
) -> None:
    """Of layers, too, that are not watched inside."""
    torch.manual_seed(0)
    kind = LightCbamModule if way == "by an idle part" else CbamModule
    model = Ways(lambda channels: kind(channels, rd_ratio=0.5), PARTS[way][0]).eval()
    with torch.no_grad():
        for seed, SWITCH["on"] in enumerate(turns):
            x = photos(seed=seed)
            found = capture(model, x)
            assert_same(found, seen(model, x))
            assert list(found) == (PARTS[way][1] if SWITCH["on"] else ["a"])


@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
def test_a_known_layer_whose_forward_is_called_past_all_hooks(turns: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = Ways(KINDS["timm's"], by_forward).eval()
    with torch.no_grad():
        for seed, SWITCH["on"] in enumerate(turns):
            x = photos(seed=seed)
            found, half = capture(model, x), model.a.channel(model.stem(x))
            assert list(found) == ["a"]
            assert found["a"].verified
            expected = (model.a.spatial(half) / half).median(1).values  # what it multiplied by
            assert torch.allclose(found["a"].spatial, expected, atol=1e-5)


@pytest.mark.parametrize("where", ["a", "a.spatial", "a.channel.fc1", "between", ""])
@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
def test_hooks_of_the_users_that_call_a_layer_now_and_then(
    where: str, turns: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    model = Ways(KINDS["timm's"], lambda net, x: net.between(net.a(x))).eval()
    extra = CbamModule(4 if where == "a.channel.fc1" else WIDTH, rd_channels=2).eval()
    model.extra = extra

    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor:
        return model.extra(output) if SWITCH["on"] else output

    with torch.no_grad():
        for seed, SWITCH["on"] in enumerate(turns):
            x, found = photos(seed=seed), []
            for _ in range(2):
                handle = model.get_submodule(where).register_forward_hook(hook)
                found.append(told(lambda: capture(model, x)))  # noqa: B023
                handle.remove()
            handle = model.get_submodule(where).register_forward_hook(hook)
            expected = told(lambda: capture(model, x, steps=True))  # noqa: B023
            handle.remove()
            for one in found:
                assert_same(one, expected)
    assert hooks_of(model) == 0


class Switched(nn.Module):
    """A flag kept as an attribute, and a gate of plain operations that it switches."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.cbam = AuthorsCbam(WIDTH)
        self.last = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.scale = nn.Parameter(torch.randn(1, WIDTH, 1, 1))
        self.gated = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.cbam(self.stem(x)))
        if self.gated:
            x = torch.sigmoid(x.mean((2, 3), keepdim=True) * self.scale) * x
        return x.mean((2, 3))


def test_flags_kept_as_attributes_have_plans_of_their_own() -> None:
    torch.manual_seed(0)
    model = Switched().eval()
    with torch.no_grad():
        for seed, model.gated in enumerate((False, False, True, True, False, True, False, True)):
            x = photos(seed=seed)
            assert_same(capture(model, x), seen(model, x))
    assert not table_of(model)[0].fickle


class Setting(Enum):
    OFF, ON = 0, 1


@dataclass
class Settings:
    gated: bool


SWITCHES: dict[str, tuple[Callable[[bool], Any], Callable[[Any], bool]]] = {
    "dict": (lambda on: {"gates": {"channel": on}}, lambda kept: kept["gates"]["channel"]),
    "training": (lambda on: {"training": on}, lambda kept: kept["training"]),
    "list": (lambda on: [on], lambda kept: kept[0]),
    "tuple": (lambda on: ("gate", 3 + on), lambda kept: kept[1] > 3),
    "set": (lambda on: {"gate", "map"} if on else {"map"}, lambda kept: "gate" in kept),
    "fraction": (lambda on: 0.75 if on else 0.25, lambda kept: kept > 0.5),
    "enum": (Setting, lambda kept: kept is Setting.ON),
    "dataclass": (Settings, lambda kept: kept.gated),
    "namespace": (lambda on: SimpleNamespace(gated=on), lambda kept: kept.gated),
    "numpy": (np.bool_, bool),
    "closure": (lambda on: lambda: on, lambda kept: kept()),
    "partial": (lambda on: functools.partial(bool, int(on)), lambda kept: kept()),
}


class Asking(Switched):
    """As `Switched`, with its switch in something that is no plain attribute."""

    def __init__(self, asked: Callable[[Any], bool]) -> None:
        super().__init__()
        self.asked: Any = (asked,)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.cbam(self.stem(x)))
        if self.asked[0](self.kept):
            x = torch.sigmoid(x.mean((2, 3), keepdim=True) * self.scale) * x
        return x.mean((2, 3))


ON = (False, False, True, True, False, True)


@pytest.mark.parametrize("name", SWITCHES)
def test_switches_in_what_modules_keep(name: str) -> None:
    make, asked = SWITCHES[name]
    torch.manual_seed(0)
    model = Asking(asked).eval()
    with torch.no_grad():
        for seed, on in enumerate(ON):
            model.kept = make(on)
            found = capture(model, photos(seed=seed))
            assert list(found) == (["cbam", "model"] if on else ["cbam"])
            if on:
                x = model.last(model.cbam(model.stem(photos(seed=seed))))
                gate = torch.sigmoid(x.mean((2, 3)) * model.scale.flatten())
                assert torch.allclose(found["model"].channel, gate)
    assert not table_of(model)[0].fickle


@pytest.mark.parametrize("where", ["class", "buffer", "parameter", "hook", "forward"])
def test_switches_that_are_no_attributes_of_a_module(where: str) -> None:
    class Classy(Asking):
        on = False

    def gated(x: Tensor) -> Tensor:
        return x * torch.sigmoid(x.mean(1, keepdim=True))

    torch.manual_seed(0)
    asked = {
        "class": lambda _: model.on,
        "buffer": lambda _: model.flag is not None,
        "parameter": lambda _: model.weight is not None,
    }
    model: Any = Classy(asked.get(where, lambda _: False)).eval()
    model.kept = None
    model.register_buffer("flag", None)
    model.register_parameter("weight", None)
    with torch.no_grad():
        for seed, on in enumerate(ON):
            handle = None
            if where == "class":
                Classy.on = on
            elif where == "hook" and on:
                handle = model.last.register_forward_hook(lambda _, args, output: gated(output))
            elif where == "forward" and on:
                plain = type(model.last).forward
                model.last.forward = lambda x: gated(plain(model.last, x))  # noqa: B023
            elif where == "forward":
                model.last.__dict__.pop("forward", None)
            model.flag = torch.ones(1) if on else None
            model.weight = nn.Parameter(torch.ones(1)) if on else None
            found = capture(model, photos(seed=seed))
            last = "last" if where in ("hook", "forward") else "model"
            assert list(found) == (["cbam", last] if on else ["cbam"])
            if handle is not None:
                handle.remove()


@pytest.mark.parametrize("everywhere", [False, True], ids=["on the layer", "on all modules"])
@pytest.mark.parametrize("on_layer", [False, True], ids=["behind a module", "behind timm's layer"])
def test_gates_in_the_users_hooks(everywhere: bool, on_layer: bool) -> None:
    """Put on and taken off between forwards, on a module or on all of the process."""

    def gated(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        return output * torch.sigmoid(output.mean(1, keepdim=True)) if module is target else None

    torch.manual_seed(0)
    model = Ways(KINDS["timm's"], lambda net, x: net.between(net.a(x))).eval()
    target = model.a if on_layer else model.between
    with torch.no_grad():
        for seed, on in enumerate(ON):
            x = model.stem(photos(seed=seed))
            own = model.a.spatial.gate(model.a.spatial.conv(_maps(model.a.channel(x))))
            behind = model.a(x) if on_layer else model.between(model.a(x))
            put_on = register_module_forward_hook if everywhere else target.register_forward_hook
            handle = put_on(gated) if on else None
            try:
                found = capture(model, photos(seed=seed))
            finally:
                if handle is not None:
                    handle.remove()
            assert torch.equal(found["a"].spatial, own[:, 0])
            if on and not on_layer:
                assert torch.equal(found["between"].spatial, torch.sigmoid(behind.mean(1)))
            # Two layers of one name there cannot be: what is not shown is said.
            assert [one.module for one in found.unsupported] == (["a"] if on and on_layer else [])
            assert found["a"].verified == (not (on and on_layer))


def _maps(x: Tensor) -> Tensor:
    return torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)


@pytest.mark.parametrize("name", ["enum", "set", "numpy", "namespace", "dict"])
def test_switches_among_the_arguments(name: str) -> None:
    make, asked = SWITCHES[name]

    class Told(Switched):
        def forward(self, x: Tensor, how: Any = None) -> Tensor:
            self.gated = False
            x = super().forward(x)[:, :, None, None] * self.stem(x)
            return torch.sigmoid(x.mean((2, 3), keepdim=True)) * x if asked(how) else x

    torch.manual_seed(0)
    model = Told().eval()
    with torch.no_grad():
        for seed, on in enumerate(ON):
            x = photos(seed=seed)
            found = capture(model, x, how=make(on))
            assert_same(found, capture(copy.deepcopy(model), x, how=make(on)))


def test_what_modules_and_hooks_collect_is_no_switch() -> None:
    """Features kept from forward to forward, and counts that a user's hook notes."""

    class Collecting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.cbam = nn.Conv2d(3, WIDTH, 3), AuthorsCbam(WIDTH)
            self.kept: list[Tensor] = []
            self.cache: dict[int, Tensor] = {}

        def forward(self, x: Tensor) -> Tensor:
            x = self.cbam(self.stem(x))
            self.kept.append(x)
            self.cache[len(self.kept)] = x
            return x

    torch.manual_seed(0)
    model, calls = Collecting().eval(), []
    model.cbam.register_forward_hook(lambda *_: calls.append(len(calls)))
    with torch.no_grad():
        for seed in range(4):
            capture(model, photos(seed=seed))
    table, now = table_of(model)
    assert calls == [0, 1, 2, 3]
    assert table.plan(signature_of(table.modules, (photos(),), {}, now)) is not None
    assert len(table._plans) == 1


def test_a_known_layer_whose_forward_is_replaced_is_known_no_more() -> None:
    """And is again, when its class's is back."""
    torch.manual_seed(0)
    model = Ways(KINDS["timm's"], flagged).eval()
    plain, own = type(model.a).forward, model.a
    with torch.no_grad():
        before = capture(model, photos())
        own.forward = lambda x: plain(own, x) * torch.sigmoid(x.mean(1, True))
        changed = capture(model, photos())
        mapped = torch.sigmoid(model.stem(photos()).mean(1))
        del own.forward
        after = capture(model, photos())
    assert list(changed) == ["a.channel", "a.spatial", "a"]  # its halves are known still
    assert torch.allclose(changed["a"].spatial, mapped)
    assert changed["a"].found_by == "watch"
    assert_same(after, before)
    assert after["a"].found_by == "hook"


DRAWN: dict[str, tuple[Callable[[int], Any], Callable[[], float]]] = {
    "torch": (torch.manual_seed, lambda: float(torch.rand(()).clone())),
    "python": (random.seed, random.random),
    "numpy": (np.random.seed, lambda: float(np.random.rand())),  # noqa: NPY002,
}


@pytest.mark.parametrize("alone", [True, False], ids=["capture", "block"])
@pytest.mark.parametrize("always", [True, False], ids=["always", "on the other way"])
@pytest.mark.parametrize("name", DRAWN)
def test_random_numbers_are_those_of_a_plain_forward(name: str, always: bool, alone: bool) -> None:
    """Where they cannot be, an error says so; nobody draws a number less, or one twice."""
    seed, draw = DRAWN[name]

    def noisy(net: Any, x: Tensor) -> Tensor:
        if always or SWITCH["on"]:
            x = x + draw() if name != "torch" else x + torch.rand(())
        return net.b(net.a(x)) if SWITCH["on"] else net.a(x)

    torch.manual_seed(0)
    model = Ways(AuthorsCbam, noisy).eval()
    plain, gone = copy.deepcopy(model), []
    with torch.no_grad():
        for SWITCH["on"] in (0, 0, 1, 1):
            seed(5)
            output, next_number = plain(photos()), draw()
            seed(5)
            try:
                if alone:
                    found = capture(model, photos())
                else:
                    with Capture(model) as recorder:
                        model(photos())
                    found = recorder.attention()
            except CaptureError as error:
                gone.append((SWITCH["on"], "random numbers" in str(error)))
            else:
                assert torch.equal(found.output, output)
                assert list(found) == (["a", "b"] if SWITCH["on"] else ["a"])
            assert draw() == next_number
    assert gone == ([] if always or name == "torch" else [(1, True)])


class Block(nn.Module):
    """Halves its features by a convolution, in a block of its own."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, kernel, stride=2)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


HALVING: dict[str, Callable[[int], nn.Module]] = {
    "convolution": lambda kernel: nn.Conv2d(WIDTH, WIDTH, kernel, stride=2),
    "sequential": lambda kernel: nn.Sequential(nn.Conv2d(WIDTH, WIDTH, kernel, stride=2)),
    "block": Block,
    "blocks": lambda kernel: nn.Sequential(nn.Sequential(Block(kernel)), nn.ReLU()),
}


@pytest.mark.parametrize("halving", HALVING)
@pytest.mark.parametrize("kind", KINDS)
def test_modules_that_halve_the_features_in_another_order(kind: str, halving: str) -> None:
    """The map keeps its size and lies elsewhere: only the order of calls shows it."""

    def go(net: Any, x: Tensor) -> Tensor:
        first, second = (net.one, net.two) if not SWITCH["on"] else (net.two, net.one)
        return net.a(second(first(x)))

    torch.manual_seed(0)
    model = Ways(KINDS[kind], go)
    model.one, model.two = HALVING[halving](2), HALVING[halving](3)
    model.eval()
    with torch.no_grad():
        for seed, SWITCH["on"] in enumerate((0, 1, 0)):
            x = photos(1, 64, 64, seed=seed)
            found = capture(model, x)
            assert_same(found, seen(model, x))
            # A kernel of 2 moves the centre by half a cell, one of 3 by a whole one.
            offset = 0.5 + 2 * (1 + 2 * 0.5) if SWITCH["on"] else 0.5 + 2 * (0.5 + 2 * 1)
            assert found["a"].cells.offset_x == offset


class Routed(nn.Module):
    """Top-1 experts, an early exit and a loop, all of them as the features say."""

    def __init__(self, make: Callable[[int], nn.Module], read: Callable[[Tensor], float]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1)
        self.experts = nn.ModuleList(make(WIDTH) for _ in range(3))
        self.loop, self.last = make(WIDTH), make(WIDTH)
        self.read = [read]

    def forward(self, x: Tensor) -> Tensor:
        bright = self.read[0](x.mean())
        x = self.experts[round(bright) % 3](self.stem(x))
        for _ in range(int(bright)):
            x = self.loop(x)
        return x if bright > 2 else self.last(x)


READ: dict[str, Callable[[Tensor], float]] = {
    "item": float,
    "tolist": lambda tensor: tensor.tolist(),
    "numpy": lambda tensor: float(tensor.numpy()),
}
BRIGHT = (0.1, 0.1, 1.2, 2.4, 0.2, 3.1, 1.2, 0.1)


def bright(level: float, seed: int) -> Tensor:
    x = photos(seed=seed)
    return x - x.mean() + level


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("kind", KINDS)
def test_routes_that_hang_on_the_photo(kind: str, read: str) -> None:
    torch.manual_seed(0)
    model = Routed(KINDS[kind], READ[read]).eval()
    with torch.no_grad():
        expected = [seen(model, bright(level, k)) for k, level in enumerate(BRIGHT)]
        for k, level in enumerate(BRIGHT):
            assert_same(capture(model, bright(level, k)), expected[k])
        again = copy.deepcopy(model)
        with Capture(again) as recorder:
            for k, level in enumerate(BRIGHT):
                again(bright(level, k))
    for found, wanted in zip(recorder.results, expected, strict=True):
        assert_same(found, wanted)


def test_threads_whose_photos_go_different_ways() -> None:
    torch.manual_seed(0)
    model = Routed(AuthorsCbam, READ["tolist"]).eval()
    with torch.no_grad():
        expected = [seen(model, bright(level, k)) for k, level in enumerate(BRIGHT)]
    found: list[list[Attention]] = [[] for _ in range(4)]

    def work(mine: list[Attention]) -> None:
        with torch.no_grad():
            for k, level in enumerate(BRIGHT):
                mine.append(capture(model, bright(level, k)))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in found:
        for one, wanted in zip(mine, expected, strict=True):
            assert_same(one, wanted)
    assert hooks_of(model) == 0


class StochasticDepth(nn.Module):
    """Layers that training leaves out at random, by Python's generator."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.layers = nn.ModuleList(AuthorsCbam(WIDTH) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        for layer in self.layers:
            if not self.training or random.random() < 0.5:
                x = layer(x) + x
        return nn.functional.dropout(x, 0.1, self.training)


def test_stochastic_depth_in_train_mode() -> None:
    """The user's own forwards, and the random numbers that they draw, stay as they are."""
    torch.manual_seed(0)
    model = StochasticDepth().train()
    plain = copy.deepcopy(model)
    ran: list[list[str]] = []
    for k, layer in enumerate(plain.layers):
        layer.register_forward_hook(lambda *_, k=k: ran[-1].append(f"layers.{k}"))
    statistics = model.norm.running_mean.clone()
    random.seed(3)
    torch.manual_seed(3)
    outputs = []
    for seed in range(8):
        ran.append([])
        plain.norm.load_state_dict(model.norm.state_dict())
        outputs.append(plain(photos(seed=seed)))
    random.seed(3)
    torch.manual_seed(3)
    with Capture(model) as recorder:
        for seed in range(8):
            assert torch.equal(model(photos(seed=seed)), outputs[seed])
    assert [list(attention) for attention in recorder.results] == ran
    assert len({tuple(names) for names in ran}) > 2
    assert torch.equal(model.norm.running_mean, statistics)


def test_a_way_that_stays_is_not_watched_again() -> None:
    """Plans serve: the second forward of a network that goes one way costs a plain one."""
    model = network("authors'", "flagged")
    calls = []
    handle = model.a.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        capture(model, photos())
        plan = table_of(model)[0].plan
        for seed in range(3):
            capture(model, photos(seed=seed))
    handle.remove()
    assert len(calls) == 4
    assert plan is not None


def test_a_plan_lent_to_another_batch_does_not_count_as_a_change() -> None:
    """A loop over the photos of a batch: as many calls as photos, and plans for each number."""

    class OneByOne(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.cbam = nn.Conv2d(3, WIDTH, 3), AuthorsCbam(WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.cbam(self.stem(photo)) for photo in x.split(1)])

    torch.manual_seed(0)
    model = OneByOne().eval()
    with torch.no_grad():
        for batch in (1, 2, 3, 1, 2, 3, 4):
            assert_same(capture(model, photos(batch)), seen(model, photos(batch)))
    assert not table_of(model)[0].fickle


KEYS = [name for kind in (Root, Passing, Part) for name in get_args(kind)]
"""What hooks tell of, by the names that the code has for it."""
NAMES = [*KEYS, "in", "out", "step", "self", "model", "layer#2"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_module_is_taken_for_something_else(kind: str, name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("stem", nn.Conv2d(3, WIDTH, 3, padding=1))
    model.add_module(name, KINDS[kind](WIDTH))
    model.add_module("rest", nn.Conv2d(WIDTH, WIDTH, 3))
    model.eval()
    other = nn.Sequential()
    other.add_module("stem", model[0])
    other.add_module("plain", model[1])
    other.add_module("rest", model[2])
    with torch.no_grad():
        expected = capture(other.eval(), photos())["plain"]
        for _ in range(3):
            attention = capture(model, photos())
            assert list(attention) == [name]
            assert torch.equal(attention[name].channel, expected.channel)
            assert torch.equal(attention[name].spatial, expected.spatial)
            assert attention.not_called == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_looks_like_a_second_call(kind: str) -> None:
    """A module `cbam#2` beside `cbam`, which is called twice: no result takes another's place."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
            self.cbam = KINDS[kind](WIDTH)
            self.add_module("cbam#2", KINDS[kind](WIDTH))

        def forward(self, x: Tensor) -> Tensor:
            x = self.cbam(self.stem(x))
            return self.cbam(self.get_submodule("cbam#2")(x))

    torch.manual_seed(0)
    model = Twice().eval()
    with torch.no_grad():
        for _ in range(2):
            attention = capture(model, photos(), features=True)
            assert len(attention) == 3
            assert [layer.module for layer in attention.values()] == ["cbam", "cbam#2", "cbam"]
            assert [layer.call for layer in attention.values()] == [1, 1, 2]
            x = model.stem(photos())
            for layer, module in zip(
                attention.values(), (model.cbam, model.get_submodule("cbam#2"), model.cbam),
                strict=True,
            ):  # fmt: skip
                assert torch.equal(layer.features.before, x)
                x = module(x)
                assert torch.allclose(
                    layer.features.before
                    * layer.channel[:, :, None, None]
                    * layer.spatial[:, None],
                    x,
                    atol=1e-6,
                )


def test_a_network_without_attention_that_gains_some() -> None:
    model = network("authors'", "none_at_first")
    with torch.no_grad():
        with pytest.raises((NoAttentionError, CaptureError)):
            capture(model, photos())
        SWITCH["on"] = 1
        assert list(capture(model, photos())) == ["a"]


def shrunk(net: Any, x: Tensor) -> Tensor:
    return net.a(nn.functional.avg_pool2d(x, 2) if SWITCH["on"] else x)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_another_size_lie_elsewhere(kind: str) -> None:
    """A way that differs in plain operations alone: the size of the maps gives it away."""
    torch.manual_seed(0)
    model = Ways(KINDS[kind], shrunk).eval()
    with torch.no_grad():
        for seed, SWITCH["on"] in enumerate((0, 1, 0, 1)):
            x = photos(seed=seed)
            found = capture(model, x)
            assert_same(found, seen(model, x))
            assert found["a"].cells.stride_y == (4 if SWITCH["on"] else 2)


class BySize(nn.Module):
    """Large photos are halved before the gates."""

    def __init__(self, make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.stem, self.cbam = nn.Conv2d(3, WIDTH, 3, padding=1), make(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.cbam(nn.functional.avg_pool2d(x, 2) if x.shape[-1] > 40 else x)


@pytest.mark.parametrize("kind", KINDS)
def test_large_photos_that_go_another_way(kind: str) -> None:
    torch.manual_seed(0)
    model = BySize(KINDS[kind]).eval()
    with torch.no_grad():
        for size in (32, 36, 64, 33, 71, 39):
            x = photos(1, size, size)
            found = capture(model, x)
            assert_same(found, seen(model, x))
            assert found["cbam"].cells.stride_x == (2 if size > 40 else 1)
    assert not table_of(model)[0].fickle


def beside(net: Any, x: Tensor) -> Tensor:
    """A map of plain operations, before or after the layer, in no module."""
    if SWITCH["on"] == 1:
        x = x * torch.sigmoid(x.mean(1, keepdim=True))
    x = net.a(x)
    if SWITCH["on"] == 2:
        x = x * torch.sigmoid(x.mean(1, keepdim=True))
    return net.between(x)


@pytest.mark.parametrize("kind", ["authors'", "functional"])
def test_plain_operations_between_a_layer_and_its_neighbours(kind: str) -> None:
    torch.manual_seed(0)
    model = Ways(KINDS[kind], beside).eval()
    with torch.no_grad():
        for on in (1, 2):
            for seed, SWITCH["on"] in enumerate((0, 0, on, 0, on)):
                x = photos(seed=seed)
                assert_same(capture(model, x), seen(model, x))
            model = copy.deepcopy(model)
