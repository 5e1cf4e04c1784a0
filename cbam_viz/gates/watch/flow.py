"""Where a value goes: into one product alone, or other ways through the network too."""

from __future__ import annotations

from ..layout.operators import NORMALISING, PASSES, POINTWISE, is_valueless
from .graph import Node, backward_slice, origin

_JOINING = frozenset({"add", "sub", "maximum"})
_STEPS = 4


class Flow:
    """The ways of one forward; only those that lead to what the network returned count."""

    def __init__(self, returned: set[Node]) -> None:
        self._live = set(backward_slice(returned))

    def ends_in(self, values: set[Node], product: Node, gate: Node) -> bool:
        """Whether `values` serve `product` alone: as its features and to compute its gate.

        The gate itself may be used again, the values may be added to the gated features, and
        whatever only looks at them (statistics, logging) leads nowhere.
        """
        serving = set(backward_slice({gate}, since=min(value.order for value in values)))
        waiting, seen = list(values), set(values)
        while waiting:
            node = waiting.pop()
            for user in node.users:
                if user is product or user in seen or not self._leads_on(user):
                    continue
                seen.add(user)
                if user in serving or user.base in PASSES:
                    if user is not gate:
                        waiting.append(user)
                elif not _adds(user, product):
                    return False
        return True

    def _leads_on(self, node: Node) -> bool:
        if is_valueless(node.name, node.func):
            return False
        return not self._live or node in self._live


def _adds(node: Node, product: Node) -> bool:
    """A residual: one of the operands is the product, at most normalised or activated before."""
    return node.base in _JOINING and any(_is_made_of(one, product) for one in node.inputs)


def _is_made_of(node: Node, product: Node) -> bool:
    for _ in range(_STEPS):
        node = origin(node)
        if node is origin(product):
            return True
        varying = [one for one in node.inputs if one.depends]
        if node.base not in POINTWISE | NORMALISING or len(varying) != 1:
            return False
        node = varying[0]
    return False
