"""What a layer's gates say in numbers, and in plain words where something is wrong with them.

All numbers are of the gates themselves, in double precision; nothing is rescaled. Those of a map
are of the photo where it is known where that lies: each cell counts by the area that it has there,
so that they are the numbers of the picture, and cells in a border count nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Attention, Cells, LayerAttention
from cbam_viz.images import Geometry, layer_shares

SATURATED_LOW = 0.05
SATURATED_HIGH = 0.95
"""Beyond these a sigmoid's input is past -2.9 or 2.9, and its slope below a fifth of the steepest:
training moves such a gate only slowly, and the layer works like a switch."""

MOSTLY = 0.5
"""A gate is called saturated if more than this share of its values, or of a map's area, is nearly
closed or nearly open, and nearly binary if it takes both together."""

FLAT_RANGE = 0.01
"""A gate whose values all lie within this changes nothing that one number could not: on an absolute
scale they are less than three of 256 colours apart."""

UNTRAINED = 0.5
"""What a sigmoid gives for zero; exactly this everywhere comes from weights that are zero."""

FINE = 7
"""Cells a side, on the photo, from which on a map says where something is: a last stage's at
224 px."""

OF_THE_INPUT = ("saturated", "nearly binary", "flat")
"""Flags that start so may come from an input that the network was not made for."""

TELLING_SPREAD = 0.1
"""Standard deviation over the photo from which on a map is seen to vary on an absolute scale."""


@dataclass(frozen=True)
class GateStatistics:
    """Numbers of one gate on one image; finite values only, NaN if there is none.

    Means and shares of a map are weighted by area where the photo's place is known.
    """

    mean: float
    spread: float
    """Standard deviation over channels, or over the map (population form, divided by n)."""
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
    """Number of values that these numbers are of: of a map the cells that lie on the photo, in part
    at least."""
    total: int
    """Number of all values, cells outside the photo included."""
    not_finite: int
    """How many of the `count` values are NaN or infinite."""

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


def layer_statistics(
    layer: LayerAttention, index: int = 0, geometry: Geometry | None = None
) -> LayerStatistics:
    """Numbers and flags of a layer for image `index` of the batch.

    `geometry` says where that image's photo lies on the input (`Analysis.geometry`); without it all
    cells of the map count alike, those in a border too.
    """
    channel = None if layer.channel is None else gate_statistics(layer.channel[index].numpy())
    spatial = None if layer.spatial is None else _map_statistics(layer, index, geometry)
    where = "the map" if geometry is None else "the map over the photo"
    flags = tuple(_flags(channel, spatial, where))
    place = placement_note([] if layer.cells is None else [layer.cells])
    if place:
        flags += (place,)
    return LayerStatistics(layer.name, layer.stage, channel, spatial, flags)


def all_statistics(
    attention: Attention, index: int = 0, geometry: Geometry | None = None
) -> tuple[LayerStatistics, ...]:
    """`layer_statistics` of every layer, in order of execution."""
    return tuple(layer_statistics(layer, index, geometry) for layer in attention.values())


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


def doubted(statistics: Iterable[LayerStatistics], doubt: str) -> tuple[LayerStatistics, ...]:
    """Add `doubt` to the flags that hold for this input only; nothing if it is empty."""
    return tuple(replace(layer, flags=_doubted(layer.flags, doubt)) for layer in statistics)


def _doubted(flags: tuple[str, ...], doubt: str) -> tuple[str, ...]:
    if not doubt:
        return flags
    return tuple(f"{one}; {doubt}" if one.startswith(OF_THE_INPUT) else one for one in flags)


def gate_statistics(
    values: npt.NDArray[Any], weights: npt.NDArray[Any] | None = None
) -> GateStatistics:
    """Numbers of any array of gate values, each counted by its weight; those of weight 0 are not.

    `weights` has the shape of `values`, is not negative, and need not sum to 1; by default all
    values count alike.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    weight = np.ones(flat.size) if weights is None else np.asarray(weights, np.float64).ravel()
    counted = weight > 0
    known = counted & np.isfinite(flat)
    count, missing = (int(np.count_nonzero(which)) for which in (counted, counted & ~known))
    finite, weight = flat[known], weight[known]
    if not finite.size:
        nan = math.nan
        return GateStatistics(nan, nan, nan, nan, nan, nan, None, count, flat.size, missing)
    mean = float(np.average(finite, weights=weight))
    return GateStatistics(
        mean=mean,
        spread=math.sqrt(np.average((finite - mean) ** 2, weights=weight)),
        minimum=float(finite.min()),
        maximum=float(finite.max()),
        closed=float(np.average(finite < SATURATED_LOW, weights=weight)),
        opened=float(np.average(finite > SATURATED_HIGH, weights=weight)),
        entropy=relative_entropy(finite, weight),
        count=count,
        total=flat.size,
        not_finite=missing,
    )


