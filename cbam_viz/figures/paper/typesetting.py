"""Type: which font stands for a venue's, how wide a text runs, where it breaks.

Fonts are named outright, never through matplotlib's global settings. Times New Roman is used for
Times, and Arial for Helvetica, where they are installed; otherwise STIX (drawn after Times) and
DejaVu Sans, which come with matplotlib and so exist everywhere. A manifest names the font that was
used, and a figure made again from it asks for that one. Letters that the font lacks are drawn by
other installed fonts, chosen for each text (`fonts.py`); those that none has become `MISSING`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from unicodedata import category

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.venues import FontFamily
from cbam_viz.figures.paper.fonts import families_for, font_file, is_variation, needed
from cbam_viz.figures.wording import NO_BREAK

BUNDLED = {"serif": "STIXGeneral", "sans": "DejaVu Sans"}
"""What comes with matplotlib."""

_PREFERRED = {"serif": ("Times New Roman",), "sans": ("Arial",)}

_FALLBACK = "DejaVu Sans"
"""Draws the letters that the font itself lacks, before any other installed font does."""

MISSING = "\u25a1"
"""An empty square: drawn for letters that no installed font has."""

ELLIPSIS = "…"

LONGEST_TEXT = 240
"""Letters. Of longer texts only both ends are looked at: no line of a figure holds more."""

_HAN = "\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Letters of Chinese and Japanese, which break between any two."""

_PIECES = re.compile(rf"[{_HAN}][ \t._/\-]*|(?:[^ \t._/\-{_HAN}]|(?<=\d)\.(?=\d))*[ \t._/\-]*")
"""What lines are made of. A point between digits belongs to a number: 0.99 stays whole."""

LINE_HEIGHT = 1.18
"""Baseline to baseline, in type sizes."""


def resolve_font(font: str, family: FontFamily) -> str:
    """The font's name for a wish: `"auto"`, or the name of an installed font.

    Raises:
        FigureError: if the font is not there.
    """
    if font != "auto":
        if font_file(font) is None:
            raise FigureError(
                f"The font {font[:60]!r} is not installed. Install it, or take "
                f"{BUNDLED['serif']!r} or {BUNDLED['sans']!r}, which come with matplotlib."
            )
        return font
    for name in _PREFERRED[family]:
        if font_file(name) is not None:
            return name
    return BUNDLED[family]


@lru_cache(maxsize=1024)
def drawable(text: str, font: str) -> tuple[str, tuple[str, ...], str]:
    """The text as it is drawn, the families that draw it, and the letters that none of them has."""
    plain = "".join(
        " " if category(letter) in ("Cc", "Zl", "Zp") else letter  # tabs and line ends among them
        for letter in text
        if not is_variation(letter)
    )
    first = (font,) if font == _FALLBACK else (font, _FALLBACK)
    families, missing = families_for(needed(plain), first)
    return plain.translate(dict.fromkeys(map(ord, missing), MISSING)), families, missing


def properties(text: str, font: str, size: float, bold: bool = False) -> FontProperties:
    """What matplotlib needs to know to set a text."""
    return _properties(drawable(text, font)[1], size, bold)


@lru_cache(maxsize=256)
def _properties(families: tuple[str, ...], size: float, bold: bool) -> FontProperties:
    return FontProperties(family=list(families), size=size, weight="bold" if bold else "normal")


@lru_cache(maxsize=4096)
def text_width(text: str, font: str, size: float, bold: bool = False) -> float:
    """Width in points of one line."""
    if not text:
        return 0.0
    width, _, _ = text_to_path.get_text_width_height_descent(
        drawable(text, font)[0], properties(text, font, size, bold), False
    )
    return float(width)


def line_height(size: float) -> float:
    """Points from one baseline to the next."""
    return size * LINE_HEIGHT


