"""Random weights that are the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SEED = 0


@contextmanager
def seeded() -> Iterator[None]:
    """What is drawn within is the same at every run; what others draw afterwards is not touched.

    So a network without trained weights looks the same in the app, on the command line and in
    Python, and a figure of it can be made again.
    """
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        yield
