"""How far a run over many photos is: a bar at a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from cbam_viz.batch.reporter import Reporter

EVERY = 60.0
"""Seconds between two lines, where nobody looks on: in a log, each one stays."""


class Progress(Reporter):
    """Tells photos a second and the time left on standard error."""

    def __init__(self) -> None:
        self._begun = False
        self._bar: Any = None
        self._total = self._before = self._done = 0
        self._start = self._told = 0.0

    def say(self, text: str) -> None:
        """Print a sentence, above the bar if there is one."""
        if self._bar is None:
            click.echo(text, err=True)
        else:
            self._bar.write(text, file=sys.stderr)

    def begin(self, total: int, done: int) -> None:
        """Start to count, if there is anything to do."""
        if done == total:
            return
        self._begun = True
        if not sys.stderr.isatty():
            self._total, self._before, self._done = total, done, done
            self._start = self._told = time.monotonic()
            return
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # its thread would not live on in workers
        self._bar = tqdm(total=total, initial=done, unit="photo", mininterval=0.5, miniters=1,
                         dynamic_ncols=True)  # fmt: skip

    def advance(self, photos: int) -> None:
        """So many more are through."""
        if self._bar is not None:
            self._bar.update(photos)
            return
        self._done += photos
        now = time.monotonic()
        if now - self._told >= EVERY and self._before < self._done < self._total:
            self._told = now
            self.say(self._line(now - self._start))

    def broken(self, out: Path) -> None:
        """Say what is there after a run that did not end, if it had begun."""
        if self._begun:
            self.say(
                f"What was done is in {out}, and nothing of it is lost. The same command does the "
                "rest."
            )

    def close(self) -> None:
        """Leave the bar where it is."""
        if self._bar is not None:
            self._bar.close()

    def _line(self, seconds: float) -> str:
        from tqdm import tqdm

        rate = (self._done - self._before) / seconds
        left = tqdm.format_interval((self._total - self._done) / rate)
        return f"{self._done:,} of {self._total:,} photos, {rate:,.1f} a second, {left} left."
