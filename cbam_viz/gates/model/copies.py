"""Copies of what passes in a forward, which nobody else can change."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def kept(value: Any) -> Tensor | None:
    """A detached copy on the tensor's own device, safe from in-place operations that follow."""
    if not isinstance(value, Tensor):
        return None
    return value.detach().clone() if value.requires_grad else value.clone()


def own(copy: Tensor) -> Tensor:
    """The same as `plain_copy` of a copy that nobody else has: mostly it need not be copied."""
    plain = copy.dtype is torch.float32 and copy.device.type == "cpu" and copy.is_contiguous()
    if not plain:
        return plain_copy(copy)
    return copy.clone() if copy.is_inference() else copy


def plain_copy(tensor: Tensor) -> Tensor:
    """A float32 copy on the CPU that nobody else owns; call it inside `restore.calm`."""
    return torch.empty(tensor.shape, dtype=torch.float32).copy_(tensor)
