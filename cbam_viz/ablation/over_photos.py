"""Gates over many photos: their means, and whether they depend on the photo at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from cbam_viz.ablation._capture import capture
from cbam_viz.ablation.learnt import GateName
from cbam_viz.ablation.replacements import GateMeans
from cbam_viz.errors import CaptureError, MetricError
from cbam_viz.metrics import VarianceShares, variance_shares


def gate_means(model: nn.Module, inputs: Tensor | Iterable[Tensor]) -> GateMeans:
    """The mean of every gate over photos, to be put in the place of the gates (`ablate`).

    `inputs` are (N, C, H, W), or several such tensors, as the network takes them; memory does not
    grow with their number.

    Raises:
        CaptureError: there is no photo, or maps differ in size from photo to photo.
        NoAttentionError: the network has no gates.
    """
    sums: dict[GateName, Tensor] = {}
    counts: dict[GateName, int] = {}
    photos = 0
    for rows, gates in _captured(model, inputs):
        photos += rows
        for name, gate in gates.items():
            total = gate.double().sum(0)
            known = sums.get(name)
            if known is not None and known.shape != total.shape:
                raise _other_size(name, known.shape, total.shape)
            sums[name] = total if known is None else known + total
            counts[name] = counts.get(name, 0) + len(gate)
    if not sums:
        raise CaptureError("There is no photo to average gates over.")
    return GateMeans({name: sums[name] / counts[name] for name in sums}, photos)


def gate_variance(
    model: nn.Module, inputs: Tensor | Iterable[Tensor]
) -> dict[GateName, VarianceShares]:
    """How much of every gate's variance is within photos, between photos, and neither.

    Arguments as in `gate_means`; `cbam_viz.metrics.variance_shares` does the same for arrays.

    Raises:
        CaptureError: maps differ in size from photo to photo.
        MetricError: there are fewer than two photos.
        NoAttentionError: the network has no gates.
    """
    seen: dict[GateName, list[Tensor]] = {}
    for _, gates in _captured(model, inputs):
        for name, gate in gates.items():
            earlier = seen.setdefault(name, [])
            if earlier and earlier[0].shape[1:] != gate.shape[1:]:
                raise _other_size(name, earlier[0].shape[1:], gate.shape[1:])
            earlier.append(gate)
    if not seen:
        raise MetricError("Whether a gate depends on the photo needs at least two photos.")
    return {name: variance_shares(np.concatenate([one.numpy() for one in gates]))
            for name, gates in seen.items()}  # fmt: skip


def batches_of(inputs: Tensor | Iterable[Tensor]) -> Iterator[Tensor]:
    """Photos that a user gave, as (B, C, H, W) each.

    Raises:
        MetricError: one of them is no such tensor.
    """
    for one in [inputs] if isinstance(inputs, Tensor) else inputs:
        if not isinstance(one, Tensor) or one.ndim not in (3, 4):
            what = f"{type(one).__name__} {tuple(getattr(one, 'shape', ())) or ''}".rstrip()
            raise MetricError(
                "Photos are given as tensors (N, C, H, W) or (C, H, W), as the network takes "
                f"them, not as {what}."
            )
        yield one if one.ndim == 4 else one[None]


def _captured(
    model: nn.Module, inputs: Tensor | Iterable[Tensor]
) -> Iterator[tuple[int, dict[GateName, Tensor]]]:
    for x in batches_of(inputs):
        with torch.no_grad():
            attention = capture(model, x)
        gates: dict[GateName, Tensor] = {}
        for name, layer in attention.items():
            if layer.channel is not None:
                gates[name, "channel"] = layer.channel
            if layer.spatial is not None:
                gates[name, "spatial"] = layer.spatial
        yield len(x), gates


def _other_size(name: GateName, one: Iterable[int], two: Iterable[int]) -> CaptureError:
    sizes = " and ".join(" × ".join(map(str, size)) for size in (one, two))
    return CaptureError(
        f"The {name[1]} gate of {name[0]} is {sizes} on different photos, which have no common "
        "mean. Take photos of one size, or the view 'crop'."
    )
