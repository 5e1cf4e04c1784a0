"""What maps are worth: curves of insertion and deletion, and bars of each measure's mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from cbam_viz.evaluation.measuring import RANDOM, UNIFORM
from cbam_viz.evaluation.summary import is_baseline
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.evaluated import Evaluated
from cbam_viz.figures.content.evaluation import BarPanel, CurvePanel, Evaluation
from cbam_viz.figures.content.values import Axis, axis_around
from cbam_viz.figures.draw.bars import bars_margin, draw_frame
from cbam_viz.figures.draw.heads import Heads, break_heads, draw_head
from cbam_viz.figures.draw.keys import COLOURS, draw_keys, keys_height
from cbam_viz.figures.draw.plan import check_size
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.wording import letter

CHANCE = "random, as smooth as each map"
_WIDE = 340.0
"""Points from which on both replacements stand on one line."""
_GAP, _LINE_GAP, _HEAD_GAP = 6.0, 5.0, 1.5
_ASPECT, _TALLEST, _LOWEST = 0.8, 80.0, 20.0
_PALE = 0.62
"""How much white is in the colour of a map of chance."""
_SLOT = 0.84
"""Share of its room that a bar fills."""

_Panel = CurvePanel | BarPanel


@dataclass(frozen=True)
class _Plan:
    """Lines of panels, each with an axis at its left."""

    style: Style
    heads: Heads
    margin: float
    per_line: int
    width: float
    height: float
    """Of a panel."""
    lines: int
    keys: float
    """Room for names at the foot."""

    @property
    def above(self) -> float:
        """Room for headings above a line of panels."""
        head = self.heads.height(self.style)
        return head + _HEAD_GAP if head else 0.5 * self.style.small

    @property
    def step(self) -> float:
        """From line to line."""
        return self.above + self.height + self.style.small + 3.5 + _LINE_GAP

    @property
    def total(self) -> float:
        """Height of the whole figure."""
        return self.step * self.lines - _LINE_GAP + self.keys

    def rect(self, index: int) -> Rect:
        """Where a panel's chart stands."""
        line, place = divmod(index, self.per_line)
        x = place * (self.margin + self.width + _GAP) + self.margin
        return Rect(x, line * self.step + self.above, self.width, self.height)


def draw(spec: FigureSpec, study: Evaluated, content: Evaluation) -> PaperFigure:
    """Draw curves, then bars, and which colour is which map at the foot."""
    panels: list[_Panel] = [*content.curves, *content.bars]
    axes = _axes(content)
    names = [*content.maps, *([CHANCE] if content.own else [])]
    usual = style_of(spec)
    plan = _plan(spec, panels, axes, names, usual)
    if not plan.heads.whole or plan.height < _LOWEST:
        plan = _plan(spec, panels, axes, names, usual.smaller)
    page = plan.style.width, plan.style.max_height
    check_size(plan.width, plan.height, len(panels), page, "panels")
    sheet = plan.style.sheet(plan.total)
    for index, (panel, axis) in enumerate(zip(panels, axes, strict=True)):
        rect, gid = plan.rect(index), f"panel {index + 1}"
        if isinstance(panel, CurvePanel):
            _draw_curves(sheet, rect, panel, axis, content.maps, gid)
        else:
            _draw_bars(sheet, rect, panel, axis, content.maps, gid)
        draw_frame(sheet, rect, axis)
        head = plan.heads.height(plan.style)
        room = Rect(rect.x, rect.y - _HEAD_GAP - head, rect.width, head)
        draw_head(sheet, room, plan.heads.lines[index], f"head {index + 1}")

    def sample(drawn: Axes, number: int, gid: str) -> None:
        name = names[number]
        look = (
            _look(RANDOM + content.maps[0], content.maps)
            if name == CHANCE
            else _look(name, content.maps)
        )
        if name == CHANCE:
            look = {**look, "color": "0.6"}
        line = Line2D([0, 1], [0.5, 0.5], marker="", **look)
        line.set_gid(gid)
        drawn.add_line(line)

    draw_keys(sheet, plan.style, names, sample)
    return sheet.figure


