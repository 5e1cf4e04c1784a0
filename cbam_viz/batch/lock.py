"""One run at a time on one part of a store; the lock goes with the process that holds it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cbam_viz.errors import StoreError

LOCK = ".lock"
PATIENCE = 3.0
"""Seconds."""


@contextmanager
def locked(folder: Path, part: str, clean: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the store's lock: all of it for `part` "", else that part alone.

    The system gives the lock back however the process ends, so that no stale one is left. `clean`
    is called while no other run is on the store, before and after. Raises StoreError if another run
    holds the lock.
    """
    held: list[int] = []
    try:
        held.append(_opened(folder / LOCK))
        if _locked(held[0], alone=True) or (not part and _locked_soon(held[0], alone=True)):
            clean()
        elif not part:
            raise _taken(folder)
        if part:
            if not _locked_soon(held[0], alone=False):
                raise _taken(folder)
            held.append(_opened(folder / f"{LOCK}-{part}"))
            if not _locked_soon(held[1], alone=True):
                raise _taken(folder)
        yield
        if _locked(held[0], alone=True):
            clean()
    finally:
        for descriptor in held:
            os.close(descriptor)


def _taken(folder: Path) -> StoreError:
    return StoreError(
        f"Another run is writing to {folder}. Wait until it ends, or give each run a part of its "
        "own: --shard 1/2 and --shard 2/2."
    )


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreError(
            f"{path.parent} takes no files: {error.strerror}. Choose another place."
        ) from error


def _locked_soon(descriptor: int, *, alone: bool) -> bool:
    """Lock a file, waiting a moment for the workers of a run that was just killed to be gone."""
    patience = time.monotonic() + PATIENCE
    while not _locked(descriptor, alone=alone):
        if time.monotonic() > patience:
            return False
        time.sleep(0.02)
    return True


def _locked(descriptor: int, *, alone: bool) -> bool:
    """Lock a file, or change its lock; False if another process stands in the way."""
    try:
        _lock(descriptor, alone=alone)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: there is no way to tell
        return True
    return True


def _lock(descriptor: int, *, alone: bool) -> None:
    if sys.platform == "win32":
        import msvcrt

        if not alone:
            return
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError from error
        return
    import fcntl

    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    fcntl.flock(descriptor, kind | fcntl.LOCK_NB)


def forget_locks() -> None:
    """Close what a forked worker has inherited: the lock is its parent's alone."""
    if not Path("/proc/self/fd").is_dir():
        return
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError, ValueError):
            if entry.readlink().name.startswith(LOCK):
                os.close(int(entry.name))
