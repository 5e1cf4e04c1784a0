"""Making a store for the app: `cbam-viz batch` in a process of its own, one at a time.

The server's threads compute nothing of it, so that other visitors wait for nobody; how far it is
shows the store itself. It may be ended at any moment: the same command goes on.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cbam_viz.batch.record import GATES, read_record
from cbam_viz.errors import StoreError

SOME_FAILED = 1
_LAST_WORDS = 4000
"""Bytes of what the process said that are looked at for its last sentence."""


@dataclass
class Job:
    """One run, under way or ended."""

    store: Path
    process: subprocess.Popen[bytes]
    said: IO[bytes] = field(repr=False)
    began: float
    before: int
    """Photos that were there when it began."""
    source: str = ""
    """What it makes a store of."""
    stopped: bool = False
    """Whether somebody asked for the end."""

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.process.poll() is None


@dataclass(frozen=True)
class Progress:
    """How far a store is. Photos that could not be read count as done."""

    done: int
    total: int | None
    """None before the first photo has been looked at."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.total is not None and self.done >= self.total


_lock = threading.Lock()
_last: list[Job] = []
"""The last run that this server started; none or one."""


def current() -> Job | None:
    """The last run that the app started, of any visitor."""
    return _last[0] if _last else None


def start(store: Path, arguments: list[str]) -> None:
    """Run `cbam-viz batch` with these arguments. Raises StoreError if another run goes on."""
    with _lock:
        earlier = current()
        if earlier is not None and earlier.running:
            raise StoreError(
                f"The store {earlier.store.name} is being made, and the app makes one at a "
                "time. Wait until it is there, or stop it."
            )
        before, source = progress(store).done, arguments[0] if arguments else ""
        said = tempfile.TemporaryFile()  # noqa: SIM115  # read when the run has ended
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(
            [sys.executable, "-m", "cbam_viz", "batch", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=environment,
            start_new_session=True,  # so that its workers can be ended with it
        )
        _last[:] = [Job(store, process, said, time.monotonic(), before, source)]


def stop() -> None:
    """End the run, if one goes on. What it has written stays."""
    job = current()
    if job is None or not job.running:
        return
    job.stopped = True
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(job.process.pid, signal.SIGTERM)
        else:
            job.process.terminate()
    with suppress(subprocess.TimeoutExpired):
        job.process.wait(5)


atexit.register(stop)


def progress(store: Path) -> Progress:
    """Count the shards that are there."""
    try:
        record = read_record(store)
    except StoreError:
        record = None
    if record is None:
        return Progress(0, None)
    numbers = [int(file.stem) for file in (store / GATES).glob("[0-9]*.parquet")
               if file.stem.isdigit()]  # fmt: skip
    size = record.shard_size
    done = sum(max(0, min(size, record.photos - number * size)) for number in numbers)
    return Progress(done, record.photos)


def outcome(job: Job) -> tuple[bool, str]:
    """Whether a run that has ended did what it was for, and a sentence of it."""
    status, name = job.process.poll(), job.store.name
    # Python itself ends with the status of a run in which some photos could not be read.
    complete = status in (0, SOME_FAILED) and progress(job.store).complete
    if status == 0:
        return complete, f"The store {name} is there." if complete else (
            f"The store {name} was made, and parts of it or all have been taken away since."
        )
    if complete:
        return True, (
            f"The store {name} is there. Some photos could not be read; its failed.csv says why."
        )
    if job.stopped:
        return False, (
            f"The store {name} was stopped. What was done is kept: with the same folder, network "
            "and view, Go on does the rest."
        )
    return False, f"The store {name} could not be made. {_last_sentence(job)}"


def _last_sentence(job: Job) -> str:
    """What the process said at its end."""
    try:
        job.said.seek(0, os.SEEK_END)
        job.said.seek(max(0, job.said.tell() - _LAST_WORDS))
        text = job.said.read().decode(errors="replace")
    except (OSError, ValueError):
        text = ""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("Error:", "Internal error"))]
    return (errors or ["Its process ended and left no message: try again."])[-1].removeprefix(
        "Error: "
    )
