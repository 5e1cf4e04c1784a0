"""One gate only: squeeze-and-excitation and its relatives, and spatial gates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .truth import Attentive, Gates


class SqueezeExcite(Gates):
    """SE with linear layers and an expanded gate."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, _, _ = x.shape
        gate = self.mlp(x.mean((2, 3), keepdim=True)).view(batch, channels).sigmoid()
        self.note(gate)
        return x * gate.view(batch, channels, 1, 1).expand_as(x)


class EfficientChannel(Attentive):
    """ECA: a 1-D convolution along the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.conv(x.mean((2, 3)).unsqueeze(1))).squeeze(1)[:, :, None, None]
        self.note(gate)
        return x * gate


class EffectiveSqueeze(Attentive):
    """ESE: one layer, a hard sigmoid, the identity added afterwards."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.hardsigmoid(self.fc(F.adaptive_avg_pool2d(x, 1)))
        self.note(gate)
        return x * gate + x


class GatedChannelTransform(Attentive):
    """GCT: 1 + tanh of a normalised embedding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.randn(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        embedding = (x.pow(2).sum((2, 3), keepdim=True) + 1e-5).sqrt() * self.alpha
        norm = (embedding.pow(2).mean(1, keepdim=True) + 1e-5).rsqrt()
        gate = 1 + torch.tanh(embedding * self.gamma * norm)
        self.note(gate)
        return x * gate


class GaussianContext(Attentive):
    """Gaussian context transformer: exp(-z^2 / 2) of the normalised means, nothing learnt."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)
        centred = means - means.mean(1, keepdim=True)
        scaled = centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + 1e-5)
        gate = torch.exp(-scaled.square() / 2)
        self.note(gate)
        return x * gate.expand_as(x)


class SpatialOnly(Gates):
    """CBAM's spatial half alone."""

    def forward(self, x: Tensor) -> Tensor:
        gate = self.spatial(x)
        self.note(spatial=gate)
        return x * gate


class SpatialSoftmax(Attentive):
    """A map that sums to one, scaled by the number of positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        score = self.score(x).flatten(1).softmax(-1) * (x.shape[2] * x.shape[3])
        gate = score.view(x.shape[0], 1, *x.shape[2:]).expand_as(x)
        self.note(spatial=gate[:, :1])
        return gate * x


class AttentionGate(Attentive):
    """Attention U-Net: a map computed from the features and a second signal."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_x, self.of_signal = nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, 4, 1)
        self.score = nn.Sequential(nn.Conv2d(4, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        signal = F.avg_pool2d(x, 3, 1, 1)
        gate = self.score(F.relu(self.of_x(x) + self.of_signal(signal)))
        self.note(spatial=gate)
        return x * gate


STRUCTURES = {
    cls.__name__: cls
    for cls in (
        SqueezeExcite, EfficientChannel, EffectiveSqueeze, GatedChannelTransform,
        GaussianContext, SpatialOnly, SpatialSoftmax, AttentionGate,
    )
}  # fmt: skip
