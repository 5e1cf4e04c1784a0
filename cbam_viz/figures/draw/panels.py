"""Panels of channel weights in lines: what bars by layer and curves by class share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.values import Axis
from cbam_viz.figures.draw.bars import bars_margin
from cbam_viz.figures.draw.heads import Heads, break_heads, draw_head, most_lines
from cbam_viz.figures.draw.plan import LEAST_PICTURE, check_size, choose_per_line
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Sheet, Style, style_of
from cbam_viz.figures.paper.typesetting import ELLIPSIS, line_height
from cbam_viz.figures.wording import letter

_PANEL = 96.0
"""Width in points that a panel has at least."""
_PANEL_ASPECT = 0.5
_GAP_X = 8.0
_GAP_Y = 5.0
_TALLEST_PANEL, _LOWEST_PANEL = 90.0, 24.0
_HEAD_GAP = 1.5


@dataclass(frozen=True)
class Panels:
    """Lines of panels."""

    style: Style
    heads: Heads
    margin: float
    """Room for the axis at the left."""
    count: int
    per_line: int
    width: float
    height_of_panel: float
    legend: float
    """Room below all lines."""

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
        return self.step * -(-self.count // self.per_line) - _GAP_Y + self.legend

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


def plan_panels(
    spec: FigureSpec,
    heads: Sequence[str],
    axis: Axis,
    legend: Callable[[Style], float] = lambda style: 0.0,
) -> Panels:
    """A plan in the usual type, or in the smallest where that has no room.

    `legend` says what room is needed below all lines.

    Raises:
        FigureError: if nobody could see so many panels.
    """
    usual = style_of(spec)
    plan = _plan(spec, heads, axis, usual, legend(usual))
    if not plan.heads.whole or plan.height_of_panel < _LOWEST_PANEL:
        plan = _plan(spec, heads, axis, usual.smaller, legend(usual.smaller))
    return plan


def _plan(
    spec: FigureSpec, names: Sequence[str], axis: Axis, style: Style, legend: float
) -> Panels:
    """The lines in which the panels leave least white; on a short page, are largest.

    Headings lose lines where the panels would have no room below them.
    """
    for lines in range(most_lines(style), 0, -1):
        plan = _lined(spec, names, axis, style, legend, lines=lines)
        if plan.height_of_panel >= _least(style):
            break
    page = style.width, style.max_height
    seen = plan.height_of_panel * LEAST_PICTURE / _least(style)
    check_size(plan.width, seen, len(names), page, "panels")
    return plan


def _lined(
    spec: FigureSpec, names: Sequence[str], axis: Axis, style: Style, legend: float, *, lines: int
) -> Panels:
    """The best plan whose headings have so many lines at most."""
    margin = bars_margin(style, axis) + line_height(style.small)
    texts = [_head(spec, name, index) for index, name in enumerate(names)]
    count = len(names)

    def lined(per_line: int) -> Panels:
        per_line = min(per_line, count)
        width = (style.width - margin - _GAP_X * (per_line - 1)) / per_line
        heads = break_heads(style, texts, (width + 1,) * count, lines)
        plan = Panels(style, heads, margin, count, per_line, width, 0.0, legend)
        most = (style.max_height - legend + _GAP_Y) / -(-count // per_line) - plan.step
        return replace(plan, height_of_panel=min(width * _PANEL_ASPECT, most, _TALLEST_PANEL))

    plan = lined(spec.per_line or choose_per_line((1,) * count, style.width, _PANEL))
    if plan.shrunk and spec.per_line is None:
        ways = (lined(per_line) for per_line in range(1, count + 1))
        plan = max(ways, key=_worth)
    return plan


def _worth(plan: Panels) -> tuple[int, float]:
    """The larger, the better; headings are broken only where panels would be too low to see."""
    size = min(plan.width * _PANEL_ASPECT, plan.height_of_panel)
    if size < _least(plan.style):
        return -1, size
    cut = any(ELLIPSIS in line for lines in plan.heads.lines for line in lines)
    return 2 if plan.heads.whole else 0 if cut else 1, size


def _least(style: Style) -> float:
    """Points that a panel is at least high: both ends of its axis stand beside it."""
    return 1.55 * style.small


def _head(spec: FigureSpec, name: str, index: int) -> str:
    if not spec.heads:
        return ""
    return name if spec.letters == "none" else f"{letter(index)} {name}"


def draw_panel_head(sheet: Sheet, plan: Panels, index: int, rect: Rect) -> None:
    """Draw a panel's heading above it."""
    head = plan.heads.height(plan.style)
    room = Rect(rect.x, rect.y - _HEAD_GAP - head, rect.width, head)
    draw_head(sheet, room, plan.heads.lines[index], f"head {index + 1}")


def name_axis(
    sheet: Sheet, plan: Panels, name: str = "channel weight", short: str = "weight"
) -> None:
    """Say what the axis is, upright at the left: beside each line, or once where lines are low.

    `short` stands where there is no room for the name.
    """
    length = sheet.measure(name, sheet.small)
    firsts = plan.rects()[:: plan.per_line]
    middles = [rect.y + rect.height / 2 for rect in firsts]
    if length + 2 * sheet.small > plan.step and len(middles) > 1:
        middles = [(sheet.height - plan.legend) / 2]
    if length > sheet.height - plan.legend:
        name, length = short, sheet.measure(short, sheet.small)
    x = line_height(sheet.small) - 1
    for y in middles:
        # Letters reach a little beyond their line.
        inside = min(max(y, length / 2 + 1), sheet.height - plan.legend - length / 2 - 1)
        sheet.text(x, inside, name, size=sheet.small, rotation=90)
