"""Networks whose layers are computed again here, by closed forms that share no code with a walk."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TutorialCbam(nn.Module):
    """As tutorials write it: Linear layers without biases, everything else functional, no norm."""

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        self.one = nn.Linear(channels, channels // ratio, bias=False)
        self.two = nn.Linear(channels // ratio, channels, bias=False)
        self.around = nn.Conv2d(2, 1, 7, padding=3, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        average = self.two(F.relu(self.one(x.mean((2, 3)))))
        maximum = self.two(F.relu(self.one(x.amax((2, 3)))))
        x = x * torch.sigmoid(average + maximum).view(batch, channels, 1, 1)
        pooled = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True).values], 1)
        return x * torch.sigmoid(self.around(pooled))


class Residual(nn.Module):
    """A convolution, the layer, and a shortcut around both."""

    def __init__(self, layer: nn.Module, channels: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=4, padding=1)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.attention = layer
        self.head = nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(self.attention(self.conv(x)) + x)
        return self.head(x.mean((2, 3)))


class Functional(nn.Module):
    """Gates that no module has: in-place products, addcmul, and both gates multiplied first."""

    def __init__(self, kind: str, channels: int = 16) -> None:
        super().__init__()
        self.kind = kind
        self.stem = nn.Conv2d(3, channels, 3, stride=4, padding=1)
        self.weight = nn.Parameter(torch.randn(channels, channels) * 0.3)
        self.filter = nn.Parameter(torch.randn(1, 2, 3, 3) * 0.5)
        self.head = nn.Linear(channels, 5)

    def forward(self, image: Tensor, channel: float | None = None, spatial: float | None = None):
        x = self.stem(image)
        by_channel = torch.sigmoid(F.linear(x.mean((2, 3)), self.weight))[:, :, None, None]
        maps = torch.stack([x.mean(1), x.amax(1)], 1)
        by_place = torch.sigmoid(F.conv2d(maps, self.filter, padding=1))
        if channel is not None:
            by_channel = torch.full_like(by_channel, channel)
        if spatial is not None:
            by_place = torch.full_like(by_place, spatial)
        if self.kind == "in place":
            x.mul_(by_channel).mul_(by_place)
        elif self.kind == "together":
            x = x * (by_channel * by_place)
        elif self.kind == "residual":
            x = torch.addcmul(x, x, by_channel)
            x = torch.addcmul(x, x, by_place)
        elif self.kind == "shifted":
            x = x + x * by_channel
            x = x * by_place
        else:
            x = x * by_channel + x * by_place
        return self.head(torch.relu(x).mean((2, 3)))


KINDS = ("in place", "together", "residual", "shifted", "parallel")


def made(make: type[nn.Module], *args: object, seed: int = 0) -> nn.Module:
    """With weights that do not leave every gate at a half."""
    torch.manual_seed(seed)
    return make(*args).eval()


def image(seed: int = 1, size: int = 48) -> Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed))
