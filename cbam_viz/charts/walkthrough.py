"""Charts for the walk through CBAM's channel attention (CBAM, section 3.1, equation 2)."""

from __future__ import annotations

from collections.abc import Sequence
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

AVERAGE = "from average pooling"
MAXIMUM = "from max pooling"
SUM = "sum"

DEFAULT_CHANNELS = 16


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
        "legend": {"orient": "top", "title": None, "columns": 2},
    }
    y = {"field": "logit", "type": "quantitative", "title": "logit", "stack": None}
    tooltip = [
        {"field": "channel", "title": "channel"},
        {"field": "part", "title": "part"},
        {"field": "logit", "type": "quantitative", "title": "logit", "format": ".4f"},
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
        "x": {"field": "logit", "type": "quantitative", "title": "logit (sum of both branches)"},
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
        {"field": "logit", "type": "quantitative", "title": "logit", "format": ".4f"},
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
