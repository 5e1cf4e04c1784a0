"""Networks whose modules or ways are made while they run: lazy ones, torch's own conditions."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from cbam_viz.gates import capture

from .test_exact import assert_exact, ready_again
from .truth import Attentive, Gates, host, photo, truths


class Lazy(Attentive):
    """Layers that learn their sizes at the first forward."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh, self.score = nn.LazyLinear(channels), nn.LazyConv2d(1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        ca = self.weigh(x.mean((2, 3))).sigmoid()
        x = x * ca[:, :, None, None]
        sa = self.score(x).sigmoid()
        self.note(ca, sa)
        return x * sa


def test_lazy_modules_at_their_first_forward() -> None:
    model = host(Lazy)
    for seed in (1, 2):
        x = photo(seed=seed)
        with torch.no_grad():
            attention = capture(model, x)
        assert_exact(attention, truths(ready_again(model, x)))
        assert attention.unsupported == ()
        owned = {
            f"first.{layer}.{name}" for layer in ("weigh", "score") for name in ("weight", "bias")
        }
        assert set(attention["first"].weights) == owned


class Conditional(Gates):
    """torch.cond between a gate and what it leaves."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        bright = x.mean() > 0.4
        y = torch.cond(bright, lambda f, g: f * g, lambda f, g: f * (1 - g), (x, ca))
        sa = self.spatial(y)
        self.note(ca if bright else 1 - ca, sa)
        return y * sa


def test_functions_that_torch_calls_are_watched() -> None:
    """And the network still runs by itself: torch compiles what calls them."""
    model = host(Conditional)
    for seed, bright in enumerate((0.1, 3.0, 0.1, 3.0)):
        x = photo(seed=seed).abs() * bright
        with torch.no_grad():
            attention = capture(model, x)
            expected = truths(ready_again(model, x))
        assert_exact(attention, expected)
        assert torch.equal(attention.output, model(x))
        assert attention.unsupported == ()


class Bands(nn.Module):
    """A photo's channels as the depth of a volume, as networks for spectra begin."""

    def __init__(self, gate: str) -> None:
        super().__init__()
        self.gate = gate
        self.stem = nn.Conv3d(1, 8, 3, padding=1)
        self.weigh, self.score = nn.Conv3d(8, 8, 1), nn.Conv3d(8, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.unsqueeze(1))
        if self.gate == "channel weights":
            x = x * self.weigh(x.mean((2, 3, 4), keepdim=True)).sigmoid()
        else:
            x = x * self.score(x).sigmoid()
        return x.mean((2, 3, 4))


@pytest.mark.parametrize("gate", ["channel weights", "a map"])
def test_bands_of_a_volume_are_no_channels(gate: str) -> None:
    """24 weights for 8 channels of 3 bands would be three times the same."""
    torch.manual_seed(0)
    with torch.no_grad():
        attention = capture(Bands(gate).eval(), photo())
    assert list(attention) == []
    (told,) = attention.unsupported
    assert told.reason == (
        f"{gate} on features of 5 dimensions (a volume's, say), not (B, C, H, W)"
    )


class Normalised(nn.Module):
    """Running statistics that the code itself keeps and divides by."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("variance", torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        self.mean.lerp_(x.mean((0, 2, 3), keepdim=True)[0], 0.1)
        self.variance.lerp_(x.var((0, 2, 3), keepdim=True)[0], 0.1)
        return (x - self.mean) * (self.variance + 1e-3).rsqrt()


class NormalisedThenGated(Gates):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.norm = Normalised(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        ca = self.channel(x)
        self.note(ca)
        return x * ca


def test_running_statistics_beside_a_gate() -> None:
    model = host(partial(NormalisedThenGated))
    for seed in (1, 2):
        for one in (model.first, model.second):
            one.truth.clear()
        with torch.no_grad():
            attention = capture(model, photo(seed=seed))
        assert_exact(attention, truths(model))
        assert attention.unsupported == ()
