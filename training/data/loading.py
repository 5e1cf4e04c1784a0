"""Make batches in other processes while the network learns from the last ones.

On two cores that gains nothing. A GPU learns faster than one process can crop and vary photos.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from training.errors import TrainingError

T = TypeVar("T")
MOST_WORKERS = 8
"""Beyond as many a GPU learns no faster, and memory fills with batches that wait."""


class _Made(Dataset[T]):
    """What `make` gives for a number, as a data set."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self.make = make

    def __getitem__(self, number: int) -> T:
        return self.make(number)


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)  # the processes share the cores already


def workers_for(device: torch.device, asked: int | None = None) -> int:
    """How many processes make batches for a network on `device`: as many as `asked` for, if so.

    Otherwise none beside a network that needs the cores itself, or where processes cannot fork.
    """
    if asked is not None:
        return asked
    if device.type == "cpu" or "fork" not in multiprocessing.get_all_start_methods():
        return 0
    return min(MOST_WORKERS, max(1, (os.cpu_count() or 1) - 1))


def in_order(make: Callable[[int], T], numbers: Sequence[int], workers: int = 0) -> Iterator[T]:
    """Yield `make(number)` for each of `numbers`, made ahead by `workers` processes if any.

    The results are the same whatever `workers` is, if `make` depends on its number alone.

    Raises:
        TrainingError: there are to be workers, and this system cannot fork.
    """
    if workers == 0:
        yield from map(make, numbers)
        return
    if "fork" not in multiprocessing.get_all_start_methods():
        raise TrainingError("--loader-workers needs a system that can fork; leave it at 0 here.")
    yield from DataLoader(
        _Made(make),
        batch_size=None,  # each item is a whole batch already
        sampler=numbers,
        num_workers=workers,
        worker_init_fn=_one_thread,
        prefetch_factor=4,
        multiprocessing_context="fork",  # images are memory maps, which a fork shares
    )
