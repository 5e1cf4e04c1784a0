"""A photo's channel weights as dots, over a store's means and standard deviations as bars."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.stores.against import AgainstStore, Special
from cbam_viz.figures.content.values import Axis, Study
from cbam_viz.figures.draw.bars import BAND, draw_frame
from cbam_viz.figures.draw.keys import draw_keys, keys_height
from cbam_viz.figures.draw.panels import draw_panel_head, name_axis, plan_panels
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet

PHOTO, CLASS, MEAN = "#d55e00", "#0072b2", "0.35"
_WIDTH = 0.62
"""Of a bar, of the place of its channel."""
_DOT = 2.6
"""Points."""


def draw(spec: FigureSpec, study: Study, content: Special) -> PaperFigure:
    """A panel for each layer, its channels from the most special on."""
    axis = content.axis
    names = _names(content)
    heads = [panel.head for panel in content.panels]
    plan = plan_panels(spec, heads, axis, lambda style: keys_height(style, names))
    sheet = plan.style.sheet(plan.height)
    for index, (panel, rect) in enumerate(zip(content.panels, plan.rects(), strict=True)):
        _draw_panel(sheet, rect, panel, axis, f"panel {index + 1}")
        draw_frame(sheet, rect, axis, y_labels=rect.x == plan.margin)
        _label(sheet, rect, panel)
        draw_panel_head(sheet, plan, index, rect)
    name_axis(sheet, plan)
    draw_keys(sheet, plan.style, names, _sample)
    return sheet.figure


def _names(content: Special) -> list[str]:
    """What dots, bars and lines are, in the order of `_sample`."""
    of_class = content.panels[0].found.of_class
    names = ["this photo", "mean and standard deviation of all photos"]
    return names if of_class is None else [*names, f"mean of {of_class.label}"]


def _sample(axes: Axes, number: int, gid: str) -> None:
    if number == 1:
        # Taller than the line that it stands on, as the bar behind a mean is.
        axes.plot([0, 1], [0.5, 0.5], color=BAND, linewidth=5, solid_capstyle="butt",
                  clip_on=False, marker="")  # fmt: skip
    if number == 0:
        (drawn,) = axes.plot([0.5], [0.5], linestyle="", marker="o", markersize=_DOT,
                             color=PHOTO, markeredgewidth=0, clip_on=False)  # fmt: skip
    else:
        color = MEAN if number == 1 else CLASS
        (drawn,) = axes.plot([0, 1], [0.5, 0.5], color=color, linewidth=0.9, marker="",
                             solid_capstyle="butt")  # fmt: skip
    drawn.set_gid(gid)


def _draw_panel(sheet: Sheet, rect: Rect, panel: AgainstStore, axis: Axis, gid: str) -> None:
    axes = sheet.axes(rect, f"{gid} axes")
    channels, among = panel.channels, panel.found.store
    x = np.arange(len(channels)) + 0.5
    mean, spread = among.mean[channels], among.spread[channels]
    bars = axes.bar(x, 2 * spread, _WIDTH, mean - spread, color=BAND, linewidth=0)
    for number, bar in enumerate(bars):
        bar.set_gid(f"{gid} spread {number + 1}")
    lines = [(mean, MEAN, "mean", _WIDTH)]
    if panel.found.of_class is not None:
        lines.append((panel.found.of_class.mean[channels], CLASS, "class", 0.6 * _WIDTH))
    for values, colour, name, width in lines:
        half = width / 2
        pieces = [[(at - half, y), (at + half, y)] for at, y in zip(x, values, strict=True)]
        drawn = LineCollection(pieces, colors=colour, linewidths=0.9, capstyle="butt")
        drawn.set_gid(f"{gid} {name}")
        axes.add_collection(drawn, autolim=False)
    dots = axes.plot(
        x, panel.found.weights[channels], linestyle="", marker="o", markersize=_DOT,
        color=PHOTO, markeredgewidth=0, clip_on=False,
    )  # fmt: skip
    dots[0].set_gid(f"{gid} photo")
    axes.set_xlim(0, len(channels))
    axes.set_ylim(*axis)


def _label(sheet: Sheet, rect: Rect, panel: AgainstStore) -> None:
    """Below each bar its channel, as far as they have room beside each other."""
    y = rect.bottom + 1.2 + 0.8 * sheet.small
    end = -1.0
    for number, channel in enumerate(panel.channels):
        x = rect.x + (number + 0.5) * rect.width / len(panel.channels)
        half = sheet.measure(f"{channel}", sheet.small) / 2
        if x - half > end and x + half <= rect.right + half:
            sheet.text(x, y, f"{channel}", size=sheet.small)
            end = x + half + 1.5
