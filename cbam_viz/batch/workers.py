"""The shards of a run, one after the other or shared out to processes; each costs one thread.

A worker gets the network by the fork where the system can do that: it starts at once, and weights
are in memory once. Elsewhere it opens the network itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from cbam_viz.batch.fast import computing, faster
from cbam_viz.batch.lock import forget_locks
from cbam_viz.batch.machine import become_worker, can_fork, without_interrupts
from cbam_viz.batch.shard import ShardResult, Work, make_shard
from cbam_viz.errors import CbamVizError
from cbam_viz.models import LoadedModel

_WORKER_DIED = (
    "A worker process ended without a word: the system killed it, perhaps as memory ran out, or "
    "the network's code or a picture ended it. What was done stays, and the same command does the "
    "rest. Fewer --workers need less memory."
)
_NOT_GIVEN = (
    "The system gave worker processes less than they need: {}. Fewer --workers need less; "
    "`ulimit -a` lists what is allowed. What was done stays, and the same command does the rest."
)
_LOOK = 0.5
"""Seconds between two looks at how far the workers are."""


def run_shards(
    work: Work, shards: Sequence[int], workers: int, progress: Callable[[int], None]
) -> Iterator[ShardResult]:
    """Yield what came of each shard, as they are done; `progress` is told of photos in between.

    Raises CbamVizError if a worker dies, StoreError if a shard cannot be written.
    """
    if workers == 1:
        for shard in shards:
            yield made(work, shard, progress)
        return
    fork = can_fork()
    context = get_context("fork" if fork else "spawn")
    # A fork has the network already; another process must open it.
    shared = replace(work, reopen=None) if fork else without_network(work)
    try:
        counter = context.Value("q", 0)
        initial = (shared, counter, os.getpid())
        pool = ProcessPoolExecutor(workers, context, _start, initial)
    except OSError as error:
        raise CbamVizError(_NOT_GIVEN.format(error.strerror or error)) from error
    try:
        yield from _results(pool, shards, workers, counter, progress)
    except BrokenProcessPool as error:
        raise CbamVizError(_WORKER_DIED) from error
    except OSError as error:
        _end_at_once(pool)
        raise CbamVizError(_NOT_GIVEN.format(error.strerror or error)) from error
    except BaseException:
        _end_at_once(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _results(
    pool: ProcessPoolExecutor,
    shards: Sequence[int],
    workers: int,
    counter: Any,
    progress: Callable[[int], None],
) -> Iterator[ShardResult]:
    left = iter(shards)
    running: set[Future[ShardResult]] = set()
    told = 0
    while True:
        with without_interrupts():  # processes start here
            while len(running) < workers + 1 and (shard := next(left, None)) is not None:
                running.add(pool.submit(_process, shard))
        if not running:
            return
        ended, running = wait(running, _LOOK, FIRST_COMPLETED)
        now = int(counter.value)
        progress(now - told)
        told = now
        for future in ended:
            yield future.result()


def _end_at_once(pool: ProcessPoolExecutor) -> None:
    """Do not wait for shards that are under way: their files are not there, and come again."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.kill()


def made(work: Work, shard: int, progress: Callable[[int], None]) -> ShardResult:
    """One shard. A network that draws random numbers draws the same for a shard at every run."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(shard)
        return make_shard(work, shard, progress)


def without_network(work: Work) -> Work:
    """The same for a process that gets the network otherwise; it can be pickled."""
    looker = replace(work.looker, loaded=None, forward=None)  # type: ignore[arg-type]
    return replace(work, looker=looker)


def with_network(work: Work, loaded: LoadedModel) -> Work:
    """Give it to such a process, with the ways that are to be used. Raises ModelError."""
    looker = replace(work.looker, loaded=loaded)
    if computing(looker.settings.fast):
        looker, _ = faster(looker, work.plan.all_items())
    return replace(work, looker=looker)


_work: Work | None = None
_counter: Any = None
"""A worker's own, made when the worker starts."""


def _start(work: Work, counter: Any, parent: int) -> None:
    global _work, _counter
    become_worker(parent)
    forget_locks()
    if work.reopen is not None:
        work = with_network(work, work.reopen())
    _work, _counter = work, counter


def _process(shard: int) -> ShardResult:
    assert _work is not None

    def progress(count: int) -> None:
        with _counter.get_lock():
            _counter.value += count

    return made(_work, shard, progress)
