"""Many images through one network as fast as the machine can: the work of `cbam-viz export`.

Worker processes share the batches out.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from typing import TYPE_CHECKING

import click

from cbam_viz.batch.machine import become_worker, can_fork, without_interrupts
from cbam_viz.cli.gateless import of_a_photo
from cbam_viz.cli.jobs import Job, Outcome, Target
from cbam_viz.cli.network import open_network
from cbam_viz.cli.results import remove_results, write_results
from cbam_viz.errors import CbamVizError, NoAttentionError

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.images import Photo
    from cbam_viz.models import LoadedModel

_WORKER_DIED = (
    "A worker process ended without a word: the system killed it, perhaps as memory ran out, or "
    "the network's code ended it. What was done stays. Fewer --workers need less memory."
)


def run(
    job: Job, batches: Sequence[Sequence[Target]], workers: int, loaded: LoadedModel | None = None
) -> Generator[list[Outcome], None, None]:
    """Yield the outcomes batch by batch, as they are done.

    With one worker everything happens in this process, with `loaded` if it is given. A network of
    the user's own code is built once: what that code draws at random, each call of it would draw
    anew. Workers are then forks of this process, where the system can do that.
    """
    own = job.choice.factory is not None
    if own and workers > 1 and not can_fork():
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
            for outcome in state.process(batch):
                yield [outcome]
        return
    told: set[Future[list[Outcome]]] = set()
    futures: list[Future[list[Outcome]]] = []
    context = get_context("fork" if own else "spawn")
    shared = (job, loaded if own else None, os.getpid())
    pool = ProcessPoolExecutor(workers, context, _start_worker, shared)
    try:
        with without_interrupts():
            futures += [pool.submit(_process, batch) for batch in batches]
        for future in as_completed(futures):
            told.add(future)
            yield future.result()
    except (Exception, KeyboardInterrupt) as stop:
        pool.shutdown(cancel_futures=True)  # lets the workers end what they are at
        rest = [future for future in futures if future not in told]
        yield from (future.result() for future in rest if _is_good(future))
        if isinstance(stop, BrokenProcessPool):
            raise CbamVizError(_WORKER_DIED) from stop
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _is_good(future: Future[list[Outcome]]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


class _State:
    """The network of one process."""

    def __init__(self, job: Job, loaded: LoadedModel) -> None:
        self.job = job
        self.loaded = loaded
        self.works = False
        """Whether it has shown a photo: then what fails is a photo's fault."""
        self.hopeless: Exception | None = None
        """What no other photo will mend, if none has worked."""

    def process(self, batch: Sequence[Target]) -> Iterator[Outcome]:
        """Read, run and write one batch; what fails is an outcome too.

        Raises
        ------
        NoAttentionError, click.UsageError
            From all photos so far: no other one will work.
        """
        photos: list[tuple[Target, Photo]] = []
        for target in batch:
            try:
                photos.append((target, self.job.reading.photo(target.source, self.loaded)))
            except (CbamVizError, MemoryError) as error:
                yield self._failed(target, error)
        if photos:
            yield from self._analyse(photos)
        if self.hopeless is not None and not self.works:
            raise self.hopeless

    def _analyse(self, photos: list[tuple[Target, Photo]]) -> Iterator[Outcome]:
        """Run photos together, and each alone if that fails: one of them may be the cause."""
        from cbam_viz.analysis import analyse_batch

        try:
            analyses = analyse_batch(self.loaded, [photo for _, photo in photos], self.job.view)
        except (CbamVizError, MemoryError) as error:
            if len(photos) > 1:
                for one in photos:
                    yield from self._analyse([one])
                return
            yield self._failed(photos[0][0], error)
            return
        for (target, _), analysis in zip(photos, analyses, strict=True):
            yield self._write(target, analysis)

    def _write(self, target: Target, analysis: Analysis) -> Outcome:
        from cbam_viz.images import border_note

        try:
            files = write_results(analysis, self.loaded, target.folder, self.job)
        except (CbamVizError, MemoryError, click.UsageError) as error:
            return self._failed(target, error)
        except BaseException:
            remove_results(target.folder)
            raise
        self.works = True
        remove_results(target.folder, keep=files)
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

    def _failed(self, target: Target, error: Exception) -> Outcome:
        """Describe an image that failed; no file of it, of an earlier run neither, is left."""
        remove_results(target.folder)
        if isinstance(error, (NoAttentionError, click.UsageError)):
            self.hopeless = error
        text = error.message if isinstance(error, click.UsageError) else of_a_photo(error)
        return Outcome(target.source, target.folder, text or "There was not enough memory for it.")


_state: _State | None = None
"""A worker's own, made when the worker starts."""


def _start_worker(job: Job, loaded: LoadedModel | None, parent: int) -> None:
    global _state  # noqa: PLW0603
    become_worker(parent)
    _state = _State(job, loaded or open_network(job.choice, quiet=True))


def _process(batch: Sequence[Target]) -> list[Outcome]:
    assert _state is not None
    return list(_state.process(batch))
