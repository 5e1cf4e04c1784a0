"""Photos and weights on which gates are even: they decide nothing for other photos."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_viz.attention import Attention
from cbam_viz.errors import CaptureError
from cbam_viz.gates import Capture, capture
from tests.gates.plan.test_ways import assert_same, told

from .networks import photos

WIDTH = 8

Widen = Callable[[Tensor, Tensor], Tensor]
"""A gate, (B, C, 1, 1) or (B, 1, h, w), as large as the features given second."""


def repeat(gate: Tensor, x: Tensor) -> Tensor:
    return gate.repeat(*(n // g for n, g in zip(x.shape, gate.shape, strict=True)))


def unknown(gate: Tensor, x: Tensor) -> Tensor:
    """By an operator that no rule knows."""
    return torch.cumsum(repeat(gate, x) * 0, 1) + repeat(gate, x)


WIDEN: dict[str, Widen] = {
    "broadcast": lambda gate, x: gate,
    "expand": lambda gate, x: gate.expand_as(x),
    "expand, then contiguous": lambda gate, x: gate.expand_as(x).contiguous(),
    "repeat": repeat,
    "times ones": lambda gate, x: torch.ones_like(x) * gate,
    "plus zeros": lambda gate, x: gate + torch.zeros_like(x),
    "an unknown operator": unknown,
}


class Wide(nn.Module):
    """A CBAM whose gates are made as large as the features, before or after they are squashed."""

    def __init__(self, widen: Widen, squash: Callable[[Tensor], Tensor], *, last: bool) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(WIDTH, WIDTH, 1)
        self.map = nn.Conv2d(2, 1, 3, padding=1)
        self.how = [widen, squash]
        self.last = last

    def gate(self, logits: Tensor, x: Tensor) -> Tensor:
        widen, squash = self.how
        return squash(widen(logits, x)) if self.last else widen(squash(logits), x)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.gate(self.weigh(x.mean((2, 3), keepdim=True)), x)
        maps = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * self.gate(self.map(maps), x)


class Net(nn.Module):
    def __init__(self, layer: nn.Module, *, padded: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1 if padded else 0)
        self.layer = layer
        self.rest = nn.Conv2d(WIDTH, WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.layer(F.relu(self.stem(x))))


def network(widen: str, *, last: bool = False, padded: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return Net(Wide(WIDEN[widen], torch.sigmoid, last=last), padded=padded).eval()


def truth(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """M_c, (B, C), and M_s, (B, h, w), by the formulas."""
    layer = model.layer
    x = F.relu(model.stem(x))
    channel = torch.sigmoid(layer.weigh(x.mean((2, 3), keepdim=True)))
    x = x * channel
    maps = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
    return channel.flatten(1), torch.sigmoid(layer.map(maps))[:, 0]


def black() -> Tensor:
    return torch.zeros_like(photos())


def even() -> Tensor:
    return torch.full_like(photos(), -2.1)


DEGENERATE = {"black": black, "one colour": even}
ORDERS = {
    "first": (0, 1, 1),
    "in between": (1, 0, 1, 1),
    "often": (0, 0, 1, 0, 1),
}


def is_true(attention: Attention, model: nn.Module, x: Tensor) -> bool:
    """Both gates are given, and they are those of the formulas."""
    channel, spatial = truth(model, x)
    (layer,) = attention.values()
    return (
        layer.composition == "channel then spatial"
        and layer.channel is not None
        and layer.spatial is not None
        and torch.allclose(layer.channel, channel, rtol=0, atol=1e-6)
        and torch.allclose(layer.spatial, spatial, rtol=0, atol=1e-6)
        and attention.unsupported == ()
    )


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("degenerate", DEGENERATE)
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("widen", WIDEN)
def test_an_even_photo_decides_nothing(
    widen: str, last: bool, padded: bool, degenerate: str, order: tuple[int, ...]
) -> None:
    model = network(widen, last=last, padded=padded)
    with torch.no_grad():
        for seed, rich in enumerate(order):
            x = photos(seed=seed) if rich else DEGENERATE[degenerate]()
            fresh = copy.deepcopy(model)
            attention = told(lambda: capture(model, x))  # noqa: B023
            assert_same(attention, told(lambda: capture(fresh, x)))  # noqa: B023
            if rich or widen != "an unknown operator":
                assert not isinstance(attention, str)
                assert is_true(attention, model, x)
            elif not isinstance(attention, str):
                assert_harmless(attention, model, x)


def assert_harmless(attention: Attention, model: nn.Module, x: Tensor) -> None:
    """A kind that cannot be told is not guessed: gates of the right kind, or that it is so."""
    channel, spatial = truth(model, x)
    for layer in attention.values():
        for found, expected in ((layer.channel, channel), (layer.spatial, spatial)):
            assert found is None or torch.allclose(found, expected, rtol=0, atol=1e-6)
    assert attention.unsupported or is_true(attention, model, x)
    for entry in attention.unsupported:
        assert "cannot be told" in entry.reason


@pytest.mark.parametrize("widen", WIDEN)
def test_an_even_photo_in_a_block(widen: str) -> None:
    model = network(widen)
    rich = [photos(seed=seed) for seed in range(3)]
    with torch.no_grad(), Capture(model) as recorder:
        for x in (rich[0], black(), rich[1], black(), rich[2]):
            model(x)
    with torch.no_grad():
        for k, x in zip((0, 2, 4), rich, strict=True):
            assert is_true(recorder.results[k], model, x)


def zeroed(module: nn.Module, value: float) -> None:
    """A gate of one value everywhere: sigmoid(value)."""
    for name, parameter in module.named_parameters():
        parameter.data.fill_(value if name.endswith("bias") else 0)


@pytest.mark.parametrize("bias", [0.0, 200.0, -200.0], ids=["zero", "open", "closed"])
@pytest.mark.parametrize("half", ["weigh", "map", "both"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("widen", [name for name in WIDEN if name != "an unknown operator"])
def test_gates_that_are_the_same_everywhere_keep_their_kind(
    widen: str, last: bool, half: str, bias: float
) -> None:
    """Zero-initialised and saturated gates, then trained ones."""
    model = network(widen, last=last)
    trained = copy.deepcopy(model.layer.state_dict())
    for name in ("weigh", "map"):
        if half in (name, "both"):
            zeroed(getattr(model.layer, name), bias)
    with torch.no_grad():
        for seed in range(2):
            assert is_true(capture(model, photos(seed=seed)), model, photos(seed=seed))
        model.layer.load_state_dict(trained)
        for seed in range(2):
            assert is_true(capture(model, photos(seed=seed)), model, photos(seed=seed))


class Joint(nn.Module):
    """BAM: one gate of channel logits and map logits put together."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(WIDTH, WIDTH, 1)
        self.map = nn.Conv2d(WIDTH, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.weigh(x.mean((2, 3), keepdim=True)) + self.map(x))


