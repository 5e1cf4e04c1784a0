"""Channel weights: a panel of bars for each layer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.layers import ByLayer, LayerWeights
from cbam_viz.figures.content.values import Axis, Study
from cbam_viz.figures.draw.bars import bars_margin, draw_bars, ordered
from cbam_viz.figures.draw.heads import Heads, break_heads, draw_head
from cbam_viz.figures.draw.plan import check_size, choose_per_line
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import PaperFigure, Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.figures.wording import letter

_PANEL = 96.0
"""Width in points that a panel has at least."""
_PANEL_ASPECT = 0.5
_GAP_X = 8.0
_GAP_Y = 5.0
_TALLEST_PANEL, _LOWEST_PANEL = 90.0, 24.0
_HEAD_GAP = 1.5


def draw(spec: FigureSpec, study: Study, content: ByLayer) -> PaperFigure:
    """A panel for each layer; with several photos their mean, and a band from lowest to highest."""
    panels, axis = content.panels, content.axis
    usual = style_of(spec)
    plan = _plan(spec, panels, axis, usual)
    if not plan.heads.whole or plan.height_of_panel < _LOWEST_PANEL:
        plan = _plan(spec, panels, axis, usual.smaller)
    style = plan.style
    sheet = style.sheet(plan.height)
    head = plan.heads.height(style)
    for index, (panel, rect) in enumerate(zip(panels, plan.rects(), strict=True)):
        gid = f"panel {index + 1}"
        _draw_panel(sheet, rect, panel, spec, gid=gid, axis=axis, first=rect.x == plan.margin)
        room = Rect(rect.x, rect.y - _HEAD_GAP - head, rect.width, head)
        draw_head(sheet, room, plan.heads.lines[index], f"head {index + 1}")
    _name_axis(sheet, plan)
    return sheet.figure


@dataclass(frozen=True)
class _Plan:
    """Lines of panels."""

    style: Style
    heads: Heads
    margin: float
    """Room for the axis at the left."""
    count: int
    per_line: int
    width: float
    height_of_panel: float

    @property
    def shrunk(self) -> bool:
        """Whether the page is so short that panels are lower than they should be."""
        return self.height_of_panel < 0.7 * min(self.width * _PANEL_ASPECT, _TALLEST_PANEL)

    @property
    def above(self) -> float:
        """Room for the headings of a line."""
        head = self.heads.height(self.style)
        return head + _HEAD_GAP if head else 0.5 * self.style.small

    @property
    def step(self) -> float:
        """From the top of one line to that of the next."""
        return self.above + self.height_of_panel + _foot(self.style) + _GAP_Y

    @property
    def height(self) -> float:
        """Of the whole figure."""
        return self.step * -(-self.count // self.per_line) - _GAP_Y

    def rects(self) -> list[Rect]:
        """Places of all panels."""
        places = (divmod(index, self.per_line) for index in range(self.count))
        return [
            Rect(
                self.margin + place * (self.width + _GAP_X),
                line * self.step + self.above,
                self.width,
                self.height_of_panel,
            )
            for line, place in places
        ]


def _foot(style: Style) -> float:
    return style.small + 3.5


def _plan(spec: FigureSpec, panels: tuple[LayerWeights, ...], axis: Axis, style: Style) -> _Plan:
    """The lines in which the panels leave least white; on a short page, are largest."""
    margin = bars_margin(style, axis) + line_height(style.small)
    texts = [_head(spec, panel, index) for index, panel in enumerate(panels)]
    count = len(panels)

    def lined(per_line: int) -> _Plan:
        per_line = min(per_line, count)
        width = (style.width - margin - _GAP_X * (per_line - 1)) / per_line
        heads = break_heads(style, texts, (width + 1,) * count)
        plan = _Plan(style, heads, margin, count, per_line, width, 0.0)
        most = (style.max_height + _GAP_Y) / -(-count // per_line) - plan.step
        return replace(plan, height_of_panel=min(width * _PANEL_ASPECT, most, _TALLEST_PANEL))

    plan = lined(spec.per_line or choose_per_line((1,) * count, style.width, _PANEL))
    if plan.shrunk and spec.per_line is None:
        ways = (lined(per_line) for per_line in range(1, count + 1))
        plan = max(ways, key=lambda way: min(way.width * _PANEL_ASPECT, way.height_of_panel))
    page = style.width, style.max_height
    check_size(plan.width, plan.height_of_panel, count, page, "panels")
    return plan


def _head(spec: FigureSpec, panel: LayerWeights, index: int) -> str:
    if not spec.heads:
        return ""
    return panel.head if spec.letters == "none" else f"{letter(index)} {panel.head}"


def _name_axis(sheet: Sheet, plan: _Plan) -> None:
    """Say what the axis is, upright at the left: beside each line, or once where lines are low."""
    name = "channel weight"
    length = sheet.measure(name, sheet.small)
    firsts = plan.rects()[:: plan.per_line]
    middles = [rect.y + rect.height / 2 for rect in firsts]
    if length + 2 * sheet.small > plan.step and len(middles) > 1:
        middles = [sheet.height / 2]
    if length > sheet.height:
        name, length = "weight", sheet.measure("weight", sheet.small)
    x = line_height(sheet.small) - 1
    for y in middles:
        # Letters reach a little beyond their line.
        inside = min(max(y, length / 2 + 1), sheet.height - length / 2 - 1)
        sheet.text(x, inside, name, size=sheet.small, rotation=90)


def _draw_panel(
    sheet: Sheet,
    rect: Rect,
    panel: LayerWeights,
    spec: FigureSpec,
    *,
    gid: str,
    axis: Axis,
    first: bool,
) -> None:
    rows = np.stack([ordered(row, spec.order) for row in panel.weights])
    draw_bars(sheet, rect, rows, gid=gid, axis=axis, y_labels=first, order=spec.order)
