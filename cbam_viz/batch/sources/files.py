"""Which files a source means: one file, a folder with all that is in it, a pattern.

Imports nothing heavy: commands ask this before they load a network.
"""

from __future__ import annotations

import errno
import glob
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from cbam_viz._suffixes import is_photo_name
from cbam_viz.errors import ImageError

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def walk(folder: Path, wanted: Callable[[str], bool] = is_photo_name) -> Iterator[Path]:
    """Yield the wanted files below a folder in the order of their paths, hidden ones left out.

    One folder's entries at a time are held, so that millions of files take no memory. Links to
    folders are followed; one that leads back to a folder that holds it is not. A link that leads
    nowhere counts as a file, which then cannot be read, so that it is told of.
    """
    yield from _walk(folder, wanted, (os.path.realpath(folder),))


def _walk(folder: Path, wanted: Callable[[str], bool], above: tuple[str, ...]) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            inside = sorted((one.name, *_kind(one)) for one in entries if one.name[0] != ".")
    except OSError as error:
        raise ImageError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    for name, is_folder, is_file in inside:
        path = folder / name
        if not is_folder:
            if is_file and wanted(name):
                yield path
            continue
        real = os.path.realpath(path)
        if real not in above:
            yield from _walk(path, wanted, (*above, real))


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Whether it is a folder, and whether a file or what was meant to be one."""
    try:
        if entry.is_dir():
            return True, False
        return False, entry.is_file() or (entry.is_symlink() and not Path(entry).exists())
    except OSError:  # a link that leads to itself
        return False, True


def matches(pattern: str) -> list[Path]:
    """Return the files that a pattern means, sorted; if it means none, the folders.

    `{000..012}` counts as in a shell.
    """
    found = {match for one in _counted(pattern) for match in glob.glob(one, recursive=True)}  # noqa: PTH207
    every = sorted(map(Path, found))
    return [one for one in every if one.is_file()] or [one for one in every if one.is_dir()]


def folder_of(pattern: str) -> Path:
    """The folder that all matches of a pattern lie below: what stands before its first wildcard."""
    parts = Path(pattern).parts[:-1]
    wild = (n for n, part in enumerate(parts) if glob.has_magic(part) or _BRACES.search(part))
    return Path(*parts[: next(wild, len(parts))])


def can_be_a_path(path: Path) -> bool:
    """Whether the system takes this for a path at all, be there a file or not."""
    try:
        path.exists()
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG
    return True


def is_no_file(path: Path) -> bool:
    """Whether something is there that photos cannot be in: a pipe, a device, a socket."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _counted(pattern: str) -> Iterator[str]:
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    first, last = match.groups()
    for number in range(int(first), int(last) + 1):
        middle = str(number).zfill(len(first))
        yield from _counted(pattern[: match.start()] + middle + pattern[match.end() :])
