"""How a layer's gates came about in one forward: its operations, in order, with their results.

Plain frozen data, as watching saw it: whatever the code is called and however it is written, these
are the operations that ran. `cbam_viz.steps` puts them into words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

GateKind = Literal["channel", "spatial"]

Source = Literal["input", "gated", "seen", "elsewhere"]
"""Where the operations of a gate begin: the features that the layer received (`input`); those after
its first gate (`gated`); what the second gate multiplies, where that is neither of the two, as with
the input added in between (`seen`); any other value of the network (`elsewhere`)."""


@dataclass(frozen=True)
class Operand:
    """One tensor that an operation was given; exactly one of the three is set."""

    operation: int | None = None
    """Place of an earlier operation in the same gate's list, whose result it is."""
    source: Source | None = None
    weight: str | None = None
    """Dotted name of a parameter or buffer; empty for another constant tensor."""


@dataclass(frozen=True)
class Operation:
    """One operation that ran, views and copies left out."""

    name: str
    """aten's name of it, in place or not, such as `convolution`, `addmm`, `mean`, `sigmoid`."""
    arguments: tuple[Any, ...]
    """As they were given: an `Operand` for a tensor, a tuple for a list, numbers as they are."""
    shape: tuple[int, ...]
    value: Tensor | None
    """Its result, float32 on the CPU; None if it was too large to keep."""

    @property
    def operands(self) -> tuple[Operand, ...]:
        """The tensors among the arguments, in order."""
        return tuple(_operands(self.arguments))

    @property
    def inputs(self) -> tuple[int, ...]:
        """Places of the operations whose results it takes."""
        return tuple(one.operation for one in self.operands if one.operation is not None)


def _operands(values: tuple[Any, ...]) -> list[Operand]:
    found: list[Operand] = []
    for value in values:
        if isinstance(value, Operand):
            found.append(value)
        elif isinstance(value, tuple):
            found.extend(_operands(value))
    return found


@dataclass(frozen=True)
class Site:
    """Where in a forward a gate is a factor, so that another one can be put in its place."""

    operation: int
    """Number of the multiplication among all operations of the forward, from 1."""
    name: str
    """aten's name of it, with `_` if it is in place."""
    operand: int
    """Which of its arguments is the gate."""
    shape: tuple[int, ...]
    """Of that argument."""
    total: float
    """Sum of that argument, by which a second forward is known to be the same up to there."""
    scale: float = 1.0
    """By which the multiplication scales it as well: the gate is the argument times this."""
    layout: tuple[Any, ...] = ()
    """What the product's axes mean, as capture reads them."""


@dataclass(frozen=True)
class GateComputation:
    """One gate: how it was computed, what it multiplied, what came out."""

    kind: GateKind
    operations: tuple[Operation, ...]
    """In order of execution; the last one's result is the gate. Empty if no operation lies between
    the features and it."""
    features: Tensor
    """What it multiplies, (B, C, h, w) float32."""
    result: Tensor
    """The product, (B, C, h, w) float32; of both gates where one multiplication has both."""
    together: bool
    """True if the layer multiplies by both gates at once: no features exist in between."""
    sites: tuple[Site, ...]


@dataclass(frozen=True)
class Added:
    """What follows behind the last gate: the first operation on its result."""

    name: str
    """aten's name of it; empty if the result is what the network returns, or nothing was seen."""
    shortcut: Tensor | None = None
    """What is added to the result, (B, C, h, w) float32; None if nothing is, or it was too large to
    keep."""
    value: Tensor | None = None
    """The sum, likewise."""


@dataclass(frozen=True)
class Computation:
    """How one call of one layer came from its features to its result."""

    gates: tuple[GateComputation, ...]
    """In the order in which they act."""
    after: Added
    count: int
    """Operations in the whole forward."""
