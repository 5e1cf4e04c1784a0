"""Forwards that show no values, and what is said of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import torch
from torch import Tensor

from ..._text import named
from ...errors import CaptureError, CbamVizError

TRANSFORMED = "it ran inside torch.vmap or a transform of torch.func, where tensors show no values"

_IN_TRANSFORM = (
    "capture cannot look into torch.vmap or a transform of torch.func (grad, jvp, jacrev): there "
    "tensors show no values. Call capture(model, x) outside of it, with the whole batch."
)
_NO_VALUES = (
    "The network ran without values, on the meta device or on fake tensors, so its gates have "
    "none. Give its weights values (model.to_empty(device='cpu'), then load_state_dict), and "
    "capture a real photo."
)


def transformed() -> bool:
    """Whether the code that runs is inside torch.vmap, torch.func.grad, jvp or their like."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def demand_plain() -> None:
    """Raises CaptureError inside a transform."""
    if transformed():
        raise CaptureError(_IN_TRANSFORM)


def has_values(tensor: Tensor) -> bool:
    """False on the meta device and for fake tensors."""
    fake = sys.modules.get("torch._subclasses.fake_tensor")
    return not (tensor.is_meta or (fake is not None and isinstance(tensor, fake.FakeTensor)))


def demand_values(output: Iterable[Tensor]) -> None:
    """Raises CaptureError if what a network returned has no values."""
    if not all(map(has_values, output)):
        raise CaptureError(_NO_VALUES)


def unreadable(error: Exception) -> CbamVizError:
    """What is said of an error of our own."""
    if isinstance(error, CbamVizError):
        return error
    told = CaptureError(
        f"This forward could not be read ({named(error, 160)}), though the network itself ran. "
        "Capture the part of it that takes and gives plain (B, C, H, W) tensors."
    )
    told.__cause__ = error
    return told
