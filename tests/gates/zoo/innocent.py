"""Products that are no attention: nothing of these may appear among the layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNEL_SHAPE = (1, -1, 1, 1)


class LayerNormByHand(nn.Module):
    """ConvNeXt's LayerNorm2d: divided by a (B, 1, h, w) deviation, scaled by a parameter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        x = centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + 1e-6)
        return self.weight[:, None, None] * x


class RootMeanSquareNorm(nn.Module):
    """Multiplied by the reciprocal root of a mean over channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6)
        return x * self.weight.view(CHANNEL_SHAPE)


class InstanceNormByHand(nn.Module):
    """Multiplied by the reciprocal deviation of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3), keepdim=True)
        return (x - mean) * (variance + 1e-5).rsqrt()


class LayerScale(nn.Module):
    """A learnt factor for each channel and one for all, also through a view and in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(channels))
        self.scale = nn.Parameter(torch.rand(1, channels, 1, 1))
        self.factor = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("running", torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.gamma.reshape(CHANNEL_SHAPE) * self.scale.expand(x.shape[0], -1, -1, -1)
        x = x * self.factor * self.running[None, :, None, None]
        return x.mul_(self.scale)


class FrozenNorm(nn.Module):
    """torchvision's FrozenBatchNorm2d: a scale computed from buffers alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.rand(channels))
        self.register_buffer("var", torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight.reshape(CHANNEL_SHAPE) * (self.var.reshape(CHANNEL_SHAPE) + 1).rsqrt()
        return x * scale


class SwishByHand(nn.Module):
    """x * sigmoid(x): an activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class MishByHand(nn.Module):
    """x * tanh(softplus(x)), and GELU spelt out."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.tanh(F.softplus(x))
        return 0.5 * x * (1 + torch.erf(x / 2**0.5))


class Dropped(nn.Module):
    """Masks of regularisation: a sample's, a channel's, a block's."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout2d(x, 0.2, training=True)
        x = F.dropout(x, 0.2, training=True)
        return x * x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(0.8) / 0.8


class PositionMask(nn.Module):
    """A fixed window over the positions, made in the forward."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.hann_window(x.shape[2] + 2)[1:-1]
        columns = torch.hann_window(x.shape[3] + 2)[1:-1]
        return x * (rows[:, None] * columns)[None, None]


class SelfAttention(nn.Module):
    """Non-local attention over positions: matrix products, and a learnt residual weight."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.gamma = nn.Parameter(torch.full((1,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).flatten(2).chunk(3, 1)
        weights = (q.transpose(1, 2) @ k * q.shape[1] ** -0.5).softmax(-1)
        return x + self.gamma * (v @ weights.transpose(1, 2)).view_as(x)


class CosineAttention(nn.Module):
    """Swin v2's: scores between positions times a learnt temperature, clamped by a constant."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels)
        self.temperature = nn.Parameter(torch.rand(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        tokens = self.qkv(x.flatten(2).transpose(1, 2))
        q, k, v = tokens.reshape(batch, height * width, 3, 2, -1).permute(2, 0, 3, 1, 4)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        scores = scores * self.temperature.clamp(max=torch.log(torch.tensor(100.0))).exp()
        out = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, height, width, channels)
        return out.permute(0, 3, 1, 2)


class Fusion(nn.Module):
    """BiFPN's weighted sum: learnt numbers, normalised."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.rand(2))

    def forward(self, x: Tensor) -> Tensor:
        weights = F.relu(self.weights)
        weights = weights / (weights.sum() + 1e-4)
        return weights[0] * x + weights[1] * F.avg_pool2d(x, 3, 1, 1)


class ContextAdded(nn.Module):
    """GCNet's global context: added to the features, not multiplied."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score, self.change = nn.Conv2d(channels, 1, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.score(x).flatten(2).softmax(-1)
        context = torch.matmul(x.flatten(2), weights.transpose(1, 2)).unsqueeze(-1)
        return x + self.change(context)


STRUCTURES = {
    cls.__name__: cls
    for cls in (
        LayerNormByHand, RootMeanSquareNorm, InstanceNormByHand, LayerScale, FrozenNorm,
        SwishByHand, MishByHand, Dropped, PositionMask, SelfAttention, CosineAttention, Fusion,
        ContextAdded,
    )
}  # fmt: skip
