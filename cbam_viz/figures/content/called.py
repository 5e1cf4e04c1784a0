"""What networks, or photos, that stand beside each other are called in headings.

`ResNet-18 with CBAM, everyday photos` beside `ResNet-18 without CBAM, everyday photos`: each
heading says what it has of its own, and `everyday photos` is said once, above both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_BETWEEN = ", "


@dataclass(frozen=True)
class Called:
    """Names, cut where they are alike."""

    own: tuple[str, ...]
    """What tells each from the others, in the order of the names; none is empty."""
    shared: str = ""
    """The parts that all have; empty if there are none."""


def called(names: Sequence[str]) -> Called:
    """Take the parts that all names share out of them; parts stand between commas.

    Names stay whole where one would have nothing left, so that none is told by what it lacks.
    """
    parts = [name.split(_BETWEEN) for name in names]
    alike = [one for one in parts[0] if all(one in others for others in parts[1:])]
    own = [_BETWEEN.join(one for one in some if one not in alike) for some in parts]
    if len(set(names)) < 2 or not alike or not all(own):
        return Called(tuple(names))
    return Called(tuple(own), _BETWEEN.join(alike))


@dataclass(frozen=True)
class Over:
    """What stands once above neighbouring columns of a grid."""

    text: str
    first: int
    last: int


def over_columns(owners: Sequence[int | None], names: Called) -> tuple[tuple[Over, ...], ...]:
    """Lines of headings above those of the columns: what all share, then each network's own.

    `owners` says whose each column is, by place in `names`; None for a column that is nobody's.
    """
    runs: list[Over] = []
    for place, owner in enumerate(owners):
        if owner is None:
            continue
        first = place
        if runs and runs[-1].last == place - 1 and owners[place - 1] == owner:
            first = runs.pop().first
        runs.append(Over(names.own[owner], first, place))
    if not runs:
        return ()
    return (*shared_over(names, runs[0].first, runs[-1].last), tuple(runs))


def shared_over(names: Called, first: int, last: int) -> tuple[tuple[Over, ...], ...]:
    """The line of headings that says what all names share; none where they share nothing."""
    return ((Over(names.shared, first, last),),) if names.shared else ()
