"""What decoding JPEGs smaller does to the first photos: to their time, and to their gates.

It is no way of computing, so its effect is that of reading and preparing, which is measured here
beside the forward; gates are compared with those of the exact path for the same files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch.utils import _pytree as pytree

from cbam_viz.batch.fast import HALF, all_gates, apart, first_of, refuse_beyond
from cbam_viz.batch.looking import DRAFT, Looker, Prepared, Result, first_readable
from cbam_viz.batch.sources.item import Item
from cbam_viz.batch.sources.opening import Opener
from cbam_viz.errors import ImageError, ModelError

PHOTOS = 16
"""That are measured, however many go through the network together."""
_ROUNDS = 2
"""Forwards of each, of which the faster one counts."""
_SINGLE_PIXELS = ("opencv", "nearest")
"""Interpolations that take single pixels of a photo and no averages."""

_T = TypeVar("_T")
_Both = tuple[_T, _T]
"""Of the exact looker, and of the one that decodes smaller."""
_Measured = tuple[tuple[list[_T], list[_T]], tuple[float, float]]
"""What each of them gave for the photos, and how long it took for one."""


@dataclass(frozen=True)
class DraftEffect:
    """What it did; of two times the exact path's comes first."""

    photos: int
    drafted: int
    """How many of them were decoded smaller."""
    preparing: tuple[float, float]
    """Seconds a photo, to read it and make its input."""
    forward: tuple[float, float]
    """Seconds a photo, with what else is done to compute faster."""
    gates: float
    """Largest difference of a gate, with what else is done to compute faster."""
    output: float
    """Largest difference of the network's output, of all tensors in it."""
    threads: int = 0
    """That read and prepare ahead of the forward; 0: one thing is done after the other."""

    @property
    def told(self) -> str:
        """The same in words."""
        if not self.drafted:
            return (
                f"Fast (draft): {first_of(self.photos)} had to be decoded whole, as small photos "
                "and all that are no JPEGs are."
            )
        which = first_of(self.photos)
        if self.drafted < self.photos:
            which = f"{self.drafted} of {which}"
        reading = [seconds * 1e3 for seconds in self.preparing]
        output = f"by {self.output:.1e}"
        if self.output == math.inf:
            output = "in how many values it has"
        before, after = map(self._together, reading, [seconds * 1e3 for seconds in self.forward])
        return (
            f"Fast (draft): {which} decoded smaller; to read and prepare one takes "
            f"{reading[1]:.0f} ms in place of {reading[0]:.0f}, with the forward {after:.0f} ms in "
            f"place of {before:.0f}: {before / after:.2f} times as fast. Gates differ by "
            f"{self.gates:.1e} at most (allowed: {HALF:.0e}), the output {output}."
        )

    def _together(self, reading: float, running: float) -> float:
        return max(reading / self.threads, running) if self.threads else reading + running


def measure_draft(looker: Looker, items: Iterator[Item]) -> DraftEffect:
    """Compare a looker that decodes JPEGs smaller with the exact one, on the first photos.

    Raises:
        ModelError: how large photos must be for this network is not known, or gates differ by more
            than is allowed: the text has the figure.
        ImageError: no photo can be read, or one no longer.
    """
    _refuse_others(looker)
    plain = replace(looker.settings, fast=())
    lookers = (replace(looker, settings=plain, forward=None), looker)
    first = first_readable(lookers[0], items, max(PHOTOS, looker.batch))  # and now in memory
    inputs, preparing = _prepared_in_turn(lookers, [item for item, _ in first])
    results, forward = _looked_in_turn(lookers, inputs)
    differences = [_between(*pair) for pair in zip(*results, strict=True)]
    tensors = [[made.tensor for _, made in ones] for ones in inputs]
    effect = DraftEffect(
        photos=len(first),
        drafted=sum(not torch.equal(*pair) for pair in zip(*tensors, strict=True)),
        preparing=preparing,
        forward=forward,
        gates=max(gates for gates, _ in differences),
        output=max(output for _, output in differences),
        threads=looker.threads,
    )
    loaded, ways = looker.loaded, looker.settings.fast
    refuse_beyond(loaded, ways, effect.gates, effect.photos, allowed=HALF, way=DRAFT)
    return effect


def _refuse_others(looker: Looker) -> None:
    loaded, what = looker.loaded, ""
    if loaded.transform is not None:
        what = "is given photos by a transform of its own, which does not say how large a photo"
        what += " must be for it"
    elif loaded.spec.interpolation in _SINGLE_PIXELS:
        what = "is fed single pixels of photos, not averages of them, and photos that are decoded"
        what += f" smaller have others (its interpolation is {loaded.spec.interpolation})"
    if what:
        raise ModelError(f"{loaded.name} {what}. Leave --fast draft out.")


def _prepared_in_turn(lookers: _Both[Looker], items: Sequence[Item]) -> _Measured[Prepared]:
    """Inputs by each looker, and seconds a photo. Raises ImageError."""
    inputs: _Both[list[Prepared]] = ([], [])
    seconds = [0.0, 0.0]
    opener = Opener(lookers[0].settings.columns)
    try:
        for item in items:
            for which, looker in enumerate(lookers):
                began = time.perf_counter()
                made = looker.prepared(opener, item)
                seconds[which] += time.perf_counter() - began
                if isinstance(made, str):  # though it could be read just now
                    raise ImageError(made)
                inputs[which].append(made)
    finally:
        opener.close()
    return inputs, (seconds[0] / len(items), seconds[1] / len(items))


def _looked_in_turn(lookers: _Both[Looker], inputs: _Both[list[Prepared]]) -> _Measured[Result]:
    """What the network gives for the inputs of each looker, and seconds a photo."""
    results: _Both[list[Result]] = ([], [])
    seconds = [math.inf, math.inf]
    for _ in range(_ROUNDS):
        for which, looker in enumerate(lookers):
            began = time.perf_counter()
            with torch.random.fork_rng():  # so that a network draws the same for both
                results[which][:] = looker.results_of(inputs[which])
            seconds[which] = min(seconds[which], time.perf_counter() - began)
    count = len(inputs[0])
    return results, (seconds[0] / count, seconds[1] / count)


def _between(exact: Result, found: Result) -> tuple[float, float]:
    """The largest differences of a gate and of the output; what fails for both does not differ."""
    if isinstance(exact, str) or isinstance(found, str):
        return (0.0, 0.0) if isinstance(exact, str) == isinstance(found, str) else (math.inf,) * 2
    one, other = exact.attention, found.attention
    outputs = [pytree.tree_leaves(attention.output) for attention in (one, other)]
    return _furthest(all_gates(one), all_gates(other)), _furthest(*outputs)


def _furthest(some: Sequence[Any], others: Sequence[Any]) -> float:
    """Infinite where they do not correspond, as boxes of which one photo has more."""
    shapes = [[getattr(one, "shape", None) for one in ones] for ones in (some, others)]
    return apart(some, others) if shapes[0] == shapes[1] else math.inf
