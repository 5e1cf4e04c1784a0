"""Channel gate, then spatial gate: the ways in which people write the same block."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .truth import Attentive, Gates


class GatesReturned(Attentive):
    """Submodules give (B, C, 1, 1) and (B, 1, h, w) through sigmoid modules."""

    class Channel(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.average, self.maximum = nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)
            self.fc1 = nn.Conv2d(channels, channels // 2, 1, bias=False)
            self.fc2 = nn.Conv2d(channels // 2, channels, 1, bias=False)
            self.sigmoid = nn.Sigmoid()

        def forward(self, x: Tensor) -> Tensor:
            branches = [self.fc2(F.relu(self.fc1(p(x)))) for p in (self.average, self.maximum)]
            return self.sigmoid(branches[0] + branches[1])

    class Spatial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
            self.sigmoid = nn.Sigmoid()

        def forward(self, x: Tensor) -> Tensor:
            maps = torch.cat((x.mean(1, True), x.max(1, True).values), 1)
            return self.sigmoid(self.conv(maps))

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ca, self.sa = self.Channel(channels), self.Spatial()

    def forward(self, x: Tensor) -> Tensor:
        ca = self.ca(x)
        x = ca * x
        sa = self.sa(x)
        self.note(ca, sa)
        return sa * x


class ProductsReturned(Attentive):
    """Both submodules give the product, gate first; the MLP is linear, with biases."""

    class Channel(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.mlp = nn.Sequential(
                nn.Flatten(), nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels)
            )

        def forward(self, x: Tensor) -> Tensor:
            size = x.shape[2:]
            pooled = self.mlp(F.avg_pool2d(x, size)) + self.mlp(F.max_pool2d(x, size))
            self.scale = torch.sigmoid(pooled).unsqueeze(2).unsqueeze(3).expand_as(x)
            return x * self.scale

    class Spatial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Sequential(nn.Conv2d(2, 1, 5, padding=2, bias=False), nn.BatchNorm2d(1))

        def forward(self, x: Tensor) -> Tensor:
            maps = torch.cat((x.max(1)[0].unsqueeze(1), x.mean(1).unsqueeze(1)), 1)
            self.scale = torch.sigmoid(self.conv(maps))
            return x * self.scale

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_gate, self.spatial_gate = self.Channel(channels), self.Spatial()

    def forward(self, x: Tensor) -> Tensor:
        out = self.spatial_gate(self.channel_gate(x))
        self.note(self.channel_gate.scale[:, :, 0, 0], self.spatial_gate.scale)
        return out


class Repeated(Gates):
    """Both gates copied to the features' full size, in memory of their own."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        ca = self.channel(x)
        x = x * ca.repeat(1, 1, height, width)
        sa = self.spatial(x)
        self.note(ca, sa)
        return x * sa.expand(batch, channels, height, width).contiguous()


class ExpandedFirst(Gates):
    """Both gates expanded without memory, as the left operands."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        x = ca.expand_as(x) * x
        sa = self.spatial(x)
        self.note(ca, sa)
        return sa.expand_as(x) * x


class FlatGate(Gates):
    """A (B, C) gate indexed with None, a (B, h, w) gate unsqueezed, with Tensor.multiply."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x).flatten(1)
        x = x.multiply(ca[:, :, None, None])
        sa = self.spatial(x).squeeze(1)
        self.note(ca, sa)
        return torch.mul(x, sa.unsqueeze(1))


class InPlaceSigmoid(Gates):
    """The logits' memory becomes the gate's."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel_logits(x).sigmoid_()
        x = x * ca
        sa = self.spatial_logits(x).sigmoid_()
        self.note(ca, sa)
        return x * sa


class InPlaceProduct(Gates):
    """The features are overwritten by each product."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        ca = self.channel(x)
        x *= ca
        sa = self.spatial(x)
        self.note(ca, sa)
        return x.mul_(sa)


class GateOverwritten(Gates):
    """The gate's memory is reused after the product: a reference kept to it would be wrong."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        y = x * ca
        sa = self.spatial(y)
        self.note(ca, sa)
        y = y * sa
        ca.zero_()
        sa.fill_(7.0)
        return y


class OneStatement(Gates):
    """The spatial gate looks at the input, not at the channel-refined features."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa)
        return x * ca * sa


