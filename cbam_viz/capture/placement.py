"""How each operation moves rows and columns: one rule per aten operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from .axes import (
    BATCH,
    BRANCH,
    CHANNEL,
    COLUMN,
    OTHER,
    ROW,
    Axis,
    Factor,
    Layout,
    axis_size,
    image_layout,
    labels,
    merged,
    plain_layout,
    pooled_to,
    regrouped,
    resized,
    same_place,
    scaled,
    transposed_window,
    window,
)
from .operators import base

Rule = Callable[[Sequence[Any], dict[str, Any], Sequence[Layout], Tensor], Layout]
"""From an operator's arguments, the layouts of its tensor arguments and one output, to a layout."""


def layout_after(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """The layout of one output of an operator; axes without meaning where no rule knows it."""
    rule = _RULES.get(base(name))
    shape = tuple(out.shape)
    if rule is not None and inputs:
        layout = rule(args, kwargs, inputs, out)
        if tuple(map(axis_size, layout)) == shape:
            return layout
    alike = [one for one in inputs if tuple(map(axis_size, one)) == shape]
    return merged(alike, shape) if alike else plain_layout(shape)


def as_image(layout: Layout) -> Layout:
    """A 4-D layout whose axes, unknown as a whole or in part, are read as (B, C, H, W).

    Only where what is known of them does not forbid it.
    """
    if len(layout) != 4:
        return layout
    usual = image_layout(tuple(map(axis_size, layout)), placed=False)
    known = [labels(axis) - {OTHER} for axis in layout]
    if all(names <= {axis[0].label} for names, axis in zip(known, usual, strict=True)):
        return tuple(
            new if OTHER in labels(axis) else axis for axis, new in zip(layout, usual, strict=True)
        )
    return layout


def _dims(value: Any, count: int, default: int) -> list[int]:
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return [default] * count
    if isinstance(value, int):
        return [value] * count
    return [int(v) for v in value] * (count if len(value) == 1 else 1)


def _arg(args: Sequence[Any], kwargs: dict[str, Any], place: int, name: str, default: Any) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _convolution(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    weight, spatial = args[1], out.ndim - 2
    stride, padding, dilation = (_dims(args[k], spatial, 1) for k in (3, 4, 5))
    transposed = bool(args[6])
    layout = as_image(inputs[0])
    result: list[Axis] = [
        _batch(layout[0]),
        _output_channels(layout[1], int(out.shape[1]), int(args[8])),
    ]
    for d in range(spatial):
        axis, size, kernel = layout[2 + d], int(out.shape[2 + d]), int(weight.shape[2 + d])
        if transposed:
            result.append(
                transposed_window(
                    axis,
                    size,
                    kernel=kernel,
                    stride=stride[d],
                    padding=padding[d],
                    dilation=dilation[d],
                )
            )
        else:
            result.append(
                window(
                    axis,
                    size,
                    kernel=kernel,
                    stride=stride[d],
                    padding=padding[d],
                    dilation=dilation[d],
                )
            )
    return tuple(result)


def _batch(axis: Axis) -> Axis:
    """The batch's axis; groups of channels folded into it are none after a convolution."""
    return tuple(Factor(OTHER, f.size) if f.label == CHANNEL else f for f in axis)


def _output_channels(axis: Axis, size: int, groups: int) -> Axis:
    """Channels; those of each photo, where photos folded into channels are groups of their own."""
    if len(axis) > 1 and axis[0].label == BATCH and groups % axis[0].size == 0:
        return (axis[0], Factor(CHANNEL, size // axis[0].size))
    return (Factor(CHANNEL, size),)


def _pool(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout, kernel = inputs[0], _dims(args[1], 2, 1)
    if len(layout) < 3 or len(layout) != out.ndim:
        return plain_layout(out.shape)
    stride = list(_arg(args, kwargs, 2, "stride", []) or kernel)
    padding = _dims(_arg(args, kwargs, 3, "padding", 0), 2, 0)
    dilation = [1, 1]
    if len(args) > 4 and isinstance(args[4], (list, tuple)):
        dilation = _dims(args[4], 2, 1)
    return (
        *layout[:-2],
        *(
            window(
                layout[d - 2],
                int(out.shape[d - 2]),
                kernel=kernel[d],
                stride=_dims(stride, 2, 1)[d],
                padding=padding[d],
                dilation=dilation[d],
            )
            for d in (0, 1)
        ),
    )


def _adaptive(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    return (
        *inputs[0][:-2],
        pooled_to(inputs[0][-2], int(out.shape[-2])),
        pooled_to(inputs[0][-1], int(out.shape[-1])),
    )


def _reduce(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout = inputs[0]
    dims = _arg(args, kwargs, 1, "dim", None)
    if not isinstance(dims, (list, tuple)):
        dims = range(len(layout)) if dims is None or isinstance(dims, bool) else [dims]
    gone = {int(d) % len(layout) for d in dims} or set(range(len(layout)))
    if out.ndim == len(layout):
        return tuple(() if d in gone else axis for d, axis in enumerate(layout))
    return tuple(axis for d, axis in enumerate(layout) if d not in gone)


def _interpolate(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout, corners = inputs[0], any(a is True for a in args)
    result = list(layout[:-2])
    for d in (-2, -1):
        old, new = axis_size(layout[d]), int(out.shape[d])
        whole = new % max(old, 1) == 0 and not corners
        scale = (old - 1) / max(new - 1, 1) if corners else old / max(new, 1)
        result.append(scaled(layout[d], new, scale, corners=corners, fixed=whole))
    return tuple(result)


def _pad(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout, amounts = list(inputs[0]), list(args[1])
    for k in range(len(amounts) // 2):
        d = len(layout) - 1 - k
        layout[d] = _shifted(layout[d], -int(amounts[2 * k]), int(out.shape[d]))
    return tuple(layout)


def _shifted(axis: Axis, by: int, size: int, every: int = 1) -> Axis:
    if len(axis) != 1 or axis[0].label not in (ROW, COLUMN):
        return resized(axis, size)
    old = axis[0]
    return (
        replace(
            old,
            size=size,
            centre=old.centre + old.step * by,
            step=old.step * every,
            fixed=old.fixed and by >= 0 and every >= 1 and by < 2,
        ),
    )


def _slice(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout = list(inputs[0])
    d = int(_arg(args, kwargs, 1, "dim", 0)) % len(layout)
    size = axis_size(layout[d])
    start = _arg(args, kwargs, 2, "start", 0) or 0
    start = max(0, start + size if start < 0 else start)
    every = int(_arg(args, kwargs, 4, "step", 1))
    if start or every != 1 or int(out.shape[d]) != size:
        layout[d] = _shifted(layout[d], int(start), int(out.shape[d]), every)
    return tuple(layout)


def _without_axis(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    d = int(_arg(args, kwargs, 1, "dim", 0)) % len(inputs[0])
    return inputs[0][:d] + inputs[0][d + 1 :]


def _split(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    d = int(_arg(args, kwargs, 2, "dim", 0)) % len(inputs[0])
    layout = list(inputs[0])
    if axis_size(layout[d]) != out.shape[d]:
        layout[d] = resized(layout[d], int(out.shape[d]))
    return tuple(layout)


def _cat(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    d = int(_arg(args, kwargs, 1, "dim", 0)) % out.ndim
    size = int(out.shape[d])
    parts = [layout for layout in inputs if len(layout) == out.ndim]
    if not parts:
        return plain_layout(out.shape)
    shape = [1 if k == d else int(n) for k, n in enumerate(out.shape)]
    rest = merged([(*one[:d], (), *one[d + 1 :]) for one in parts], shape)
    channels = all(labels(one[d]) <= {CHANNEL} for one in parts)
    if not any(labels(one[d]) for one in parts):
        channels = not any(CHANNEL in labels(axis) for axis in rest)
    axis: Axis = (Factor(CHANNEL if channels else OTHER, size),)
    if len(parts) == 1 and axis_size(parts[0][d]) == size:
        axis = parts[0][d]
    return (*rest[:d], axis, *rest[d + 1 :])


def _stack(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    d = int(_arg(args, kwargs, 1, "dim", 0)) % out.ndim
    rest = merged(inputs, [int(n) for k, n in enumerate(out.shape) if k != d])
    photos = d == 0 and rest and labels(rest[0]) == {CHANNEL}
    return (*rest[:d], (Factor(BATCH if photos else BRANCH, int(out.shape[d])),), *rest[d:])


def _view(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    return regrouped(inputs[0], out.shape)


def _permute(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    return tuple(inputs[0][int(d)] for d in args[1])


def _transpose(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout = list(inputs[0])
    if len(layout) < 2:
        return inputs[0]
    one, two = (int(args[1]), int(args[2])) if len(args) > 2 else (0, 1)
    layout[one], layout[two] = layout[two], layout[one]
    return tuple(layout)


def _unsqueeze(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    d = int(args[1]) % out.ndim
    return (*inputs[0][:d], (), *inputs[0][d:])


def _expand(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    return merged(inputs[:1], out.shape)


def _elementwise(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    return merged(inputs, out.shape)


def _first(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """Normalisation and activation: all that matters is the first tensor."""
    return inputs[0]


def _flipped(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """The first cell comes last: steps go backwards."""
    layout = list(inputs[0])
    for dim in args[1]:
        axis = layout[int(dim)]
        if len(axis) == 1 and axis[0].label in (ROW, COLUMN):
            end = axis[0].centre + axis[0].step * (axis[0].size - 1)
            layout[int(dim)] = (replace(axis[0], centre=end, step=-axis[0].step, fixed=False),)
    return tuple(layout)


def _roughly(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    return tuple(same_place(axis) for axis in inputs[0])


def _product(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """Linear layers: the last axis becomes channels. Between features: rows by columns."""
    left = inputs[-2] if len(inputs) >= 2 else inputs[0]
    if len(left) != out.ndim:
        return plain_layout(out.shape)
    right = inputs[-1]
    known = len(right) == out.ndim and labels(right[-1]) & {ROW, COLUMN, CHANNEL}
    if labels(left[-1]) <= {CHANNEL} and not known:
        return (*left[:-1], (Factor(CHANNEL, int(out.shape[-1])),))
    return (*left[:-1], right[-1] if len(right) == out.ndim else ())


def _shuffled(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout = inputs[0]
    result: list[Axis] = [*layout[:-3], (Factor(CHANNEL, int(out.shape[-3])),)]
    for d in (-2, -1):
        old, new = axis_size(layout[d]), int(out.shape[d])
        result.append(scaled(layout[d], new, old / max(new, 1), fixed=True))
    return tuple(result)


def _rules() -> dict[str, Rule]:
    groups: list[tuple[Rule, str]] = [
        (_convolution, "convolution _convolution"),
        (_pool, "max_pool2d_with_indices avg_pool2d max_pool2d mkldnn_max_pool2d"),
        (_adaptive, "_adaptive_avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d"),
        (_reduce, "mean sum amax amin max min var std var_mean std_mean prod norm logsumexp"),
        (_reduce, "median any all"),
        (_interpolate, "upsample_nearest2d upsample_bilinear2d upsample_bicubic2d"),
        (_interpolate, "_upsample_nearest_exact2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa"),
        (_pad, "constant_pad_nd reflection_pad2d replication_pad2d reflection_pad1d"),
        (_slice, "slice"),
        (_without_axis, "select unbind"),
        (_split, "split split_with_sizes"),
        (_cat, "cat"),
        (_stack, "stack"),
        (_view, "view _unsafe_view reshape _reshape_alias _reshape_copy squeeze flatten unflatten"),
        (_permute, "permute"),
        (_transpose, "transpose t"),
        (_unsqueeze, "unsqueeze"),
        (_expand, "expand repeat"),
        (
            _elementwise,
            "add sub mul div maximum minimum where pow addcmul addcdiv lerp lt gt ge le",
        ),
        (_first, "native_batch_norm _native_batch_norm_legit native_layer_norm native_group_norm"),
        (_first, "_native_batch_norm_legit_no_training cudnn_batch_norm _softmax native_dropout"),
        (
            _first,
            "_batch_norm_with_update prelu _prelu_kernel clone _to_copy copy mkldnn_convolution",
        ),
        (_roughly, "roll"),
        (_flipped, "flip"),
        (_product, "mm bmm addmm baddbmm matmul linear"),
        (_shuffled, "pixel_shuffle pixel_unshuffle"),
    ]
    return {name: rule for rule, names in groups for name in names.split()}


_RULES = _rules()
