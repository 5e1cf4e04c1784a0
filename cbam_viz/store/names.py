"""File names from text that others wrote: layer names, photo names, model names."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

MAX_LENGTH = 100
"""Bytes in UTF-8; file systems take 255, and endings are still to be added."""

_ALLOWED = "-_.+=@,#"

_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)
"""Device names on Windows, with any ending and in any case."""


def safe_name(text: str, *, max_length: int = MAX_LENGTH) -> str:
    """Make a file name that is valid on every system and stays in its folder.

    Letters and digits of all scripts and `-_.+=@,#` are kept, all else becomes `_`. Wherever
    anything was changed, a part of the text's hash is added, so that different texts keep different
    names. What names that differ in case only do on Windows and macOS, `safe_names` prevents.
    """
    normal = unicodedata.normalize("NFC", text).strip(" .").lstrip("-")
    kept = "".join(c if c.isalnum() or c in _ALLOWED else "_" for c in normal)
    if kept.split(".")[0].lower() in _RESERVED or not kept.strip("._"):
        kept = f"_{kept}"
    fits = len(kept.encode()) <= max_length
    return kept if kept == text and fits else _with_hash(kept, text, max_length)


def safe_names(texts: Iterable[str], *, max_length: int = MAX_LENGTH) -> dict[str, str]:
    """Map distinct texts to file names that differ in more than case."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        if text in names:
            continue
        name = plain = safe_name(text, max_length=max_length)
        digits = 8
        while folded(name) in taken:
            name = _with_hash(plain, text, max_length, digits)
            digits += 4
        taken.add(folded(name))
        names[text] = name
    return names


def _with_hash(name: str, text: str, max_length: int, digits: int = 8) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
    stem, dot, ending = name.rpartition(".")
    # Before a short ending, so that `my photo.jpg` still ends in `.jpg`.
    if dot and stem.strip("._") and 0 < len(ending) <= 5 and ending.isascii():
        return f"{_cut(stem, max_length - len(ending) - digits - 2)}-{digest}.{ending}"
    return f"{_cut(name, max_length - digits - 1)}-{digest}"


def _cut(text: str, length: int) -> str:
    """At most `length` bytes, without half a character or a dot at the end."""
    encoded = text.encode("utf-8", "replace")
    return encoded[: max(length, 1)].decode("utf-8", "ignore").rstrip(" .")


def folded(name: str) -> str:
    """A form of a file's name that is equal for names that some file system takes for one."""
    return unicodedata.normalize("NFKD", name).casefold()
