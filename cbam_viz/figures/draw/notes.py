"""What stands below the pictures of a grid: the class that a map is for, and its probability."""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Sheet, Style
from cbam_viz.figures.paper.typesetting import line_height

NAME_LINES = 4
"""Of a class's name, at most."""
_GAP = 1.0
"""Between a picture and what stands below it."""


def note_lines(style: Style, note: str, width: float) -> list[str]:
    """A note in small type: on one line where it fits, else its last part on one of its own."""
    if not note:
        return []
    whole = note.replace("\n", " ")
    if style.measure(whole, style.small) <= width:
        return [whole]
    *first, last = note.split("\n")
    if not first:
        return style.wrap(last, width, size=style.small, lines=NAME_LINES)
    name = style.wrap(" ".join(first), width, size=style.small, lines=NAME_LINES)
    return [*name, last]


def notes_height(style: Style, notes: Sequence[str], width: float) -> float:
    """What a row's notes need below pictures that are so wide; 0 where there are none."""
    most = max((len(note_lines(style, note, width)) for note in notes), default=0)
    return most * line_height(style.small) + _GAP if most else 0.0


def draw_note(sheet: Sheet, style: Style, note: str, below: Rect, gid: str) -> None:
    """Set a note into the room below a picture."""
    lines = note_lines(style, note, below.width)
    if lines:
        room = Rect(below.x, below.y + _GAP, below.width, below.height - _GAP)
        sheet.lines(room, lines, size=sheet.small, va="top", gid=f"{gid} note")
