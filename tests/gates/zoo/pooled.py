"""What may become of gated features at the end of a network, and sums that no gate serves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .truth import CHANNELS, Gates, Make

End = Callable[[Tensor], Tensor]

ENDS: dict[str, End] = {
    "sum over positions": lambda y: y.sum((2, 3)),
    "sum, axes kept": lambda y: y.sum((2, 3), keepdim=True),
    "sum by sum": lambda y: y.sum(-1).sum(-1),
    "sum from the front": lambda y: y.sum(2).sum(2),
    "sum of flattened positions": lambda y: y.flatten(2).sum(-1),
    "sum of a view": lambda y: y.view(*y.shape[:2], -1).sum(2),
    "sum of permuted axes": lambda y: y.permute(0, 2, 3, 1).sum((1, 2)),
    "sum divided": lambda y: y.sum((2, 3)) / (y.shape[2] * y.shape[3]),
    "sum over channels": lambda y: y.sum(1),
    "sum over channels, axis kept": lambda y: y.sum(1, keepdim=True),
    "sum over columns": lambda y: y.sum(3),
    "sum over photos": lambda y: y.sum(0),
    "sum of everything": lambda y: y.sum(),
    "sum of some channels": lambda y: y[:, :4].sum((2, 3)),
    "einsum": lambda y: torch.einsum("bchw->bc", y),
    "nansum": lambda y: torch.nansum(y, (2, 3)),
    "cumulative sum": lambda y: y.cumsum(-1)[..., -1].cumsum(-1)[..., -1],
    "mean": lambda y: y.mean((2, 3)),
    "maximum": lambda y: y.amax((2, 3)),
    "length": lambda y: y.norm(dim=(2, 3)),
    "log-sum-exp": lambda y: y.logsumexp((2, 3)),
    "generalised mean": lambda y: y.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3),
    "loss": lambda y: y.square().sum(),
}


class Ending(nn.Module):
    """One structure behind a stem, and an end that is all that becomes of it."""

    def __init__(self, make: Make, end: End) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1)
        self.gated, self.end = make(CHANNELS), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.gated(F.relu(self.stem(x))))


class Weighing(Gates):
    """Scores of positions and of channels, for the sums below."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__(channels)
        self.score, self.other = nn.Conv2d(channels, 1, 1), nn.Conv2d(channels, channels, 1)

    def softmax(self, x: Tensor) -> Tensor:
        score = self.score(x)
        return score.flatten(2).softmax(-1).view_as(score)


class SoftmaxPooling(Weighing):
    """Attention pooling: a mean of positions, weighted by a softmax over them."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.softmax(x)).sum((2, 3))


class SoftmaxPoolingOfTokens(Weighing):
    """The same on flattened positions, where a view lies between product and sum."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.softmax(x)).flatten(2).sum(-1)


class ExponentialPooling(Weighing):
    """A softmax by hand, divided after the sum."""

    def forward(self, x: Tensor) -> Tensor:
        weights = self.score(x).exp()
        return (x * weights).sum((2, 3)) / weights.sum((2, 3))


class DividedPooling(Weighing):
    """Sigmoids divided by their own sum before."""

    def forward(self, x: Tensor) -> Tensor:
        weights = self.score(x).sigmoid()
        return (x * (weights / weights.sum((2, 3), keepdim=True).clamp(min=1e-6))).sum((2, 3))


class AdditiveAttention(Weighing):
    """SwiftFormer's: scores of unit length over the positions weigh a sum of queries."""

    def forward(self, x: Tensor) -> Tensor:
        scores = F.normalize(self.score(x).flatten(2), dim=-1).view_as(self.score(x))
        return (self.other(x) * scores).sum((2, 3))


class SoftmaxOverChannels(Weighing):
    """A mean of the channels, weighted by a softmax over them."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.channel_logits(x).softmax(1)).sum(1, keepdim=True)


class InnerProduct(Weighing):
    """How alike each position is to the mean: features by features, no weights."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * x.mean((2, 3), keepdim=True)).sum(1)


class Prototype(Weighing):
    """The same with a learnt query of the whole picture."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.other(x.mean((2, 3), keepdim=True))).sum(1)


NO_GATES = {
    cls.__name__: cls
    for cls in (
        SoftmaxPooling, SoftmaxPoolingOfTokens, ExponentialPooling, DividedPooling,
        AdditiveAttention, SoftmaxOverChannels, InnerProduct, Prototype,
    )
}  # fmt: skip


class MapInMatrixProduct(Weighing):
    """Positions weighed by a sigmoid and summed up in one matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2) @ self.spatial(x).flatten(2).transpose(1, 2)


class MapInEinsum(Weighing):
    """The same by einsum."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,bhw->bc", x, self.spatial(x)[:, 0])


class ChannelsInEinsum(Weighing):
    """Channels weighed by a sigmoid and summed up."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,bc->bhw", x, self.channel(x).flatten(1))


class ChannelsInMatrixProduct(Weighing):
    """The same from the left."""

    def forward(self, x: Tensor) -> Tensor:
        return self.channel(x).flatten(1)[:, None] @ x.flatten(2)


IN_ONE_PRODUCT = {
    cls.__name__: cls
    for cls in (MapInMatrixProduct, MapInEinsum, ChannelsInEinsum, ChannelsInMatrixProduct)
}


class PooledBySoftmax(Weighing):
    """Channel weights, then a softmax over positions that pools the gated features."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        self.note(ca)
        y = x * ca
        return (y * self.softmax(y)).sum((2, 3))