def relative_entropy(
    values: npt.NDArray[Any], weights: npt.NDArray[Any] | None = None
) -> float | None:
    """Entropy of values normalised to sum 1, divided by log(n); None if they are no distribution.

    A single value is as even as can be: 1. With `weights` (areas, all positive) it is the entropy
    of the distribution over the area: 1 less its divergence from the uniform one, in units of the
    entropy of the areas themselves, which is log(n) where they are equal.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    if not flat.size or flat.min() < 0:
        return None
    area = np.ones(flat.size) if weights is None else np.asarray(weights, np.float64).ravel()
    area = area / area.sum()
    mean = float(np.sum(area * flat))
    if not 0 < mean < math.inf:
        return None
    if flat.size == 1:
        return 1.0
    some = flat > 0
    ratio = flat[some] / mean
    divergence = float(np.sum(area[some] * ratio * np.log(ratio)))
    return min(1.0, max(0.0, 1 + divergence / float(np.sum(area * np.log(area)))))


def _map_statistics(layer: LayerAttention, index: int, geometry: Geometry | None) -> GateStatistics:
    assert layer.spatial is not None
    return gate_statistics(layer.spatial[index].numpy(), layer_shares(layer, geometry))


def _flags(
    channel: GateStatistics | None, spatial: GateStatistics | None, where: str
) -> Iterable[str]:
    gates = [gate for gate in (channel, spatial) if gate is not None]
    if gates and all(_is_untrained(gate) for gate in gates):
        yield "untrained: every gate is exactly 0.5"
        return
    if channel is not None:
        values = "channel weights"
        yield from _gate_flags(
            channel,
            values,
            share=f"the {values} are",
            varies=f"the {values} differ",
            thing="channel",
        )
    if spatial is not None:
        yield from _gate_flags(
            spatial,
            "cells of the map",
            share=f"{where} is",
            varies="over the photo the map varies",
            thing="place",
        )


def remarks(gate: GateStatistics) -> tuple[str, ...]:
    """The flags of one gate in a word or two each, such as `flat`."""
    words = {"share": "the values are", "varies": "the values differ", "thing": "value"}
    return tuple(flag.partition(":")[0] for flag in _gate_flags(gate, "values", **words))


def _gate_flags(
    gate: GateStatistics, values: str, *, share: str, varies: str, thing: str
) -> Iterable[str]:
    """Sentences without full stop on one gate, the gravest first.

    `share` is what percentages are of, with its verb; `thing` is what gets a weight.
    """
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
        yield f"flat: {varies} by less than {FLAT_RANGE:g}, so it prefers no {thing}"
    if gate.minimum < 0 or gate.maximum > 1:
        ends = f"go from {gate.minimum:.3g} to {gate.maximum:.3g}"
        if gate.minimum == gate.maximum:
            ends = f"are all {gate.minimum:.3g}"
        yield f"beyond [0, 1]: the {values} {ends}, so this gate does not end in a sigmoid"
    elif gate.saturated > MOSTLY:
        yield _saturation(gate, share, f"most {thing}s")


def _saturation(gate: GateStatistics, share: str, most: str) -> str:
    """How much of a gate is closed, open, or both, and what that means."""
    closed = f"nearly closed (below {SATURATED_LOW:g})"
    opened = f"fully open (above {SATURATED_HIGH:g})"
    if gate.closed > MOSTLY:
        return f"saturated: {_percent(gate.closed)} of {share} {closed}, so it holds {most} back"
    if gate.opened > MOSTLY:
        return (
            f"saturated: {_percent(gate.opened)} of {share} {opened}, so it lets {most} pass "
            "unchanged"
        )
    return (
        f"nearly binary: {_percent(gate.closed)} of {share} {closed} and {_percent(gate.opened)} "
        f"{opened}, so it works like a switch"
    )


def _is_untrained(gate: GateStatistics) -> bool:
    return not gate.not_finite and gate.minimum == gate.maximum == UNTRAINED


def _percent(share: float) -> str:
    """Whole per cent, where only all is 100 and only nothing is 0."""
    if 0 < share < 0.01:
        return "less than 1 %"
    return f"{math.floor(share * 100) if share > 0.99 else round(share * 100)} %"


def layer_to_show(
    layers: Iterable[LayerAttention], index: int = 0, geometry: Geometry | None = None
) -> LayerAttention:
    """The layer to look at first: the deepest whose map of image `index` says where.

    Deep layers answer to objects rather than to edges. So the last one counts whose map varies and
    has some resolution, both on the photo if `geometry` says where that lies; failing that the last
    that varies, the one that varies most, the last at all.
    """
    everything = list(layers)
    mapped = [layer for layer in everything if layer.spatial is not None]
    if not mapped:
        return everything[-1]
    spread = {layer.name: _map_spread(layer, index, geometry) for layer in mapped}
    varied = [layer for layer in mapped if spread[layer.name] >= TELLING_SPREAD]
    fine = [layer for layer in varied if _cells_a_side(layer, geometry) >= FINE]
    return (fine or varied or [max(mapped, key=lambda layer: spread[layer.name])])[-1]


def _map_spread(layer: LayerAttention, index: int, geometry: Geometry | None) -> float:
    """-1 for a map with values that are no finite numbers: any other is shown rather."""
    numbers = _map_statistics(layer, index, geometry)
    return -1.0 if numbers.not_finite else numbers.spread


def _cells_a_side(layer: LayerAttention, geometry: Geometry | None) -> int:
    """Rows or columns of cells on the photo, whichever are fewer."""
    on_photo = layer_shares(layer, geometry) > 0
    return min(int(on_photo.any(axis).sum()) for axis in (0, 1))
