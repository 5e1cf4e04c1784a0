"""What is said while the gates of a store are summed up, which is done once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from cbam_viz._places import SAMPLE

PATIENCE = 1.0
"""Seconds; of less nothing is said."""


@contextmanager
def said_if_summed(store: Path) -> Iterator[None]:
    """Say on standard error that a store without sums is summed up, and how far it has come."""
    from tqdm import tqdm

    from cbam_viz.dataset.sums import telling

    started, said = time.monotonic(), False
    with tqdm(unit="part", disable=not sys.stderr.isatty(), leave=False, delay=PATIENCE) as bar:

        def told(gate: str, done: int, of: int) -> None:
            nonlocal said
            if not said and time.monotonic() - started > PATIENCE:
                said = True
                click.echo(
                    f"{store} has no sums of all its photos yet. They are made now{_kept(store)}.",
                    err=True,
                )
            bar.set_description(gate, refresh=False)
            bar.total, bar.n = of, done
            bar.refresh()

        with telling(told):
            yield


def _kept(store: Path) -> str:
    if str(store).startswith(SAMPLE):
        return ", and not kept: what comes along is left as it is"
    return ", once, and kept in its folder 'summaries' if that can be written"