class Inline(Attentive):
    """No submodules but the layers themselves: both gates written in one forward."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels)
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        ca = torch.sigmoid(self.squeeze(x.mean(dim=[2, 3]))).view(x.size(0), x.size(1), 1, 1)
        out = x * ca
        sa = torch.sigmoid(self.conv(out.std(dim=1, keepdim=True)))
        self.note(ca, sa)
        return out * sa


class TupleReturned(Gates):
    """The block returns its gates beside the features."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ca = self.channel(x)
        x = x * ca
        sa = self.spatial(x)
        self.note(ca, sa)
        return x * sa, ca, sa


class Pairs(Attentive):
    """Submodules that return (product, gate)."""

    class Half(Gates):
        def __init__(self, channels: int, kind: str) -> None:
            super().__init__(channels)
            self.kind = kind

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            gate = self.channel(x) if self.kind == "channel" else self.spatial(x)
            return gate * x, gate

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = self.Half(channels, "channel"), self.Half(channels, "spatial")

    def forward(self, x: Tensor) -> dict[str, Tensor] | Tensor:
        x, ca = self.a(x)
        x, sa = self.b(x)
        self.note(ca, sa)
        return x


class NamesSwapped(Attentive):
    """Class and attribute names that say the opposite of what they do."""

    class SpatialAttention(Gates):
        def forward(self, x: Tensor) -> Tensor:
            return self.channel(x)

    class ChannelAttention(Gates):
        def forward(self, x: Tensor) -> Tensor:
            return self.spatial(x)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial_gate = self.SpatialAttention(channels)
        self.channel_gate = self.ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        ca = self.spatial_gate(x)
        x = ca * x
        sa = self.channel_gate(x)
        self.note(ca, sa)
        return sa * x


class UpsampledMap(Gates):
    """A spatial gate computed on a coarser grid; a channel gate from a 1-D convolution (ECA)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.along = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True).squeeze(-1).transpose(-1, -2)
        ca = self.along(pooled).transpose(-1, -2).unsqueeze(-1).sigmoid()
        x = x * ca
        coarse = self.spatial_logits(F.avg_pool2d(x, 2, ceil_mode=True))
        sa = F.interpolate(coarse, size=x.shape[2:], mode="bilinear").sigmoid()
        self.note(ca, sa)
        return x * sa.expand_as(x)


class MatrixProducts(Attentive):
    """Polarised self-attention: both gates come out of matrix products over positions, channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value, self.query = nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, 1, 1)
        self.up = nn.Conv2d(4, channels, 1)
        self.value2, self.query2 = nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        query = self.query(x).reshape(batch, -1, 1).softmax(1)
        context = torch.matmul(self.value(x).reshape(batch, 4, -1), query).unsqueeze(-1)
        ca = self.up(context).sigmoid()
        x = ca * x
        query = F.adaptive_avg_pool2d(self.query2(x), 1).permute(0, 2, 3, 1).reshape(batch, 1, 4)
        scores = torch.matmul(query.softmax(-1), self.value2(x).reshape(batch, 4, -1))
        sa = scores.reshape(batch, 1, height, width).sigmoid()
        self.note(ca, sa)
        return sa * x


class KernelsForEachPhoto(Gates):
    """A dynamic convolution before the gates: the photos of a batch are folded into channels."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.kernels = nn.Linear(channels, channels * channels)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        kernels = self.kernels(x.mean((2, 3))).view(batch * channels, channels, 1, 1)
        folded = F.conv2d(x.reshape(1, -1, height, width), kernels, groups=batch)
        x = folded.view(batch, channels, height, width)
        ca = self.channel(x)
        x = x * ca
        sa = self.spatial(x)
        self.note(ca, sa)
        return x * sa


class Unpaired(Gates):
    """A ReLU and a batch norm between the two products: each gate is a layer of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        x = F.relu(self.norm(x * ca))
        sa = self.spatial(x)
        self.note(ca, sa)
        return x * sa


STRUCTURES = {
    cls.__name__: cls
    for cls in (
        GatesReturned, ProductsReturned, Repeated, ExpandedFirst, FlatGate, InPlaceSigmoid,
        InPlaceProduct, GateOverwritten, OneStatement, Inline, TupleReturned, Pairs, NamesSwapped,
        UpsampledMap, MatrixProducts, KernelsForEachPhoto,
    )
}  # fmt: skip
