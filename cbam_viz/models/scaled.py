"""Weights that lie in a file as codes with scales beside them, where it is plain what they mean.

A code is an 8-bit float or an 8-bit integer, and the weight is code times scale. That is so in the
files of compressed-tensors, vLLM and Hugging Face's fine-grained 8-bit floats, of DeepSeek (whose
`weight_scale_inv` is multiplied too) and of ComfyUI. Which numbers a scale is for, its shape says:

- one number: for all of them;
- as many as the weight's first dimension: one for each output channel;
- a row for each output, of fewer columns than inputs: for as many inputs each;
- a table with fewer rows: for blocks, whose size the `config.json` beside the file states as
  `weight_block_size`, or which are the 128 x 128 of all programs that write such files.

All else is refused by `refuse_quantised`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cbam_viz._text import shortened
from cbam_viz.errors import CheckpointError

_SCALES = ("weight_scale", "weight_scale_inv", "scale_weight")
_ZERO = "weight_zero_point"
_OF_ACTIVATIONS = re.compile(r"(?:input|output|q|k|v|prob)_(?:scale|zero_point)(?:_inv)?")
"""With these, what flows through the network was rounded too; here it is not."""
_FLOATS = frozenset(
    {torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz}
)
USUAL_BLOCK = (128, 128)


def block_size_of(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the rows and columns of a block that a `config.json` states; None if it does not."""
    described = config.get("quantization_config")
    sides = described.get("weight_block_size") if isinstance(described, Mapping) else None
    if isinstance(sides, list) and len(sides) == 2:
        rows, columns = sides
        if all(type(side) is int and 0 < side < 2**20 for side in sides):
            return rows, columns
    return None


def multiplied_out(
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor] | None = None,
    block: tuple[int, int] | None = None,
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors with codes times scales in float32, and sentences on what was done.

    Modules whose codes or scales mean something else are left as they are, and those of which the
    network of the user's own code wants (`wanted`, its state) the codes or the scales.

    Raises
    ------
    CheckpointError
        Scales are no numbers that a weight could be multiplied by.
    """
    beside: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in tensors:
        module, _, leaf = name.rpartition(".")
        beside[module][leaf] = name
    found, ways, rounded = dict(tensors), dict[str, str](), False
    for leaves in beside.values():
        scales = [leaves[leaf] for leaf in _SCALES if leaf in leaves]
        if "weight" not in leaves or len(scales) != 1 or _other_codes(leaves):
            continue
        name, scale, zero = leaves["weight"], scales[0], leaves.get(_ZERO)
        code = tensors[name]
        if not (code.dtype in _FLOATS or (code.dtype == torch.int8 and not scale.endswith("_inv"))):
            continue
        if wanted is not None and (scale in wanted or _wants(wanted, name, code)):
            continue
        told = _weight(code, tensors[scale], None if zero is None else tensors[zero], block, name)
        if told is None:
            continue
        activations = [leaf for leaf in leaves if _OF_ACTIVATIONS.fullmatch(leaf)]
        rounded |= bool(activations)
        for gone in (scale, zero, *(leaves[leaf] for leaf in activations)):
            found.pop(gone or "", None)
        found[name], way = told
        ways.setdefault(way, name)
    return found, _notes(ways, rounded=rounded)


def _other_codes(leaves: Mapping[str, str]) -> bool:
    """Whether more is beside the weight than one scale for it, which would change its meaning."""
    known = {"weight", "bias", _ZERO, *_SCALES}
    odd = re.compile(r".*(?:scale|zero|absmax|SCB|g_idx|quant|packed|codebook|shape).*")
    return any(
        leaf not in known and not _OF_ACTIVATIONS.fullmatch(leaf) and odd.fullmatch(leaf)
        for leaf in leaves
    )


def _wants(wanted: Mapping[str, Tensor], name: str, code: Tensor) -> bool:
    return name in wanted and wanted[name].dtype == code.dtype


def _weight(
    code: Tensor, scale: Tensor, zero: Tensor | None, block: tuple[int, int] | None, name: str
) -> tuple[Tensor, str] | None:
    """Return the weight and how it was made; None where the shapes do not say it."""
    shape = tuple(code.shape)
    if not scale.is_floating_point() or not shape or 0 in (*shape, *scale.shape):
        return None
    if zero is not None and zero.shape != scale.shape:
        if zero.float().any():
            return None
        zero = None
    found = _spread(tuple(scale.shape), shape, block)
    if found is None:
        return None
    sides, way = found
    factors = scale.float()
    if not bool(factors.isfinite().all()) or bool((factors < 0).any()):
        raise CheckpointError(
            f"The scales of {shortened(name)} are negative or no finite numbers: the file is "
            "damaged. Take another copy of it, or the file that it was made from."
        )
    values = code.float()
    if zero is not None:
        values = values - _over(zero.float(), shape, sides)
    return values * _over(factors, shape, sides), way


def _spread(
    scale: tuple[int, ...], shape: tuple[int, ...], block: tuple[int, int] | None
) -> tuple[tuple[int, ...], str] | None:
    """Return how many numbers along each dimension of the weight one scale is for."""
    rows, columns = shape[0], shape[1] if len(shape) > 1 else 1
    others = shape[2:]
    if all(side == 1 for side in scale):
        return shape, "one for each tensor"
    if scale[0] == rows and all(side == 1 for side in scale[1:]) and len(scale) <= len(shape):
        return (1, *shape[1:]), "one for each output channel"
    if len(scale) != 2 or others:
        return None
    if block is None and scale[0] == rows and columns % scale[1] == 0:
        size = columns // scale[1]
        return (1, size), f"one for each {size} inputs of an output channel"
    sides = block or USUAL_BLOCK
    if scale == tuple(-(-side // part) for side, part in zip(shape, sides, strict=True)):
        by = "as config.json says" if block else "the usual size"
        return sides, f"one for each block of {sides[0]} × {sides[1]}, {by}"
    return None


def _over(scale: Tensor, shape: tuple[int, ...], sides: tuple[int, ...]) -> Tensor:
    """Bring scales to the weight's size; blocks at the right and lower edge may be cut."""
    table = scale.reshape([-(-side // part) for side, part in zip(shape, sides, strict=True)])
    for axis, (side, part) in enumerate(zip(shape, sides, strict=True)):
        if table.shape[axis] > 1:  # else it is broadcast
            table = table.repeat_interleave(part, axis).narrow(axis, 0, side)
    return table


def _notes(ways: Mapping[str, str], *, rounded: bool) -> list[str]:
    notes = [
        f"Quantised weights such as {shortened(name)} were multiplied by the scales beside them "
        f"({way})."
        for way, name in ways.items()
    ]
    if rounded:
        notes.append(
            "The file has scales for activations too: where it came from, what flows through the "
            "network is rounded; here it is not."
        )
    return notes
