"""Two stores beside each other: two networks, or one before and after training."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.dataset.gates import GateSummary, NoGatesError, gate_summary
from cbam_viz.dataset.reading import Part, Store
from cbam_viz.errors import StoreError

Real = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """What is different in the second store, of one gate."""

    layer: str
    part: Part
    mean: float
    """Mean gate there less the mean gate here."""
    profile: float
    """Root mean squared difference of the mean gates, channel by channel or cell by cell."""
    spread: float
    """Mean standard deviation between photos there, less the same here."""
    classes: dict[str, float]
    """`profile` by class, of the classes that both stores have."""

    @property
    def most_changed(self) -> str | None:
        """The class whose `profile` is largest; None if the stores have none in common."""
        return max(self.classes, key=self.classes.__getitem__, default=None)


def compare_stores(one: Store, other: Store) -> list[Change]:
    """What changed from one store to another, for every gate that both have in the same shape.

    Gates without finite numbers in one of them are left out, and so are maps that differ in size
    from photo to photo. Raises StoreError if they have none in common.
    """
    common = common_gates(one, other)
    if not common:
        raise StoreError(f"{one.path} and {other.path} have no layer of one name and shape.")
    changes = []
    for gate in common:  # one at a time: of many classes, all have no room together
        with suppress(NoGatesError):
            changes.append(_change(gate_summary(one, *gate), gate_summary(other, *gate)))
    if not changes:
        raise NoGatesError(
            f"No gate that {one.path} and {other.path} have in common has finite values in both."
        )
    return changes


def common_gates(one: Store, other: Store) -> list[tuple[str, Part]]:
    """The gates that can be summed up in both stores and have one shape, by what the stores say."""
    there = other.summable
    return [
        gate for gate in one.summable if gate in there and one.shape(*gate) == other.shape(*gate)
    ]


def _change(a: GateSummary, b: GateSummary) -> Change:
    both = [name for name in a.classes if name in b.classes]
    pairs = {
        name: (a.class_mean[a.classes.index(name)], b.class_mean[b.classes.index(name)])
        for name in both
    }
    return Change(
        a.layer,
        a.part,
        b.numbers["mean"] - a.numbers["mean"],
        _apart(a.mean, b.mean),
        float(b.spread.mean() - a.spread.mean()),
        {name: _apart(*means) for name, means in pairs.items()},
    )


def _apart(a: Real, b: Real) -> float:
    return float(np.sqrt(np.square(a - b).mean()))
