"""Other orders, parallel gates, residuals, and products that happen outside the gates' module."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .truth import Attentive, Gates


class SpatialFirst(Gates):
    """Spatial gate, then channel gate."""

    def forward(self, x: Tensor) -> Tensor:
        sa = self.spatial(x)
        x = x * sa
        ca = self.channel(x)
        self.note(ca, sa, "spatial then channel")
        return x * ca


class SpatialFirstInOneStatement(Gates):
    """Both gates look at the input; the left one is applied first."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa, "spatial then channel")
        return ca * (sa * x)


class ParallelSum(Gates):
    """Both gates applied to the input, the products added."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa, "parallel")
        return x * ca + x * sa


class ParallelMaximum(Gates):
    """scSE's maximum of the two products, spatial one first."""

    def forward(self, x: Tensor) -> Tensor:
        sa = self.spatial(x)
        by_map = sa * x
        ca = self.channel(x)
        self.note(ca, sa, "parallel")
        return torch.maximum(by_map, ca * x)


class ParallelProduct(Gates):
    """The two products multiplied with one another: a dense product that is no third gate."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa, "parallel")
        return (x * ca) * (x * sa)


class ParallelConcatenated(Gates):
    """The two products side by side into a 1 x 1 convolution, with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.fuse = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa, "parallel")
        return self.fuse(torch.cat([x * ca, x * sa], 1)) + x


class ParallelWeighted(Gates):
    """The sum weighted by two learnt numbers, which are no gates."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.alpha = nn.Parameter(torch.tensor(0.7))
        self.beta = nn.Parameter(torch.tensor([0.4]))

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa, "parallel")
        return self.alpha * (x * ca) + self.beta * (x * sa)


class ParallelInSubmodules(Attentive):
    """scSE: two submodules return the products, their parent adds them."""

    class Half(Gates):
        def __init__(self, channels: int, kind: str) -> None:
            super().__init__(channels)
            self.kind = kind

        def forward(self, x: Tensor) -> Tensor:
            self.gate = self.channel(x) if self.kind == "channel" else self.spatial(x)
            return x * self.gate

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cse, self.sse = self.Half(channels, "channel"), self.Half(channels, "spatial")

    def forward(self, x: Tensor) -> Tensor:
        out = self.cse(x) + self.sse(x)
        self.note(self.cse.gate, self.sse.gate, "parallel")
        return out


class ResidualAfter(Gates):
    """x + CBAM(x), then a ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        y = x * ca
        sa = self.spatial(y)
        self.note(ca, sa)
        return F.relu(x + y * sa)


class ResidualInPlace(Gates):
    """The shortcut added into the product's own memory."""

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        ca = self.channel(x)
        x = x * ca
        sa = self.spatial(x)
        self.note(ca, sa)
        out = x * sa
        out += shortcut
        return F.relu_(out)


class ResidualBlock(Attentive):
    """Gates without products as children of a ResNet's block, which multiplies and adds."""

    class Channel(Gates):
        def forward(self, x: Tensor) -> Tensor:
            return self.channel(x)

    class Spatial(Gates):
        def forward(self, x: Tensor) -> Tensor:
            return self.spatial(x)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.ca, self.sa = self.Channel(channels), self.Spatial(channels)
        self.downsample = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        residual = self.downsample(x)
        out = self.bn1(self.conv1(x))
        ca = self.ca(out)
        out = ca * out
        sa = self.sa(out)
        self.note(ca, sa)
        out = sa * out
        out += residual
        return F.relu(out)


class CrossGated(Gates):
    """Two branches gated by one another's statistics, then added: two layers in one forward."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.left, self.right = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.left(x), self.right(x)
        of_a, of_b = self.channel(b), self.channel(a)
        self.note(of_a)
        self.note(of_b)
        return a * of_a + b * of_b


class Similarity(Gates):
    """PIDNet: where two features agree; the map shares out one of them and a later copy of it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.query, self.key = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        agreement = (self.query(x) * self.key(x)).sum(1, keepdim=True).sigmoid()
        other = F.avg_pool2d(x, 3, 1, 1)
        self.note(spatial=1 - agreement)
        self.note(spatial=agreement)
        return (1 - agreement) * x + agreement * other


class Interleaved(Gates):
    """Two CBAMs on two branches, their products taking turns."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.left, self.right = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.left(x), self.right(x)
        channel_a, channel_b = self.channel(a), self.channel(b)
        a, b = a * channel_a, channel_b * b
        spatial_b, spatial_a = self.spatial(b), self.spatial(a)
        self.note(channel_a, spatial_a)
        self.note(channel_b, spatial_b)
        b = b * spatial_b
        return torch.cat([a * spatial_a, b], 1)[:, : x.shape[1]]


class HalfAndHalf(Gates):
    """Half of the channels gets channel weights, the other half a map: two lone gates."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=1)
        ca, sa = self.channel(a), self.spatial(b)
        self.note(ca)
        self.note(spatial=sa)
        return torch.cat([a * ca, b * sa], 1)


class Sandwich(Attentive):
    """CBAM as the second half of a block: a layer of its own inside the block."""

    class Cbam(Gates):
        def forward(self, x: Tensor) -> Tensor:
            ca = self.channel(x)
            x = x * ca
            sa = self.spatial(x)
            self.note(ca, sa)
            return x * sa

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)
        self.attention = nn.Sequential(self.Cbam(channels), nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(self.conv(x))


class OverBatch(Gates):
    """One channel gate for the whole batch, its mean."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x).mean(0, keepdim=True)
        y = x * ca
        sa = self.spatial(y)
        self.note(ca.expand(x.shape[0], -1, -1, -1), sa)
        return y * sa


SEVERAL = {cls.__name__: cls for cls in (CrossGated, Similarity, Interleaved, HalfAndHalf)}
"""Structures with two layers in one forward; their modules' names are the capture's choice."""

STRUCTURES = {
    cls.__name__: cls
    for cls in (
        SpatialFirst, SpatialFirstInOneStatement, ParallelSum, ParallelMaximum, ParallelProduct,
        ParallelConcatenated, ParallelWeighted, ParallelInSubmodules, ResidualAfter,
        ResidualInPlace, ResidualBlock, Sandwich, OverBatch,
    )
}  # fmt: skip
