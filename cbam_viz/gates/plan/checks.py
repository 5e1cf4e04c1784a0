"""Whether gates found by a recipe are still what the network multiplies by, at the cost of a pixel.

A recipe is true while the network goes the way it went when it was watched. What a forward shows at
its module boundaries is compared, at a few positions, with what the gates would have given: the
layer's features times its gates, and the operations that follow up to the next boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..layout.operators import CHECKABLE, PASSES
from ..watch.trace import Node
from .recipes import Ref, Step, on_a_copy, referred

Boundary = tuple[str, int, str, int]
"""A module's dotted name, the number of its call, "in" or "out", and which of its tensors."""

_FORWARD, _MOST = 4, 24


@dataclass(frozen=True)
class Check:
    """`steps` on samples of `leaves` and on the gates give the sample of `result`."""

    leaves: tuple[Boundary, ...]
    steps: tuple[Step, ...]
    result: Boundary
    shape: tuple[int, ...]
    """Of the result; the batch and the size may be others later."""

    def holds(self, samples: Mapping[Boundary, Tensor], gates: list[Tensor]) -> bool:
        """`gates`: (B, C) and (B, h, w) as `steps` refer to them, -1 the first."""
        expected = samples[self.result]
        leaves = [*(sampled_gate(gate) for gate in gates), *(samples[one] for one in self.leaves)]
        values: list[Tensor] = []

        def value(arg: Any) -> Any:
            if isinstance(arg, Ref):
                return values[arg.index] if arg.index >= 0 else leaves[-1 - arg.index]
            return [value(item) for item in arg] if isinstance(arg, list) else arg

        for step in self.steps:
            again = step.func(*(value(arg) for arg in step.args), **step.kwargs)
            values.append(again)
        return agree(values[-1], expected)


def agree(again: Tensor, result: Tensor) -> bool:
    """Equal within rounding of the result's dtype."""
    if again.shape != result.shape:
        return False
    if torch.equal(again, result):
        return True
    step = 4 * torch.finfo(result.dtype).eps
    return torch.allclose(again.float(), result.float(), rtol=step, atol=step, equal_nan=True)


def sampled(tensor: Tensor) -> Tensor:
    """A copy of a few positions of (B, C, h, w), with all channels."""
    return _few(tensor.detach()).clone()


def sampled_gate(gate: Tensor) -> Tensor:
    """A gate at the same positions, as it broadcasts."""
    return gate[:, :, None, None] if gate.ndim == 2 else _few(gate)[:, None]


def _few(tensor: Tensor) -> Tensor:
    height, width = tensor.shape[-2:]
    rows = slice(height // 4, None, (height + 1) // 2)
    return tensor[..., rows, slice(width // 4, None, (width + 1) // 2)]


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
    places = {node: Ref(-1 - k) for k, node in enumerate(gates)}
    last = products[-1]
    if any(len(node.shape) != 4 for node in products):
        return None
    for end in _onwards(last):
        if end in boundaries and end.shape == last.shape:
            leaves: list[Boundary] = []
            steps: list[Step] = []
            known = dict(places)
            build = _Builder(boundaries, set(products), len(gates), leaves, steps, known)
            if build(end, top=True) and all(product in known for product in products):
                return Check(tuple(leaves), tuple(steps), ends[end], end.shape)
    return None


def _onwards(node: Node) -> list[Node]:
    """The node and those that elementwise operations make of it, nearest first."""
    found, edge = [node], [node]
    for _ in range(_FORWARD):
        edge = [user for one in edge for user in one.users if user.base in CHECKABLE]
        found.extend(one for one in edge if one not in found)
    return found


@dataclass
class _Builder:
    boundaries: Mapping[Node, Boundary]
    products: set[Node]
    gates: int
    leaves: list[Boundary]
    steps: list[Step]
    known: dict[Node, Ref]

    def __call__(self, node: Node, *, top: bool = False) -> bool:  # noqa: PLR0911
        if node in self.known:
            return True
        if node in self.boundaries and not top and node not in self.products:
            self.leaves.append(self.boundaries[node])
            self.known[node] = Ref(-self.gates - len(self.leaves))
            return True
        if node.name in PASSES and node.inputs and node.shape == node.inputs[0].shape:
            if self(node.inputs[0]):
                self.known[node] = self.known[node.inputs[0]]
                return node.name != "_to_copy"
            return False
        if node.base not in CHECKABLE or node.func is None or len(self.steps) >= _MOST:
            return False
        if any(len(one.shape) != 4 for one in node.inputs if one not in self.known):
            return False
        if not all(self(one) for one in node.inputs):
            return False
        if any(isinstance(value, Node) for value in node.kwargs.values()):
            return False
        args = tuple(referred(arg, self.known) for arg in node.args)
        func: Callable[..., Any] = on_a_copy(node.func) if node.name != node.base else node.func
        self.steps.append(Step(func, node.name, args, dict(node.kwargs)))
        self.known[node] = Ref(len(self.steps) - 1)
        return True
