"""Channel weights: a panel for each layer, a line for each class, the mean of all in black."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.lines import Line2D

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.curves import MEAN, Curves
from cbam_viz.figures.content.values import Axis, Floats, Study
from cbam_viz.figures.draw.bars import draw_frame, label_channels
from cbam_viz.figures.draw.panels import draw_panel_head, name_axis, plan_panels
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style
from cbam_viz.figures.paper.typesetting import line_height

_LINES = (
    ("#0072b2", "-"),
    ("#d55e00", "-"),
    ("#009e73", "-"),
    ("#cc79a7", "-"),
    ("#e69f00", "-"),
    ("#56b4e9", (0, (4, 1.2))),
    ("#8c564b", (0, (4, 1.2))),
    ("#5b3ea8", (0, (4, 1.2))),
)
"""Colours of Okabe and Ito first, which colour-blind readers tell apart; then broken lines."""
_MEAN = ("black", (0, (1.2, 1.0)))
_WIDTH, _MEAN_WIDTH = 0.8, 1.1
"""Points."""
_SAMPLE, _SAMPLE_GAP, _ENTRY_GAP = 12.0, 3.0, 10.0
"""Length of a line in the legend, and the white beside it and between entries."""
_LEGEND_ABOVE = 4.0


@dataclass(frozen=True)
class _Entry:
    """A line's name at the figure's foot."""

    number: int
    text: str
    x: float
    line: int


def draw(spec: FigureSpec, study: Study, content: Curves) -> PaperFigure:
    """Draw all panels on one axis, and which line is which at the foot."""
    names = [
        f"{one.name} ({one.photos} photos)" if one.photos > 1 else one.name
        for one in content.panels[0].classes
    ]
    if content.has_mean:
        names.append(MEAN)

    def height(style: Style) -> float:
        entries = _entries(style, names)
        return _LEGEND_ABOVE + (entries[-1].line + 1) * line_height(style.size)

    axis = content.axis
    plan = plan_panels(spec, [panel.head for panel in content.panels], axis, height)
    sheet = plan.style.sheet(plan.height)
    for index, (panel, rect) in enumerate(zip(content.panels, plan.rects(), strict=True)):
        curves = list(panel.matrix)
        if content.has_mean:
            curves.append(panel.mean[panel.channels])
        gid = f"panel {index + 1}"
        _draw_curves(sheet, rect, curves, axis, has_mean=content.has_mean, gid=gid)
        draw_frame(sheet, rect, axis, y_labels=rect.x == plan.margin)
        label_channels(sheet, rect, panel.channels, spec.order)
        draw_panel_head(sheet, plan, index, rect)
    name_axis(sheet, plan)
    _draw_legend(sheet, plan.style, names, has_mean=content.has_mean)
    return sheet.figure


def _draw_curves(
    sheet: Sheet,
    rect: Rect,
    curves: Sequence[Floats],
    axis: Axis,
    *,
    has_mean: bool,
    gid: str,
) -> None:
    axes = sheet.axes(rect, f"{gid} axes")
    last = len(curves) - 1
    for number, weights in enumerate(curves):
        mean = has_mean and number == last
        x = np.arange(weights.size) + 0.5
        name = f"{gid} mean" if mean else f"{gid} class {number + 1}"
        axes.add_line(_line(x, np.ma.masked_invalid(weights), number, mean=mean, gid=name))
    axes.set_xlim(0, curves[0].size)
    axes.set_ylim(*axis)


def _line(x: object, y: object, number: int, *, mean: bool, gid: str) -> Line2D:
    color, style = _MEAN if mean else _LINES[number]
    line = Line2D(
        x,  # type: ignore[arg-type]
        y,  # type: ignore[arg-type]
        color=color,
        linestyle=style,
        linewidth=_MEAN_WIDTH if mean else _WIDTH,
        solid_joinstyle="round",
        solid_capstyle="round",
        dash_capstyle="butt",
        marker="",
    )
    line.set_gid(gid)
    return line


def _entries(style: Style, names: Sequence[str]) -> list[_Entry]:
    """Names in lines, each after a piece of its line."""
    entries: list[_Entry] = []
    x, line = 0.0, 0
    for number, name in enumerate(names):
        widest = style.width - _SAMPLE - _SAMPLE_GAP
        text = style.wrap(name, widest, lines=1)[0]
        width = _SAMPLE + _SAMPLE_GAP + style.measure(text)
        if x and x + width > style.width:
            x, line = 0.0, line + 1
        entries.append(_Entry(number, text, x, line))
        x += width + _ENTRY_GAP
    return entries


def _draw_legend(sheet: Sheet, style: Style, names: Sequence[str], *, has_mean: bool) -> None:
    """Which line is which, each line of names centred."""
    entries = _entries(style, names)
    step = line_height(style.size)
    top = sheet.height - step * (entries[-1].line + 1)
    for entry in entries:
        own = [one for one in entries if one.line == entry.line][-1]
        whole = own.x + _SAMPLE + _SAMPLE_GAP + style.measure(own.text)
        x = (sheet.width - whole) / 2 + entry.x
        baseline = top + step * (entry.line + 1) - 0.24 * style.size
        middle = baseline - 0.3 * style.size
        axes = sheet.axes(Rect(x, middle - 1, _SAMPLE, 2), f"legend {entry.number + 1} axes")
        mean = has_mean and entry.number == len(names) - 1
        gid = f"legend {entry.number + 1}"
        axes.add_line(_line([0, 1], [0.5, 0.5], entry.number, mean=mean, gid=gid))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        sheet.text(x + _SAMPLE + _SAMPLE_GAP, baseline, entry.text, ha="left", gid=f"{gid} name")
