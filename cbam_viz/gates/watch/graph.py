"""The dataflow graph of one forward: tensor values, and the operations that made them."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..layout.axes import Layout
from ..layout.operators import PARTING, PASSES, base
from ..layout.same import Same

OUTSIDE, KEPT = "outside", "kept"
"""Names of values that a forward neither computed nor was given; of those kept from another."""


@dataclass(eq=False)
class Frame:
    """One call of one module."""

    module: str
    serial: int
    parent: Frame | None
    number: int = 1
    """Which call of the module in this forward."""

    def path(self) -> Iterator[Frame]:
        """The call itself and those around it, innermost first."""
        frame: Frame | None = self
        while frame is not None:
            yield frame
            frame = frame.parent


@dataclass(eq=False, slots=True)
class Node:
    """One tensor value: what made it. Holds no data."""

    name: str
    """The operator without its namespace, such as `mul`; `input`, `constant` or a parameter."""
    func: Any
    args: Sequence[Any]
    kwargs: dict[str, Any]
    inputs: tuple[Node, ...]
    shape: tuple[int, ...]
    layout: Layout
    frame: Frame
    order: int
    depends: bool
    """True if it was computed from the network's input."""
    same: Same
    """Dimensions along which it holds one value again and again."""
    certain: bool = False
    """True if along all other dimensions it can vary, by operations that are known."""
    parameter: str | None = None
    """Its dotted name, if it is a parameter or a buffer."""
    buffer: bool = False
    users: list[Node] = field(default_factory=list)
    number: int = 0
    """Of the operation that made it, among all of the forward, from 1; 0 if none did."""

    @property
    def base(self) -> str:
        """The operator's name, in place or not."""
        return base(self.name)


def origin(node: Node) -> Node:
    """The node whose values these are, before views and copies."""
    while (node.base in PASSES or node.base in PARTING) and node.inputs:
        if node.base in PARTING and math.prod(node.shape) != math.prod(node.inputs[0].shape):
            break
        node = node.inputs[1 if node.base == "copy" and len(node.inputs) > 1 else 0]
    return node


def backward_slice(
    ends: Iterable[Node], *, stop: Container[Node] = (), since: int = 0, limit: int | None = None
) -> Iterator[Node]:
    """These values and all that they were computed from, each once.

    Not beyond those to `stop` at, which are left out, nor before the one numbered `since`, nor more
    than `limit` values.
    """
    waiting = list(ends)
    seen = set(waiting)
    while waiting and limit != 0:
        limit = None if limit is None else limit - 1
        node = waiting.pop()
        if node in stop:
            continue
        yield node
        for one in node.inputs:
            if one not in seen and one.order >= since:
                seen.add(one)
                waiting.append(one)
