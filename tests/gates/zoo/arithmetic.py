"""Gates that act by something else than one plain product with a (B, C, H, W) feature map.

Each of these is either captured exactly or not at all; a wrong value is the only failure. Those in
`EXACT` must be captured.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .truth import Gates


class ProductOfGates(Gates):
    """x * (ca * sa): one dense operand that is an outer product."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa)
        return x * (ca * sa)


class ProductOfThreeGates(Gates):
    """x * (ca * sa * more): a second map multiplies the first before any features."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.more = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        more = torch.sigmoid(self.more(both))
        self.note(ca, sa * more)
        return x * (ca * sa * more)


class ExpandedProductOfGates(Gates):
    """Both gates expanded to full size, multiplied, and then applied from the left."""

    def forward(self, x: Tensor) -> Tensor:
        ca, sa = self.channel(x), self.spatial(x)
        self.note(ca, sa)
        return (ca.expand_as(x) * sa.expand_as(x)) * x


class Einsum(Gates):
    """Gates of (B, C) and (B, h, w) applied by einsum."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x).flatten(1)
        x = torch.einsum("bchw,bc->bchw", x, ca)
        sa = self.spatial(x).squeeze(1)
        self.note(ca, sa)
        return torch.einsum("bchw,bhw->bchw", x, sa)


class Addcmul(Gates):
    """x + x * gate in one operation, twice."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        x = torch.addcmul(x, x, ca)
        sa = self.spatial(x)
        self.note(ca, sa)
        return torch.addcmul(x, x, sa)


class AddcmulOnce(Gates):
    """A channel product, then the spatial product added to a shortcut in one operation."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        y = x * ca
        sa = self.spatial(y)
        self.note(ca, sa)
        return torch.addcmul(x, y, sa)


class ResidualPerGate(Gates):
    """A residual added after each product."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        x = x + x * ca
        sa = self.spatial(x)
        self.note(ca, sa)
        return x + x * sa


class ResidualOfInput(Gates):
    """The block's input added between the two products."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        y = x * ca + x
        sa = self.spatial(y)
        self.note(ca, sa)
        return y * sa


class Division(Gates):
    """Divided by 1 + exp(-logits): the gate itself never exists as a tensor."""

    def forward(self, x: Tensor) -> Tensor:
        ca = 1 + torch.exp(-self.channel_logits(x))
        x = x / ca
        sa = 1 + torch.exp(-self.spatial_logits(x))
        self.note(1 / ca, 1 / sa)
        return x / sa


class Flattened(Gates):
    """Features as (B, C, H * W), gates as (B, C, 1) and (B, 1, H * W)."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        flat = x.flatten(2) * ca.flatten(2)
        sa = self.spatial(flat.view_as(x))
        self.note(ca, sa)
        return (flat * sa.flatten(2)).view_as(x)


class ChannelsLastView(Gates):
    """Features as a (B, H, W, C) view, gates as (B, 1, 1, C) and (B, H, W, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        last = x.permute(0, 2, 3, 1) * ca.permute(0, 2, 3, 1)
        sa = self.spatial(last.permute(0, 3, 1, 2))
        self.note(ca, sa)
        return (last * sa.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelsLastMemory(Gates):
    """The same on contiguous (B, H, W, C) memory, with gates of linear layers."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.squeeze, self.score = nn.Linear(channels, channels), nn.Linear(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1).contiguous()
        ca = self.squeeze(last.mean((1, 2), keepdim=True)).sigmoid()
        last = last * ca
        sa = self.score(last).sigmoid()
        self.note(ca.flatten(1), sa.squeeze(-1))
        return (last * sa).permute(0, 3, 1, 2).contiguous()


class Tokens(Gates):
    """Features as (B, H * W, C) tokens."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        tokens = x.flatten(2).transpose(1, 2) * ca.flatten(1).unsqueeze(1)
        sa = self.spatial(tokens.transpose(1, 2).reshape(x.shape))
        self.note(ca, sa)
        return (tokens * sa.flatten(1).unsqueeze(-1)).transpose(1, 2).reshape(x.shape)


class QuantFriendly(Gates):
    """The products through FloatFunctional, as torchvision's quantisable networks do it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.product = torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        x = self.product.mul(ca, x)
        sa = self.spatial(x)
        self.note(ca, sa)
        return self.product.mul(sa, x)


class Lerp(Gates):
    """torch.lerp from zero to the features."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x)
        x = torch.lerp(torch.zeros_like(x), x, ca)
        sa = self.spatial(x)
        self.note(ca, sa)
        return torch.lerp(torch.zeros_like(x), x, sa)


class HalfInside(Gates):
    """Gates computed in bfloat16 and applied to float32 features."""

    def forward(self, x: Tensor) -> Tensor:
        ca = self.channel(x).to(torch.bfloat16)
        x = x * ca
        sa = self.spatial(x).bfloat16()
        self.note(ca, sa)
        return x * sa


class HalfFeatures(Gates):
    """Everything inside the block in bfloat16, parameters included."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        y = x.to(torch.bfloat16)
        ca = self.channel(y)
        y = y * ca
        sa = self.spatial(y)
        self.note(ca, sa)
        return (y * sa).to(x.dtype)


class DoubleInside(Gates):
    """Gates rounded once on their way to float32."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.to(torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        y = x.double()
        ca = self.channel(y)
        y = y * ca
        sa = self.spatial(y)
        self.note(ca, sa)
        return (y * sa).float()


class InInferenceMode(Gates):
    """A block that switches autograd off for its gates."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            ca = self.channel(x)
        x = x * ca
        with torch.inference_mode():
            sa = self.spatial(x)
        self.note(ca, sa)
        return x * sa.clone()


EXACT = {
    cls.__name__: cls
    for cls in (
        ProductOfGates, ProductOfThreeGates, ExpandedProductOfGates,
        Einsum, AddcmulOnce, ResidualPerGate,
        QuantFriendly, HalfInside, HalfFeatures, DoubleInside, InInferenceMode,
    )
}  # fmt: skip

NEVER_WRONG = {
    cls.__name__: cls
    for cls in (
        Addcmul, ResidualOfInput, Division, Flattened, ChannelsLastView, ChannelsLastMemory,
        Tokens, Lerp,
    )
}  # fmt: skip
