"""Folders that the server offers by name, such as stores and runs, and whether one has changed.

A link names a folder as a list does; it is looked up among what is there, never used as a path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from cbam_viz.errors import StoreError

LONGEST = 120
"""Of a name that a link can carry."""


def offered(place: Path) -> list[Path]:
    """The folders in it that a list and a link can name; none where there is no such place."""
    try:
        found = sorted(one for one in place.iterdir() if one.is_dir())
    except OSError:
        return []
    return [one for one in found if _can_be_named(one.name)]


def _can_be_named(name: str) -> bool:
    return not name.startswith(".") and name.isprintable() and len(name) <= LONGEST


def version(folder: Path, files: Iterable[Path]) -> str:
    """A digest of the names, sizes and times of files: another one once something was written.

    Raises:
        StoreError: if one of them is gone.
    """
    digest = hashlib.sha256()
    try:
        for file in files:
            told = file.stat()
            digest.update(f"{file.name} {told.st_size} {told.st_mtime_ns}\n".encode())
    except OSError as error:
        raise StoreError(f"{folder} changed while it was read. Open the page again.") from error
    return digest.hexdigest()
