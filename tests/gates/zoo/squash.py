"""What turns logits into a gate: anything, not only a sigmoid."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .truth import Gates

Squash = Callable[[Tensor], Tensor]


class Squashed(Gates):
    """CBAM with a given function for each gate."""

    def __init__(self, channels: int, of_channel: Squash, of_spatial: Squash, bias: bool) -> None:
        super().__init__(channels, bias=bias)
        self.of_channel, self.of_spatial = of_channel, of_spatial

    def forward(self, x: Tensor) -> Tensor:
        ca = self.of_channel(self.channel_logits(x))
        x = x * ca
        sa = self.of_spatial(self.spatial_logits(x))
        self.note(ca, sa)
        return x * sa


def one_plus(logits: Tensor) -> Tensor:
    """A gate in (1, 2), as residual attention writes it."""
    return 1 + torch.sigmoid(logits)


def over_positions(logits: Tensor) -> Tensor:
    """A map that sums to one."""
    return torch.softmax(logits.flatten(2), dim=-1).view_as(logits)


def relu6(logits: Tensor) -> Tensor:
    """The hard sigmoid of MobileNetV3, written out."""
    return F.relu6(logits + 3) / 6


def plain(logits: Tensor) -> Tensor:
    """No squashing at all: values of either sign."""
    return logits


def by_hand(logits: Tensor) -> Tensor:
    """The logistic function spelt with exp."""
    return 1 / (1 + torch.exp(-logits))


def halves(logits: Tensor) -> Tensor:
    """A hard mask of zeros and ones, straight through in training."""
    return (logits > logits.mean()).float()


_FUNCTIONS: dict[str, tuple[Squash, Squash, bool]] = {
    "sigmoid modules, bias": (nn.Sigmoid(), nn.Sigmoid(), True),
    "F.sigmoid, torch.sigmoid": (torch.sigmoid, F.sigmoid, False),
    "hard sigmoid": (nn.Hardsigmoid(), F.hardsigmoid, True),
    "hard sigmoid in place": (nn.Hardsigmoid(inplace=True), relu6, False),
    "tanh": (torch.tanh, nn.Tanh(), True),
    "softmax": (partial(torch.softmax, dim=1), over_positions, False),
    "none": (plain, plain, True),
    "one plus sigmoid": (one_plus, one_plus, False),
    "sigmoid by hand": (by_hand, by_hand, True),
    "clamp, mask": (partial(torch.clamp, min=0, max=1), halves, True),
    "exp, softplus": (torch.exp, F.softplus, False),
}

STRUCTURES = {
    f"Squashed[{name}]": partial(
        Squashed, of_channel=functions[0], of_spatial=functions[1], bias=functions[2]
    )
    for name, functions in _FUNCTIONS.items()
}
