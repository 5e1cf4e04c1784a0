"""How each operation moves rows and columns: one rule per aten operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .arguments import Rule, argument
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
    carries_places,
    labels,
    lost,
    plain_layout,
    regrouped,
    resized,
    same_place,
)
from .merging import merged
from .operators import VALUELESS, base
from .resampling import flipped, interpolated, padded, picked_from, rolled_values, shuffled, sliced
from .windows import convolution, pooled, pooled_adaptively, slid, unfolded, unpooled


def layout_after(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """The layout of one output of an operator; axes without meaning where no rule knows it.

    What has no rule keeps its places if it is known to work on each value alone; otherwise, where
    the shape suggests that it has kept them, that counts as a guess.
    """
    rule = _RULES.get(base(name))
    shape = tuple(out.shape)
    layout = None
    if rule is not None and inputs:
        layout = rule(args, kwargs, inputs, out)
        if tuple(map(axis_size, layout)) != shape:
            layout = None
    if layout is None and inputs:
        if _is_pointwise(base(name)):
            layout = merged(inputs, shape)
        else:
            alike = [one for one in inputs if tuple(map(axis_size, one)) == shape]
            layout = tuple(map(same_place, merged(alike, shape)))
    if layout is None:
        return plain_layout(shape)
    gone = not carries_places(layout) and any(map(carries_places, inputs))
    return lost(layout) if gone else layout


@cache
def _is_pointwise(name: str) -> bool:
    """True if PyTorch says so of the operator."""
    packet = getattr(torch.ops.aten, name, None)
    return packet is not None and any(
        torch.Tag.pointwise in getattr(packet, overload).tags for overload in packet.overloads()
    )


def _reduce(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout = inputs[0]
    dims = argument(args, kwargs, 1, "dim", None)
    if not isinstance(dims, (list, tuple)):
        dims = range(len(layout)) if dims is None or isinstance(dims, bool) else [dims]
    gone = {int(d) % len(layout) for d in dims} or set(range(len(layout)))
    if out.ndim == len(layout):
        return tuple(() if d in gone else axis for d, axis in enumerate(layout))
    return tuple(axis for d, axis in enumerate(layout) if d not in gone)


def _normed(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """A norm names its order before its dimensions."""
    return _reduce((None, argument(args, kwargs, 2, "dim", None)), {}, inputs, out)


def _halved(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """A gated linear unit."""
    return _split((None, None, argument(args, kwargs, 1, "dim", -1)), {}, inputs, out)


def _without_axis(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    d = int(argument(args, kwargs, 1, "dim", 0)) % len(inputs[0])
    layout = picked_from(inputs[0], d)
    return tuple(layout[:d] + layout[d + 1 :])


def _split(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    d = int(argument(args, kwargs, 2, "dim", 0)) % len(inputs[0])
    layout = list(inputs[0])
    if axis_size(layout[d]) != out.shape[d]:
        layout[d] = resized(layout[d], int(out.shape[d]))
    return tuple(layout)


def _cat(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    d = int(argument(args, kwargs, 1, "dim", 0)) % out.ndim
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
    d = int(argument(args, kwargs, 1, "dim", 0)) % out.ndim
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


def _written(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """Values that are copied into a tensor: they lie where they come from."""
    source = inputs[-1]
    known = carries_places(source) and len(source) == out.ndim
    return source if known and tuple(map(axis_size, source)) == tuple(out.shape) else inputs[0]


def _repeated(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    layout = ((),) * (out.ndim - len(inputs[0])) + inputs[0]
    return tuple(resized(axis, int(size)) for axis, size in zip(layout, out.shape, strict=True))


def _along(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """Values of one axis are gathered or added up along it; the other axes stay."""
    layout = list(inputs[0])
    d = int(argument(args, kwargs, 1, "dim", 0)) % len(layout)
    layout[d] = same_place(resized(layout[d], int(out.shape[d])))
    return tuple(layout)


def _indexed(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """One axis by a list of indices."""
    given = [d for d, index in enumerate(args[1]) if index is not None]
    if len(given) != 1 or args[1][given[0]].ndim != 1:
        return plain_layout(out.shape)
    return _along((None, given[0]), {}, inputs, out)


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
    last = right[-1] if len(right) == out.ndim else ()
    mixed = carries_places(left[-1:]) and not carries_places((last,))
    return (*left[:-1], *(lost((last,)) if mixed else (last,)))


def _turned(
    args: Sequence[Any], kwargs: dict[str, Any], inputs: Sequence[Layout], out: Tensor
) -> Layout:
    """By quarters of a turn: a transposition after or before a flip, or two flips."""
    quarters = int(argument(args, kwargs, 1, "k", 1)) % 4
    one, two = (int(d) % out.ndim for d in argument(args, kwargs, 2, "dims", (0, 1)))
    layout = inputs[0]
    turned = {0: [], 1: [two], 2: [one, two], 3: [one]}[quarters]
    layout = flipped((None, turned), {}, (layout,), out)
    return _transpose((None, one, two), {}, (layout,), out) if quarters % 2 else layout


def _rules() -> dict[str, Rule]:
    groups: list[tuple[Rule, str]] = [
        (convolution, "convolution convolution"),
        (pooled, "max_pool2d_with_indices avg_pool2d max_pool2d mkldnn_max_pool2d"),
        (pooled_adaptively, "_adaptive_avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d"),
        (_reduce, "mean sum amax amin max min var std var_mean std_mean prod logsumexp"),
        (_reduce, "median any all argmax argmin"),
        (_normed, "norm linalg_vector_norm"),
        (_halved, "glu"),
        (unpooled, "max_unpool2d"),
        (interpolated("nearest"), "upsample_nearest2d"),
        (interpolated("nearest", exact=True), "_upsample_nearest_exact2d"),
        (interpolated("bilinear"), "upsample_bilinear2d _upsample_bilinear2d_aa"),
        (interpolated("bicubic"), "upsample_bicubic2d _upsample_bicubic2d_aa"),
        (padded, "constant_pad_nd reflection_pad2d replication_pad2d reflection_pad1d"),
        (sliced, "slice"),
        (_without_axis, "select unbind"),
        (_split, "split split_with_sizes unsafe_split unsafe_split_with_sizes"),
        (_cat, "cat"),
        (_stack, "stack"),
        (_view, "view _unsafe_view reshape _reshape_alias _reshape_copy squeeze flatten unflatten"),
        (_permute, "permute"),
        (_transpose, "transpose t"),
        (_unsqueeze, "unsqueeze"),
        (_expand, "expand"),
        (
            _elementwise,
            "add sub mul div maximum minimum where pow addcmul addcdiv lerp lt gt ge le",
        ),
        (_first, "native_batch_norm _native_batch_norm_legit native_layer_norm native_group_norm"),
        (_first, "_native_batch_norm_legit_no_training cudnn_batch_norm _softmax native_dropout"),
        (_first, "_batch_norm_with_update prelu _prelu_kernel clone _to_copy detach alias"),
        (_first, "lift_fresh hardswish rrelu_with_noise log_sigmoid_forward _log_softmax"),
        (_first, "channel_shuffle native_channel_shuffle _fused_rms_norm fill zero"),
        (_first, "scaled_dot_product_attention _scaled_dot_product_flash_attention_for_cpu"),
        (_first, "_scaled_dot_product_flash_attention _scaled_dot_product_efficient_attention"),
        (_first, "_safe_softmax _native_multi_head_attention _transformer_encoder_layer_fwd"),
        (_first, "_scaled_dot_product_attention_math _scaled_dot_product_cudnn_attention"),
        (_first, " ".join((*VALUELESS, "bernoulli"))),
        (_written, "copy"),
        (_repeated, "repeat"),
        (_along, "index_select gather cumsum cumprod cummax cummin logcumsumexp"),
        (_along, "scatter scatter_add index_add index_copy"),
        (_indexed, "index"),
        (unfolded, "im2col"),
        (rolled_values, "roll"),
        (slid, "unfold"),
        (flipped, "flip"),
        (_turned, "rot90"),
        (_product, "mm bmm addmm baddbmm matmul linear"),
        (shuffled, "pixel_shuffle pixel_unshuffle"),
    ]
    return {name: rule for rule, names in groups for name in names.split()}


_RULES = _rules()
