"""Pictures as tensors, and where they are computed with."""

from __future__ import annotations

import torch
from torch import Tensor


def prepare_images(images: Tensor, device: torch.device) -> Tensor:
    """RGB bytes (B, S, S, 3) to channels-last floats (B, 3, S, S), normalised to -1..1."""
    # The permuted view already has the channels-last layout, so nothing is copied but the values.
    moved = images.to(device, non_blocking=True).permute(0, 3, 1, 2)
    return moved.float().div_(127.5).sub_(1.0)


def pick_device(name: str) -> torch.device:
    """`auto` is a CUDA GPU where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
