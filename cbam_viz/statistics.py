"""What a layer's gates say in numbers, and in plain words where something is wrong with them.

All numbers are of the gates themselves, in double precision; nothing is rescaled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Attention, Cells, LayerAttention

if TYPE_CHECKING:
    from torch import Tensor

SATURATED_LOW = 0.05
SATURATED_HIGH = 0.95
"""Beyond these a sigmoid's input is past -2.9 or 2.9, and its slope below a fifth of the steepest:
training moves such a gate only slowly, and the layer works like a switch."""

MOSTLY = 0.5
"""A gate is called saturated if more than this share of its values is nearly closed or nearly open,
and nearly binary if it takes both together."""

FLAT_RANGE = 0.01
"""A gate whose values all lie within this changes nothing that one number could not: on an absolute
scale they are less than three of 256 colours apart."""

UNTRAINED = 0.5
"""What a sigmoid gives for zero; exactly this everywhere comes from weights that are zero."""

FINE = 7
"""Cells a side from which on a map says where something is: a last stage's at 224 px."""

TELLING_SPREAD = 0.1
"""Standard deviation over cells from which on a map is seen to vary on an absolute scale."""


@dataclass(frozen=True)
class GateStatistics:
    """Numbers of one gate on one image; finite values only, NaN if there is none."""

    mean: float
    spread: float
    """Standard deviation over channels, or over cells (population form, divided by n)."""
    minimum: float
    maximum: float
    closed: float
    """Share of values below `SATURATED_LOW`, in [0, 1]."""
    opened: float
    """Share of values above `SATURATED_HIGH`, in [0, 1]."""
    entropy: float | None
    """Shannon entropy of the values as a distribution, over that of a uniform one: 1 for equal
    values, 0 if all but one are zero. None if values are negative or all zero."""
    count: int
    """Number of values."""
    not_finite: int
    """How many of them are NaN or infinite."""

    @property
    def saturated(self) -> float:
        """Share of values that are nearly closed or nearly open, in [0, 1]."""
        return self.closed + self.opened

    @property
    def extent(self) -> float:
        """Maximum minus minimum."""
        return self.maximum - self.minimum


@dataclass(frozen=True)
class LayerStatistics:
    """Both gates of one layer on one image."""

    name: str
    stage: str
    channel: GateStatistics | None
    """None for a spatial-only layer."""
    spatial: GateStatistics | None
    """None for a channel-only layer."""
    flags: tuple[str, ...]
    """Whatever keeps this layer from doing what attention should, and its map from being drawn
    exactly where it lies, in words; empty if nothing."""


def layer_statistics(layer: LayerAttention, index: int = 0) -> LayerStatistics:
    """Numbers and flags of a layer for image `index` of the batch."""
    channel = _statistics_of(layer.channel, index)
    spatial = _statistics_of(layer.spatial, index)
    flags = _flags(channel, spatial)
    place = placement_note([] if layer.cells is None else [layer.cells])
    if place:
        flags += (place,)
    return LayerStatistics(layer.name, layer.stage, channel, spatial, flags)


def all_statistics(attention: Attention, index: int = 0) -> tuple[LayerStatistics, ...]:
    """`layer_statistics` of every layer, in order of execution."""
    return tuple(layer_statistics(layer, index) for layer in attention.values())


def placement_note(cells: Iterable[Cells]) -> str:
    """Why it is not exact where maps with these cells are drawn, and how far; empty if it is."""
    inexact = [one.within for one in cells if not one.exact]
    if not inexact:
        return ""
    within = [far for far in inexact if far]
    if len(within) < len(inexact):
        return "place not known: something on the way to the map is not known to keep positions"
    return (
        f"place not exact: what reaches a cell is centred up to {max(within):.3g} px of the input "
        "beside it; where paths merge, the finest decides"
    )


