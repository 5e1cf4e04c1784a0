"""What torchvision's detectors found, and others that give the same: one dictionary a photo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from cbam_viz.detections import Detections
from cbam_viz.detectors.found import Found

_NEEDED = ("boxes", "labels", "scores")


def gives(model: nn.Module, output: Any) -> bool:
    """Whether it is a list of one dictionary of boxes, labels and scores."""
    if not (isinstance(output, (list, tuple)) and len(output) == 1):
        return False
    one = output[0]
    return isinstance(one, Mapping) and all(isinstance(one.get(key), Tensor) for key in _NEEDED)


def read(model: nn.Module, output: Any, size: tuple[int, int]) -> Found:
    """Return what was found; the network has suppressed double boxes itself."""
    one = output[0]
    masks = one.get("masks")
    if isinstance(masks, Tensor):  # (N, 1, H, W) of probabilities
        masks = masks.reshape(len(masks), *masks.shape[-2:]) > 0.5
    points = one.get("keypoints")
    return Found(
        Detections(one["boxes"], one["scores"], one["labels"], masks=masks, keypoints=points)
    )