def _axes(content: Evaluation) -> list[Axis]:
    """One for all curves of scores, one for all differences, one for each measure."""
    scores = [panel for panel in content.curves if not panel.name.endswith("difference")]
    others = [panel for panel in content.curves if panel.name.endswith("difference")]
    common = axis_around(float(v) for panel in scores for _, line in panel.lines for v in line)
    apart = axis_around(float(v) for panel in others for _, line in panel.lines for v in line)
    found = [apart if panel in others else common for panel in content.curves]
    for panel in content.bars:
        ends = [end for one in panel.bars for end in (one.mean, one.low, one.high)]
        found.append(axis_around(end for end in ends if end is not None))
    return found


def _plan(
    spec: FigureSpec,
    panels: Sequence[_Panel],
    axes: Sequence[Axis],
    names: Sequence[str],
    style: Style,
) -> _Plan:
    margin = max(bars_margin(style, axis) for axis in axes)
    per_line = min(spec.per_line or (6 if style.width >= _WIDE else 3), len(panels))
    width = (style.width - per_line * margin - (per_line - 1) * _GAP) / per_line
    texts = [_head(spec, panel.head, index) for index, panel in enumerate(panels)]
    heads = break_heads(style, texts, [width + 1] * len(panels))
    lines = -(-len(panels) // per_line)
    plan = _Plan(style, heads, margin, per_line, width, 0.0, lines, keys_height(style, names))
    most = (style.max_height - plan.total) / lines
    return replace(plan, height=min(width * _ASPECT, most, _TALLEST))


def _head(spec: FigureSpec, name: str, index: int) -> str:
    if not spec.heads:
        return ""
    return name if spec.letters == "none" else f"{letter(index)} {name}"


def _look(name: str, maps: Sequence[str]) -> dict[str, Any]:
    """A map's colour and line; that of chance which is like it is paler."""
    if name.startswith(RANDOM):
        look = _look(name.removeprefix(RANDOM), maps)
        pale = tuple(part + (1 - part) * _PALE for part in to_rgb(look["color"]))
        return {"color": pale, "linestyle": (0, (2, 1)), "linewidth": 0.7}
    if not is_baseline(name):
        color, line = COLOURS[maps.index(name)]
        return {"color": color, "linestyle": line, "linewidth": 1.0}
    if name == UNIFORM:
        return {"color": "0.55", "linestyle": (0, (1, 1)), "linewidth": 1.0}
    return {"color": "0.3", "linestyle": (0, (4, 1, 1, 1)), "linewidth": 0.9}


def _draw_curves(  # noqa: PLR0917
    sheet: Sheet, rect: Rect, panel: CurvePanel, axis: Axis, maps: Sequence[str], gid: str
) -> None:
    axes = sheet.axes(rect, f"{gid} axes")
    for name, scores in reversed(panel.lines):  # the network's own on top
        shares = np.linspace(0, 1, scores.size)
        line = Line2D(
            shares,
            scores,
            marker="",
            solid_joinstyle="round",
            solid_capstyle="round",
            dash_capstyle="butt",
            **_look(name, maps),
        )
        line.set_gid(f"{gid} {name}")
        axes.add_line(line)
    axes.set_xlim(0, 1)
    axes.set_ylim(*axis)
    y = rect.bottom + 1.2 + 0.8 * sheet.small
    sheet.text(rect.x, y, "0", size=sheet.small, ha="left")
    sheet.text(rect.right, y, "1", size=sheet.small, ha="right")
    middle = "share replaced"
    if sheet.measure(middle, sheet.small) + 4 * sheet.small < rect.width:
        sheet.text(rect.x + rect.width / 2, y, middle, size=sheet.small)


def _draw_bars(  # noqa: PLR0917
    sheet: Sheet, rect: Rect, panel: BarPanel, axis: Axis, maps: Sequence[str], gid: str
) -> None:
    axes = sheet.axes(rect, f"{gid} axes")
    for number, one in enumerate(panel.bars):
        axes.add_patch(
            Rectangle(
                (number + (1 - _SLOT) / 2, min(0.0, one.mean)),
                _SLOT,
                abs(one.mean),
                facecolor=_look(one.map, maps)["color"],
                edgecolor="none",
                linewidth=0,
                gid=f"{gid} {one.map}",
            )
        )
        if one.low is not None and one.high is not None:
            middle = number + 0.5
            line = Line2D([middle, middle], [one.low, one.high], color="black", linewidth=0.6,
                          linestyle="-", marker="", solid_capstyle="butt")  # fmt: skip
            line.set_gid(f"{gid} {one.map} interval")
            axes.add_line(line)
    axes.set_xlim(0, len(panel.bars))
    axes.set_ylim(*axis)
