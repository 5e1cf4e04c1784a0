"""Gates made as large as the features before they meet: still channel weights and a map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .truth import Gates

Widen = Callable[[Tensor, Tensor], Tensor]
"""A gate as large as the features given second."""


def repeated(gate: Tensor, x: Tensor) -> Tensor:
    return gate.repeat(*(n // g for n, g in zip(x.shape, gate.shape, strict=True)))


def expanded(gate: Tensor, x: Tensor) -> Tensor:
    return gate.expand(-1, *x.shape[1:])


def expanded_as(gate: Tensor, x: Tensor) -> Tensor:
    return gate.expand_as(x)


def broadcast(gate: Tensor, x: Tensor) -> Tensor:
    return torch.broadcast_to(gate, x.shape)


def broadcast_together(gate: Tensor, x: Tensor) -> Tensor:
    return torch.broadcast_tensors(gate, x)[0]


def copied(gate: Tensor, x: Tensor) -> Tensor:
    return gate.expand_as(x).contiguous()


def cloned(gate: Tensor, x: Tensor) -> Tensor:
    return gate.expand_as(x).clone()


def tiled(gate: Tensor, x: Tensor) -> Tensor:
    return torch.tile(gate, tuple(n // g for n, g in zip(x.shape, gate.shape, strict=True)))


def interleaved(gate: Tensor, x: Tensor) -> Tensor:
    for d in (1, 2, 3):
        gate = gate.repeat_interleave(x.shape[d] // gate.shape[d], dim=d)
    return gate


def times_ones(gate: Tensor, x: Tensor) -> Tensor:
    return torch.ones_like(x) * gate


def plus_zeros(gate: Tensor, x: Tensor) -> Tensor:
    return torch.zeros_like(x) + gate


def side_by_side(gate: Tensor, x: Tensor) -> Tensor:
    for d in (1, 2, 3):
        gate = torch.cat([gate] * (x.shape[d] // gate.shape[d]), d)
    return gate


def upsampled(gate: Tensor, x: Tensor) -> Tensor:
    """A gate of one cell enlarged to all; a map repeated."""
    if gate.shape[1] == 1:
        return repeated(gate, x)
    return F.interpolate(gate, size=x.shape[2:], mode="nearest")


def through_tokens(gate: Tensor, x: Tensor) -> Tensor:
    """Repeated as (B, HW, C), then put back."""
    _, channels, height, width = x.shape
    flat = gate.flatten(2).transpose(1, 2)
    flat = flat.repeat(1, height * width // flat.shape[1], channels // flat.shape[2])
    return flat.transpose(1, 2).reshape(x.shape)


def channels_last(gate: Tensor, x: Tensor) -> Tensor:
    return repeated(gate, x).to(memory_format=torch.channels_last)


WIDENINGS: dict[str, Widen] = {
    one.__name__: one
    for one in (
        repeated, expanded, expanded_as, broadcast, broadcast_together, copied, cloned, tiled,
        interleaved, times_ones, plus_zeros, side_by_side, upsampled, through_tokens,
        channels_last,
    )
}  # fmt: skip


class _Widened(Gates):
    def __init__(self, channels: int, widen: Widen) -> None:
        super().__init__(channels)
        self.widen = widen


class Outer(_Widened):
    """x * (ca * sa), both as large as x."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa)
        return x * (self.widen(ca, x) * self.widen(sa, x))


class OuterHalf(_Widened):
    """(ca * sa) * x, one of the two as large as x."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa)
        return (self.widen(ca, x) * sa) * x


class OuterSquashedWide(_Widened):
    """The sigmoid comes after the enlargement, and the product is written into other memory."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.widen(self.channel_logits(x), x).sigmoid()
        sa = self.widen(self.spatial_logits(x), x).sigmoid()
        self.note(ca[:, :, :1, :1], sa[:, :1])
        both = torch.empty_like(x)
        torch.mul(ca, sa, out=both)
        return both * x


class InTurn(_Widened):
    """x * ca, then its result * sa, each as large as x."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        x = x * self.widen(ca, x)
        sa = self.spatial(x)
        self.note(ca, sa)
        return self.widen(sa, x) * x


class OuterInPlace(Gates):
    """One gate repeated, multiplied in place by the other."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa)
        both = repeated(ca, x)
        both *= sa
        return x.mul(both)


class OuterMatrix(Gates):
    """The outer product as a product of matrices, (C, 1) by (1, HW)."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa)
        return x * torch.matmul(ca.flatten(2), sa.flatten(2)).view_as(x)


class OuterEinsum(Gates):
    """The outer product by einsum of (B, C) and (B, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x).flatten(1), self.spatial(x).squeeze(1)
        self.note(ca, sa)
        return torch.einsum("bc,bhw->bchw", ca, sa) * x


class AllByEinsum(Gates):
    """Features and both gates in one einsum."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x).flatten(1), self.spatial(x).squeeze(1)
        self.note(ca, sa)
        return torch.einsum("bchw,bc,bhw->bchw", x, ca, sa)


SHAPES = {cls.__name__: cls for cls in (Outer, OuterHalf, OuterSquashedWide, InTurn)}
ALONE = {cls.__name__: cls for cls in (OuterInPlace, OuterMatrix, OuterEinsum, AllByEinsum)}
