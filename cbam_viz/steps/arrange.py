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
    kind, target, axes = _kind([n for n in shape if n != 1], gate, sizes)
    if value is None or kind == "other":
        return Arranged(kind, target, None)
    plain = value.numpy().reshape([n for n in shape if n != 1])
    if axes:
        plain = plain.transpose(axes)
    return Arranged(kind, target, plain.reshape(target))


def _kind(
    dims: list[int], gate: GateKind, sizes: Sizes
) -> tuple[Kind, tuple[int, ...], tuple[int, ...]]:
    """The kind, the shape to give it, and the order of axes where that is another."""
    channels, places = sizes.channels, (sizes.rows, sizes.columns)
    plain = [n for n in places if n != 1]
    cells = sizes.rows * sizes.columns
    of_places = dims == plain or (dims == [cells] and cells > 1)
    if gate == "spatial" and of_places:
        return "map", places, ()
    if dims == [n for n in (channels,) if n != 1]:
        return "channels", (channels,), ()
    if of_places:
        return "map", places, ()
    for axes, rest in (((), dims[1:]), ((len(dims) - 1, *range(len(dims) - 1)), dims[:-1])):
        if len(dims) > 1 and rest in (plain, [cells]):
            many = dims[0] if not axes else dims[-1]
            kind: Kind = "features" if many == channels else "maps"
            return kind, (many, *places), axes
    if len(dims) <= 1:
        return ("map", places, ()) if gate == "spatial" and cells == 1 and not dims else (
            "units", tuple(dims or [1]), (),
        )  # fmt: skip
    return "other", tuple(dims), ()