def elide(text: str, width: float, font: str, size: float) -> str:
    """The text, shortened in its middle so that it fits: both ends of a layer's name matter."""
    if text_width(text, font, size) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head, tail = (kept + 1) // 2, kept // 2
        short = text[:head].rstrip() + ELLIPSIS + (text[-tail:].lstrip() if tail else "")
        if text_width(short, font, size) <= width:
            return short
    return ELLIPSIS


def wrap(text: str, width: float, font: str, size: float, max_lines: int = 2) -> list[str]:
    """Lines no wider than `width` points, at most `max_lines`.

    Breaks after spaces and after the marks inside names such as `layer3.block_2/cbam`; where that
    does not do, between any two letters; what those lines do not hold either loses its middle.
    """
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT // 2] + ELLIPSIS + text[-LONGEST_TEXT // 2 :]
    lines = _wrapped(text, width, font, size)
    if not _held(lines, width, font, size, max_lines):
        broken = _wrapped(text, width, font, size, anywhere=True)
        if not _held(broken, width, font, size, max_lines):
            broken = _shortened(text, width, font, size, max_lines)
        if _held(broken, width, font, size, max_lines):
            lines = broken
    if len(lines) > max_lines:
        rest = " ".join(line.strip() for line in lines[max_lines - 1 :])
        lines = [*lines[: max_lines - 1], rest]
    return [elide(line.strip().replace(NO_BREAK, " "), width, font, size) for line in lines]


def _shortened(text: str, width: float, font: str, size: float, max_lines: int) -> list[str]:
    """Lines that hold as much of both ends of the text as they can; too many if they hold none."""
    low, high = 0, len(text) - 1
    found = _wrapped(text, width, font, size, anywhere=True)
    while low < high:
        kept = (low + high + 1) // 2
        short = text[: (kept + 1) // 2].rstrip() + ELLIPSIS
        short += text[len(text) - kept // 2 :].lstrip()
        lines = _wrapped(short, width, font, size, anywhere=True)
        if _held(lines, width, font, size, max_lines):
            low, found = kept, lines
        else:
            high = kept - 1
    return found


def fits(text: str, width: float, font: str, size: float, max_lines: int = 2) -> bool:
    """Whether so many lines hold the text whole, broken at the usual places only."""
    return _held(_wrapped(text, width, font, size), width, font, size, max_lines)


def _held(lines: list[str], width: float, font: str, size: float, max_lines: int) -> bool:
    return len(lines) <= max_lines and all(
        text_width(line.strip(), font, size) <= width for line in lines
    )


def _wrapped(
    text: str, width: float, font: str, size: float, *, anywhere: bool = False
) -> list[str]:
    """As many lines as it takes, some of them too wide unless they may break anywhere."""
    lines = []
    for paragraph in text.split("\n"):
        pieces = _PIECES.findall(paragraph)
        if anywhere:
            pieces = [part for piece in pieces for part in _parts(piece, width, font, size)]
        lines += _filled(pieces, width, font, size)
    return lines


def _filled(pieces: Iterable[str], width: float, font: str, size: float) -> list[str]:
    lines = [""]
    for piece in pieces:
        longer = lines[-1] + piece
        if lines[-1] and text_width(longer.rstrip(), font, size) > width:
            lines.append(piece)
        else:
            lines[-1] = longer
    return lines


def _parts(piece: str, width: float, font: str, size: float) -> list[str]:
    """The piece if a line holds it; else its words, or its letters where a word is too long."""
    if text_width(piece.rstrip(), font, size) <= width:
        return [piece]
    words = re.findall(f"[^{NO_BREAK}]*{NO_BREAK}?", piece)
    if len(words) > 2:  # the last one found is empty
        return [part for word in words for part in _parts(word, width, font, size)]
    letters: list[str] = []
    for letter in piece:
        if letters and category(letter)[0] == "M":  # an accent stays with its letter
            letters[-1] += letter
        else:
            letters.append(letter)
    return letters
