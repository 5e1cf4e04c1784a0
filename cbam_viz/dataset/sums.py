"""Sums of one gate over a store, kept beside it and taken further as shards come.

So a view of all photos reads sums, not gates. Shards are added in their order, always from the
first on: the bits of a sum follow from the shards that are there, not from when somebody looked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz.dataset.caching import has_kept, marks_of, read_kept, write_kept
from cbam_viz.dataset.moments import Moments
from cbam_viz.dataset.numbers import NUMBERS, photo_numbers
from cbam_viz.dataset.reading import Block, Part, Store
from cbam_viz.errors import StoreError

Real = npt.NDArray[np.float64]
Told = Callable[[str, int, int], None]
"""Takes a gate, how many shards of it are summed up, and of how many."""
_listener: ContextVar[Told | None] = ContextVar("listener", default=None)


@dataclass(frozen=True)
class Sums:
    """One gate of some shards, by class: G groups, D channels or cells."""

    classes: tuple[str, ...]
    """(G - 1) their names; the last group is of photos without a label."""
    moments: Moments
    """Of every channel or cell."""
    told: Moments
    """Of each photo's `NUMBERS`."""
    areas: Real
    """(D,) sum over photos of the share that each channel or cell has."""


@dataclass(frozen=True)
class _Kept:
    """The same as a file has it: attributes of `Moments` by name."""

    classes: tuple[str, ...]
    moments: dict[str, npt.NDArray[Any]]
    told: dict[str, npt.NDArray[Any]]
    areas: Real


def sums_of(store: Store, layer: str, part: Part) -> Sums:
    """Sum one gate up over all shards that are there; what was summed up before is not read again.

    Raises StoreError as `Store.blocks` does.
    """
    name = f"{layer}/{part}"
    marks = marks_of(store.files)
    sums, done = _earlier(store, name, marks, int(np.prod(store.shape(layer, part))))
    following = in_order(store)
    if done < following:
        blocks = store.blocks(layer, part, shards=range(done, following))
        _add(sums, store, _telling(blocks, name, following - done))
        write_kept(store.path, name, marks[:following], _kept(sums))
        done = following
    # What is behind a gap comes later in the sum, once that is filled.
    _add(sums, store, store.blocks(layer, part, shards=range(done, len(store.files))))
    return sums


@contextmanager
def telling(told: Told) -> Iterator[None]:
    """Within it, whatever has to sum up gates of all photos says how far it has come.

    Of this thread alone. What is summed up already is not told of.
    """
    token = _listener.set(told)
    try:
        yield
    finally:
        _listener.reset(token)


def _telling(blocks: Iterable[Block], name: str, count: int) -> Iterator[Block]:
    told = _listener.get()
    for number, block in enumerate(blocks):
        if told is not None:
            told(name, number, count)
        yield block


def is_summed(store: Store, layer: str, part: Part) -> bool:
    """Whether sums of some of its shards, as a rule of all, are kept beside the store."""
    return has_kept(store.path, f"{layer}/{part}")


def sums_of_some(store: Store, layer: str, part: Part, chosen: npt.NDArray[np.bool_]) -> Sums:
    """The same of some photos (N,) alone; nothing is kept."""
    sums = _none(store, int(np.prod(store.shape(layer, part))))
    _add(sums, store, store.blocks(layer, part, chosen))
    return sums


def sum_up(store: Store, workers: int = 1) -> None:
    """Sum up every gate that can be, in so many threads, so that no view has to.

    Raises StoreError for a damaged shard.
    """
    gates = store.summable
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda gate: sums_of(store, *gate), gates):
            pass


def in_order(store: Store) -> int:
    """How many shards there are before the first that is missing."""
    for number, file in enumerate(store.files):
        if int(file.stem) != number:
            return number
    return len(store.files)


def _earlier(store: Store, name: str, marks: tuple[str, ...], size: int) -> tuple[Sums, int]:
    """What was kept of the first shards as they are now, and of how many; else nothing, of none."""
    sums = _none(store, size)
    known, kept = read_kept(store.path, name, _Kept) or ((), None)
    if kept is None or known != marks[: len(known)]:
        return sums, 0
    place = {label: number for number, label in enumerate(store.classes)}
    try:
        groups = [*(place[label] for label in kept.classes), len(place)]
        for moments, values in ((sums.moments, kept.moments), (sums.told, kept.told)):
            for attribute in vars(moments):
                getattr(moments, attribute)[groups] = values[attribute]
        sums.areas[:] = kept.areas
    except (KeyError, ValueError, TypeError):  # damaged
        return _none(store, size), 0
    return sums, len(known)


def _none(store: Store, size: int) -> Sums:
    groups = len(store.classes) + 1
    try:
        return _zeros(store, groups, size)
    except MemoryError as error:
        raise StoreError(
            f"There is not enough memory to sum up {size:,} values for {groups:,} classes."
        ) from error


def _zeros(store: Store, groups: int, size: int) -> Sums:
    return Sums(store.classes, Moments(groups, size), Moments(groups, len(NUMBERS)), np.zeros(size))


def _kept(sums: Sums) -> _Kept:
    return _Kept(sums.classes, vars(sums.moments), vars(sums.told), sums.areas)


def _add(sums: Sums, store: Store, blocks: Iterable[Block]) -> None:
    for found in blocks:
        finite = np.asarray(np.isfinite(found.values).all(1))
        block = found if finite.all() else found.only(finite)
        groups = store.groups[block.rows]
        sums.moments.add(block.values, groups)
        sums.told.add(photo_numbers(block), groups)
        sums.areas[:] += block.shares.sum(0)
