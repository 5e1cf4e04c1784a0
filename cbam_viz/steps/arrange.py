"""What the values of an operation are: one a channel, one a place, a stack of maps, or other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cbam_viz.steps.records import Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cbam_viz.computation import GateKind

Kind = Literal["features", "map", "maps", "channels", "units", "other"]


@dataclass(frozen=True)
class Sizes:
    """Of the features that a gate multiplies."""

    channels: int
    rows: int
    columns: int

    @property
    def text(self) -> str:
        """Such as `512 × 7 × 7`."""
        return f"{self.channels} × {self.rows} × {self.columns}"


@dataclass(frozen=True)
class Arranged:
    """An operation's values in the order of the features."""

    kind: Kind
    shape: tuple[int, ...]
    """(C, h, w), (h, w), (k, h, w), (C,), (n,); what is left without dimensions of 1 if `other`."""
    values: Values | None
    """None if they were too large to keep, or are in no order that is known."""

    @property
    def size(self) -> str:
        """Such as `2 × 7 × 7` or `32`."""
        return " × ".join(map(str, self.shape)) or "1"


def arranged(shape: Sequence[int], value: Tensor | None, gate: GateKind, sizes: Sizes) -> Arranged:
    """Values of one photo; dimensions of size 1 say nothing, wherever they stand."""
    kind, target, axes = _kind(shape, gate, sizes)
    if value is None or kind == "other":
        return Arranged(kind, target, None)
    plain = value.numpy().reshape([n for n in shape if n != 1])
    if axes:
        plain = plain.transpose(axes)
    return Arranged(kind, target, plain.reshape(target))


def _kind(
    shape: Sequence[int], gate: GateKind, sizes: Sizes
) -> tuple[Kind, tuple[int, ...], tuple[int, ...]]:
    """The kind, the shape to give it, and the order of axes where that is another."""
    dims = [n for n in shape if n != 1]
    places, cells = (sizes.rows, sizes.columns), sizes.rows * sizes.columns
    plain = [n for n in places if n != 1]
    if len(dims) < 2:
        count = dims[0] if dims else 1
        if _is_map(shape, count, gate, cells):
            return "map", places, ()
        return ("channels" if count == sizes.channels else "units"), (count,), ()
    if dims == plain:
        return "map", places, ()
    for many, rest, axes in (
        (dims[0], dims[1:], ()),
        (dims[-1], dims[:-1], (len(dims) - 1, *range(len(dims) - 1))),
    ):
        if rest in (plain, [cells]):
            return ("features" if many == sizes.channels else "maps"), (many, *places), axes
    return "other", tuple(dims), ()


def _is_map(shape: Sequence[int], count: int, gate: GateKind, cells: int) -> bool:
    """Whether numbers in a row are one for each place.

    There may be as many hidden units, or channels, as places. Then the shape tells: (1, n, 1, 1) is
    a vector of channels. Otherwise it is what its gate is.
    """
    return gate == "spatial" and count == cells and not (len(shape) == 4 and shape[1] == count > 1)
