"""Networks small enough that every method's map of them can be written down."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

WEIGHTS = torch.tensor([[1.0, -2.0, 0.5], [0.25, 1.0, -1.0]])
"""(2 classes, 3 channels) of `Linear`'s head."""


class Linear(nn.Module):
    """Logit k is the sum over channels c of WEIGHTS[k, c] times the mean of channel c.

    The layer `stage` gives the input itself.
    """

    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Identity()
        self.fc = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(WEIGHTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stage(x).mean((2, 3)))


class Curved(Linear):
    """Score k is the sum over channels and places of WEIGHTS[k, c] times the square of the input.

    The gradient at a place is 2 WEIGHTS[k, c] x, other at every place.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stage(x).square().sum((2, 3)))


class InPlace(Linear):
    """`Linear`, whose features are overwritten after the layer, as by an in-place ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        features = self.stage(x * 1)
        means = features.mean((2, 3))
        features.mul_(0).add_(7)
        return self.fc(means)


class Gated(nn.Module):
    """Strided convolution, then gates in plain code inside the forward: no module gives the result.

    x * M_c * M_s as in CBAM; the head is linear in the mean.
    """

    num_classes = 2

    def __init__(self, in_place: bool = False) -> None:
        """Its last product may be `x.mul_(gate)`, whose result nobody takes."""
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.mlp = nn.Conv2d(4, 4, 1)
        self.conv = nn.Conv2d(2, 1, 3, padding=1)
        self.fc = nn.Linear(4, 2)
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x * self.mlp(x.mean((2, 3), keepdim=True)).sigmoid()
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        if self.in_place:
            x.mul_(self.conv(both).sigmoid())
            return self.fc(x.relu_().mean((2, 3)))
        x = x * self.conv(both).sigmoid()
        return self.fc(x.relu().mean((2, 3)))


def ready(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """In eval mode, with weights that are the same every time."""
    torch.manual_seed(seed)
    return make().eval()


def picture(height: int = 4, width: int = 6, seed: int = 0) -> Tensor:
    """(1, 3, height, width), of both signs."""
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
