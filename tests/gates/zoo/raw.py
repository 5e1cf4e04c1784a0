"""Gates that are parts of one wide convolution's result, beside the features that they multiply."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .truth import Attentive

Cut = Callable[[Tensor, int], tuple[Tensor, Tensor]]

CUTS: dict[str, Cut] = {
    "split": lambda y, c: y.split([c, 1], 1),
    "split, gate first": lambda y, c: y.split([1, c], 1)[::-1],
    "slices": lambda y, c: (y[:, :c], y[:, c:]),
    "slices from the end": lambda y, c: (y[:, :-1], y[:, -1:]),
    "a channel picked": lambda y, c: (y[:, :c], y[:, c].unsqueeze(1)),
    "narrow": lambda y, c: (y.narrow(1, 0, c), y.narrow(1, c, 1)),
    "tensor_split": lambda y, c: y.tensor_split([c], 1),
    "indices": lambda y, c: (y[:, list(range(c))], y[:, [c]]),
    "index_select": lambda y, c: (
        y[:, :c], torch.index_select(y, 1, torch.tensor([c]))
    ),
}  # fmt: skip

SQUASHES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda g: g,
    "softplus": F.softplus,
    "exp": torch.exp,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "one plus": lambda g: 1 + g,
    "one plus tanh": lambda g: 1 + torch.tanh(g),
    "elu plus one": lambda g: F.elu(g) + 1,
    "clamp": lambda g: g.clamp(0, 1),
    "absolute": torch.abs,
    "sigmoid": torch.sigmoid,
}


class Raw(Attentive):
    """f * g, with both from one convolution."""

    def __init__(self, channels: int, cut: Cut, squash: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, channels + 1, 1)
        self.cut, self.squash = cut, squash

    def forward(self, x: Tensor) -> Tensor:
        features, gate = self.cut(self.wide(x), x.shape[1])
        gate = self.squash(gate)
        self.note(spatial=gate)
        return features * gate


class RawBehindNorm(Raw):
    """A batch norm and a ReLU on both, before they part."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, CUTS["split"], SQUASHES["none"])
        self.norm = nn.BatchNorm2d(channels + 1)

    def forward(self, x: Tensor) -> Tensor:
        features, gate = self.cut(F.relu(self.norm(self.wide(x))), x.shape[1])
        self.note(spatial=gate)
        return features + features * gate


class RawOnContext(Raw):
    """FocalNet: the features go through another convolution before they are gated."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, CUTS["split"], SQUASHES["none"])
        self.deep = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        features, gate = self.cut(self.wide(x), x.shape[1])
        self.note(spatial=gate)
        return F.gelu(self.deep(features)) * gate


class RawChannels(Attentive):
    """Half of the channels, pooled, weigh the other half."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        features, gate = self.wide(x).chunk(2, 1)
        gate = gate.mean((2, 3), keepdim=True)
        self.note(gate)
        return features * gate


class RawOfLinear(Attentive):
    """A linear layer on (B, H, W, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide = nn.Linear(channels, channels + 1)

    def forward(self, x: Tensor) -> Tensor:
        features, gate = self.wide(x.permute(0, 2, 3, 1)).split([x.shape[1], 1], -1)
        self.note(spatial=gate.squeeze(-1))
        return (features * gate).permute(0, 3, 1, 2)


class Modulated(Attentive):
    """Four maps of one convolution for four levels of context, as in FocalNet."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, channels + 4, 1)
        self.levels = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        context, gates = self.wide(x).split([x.shape[1], 4], 1)
        total = torch.zeros_like(context)
        for k, level in enumerate(self.levels):
            context = F.gelu(level(context))
            self.note(spatial=gates[:, k : k + 1])
            total = total + context * gates[:, k : k + 1]
        return total


class NormOfPart(nn.Module):
    """Half of a convolution's channels, normalised by hand: no gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.wide(x).chunk(2, 1)
        centred = one - one.mean((2, 3), keepdim=True)
        return centred * one.var((2, 3), keepdim=True).add(1e-5).rsqrt() + two


class LengthOfPart(NormOfPart):
    """Divided by the length over channels."""

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.wide(x).chunk(2, 1)
        return (one + 1) * one.norm(dim=1, keepdim=True).clamp(min=1e-6).reciprocal() + two


class BilinearUnit(NormOfPart):
    """One half times the other, as large: two features."""

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.wide(x).chunk(2, 1)
        return one * two


class CutInput(nn.Module):
    """A photo with its mask beside it, as the network got it: nothing is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x[:, :3] * x[:, 3:])


INNOCENT = {cls.__name__: cls for cls in (NormOfPart, LengthOfPart, BilinearUnit)}
