"""Which layer of one network stands beside which of another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cbam_viz.attention import LayerAttention
from cbam_viz.errors import MetricError
from cbam_viz.layer_names import find_called, no_such_layer

Way = Literal["chosen", "name", "stage", "nearest stage", "depth"]
"""How two layers came to stand beside each other."""

RULE = (
    "Layers of one name correspond. Where names differ, it is the layer at the same depth among "
    "those with cells of the same size (as many pixels of the input apart: here they are a stage), "
    "the first beside the first and the last beside the last. Where the other network has no gates "
    "in that stage, the nearest one stands for it; where layers have no maps, the depth among all "
    "layers decides."
)
WORDS: dict[Way, str] = {
    "chosen": "chosen by hand",
    "name": "of the same name",
    "stage": "at the same depth among layers with cells of the same size",
    "nearest stage": "of the nearest stage that has gates",
    "depth": "at the same depth of the network",
}


@dataclass(frozen=True)
class Match:
    """The layer of another network that corresponds to one."""

    layer: str
    way: Way


def correspond(
    first: Mapping[str, LayerAttention],
    other: Mapping[str, LayerAttention],
    chosen: Mapping[str, str] | None = None,
) -> dict[str, Match | None]:
    """For each layer of `first`, in order, the layer of `other` beside it, by `RULE`.

    Both hold all captured layers in order of execution. A layer has at least one kind of gate in
    common with the one that is found for it; None where `other` has none of that kind, unless a
    layer has the same name. `chosen` goes before the rule: layers of `first` with those of `other`.

    Raises:
        MetricError: `chosen` names a layer that is not there.
    """
    wanted = {_of(first, one): _of(other, beside) for one, beside in (chosen or {}).items()}
    return {
        name: Match(wanted[name], "chosen") if name in wanted else _match(name, first, other)
        for name in first
    }


def _of(known: Mapping[str, LayerAttention], wanted: str) -> str:
    """A layer's name, by what it is called. Raises MetricError."""
    found = find_called(known, wanted)
    if found is None:
        raise MetricError(no_such_layer(list(known), wanted))
    return found


def _match(
    name: str, first: Mapping[str, LayerAttention], other: Mapping[str, LayerAttention]
) -> Match | None:
    if name in other:
        return Match(name, "name")
    layer = first[name]
    alike = [one for one in other.values() if _share_a_gate(layer, one)]
    if not alike:
        return None
    steps = [step for step in map(_step, alike) if step is not None]
    own = _step(layer)
    way: Way = "depth"
    beside = list(first.values())
    if own is not None and steps:
        # What a stage means in every architecture: the fourth of a ResNet has cells of 32 pixels,
        # as the sixth and seventh of an EfficientNet.
        near = min(steps, key=lambda step: abs(math.log(step / own)))
        way = "stage" if math.isclose(near, own) else "nearest stage"
        alike = [one for one in alike if _step(one) == near]
        beside = [one for one in beside if _step(one) == own]
    place = [one.name for one in beside].index(name)
    return Match(_at_the_same_depth(place, len(beside), [one.name for one in alike]), way)


def _at_the_same_depth(place: int, count: int, names: Sequence[str]) -> str:
    """The first for the first, the last for the last; one alone counts as the last."""
    share = place / (count - 1) if count > 1 else 1.0
    return names[round(share * (len(names) - 1))]


def _step(layer: LayerAttention) -> float | None:
    """How many pixels of the input a map's cells are apart; None of a layer without a map."""
    if layer.cells is None:
        return None
    return math.sqrt(abs(layer.cells.stride_y * layer.cells.stride_x)) or None


def _share_a_gate(one: LayerAttention, other: LayerAttention) -> bool:
    both_maps = one.spatial is not None and other.spatial is not None
    return both_maps or (one.channel is not None and other.channel is not None)
