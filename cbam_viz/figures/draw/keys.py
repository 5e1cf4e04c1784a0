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
_ABOVE = 4.0

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
    text: str
    x: float
    line: int


def keys_height(style: Style, names: Sequence[str]) -> float:
    """Points that all names take."""
    return _ABOVE + (_entries(style, names)[-1].line + 1) * line_height(style.size)


def draw_keys(
    sheet: Sheet, style: Style, names: Sequence[str], sample: Callable[[Axes, int, str], None]
) -> None:
    """Each line of names centred; `sample` draws that of a number into axes from 0 to 1."""
    entries = _entries(style, names)
    step = line_height(style.size)
    top = sheet.height - step * (entries[-1].line + 1)
    for entry in entries:
        own = [one for one in entries if one.line == entry.line][-1]
        whole = own.x + _SAMPLE + _SAMPLE_GAP + style.measure(own.text)
        x = (sheet.width - whole) / 2 + entry.x
        baseline = top + step * (entry.line + 1) - 0.24 * style.size
        middle = baseline - 0.3 * style.size
        gid = f"legend {entry.number + 1}"
        axes = sheet.axes(Rect(x, middle - 1, _SAMPLE, 2), f"{gid} axes")
        sample(axes, entry.number, gid)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        sheet.text(x + _SAMPLE + _SAMPLE_GAP, baseline, entry.text, ha="left", gid=f"{gid} name")


def _entries(style: Style, names: Sequence[str]) -> list[_Entry]:
    """Names in lines, each after its sample."""
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
