"""Networks that take photos as they are: torchvision's detectors resize and normalise."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

from cbam_viz.wrappers import unwrap


def takes_photos(model: nn.Module) -> bool:
    """Whether a part of the network makes its input of photos, as `GeneralizedRCNNTransform`."""
    known = sys.modules.get("torchvision.models.detection.transform")
    kind = getattr(known, "GeneralizedRCNNTransform", None)
    return kind is not None and isinstance(getattr(unwrap(model), "transform", None), kind)


def whole_photo(image: Any) -> Tensor:
    """A Pillow image as (C, H, W) from 0 to 1, neither resized nor normalised."""
    import numpy as np

    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    return pixels.float().div(255)
