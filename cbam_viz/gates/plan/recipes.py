"""From the outputs of modules to a gate: the few operations in between, to be done again.

Watching shows that a gate is, say, `sigmoid(add(mlp's first output, mlp's second output))`. Later
forwards need plain hooks on `mlp` alone; the two operations are repeated on copies, with the same
operators, hence the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..layout.operators import REPEATABLE, RESHAPING
from ..watch.trace import Node

Leaf = tuple[str, int]
"""A module's dotted name and which of its calls in a forward."""

_MOST_STEPS = 12


@dataclass(frozen=True)
class Step:
    """One operation; integers wrapped in `Ref` stand for earlier results."""

    func: Any
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class Ref:
    """An earlier value: a leaf (negative, -1 the first) or a step's result."""

    index: int


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
        values: list[Tensor] = []
        leaves = [seen[leaf] for leaf in self.leaves]

        def value(ref: Any) -> Any:
            if isinstance(ref, Ref):
                return values[ref.index] if ref.index >= 0 else leaves[-1 - ref.index]
            return [value(item) for item in ref] if isinstance(ref, list) else ref

        for step in self.steps:
            args = [value(arg) for arg in step.args]
            values.append(step.func(*args, **step.kwargs))
        gate = values[-1] if values else leaves[0]
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
    leaves: list[Leaf] = []
    steps: list[Step] = []
    if not _collect(node, outputs, leaves, steps, {}) or not leaves:
        return None
    any_size = not any(step.name in RESHAPING for step in steps)
    if len(shape) == 2:
        any_size = any_size and len(node.shape) in (3, 4) and node.shape[-2:] == tuple(shape)
    return Recipe(tuple(leaves), tuple(steps), tuple(shape), any_size)


def _collect(  # noqa: PLR0911
    node: Node,
    outputs: Mapping[Node, Leaf],
    leaves: list[Leaf],
    steps: list[Step],
    places: dict[Node, Ref],
) -> bool:
    if node in places:
        return True
    if node in outputs:
        leaves.append(outputs[node])
        places[node] = Ref(-len(leaves))
        return True
    if node.func is None or len(steps) >= _MOST_STEPS:
        return False
    if node.base not in REPEATABLE and node.name not in RESHAPING:
        return False
    if any(not one.depends for one in node.inputs):
        return False
    if not all(_collect(one, outputs, leaves, steps, places) for one in node.inputs):
        return False
    args = tuple(referred(arg, places) for arg in node.args)
    if any(isinstance(value, Node) for value in node.kwargs.values()):
        return False
    func = on_a_copy(node.func) if node.name != node.base else node.func
    steps.append(Step(func, node.name, args, dict(node.kwargs)))
    places[node] = Ref(len(steps) - 1)
    return True


def on_a_copy(func: Any) -> Any:
    """An in-place operation that leaves its argument as it was."""

    def run(first: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
        return func(first.clone(), *rest, **kwargs)  # type: ignore[no-any-return]

    return run


def referred(arg: Any, places: Mapping[Node, Ref]) -> Any:
    if isinstance(arg, Node):
        return places[arg]
    if isinstance(arg, (list, tuple)):
        return [referred(item, places) for item in arg]
    return arg
