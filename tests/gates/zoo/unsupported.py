"""Attention that is no M_c (B, C) and M_s (B, h, w): to be reported, never to be forced."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .truth import Gates


class JointGate(Gates):
    """BAM: 1 + sigmoid of the product of both branches."""

    def forward(self, x: Tensor) -> Tensor:
        joint = self.channel_logits(x).expand_as(x) * self.spatial_logits(x).expand_as(x)
        return (1 + torch.sigmoid(joint)) * x


class JointSum(Gates):
    """BAM as in the paper: x + x * sigmoid of the sum of both branches."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x * torch.sigmoid(self.channel_logits(x) + self.spatial_logits(x))


class DenseGate(Gates):
    """Pixel attention: one weight for each value."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.dense = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.dense(x))


class PaddedGather(Gates):
    """Gather-excite with an extent: a coarse gate for each channel, enlarged."""

    def forward(self, x: Tensor) -> Tensor:
        coarse = F.avg_pool2d(x, 3, stride=2, padding=1)
        return x * F.interpolate(coarse, size=x.shape[2:]).sigmoid()


class FourMaps(Gates):
    """One spatial map for each of four groups of channels, on a 5-D view."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.maps = nn.Conv2d(channels, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        maps = torch.sigmoid(self.maps(x)).unsqueeze(2)
        return (x.view(batch, 4, channels // 4, height, width) * maps).view_as(x)


class FourMapsRepeated(FourMaps):
    """The same four maps repeated to one for each channel."""

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.sigmoid(self.maps(x))
        return x * maps.repeat_interleave(x.shape[1] // 4, dim=1)


class GroupsInBatch(Gates):
    """SGE: groups of channels folded into the batch, one map each."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        groups = x.reshape(batch * 2, channels // 2, height, width)
        score = (groups * groups.mean((2, 3), keepdim=True)).sum(1, keepdim=True)
        return (groups * torch.sigmoid(score)).view_as(x)


class CoordinateAttention(Gates):
    """A gate along the height and one along the width."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.rows, self.columns = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.sigmoid(self.rows(x.mean(3, keepdim=True)))
        columns = torch.sigmoid(self.columns(x.mean(2, keepdim=True)))
        return x * rows * columns


class Triplet(Gates):
    """Triplet attention: a spatial gate on each of three rotations of the features."""

    def forward(self, x: Tensor) -> Tensor:
        rotated = x.permute(0, 2, 1, 3).contiguous()
        first = (rotated * self.spatial(rotated)).permute(0, 2, 1, 3).contiguous()
        rotated = x.permute(0, 3, 2, 1).contiguous()
        second = (rotated * self.spatial(rotated)).permute(0, 3, 2, 1).contiguous()
        return (first + second) / 2


class TripletView(Gates):
    """The same on views, without a copy."""

    def forward(self, x: Tensor) -> Tensor:
        rotated = x.transpose(1, 2)
        first = (rotated * self.spatial(rotated)).transpose(1, 2)
        rotated = x.permute(0, 3, 2, 1)
        return first + (rotated * self.spatial(rotated)).permute(0, 3, 2, 1)


class SplitAttention(Gates):
    """Selective kernels: two branches weighted against each other for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.weights = nn.Linear(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack([F.relu(x), F.avg_pool2d(x, 3, 1, 1)], 1)
        logits = self.weights(branches.sum(1).mean((2, 3))).view(x.shape[0], 2, x.shape[1], 1, 1)
        return (branches * torch.softmax(logits, 1)).sum(1)


class SplitRadix(Gates):
    """ResNeSt: the branches are halves of one convolution's channels."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.wide = nn.Conv2d(channels, 2 * channels, 1)
        self.weights = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        branches = F.relu(self.wide(x)).reshape(batch, 2, channels, height, width)
        logits = self.weights(branches.sum(1).mean((2, 3), keepdim=True))
        weights = logits.view(batch, 1, 2, channels).transpose(1, 2).softmax(1).reshape(batch, -1)
        weights = weights.view(batch, -1, 1, 1).reshape(batch, 2, channels, 1, 1)
        return (branches * weights).sum(dim=1).contiguous()


class Unweighted(Gates):
    """SimAM: a dense gate without any parameter, with a variance inside the sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        deviation = (x - x.mean((2, 3), keepdim=True)).pow(2)
        energy = deviation / (4 * (deviation.mean((2, 3), keepdim=True) + 1e-4)) + 0.5
        return x * torch.sigmoid(energy)


class LargeKernel(Gates):
    """Large-kernel attention: a dense gate without a sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.deep = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.point = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x.clone() * self.point(self.deep(x))


class AttentionalFusion(Gates):
    """AFF: a dense gate, computed from the sum, shares two features out."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.local, self.other = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        other = self.other(x)
        both = x + other
        gate = torch.sigmoid(self.local(both) + self.channel_logits(both))
        return 2 * x * gate + 2 * other * (1 - gate)


class SiblingGate(Gates):
    """GhostNetV2's DFC: a gate from a coarse copy of the input, enlarged, on other features."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.features = nn.Conv2d(channels, channels, 1)
        self.coarse = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.coarse(F.avg_pool2d(x, 2, 2, ceil_mode=True)).sigmoid()
        return self.features(x) * F.interpolate(gate, size=x.shape[2:])


class GatedUnit(Gates):
    """GLU: one half of a convolution's channels gates the other half."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.both = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        features, gate = self.both(x).chunk(2, 1)
        return features * torch.sigmoid(gate)


class Blend(Gates):
    """torch.lerp between two features, by a channel gate."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.lerp(F.avg_pool2d(x, 3, 1, 1), x, self.channel(x))


class LargerGate(Gates):
    """The larger of both weights."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.maximum(self.channel(x), self.spatial(x))


class GeometricMean(Gates):
    """The root of their product."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sqrt(self.channel(x) * self.spatial(x))


class NormedSum(Gates):
    """BAM with a BatchNorm on the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.norm(self.channel_logits(x) + self.spatial_logits(x)).sigmoid()


class OneChannel(Gates):
    """A map of one channel, gated by a map of itself."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.squeeze, self.score = nn.Conv2d(channels, 1, 1), nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        one = torch.relu(self.squeeze(x))
        return x + one * self.score(one).sigmoid()


STRUCTURES = {
    cls.__name__: cls
    for cls in (
        JointGate, JointSum, DenseGate, PaddedGather, FourMaps, FourMapsRepeated, GroupsInBatch,
        CoordinateAttention, Triplet, TripletView, SplitAttention,
        SplitRadix, Unweighted, LargeKernel, AttentionalFusion, SiblingGate, GatedUnit, Blend,
        LargerGate, GeometricMean, NormedSum, OneChannel,
    )
}  # fmt: skip
