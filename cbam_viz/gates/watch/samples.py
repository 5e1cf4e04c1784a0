"""A few positions of what passes in a forward, kept to be compared with later."""

from __future__ import annotations

import torch
from torch import Tensor

Leaf = tuple[str, int]
"""A module's dotted name and which of its calls in a forward."""

Boundary = tuple[str, int, str, int]
"""A module's dotted name, the number of its call, "in" or "out", and which of its tensors."""


def samples_of(value: object) -> list[tuple[int, Tensor]]:
    """Places and tensors of what a module received or returned, as far as they may be compared."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    return [
        (k, one)
        for k, one in enumerate(values[:4])
        if isinstance(one, Tensor)
        and not one.is_nested
        and one.layout is torch.strided
        and one.ndim == 4
        and one.is_floating_point()
    ]


def agree(again: Tensor, result: Tensor) -> bool:
    """Equal within rounding of the result's dtype."""
    if again.shape != result.shape:
        return False
    if torch.equal(again, result):
        return True
    step = 4 * torch.finfo(result.dtype).eps
    return torch.allclose(again.float(), result.float(), rtol=step, atol=step, equal_nan=True)


def sampled(tensor: Tensor) -> Tensor:
    """A copy of a few positions of (B, C, h, w), with all channels."""
    return _few(tensor.detach() if tensor.requires_grad else tensor).clone()


def sampled_gate(gate: Tensor) -> Tensor:
    """A gate at the same positions, as it broadcasts."""
    return gate[:, :, None, None] if gate.ndim == 2 else _few(gate)[:, None]


def _few(tensor: Tensor) -> Tensor:
    height, width = tensor.shape[-2:]
    rows = slice(height // 4, None, (height + 1) // 2)
    return tensor[..., rows, slice(width // 4, None, (width + 1) // 2)]
