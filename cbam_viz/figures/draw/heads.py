"""Headings of pictures, broken into lines: all of a figure's at once, in one type size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cbam_viz.figures.content.called import Over
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Sheet, Style
from cbam_viz.figures.paper.typesetting import line_height

HEAD_LINES = 3
"""Of a layer, or of what else stands over a picture."""
SMALL_LINES = 7
"""The same in the smallest type, where a column is narrow."""
NETWORK_LINES = 5
"""Of a network's name in a heading: cut short, two networks may look like one."""


_RULE = 2.5
"""Points below a heading of several columns, for the line that says which they are."""


@dataclass(frozen=True)
class OverHead:
    """A heading of neighbouring columns, in lines."""

    first: int
    last: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Heads:
    """Headings in lines."""

    lines: tuple[tuple[str, ...], ...]
    whole: bool
    """Whether every one stands there in full, broken at the usual places only."""
    over: tuple[tuple[OverHead, ...], ...] = ()
    """Headings of several columns above them, from the top."""

    def height(self, style: Style) -> float:
        """Points that all of them take; 0 without headings."""
        own = max(map(len, self.lines), default=0) * line_height(style.size)
        return own + sum(level_height(level, style.size) for level in self.over)


def most_lines(style: Style) -> int:
    """Lines that a heading has at most, where there is room for them."""
    return SMALL_LINES if style.size <= style.small else HEAD_LINES


def break_heads(
    style: Style, texts: Sequence[str], widths: Sequence[float], most: int | None = None
) -> Heads:
    """Break each heading for its width, into `most` lines or as many as usual."""
    most = most or most_lines(style)
    lines = tuple(
        tuple(style.wrap(text, width, lines=most)) if text else ()
        for text, width in zip(texts, widths, strict=True)
    )
    fitting = (
        style.fits(text, width, lines=most) for text, width in zip(texts, widths, strict=True)
    )
    return Heads(lines, all(fitting))


def with_over(
    style: Style, heads: Heads, over: Sequence[Sequence[Over]], width: Callable[[Over], float]
) -> Heads:
    """The headings with those of several columns above them; `width` says how wide those are."""
    levels = tuple(
        tuple(
            OverHead(
                one.first,
                one.last,
                tuple(style.wrap(one.text, width(one), lines=NETWORK_LINES)),
            )
            for one in level
        )
        for level in over
    )
    whole = all(
        style.fits(one.text, width(one), lines=NETWORK_LINES) for level in over for one in level
    )
    return Heads(heads.lines, heads.whole and whole, levels)


def level_height(level: Sequence[OverHead], size: float) -> float:
    """What headings of several columns that stand side by side take."""
    ruled = any(one.last > one.first for one in level)
    return max(len(one.lines) for one in level) * line_height(size) + (_RULE if ruled else 0.0)


def draw_over(sheet: Sheet, heads: Heads, rects: Sequence[Rect], gid: str) -> None:
    """Set the headings of several columns at the top of the columns' rooms."""
    down = 0.0
    for n, level in enumerate(heads.over, 1):
        height = level_height(level, sheet.size)
        ruled = any(one.last > one.first for one in level)
        for k, one in enumerate(level, 1):
            left, right = rects[one.first], rects[one.last]
            room = Rect(left.x, left.y + down, right.right - left.x, height)
            if ruled:
                room = Rect(room.x, room.y, room.width, height - _RULE)
                y = room.bottom + 0.4 * _RULE
                sheet.rule(room.x, y, room.right, y)
            sheet.lines(room, list(one.lines), va="bottom", gid=f"{gid} over {n} {k}")
        down += height


def draw_head(sheet: Sheet, rect: Rect, lines: Sequence[str], gid: str) -> None:
    """Set a heading at the bottom of its room."""
    sheet.lines(rect, list(lines), va="bottom", gid=gid)