def gate_statistics(values: npt.NDArray[Any]) -> GateStatistics:
    """Numbers of any array of gate values."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    missing = flat.size - finite.size
    if not finite.size:
        nan = math.nan
        return GateStatistics(nan, nan, nan, nan, nan, nan, None, flat.size, missing)
    return GateStatistics(
        mean=float(finite.mean()),
        spread=float(finite.std()),
        minimum=float(finite.min()),
        maximum=float(finite.max()),
        closed=float(np.mean(finite < SATURATED_LOW)),
        opened=float(np.mean(finite > SATURATED_HIGH)),
        entropy=relative_entropy(finite),
        count=flat.size,
        not_finite=missing,
    )


def relative_entropy(values: npt.NDArray[Any]) -> float | None:
    """Entropy of values normalised to sum 1, divided by log(n); None if they are no distribution.

    A single value is as even as can be: 1.
    """
    weights = np.asarray(values, dtype=np.float64).ravel()
    total = float(weights.sum())
    if not weights.size or weights.min() < 0 or not 0 < total < math.inf:
        return None
    if weights.size == 1:
        return 1.0
    shares = weights[weights > 0] / total
    entropy = -float(np.sum(shares * np.log(shares))) / math.log(weights.size)
    return min(1.0, max(0.0, entropy))


def top_channels(weights: npt.NDArray[Any], count: int) -> tuple[int, ...]:
    """Indices of the `count` highest weights (C,), highest first; equal weights in index order."""
    order = np.argsort(-np.asarray(weights, dtype=np.float64), kind="stable")
    return tuple(int(channel) for channel in order[:count])


def _statistics_of(gate: Tensor | None, index: int) -> GateStatistics | None:
    return None if gate is None else gate_statistics(gate[index].numpy())


def _flags(channel: GateStatistics | None, spatial: GateStatistics | None) -> tuple[str, ...]:
    gates = [gate for gate in (channel, spatial) if gate is not None]
    if gates and all(_is_untrained(gate) for gate in gates):
        return ("untrained: every gate is exactly 0.5",)
    flags: list[str] = []
    if channel is not None:
        flags += _gate_flags(channel, "channel weights", "the channel weights differ by")
    if spatial is not None:
        flags += _gate_flags(spatial, "cells of the map", "over the photo the map varies by")
    return tuple(flags)


def _gate_flags(gate: GateStatistics, values: str, varies: str) -> Iterable[str]:
    """Sentences without full stop on one gate, the gravest first."""
    if gate.not_finite:
        yield f"{gate.not_finite} of {gate.count} {values} are not finite numbers"
    if gate.not_finite == gate.count:
        return
    if _is_untrained(gate):
        yield f"untrained: all {values} are exactly 0.5"
        return
    if gate.count == 1:
        yield f"a single value: {values} must be several to differ"
    elif gate.extent < FLAT_RANGE:
        yield f"flat: {varies} less than {FLAT_RANGE:g}"
    if gate.minimum < 0 or gate.maximum > 1:
        yield (
            f"beyond [0, 1]: the {values} go from {gate.minimum:.3g} to {gate.maximum:.3g}, so "
            "this gate does not end in a sigmoid"
        )
    elif gate.saturated > MOSTLY:
        yield _saturation(gate, values)


def _saturation(gate: GateStatistics, values: str) -> str:
    """How much of a gate is closed, open, or both."""
    closed = f"nearly closed (below {SATURATED_LOW:g})"
    opened = f"fully open (above {SATURATED_HIGH:g})"
    if gate.closed > MOSTLY:
        return f"saturated: {_percent(gate.closed)} of the {values} are {closed}"
    if gate.opened > MOSTLY:
        return f"saturated: {_percent(gate.opened)} of the {values} are {opened}"
    return (
        f"nearly binary: {_percent(gate.closed)} of the {values} are {closed} and "
        f"{_percent(gate.opened)} {opened}"
    )


def _is_untrained(gate: GateStatistics) -> bool:
    return not gate.not_finite and gate.minimum == gate.maximum == UNTRAINED


def _percent(share: float) -> str:
    """Whole per cent, where only all is 100 and only nothing is 0."""
    if 0 < share < 0.01:
        return "less than 1 %"
    return f"{math.floor(share * 100) if share > 0.99 else round(share * 100)} %"


def layer_to_show(layers: Iterable[LayerAttention], index: int = 0) -> LayerAttention:
    """The layer to look at first: the deepest whose map of image `index` says where.

    Deep layers answer to objects rather than to edges. So the last one counts whose map varies and
    has some resolution; failing that the last that varies, the one that varies most, the last at
    all.
    """
    everything = list(layers)
    mapped = [layer for layer in everything if layer.spatial is not None]
    if not mapped:
        return everything[-1]
    spread = {layer.name: float(_map(layer, index).std()) for layer in mapped}
    varied = [layer for layer in mapped if spread[layer.name] >= TELLING_SPREAD]
    fine = [layer for layer in varied if min(_map(layer, index).shape) >= FINE]
    return (fine or varied or [max(mapped, key=lambda layer: spread[layer.name])])[-1]


def _map(layer: LayerAttention, index: int) -> npt.NDArray[Any]:
    assert layer.spatial is not None
    return layer.spatial[index].numpy()
