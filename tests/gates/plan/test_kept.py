"""Gates that a network keeps from one forward for the next, or makes outside of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cbam_viz.attention import Attention
from cbam_viz.errors import NoAttentionError
from cbam_viz.gates import capture
from tests.gates.zoo.truth import Gates, host, photo, truths

FROM_OUTSIDE = (
    "weights that this forward has not computed: a constant, kept from an earlier forward or made "
    "outside of PyTorch, so that it cannot be told whether they are a gate"
)


class LastFrame(Gates):
    """The map of the frame before; none at the first."""

    last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        now, self.last = self.last, self.spatial(x)
        if now is None:
            return x
        self.note(spatial=now)
        return x * now


class LastFrameByNumber(Gates):
    """The same in a list, by plain operations, with a channel gate of this frame before it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.frames: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        y = x * ca
        self.frames.append(self.spatial(y))
        if len(self.frames) < 2:
            self.note(ca)
            return y
        sa = self.frames.pop(0)
        self.note(ca, sa)
        return y * sa


class Cached(Gates):
    """Computed for the first photo of each size, and used for all of that size."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.cache: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        size = tuple(x.shape)
        if size not in self.cache:
            self.cache[size] = self.channel(x).detach()
        self.note(self.cache[size])
        return x * self.cache[size]


@pytest.mark.parametrize("kind", [LastFrame, LastFrameByNumber, Cached])
def test_kept_gates_are_captured(kind: type[Gates]) -> None:
    """From the second capture on, each of another photo."""
    model = host(kind)
    with torch.no_grad():
        with suppress(NoAttentionError):
            capture(model, photo())
        for seed in range(2, 5):
            attention = capture(model, photo(seed=seed))
            assert attention.unsupported == ()
            assert_used(attention, model)


@pytest.mark.parametrize("kind", [LastFrame, LastFrameByNumber])
def test_what_a_plain_forward_left_is_told_of(kind: type[Gates]) -> None:
    """That frame's map is not known again; the next one's is."""
    model = host(kind)
    with torch.no_grad():
        with suppress(NoAttentionError):
            capture(model, photo())
        model(photo(seed=2))
        told = capture(model, photo(seed=3)).unsupported
        assert [one.reason for one in told] == [FROM_OUTSIDE] * 2
        attention = capture(model, photo(seed=4))
        assert attention.unsupported == ()
        assert_used(attention, model)


def assert_used(attention: Attention, model: nn.Module) -> None:
    """Its gates are those that the last forward noted."""
    used = list(truths(model).values())[-2:]
    assert len(attention) == len(used)
    for layer, one in zip(attention.values(), used, strict=True):
        assert layer.verified
        assert _same(layer.channel, one.channel)
        assert _same(layer.spatial, one.spatial)


def _same(found: Tensor | None, expected: Tensor | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return torch.equal(found, expected)


class Written(Gates):
    """A buffer that holds the mean gates of the photo before."""

    def __init__(self, channels: int, *, replaced: bool) -> None:
        super().__init__(channels)
        self.replaced = replaced
        self.register_buffer("last", torch.linspace(0.1, 0.9, channels).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = x * self.last
        self.note(self.last.expand(len(x), -1, 1, 1).clone())
        now = self.channel(x).mean(0, keepdim=True)
        if self.replaced:
            self.last = now
        else:
            self.last.copy_(now)
        return y


@pytest.mark.parametrize("replaced", [False, True])
def test_buffers_into_which_gates_are_written(replaced: bool) -> None:
    """What they held at first cannot be told from a constant, and that is said."""
    model = host(lambda channels: Written(channels, replaced=replaced))
    with torch.no_grad():
        first = capture(model, photo())
        assert list(first) == []
        assert [one.reason for one in first.unsupported] == [FROM_OUTSIDE] * 2
        for seed in (3, 4):
            attention = capture(model, photo(seed=seed))
            assert attention.unsupported == ()
            assert_used(attention, model)


class Fixed(Gates):
    """A buffer that forwards leave alone, and statistics of all photos by which it normalises."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("window", torch.hann_window(12).view(1, 1, -1, 1))
        self.register_buffer("variances", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        self.variances.lerp_(x.var((0, 2, 3)), 0.1)
        return x * self.window * (self.variances + 1e-3).rsqrt()[:, None, None]


def test_what_is_no_gate_of_a_photo_is_passed_over() -> None:
    model = host(Fixed)
    for seed in range(3):
        with torch.no_grad(), pytest.raises(NoAttentionError):
            capture(model, photo(seed=seed))


def _by_numpy(net: Gates, x: Tensor) -> Tensor:
    return torch.from_numpy(1 / (1 + np.exp(-net.spatial_logits(x).numpy())))


def _by_lists(net: Gates, x: Tensor) -> Tensor:
    return torch.tensor(net.channel(x).tolist())


_CONSTANT = torch.linspace(0.1, 0.9, 8).view(1, -1, 1, 1)

OUTSIDE: dict[str, Callable[[Gates, Tensor], Tensor]] = {
    "NumPy": _by_numpy,
    "lists": _by_lists,
    "a global": lambda net, x: _CONSTANT,
}


class Given(Gates):
    def __init__(self, channels: int, gate: Callable[[Gates, Tensor], Tensor]) -> None:
        super().__init__(channels)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self, x)


@pytest.mark.parametrize("name", OUTSIDE)
def test_factors_from_outside_are_told_of(name: str) -> None:
    model = host(lambda channels: Given(channels, OUTSIDE[name]))
    for seed, size in enumerate([(2, 24, 20), (2, 24, 20), (1, 24, 20)]):
        with torch.no_grad():
            attention = capture(model, photo(*size, seed=seed))
        assert list(attention) == []
        told = [(one.module, one.reason) for one in attention.unsupported]
        assert told == [("first", FROM_OUTSIDE), ("second", FROM_OUTSIDE)]


class Threads(nn.Module):
    """Its branches run in threads of their own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Gates(channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        def run(branch: Gates) -> Tensor:
            with torch.no_grad():
                return x * branch.channel(x)

        with ThreadPoolExecutor(2) as pool:
            one, two = pool.map(run, self.branches)
        return one + two


def test_other_threads_of_a_networks_own_are_told_of() -> None:
    model = host(Threads)
    for seed in (1, 2):
        with torch.no_grad():
            attention = capture(model, photo(seed=seed))
        assert list(attention) == []
        (told,) = attention.unsupported
        assert told.module == "first"
        assert "in another thread" in told.reason
