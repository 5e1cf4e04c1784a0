"""What the gates of one epoch say in numbers, and how far they are from those of other epochs.

Numbers of a map are of the photo: each cell counts by the area that it has there. They are means
over the probe photos of each photo's number, in double precision, as everywhere in cbam-viz.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Attention
from cbam_viz.dataset import Block
from cbam_viz.dataset.numbers import photo_numbers
from cbam_viz.images import Geometry, layer_shares
from cbam_viz.metrics.variance import variance_shares
from cbam_viz.runs.reading import Run
from cbam_viz.statistics import SATURATED_HIGH, SATURATED_LOW

Part = Literal["channel", "spatial"]
Real = npt.NDArray[np.float64]
Key = tuple[str, Part]


@dataclass(frozen=True)
class Gate:
    """One gate of one layer on all probe photos at one epoch. N photos, D channels or cells."""

    values: Real
    """(N, D)"""
    shares: Real
    """(N, D) share of the photo that each cell covers, 1 / D for channels; rows sum to 1."""
    alike: bool = True
    """Whether a column is the same place on all photos. Maps of photos of other shapes have other
    cells: the shorter rows end in zeros that lie on no photo."""


@dataclass(frozen=True)
class GateNumbers:
    """One gate at one epoch, over the probe photos; NaN where no photo has finite values."""

    number: int
    """The epoch, or the step."""
    layer: str
    part: Part
    photos: int
    count: int
    """Values of a photo that lie on it."""
    mean: float
    spread: float
    """Standard deviation over channels, or over the map: mean over photos."""
    minimum: float
    maximum: float
    """Of all values on all photos."""
    closed: float
    """Share of values below 0.05, in [0, 1]."""
    opened: float
    """Share of values above 0.95."""
    near_zero: float
    """Share of values between -0.05 and 0.05: less than `closed` only for gates below 0."""
    entropy: float
    """In [0, 1]; NaN where values are negative or all zero."""
    within: float | None
    """Share of the gate's variance that lies in patterns of single photos (`metrics.variance`);
    None, like the next two, for one photo or a gate without variance."""
    between: float | None
    """In levels that differ from photo to photo."""
    fixed: float | None
    """In the pattern that all photos share."""
    not_finite: int
    """How many values are NaN or infinite."""
    change_previous: float | None
    """Root mean squared difference from the gate of the epoch before, on the same photos; None
    for the first epoch."""
    change_last: float | None
    """From the gate of the last epoch; 0 for that one."""

    @property
    def saturated(self) -> float:
        """Share of values that are nearly closed or nearly open, in [0, 1]."""
        return self.closed + self.opened

    @property
    def extent(self) -> float:
        """From the lowest value of all photos to the highest."""
        return self.maximum - self.minimum


COLUMNS = (
    "mean", "spread", "minimum", "maximum", "closed", "opened", "saturated", "entropy", "within",
    "between", "fixed", "not_finite", "change_previous", "change_last",
)  # fmt: skip
"""Of `GateNumbers`, in tables."""


def gates_of(attentions: Sequence[Attention], geometries: Sequence[Geometry]) -> dict[Key, Gate]:
    """The gates of photos (B = 1 each), by layer and part, in order of execution."""
    first = attentions[0]
    gates: dict[Key, Gate] = {}
    for name, layer in first.items():
        rows = [attention[name] for attention in attentions]
        if layer.channel is not None:
            values = np.stack([_flat(one.channel) for one in rows])
            gates[name, "channel"] = Gate(values, np.full(values.shape, 1 / values.shape[1]))
        if layer.spatial is not None:
            values = _stacked([_flat(one.spatial) for one in rows])
            shares = [layer_shares(one, at) for one, at in zip(rows, geometries, strict=True)]
            shapes = {one.shape for one in shares}
            gates[name, "spatial"] = Gate(
                values, _stacked([one.ravel() for one in shares]), len(shapes) == 1
            )
    return gates


def _stacked(rows: Sequence[Real]) -> Real:
    """(N, D) of rows of different lengths: D is the longest, and zeros follow shorter ones."""
    longest = max(row.size for row in rows)
    return np.stack([np.pad(row, (0, longest - row.size)) for row in rows])


def _flat(gate: object) -> Real:
    assert gate is not None
    return np.asarray(gate[0].numpy(), np.float64).ravel()  # type: ignore[index]


def run_numbers(run: Run) -> list[GateNumbers]:
    """Every gate at every epoch, epoch by epoch. Three epochs are held at a time.

    Raises StoreError for a file that is damaged.
    """
    return list(numbers_of(_of_run(run, run.numbers[-1:]), _of_run(run, run.numbers)))


def _of_run(run: Run, numbers: Sequence[int]) -> Iterator[tuple[int, dict[Key, Gate]]]:
    for number in numbers:
        epoch = run.epoch(number)
        yield number, gates_of(epoch.attentions, epoch.geometries)


def numbers_of(
    last: Iterator[tuple[int, Mapping[Key, Gate]]],
    epochs: Iterator[tuple[int, Mapping[Key, Gate]]],
) -> Iterator[GateNumbers]:
    """The same of gates that are at hand: those of the `last` epoch first, then all in order."""
    end = next(last)[1]
    previous: Mapping[Key, Gate] | None = None
    for number, gates in epochs:
        for key, gate in gates.items():
            yield _numbers(number, key, gate, None if previous is None else previous.get(key),
                           end.get(key))  # fmt: skip
        previous = gates


def _numbers(
    number: int, key: Key, gate: Gate, previous: Gate | None, last: Gate | None
) -> GateNumbers:
    values, shares = gate.values, gate.shares
    on_photo = shares > 0
    odd = ~np.isfinite(values) & on_photo
    rows = ~odd.any(1)
    known, area, seen = values[rows], shares[rows], on_photo[rows]
    told = photo_numbers(Block(np.arange(len(known)), known.astype(np.float32), area))
    within, between, fixed = _variance(known, seen) if gate.alike else (None, None, None)

    def share(which: npt.NDArray[np.bool_]) -> float:
        return float((which * area).sum(1).mean()) if len(known) else math.nan

    return GateNumbers(
        number,
        *key,
        photos=len(values),
        count=int(on_photo.sum(1).max()),
        mean=_mean(told[:, 0]),
        spread=_mean(told[:, 1]),
        minimum=float(known[seen].min()) if seen.any() else math.nan,
        maximum=float(known[seen].max()) if seen.any() else math.nan,
        closed=share(known < SATURATED_LOW),
        opened=share(known > SATURATED_HIGH),
        near_zero=share(np.abs(known) < SATURATED_LOW),
        entropy=_mean(told[:, 3]),
        within=within,
        between=between,
        fixed=fixed,
        not_finite=int(odd.sum()),
        change_previous=None if previous is None else change(gate, previous),
        change_last=None if last is None else change(gate, last),
    )


def _mean(values: Real) -> float:
    return float(values.mean()) if len(values) else math.nan


def _variance(values: Real, seen: npt.NDArray[np.bool_]) -> tuple[float | None, ...]:
    """Of the channels, or of the cells that lie on every photo."""
    everywhere = seen.all(0) if len(seen) else np.zeros(0, bool)
    if len(values) < 2 or not everywhere.any():
        return None, None, None
    found = variance_shares(values[:, everywhere])
    return found.within, found.between, found.fixed


def change(gate: Gate, other: Gate) -> float | None:
    """Root mean squared difference of two epochs' gates; None if they cannot be compared."""
    if gate.values.shape != other.values.shape:
        return None
    with np.errstate(invalid="ignore"):  # infinite less infinite, which is left out below
        apart = np.where(gate.shares > 0, np.square(gate.values - other.values), 0)
    rows = np.isfinite(apart).all(1)
    if not rows.any():
        return None
    return math.sqrt(float((apart[rows] * gate.shares[rows]).sum(1).mean()))
