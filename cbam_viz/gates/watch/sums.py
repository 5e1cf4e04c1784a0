"""Products that are summed up: gated features that are pooled, or weights that serve the sum."""

from __future__ import annotations

import math
from typing import Literal

from ..layout.axes import CHANNEL, COLUMN, ROW, Layout
from ..layout.operators import AFFINE, LIMITING, PASSES, POINTWISE, SPREADING, SQUASHING
from .graph import Node, origin
from .operands import readable
from .products import Gate, Product

Role = Literal["gate", "branches", "mean", "similarity"]
"""What a product is for: `gate`, features that go on gated, pooled or not; `branches`, weights of
several branches that are added up; `mean`, normalised weights, of a weighted mean; `similarity`,
an inner product of features."""

_MAP = (CHANNEL, ROW, COLUMN)
_AXES = {"channel": {CHANNEL}, "spatial": {ROW, COLUMN}}
_TOTALS = frozenset({"sum", "norm", "linalg_vector_norm"})
_STEPS = 8


def role(product: Product) -> Role:
    """Whether a product gates features, or its factor only weighs the terms of a sum.

    Summing gated features over the axes that their gate leaves alone, `(x * M_c).sum((2, 3))`, is
    a pooling like any other. Along the gate's own axes it depends on the gate: one that is squashed
    is a gate still.
    """
    total = _total(product)
    summed = set() if total is None else _summed(product, total)
    if total is None or len(product.gates) > 1 or not summed & _AXES[product.gates[0].kind]:
        return "gate"
    gate = product.gates[0]
    if gate.kind == "channel" and all(_extent(total.layout, one) > 1 for one in _MAP):
        return "branches"
    if _is_normalised(gate.node) or (
        not _is_limited(gate.node, SQUASHING) and _divided(total, gate)
    ):
        return "mean"
    if gate.kind == "channel" and not _is_limited(gate.node, SQUASHING | LIMITING):
        return "similarity"
    return "gate"


def _total(product: Product) -> Node | None:
    """The last of the sums that are all that is made of a product."""
    node, total = product.node, None
    for _ in range(_STEPS):
        users = [user for user in node.users if user.name != "detach"]
        if len(users) != 1:
            break
        (user,) = users
        whole = user.base in PASSES and math.prod(user.shape) == math.prod(node.shape)
        if user.base != "sum" and not whole:
            break
        node, total = user, (user if user.base == "sum" else total)
    return total


def _summed(product: Product, total: Node) -> set[str]:
    """The meanings along which there is less than before."""
    before = readable(product.node.layout) or product.layout
    return {label for label in _MAP if _extent(total.layout, label) < _extent(before, label)}


def _extent(layout: Layout, label: str) -> int:
    return math.prod(factor.size for axis in layout for factor in axis if factor.label == label)


def _is_normalised(gate: Node) -> bool:
    """A softmax, or divided by its own sum or length."""
    node = origin(gate)
    return node.base == "_softmax" or (
        node.base == "div" and len(node.inputs) == 2 and _is_sum_of(node.inputs[1], node.inputs[0])
    )


def _divided(total: Node, gate: Gate) -> bool:
    """The sum is divided by the sum of its weights."""
    return any(
        user.base == "div" and len(user.inputs) == 2 and _is_sum_of(user.inputs[1], gate.node)
        for user in total.users
    )


def _is_sum_of(node: Node, terms: Node) -> bool:
    """A sum of these terms or their length, perhaps with a small number against zero."""
    node = origin(node)
    while node.base in _TOTALS | AFFINE | {"clamp", "clamp_min"} and node.inputs:
        if node.base in _TOTALS and origin(node.inputs[0]) is origin(terms):
            return True
        node = origin(node.inputs[0])
    return False


def _is_limited(gate: Node, by: frozenset[str]) -> bool:
    """On the way to the gate, after all that mixes values, one of these operations."""
    node = origin(gate)
    while node.base in POINTWISE | SPREADING | by:
        if node.base in by:
            return True
        varying = [one for one in node.inputs if one.depends]
        if len(varying) != 1:
            return False
        node = origin(varying[0])
    return False
