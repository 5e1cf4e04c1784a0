"""Channel weights of several networks or photos: against each other, and how they are spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.charts.channels import BINS, spread_of
from cbam_viz.charts.classes import FIT, LINES
from cbam_viz.charts.common import SCHEMA, STRONG, Spec, channel_values, json_number
from cbam_viz.errors import RenderError


def scatter_chart(
    first: npt.NDArray[Any], second: npt.NDArray[Any], names: tuple[str, str]
) -> Spec:
    """A point for each channel: its weight in the first (across) and in the second (up).

    Both are (C,) and channel k is the same channel in both, which the caller vouches for. Both axes
    go from 0 to 1, further only if values lie beyond, and a line shows where weights are equal.
    Raises RenderError for arrays of different lengths.
    """
    one, other = channel_values(first), channel_values(second)
    if one.size != other.size:
        raise RenderError(
            f"{one.size} and {other.size} channels do not belong to each other one by one."
        )
    points = [
        {"channel": channel, "first": json_number(a), "second": json_number(b)}
        for channel, (a, b) in enumerate(zip(one, other, strict=True))
    ]
    ends = _ends(one, other)
    across, up = (f"channel weight: {name}" for name in names)
    axis = {"type": "quantitative", "scale": {"domain": ends, "nice": False}}
    return {
        "$schema": SCHEMA,
        "description": f"{one.size} channels, each a point: its weight in {names[0]} across, in "
        f"{names[1]} up.",
        "width": "container",
        "height": 280,
        "autosize": FIT,
        "layer": [
            {
                "data": {"values": [{"at": end} for end in ends]},
                "mark": {"type": "line", "color": "#808890", "strokeDash": [4, 3]},
                "encoding": {"x": {**axis, "field": "at", "title": across},
                             "y": {**axis, "field": "at", "title": up}},
            },
            {
                "data": {"values": points},
                "mark": {"type": "point", "filled": True, "color": STRONG,
                         "size": 50 if one.size <= 128 else 22, "opacity": 0.7},
                "encoding": {
                    "x": {**axis, "field": "first", "axis": {"titleLimit": 260}},
                    "y": {**axis, "field": "second", "axis": {"titleLimit": 260}},
                    "tooltip": [
                        {"field": "channel", "type": "quantitative", "title": "channel"},
                        {"field": "first", "type": "quantitative", "title": names[0],
                         "format": ".4f"},
                        {"field": "second", "type": "quantitative", "title": names[1],
                         "format": ".4f"},
                    ],
                },
            },
        ],
    }  # fmt: skip


def distribution_chart(weights: Sequence[npt.NDArray[Any]], names: Sequence[str]) -> Spec:
    """How the channel weights of several are spread: shares of their channels in equal bins.

    Shares and not counts, so that layers of different sizes can be compared; values below 0 and
    above 1 are in the outermost bins, and the caller says so. Raises RenderError unless there is a
    name for each.
    """
    if not names or len(names) != len(weights) or len(names) > len(LINES):
        raise RenderError("Give a name for each of a few vectors of channel weights.")
    rows = []
    for name, values in zip(names, weights, strict=True):
        found = spread_of(channel_values(values))
        counts = list(found.counts)
        counts[0] += found.below
        counts[-1] += found.above
        total = sum(counts) or 1
        # A step for each bin; the last one ends at 1.
        for at, count in enumerate([*counts, counts[-1]]):
            rows.append({"from": at / BINS, "share": 100 * count / total, "of": name})
    means = [
        f"{name}: mean {np.nanmean(one):.3f}" for name, one in zip(names, weights, strict=True)
    ]
    return {
        "$schema": SCHEMA,
        "description": f"Shares of channels by weight, in {BINS} bins from 0 to 1. {means}.",
        "width": "container",
        "height": 170,
        "autosize": FIT,
        "data": {"values": rows},
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
        "encoding": {
            "x": {"field": "from", "type": "quantitative", "title": "channel weight",
                  "scale": {"domain": [0, 1], "nice": False}},
            "y": {"field": "share", "type": "quantitative", "title": "% of channels",
                  "scale": {"zero": True}},
            "color": {
                "field": "of", "type": "nominal", "title": None,
                "scale": {"domain": list(names), "range": list(LINES[: len(names)])},
                "legend": {"orient": "top", "columns": 1, "labelLimit": 320,
                           "symbolType": "stroke"},
            },
            "tooltip": [
                {"field": "of", "type": "nominal", "title": "of"},
                {"field": "from", "type": "quantitative", "title": "from", "format": ".2f"},
                {"field": "share", "type": "quantitative", "title": "% of channels",
                 "format": ".1f"},
            ],
        },
    }  # fmt: skip


def _ends(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> list[float]:
    values = np.concatenate([one, other])
    finite = values[np.isfinite(values)]
    return [min(0.0, float(finite.min(initial=0))), max(1.0, float(finite.max(initial=1)))]
