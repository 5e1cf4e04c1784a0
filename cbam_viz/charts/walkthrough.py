"""Charts for the walk through a layer: vectors, what an MLP makes of them, the sigmoid.

Equation 2 of CBAM, section 3.1, is what they show for the paper's own layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.charts.common import (
    ACCENT,
    MUTED,
    SCHEMA,
    STRONG,
    Spec,
    channel_values,
    json_number,
)
from cbam_viz.errors import RenderError

AVERAGE = "from the mean"
MAXIMUM = "from the maximum"
SUM = "sum"

DEFAULT_CHANNELS = 16


def vector_chart(
    vectors: Mapping[str, npt.NDArray[Any]], *, selected: int | None = None, what: str = "channel"
) -> Spec:
    """Show one or two vectors (n,), by name: a point for each value, over its number.

    Points stay visible where bars of 2,048 channels would be thinner than a pixel. Those of
    `selected` are marked by a line and by larger points. `what` is one of what there are n of.
    Raises RenderError for no vector, vectors of different lengths, and a number that is none of n.
    """
    arrays = [channel_values(values, "a vector") for values in vectors.values()]
    if not arrays or any(one.shape != arrays[0].shape for one in arrays):
        raise RenderError("Give one vector at least, and all of the same length.")
    if selected is not None and not 0 <= selected < arrays[0].size:
        raise RenderError(f"There is no {what} {selected}, only 0 to {arrays[0].size - 1}.")
    names = list(vectors)
    points = [
        {"of": name, "number": index, "value": json_number(value)}
        for name, values in zip(names, arrays, strict=True)
        for index, value in enumerate(values.tolist())
    ]
    marked = [one for one in points if one["number"] == selected]
    x = {
        "field": "number",
        "type": "quantitative",
        "title": what,
        "scale": {"domain": [-0.5, arrays[0].size - 0.5], "nice": False},
        "axis": {"tickMinStep": 1, "format": "d"},
    }
    encoding: Spec = {
        "x": x,
        "y": {"field": "value", "type": "quantitative", "title": None},
        "color": {
            "field": "of",
            "type": "nominal",
            "scale": {"domain": names, "range": [STRONG, MUTED][: len(names)]},
            "legend": {"orient": "top", "title": None, "labelLimit": 0} if len(names) > 1 else None,
        },
        "tooltip": [
            {"field": "number", "type": "quantitative", "title": what},
            {"field": "of", "type": "nominal", "title": "from"},
            {"field": "value", "type": "quantitative", "title": "value", "format": ".4f"},
        ],
    }
    small = 60 if arrays[0].size <= 64 else 14
    return {
        "$schema": SCHEMA,
        "description": f"{' and '.join(names)}: a value for each {what}, {arrays[0].size} of them.",
        "width": "container",
        "height": 220,
        "layer": [
            {
                "data": {"values": marked[:1]},
                "mark": {"type": "rule", "color": ACCENT, "strokeWidth": 1.5},
                "encoding": {"x": x},
            },
            {
                "data": {"values": points},
                "mark": {"type": "circle", "size": small, "opacity": 0.85},
                "encoding": encoding,
            },
            {
                "data": {"values": marked},
                "mark": {"type": "circle", "size": 130, "opacity": 1, "stroke": ACCENT,
                         "strokeWidth": 2},
                "encoding": encoding,
            },
        ],
    }  # fmt: skip


def branch_chart(
    average: npt.NDArray[Any],
    maximum: npt.NDArray[Any],
    *,
    channels: Sequence[int] | None = None,
) -> Spec:
    """Show what the shared MLP makes of both pooled vectors, and their sum, channel by channel.

    `average` and `maximum` are its two outputs (C,), in logits; `channels` says which to show and
    in which order, by default those with the highest sums. Raises RenderError for vectors that do
    not match and channels that do not exist.
    """
    first, second = _two(average, maximum)
    total = first + second
    if channels is None:
        channels = np.argsort(-total, kind="stable")[:DEFAULT_CHANNELS].tolist()
    shown = [int(channel) for channel in channels]
    if not shown or min(shown) < 0 or max(shown) >= total.size:
        raise RenderError(f"Choose channels from 0 to {total.size - 1}, and at least one.")
    records = [
        {"channel": str(channel), "part": part, "logit": json_number(values[channel])}
        for channel in shown
        for part, values in ((AVERAGE, first), (MAXIMUM, second), (SUM, total))
    ]
    x = {
        "field": "channel",
        "type": "nominal",
        "sort": [str(channel) for channel in shown],
        "axis": {"title": "channel", "labelAngle": 0},
    }
    color = {
        "field": "part",
        "type": "nominal",
        "scale": {"domain": [AVERAGE, MAXIMUM, SUM], "range": [STRONG, MUTED, ACCENT]},
        "legend": {"orient": "top", "title": None, "labelLimit": 0, "columns": 2},
    }
    y = {"field": "logit", "type": "quantitative", "title": "before the sigmoid", "stack": None}
    tooltip = [
        {"field": "channel", "title": "channel"},
        {"field": "part", "title": "part"},
        {"field": "logit", "type": "quantitative", "title": "before the sigmoid", "format": ".4f"},
    ]
    encoding = {"x": x, "y": y, "color": color, "tooltip": tooltip}
    offset = {"field": "part", "sort": [AVERAGE, MAXIMUM]}
    return {
        "$schema": SCHEMA,
        "description": "Bars: the two outputs of the shared MLP per channel. Ticks: their sum.",
        "width": "container",
        "height": 260,
        "data": {"values": records},
        "layer": [
            {
                "transform": [{"filter": f"datum.part != '{SUM}'"}],
                "mark": {"type": "bar"},
                "encoding": {**encoding, "xOffset": offset},
            },
            {
                "transform": [{"filter": f"datum.part == '{SUM}'"}],
                "mark": {"type": "tick", "thickness": 3, "bandSize": 26, "opacity": 1},
                "encoding": encoding,
            },
        ],
    }


def sigmoid_chart(
    logits: npt.NDArray[Any], weights: npt.NDArray[Any], *, selected: int | None = None
) -> Spec:
    """Show how logits (C,) become weights (C,): a point a channel, on the curve of the sigmoid.

    The point of the channel `selected` is marked.

    The weights are those of the network, not computed here, so that a point off the curve would
    show a gate that is no sigmoid. Raises RenderError for vectors that do not match.
    """
    before, after = _two(logits, weights)
    finite = before[np.isfinite(before)]
    low, high = min(-6.0, float(finite.min(initial=0))), max(6.0, float(finite.max(initial=0)))
    curve_x = np.linspace(low, high, 121)
    curve = [
        {"logit": json_number(x), "weight": json_number(1 / (1 + np.exp(-x)))} for x in curve_x
    ]
    points = [
        {"channel": channel, "logit": json_number(x), "weight": json_number(y)}
        for channel, (x, y) in enumerate(zip(before.tolist(), after.tolist(), strict=True))
    ]
    encoding = {
        "x": {
            "field": "logit",
            "type": "quantitative",
            "title": "before the sigmoid (sum of both branches)",
            "axis": {"labelFlush": True},
        },
        "y": {
            "field": "weight",
            "type": "quantitative",
            "title": "channel weight",
            "scale": {"domain": [min(0.0, *after.tolist()), max(1.0, *after.tolist())]}
            if np.isfinite(after).all()
            else {"domain": [0, 1]},
        },
    }
    tooltip = [
        {"field": "channel", "type": "quantitative", "title": "channel"},
        {"field": "logit", "type": "quantitative", "title": "before the sigmoid", "format": ".4f"},
        {"field": "weight", "type": "quantitative", "title": "weight", "format": ".4f"},
    ]
    return {
        "$schema": SCHEMA,
        "description": f"The sigmoid curve with the logits and weights of {before.size} channels.",
        "width": "container",
        "height": 260,
        "layer": [
            {
                "data": {"values": curve},
                "mark": {"type": "line", "color": MUTED},
                "encoding": encoding,
            },
            {
                "data": {"values": points},
                "mark": {"type": "circle", "size": 40, "opacity": 0.6, "color": STRONG},
                "encoding": {**encoding, "tooltip": tooltip},
            },
            {
                "data": {"values": [one for one in points if one["channel"] == selected]},
                "mark": {"type": "circle", "size": 140, "opacity": 1, "color": ACCENT},
                "encoding": {**encoding, "tooltip": tooltip},
            },
        ],
    }


def _two(
    first: npt.NDArray[Any], second: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    one, other = channel_values(first, "logits"), channel_values(second, "logits")
    if one.shape != other.shape:
        raise RenderError(
            f"{one.size} values and {other.size} values do not belong to the same channels. Take "
            "both from one layer."
        )
    return one, other
