"""The pictures of a gate's stages: which values they show, on which range, and what is marked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from cbam_viz.computation import GateComputation, GateKind
from cbam_viz.steps.groups import Item, Stage
from cbam_viz.steps.records import Followed, Picture, PictureKind, Values, spread

MOST_PICTURES = 4
"""Of a stack of maps; the rest is counted."""

FROM = {"mean": "the mean", "max": "the maximum"}
TITLES = {"mean": "mean", "max": "maximum"}
GATE_TITLES: Mapping[GateKind, str] = {
    "channel": "Channel weights",
    "spatial": "Spatial map, absolute",
}


@dataclass(frozen=True)
class Context:
    """What all pictures of one gate have in common."""

    gate: GateComputation
    items: Sequence[Item]
    last: Item | None
    """The one whose result is the gate."""
    followed: Followed
    unit: int | None
    """The hidden unit whose numbers are told."""
    weights: Mapping[str, Tensor]


def pictures_of(context: Context, stage: Stage) -> tuple[list[Picture], str]:
    pictures: list[Picture] = []
    reasons: list[str] = []
    if stage.family == "convolution":
        pictures.extend(_filters(context, stage.first))
    for item in stage.items:
        title = _title(context, stage, item)
        values = item.values
        if values.values is None:
            reasons.append(_why_not(item))
        elif values.kind == "maps":
            named = _named_maps(context, item)
            shown = list(zip(named, values.values, strict=True))[:MOST_PICTURES]
            pictures.extend(_map(context, name, one) for name, one in shown)
            if len(named) > MOST_PICTURES:
                reasons.append(f"The first {MOST_PICTURES} of {len(named)} maps are shown.")
        elif values.kind == "map":
            gate = item is context.last
            pictures.append(_map(context, title, values.values, gate=gate))
            if gate:
                pictures.append(_map(context, "The same, stretched", values.values))
        elif values.kind == "features":
            one = values.values[context.followed.channel]
            pictures.append(_map(context, f"{title}, channel {context.followed.channel}", one))
        else:
            pictures.append(_vector(context, title, item))
    return pictures, " ".join(dict.fromkeys(reasons))


def _title(context: Context, stage: Stage, item: Item) -> str:
    if item is context.last:
        return GATE_TITLES[context.gate.kind]
    words = {
        "pool places": "over places", "pool channels": "over channels",
    }.get(stage.family)  # fmt: skip
    pool = TITLES[item.pools[0]].capitalize() if len(item.pools) == 1 else ""
    if words and pool:
        return f"{pool} {words}"
    after = {
        "dense": "After the layer", "activation": "After the activation", "sum": "Sum",
        "scale": "Scaled", "convolution": "After the convolution", "norm": "After BatchNorm",
    }.get(stage.family, "Result")  # fmt: skip
    return f"{after}, from {FROM[item.pools[0]]}" if pool and len(stage.items) > 1 else after


def _map(context: Context, title: str, values: Values, *, gate: bool = False) -> Picture:
    low, high = spread(values)
    if gate:
        low, high = min(0.0, low), max(1.0, high)
    return Picture(title, "map", values, low, high, context.followed.cell)


def _vector(context: Context, title: str, item: Item) -> Picture:
    values = item.values.values
    assert values is not None
    low, high = spread(values)
    if item is context.last:
        low, high = min(0.0, low), max(1.0, high)
    of_channels = item.values.kind == "channels"
    kind: PictureKind = "channels" if of_channels else "units"
    marked = context.followed.channel if of_channels else context.unit
    if marked is not None and marked >= values.size:
        marked = None
    return Picture(title, kind, values, low, high, marked)


def _named_maps(context: Context, item: Item) -> list[str]:
    """Names of stacked maps: what was stacked, if each is one map."""
    assert item.values.values is not None
    inputs = [context.items[k] for k in item.operation.inputs]
    each = [one.pools[0] for one in inputs if len(one.pools) == 1 and one.values.kind == "map"]
    count = len(item.values.values)
    if len(each) == count and item.family == "concat":
        return [f"Map {k + 1}: {TITLES[pool]}" for k, pool in enumerate(each)]
    return [f"Map {k + 1}" for k in range(count)]


def _filters(context: Context, item: Item) -> list[Picture]:
    """The weights of a convolution into one map, for each map that it looks at."""
    weight = next((context.weights[n] for n in item.weights if context.weights[n].ndim == 4), None)
    if weight is None or weight.shape[0] != 1 or weight.shape[1] > MOST_PICTURES:
        return []
    if math.prod(weight.shape[2:]) == 1:
        return []
    values = weight.detach().float().cpu().numpy()[0]
    most = float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0
    inputs = [context.items[k] for k in item.operation.inputs]
    stacked = inputs[0] if inputs else None
    names = ["" for _ in values]
    if stacked is not None and stacked.family == "concat" and stacked.values.values is not None:
        told = [name.partition(": ")[2] for name in _named_maps(context, stacked)]
        names = [f" for the {name}" if name else "" for name in told]
    return [
        Picture(f"Filter{name}", "filter", one, -most, most, None)
        for name, one in zip(names, values, strict=True)
    ]


def gate_picture(kind: GateKind, values: Values, followed: Followed) -> Picture:
    """A gate as it multiplies, on the absolute scale."""
    low, high = spread(values)
    marked = followed.cell if kind == "spatial" else followed.channel
    of = "map" if kind == "spatial" else "channels"
    return Picture(GATE_TITLES[kind], of, values, min(0.0, low), max(1.0, high), marked)  # type: ignore[arg-type]


def _why_not(item: Item) -> str:
    if item.values.kind == "other":
        shape = " × ".join(map(str, item.values.shape))
        return (
            f"These values ({shape}) are neither one a channel nor one a place, so they have no "
            "picture here."
        )
    return (
        f"Its {math.prod(item.operation.shape):,} values are too many to be kept, so they have no "
        "picture here."
    )
