"""Whether gates found by a recipe are still what the network multiplies by, at the cost of a pixel.

A recipe is true while the network goes the way it went when it was watched. What a forward shows at
its module boundaries is compared, at a few positions, with what the gates would have given: the
layer's features times its gates, and the operations that follow up to the next boundary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ..layout.operators import CHECKABLE, PASSES
from ..watch.graph import Node
from ..watch.samples import Boundary, agree, sampled_gate
from .program import Step, Writer, run

_FORWARD, _MOST = 4, 24


@dataclass(frozen=True)
class Check:
    """`steps` on the gates and on samples of `leaves` give the sample of `result`."""

    leaves: tuple[Boundary, ...]
    steps: tuple[Step, ...]
    result: Boundary
    shape: tuple[int, ...]
    """Of the result; the batch and the size may be others later."""

    def holds(self, samples: Mapping[Boundary, Tensor], gates: list[Tensor]) -> bool:
        """`gates`: (B, C) and (B, h, w), in the order in which the steps refer to them."""
        inputs = [*map(sampled_gate, gates), *(samples[one] for one in self.leaves)]
        return agree(run(self.steps, inputs), samples[self.result])


def check_for(
    gates: list[Node],
    products: list[Node],
    boundaries: Mapping[Node, Boundary],
    ends: Mapping[Node, Boundary],
) -> Check | None:
    """The check of one layer; None if the boundaries do not show enough.

    `gates` are the operands, in the order in which `Check.holds` is given their values. From where
    features first show, `boundaries`, to where the result last does, `ends`: so that nothing comes
    between the layer and its neighbours unseen.
    """
    last = products[-1]
    if any(len(node.shape) != 4 for node in products):
        return None
    for end in _onwards(last):
        if end in boundaries and end.shape == last.shape:
            writer: Writer[Boundary] = Writer(gates)
            inside = {end, *products}
            if _write(end, boundaries, inside, writer) and all(
                node in writer.places for node in products
            ):
                return Check(tuple(writer.leaves), tuple(writer.steps), ends[end], end.shape)
    return None


def _onwards(node: Node) -> list[Node]:
    """The node and those that elementwise operations make of it, nearest first."""
    found, edge = [node], [node]
    for _ in range(_FORWARD):
        edge = [user for one in edge for user in one.users if user.base in CHECKABLE]
        found.extend(one for one in edge if one not in found)
    return found


def _write(  # noqa: PLR0911
    node: Node, boundaries: Mapping[Node, Boundary], inside: set[Node], writer: Writer[Boundary]
) -> bool:
    """Write down how a value comes about; those `inside` are computed, though they may be shown."""
    if node in writer.places:
        return True
    if node in boundaries and node not in inside:
        writer.leaf(node, boundaries[node])
        return True
    if node.name in PASSES and node.inputs and node.shape == node.inputs[0].shape:
        if not _write(node.inputs[0], boundaries, inside, writer):
            return False
        writer.places[node] = writer.places[node.inputs[0]]
        return node.name != "_to_copy"
    if node.base not in CHECKABLE or node.func is None or len(writer.steps) >= _MOST:
        return False
    if any(len(one.shape) != 4 for one in node.inputs if one not in writer.places):
        return False
    written = all(_write(one, boundaries, inside, writer) for one in node.inputs)
    return written and writer.step(node)
