"""Headings of pictures, broken into lines: all of a figure's at once, in one type size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Sheet, Style
from cbam_viz.figures.paper.typesetting import line_height

HEAD_LINES = 3
"""Of a layer, or of what else stands over a picture."""
SMALL_LINES = 5
"""The same in the smallest type, where a column is narrow."""
NETWORK_LINES = 5
"""Of a network's name in a heading: cut short, two networks may look like one."""


@dataclass(frozen=True)
class Heads:
    """Headings in lines."""

    lines: tuple[tuple[str, ...], ...]
    whole: bool
    """Whether every one stands there in full, broken at the usual places only."""

    def height(self, style: Style) -> float:
        """Points that the highest one takes; 0 without headings."""
        return max(map(len, self.lines), default=0) * line_height(style.size)


def break_heads(style: Style, texts: Sequence[str], widths: Sequence[float]) -> Heads:
    """Break each heading for its width; what stands before a line end in it is a network's name."""
    most = SMALL_LINES if style.size <= style.small else HEAD_LINES
    lines: list[tuple[str, ...]] = []
    whole = True
    for text, width in zip(texts, widths, strict=True):
        *network, shown = text.split("\n")
        parts = [(shown, most)] if text else []
        if network:
            parts = [(" ".join(network), NETWORK_LINES), (shown, max(2, most - 1))]
        lines.append(tuple(line for part, n in parts for line in style.wrap(part, width, lines=n)))
        whole = whole and all(style.fits(part, width, lines=n) for part, n in parts)
    return Heads(tuple(lines), whole)


def draw_head(sheet: Sheet, rect: Rect, lines: Sequence[str], gid: str) -> None:
    """Set a heading at the bottom of its room."""
    sheet.lines(rect, list(lines), va="bottom", gid=gid)
