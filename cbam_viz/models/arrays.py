"""NumPy's numbers and arrays in a checkpoint: numbers of Python and tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cbam_viz.inert.nodes import damaged
from cbam_viz.models.storages import Budget

_NUMBER = re.compile(r"b1|[iu][1248]|f[248]")
_TEXT = re.compile(r"U\d{1,6}")


def number_type(code: Any, state: Any) -> np.dtype[Any] | None:
    """Return the type that a file describes; None if it is not one of numbers or texts."""
    if not isinstance(code, str) or not (_NUMBER.fullmatch(code) or _TEXT.fullmatch(code)):
        return None
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    return np.dtype(order + code) if order in {"<", ">", "=", "|"} else None


def scalar(dtype: np.dtype[Any], content: bytes) -> bool | int | float | str:
    """Return a NumPy scalar as Python's own kind of value. Raises CheckpointError."""
    if len(content) != dtype.itemsize or not content:
        raise damaged("a number is of another length than its type")
    value: bool | int | float | str = np.frombuffer(content, dtype)[0].item()
    return value


def texts(dtype: np.dtype[Any], shape: Sequence[Any], content: bytes) -> list[str] | None:
    """Return a row of NumPy's texts, as class names are kept in; None of other arrays."""
    row = dtype.kind == "U" and len(shape) == 1 and type(shape[0]) is int
    if not row or not dtype.itemsize or shape[0] * dtype.itemsize != len(content):
        return None
    try:
        found: list[str] = np.frombuffer(content, dtype).tolist()
    except ValueError:  # beyond Unicode
        return None
    return found


def tensor(
    dtype: np.dtype[Any], shape: Sequence[Any], content: bytes, budget: Budget, *, fortran: bool
) -> torch.Tensor | None:
    """Return a NumPy array as a tensor, None if it holds no numbers. Raises CheckpointError."""
    if dtype.kind == "U":
        return None
    if not all(type(side) is int and side >= 0 for side in shape) or len(shape) > 32:
        raise damaged("an array's shape is impossible")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise damaged("an array is of another length than its shape")
    budget.spend(len(content))
    native = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))  # a copy, writable
    return torch.from_numpy(native.reshape(tuple(shape), order="F" if fortran else "C"))
