"""Which line or colour is what: names at a figure's foot, each after a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Sheet, Style
from cbam_viz.figures.paper.typesetting import line_height

_SAMPLE, _SAMPLE_GAP, _ENTRY_GAP = 12.0, 3.0, 10.0
"""Length of a sample, and the white beside it and between entries."""
_BESIDE = _SAMPLE + _SAMPLE_GAP
"""From a sample's left end to its name."""
_ABOVE = 4.0
NAME_LINES = 4
"""Of a name that no line holds."""

COLOURS = (
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


@dataclass(frozen=True)
class _Entry:
    """A name at the figure's foot."""

    number: int
    lines: tuple[str, ...]
    x: float
    line: int
    """The line of type that its first one stands on."""


def keys_height(style: Style, names: Sequence[str]) -> float:
    """Points that all names take."""
    return _ABOVE + _count(_entries(style, names)) * line_height(style.size)


def draw_keys(
    sheet: Sheet, style: Style, names: Sequence[str], sample: Callable[[Axes, int, str], None]
) -> None:
    """Each line of names centred, or all of them as a list where one takes a line for itself.

    `sample` draws that of a number into axes from 0 to 1.
    """
    entries = _entries(style, names)
    step = line_height(style.size)
    top = sheet.height - step * _count(entries)
    for entry in entries:
        x = (sheet.width - _width(style, entry, entries)) / 2 + entry.x
        gid = f"legend {entry.number + 1}"
        for number, text in enumerate(entry.lines):
            baseline = top + step * (entry.line + number + 1) - 0.24 * style.size
            name = f"{gid} name" + (f" line {number + 1}" if number else "")
            sheet.text(x + _BESIDE, baseline, text, ha="left", gid=name)
        middle = top + step * (entry.line + 1) - 0.54 * style.size
        axes = sheet.axes(Rect(x, middle - 1, _SAMPLE, 2), f"{gid} axes")
        sample(axes, entry.number, gid)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)


def _count(entries: Sequence[_Entry]) -> int:
    """Lines of type."""
    return max(entry.line + len(entry.lines) for entry in entries)


def _width(style: Style, entry: _Entry, entries: Sequence[_Entry]) -> float:
    """What the names take that stand on an entry's line; in a list, the widest of all."""
    listed = len({one.line for one in entries}) == len(entries)
    beside = [one for one in entries if listed or one.line == entry.line]
    return max(one.x + _BESIDE + max(map(style.measure, one.lines)) for one in beside)


def _entries(style: Style, names: Sequence[str]) -> list[_Entry]:
    """Names in lines, each after its sample; one that no line holds is broken and stands alone."""
    entries: list[_Entry] = []
    x, line, taken = 0.0, 0, 1
    for number, name in enumerate(names):
        lines = tuple(style.wrap(name, style.width - _BESIDE, lines=NAME_LINES))
        width = _BESIDE + max(map(style.measure, lines))
        if x and (x + width > style.width or len(lines) > 1):
            x, line = 0.0, line + taken
        entries.append(_Entry(number, lines, x, line))
        taken = len(lines)
        x = x + width + _ENTRY_GAP if taken == 1 else style.width
    return entries
