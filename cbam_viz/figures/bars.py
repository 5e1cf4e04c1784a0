"""Channel weights as a filled outline: one step a channel, the axis from 0 to 1 or beyond."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch

from cbam_viz.figures.content import Axis, Floats
from cbam_viz.figures.plan import Rect
from cbam_viz.figures.sheet import Sheet, Style

FILL = "#35608d"
"""Dark enough to stay distinct from its band in grey print."""
BAND = "#b9cde3"


def bars_margin(style: Style, axis: Axis = (0.0, 1.0)) -> float:
    """Room for the axis labels at the left of a chart."""
    return max(style.measure(axis_label(end), style.small) for end in axis) + 4.5


def axis_label(end: float) -> str:
    """An end of the axis as it is written, with a minus sign and not a hyphen."""
    return f"{end:g}".replace("-", "\u2212")


def ordered(weights: Floats, order: str) -> Floats:
    """By index, or from the highest down; what is no number comes last."""
    return weights if order == "index" else -np.sort(-weights)


def draw_bars(
    sheet: Sheet,
    rect: Rect,
    weights: Floats,
    *,
    gid: str,
    axis: Axis = (0.0, 1.0),
    band: tuple[Floats, Floats] | None = None,
    y_labels: bool = True,
    x_labels: bool = True,
    order: str = "index",
) -> Axes:
    """Draw weights (C,) in the order given; `band`: lowest and highest over several photos."""
    axes = sheet.axes(rect, f"{gid} axes")
    edges = np.arange(len(weights) + 1, dtype=float)
    if band is not None:
        axes.add_patch(
            StepPatch(band[1], edges, baseline=band[0],  # type: ignore[arg-type]
                      facecolor=BAND, edgecolor="none", linewidth=0, fill=True,
                      gid=f"{gid} band")
        )  # fmt: skip
        axes.add_patch(
            StepPatch(weights, edges, baseline=None,  # type: ignore[arg-type]
                      fill=False, edgecolor=FILL, linewidth=0.5, joinstyle="miter", gid=gid)
        )  # fmt: skip
    else:
        axes.add_patch(
            StepPatch(weights, edges, baseline=0, facecolor=FILL, edgecolor="none", linewidth=0,
                      fill=True, gid=gid)
        )  # fmt: skip
    axes.set_xlim(0, len(weights))
    axes.set_ylim(*axis)
    sheet.rule(rect.x, rect.y, rect.x, rect.bottom)
    zero = rect.bottom + rect.height * axis[0] / (axis[1] - axis[0])
    sheet.rule(rect.x, zero, rect.right, zero)
    if y_labels:
        _label_y(sheet, rect, axis, zero)
    if x_labels:
        _label_x(sheet, rect, len(weights), order)
    return axes


def _label_y(sheet: Sheet, rect: Rect, axis: Axis, zero: float) -> None:
    ends = [(axis[1], rect.y + 0.66 * sheet.small, rect.y), (axis[0], rect.bottom, rect.bottom)]
    between = zero + 0.33 * sheet.small
    if axis[0] < 0 and min(rect.bottom - zero, zero - rect.y) > 1.4 * sheet.small:
        ends.append((0.0, between, zero))
    for end, baseline, at in ends:
        text = axis_label(end)
        sheet.text(rect.x - 2.5, baseline, text, size=sheet.small, ha="right")
        sheet.rule(rect.x - 1.5, at, rect.x, at)


def _label_x(sheet: Sheet, rect: Rect, channels: int, order: str) -> None:
    first, last, middle = ("0", f"{channels - 1}", "channel")
    if order == "weight":
        first, last, middle = ("1", f"{channels}", "rank")
    y = rect.bottom + 1.2 + 0.8 * sheet.small
    sheet.text(rect.x, y, first, size=sheet.small, ha="left")
    sheet.text(rect.right, y, last, size=sheet.small, ha="right")
    taken = sum(sheet.measure(text, sheet.small) for text in (first, last, middle))
    if taken + 2 * sheet.small < rect.width:
        sheet.text(rect.x + rect.width / 2, y, middle, size=sheet.small)
