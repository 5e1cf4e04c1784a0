"""Gates that act on features by another operation than a product of real numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .truth import Gates

Act = Callable[[Gates, Tensor], Tensor]


def _diagonal(net: Gates, x: Tensor) -> Tensor:
    return (torch.diag_embed(net.channel(x).flatten(1)) @ x.flatten(2)).view_as(x)


def _diagonal_of_tokens(net: Gates, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2) @ torch.diag_embed(net.channel(x).flatten(1))
    return tokens.transpose(1, 2).reshape(x.shape)


def _diagonal_map(net: Gates, x: Tensor) -> Tensor:
    return (x.flatten(2) @ torch.diag_embed(net.spatial(x).flatten(1))).view_as(x)


def _diagonal_by_einsum(net: Gates, x: Tensor) -> Tensor:
    return torch.einsum("bchw,bcd->bdhw", x, torch.diag_embed(net.channel(x).flatten(1)))


def _unit(net: Gates, x: Tensor) -> Tensor:
    return F.glu(torch.cat([x, net.channel_logits(x).expand_as(x)], 1), 1)


def _unit_of_map(net: Gates, x: Tensor) -> Tensor:
    return F.glu(torch.cat([x, net.spatial_logits(x).expand_as(x)], 1), 1)


def _chosen(net: Gates, x: Tensor) -> Tensor:
    sa = net.spatial(x)
    return torch.where(sa > sa.mean(), x, torch.zeros_like(x))


def _filled(net: Gates, x: Tensor) -> Tensor:
    ca = net.channel(x)
    return x.masked_fill(ca < ca.mean(1, keepdim=True), 0.0)


def _product_of_a_stack(net: Gates, x: Tensor) -> Tensor:
    return torch.stack([x, net.channel(x).expand_as(x)]).prod(0)


def _cumulated(net: Gates, x: Tensor) -> Tensor:
    return torch.stack([net.spatial(x).expand_as(x), x]).cumprod(0)[1]


def _all_at_once(net: Gates, x: Tensor) -> Tensor:
    return torch._foreach_mul([x], [net.channel(x)])[0]


def _kernels(net: Gates, x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    kernels = net.channel(x).reshape(batch * channels, 1, 1, 1)
    return F.conv2d(x.reshape(1, -1, height, width), kernels, groups=batch * channels).view_as(x)


def _norm(net: Gates, x: Tensor) -> Tensor:
    flat = x.reshape(1, -1, *x.shape[2:])
    return F.instance_norm(flat, weight=net.channel(x).flatten()).view_as(x)


def _divided(net: Gates, x: Tensor) -> Tensor:
    return torch.addcdiv(torch.zeros_like(x), x, 1 + torch.exp(-net.channel_logits(x)))


def _halved(net: Gates, x: Tensor) -> Tensor:
    return torch.ldexp(x, net.channel_logits(x).round())


def _raised(net: Gates, x: Tensor) -> Tensor:
    return x.abs().add(0.1).pow(net.spatial(x))


def _frequencies(net: Gates, x: Tensor) -> Tensor:
    return torch.fft.irfft2(torch.fft.rfft2(x) * net.channel(x), s=x.shape[-2:])


def _complex(net: Gates, x: Tensor) -> Tensor:
    return (torch.complex(x, x.roll(1, 1)) * net.spatial(x)).abs()


def _quantised(net: Gates, x: Tensor) -> Tensor:
    gate = net.channel(x).expand_as(x).contiguous()
    product = torch.ops.quantized.mul(
        torch.quantize_per_tensor(x, 0.05, 64, torch.quint8),
        torch.quantize_per_tensor(gate, 1 / 256, 0, torch.quint8),
        0.05,
        64,
    )
    return product.dequantize()  # type: ignore[no-any-return]


_BY = "a gate that acts on features by another operation than a product (torch's {})"
_COMPLEX = "a gate on features of complex numbers"

ACTS: dict[str, tuple[Act, str]] = {
    "a diagonal matrix": (_diagonal, _BY.format("bmm")),
    "a diagonal matrix behind tokens": (_diagonal_of_tokens, _BY.format("bmm")),
    "a diagonal matrix of a map": (_diagonal_map, _BY.format("bmm")),
    "a diagonal matrix in einsum": (_diagonal_by_einsum, _BY.format("bmm")),
    "a gated linear unit": (_unit, _BY.format("glu")),
    "a gated linear unit of a map": (_unit_of_map, _BY.format("glu")),
    "where": (_chosen, _BY.format("where")),
    "masked_fill": (_filled, _BY.format("masked_fill")),
    "prod": (_product_of_a_stack, _BY.format("prod")),
    "cumprod": (_cumulated, _BY.format("cumprod")),
    "foreach": (_all_at_once, _BY.format("foreach_mul")),
    "kernels": (_kernels, _BY.format("convolution")),
    "weights of a norm": (_norm, _BY.format("native_batch_norm")),
    "addcdiv": (_divided, _BY.format("addcdiv")),
    "ldexp": (_halved, _BY.format("ldexp")),
    "a power": (_raised, _BY.format("pow")),
    "frequencies": (_frequencies, _COMPLEX),
    "complex numbers": (_complex, _COMPLEX),
    "quantised": (_quantised, "a gate on quantised features"),
}
"""What is done, and what is told of it."""


class Met(Gates):
    """A gate that acts in one of these ways."""

    def __init__(self, channels: int, act: Act) -> None:
        super().__init__(channels)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self, x)


def _mixed(net: Gates, x: Tensor) -> Tensor:
    """Kernels of each photo, put together of three: the features are not scaled."""
    shares = x.mean((2, 3)).softmax(1)[:, :3]
    kernels = torch.stack([net.mlp[2].weight.flatten(1) @ net.mlp[0].weight.flatten(1)] * 3)
    kernel = torch.einsum("be,eoi->boi", shares, kernels)[..., None, None]
    return torch.cat([F.conv2d(one[None], own) for one, own in zip(x, kernel, strict=True)])


def _attended(net: Gates, x: Tensor) -> Tensor:
    """Self-attention, written out."""
    tokens = x.flatten(2).transpose(1, 2)
    scores = (tokens @ tokens.transpose(1, 2)).softmax(-1)
    return (scores @ tokens).transpose(1, 2).reshape(x.shape)


def _attended_by_torch(net: Gates, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(tokens, tokens, tokens).transpose(1, 2).reshape(x.shape)


def _thresholded(net: Gates, x: Tensor) -> Tensor:
    """A condition on each value."""
    return torch.where(x > 0, x, 0.1 * x).masked_fill(x > 3, 3.0)


def _masked(net: Gates, x: Tensor) -> Tensor:
    """What was black in the photo."""
    return x.masked_fill(x.abs().sum(1, keepdim=True) == 0, 0.0)


def _shifted(net: Gates, x: Tensor) -> Tensor:
    """Soft thresholds and biases, which are added."""
    return torch.relu(x.abs() - net.channel(x)) * x.sign() + net.channel_logits(x)


def _concatenated(net: Gates, x: Tensor) -> Tensor:
    """A map beside the features, and a maximum."""
    beside = torch.cat([x, net.spatial(x)], 1)[:, 1:]
    return torch.maximum(beside, net.channel(x))


INNOCENT: dict[str, Act] = {
    "mixed kernels": _mixed,
    "self-attention": _attended,
    "self-attention of torch": _attended_by_torch,
    "conditions on values": _thresholded,
    "masks of the photo": _masked,
    "thresholds": _shifted,
    "beside each other": _concatenated,
}
"""Where features meet what might look like a gate, and are not scaled by it."""


class Unknown(nn.Module):
    """`Met` without a truth of its own."""

    def __init__(self, channels: int, act: Act) -> None:
        super().__init__()
        self.gates, self.act = Gates(channels), act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.gates, x)
