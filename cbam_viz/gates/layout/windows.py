"""How windows that slide move rows and columns: convolution, pooling, unfolding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .arguments import argument, sizes
from .axes import (
    BATCH,
    CHANNEL,
    OTHER,
    Axis,
    Factor,
    Layout,
    Part,
    as_image,
    axis_size,
    line,
    plain_layout,
    resized,
    stepped,
)


def window(
    axis: Axis, size: int, *, kernel: float, stride: float, padding: float, dilation: float = 1
) -> Axis:
    """The axis after a sliding window (convolution, pooling): `size` windows."""
    old, span = line(axis), dilation * (kernel - 1)
    if old is None:
        return resized(axis, size)
    return (stepped(old, size, stride, shift=span / 2 - padding, widened=span),)


def transposed_window(
    axis: Axis, size: int, *, kernel: int, stride: int, padding: int, dilation: int
) -> Axis:
    """The axis after a transposed convolution: output `o` gets input `(o + p - d j) / s`."""
    old, span = line(axis), dilation * (kernel - 1)
    if old is None:
        return resized(axis, size)
    shift = (padding - span / 2) / stride
    widened = max(0, math.ceil(span / stride) - 1)
    return (stepped(old, size, 1 / stride, shift=shift, widened=widened),)


def pooled_to(axis: Axis, size: int) -> Axis:
    """The axis after adaptive pooling to `size` cells: from floor(i r) to ceil((i + 1) r)."""
    old = line(axis)
    if axis_size(axis) == size:
        return axis
    if size == 0 or old is None:
        return resized(axis, size)
    ratio = old.size / size
    ends = [(i * old.size // size, -((-(i + 1) * old.size) // size)) for i in range(size)]
    off = max(abs((first + last) / 2 - (i + 0.5) * ratio) for i, (first, last) in enumerate(ends))
    wide = max(last - first for first, last in ends)
    return (stepped(old, size, ratio, widened=wide - 1, apart=off, fixed=False),)


def convolution(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    weight, spatial = args[1], out.ndim - 2
    stride, padding, dilation = (sizes(args[k], spatial, 1) for k in (3, 4, 5))
    slide = transposed_window if args[6] else window
    layout = as_image(inputs[0])
    channels = _output_channels(layout[1], int(out.shape[1]), int(args[8]))
    places = (
        slide(
            layout[2 + d], int(out.shape[2 + d]), kernel=int(weight.shape[2 + d]),
            stride=stride[d], padding=padding[d], dilation=dilation[d],
        )
        for d in range(spatial)
    )  # fmt: skip
    if spatial == 3:  # bands that a photo's channels were cut into are none of the features' own
        places = (_depth(axis) for axis in places)
    return (_batch(layout[0]), channels, *places)


def _depth(axis: Axis) -> Axis:
    return tuple(f._replace(label=OTHER) if f.label == CHANNEL else f for f in axis)


def _batch(axis: Axis) -> Axis:
    """The batch's axis; groups of channels folded into it are none after a convolution."""
    return tuple(Factor(OTHER, f.size) if f.label == CHANNEL else f for f in axis)


def _output_channels(axis: Axis, size: int, groups: int) -> Axis:
    """Channels; those of each photo, where photos folded into channels are groups of their own."""
    if len(axis) > 1 and axis[0].label == BATCH and groups % axis[0].size == 0:
        return (axis[0], Factor(CHANNEL, size // axis[0].size))
    return (Factor(CHANNEL, size),)


def pooled(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout, kernel = inputs[0], sizes(args[1], 2, 1)
    if len(layout) < 3 or len(layout) != out.ndim:
        return plain_layout(out.shape)
    if not out.is_floating_point():
        layout = tuple(map(_numbered, layout))
    stride = list(argument(args, kwargs, 2, "stride", []) or kernel)
    padding = sizes(argument(args, kwargs, 3, "padding", 0), 2, 0)
    dilation = [1, 1]
    if len(args) > 4 and isinstance(args[4], (list, tuple)):
        dilation = sizes(args[4], 2, 1)
    return (
        *layout[:-2],
        *(
            window(
                layout[d - 2],
                int(out.shape[d - 2]),
                kernel=kernel[d],
                stride=sizes(stride, 2, 1)[d],
                padding=padding[d],
                dilation=dilation[d],
            )
            for d in (0, 1)
        ),
    )


def _numbered(axis: Axis) -> Axis:
    """The axis of indices: they number its cells as they are before pooling."""
    old = line(axis)
    return axis if old is None else (old._replace(origin=(old.centre, old.step)),)


def unpooled(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """Each value goes to where its maximum was, so that cells lie as before that pooling."""
    values, indices = inputs[0], inputs[1]
    return (
        *values[:-2],
        *(_unpooled_axis(values[d], indices[d], int(out.shape[d])) for d in (-2, -1)),
    )


def _unpooled_axis(values: Axis, indices: Axis, size: int) -> Axis:
    old, index = line(values), line(indices)
    if old is None:
        return resized(values, size)
    if index is None or index.origin is None or not math.isclose(old.step, index.step):
        return (stepped(old, size, old.size / size, apart=math.inf, fixed=False),)
    centre, step = index.origin
    new = stepped(old, size, step / old.step, fixed=index.fixed)
    return (new._replace(centre=centre, apart=new.apart + abs(old.centre - index.centre)),)


def pooled_adaptively(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    return (
        *inputs[0][:-2],
        pooled_to(inputs[0][-2], int(out.shape[-2])),
        pooled_to(inputs[0][-1], int(out.shape[-1])),
    )


def unfolded(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """Unfold: (B, C, H, W) to (B, C times the window's size, windows)."""
    layout = as_image(inputs[0])
    if len(layout) != 4:
        return plain_layout(out.shape)
    kernel, dilation, padding, stride = (sizes(args[k], 2, 1) for k in (1, 2, 3, 4))
    blocks: list[Factor] = []
    places = [Factor(CHANNEL, int(out.shape[1]) // math.prod(kernel))]
    for d in (0, 1):
        old, span = line(layout[2 + d]), dilation[d] * (kernel[d] - 1)
        if old is None:
            return plain_layout(out.shape)
        size = (old.size + 2 * padding[d] - span - 1) // stride[d] + 1
        (new,) = window(
            (old,), size,
            kernel=kernel[d], stride=stride[d], padding=padding[d], dilation=dilation[d],
        )  # fmt: skip
        block, within = _parted(old, new, kernel[d], dilation[d])
        blocks.append(block)
        places.append(within)
    return (layout[0], tuple(places), tuple(blocks))


def _parted(old: Factor, new: Factor, kernel: int, dilation: int = 1) -> tuple[Factor, Factor]:
    """Windows over rows or columns, each a block of these, and the places within a window."""
    part = Part(old.label, old.step * dilation, inner=False)
    within = old._replace(size=kernel, step=part.unit, part=part._replace(inner=True))
    return new._replace(label=OTHER, part=part), within._replace(label=OTHER)


def slid(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """Tensor.unfold: windows along one axis, their contents along a new last one."""
    layout, d = list(inputs[0]), int(args[1]) % len(inputs[0])
    size, step = int(args[2]), int(args[3])
    old = line(layout[d])
    if old is None:
        return plain_layout(out.shape)
    (new,) = window((old,), int(out.shape[d]), kernel=size, stride=step, padding=0)
    block, within = _parted(old, new, size)
    layout[d] = (block,)
    return (*layout, (within,))
