"""Networks that know their own gates: every structure writes down what it multiplied by.

A structure is an `Attentive` module. While it runs it calls `note()` with the gates it is about to
use, so the ground truth comes from the same forward as the capture and can be compared bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 8


@dataclass(frozen=True)
class Truth:
    """The gates of one call, in the layout that `capture` promises."""

    channel: Tensor | None
    """(B, C) float32."""
    spatial: Tensor | None
    """(B, h, w) float32."""
    composition: str
    turn: int
    """Place in the order of execution over the whole network."""


class Clock:
    """Counts the notes of one network, so that layers can be put into execution order."""

    def __init__(self) -> None:
        self.time = 0

    def tick(self) -> int:
        self.time += 1
        return self.time


class Attentive(nn.Module):
    """A module with gates. `note()` goes into the module that is expected to be named."""

    def __init__(self) -> None:
        super().__init__()
        self.truth: list[Truth] = []
        self.clock = Clock()

    def note(
        self,
        channel: Tensor | None = None,
        spatial: Tensor | None = None,
        composition: str | None = None,
    ) -> None:
        """`channel` as (B, C) or (B, C, 1, 1), `spatial` as (B, h, w) or (B, 1, h, w)."""
        if channel is not None:
            channel = channel.detach().flatten(1).to(torch.float32, copy=True)
        if spatial is not None:
            spatial = spatial.detach().to(torch.float32, copy=True)
            spatial = spatial.reshape(spatial.shape[0], *spatial.shape[-2:])
        if composition is None:
            one = "channel" if spatial is None else "spatial"
            composition = "channel then spatial" if None not in (channel, spatial) else one
        self.truth.append(Truth(channel, spatial, composition, self.clock.tick()))


class Gates(Attentive):
    """The common parts: an MLP over pooled features and a convolution over pooled channels."""

    def __init__(self, channels: int, *, bias: bool = False, kernel_size: int = 3) -> None:
        super().__init__()
        hidden = max(1, channels // 2)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=bias),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, bias=bias),
        )
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=bias)

    def channel_logits(self, x: Tensor) -> Tensor:
        """(B, C, 1, 1)."""
        average = self.mlp(x.mean((2, 3), keepdim=True))
        return average + self.mlp(x.amax((2, 3), keepdim=True))

    def spatial_logits(self, x: Tensor) -> Tensor:
        """(B, 1, h, w)."""
        return self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))

    def channel(self, x: Tensor) -> Tensor:
        return self.channel_logits(x).sigmoid()

    def spatial(self, x: Tensor) -> Tensor:
        return self.spatial_logits(x).sigmoid()


Make = Callable[[int], nn.Module]


class Host(nn.Module):
    """A small classifier with a structure in two places; its maps have half the input's sides."""

    def __init__(self, make: Make, channels: int = CHANNELS) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.first = make(channels)
        self.middle = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = make(channels)
        self.head = nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.middle(first_of(self.first(x))))
        return self.head(first_of(self.second(x)).mean((2, 3)))


def first_of(out: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The features, where a structure returns its gates beside them."""
    return out[0] if isinstance(out, tuple) else out


def ready(model: nn.Module) -> nn.Module:
    """In eval mode, all its structures on one clock, nothing noted yet."""
    clock = Clock()
    for module in model.modules():
        if isinstance(module, Attentive):
            module.clock = clock
            module.truth.clear()
    return model.eval()


def host(make: Make, *, channels: int = CHANNELS, seed: int = 0) -> nn.Module:
    """A `Host` of the structure with reproducible random weights, ready to run."""
    torch.manual_seed(seed)
    return ready(Host(make, channels))


def photo(batch: int = 2, height: int = 24, width: int = 20, seed: int = 1) -> Tensor:
    """A random input."""
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def truths(model: nn.Module) -> dict[str, Truth]:
    """What the model noted, by the names that `capture` is to give, in order of execution."""
    named = [
        (name if call == 1 else f"{name}#{call}", note)
        for name, module in model.named_modules()
        if isinstance(module, Attentive)
        for call, note in enumerate(module.truth, start=1)
    ]
    return dict(sorted(named, key=lambda item: item[1].turn))
