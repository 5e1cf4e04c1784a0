"""From the outputs of modules to a gate: the few operations in between, to be done again.

Watching shows that a gate is, say, `sigmoid(add(mlp's first output, mlp's second output))`. Later
forwards need plain hooks on `mlp` alone; the two operations are repeated on copies, with the same
operators, hence the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..layout.operators import REPEATABLE, RESHAPING
from ..watch.graph import Node
from ..watch.samples import Leaf
from .program import Step, Writer, run

_MOST_STEPS = 12


@dataclass(frozen=True)
class Recipe:
    """How a gate comes about: leaves, steps, and the shape (channels, or rows and columns)."""

    leaves: tuple[Leaf, ...]
    steps: tuple[Step, ...]
    shape: tuple[int, ...]
    """(C,) or (h, w)."""
    any_size: bool

    @property
    def makes(self) -> bool:
        """True if the gate is made anew, and not what a leaf gave or a view of it."""
        return bool(self.steps) and self.steps[-1].name not in RESHAPING

    def gate(self, seen: Mapping[Leaf, Tensor]) -> Tensor:
        """The gate, (B, C) or (B, h, w), from what the leaves gave in this forward."""
        gate = run(self.steps, [seen[leaf] for leaf in self.leaves])
        if len(self.shape) == 1:
            return gate.reshape(-1, *self.shape)
        shape = gate.shape[-2:] if self.any_size else self.shape
        return gate.reshape(-1, *shape)


def recipe_for(gate: Node, outputs: Mapping[Node, Leaf], shape: Sequence[int]) -> Recipe | None:
    """The recipe of a gate's node; None if it does not come from module outputs in a few steps.

    Reads the result as if its dimensions were in the usual order: whoever keeps it must compare
    what it gives with the gate.
    """
    node = gate
    while node not in outputs and node.name in RESHAPING:
        node = node.inputs[0]
    writer: Writer[Leaf] = Writer()
    if not _write(node, outputs, writer) or not writer.leaves:
        return None
    any_size = not any(step.name in RESHAPING for step in writer.steps)
    if len(shape) == 2:
        any_size = any_size and len(node.shape) in (3, 4) and node.shape[-2:] == tuple(shape)
    return Recipe(tuple(writer.leaves), tuple(writer.steps), tuple(shape), any_size)


def _write(node: Node, outputs: Mapping[Node, Leaf], writer: Writer[Leaf]) -> bool:
    if node in writer.places:
        return True
    if node in outputs:
        writer.leaf(node, outputs[node])
        return True
    if node.func is None or len(writer.steps) >= _MOST_STEPS:
        return False
    if node.base not in REPEATABLE and node.name not in RESHAPING:
        return False
    if any(not one.depends for one in node.inputs):
        return False
    return all(_write(one, outputs, writer) for one in node.inputs) and writer.step(node)
