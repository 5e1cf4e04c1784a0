"""The colour bar at a figure's foot, which says how values became colours."""

from __future__ import annotations

from dataclasses import dataclass

from cbam_viz.figures.draw.pictures import draw_image
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Sheet, Style
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.figures.wording import tick_text
from cbam_viz.render import Scale, lookup_table

_ABOVE = 7.0
_BAR = 5.5
_BELOW = 1.5
_LONGEST = 120.0
_TITLE_LINES = 4
"""Above the bar, where a figure is too narrow for a title beside it."""


@dataclass(frozen=True)
class Legend:
    """The colour bar with its title: what is shown, and on which scale."""

    title: tuple[str, ...]
    """One line at the bar's left, or several above it."""
    above: bool
    scale: Scale | None
    """None: each map has its own."""
    colormap: str
    height: float
    """Points that it takes at the foot, white above it included."""
    lowest: str = "lowest"
    """What the lower end stands for where each map has its own scale."""

    @property
    def whole(self) -> bool:
        """Whether the title stands beside the bar, as it does where there is room."""
        return not self.above


def legend_of(
    style: Style, what: str, scale: Scale | None, colormap: str, *, lowest: str = "lowest"
) -> Legend:
    """Set the title as fully as the figure's width allows."""
    height = _ABOVE + max(_BAR, style.size) + _BELOW + style.small
    room = style.width - style.size - _bar_width(style.width)
    short = f"{what} ({scale_words(scale, short=True)})"
    for title, margin in ((f"{what}, {scale_words(scale)}", 2 * style.size), (short, style.small)):
        if style.measure(title) <= room - margin:
            return Legend((title,), False, scale, colormap, height, lowest)
    lines = style.wrap(short, style.width - 2, lines=_TITLE_LINES)
    height = _ABOVE + len(lines) * line_height(style.size) + 1 + _BAR + _BELOW + style.small
    return Legend(tuple(lines), True, scale, colormap, height, lowest)


def draw_legend(sheet: Sheet, legend: Legend) -> None:
    """Draw the colour bar with its ends and its middle at the sheet's foot."""
    y = sheet.height - _BELOW - sheet.small - _BAR
    width = _bar_width(sheet.width)
    if legend.above:
        step = line_height(sheet.size)
        width = min(_LONGEST, 0.7 * sheet.width)
        room = Rect(0, y - 1 - step * len(legend.title), sheet.width, step * len(legend.title))
        sheet.lines(room, list(legend.title), gid="legend title")
        x = (sheet.width - width) / 2
    else:
        (title,) = legend.title
        beside = sheet.measure(title) + sheet.size
        x = (sheet.width - beside - width) / 2 + beside
        baseline = y + _BAR / 2 + 0.33 * sheet.size
        sheet.text(x - beside, baseline, title, ha="left", gid="legend title")
    rect = Rect(x, y, width, _BAR)
    draw_image(sheet, rect, lookup_table(legend.colormap)[None], "legend")
    _draw_ticks(sheet, rect, ticks_of(legend.scale, legend.lowest))


Tick = tuple[str, float]
"""What is written at a place of the bar, and the place, from 0 to 1."""


def ticks_of(scale: Scale | None, lowest: str = "lowest") -> tuple[Tick, ...]:
    """Both ends and the middle; where all values are one, that one at the middle colour."""
    if scale is None:
        return (lowest, 0.0), ("highest", 1.0)
    span = scale.high - scale.low
    if span == 0:
        return ((tick_text(scale.low, 0.0), 0.5),)
    return tuple((tick_text(scale.low + share * span, span), share) for share in (0.0, 0.5, 1.0))


def scale_words(scale: Scale | None, *, short: bool = False) -> str:
    """The scale in words, such as `absolute scale`."""
    if scale is None:
        return "own range" if short else "each map on its own range"
    if scale.kind == "absolute":
        return "absolute" if short else "absolute scale"
    return "shared" if short else "one scale for all"


def _bar_width(width: float) -> float:
    """Of a bar beside its title."""
    return min(_LONGEST, 0.32 * width)


def _draw_ticks(sheet: Sheet, rect: Rect, ticks: tuple[Tick, ...]) -> None:
    """Write what stands below the bar; the middle only where the ends leave room for it."""
    widths = [sheet.measure(text, sheet.small) for text, _ in ticks]
    crowded = len(ticks) == 3 and sum(widths) - (widths[0] + widths[2]) / 2 + sheet.small > (
        rect.width
    )
    for (text, share), width in zip(ticks, widths, strict=True):
        if crowded and share == 0.5:
            continue
        at = rect.x + share * rect.width
        sheet.rule(at, rect.bottom, at, rect.bottom + 1.2)
        x = min(max(at, width / 2), sheet.width - width / 2)
        sheet.text(x, sheet.height - 0.24 * sheet.small, text, size=sheet.small)
