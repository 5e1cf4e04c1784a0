"""`create_model`: any timm network with attention in every block that can take it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from cbam_viz.models.attention_layer import AttentionLike
from cbam_viz.models.build import build_model
from cbam_viz.models.load import PLAIN, load_model


def create_model(
    name: str,
    *,
    checkpoint: str | Path | None = None,
    num_classes: int | None = None,
    attention: AttentionLike | None = "cbam",
    attention_args: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a timm network, in eval mode, with CBAM in every block that can take it.

    Args:
        name: an architecture that timm knows, such as `resnet50`.
        checkpoint: a .safetensors, .pth or .pt file with the weights; see `load_model`, which also
            says what matched. Class count and CBAM arguments are then taken from the file.
        num_classes: size of the classifier; timm's default (1000 as a rule) if not given.
        attention: `"cbam"`, `"lcbam"`, a layer class or a partial of one (called with the channel
            count); None builds the network as timm defines it.
        attention_args: arguments of each attention layer, such as `{"rd_ratio": 1 / 8, "mlp_bias":
            True}`.
        **kwargs: passed to `timm.create_model`. With `pretrained=True` the backbone gets timm's
            weights and the attention layers start at random.

    Notes:
        A fresh ResNet of timm has every gate at exactly 0.5, because timm zeroes the last
        normalisation of each block (`zero_init_last`), so that its attention sees zeros. That is
        the right start for training and is kept; pass `zero_init_last=False` for gates that vary
        without training. The statistics name such gates untrained.

    Raises:
        ModelError: unknown name, a family that cannot take the layer (near ones are named), wrong
            arguments.
        CheckpointError: the file cannot be read safely or does not fit.
    """
    if checkpoint is None:
        return build_model(
            name,
            num_classes=num_classes,
            attention=attention,
            attention_args=attention_args,
            **kwargs,
        )
    if attention_args is not None:  # else the file's own
        kwargs["attention_args"] = attention_args
    return load_model(
        Path(checkpoint),
        architecture=name,
        attention=PLAIN if attention is None else attention,
        num_classes=num_classes,
        **kwargs,
    ).model
