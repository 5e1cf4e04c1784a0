"""Writing files: never over existing ones unasked, and nowhere that takes none."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from cbam_viz.errors import StoreError
from cbam_viz.figures.ask.formats import SUFFIXES


def refuse_no_drawings(outputs: Sequence[Path]) -> None:
    """Raise click.UsageError for a file that nothing can be drawn into, or that is named twice."""
    for output in outputs:
        if output.suffix.lower() not in SUFFIXES:
            raise click.UsageError(f"{output} must end in one of {', '.join(SUFFIXES)}.")
        if outputs.count(output) > 1:
            raise click.UsageError(f"--output names {output} twice.")


def refuse_existing(paths: Iterable[Path], force: bool) -> None:
    """Raise StoreError if any file, or any folder that is not empty, exists, unless `force`.

    Called before any work is done, so that nobody waits for an error.
    """
    existing = [] if force else [path for path in paths if _is_there(path)]
    if existing:
        others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        verb = "exist" if others else "exists"
        raise StoreError(
            f"{existing[0]}{others} {verb} already. Choose another place, or give --force to "
            "overwrite."
        )


def refuse_unwritable(files: Iterable[Path]) -> None:
    """Raise StoreError if any of these files, or the folder that it needs, cannot be made.

    Also called before any work is done. In each folder a file is made for a moment: permissions
    alone do not tell what a file system takes.
    """
    tried: set[Path] = set()
    for file in files:
        _nearest(file)  # fails if the name is too long
        folder = _nearest(file.parent)
        if folder in tried:
            continue
        tried.add(folder)
        if not folder.is_dir():
            raise StoreError(f"{folder} is a file; nothing can be written to {file.parent}.")
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".part"):
                pass
        except OSError as error:
            raise StoreError(
                f"Nothing can be written to {folder}: {error.strerror}. Choose another place."
            ) from error


def write(path: Path, data: bytes, *, force: bool) -> Path:
    """Write a file as a whole, making its folders first; return its path. Raises StoreError."""
    from cbam_viz.store import write_atomic

    make_folder(path.parent)
    return write_atomic(path, data, force=force)


def make_folder(folder: Path) -> None:
    """Make a folder and those that it lies in. Raises StoreError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {folder} cannot be made: {error.strerror}.") from error


def _nearest(folder: Path) -> Path:
    """The folder itself, or what is nearest to it of what there is."""
    while True:
        try:
            folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            if folder.parent == folder:
                return folder
            folder = folder.parent
        except OSError as error:
            raise _cannot_look(folder, error) from error
        else:
            return folder


def _is_there(path: Path) -> bool:
    try:
        return any(path.iterdir()) if path.is_dir() else path.exists()
    except OSError as error:
        raise _cannot_look(path, error) from error


def _cannot_look(path: Path, error: OSError) -> StoreError:
    name = str(path) if len(str(path)) < 80 else f"{str(path)[:40]}…"
    advice = " Choose a shorter one." if error.errno == errno.ENAMETOOLONG else ""
    return StoreError(f"{name} cannot be looked at: {error.strerror}.{advice}")
