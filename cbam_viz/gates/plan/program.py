"""Operations that were watched, to be done again: the program that recipes and checks are.

A program is the part of the dataflow graph between some inputs and one result. It is done again
with the same operators, hence to the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from ..watch.graph import Node

Name = TypeVar("Name")


@dataclass(frozen=True)
class Ref:
    """An earlier value: an input of the program (negative, -1 the first) or a step's result."""

    index: int


@dataclass(frozen=True)
class Step:
    """One operation; a `Ref` among its arguments stands for an earlier value."""

    func: Any
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def run(steps: Sequence[Step], inputs: Sequence[Tensor]) -> Tensor:
    """What the last step gives; the first input where there is none."""
    results: list[Tensor] = []

    def value(arg: Any) -> Any:
        if isinstance(arg, Ref):
            return results[arg.index] if arg.index >= 0 else inputs[-1 - arg.index]
        return [value(item) for item in arg] if isinstance(arg, list) else arg

    for step in steps:
        result = step.func(*map(value, step.args), **step.kwargs)
        results.append(result)
    return results[-1] if results else inputs[0]


class Writer(Generic[Name]):
    """Writes a program, operation by operation; `given` are the nodes of its first inputs."""

    def __init__(self, given: Sequence[Node] = ()) -> None:
        self.leaves: list[Name] = []
        """The inputs that follow, by name."""
        self.steps: list[Step] = []
        self.places = {node: Ref(-1 - k) for k, node in enumerate(given)}
        """Where the values of nodes are found."""
        self._given = len(given)

    def leaf(self, node: Node, name: Name) -> None:
        """The value of this node is an input."""
        self.leaves.append(name)
        self.places[node] = Ref(-self._given - len(self.leaves))

    def step(self, node: Node) -> bool:
        """Do this node's operation, whose inputs have places; False if it cannot be done again."""
        if any(isinstance(value, Node) for value in node.kwargs.values()):
            return False
        args = tuple(self._referred(arg) for arg in node.args)
        func = _on_a_copy(node.func) if node.name != node.base else node.func
        self.steps.append(Step(func, node.name, args, dict(node.kwargs)))
        self.places[node] = Ref(len(self.steps) - 1)
        return True

    def _referred(self, arg: Any) -> Any:
        if isinstance(arg, Node):
            return self.places[arg]
        if isinstance(arg, (list, tuple)):
            return [self._referred(item) for item in arg]
        return arg


def _on_a_copy(func: Any) -> Any:
    """An in-place operation that leaves its argument as it was."""

    def again(first: Tensor, *rest: Any, **kwargs: Any) -> Tensor:
        return func(first.clone(), *rest, **kwargs)  # type: ignore[no-any-return]

    return again
