"""Channel weights: a panel for each layer, a line for each class, the mean of all in black."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.classes import names_with_photos
from cbam_viz.figures.content.curves import MEAN, Curves
from cbam_viz.figures.content.values import Axis, Floats, Study
from cbam_viz.figures.draw.bars import draw_frame, label_channels
from cbam_viz.figures.draw.keys import COLOURS, draw_keys, keys_height
from cbam_viz.figures.draw.panels import draw_panel_head, name_axis, plan_panels
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet

_MEAN = ("black", (0, (1.2, 1.0)))
_WIDTH, _MEAN_WIDTH = 0.8, 1.1
"""Points."""
_BAND = 0.16
"""Opacity of bands: several lie over each other."""


def draw(spec: FigureSpec, study: Study, content: Curves) -> PaperFigure:
    """Draw all panels on one axis, and which line is which at the foot."""
    names = names_with_photos(content.panels[0].classes)
    if content.has_mean:
        names.append(MEAN)

    axis = content.axis
    heads = [panel.head for panel in content.panels]
    plan = plan_panels(spec, heads, axis, lambda style: keys_height(style, names))
    sheet = plan.style.sheet(plan.height)
    for index, (panel, rect) in enumerate(zip(content.panels, plan.rects(), strict=True)):
        curves = list(panel.matrix)
        if content.has_mean:
            curves.append(panel.mean[panel.channels])
        gid = f"panel {index + 1}"
        bands = content.band(panel) if content.spread else None
        _draw_curves(sheet, rect, curves, bands, axis, has_mean=content.has_mean, gid=gid)
        draw_frame(sheet, rect, axis, y_labels=rect.x == plan.margin)
        label_channels(sheet, rect, panel.channels, spec.order)
        draw_panel_head(sheet, plan, index, rect)
    name_axis(sheet, plan)

    def sample(axes: Axes, number: int, gid: str) -> None:
        mean = content.has_mean and number == len(names) - 1
        axes.add_line(_line([0, 1], [0.5, 0.5], number, mean=mean, gid=gid))

    draw_keys(sheet, plan.style, names, sample)
    return sheet.figure


def _draw_curves(
    sheet: Sheet,
    rect: Rect,
    curves: Sequence[Floats],
    bands: Floats | None,
    axis: Axis,
    *,
    has_mean: bool,
    gid: str,
) -> None:
    axes = sheet.axes(rect, f"{gid} axes")
    last = len(curves) - 1
    for number, around in enumerate(() if bands is None else bands):
        middle, places = curves[number], np.arange(around.size) + 0.5
        color = COLOURS[number][0]
        band = axes.fill_between(
            places, middle - around, middle + around, color=color, alpha=_BAND, linewidth=0
        )
        band.set_gid(f"{gid} band {number + 1}")
    for number, weights in enumerate(curves):
        mean = has_mean and number == last
        x = np.arange(weights.size) + 0.5
        name = f"{gid} mean" if mean else f"{gid} class {number + 1}"
        axes.add_line(_line(x, np.ma.masked_invalid(weights), number, mean=mean, gid=name))
    axes.set_xlim(0, curves[0].size)
    axes.set_ylim(*axis)


def _line(x: object, y: object, number: int, *, mean: bool, gid: str) -> Line2D:
    color, style = _MEAN if mean else COLOURS[number]
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
