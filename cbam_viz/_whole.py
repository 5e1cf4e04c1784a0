"""Files that are either complete or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a path beside `target` to write a file to; at the end it takes the target's place.

    Readers never see half a file, and after an error there is none. Without `force`, a target that
    exists is kept, also if it appears while writing. Raises FileExistsError for that, and OSError.
    """
    # In the same folder, as only there a file can be moved into place in one step.
    part = target.with_name(f".{target.name[:50]}.{secrets.token_hex(8)}.part")
    try:
        if not force and os.path.lexists(target):
            raise FileExistsError(target)
        yield part
        with part.open("r+b") as stream:
            os.fsync(stream.fileno())
        _move(part, target, force)
    finally:
        with suppress(OSError, ValueError):
            part.unlink(missing_ok=True)


def _move(part: Path, target: Path, force: bool) -> None:
    if force:
        part.replace(target)
        return
    try:
        # Unlike a move, a hard link fails if the name has been taken meanwhile.
        os.link(part, target)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError, AttributeError):
        # Some file systems have no hard links; the moment between test and move remains there.
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        part.replace(target)
