"""Channel weights as a filled outline: one step a channel, the axis from 0 to 1 or beyond."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch

from cbam_viz.figures.content.values import Axis, Floats
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Sheet, Style
from cbam_viz.figures.wording import MINUS

FILL = "#35608d"
"""Dark enough to stay distinct from its band in grey print."""
BAND = "#b9cde3"

NARROWEST = 1.0
"""Points: what a step is at least wide."""


def bars_margin(style: Style, axis: Axis = (0.0, 1.0)) -> float:
    """Room for the axis labels at the left of a chart."""
    return max(style.measure(axis_label(end), style.small) for end in axis) + 4.5


def axis_label(end: float) -> str:
    """An end of the axis as it is written, with a minus sign and not a hyphen."""
    return f"{end:g}".replace("-", MINUS)


def ordered(weights: Floats, order: str) -> Floats:
    """By index, or from the highest down; what is no number comes last."""
    return weights if order == "index" else -np.sort(-weights)


@dataclass(frozen=True)
class Steps:
    """Weights as they are drawn: a step a channel, or several neighbours in one."""

    edges: npt.NDArray[np.float64]
    low: Floats
    """(steps,): the lowest weight of each; NaN where none is a number."""
    mean: Floats
    high: Floats
    joined: int
    """How many channels a step has, the last one perhaps fewer."""


def steps_of(weights: Floats, width: float) -> Steps:
    """Join channels of weights (photos, C) so that no step of a chart is below `NARROWEST`.

    Narrower bars would blend with the white between them, pale where they are high and low in turn.
    """
    channels = weights.shape[1]
    joined = max(1, math.ceil(channels * NARROWEST / max(width, NARROWEST)))
    edges = np.minimum(np.arange(-(-channels // joined) + 1) * joined, channels)
    low, mean, high = (
        np.array([_of_finite(join, weights[:, a:b]) for a, b in itertools.pairwise(edges)])
        for join in (np.min, np.mean, np.max)
    )
    return Steps(edges.astype(float), low, mean, high, joined)


def draw_bars(
    sheet: Sheet,
    rect: Rect,
    weights: Floats,
    *,
    gid: str,
    axis: Axis = (0.0, 1.0),
    y_labels: bool = True,
    x_labels: bool = True,
    order: str = "index",
    channels: npt.NDArray[np.intp] | None = None,
) -> Axes:
    """Draw weights (photos, C), each photo's in its order; `channels` are their indices.

    Of one photo, bars; where a bar is several channels, dark up to the lowest and pale up to the
    highest. Of several photos, their mean as a line and all between lowest and highest as a band.
    """
    axes = sheet.axes(rect, f"{gid} axes")
    steps = steps_of(weights, rect.width)
    sheet.figure.channels_in_a_step = max(sheet.figure.channels_in_a_step, steps.joined)
    fill: dict[str, Any] = {"edgecolor": "none", "linewidth": 0, "fill": True}
    several = len(weights) > 1
    if several or steps.joined > 1:
        # matplotlib takes no NaN as a baseline; without a value above it, nothing is drawn there.
        below: Any = np.nan_to_num(steps.low)
        name = f"{gid} band" if several else f"{gid} range"
        axes.add_patch(
            StepPatch(steps.high, steps.edges, baseline=below, facecolor=BAND, gid=name, **fill)
        )
    if several:
        axes.add_patch(
            StepPatch(steps.mean, steps.edges, baseline=None,  # type: ignore[arg-type]
                      fill=False, edgecolor=FILL, linewidth=0.5, joinstyle="miter", gid=gid)
        )  # fmt: skip
    else:
        whole = np.clip(np.zeros_like(steps.low), steps.low, steps.high)
        axes.add_patch(StepPatch(whole, steps.edges, baseline=0, facecolor=FILL, gid=gid, **fill))
    axes.set_xlim(0, weights.shape[1])
    axes.set_ylim(*axis)
    draw_frame(sheet, rect, axis, y_labels=y_labels)
    if x_labels:
        indices = np.arange(weights.shape[1]) if channels is None else channels
        label_channels(sheet, rect, indices, order)
    return axes


def draw_frame(sheet: Sheet, rect: Rect, axis: Axis, *, y_labels: bool = True) -> None:
    """The axis of weights at the left, with its ends, and the line of 0."""
    sheet.rule(rect.x, rect.y, rect.x, rect.bottom)
    zero = rect.bottom + rect.height * axis[0] / (axis[1] - axis[0])
    sheet.rule(rect.x, zero, rect.right, zero)
    if y_labels:
        _label_y(sheet, rect, axis, zero)


def _of_finite(join: Callable[[Floats], Any], weights: Floats) -> np.float32:
    finite = weights[np.isfinite(weights)]
    return np.float32(join(finite) if finite.size else np.nan)


def _label_y(sheet: Sheet, rect: Rect, axis: Axis, zero: float) -> None:
    ends = [(axis[1], rect.y + 0.66 * sheet.small, rect.y), (axis[0], rect.bottom, rect.bottom)]
    between = zero + 0.33 * sheet.small
    if axis[0] < 0 and min(rect.bottom - zero, zero - rect.y) > 1.4 * sheet.small:
        ends.append((0.0, between, zero))
    for end, baseline, at in ends:
        text = axis_label(end)
        sheet.text(rect.x - 2.5, baseline, text, size=sheet.small, ha="right")
        sheet.rule(rect.x - 1.5, at, rect.x, at)


def label_channels(
    sheet: Sheet, rect: Rect, channels: npt.NDArray[np.intp], order: str = "index"
) -> None:
    """Below a chart, the first and the last channel, or ranks."""
    first, last, middle = (f"{channels[0]}", f"{channels[-1]}", "channel")
    if order == "weight":
        first, last, middle = ("1", f"{len(channels)}", "rank")
    y = rect.bottom + 1.2 + 0.8 * sheet.small
    sheet.text(rect.x, y, first, size=sheet.small, ha="left")
    sheet.text(rect.right, y, last, size=sheet.small, ha="right")
    taken = sum(sheet.measure(text, sheet.small) for text in (first, last, middle))
    if taken + 2 * sheet.small < rect.width:
        sheet.text(rect.x + rect.width / 2, y, middle, size=sheet.small)
