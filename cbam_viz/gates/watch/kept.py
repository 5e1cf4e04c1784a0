"""What a network keeps from forward to forward: the last frame's gates, caches, running means.

Such a factor is a gate although the forward that multiplies by it has not computed it. Which ones a
watched forward left behind is remembered, so that the next one knows them again; of others that
come from outside, nothing tells whether they are constants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from torch.multiprocessing.reductions import StorageWeakRef

from ..layout.operators import NORMALISING, SQUASHING
from .graph import KEPT, Node, backward_slice
from .trace import Trace

_LARGEST = 1 << 18
_MOST_VALUES = 64
_WIDER = 4
"""A gate is made of values that are not many more than its own."""

Kept = Mapping[int, StorageWeakRef]
"""By the identity of their memory, which is nobody else's as long as it is known here."""


def left_behind(trace: Trace) -> dict[int, StorageWeakRef]:
    """The memory that outlives this forward and holds what may be gates of its photo."""
    return {
        storage: reference
        for storage, (_, node) in trace.latest.items()
        if node.depends
        and isinstance(reference := trace.alive.get(storage), StorageWeakRef)
        and storage not in trace.given
        and not reference.expired()  # type: ignore[no-untyped-call]
        and _may_be_a_gate(node)
    }


def still_there(kept: Kept) -> dict[int, StorageWeakRef]:
    """What of it has not been let go."""
    return {
        storage: reference
        for storage, reference in kept.items()
        if not reference.expired()  # type: ignore[no-untyped-call]
    }


def _may_be_a_gate(node: Node) -> bool:
    """Whether it was squashed on the way, and is no statistic of a normalisation."""
    size = math.prod(node.shape)
    if not 1 < size <= _LARGEST:
        return False
    names = set(_made_by(node, size * _WIDER))
    return bool(names & (SQUASHING | {KEPT})) and not names & NORMALISING


def _made_by(node: Node, largest: int) -> Iterator[str]:
    for one in backward_slice([node], limit=_MOST_VALUES):
        if math.prod(one.shape) <= largest:
            yield one.base
