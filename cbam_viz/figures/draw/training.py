"""Numbers by epoch: a panel for each layer, lines for mean and saturation of both gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.training import LINES, Training
from cbam_viz.figures.content.values import Study
from cbam_viz.figures.draw.bars import draw_frame
from cbam_viz.figures.draw.keys import draw_keys, keys_height
from cbam_viz.figures.draw.panels import draw_panel_head, name_axis, plan_panels
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet

_LOOKS = (
    ("#0072b2", "-"),
    ("#d55e00", "-"),
    ("#0072b2", (0, (2.5, 1.2))),
    ("#d55e00", (0, (2.5, 1.2))),
)
"""Of `LINES`: a colour for each gate, broken for saturation."""
_WIDTH, _DOT = 0.9, 2.2
"""Points."""
_MOST_DOTS = 30
"""More of them would touch each other in a panel."""


def draw(spec: FigureSpec, study: Study, content: Training) -> PaperFigure:
    """Draw all panels on one axis, and which line is which at the foot."""
    axis, numbers = content.axis, content.numbers
    names = [LINES[n][2] for n in content.named]
    heads = [panel.head for panel in content.panels]
    plan = plan_panels(spec, heads, axis, lambda style: keys_height(style, names))
    sheet = plan.style.sheet(plan.height)
    for index, (panel, rect) in enumerate(zip(content.panels, plan.rects(), strict=True)):
        axes = sheet.axes(rect, f"panel {index + 1} axes")
        for n, line in enumerate(panel.lines):
            if line is not None:
                axes.add_line(_line(n, numbers, line, gid=f"panel {index + 1} line {n + 1}"))
        room = 0.5 if len(numbers) == 1 else 0.035 * (numbers[-1] - numbers[0])
        axes.set_xlim(min(numbers) - room, max(numbers) + room)
        axes.set_ylim(*axis)
        draw_frame(sheet, rect, axis, y_labels=rect.x == plan.margin)
        _label_numbers(sheet, rect, numbers, content.unit)
        draw_panel_head(sheet, plan, index, rect)
    name_axis(sheet, plan, "mean, share", "share")

    def sample(axes: Axes, number: int, gid: str) -> None:
        axes.add_line(_line(content.named[number], [0, 1], [0.5, 0.5], gid=gid, dots=False))

    draw_keys(sheet, plan.style, names, sample)
    return sheet.figure


def _line(number: int, x: Sequence[float], y: Any, *, gid: str, dots: bool = True) -> Line2D:
    color, style = _LOOKS[number]
    dots = dots and len(x) <= _MOST_DOTS
    line = Line2D(
        x,
        np.ma.masked_invalid(y),
        color=color,
        linestyle=style,
        linewidth=_WIDTH,
        marker="o" if dots else "",
        markersize=_DOT,
        markeredgewidth=0,
        solid_joinstyle="round",
        solid_capstyle="round",
        dash_capstyle="butt",
        clip_on=False,
    )
    line.set_gid(gid)
    return line


def _label_numbers(sheet: Sheet, rect: Rect, numbers: Sequence[int], unit: str) -> None:
    """Below a panel, the first and the last number, and what they count where there is room."""
    y = rect.bottom + 1.2 + 0.8 * sheet.small
    first, last = str(numbers[0]), str(numbers[-1])
    sheet.text(rect.x, y, first, size=sheet.small, ha="left")
    if len(numbers) > 1:
        sheet.text(rect.right, y, last, size=sheet.small, ha="right")
    taken = sum(sheet.measure(text, sheet.small) for text in (first, last, unit))
    if taken + 2 * sheet.small < rect.width:
        sheet.text(rect.x + rect.width / 2, y, unit, size=sheet.small)
