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
    if not (_is_plain(copy) and copy.is_contiguous()):
        return plain_copy(copy)
    return copy.clone() if copy.is_inference() else copy


def plain_copy(tensor: Tensor) -> Tensor:
    """A float32 copy on the CPU that nobody else owns; call it inside `restore.calm`."""
    if _is_plain(tensor) and tensor.layout is torch.strided:
        return tensor.clone(memory_format=torch.contiguous_format)  # in a third of the time
    return torch.empty(tensor.shape, dtype=torch.float32, device="cpu").copy_(tensor)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.is_cpu and not tensor.requires_grad
