"""Writing files: never over existing ones unasked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cbam_viz.errors import StoreError


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


def write(path: Path, data: bytes, *, force: bool) -> Path:
    """Write a file as a whole, making its folders first; return its path. Raises StoreError."""
    from cbam_viz.store import write_atomic

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {path.parent} cannot be made: {error.strerror}.") from error
    return write_atomic(path, data, force=force)


def _is_there(path: Path) -> bool:
    try:
        return any(path.iterdir()) if path.is_dir() else path.exists()
    except OSError as error:
        name = str(path) if len(str(path)) < 80 else f"{str(path)[:40]}…"
        raise StoreError(f"{name} cannot be looked at: {error.strerror}.") from error
