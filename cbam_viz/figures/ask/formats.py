"""The kinds of file that a figure can be written as."""

from __future__ import annotations

from typing import Literal, get_args

from cbam_viz.errors import FigureError

FileFormat = Literal["pdf", "svg", "png", "tiff"]
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
SUFFIXES = (*(f".{one}" for one in FORMATS), ".tif")
"""Endings of their file names."""
MIME_TYPES: dict[FileFormat, str] = {
    "pdf": "application/pdf",
    "svg": "image/svg+xml",
    "png": "image/png",
    "tiff": "image/tiff",
}
DEFAULT_DPI = 300
MIN_DPI, MAX_DPI = 36, 1200


def format_of(name: str) -> FileFormat:
    """The format that a file's name ends in.

    Raises:
        FigureError: if it is none of pdf, svg, png, tiff (or tif).
    """
    ending = name.rpartition(".")[2].lower()
    ending = {"tif": "tiff"}.get(ending, ending)
    for known in FORMATS:
        if ending == known:
            return known
    raise FigureError(
        f"The name {name!r} says no format. End it in {', '.join('.' + f for f in FORMATS)}."
    )
