"""Other people's CBAM layouts, translated to timm's names without changing what is computed.

- The authors' (Jongchan/attention-module): `cbam.ChannelGate.mlp.1/3` are linear layers with
  biases; `cbam.SpatialGate.spatial.conv` takes [max, mean], timm's takes [mean, max], so its input
  channels are flipped. Without that the weights load cleanly and are silently wrong.
- luuuyi/CBAM.PyTorch and its many copies: `ca.fc1/fc2` or `ca.fc.0/2` are 1 x 1 convolutions
  without bias, `sa.conv1` takes [mean, max] and has no normalisation. timm's has one; it is given
  the statistics that make it the identity in eval mode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cbam_viz._text import shortened
from cbam_viz.errors import CheckpointError
from cbam_viz.models.state import Weights

_BATCH_NORM_EPS = 1e-5


@dataclass(frozen=True)
class _Rule:
    """One kind of tensor: its name's end, what it is called in timm, how its values move."""

    pattern: str
    target: str
    change: Callable[[Tensor], Tensor] = lambda tensor: tensor


def _as_convolution(weight: Tensor) -> Tensor:
    return weight[:, :, None, None] if weight.ndim == 2 else weight


def _flip_inputs(weight: Tensor) -> Tensor:
    return weight.flip(1)


_AUTHORS = (
    _Rule(r"cbam\.ChannelGate\.mlp\.1\.weight", "se.channel.fc1.weight", _as_convolution),
    _Rule(r"cbam\.ChannelGate\.mlp\.1\.bias", "se.channel.fc1.bias"),
    _Rule(r"cbam\.ChannelGate\.mlp\.3\.weight", "se.channel.fc2.weight", _as_convolution),
    _Rule(r"cbam\.ChannelGate\.mlp\.3\.bias", "se.channel.fc2.bias"),
    _Rule(r"cbam\.SpatialGate\.spatial\.conv\.weight", "se.spatial.conv.conv.weight", _flip_inputs),
    _Rule(r"cbam\.SpatialGate\.spatial\.bn\.(\w+)", r"se.spatial.conv.bn.\1"),
)

_CA_SA = (
    _Rule(r"ca\.fc(?:1|\.0)\.weight", "se.channel.fc1.weight", _as_convolution),
    _Rule(r"ca\.fc(?:2|\.2)\.weight", "se.channel.fc2.weight", _as_convolution),
    _Rule(r"sa\.conv1?\.weight", "se.spatial.conv.conv.weight"),
)

_BLOCK = r"^((?:\w+\.)*?\w+\.\d+\.)"
"""Attention of a residual block: the name before it ends in the block's number."""


def translate(weights: Weights) -> None:
    """Give tensors of a known foreign layout timm's names and shapes, in place.

    Raises:
        CheckpointError: the layout is known to have no exact counterpart (BAM, channel gates
            alone).
    """
    names = weights.tensors
    if any(re.match(r"(?:.*\.)?bam\d\.", name) for name in names):
        raise CheckpointError(
            "These are weights of a BAM network. BAM has one joint gate of shape (B, C, h, w) "
            "instead of a channel and a spatial gate; timm has no such network. Show it through "
            "its own Python code: cbam-viz ... --model module:factory."
        )
    if any(".cbam.ChannelGate." in name for name in names):
        if not any(".cbam.SpatialGate." in name for name in names):
            raise CheckpointError(
                "The file holds channel gates without spatial gates (the authors' no_spatial "
                "variant). timm's CBAM always has both, so it cannot be converted exactly; show "
                "it through its own Python code: --model module:factory."
            )
        _apply(weights, _AUTHORS)
        weights.notes.append(
            "The layout is that of the authors' code (Jongchan/attention-module); it was "
            "translated to timm's, the spatial convolution's inputs from [max, mean] to [mean, "
            "max]. Average and max pooling are assumed, the authors' default. Their network agrees "
            "with timm's at 224 x 224 pixels only."
        )
    elif any(re.search(r"\.\d+\.sa\.conv1?\.weight$", name) for name in names):
        _refuse_network_level(weights)
        _apply(weights, _CA_SA)
        _add_identity_norms(weights)
        weights.notes.append(
            "The layout is that of luuuyi/CBAM.PyTorch (ca, sa); it was translated to timm's. Its "
            "spatial gate has no normalisation: timm's is set to the identity, exact in eval mode."
        )


def _apply(weights: Weights, rules: tuple[_Rule, ...]) -> None:
    translated: dict[str, Tensor] = {}
    for name, tensor in weights.tensors.items():
        new, changed = name, tensor
        for rule in rules:
            found = re.match(_BLOCK + rule.pattern + "$", name)
            if found:
                new = re.sub(_BLOCK + rule.pattern + "$", r"\g<1>" + _shift(rule.target), name)
                changed = rule.change(tensor)
                break
        if new != name:
            weights.renamed[name] = new
        if changed.shape != tensor.shape:
            weights.reshaped.append(new)
        translated[new] = changed
    weights.tensors = translated


def _shift(target: str) -> str:
    """Number the target's own group after the block's."""
    return target.replace(r"\1", r"\g<2>")


def _refuse_network_level(weights: Weights) -> None:
    outside = [name for name in weights.tensors if re.match(r"(ca|sa)\d?\.", name)]
    if outside:
        raise CheckpointError(
            f"This network has CBAM outside its blocks too ({shortened(outside[0])}), which "
            "timm's network of the same name has not; its weights cannot be converted exactly. "
            "Show it through its own Python code: cbam-viz ... --model module:factory."
        )


def _add_identity_norms(weights: Weights) -> None:
    """Add statistics with which (x - mean) / sqrt(var + eps) * weight + bias gives x again."""
    for name in [name for name in weights.tensors if name.endswith("se.spatial.conv.conv.weight")]:
        norm = name.replace("conv.conv.weight", "conv.bn.")
        weights.tensors[norm + "weight"] = _number((1 + _BATCH_NORM_EPS) ** 0.5)
        weights.tensors[norm + "bias"] = _number(0)
        weights.tensors[norm + "running_mean"] = _number(0)
        weights.tensors[norm + "running_var"] = _number(1)
        weights.tensors[norm + "num_batches_tracked"] = torch.tensor(0, device="cpu")


def _number(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float32, device="cpu")
