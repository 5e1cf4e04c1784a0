"""Many images through one network as fast as the machine can: the work of `cbam-viz export`.

Two cores run two processes of one thread faster than one process of two threads, so worker
processes share the batches out. What is tuned here (threads, the C allocator) belongs to this
program's own processes; the library never does such things.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from typing import TYPE_CHECKING

import click

from cbam_viz.cli.jobs import Job, Outcome, Target
from cbam_viz.cli.network import open_network
from cbam_viz.cli.results import write_results
from cbam_viz.errors import CbamVizError

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.images import Photo
    from cbam_viz.models import LoadedModel

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""From glibc's malloc.h."""


def run(
    job: Job, batches: Sequence[Sequence[Target]], workers: int, loaded: LoadedModel | None = None
) -> Iterator[list[Outcome]]:
    """Yield the outcomes batch by batch, as they are done.

    With one worker everything happens in this process, with `loaded` if it is given. A network of
    the user's own code is built once: what that code draws at random, each call of it would draw
    anew. Workers are then forks of this process, where the system can do that.
    """
    own = job.choice.factory is not None
    if own and workers > 1 and not _can_share():
        click.echo(
            "Each process would build a network of its own from this code, which may draw its "
            "weights at random; one process does all the work.",
            err=True,
        )
        workers = 1
    if own or workers == 1:
        loaded = loaded or open_network(job.choice, quiet=True)
    if workers == 1 and loaded is not None:
        state = _State(job, loaded)
        for batch in batches:
            yield state.process(batch)
        return
    context = get_context("fork" if own else "spawn")
    shared = (job, loaded if own else None)
    pool = ProcessPoolExecutor(workers, context, _start_worker, shared)
    try:
        with _without_interrupts():
            futures = [pool.submit(_process, batch) for batch in batches]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _can_share() -> bool:
    """Whether this process can be forked together with its network.

    On Linux, as data loaders do: a worker computes with one thread, so that it needs no thread that
    the fork has lost. A process that has used CUDA cannot be forked.
    """
    import torch

    return sys.platform == "linux" and not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes start with Ctrl-C blocked, as they inherit it; here it waits until the end.

    A worker that is interrupted while it starts would leave the parent with a broken pipe.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def keep_memory() -> None:
    """Make glibc keep freed memory, before any network is built; elsewhere do nothing.

    A forward of a large batch frees and asks for the same large blocks again and again; handing
    them back to the system each time costs up to two fifths of the whole time.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 1 << 28)):
            libc.mallopt(option, value)


class _State:
    """The network of one process."""

    def __init__(self, job: Job, loaded: LoadedModel) -> None:
        self.job = job
        self.loaded = loaded

    def process(self, batch: Sequence[Target]) -> list[Outcome]:
        """Read, run and write one batch; what fails is an outcome too."""
        from cbam_viz.images import read_photo

        outcomes: list[Outcome] = []
        photos: list[tuple[Target, Photo]] = []
        for target in batch:
            try:
                photos.append((target, read_photo(target.source, window=self.job.window)))
            except CbamVizError as error:
                outcomes.append(Outcome(target.source, target.folder, str(error)))
        return outcomes + self._analyse(photos)

    def _analyse(self, photos: list[tuple[Target, Photo]]) -> list[Outcome]:
        from cbam_viz.analysis import analyse_batch

        if not photos:
            return []
        analyses = analyse_batch(self.loaded, [photo for _, photo in photos], self.job.view)
        return [
            self._write(target, analysis)
            for (target, _), analysis in zip(photos, analyses, strict=True)
        ]

    def _write(self, target: Target, analysis: Analysis) -> Outcome:
        from cbam_viz.images import border_note

        try:
            files = write_results(analysis, self.loaded, target.folder, self.job)
        except CbamVizError as error:
            return Outcome(target.source, target.folder, str(error))
        predictions = tuple(asdict(prediction) for prediction in analysis.predictions)
        photo = analysis.photo
        return Outcome(
            target.source,
            target.folder,
            files=files,
            sha256=photo.sha256,
            notes=photo.notes,
            predictions=predictions,
            prediction_note=analysis.prediction_note,
            fed=analysis.fed,
            border=border_note(analysis.geometry),
        )


_state: _State | None = None
"""A worker's own, made when the worker starts."""


def _start_worker(job: Job, loaded: LoadedModel | None) -> None:
    global _state  # noqa: PLW0603
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    os.environ["OMP_NUM_THREADS"] = "1"
    keep_memory()
    import torch

    torch.set_num_threads(1)
    _state = _State(job, loaded or open_network(job.choice, quiet=True))


def _process(batch: Sequence[Target]) -> list[Outcome]:
    assert _state is not None
    return _state.process(batch)
