"""What the walk through a layer is: steps with their equation, pictures and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from cbam_viz.attention import LayerAttention
    from cbam_viz.computation import Computation, GateKind
    from cbam_viz.images import Geometry

Values = npt.NDArray[Any]
"""float32, as the network computed them."""

PictureKind = Literal["map", "channels", "units", "filter"]
"""`map` (h, w): lies on the photo. `channels` (C,): a value a channel. `units` (n,): values between
the layers of an MLP, which belong to no channel. `filter` (k, k): weights of a convolution."""


def row_and_column(cell: tuple[int, int]) -> str:
    """A cell in words, counted from 1 as under the cursor; `cell` counts from 0."""
    row, column = cell
    return f"row {row + 1}, column {column + 1}"


COUNTING = "Rows and columns count from 1, from the top left; channels count from 0."
"""Said wherever a walk is."""


@dataclass(frozen=True)
class Followed:
    """What the numbers follow."""

    channel: int
    cell: tuple[int, int]
    """Row and column, from 0."""

    @property
    def where(self) -> str:
        """The cell in words."""
        return row_and_column(self.cell)


@dataclass(frozen=True)
class Number:
    """A value of the followed channel or cell."""

    label: str
    value: float


@dataclass(frozen=True)
class Picture:
    """Values to be drawn, and where the followed one is in them."""

    title: str
    kind: PictureKind
    values: Values
    low: float
    """Value of the lowest colour."""
    high: float
    """Value of the highest colour; equal to `low` where all values are the same."""
    marked: tuple[int, int] | int | None
    """Row and column of the followed cell, or the followed channel or unit."""

    @property
    def diverging(self) -> bool:
        """True if the colours should tell what is below 0 from what is above."""
        return self.kind == "filter"


@dataclass(frozen=True)
class Step:
    """One step from the layer's features to its result."""

    key: str
    """What kind of step it is, such as `features`, `pool places`, `dense`, `norm`, `gate`."""
    gate: GateKind | None
    """The gate that it belongs to; None for the layer's input and what follows the layer."""
    title: str
    equation: str
    """LaTeX."""
    formula: str
    """The same in plain text."""
    words: str
    """What happens, in a sentence or two."""
    sizes: str
    """From what size to what size, such as `512 → 32`; empty where it stays."""
    arithmetic: tuple[str, ...] = ()
    """The followed channel or cell through this step, with its numbers."""
    numbers: tuple[Number, ...] = ()
    """The same numbers, in full precision."""
    pictures: tuple[Picture, ...] = ()
    reason: str = ""
    """A sentence: why the step has no picture, or not all of it is shown."""
    note: str = ""
    """A sentence in smaller type: what else is to be known."""


@dataclass(frozen=True)
class Walk:
    """A layer's computation on one photo, step by step, for one of its channels and cells."""

    layer: LayerAttention
    computation: Computation
    geometry: Geometry | None
    channel: int
    channel_reason: str
    """Why this channel, to follow `because it is` or to stand alone: `the channel that ...`."""
    cell: tuple[int, int]
    """Row and column, from 0."""
    cell_reason: str
    steps: tuple[Step, ...]

    @property
    def where(self) -> str:
        """The followed cell in words."""
        return row_and_column(self.cell)

    def of(self, gate: GateKind) -> tuple[Step, ...]:
        """The steps of one gate."""
        return tuple(step for step in self.steps if step.gate == gate)


def spread(*arrays: Values) -> tuple[float, float]:
    """Lowest and highest finite value of all; 0 and 1 if there is none."""
    finite = np.concatenate([one[np.isfinite(one)].ravel() for one in arrays])
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
