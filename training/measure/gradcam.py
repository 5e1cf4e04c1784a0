"""Grad-CAM, as a baseline for what the gates show."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def gradcam(network: nn.Module, stage: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM maps (B, h, w), at least 0, of a stage's output for one class of each image.

    Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2. `images` is (B, 3, H, W), `classes`
    (B,) indices.
    """
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        kept.append(output)
        return output

    handle = stage.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = network(images.requires_grad_())
    finally:
        handle.remove()
    score = logits.gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, kept[0])
    weights = gradient.mean((2, 3), keepdim=True)
    return torch.relu((weights * kept[0]).sum(1)).detach()


def as_array(maps: Tensor) -> NDArray[np.float32]:
    """Maps as a float32 array."""
    return maps.float().cpu().numpy()
