"""Charts of what other gates change: effects as bars, channels as points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.charts.common import ACCENT, MUTED, SCHEMA, STRONG, Spec, channel_values, json_number
from cbam_viz.errors import RenderError

KINDS = {"channel weights": STRONG, "spatial map": ACCENT, "both": MUTED}
PADDING = {"left": 4, "top": 4, "right": 16, "bottom": 4}
"""Room for what stands at the right end of an axis."""
CLOSED, OPENED = "closed (0)", "opened (1)"


def effects_chart(
    names: Sequence[str], kinds: Sequence[str], changes: Sequence[float], what: str
) -> Spec:
    """A bar for each gate's change of `what` in percentage points, in the order given.

    `kinds` are keys of `KINDS`. Raises RenderError where the three do not belong together.
    """
    if not names or not len(names) == len(kinds) == len(changes) or not set(kinds) <= set(KINDS):
        raise RenderError("Give a name, a kind of gate and a change for each bar.")
    rows = [
        {"gate": f"{name} · {kind}", "kind": kind, "change": json_number(change)}
        for name, kind, change in zip(names, kinds, changes, strict=True)
    ]
    shown = [kind for kind in KINDS if kind in kinds]
    return {
        "$schema": SCHEMA,
        "description": f"Change of {what} in percentage points: " + "; ".join(
            f"{row['gate']} {row['change']:+.1f}" for row in rows
        ),
        "width": "container",
        "padding": PADDING,
        "height": {"step": 24},
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "bar", "height": {"band": 0.72}},
                "encoding": {
                    "x": {"field": "change", "type": "quantitative", "title": None,
                          "axis": {"format": "+~g",
                                   "labelExpr": "datum.value == 0 ? '0' : datum.label"}},
                    "y": {"field": "gate", "type": "nominal", "sort": None, "title": None,
                          "axis": {"labelLimit": 190, "ticks": False, "domain": False}},
                    "color": {
                        "field": "kind", "type": "nominal", "title": None,
                        "scale": {"domain": shown, "range": [KINDS[kind] for kind in shown]},
                        "legend": None,
                    },
                    "tooltip": [
                        {"field": "gate", "type": "nominal", "title": "gate"},
                        {"field": "change", "type": "quantitative", "title": "points",
                         "format": "+.2f"},
                    ],
                },
            },
            {
                "mark": {"type": "rule", "color": "#808890"},
                "encoding": {"x": {"datum": 0, "type": "quantitative"}},
            },
        ],
    }  # fmt: skip


def importance_chart(
    channels: Sequence[int],
    weights: npt.NDArray[Any],
    closed: npt.NDArray[Any],
    opened: npt.NDArray[Any],
) -> Spec:
    """Two points for each channel over its weight: the change of a logit when it is 0 and when 1.

    Raises RenderError for arrays of different lengths.
    """
    arrays = [channel_values(one, "a vector") for one in (weights, closed, opened)]
    if len({len(channels), *(one.size for one in arrays)}) > 1:
        raise RenderError("Give a weight and two changes for each channel.")
    points = [
        {"channel": int(channel), "weight": json_number(weight), "set": name,
         "change": json_number(value)}
        for name, changes in ((CLOSED, arrays[1]), (OPENED, arrays[2]))
        for channel, weight, value in zip(channels, arrays[0], changes, strict=True)
    ]  # fmt: skip
    small = 60 if len(channels) <= 64 else 22
    return {
        "$schema": SCHEMA,
        "description": f"Change of the class's logit over the weight, of {len(channels)} channels: "
        f"from {np.min(closed):.3g} to {np.max(closed):.3g} when a channel is closed, from "
        f"{np.min(opened):.3g} to {np.max(opened):.3g} when it is opened.",
        "width": "container",
        "padding": PADDING,
        "height": 300,
        "layer": [
            {
                "mark": {"type": "rule", "color": "#808890"},
                "encoding": {"y": {"datum": 0, "type": "quantitative"}},
            },
            {
                "data": {"values": points},
                "mark": {"type": "point", "filled": True, "size": small, "opacity": 0.75},
                "encoding": {
                    "x": {"field": "weight", "type": "quantitative", "title": "channel weight",
                          "scale": {"zero": False, "nice": True}},
                    "y": {"field": "change", "type": "quantitative",
                          "title": "change of the logit"},
                    "color": {
                        "field": "set", "type": "nominal", "title": None,
                        "scale": {"domain": [CLOSED, OPENED], "range": [STRONG, ACCENT]},
                        "legend": {"orient": "top", "labelLimit": 0},
                    },
                    "shape": {
                        "field": "set", "type": "nominal", "title": None,
                        "scale": {"domain": [CLOSED, OPENED], "range": ["circle", "triangle-up"]},
                    },
                    "tooltip": [
                        {"field": "channel", "type": "quantitative", "title": "channel"},
                        {"field": "weight", "type": "quantitative", "title": "weight",
                         "format": ".4f"},
                        {"field": "set", "type": "nominal", "title": "gate"},
                        {"field": "change", "type": "quantitative", "title": "change of the logit",
                         "format": "+.4f"},
                    ],
                },
            },
        ],
    }  # fmt: skip
