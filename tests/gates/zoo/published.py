"""Attention as its papers define it: what is M_c and M_s there, and what is neither.

Each class is written from the formula that its docstring gives. Those in `EXACT` and `SEVERAL` note
their gates; of those in `OTHER` something, or all, is neither.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .truth import Attentive

SPACE = (2, 3)


def cell(x: Tensor) -> Tensor:
    """The mean over positions, (B, C, 1, 1)."""
    return x.mean(SPACE, keepdim=True)


class GatedChannels(Attentive):
    """GCT (Yang 2020), L1 or L2: 1 + tanh(alpha |x| gamma / norm + beta), in (0, 2)."""

    def __init__(self, channels: int, order: int = 2) -> None:
        super().__init__()
        self.order = order
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.randn(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.randn(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.order == 2:
            energy = (x.pow(2).sum(SPACE, keepdim=True) + 1e-5).pow(0.5) * self.alpha
            norm = self.gamma / (energy.pow(2).mean(1, keepdim=True) + 1e-5).pow(0.5)
        else:
            energy = x.abs().sum(SPACE, keepdim=True) * self.alpha
            norm = self.gamma / (energy.abs().mean(1, keepdim=True) + 1e-5)
        gate = 1.0 + torch.tanh(energy * norm + self.beta)
        self.note(gate)
        return x * gate


class GatedChannelsL1(GatedChannels):
    """The same with absolute values."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1)


class Style(Attentive):
    """SRM (Lee 2019): mean and deviation of each channel, weighed for each channel, BatchNorm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Parameter(torch.randn(channels, 2))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        style = torch.stack([flat.mean(2), flat.std(2, unbiased=False)], -1)
        logits = (style * self.weigh[None]).sum(2)[:, :, None, None]
        gate = torch.sigmoid(self.norm(logits))
        self.note(gate)
        return x * gate


class LinearContext(Attentive):
    """LCT (Ruan 2020): means normalised in groups, a weight and a bias for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(channels)), nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        means = x.mean(SPACE).view(batch, 2, -1)
        centred = means - means.mean(2, keepdim=True)
        normal = centred / torch.sqrt(centred.pow(2).mean(2, keepdim=True) + 1e-5)
        gate = (normal.view(batch, channels) * self.weight + self.bias).sigmoid()
        self.note(gate)
        return x * gate[:, :, None, None]


class Frequency(Attentive):
    """FCA (Qin 2021): sums of the features times fixed cosines, then SE's two layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        rows = torch.cos(math.pi * (torch.arange(7) + 0.5) / 7)
        waves = torch.stack([torch.ones(7, 7), rows[:, None].expand(7, 7)])
        self.register_buffer("waves", waves.repeat_interleave(channels // 2, 0))
        self.fc = nn.Sequential(
            nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, (7, 7))
        gate = self.fc((pooled * self.waves).sum(SPACE))
        self.note(gate)
        return x * gate.view(*gate.shape, 1, 1).expand_as(x)


class Recurrent(Attentive):
    """DIANet (Huang 2020): an LSTM cell over layers makes the channel weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate, _ = self.cell(x.mean(SPACE))
        gate = gate.sigmoid()
        self.note(gate)
        return x * gate[:, :, None, None]


class ContextMultiplied(Attentive):
    """GCNet (Cao 2019) with its multiplicative fusion: a sigmoid of the attended context."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, 1)
        self.change = nn.Sequential(
            nn.Conv2d(channels, 4, 1), nn.LayerNorm([4, 1, 1]), nn.ReLU(), nn.Conv2d(4, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.score(x).flatten(2).softmax(-1)
        context = torch.matmul(x.flatten(2), weights.transpose(1, 2)).unsqueeze(-1)
        gate = torch.sigmoid(self.change(context))
        self.note(gate)
        return x * gate


class Gather(Attentive):
    """Gather-excite (Hu 2018) over the whole map, with no weight of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(cell(x))
        self.note(gate)
        return x * gate


