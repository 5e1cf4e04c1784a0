"""Along which dimensions a tensor holds one value again and again: expanded, repeated, enlarged.

A gate made as large as the features is still channel weights or a map. That follows from how it
was made and not from its values, which may be equal by chance. Dimensions of size 1 count too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .arguments import argument
from .operators import FILLING, POINTWISE, SPREADING, base

Same = frozenset[int]
Shape = Sequence[int]
Operand = tuple[Shape, Same]
Rule = Callable[[Sequence[Any], dict[str, Any], Sequence[Operand], Tensor], Same]
"""From an operator's arguments, its tensor arguments and one output."""


_NOWHERE: Same = frozenset()


def same_of(tensor: Tensor) -> Same:
    """What the tensor itself shows."""
    if tensor.is_nested:
        return frozenset()
    shape = tensor.shape
    strides = tensor.stride() if tensor.layout is torch.strided else shape
    if 1 not in shape and 0 not in strides:
        return _NOWHERE
    sizes = zip(shape, strides, strict=True)
    return frozenset([d for d, (size, stride) in enumerate(sizes) if size == 1 or stride == 0])


def same_after(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    """The dimensions of one output; what no rule knows holds a value for each position."""
    rule = _RULES.get(base(name))
    if rule is None or not (inputs or rule is _filled):
        return same_of(out)
    return same_of(out) | rule(args, kwargs, inputs, out)


def is_told(name: str) -> bool:
    """Whether what `same_after` leaves out of an operator's result can vary there."""
    return base(name) in _RULES


def varying(shape: Shape, same: Same) -> set[int]:
    """The other dimensions."""
    return {d for d, size in enumerate(shape) if size > 1 and d not in same}


def _elementwise(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    found = set(range(out.ndim))
    for shape, same in inputs:
        skip = out.ndim - len(shape)
        found -= {d + skip for d in varying(shape, same)}
    return frozenset(found)


def _filled(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    return frozenset(range(out.ndim))


def _view(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    """Dimensions that are cut or joined keep what holds for all of their parts."""
    (shape, same), new = inputs[0], tuple(out.shape)
    found: set[int] = set()
    i = j = 0
    while i < len(shape) or j < len(new):
        begin, start, left, right = i, j, 1, 1
        while i < len(shape) or j < len(new):
            if left <= right and i < len(shape):
                left, i = left * shape[i], i + 1
            elif j < len(new):
                right, j = right * new[j], j + 1
            else:
                left, i = left * shape[i], i + 1
            if left == right and i > begin and j > start:
                break
        if not varying(shape[:i], same) & set(range(begin, i)):
            found |= set(range(start, j))
    return frozenset(found)


def _permute(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    shape, same = inputs[0]
    return frozenset(new for new, old in enumerate(args[1]) if int(old) % len(shape) in same)


def _transpose(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    shape, same = inputs[0]
    if len(shape) < 2:
        return same
    one, two = (int(d) % len(shape) for d in (args[1:3] if len(args) > 2 else (0, 1)))
    order = {one: two, two: one}
    return frozenset(order.get(d, d) for d in same)


def _unsqueeze(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    at = int(args[1]) % out.ndim
    return frozenset(d + (d >= at) for d in inputs[0][1])


def _select(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    shape, same = inputs[0]
    at = int(argument(args, kwargs, 1, "dim", 0)) % len(shape)
    return frozenset(d - (d > at) for d in same if d != at)


def _widened(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    """Expanded, repeated, enlarged, picked: what was one value stays one."""
    shape, same = inputs[0]
    skip = out.ndim - len(shape)
    return frozenset(range(skip)) | {d + skip for d in same}


def _of_all(parts: Sequence[Tensor], inputs: Sequence[Operand]) -> tuple[Same, bool]:
    """Where all parts hold one value, and whether they are one tensor again and again."""
    return (
        frozenset.intersection(*(same for _, same in inputs)),
        all(part is parts[0] for part in parts),
    )


def _cat(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    at = int(argument(args, kwargs, 1, "dim", 0)) % out.ndim
    same, alike = _of_all(args[0], inputs)
    return same if alike else same - {at}


def _stack(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    at = int(argument(args, kwargs, 1, "dim", 0)) % out.ndim
    same, alike = _of_all(args[0], inputs)
    return frozenset(d + (d >= at) for d in same) | ({at} if alike else set())


def _reduce(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    shape, same = inputs[0]
    if out.ndim == len(shape):
        return same
    dims = argument(args, kwargs, 1, "dim", None)
    if not isinstance(dims, (list, tuple)):
        dims = range(len(shape)) if dims is None or isinstance(dims, bool) else [dims]
    gone = {int(d) % len(shape) for d in dims}
    left = [d for d in range(len(shape)) if d not in gone]
    return frozenset(new for new, old in enumerate(left) if old in same)


def _normalised(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    """With a scale for each channel: over positions, what was one value stays one."""
    shape, same = inputs[0]
    return same - {1} if out.ndim == len(shape) else frozenset()


def _convolution(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    """Of one pixel and without padding."""
    if any(n != 1 for n in args[1].shape[2:]) or any(args[4]) or args[6]:
        return frozenset()
    return inputs[0][1] - {1}


def _pooled(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    """Over windows, which padding makes differ."""
    shape, same = inputs[0]
    padding = argument(args, kwargs, 3, "padding", 0)
    padded = any(padding) if isinstance(padding, (list, tuple)) else bool(padding)
    return same - {len(shape) - 2, len(shape) - 1} if padded else same


def _matrix(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    """Rows that are the same give the same rows, columns the same columns."""
    *added, left, right = inputs
    row, column = out.ndim - 2, out.ndim - 1
    found = {d for d in range(row) if d in left[1] and d in right[1]}
    found |= {d for d, (_, same) in ((row, left), (column, right)) if d in same}
    return frozenset(found) & (_elementwise(args, kwargs, added, out) if added else found)


def _none(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Operand], out: Tensor
) -> Same:
    return frozenset()


def _rules() -> dict[str, Rule]:
    groups: list[tuple[Rule, str]] = [
        (_elementwise, " ".join(POINTWISE)),
        (_elementwise, "maximum minimum where pow addcmul addcdiv lerp lt gt ge le eq ne sqrt"),
        (_elementwise, "rsqrt abs square sign contiguous lift_fresh"),
        (_filled, " ".join(FILLING)),
        (_view, "view _unsafe_view reshape _reshape_alias _reshape_copy squeeze"),
        (_permute, "permute"),
        (_transpose, "transpose t"),
        (_unsqueeze, "unsqueeze"),
        (_select, "select unbind"),
        (_widened, "expand slice split split_with_sizes index_select flip roll _softmax"),
        (_widened, " ".join(SPREADING)),
        (_cat, "cat"),
        (_stack, "stack"),
        (_reduce, "mean sum amax amin max min var std"),
        (_normalised, "native_batch_norm _native_batch_norm_legit _batch_norm_with_update"),
        (_normalised, "_native_batch_norm_legit_no_training cudnn_batch_norm"),
        (_convolution, "convolution"),
        (_pooled, "max_pool2d_with_indices avg_pool2d"),
        (_widened, "_adaptive_avg_pool2d adaptive_max_pool2d"),
        (_matrix, "mm bmm addmm baddbmm"),
        (_none, "native_layer_norm native_group_norm native_dropout"),
    ]
    return {name: rule for rule, names in groups for name in names.split()}


_RULES = _rules()
