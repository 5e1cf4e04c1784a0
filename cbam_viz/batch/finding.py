"""Which operations of an exported graph give a network's gates.

They are told by their values on the first photos, and by what the graph does with them: a value
that only some photos would show to be another one (a gate before it is limited to a range) is no
gate, as nothing is multiplied by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx

from cbam_viz.errors import ModelError
from cbam_viz.gates.layout.operators import MULTIPLYING, PARTING, PASSES, SPREADING, base

_SAME = 1e-6
"""How far results of the exported operations may be from the gates that they are."""
_EXPORTED = {
    "flatten", "unflatten", "view_as", "reshape_as", "expand_as", "to", "type_as", "dropout",
    "feature_dropout", "chunk", "movedim", "swapaxes", "getitem",
}  # fmt: skip
"""What `PASSES` and `PARTING` are before export has taken them to pieces."""
_CARRYING = PASSES | PARTING | SPREADING | _EXPORTED
"""Results that hold their first operand's values, all or some of them."""


def find_gates(
    module: fx.GraphModule, x: Tensor, gates: Mapping[str, Tensor]
) -> dict[str, fx.Node]:
    """Return the operation of a graph that gives each gate, in the order of `gates`.

    `gates` are what the network's are for the input `x`, by name. Raises ModelError where it is not
    certain which operation that is.
    """
    finder = _Finder(module, gates)
    finder.run(x)
    varied = bool((x != x[:1]).any())
    chosen: dict[str, fx.Node] = {}
    for name, nodes in finder.found.items():
        gate = gates[name]
        if not nodes:
            raise ModelError(
                f"No operation of the exported network gives the gate {name}, so it cannot be an "
                "output. Leave --fast out."
            )
        others = [
            other
            for other, its in finder.found.items()
            if other != name and not set(its).isdisjoint(nodes)
        ]
        if others or (varied and float((gate - gate[:1]).abs().max()) <= _SAME):
            like = f"those of {others[0]}" if others else "constant"
            raise ModelError(
                f"On the first photos the gates {name} are {like}, so what gives them cannot be "
                "told for certain. Leave --fast out."
            )
        chosen[name] = _multiplied_by(name, nodes, finder.sizes)
    return chosen


class _Finder(fx.Interpreter):
    """Runs a graph and notes which of its results are gates."""

    def __init__(self, module: fx.GraphModule, gates: Mapping[str, Tensor]) -> None:
        super().__init__(module)
        self.gates = gates
        self.found: dict[str, list[fx.Node]] = {name: [] for name in gates}
        self.sizes: dict[fx.Node, int] = {}
        """Values in each result."""

    def run_node(self, n: fx.Node) -> Any:
        """Run one operation and compare its result with every gate of that many values."""
        result = super().run_node(n)
        if not isinstance(result, Tensor):
            return result
        self.sizes[n] = result.numel()
        if result.is_floating_point() and result.dim() and n.op == "call_function":
            for name, gate in self.gates.items():
                if result.numel() == gate.numel() and len(result) == len(gate):
                    found = result.detach().float().cpu().reshape(gate.shape)
                    if furthest(found.numpy(), gate.numpy()) <= _SAME:
                        self.found[name].append(n)
        return result


def _multiplied_by(name: str, nodes: list[fx.Node], sizes: Mapping[fx.Node, int]) -> fx.Node:
    """Of operations with the values of one gate, the first of those whose result is multiplied by.

    What only reshapes or copies another one's result is the same value, for all photos.
    """
    values = [node for node in nodes if _source(node) not in nodes]
    if len(values) == 1:
        return values[0]
    for larger in (True, False):  # features have more values than their gate, but for 1 x 1 maps
        gating = [node for node in values if _multiplies(node, sizes, larger=larger)]
        if len(gating) == 1:
            return gating[0]
        if gating:
            break
    raise ModelError(
        f"On the first photos {len(values)} results in this network are those of the gates {name}, "
        "so which of them its features are multiplied by cannot be told for certain. Leave --fast "
        "out."
    )


def _multiplies(node: fx.Node, sizes: Mapping[fx.Node, int], *, larger: bool) -> bool:
    """Whether something computed is multiplied by a result, with a product of more values."""
    return any(
        sizes.get(user, 0) > sizes[node] or not larger
        for carrier in _carriers(node)
        for user in carrier.users
        if _name(user) in MULTIPLYING and len(user.all_input_nodes) > 1
    )


def _carriers(node: fx.Node) -> Iterator[fx.Node]:
    """A node and all that hold its values in another shape."""
    yield node
    for user in node.users:
        if _source(user) is node:
            yield from _carriers(user)


def _source(node: fx.Node) -> fx.Node | None:
    """Whose values a node holds in another shape; None if it has values of its own."""
    return next(iter(node.all_input_nodes), None) if _name(node) in _CARRYING else None


def _name(node: fx.Node) -> str:
    """Of an operation, without namespace and form; empty for anything else."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return base(target.overloadpacket.__name__)
    return getattr(target, "__name__", "") if node.op == "call_function" else ""


def furthest(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """The largest difference of two values in one place; none where both are NaN or the same
    infinity, infinite where one of them alone is.
    """
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(one - other))
    return float(np.where(np.isnan(apart), np.inf, apart).max(initial=0.0))
