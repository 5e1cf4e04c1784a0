"""Installed fonts: which has which letters, whatever the kind of file (TrueType, OpenType, TTC).

Class names are in all languages, and no one font has all letters. None is shipped: the letters that
a figure's own font lacks are drawn by a font that this machine has.
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from matplotlib import font_manager, ft2font
from matplotlib.font_manager import FontProperties

_REGULAR = 400

MOST_LETTERS = 100_000
"""A font holds 65,535 glyphs at most: one that claims more letters draws the same box for many."""

_VARIATIONS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
"""Variation selectors: they choose a letter's shape and are no letters themselves."""

_PREFERRED = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans", "Noto Emoji")
"""Taken before others that have as many of the letters."""


@dataclass(frozen=True)
class FontFile:
    """One face of an installed font file."""

    family: str
    path: str
    face: int
    """Its number in a collection (.ttc); 0 in other files."""


def font_file(family: str, weight: str | int = "normal") -> FontFile | None:
    """The file of a family's upright face; None if it is not installed."""
    try:
        found: Any = font_manager.findfont(
            FontProperties(family=[family], weight=weight), fallback_to_default=False
        )
    except ValueError:
        return None
    return FontFile(family, str(found), int(getattr(found, "face_index", 0)))


@lru_cache(maxsize=256)
def letters_of(file: FontFile) -> frozenset[int]:
    """Code points that a face has; none for files that cannot be drawn at any size."""
    try:
        font = _opened(file)
        letters = font.get_charmap() if font.scalable else {}
    except (RuntimeError, OSError, ValueError, AttributeError):
        return frozenset()
    return frozenset() if len(letters) > MOST_LETTERS else frozenset(letters)


@lru_cache(maxsize=1 << 16)
def has(file: FontFile, letter: str) -> bool:
    """Whether a face draws a letter; fonts of coloured pictures have it and draw nothing."""
    if ord(letter) not in letters_of(file):
        return False
    if unicodedata.category(letter)[0] in "ZC":
        return True
    try:
        font = _opened(file)
        font.load_char(ord(letter), flags=ft2font.LoadFlags.NO_SCALE)
        return len(font.get_path()[0]) > 0
    except (RuntimeError, ValueError):
        return False


def _opened(file: FontFile) -> Any:
    options: dict[str, Any] = {"face_index": file.face} if file.face else {}
    return ft2font.FT2Font(file.path, **options)


def needed(text: str) -> str:
    """The letters of a text that a font must have: no line ends, joiners or variation selectors."""
    return "".join(
        letter
        for letter in dict.fromkeys(text)
        if unicodedata.category(letter) not in ("Cc", "Cf") and not is_variation(letter)
    )


def is_variation(letter: str) -> bool:
    """Whether it is a variation selector, such as the one that asks for a coloured picture."""
    return any(ord(letter) in some for some in _VARIATIONS)


@lru_cache(maxsize=1024)
def families_for(letters: str, first: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Families that together have all letters, those of `first` in front; and what none has."""
    families = list(first)
    missing = set(letters)
    for family in first:
        missing -= _drawn(font_file(family), missing)
    while missing:
        best, drawn = _best(missing)
        if best is None:
            break
        families.append(best)
        missing -= drawn
    return tuple(families), "".join(letter for letter in letters if letter in missing)


def _best(letters: set[str]) -> tuple[str | None, set[str]]:
    """The installed family that draws most of the letters; of equal ones the same each time."""
    ranked = sorted(
        (
            (-len(drawn), *_rank(file), file.family, drawn)
            for file in _installed()
            if (drawn := _drawn(file, letters))
        ),
        key=lambda one: one[:-1],
    )
    return (ranked[0][-2], ranked[0][-1]) if ranked else (None, set())


def _rank(file: FontFile) -> tuple[int, int, bool]:
    """Of several, the one that has most letters of all: lines of a name then look alike."""
    preferred = _PREFERRED.index(file.family) if file.family in _PREFERRED else len(_PREFERRED)
    return preferred, -len(letters_of(file)), not file.path.lower().endswith(".ttf")


def _drawn(file: FontFile | None, letters: Iterable[str]) -> set[str]:
    return set() if file is None else {letter for letter in letters if has(file, letter)}


@cache
def _installed() -> tuple[FontFile, ...]:
    """One upright, regular face of each family; of those too that came after matplotlib's list."""
    manager = font_manager.fontManager
    known = {str(entry.fname) for entry in manager.ttflist}
    for path in font_manager.findSystemFonts(fontext="ttf"):
        if path not in known:
            with contextlib.suppress(RuntimeError, OSError, ValueError, TypeError):
                manager.addfont(path)
    return tuple(sorted(_regular_faces(manager.ttflist), key=lambda file: file.family))


def _regular_faces(entries: Iterable[Any]) -> Iterator[FontFile]:
    seen = set()
    for entry in entries:
        if entry.style == "normal" and entry.name not in seen and _weight(entry) == _REGULAR:
            seen.add(entry.name)
            file = font_file(entry.name)
            if file is not None:
                yield file


def _weight(entry: Any) -> int:
    weight = entry.weight
    return weight if isinstance(weight, int) else font_manager.weight_dict.get(weight, _REGULAR)
