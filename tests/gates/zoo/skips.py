"""Encoders and decoders: gates that end one block, and gates on what that block hands on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .truth import CHANNELS, Attentive, Gates


class Squeeze(Gates):
    """A block's channel gate."""

    def forward(self, x: Tensor) -> Tensor:
        gate = self.channel(x)
        self.note(gate)
        return x * gate


class Shortcut(Gates):
    """The same, with the block's input added."""

    def forward(self, x: Tensor) -> Tensor:
        gate = self.channel(x)
        self.note(gate)
        return x + x * gate


class Spatial(Gates):
    """A block's map."""

    def forward(self, x: Tensor) -> Tensor:
        gate = self.spatial(x)
        self.note(spatial=gate)
        return x * gate


class Cbam(Gates):
    """Channel weights, then a map."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        x = x * ca
        sa = self.spatial(x)
        self.note(ca, sa)
        return x * sa


class OnSkip(Attentive):
    """Attention U-Net: a map of the skip, from it and a signal of the decoder."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_skip, self.of_signal = nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, 4, 1)
        self.score = nn.Conv2d(4, 1, 1)

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        gate = self.score(F.relu(self.of_skip(skip) + self.of_signal(signal))).sigmoid()
        self.note(spatial=gate)
        return skip * gate


class CoarseOnSkip(OnSkip):
    """The same where the signal is not enlarged before: the map is."""

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        signal = F.avg_pool2d(signal, 2)
        coarse = self.of_skip(F.max_pool2d(skip, 2)) + self.of_signal(signal)
        gate = F.interpolate(self.score(F.relu(coarse)).sigmoid(), size=skip.shape[2:])
        self.note(spatial=gate)
        return skip * gate


class ChannelsOnSkip(Gates):
    """Channel weights of the skip, from the decoder's signal."""

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        gate = self.channel(signal)
        self.note(gate)
        return skip * gate


class UNet(nn.Module):
    """Two levels, with one structure at the end of the encoder's block and one on its skip."""

    def __init__(self, block: Callable[[int], nn.Module], skip: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.block, self.skip = block(CHANNELS), skip(CHANNELS)
        self.deep = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.fuse = nn.Conv2d(2 * CHANNELS, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(F.relu(self.stem(x)))
        signal = F.interpolate(F.relu(self.deep(F.max_pool2d(x, 2))), size=x.shape[2:])
        return self.fuse(torch.cat([self.skip(x, signal), signal], 1))


class Inline(Attentive):
    """Both gates written into the network's own forward; `way` says what else the skip feeds."""

    def __init__(self, way: Callable[[Inline, Tensor, Tensor], object]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.one, self.two = Gates(CHANNELS), Gates(CHANNELS)
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.aux, self.norm = nn.Linear(CHANNELS, 3), nn.BatchNorm2d(CHANNELS)
        self.way = way
        self.seen: list[object] = []

    def forward(self, x: Tensor) -> object:
        x = F.relu(self.stem(x))
        ca = self.one.channel(x)
        y = x * ca
        sa = self.two.spatial(y)
        self.note(ca, sa)
        return self.way(self, y, y * sa)


def _logged(net: Inline, y: Tensor, z: Tensor) -> Tensor:
    net.seen += [y.mean().item(), y.detach(), y.flatten(2).std(-1)]
    return z.mean((2, 3))


APART: dict[str, Callable[[Inline, Tensor, Tensor], object]] = {
    "another stage": lambda net, y, z: torch.cat([z.mean((2, 3)), net.conv(y).mean((2, 3))], 1),
    "a convolved shortcut": lambda net, y, z: y + net.conv(z),
    "beside its gated self": lambda net, y, z: torch.cat([y, z], 1),
    "an auxiliary head": lambda net, y, z: (z.mean((2, 3)), net.aux(y.mean((2, 3)))),
    "pooled beside it": lambda net, y, z: z.mean((2, 3)) + F.max_pool2d(y, 2).mean((2, 3)),
}
"""What takes the first gate's result out of its layer."""

TOGETHER: dict[str, Callable[[Inline, Tensor, Tensor], object]] = {
    "nothing else": lambda net, y, z: z.mean((2, 3)),
    "a residual of its own": lambda net, y, z: y + z,
    "a scaled residual": lambda net, y, z: y + 0.1 * z,
    "a residual behind a norm": lambda net, y, z: y + net.norm(z),
    "the larger of both": lambda net, y, z: torch.maximum(y, F.relu(z)),
    "what the gate takes away": lambda net, y, z: y - z,
    "statistics that nobody uses": _logged,
    "returned as it is": lambda net, y, z: (z.mean((2, 3)), y),
}
"""What does not."""