class Pixel(nn.Module):
    """Pixel attention: a gate for every value, by a convolution of one pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 1)
        self.map = self.conv

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x))


@pytest.mark.parametrize("make", [Joint, Pixel])
@pytest.mark.parametrize("zero", [False, True])
def test_a_dense_gate_is_none_of_a_channel_on_an_even_photo(
    make: type[nn.Module], zero: bool
) -> None:
    torch.manual_seed(0)
    model = Net(make(), padded=False).eval()
    if zero:
        zeroed(model.layer.map, 0.3)
    with torch.no_grad():
        reasons = []
        for x in (black(), photos(seed=1), even(), photos(seed=2)):
            attention = capture(model, x)
            assert list(attention) == []
            reasons.append(tuple(entry.reason for entry in attention.unsupported))
    assert len(set(reasons)) == 1


def test_numbers_that_are_not_finite_decide_nothing() -> None:
    for widen in WIDEN:
        model = network(widen)
        with torch.no_grad():
            with suppress(CaptureError):
                capture(model, photos() * float("nan"))
            assert is_true(capture(model, photos(seed=1)), model, photos(seed=1))


def test_a_photo_of_few_pixels_decides_nothing_for_larger_ones() -> None:
    """Where maps are of one cell some gates cannot be told; what holds there holds there alone."""
    for widen in WIDEN:
        model = network(widen)
        model.rest = nn.Identity()
        with torch.no_grad():
            told(lambda: capture(model, photos(2, 2, 2)))  # noqa: B023
            for size in (16, 2, 24):
                x = photos(2, size, size)
                attention = told(lambda: capture(model, x))  # noqa: B023
                if size > 2:
                    assert not isinstance(attention, str)
                    assert is_true(attention, model, x)