class PyramidSplit(Attentive):
    """EPSA (Zhang 2021): SE weights of each branch, shared out among the branches by a softmax.

    The branches stay side by side: each of their channels has one weight.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        part = channels // 4
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, part, size, padding=size // 2) for size in (3, 5, 7, 9)
        )
        self.weigh = nn.Sequential(nn.Conv2d(part, 2, 1), nn.ReLU(), nn.Conv2d(2, part, 1))

    def forward(self, x: Tensor) -> Tensor:
        parts = [branch(x) for branch in self.branches]
        batch, part, height, width = parts[0].shape
        features = torch.cat(parts, 1).view(batch, 4, part, height, width)
        weights = torch.cat([self.weigh(cell(one)).sigmoid() for one in parts], 1)
        gate = weights.view(batch, 4, part, 1, 1).softmax(1)
        self.note(gate.reshape(batch, 4 * part))
        weighted = features * gate
        return torch.cat([weighted[:, k] for k in range(4)], 1)


class OfGroups(Attentive):
    """One weight for each of four groups of channels, on a 5-D view: the group's is each one's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(channels, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        gate = self.weigh(x.mean(SPACE)).sigmoid()
        self.note(gate.repeat_interleave(channels // 4, 1))
        return (x.view(batch, 4, -1, height, width) * gate[:, :, None, None, None]).view_as(x)


class Polarised(Attentive):
    """PSA (Liu 2021), parallel: channel weights and a map, each of a softmax and a product."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.value, self.query = nn.Conv2d(channels, half, 1), nn.Conv2d(channels, 1, 1)
        self.out, self.norm = nn.Conv2d(half, channels, 1), nn.LayerNorm(channels)
        self.value2, self.query2 = nn.Conv2d(channels, half, 1), nn.Conv2d(channels, half, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        query = self.query(x).reshape(batch, -1, 1).softmax(1)
        context = torch.matmul(self.value(x).flatten(2), query).unsqueeze(-1)
        logits = self.out(context).reshape(batch, channels, 1).permute(0, 2, 1)
        ca = self.norm(logits).sigmoid().permute(0, 2, 1).reshape(batch, channels, 1, 1)
        query = cell(self.query2(x)).permute(0, 2, 3, 1).reshape(batch, 1, -1).softmax(-1)
        logits = torch.matmul(query, self.value2(x).flatten(2))
        sa = logits.reshape(batch, 1, height, width).sigmoid()
        self.note(ca, sa, "parallel")
        return ca * x + sa * x


class Subspaces(Attentive):
    """ULSAM (Saini 2020): groups of channels, each with a map of its own that sums to one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        part = channels // 2
        self.deep = nn.ModuleList(nn.Conv2d(part, part, 1, groups=part) for _ in range(2))
        self.point = nn.ModuleList(nn.Conv2d(part, 1, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        outs = []
        for k, part in enumerate(x.chunk(2, 1)):
            score = self.point[k](F.max_pool2d(self.deep[k](part), 3, 1, 1))
            gate = score.flatten(2).softmax(2).view_as(score)
            self.note(spatial=gate)
            outs.append(gate.expand_as(part) * part + part)
        return torch.cat(outs, 1)


class SelectedKernels(Attentive):
    """LSKNet (Li 2023), its selection: two branches, a map for each, added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.squeeze = nn.Conv2d(2, 2, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        near = self.near(x)
        far = self.far(near)
        both = torch.cat([near, far], 1)
        pooled = torch.cat([both.mean(1, keepdim=True), both.amax(1, keepdim=True)], 1)
        maps = self.squeeze(pooled).sigmoid()
        self.note(spatial=maps[:, 0])
        self.note(spatial=maps[:, 1])
        return near * maps[:, 0].unsqueeze(1) + far * maps[:, 1].unsqueeze(1)


EXACT = {
    cls.__name__: cls
    for cls in (
        GatedChannels, GatedChannelsL1, Style, LinearContext, Frequency, Recurrent,
        ContextMultiplied, Gather, PyramidSplit, OfGroups, Polarised,
    )
}  # fmt: skip

SEVERAL = {cls.__name__: cls for cls in (Subspaces, SelectedKernels)}


class SpatialGroups(nn.Module):
    """SGE (Li 2019): in each group of channels, how much a position is like the group's mean."""

    def __init__(self, channels: int, groups: int = 4) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.randn(1, groups, 1, 1))
        self.bias = nn.Parameter(torch.ones(1, groups, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        parts = x.view(batch * self.groups, -1, height, width)
        alike = (parts * F.adaptive_avg_pool2d(parts, 1)).sum(1, keepdim=True)
        flat = alike.view(batch * self.groups, -1)
        flat = flat - flat.mean(1, keepdim=True)
        flat = flat / (flat.std(1, keepdim=True) + 1e-5)
        maps = flat.view(batch, self.groups, height, width) * self.weight + self.bias
        maps = maps.view(batch * self.groups, 1, height, width)
        return (parts * torch.sigmoid(maps)).view(batch, channels, height, width)


class NormWeights(nn.Module):
    """NAM (Liu 2021), its channel half: sigmoid of BatchNorm's output times its weights' shares."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        nn.init.normal_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        share = self.norm.weight.data.abs() / self.norm.weight.data.abs().sum()
        last = self.norm(x).permute(0, 2, 3, 1).contiguous()
        return torch.sigmoid(torch.mul(share, last).permute(0, 3, 1, 2).contiguous()) * x


class Energy(nn.Module):
    """SimAM (Yang 2021): sigmoid of each value's energy, nothing learnt."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        count = x.shape[2] * x.shape[3] - 1
        apart = (x - cell(x)).pow(2)
        energy = apart / (4 * (apart.sum(SPACE, keepdim=True) / count + 1e-4)) + 0.5
        return x * torch.sigmoid(energy)


class Bottleneck(nn.Module):
    """BAM (Park 2018): 1 + sigmoid of both branches, brought to full size, added or multiplied."""

    def __init__(self, channels: int, *, multiplied: bool = False) -> None:
        super().__init__()
        self.multiplied = multiplied
        self.fc = nn.Sequential(
            nn.Linear(channels, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, channels)
        )
        self.map = nn.Sequential(
            nn.Conv2d(channels, 4, 1), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=4, dilation=4), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        ca = self.fc(F.avg_pool2d(x, x.shape[2:]).flatten(1))[:, :, None, None].expand_as(x)
        sa = self.map(x).expand_as(x)
        return (1 + torch.sigmoid(ca * sa if self.multiplied else ca + sa)) * x


class BottleneckMultiplied(Bottleneck):
    """The authors' code multiplies."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, multiplied=True)


class BottleneckRepeated(Bottleneck):
    """The same with both branches repeated instead of expanded."""

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        ca = self.fc(x.mean(SPACE))[:, :, None, None].repeat(1, 1, height, width)
        return x + x * torch.sigmoid(ca + self.map(x).repeat(1, channels, 1, 1))


class Coordinates(nn.Module):
    """Coordinate attention (Hou 2021): rows and columns through one layer, then apart."""

    def __init__(self, channels: int, *, together: bool = False) -> None:
        super().__init__()
        self.together = together
        self.squeeze = nn.Sequential(nn.Conv2d(channels, 4, 1), nn.BatchNorm2d(4), nn.Hardswish())
        self.rows, self.columns = nn.Conv2d(4, channels, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        by_row = x.mean(3, keepdim=True)
        by_column = x.mean(2, keepdim=True).permute(0, 1, 3, 2)
        both = self.squeeze(torch.cat([by_row, by_column], 2))
        by_row, by_column = torch.split(both, [height, width], 2)
        rows = self.rows(by_row).sigmoid()
        columns = self.columns(by_column.permute(0, 1, 3, 2)).sigmoid()
        return x * (columns * rows) if self.together else x * columns * rows


class CoordinatesTogether(Coordinates):
    """The two gates multiplied with each other first."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, together=True)


class CoordinatesRepeated(Coordinates):
    """The same, both as large as the features."""

    def forward(self, x: Tensor) -> Tensor:
        rows = self.rows(self.squeeze(x.mean(3, keepdim=True))).sigmoid()
        columns = self.columns(self.squeeze(x.mean(2, keepdim=True))).sigmoid()
        rows, columns = rows.repeat(1, 1, 1, x.shape[3]), columns.repeat(1, 1, x.shape[2], 1)
        return x * rows * columns


class MultiScale(nn.Module):
    """EMA (Ouyang 2023): rows and columns in groups, then one map for each group."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        part = channels // 2
        self.norm = nn.GroupNorm(part, part)
        self.point, self.local = nn.Conv2d(part, part, 1), nn.Conv2d(part, part, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        parts = x.reshape(batch * 2, -1, height, width)
        rows, columns = parts.mean(3, keepdim=True), parts.mean(2, keepdim=True)
        both = self.point(torch.cat([rows, columns.permute(0, 1, 3, 2)], 2))
        rows, columns = torch.split(both, [height, width], 2)
        one = self.norm(parts * rows.sigmoid() * columns.permute(0, 1, 3, 2).sigmoid())
        two = self.local(parts)

        def queries(y: Tensor) -> Tensor:
            return y.mean(SPACE).softmax(-1).unsqueeze(1)

        maps = torch.matmul(queries(one), two.flatten(2)) + torch.matmul(
            queries(two), one.flatten(2)
        )
        maps = maps.reshape(batch * 2, 1, height, width)
        return (parts * maps.sigmoid()).reshape(batch, channels, height, width)


class Shuffled(Attentive):
    """SA-Net (Zhang 2021): in each group half of the channels by mean, half by GroupNorm.

    The first half has channel weights, the second a weight for every value.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        part = channels // 4
        self.scale, self.shift = (nn.Parameter(torch.randn(1, part, 1, 1)) for _ in range(2))
        self.scale2, self.shift2 = (nn.Parameter(torch.randn(1, part, 1, 1)) for _ in range(2))
        self.norm = nn.GroupNorm(part, part)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        one, two = x.reshape(batch * 2, -1, height, width).chunk(2, 1)
        gate = torch.sigmoid(self.scale * cell(one) + self.shift)
        self.note(gate.reshape(batch, channels // 2))
        one = one * gate
        two = two * torch.sigmoid(self.scale2 * self.norm(two) + self.shift2)
        out = torch.cat([one, two], 1).reshape(batch, -1, height, width)
        return out.reshape(batch, 2, -1, height, width).transpose(1, 2).reshape(x.shape)


class GlobalDense(nn.Module):
    """GAM (Liu 2021): an MLP at each position, then two convolutions; both a weight a value."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels))
        self.convs = nn.Sequential(
            nn.Conv2d(channels, 4, 7, padding=3), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, channels, 7, padding=3), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).sigmoid()
        return x * self.convs(x).sigmoid()


class Strips(nn.Module):
    """Strip pooling (Hou 2020): means of rows and columns, expanded, added, a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rows = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))
        self.columns = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1))
        self.fuse = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.rows(F.adaptive_avg_pool2d(x, (None, 1))).expand_as(x)
        columns = self.columns(F.adaptive_avg_pool2d(x, (1, None))).expand_as(x)
        return x * self.fuse(F.relu(rows + columns)).sigmoid()


class LocalChannels(nn.Module):
    """MLCA (Wan 2023): channel weights of each of 5 x 5 patches, brought to full size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)
        self.conv2 = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        local = F.adaptive_avg_pool2d(x, 5)
        flat = local.flatten(2).transpose(1, 2).reshape(batch, 1, -1)
        near = self.conv(flat).reshape(batch, 25, channels).transpose(1, 2)
        near = near.reshape(batch, channels, 5, 5).sigmoid()
        far = self.conv2(cell(local).reshape(batch, 1, -1)).reshape(batch, channels, 1, 1).sigmoid()
        both = 0.5 * F.adaptive_avg_pool2d(far, 5) + 0.5 * near
        return x * F.adaptive_avg_pool2d(both, x.shape[2:])


class GatheredPart(nn.Module):
    """Gather-excite with an extent: depthwise strides, enlarged, a sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gather = nn.Conv2d(channels, channels, 3, 2, 1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(F.interpolate(self.gather(x), size=x.shape[-2:]))


class Residuals(nn.Module):
    """Residual attention (Wang 2017): (1 + mask) * trunk, the mask an hourglass."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(channels, channels, 3, padding=1)
        self.deep = nn.Conv2d(channels, channels, 3, padding=1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mask = F.interpolate(
            self.deep(F.max_pool2d(x, 2)), size=x.shape[2:], mode="bilinear", align_corners=False
        )
        return (1 + self.out(mask).sigmoid()) * self.trunk(x)


class PriorChannels(Attentive):
    """CPCA (Huang 2023): channel weights, then depthwise strips that weigh every value."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(channels, 4, 1), nn.ReLU(), nn.Conv2d(4, channels, 1))
        self.deep = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.point = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.mlp(cell(x)).sigmoid()
        self.note(gate)
        x = x * gate
        return self.point(self.deep(x)) * x


class RotatedThrice(Attentive):
    """Triplet attention (Misra 2021): three rotations, the third being the plain map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2, 1, 7, padding=3), nn.BatchNorm2d(1)) for _ in range(3)
        )

    def gate(self, x: Tensor, k: int) -> Tensor:
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return self.convs[k](pooled).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        one = x.permute(0, 2, 1, 3).contiguous()
        one = (one * self.gate(one, 0)).permute(0, 2, 1, 3).contiguous()
        two = x.permute(0, 3, 2, 1).contiguous()
        two = (two * self.gate(two, 1)).permute(0, 3, 2, 1).contiguous()
        gate = self.gate(x, 2)
        self.note(spatial=gate)
        return (one + two + x * gate) / 3


class CoordinatesLast(Coordinates):
    """The same on a (B, H, W, C) view, whose axes are permuted and no others."""

    def forward(self, x: Tensor) -> Tensor:
        rows = self.rows(self.squeeze(x.mean(3, keepdim=True))).sigmoid().permute(0, 2, 3, 1)
        columns = self.columns(self.squeeze(x.mean(2, keepdim=True))).sigmoid()
        last = x.permute(0, 2, 3, 1) * rows * columns.permute(0, 2, 3, 1)
        return last.permute(0, 3, 1, 2)


class BranchMaps(nn.Module):
    """Two branches on an axis of their own, a map for each, and a maximum over them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack([x, F.avg_pool2d(x, 3, 1, 1)], 1)
        return (branches * self.score(x).sigmoid().unsqueeze(2)).amax(1)


class OneNumber(nn.Module):
    """A number for each photo: whether the block acts at all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean(SPACE)).sigmoid()[:, :, None, None]


OTHER = {
    cls.__name__: cls
    for cls in (
        SpatialGroups, NormWeights, Energy, Bottleneck, BottleneckMultiplied, BottleneckRepeated,
        Coordinates, CoordinatesTogether, CoordinatesRepeated, MultiScale, Shuffled, GlobalDense,
        Strips, LocalChannels, GatheredPart, Residuals, PriorChannels, RotatedThrice,
        CoordinatesLast, BranchMaps, OneNumber,
    )
}  # fmt: skip
