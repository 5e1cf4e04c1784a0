"""From a watched forward to how a layer's gates were computed: `cbam_viz.computation`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ...computation import (
    Added,
    Computation,
    GateComputation,
    Operand,
    Operation,
    Source,
)
from ..layout.operators import RESHAPING
from ..model.copies import plain_copy
from .forward import WatchedForward
from .graph import Node, origin
from .pairing import Found, paired
from .products import Gate, Product, Watch

_MOST_OPERATIONS = 200
"""No gate of any code takes so many; a walk that leaves the layer does."""


def computation_in(forward: WatchedForward, prefix: str, number: int) -> Computation | None:
    """Of a layer of a known class, in one of its calls; None if its products do not show it."""
    mine = [
        product
        for product in forward.watch.products
        if any(frame.module == prefix and frame.number == number for frame in product.frame.path())
    ]
    found = paired(mine, forward.returned)
    return computation_of(found[0], forward.watch) if len(found) == 1 else None


def computation_of(found: Found, watch: Watch) -> Computation | None:
    """Of a layer that its products show; None if their features were not kept."""
    first, last = found.products[0], found.products[-1]
    sources = _sources(found)
    if any(one.before is None or one.after is None for one in found.products):
        return None
    gates = tuple(
        _gate(gate, product, sources, watch) for product in found.products for gate in product.gates
    )
    parallel = found.composition == "parallel" and last is not first
    after = Added("") if parallel else _after(last, watch)
    return Computation(gates, after, watch.operations)


def _gate(
    gate: Gate, product: Product, sources: dict[Node, Source], watch: Watch
) -> GateComputation:
    assert product.before is not None
    assert product.after is not None
    return GateComputation(
        gate.kind,
        _operations(gate, product, sources, watch),
        plain_copy(product.before),
        plain_copy(product.after),
        len(product.gates) == 2,
        gate.sites,
    )


def _sources(found: Found) -> dict[Node, Source]:
    """Where the operations of a layer's gates may begin, in order of precedence."""
    first, last = found.products[0], found.products[-1]
    sources: dict[Node, Source] = {}
    nodes: Iterable[tuple[Node, Source]] = (
        (first.feature, "input"), (first.node, "gated"), (last.feature, "seen"),
    )  # fmt: skip
    for node, source in nodes:
        for same in (node, origin(node)):
            sources.setdefault(same, source)
    return sources


def _operations(
    gate: Gate, product: Product, sources: dict[Node, Source], watch: Watch
) -> tuple[Operation, ...]:
    """The backward slice of a gate, up to its features, in order of execution."""
    end = origin(gate.node)
    if end in sources:
        return ()
    nodes: set[Node] = set()
    waiting = [end]
    largest, start = math.prod(product.feature.shape), product.feature.order
    while waiting and len(nodes) < _MOST_OPERATIONS:
        node = waiting.pop()
        if node in nodes:
            continue
        nodes.add(node)
        for one in map(origin, node.inputs):
            earlier = one.order < start and math.prod(one.shape) >= largest
            if one.depends and one not in sources and one.inputs and not earlier:
                waiting.append(one)
    ordered = sorted(nodes, key=lambda node: node.order)
    places = {node: k for k, node in enumerate(ordered)}
    return tuple(_operation(node, places, sources, watch) for node in ordered)


def _operation(
    node: Node, places: dict[Node, int], sources: dict[Node, Source], watch: Watch
) -> Operation:
    def told(value: Any) -> Any:
        if isinstance(value, Node):
            return _operand(value, places, sources)
        if isinstance(value, (list, tuple)):
            return tuple(told(item) for item in value)
        return value if isinstance(value, (int, float, bool, str, type(None))) else str(value)

    arguments = (*map(told, node.args), *map(told, node.kwargs.values()))
    value = watch.small.get(node)
    return Operation(node.base, arguments, node.shape, None if value is None else plain_copy(value))


def _operand(node: Node, places: dict[Node, int], sources: dict[Node, Source]) -> Operand:
    made = origin(node)
    for one in (node, made):
        if one in sources:
            return Operand(source=sources[one])
    if made in places:
        return Operand(operation=places[made])
    if made.depends:
        return Operand(source="elsewhere")
    return Operand(weight=_weight(made))


def _weight(node: Node) -> str:
    """The parameter or buffer that these values are, whatever its view; empty if it is none."""
    while node.parameter is None and node.base in RESHAPING and node.inputs:
        node = node.inputs[0]
    return node.parameter or ""


def _after(last: Product, watch: Watch) -> Added:
    """What happens to the layer's result first."""
    made, waiting = last.node, [last.node]
    users: list[Node] = []
    while waiting:
        node = waiting.pop()
        for user in node.users:
            (waiting if origin(user) is made else users).append(user)
    if not users:
        return Added("")
    user = min(users, key=lambda one: one.order)
    others = [one for one in user.inputs if origin(one) is not made]
    if user.base != "add" or len(others) != 1 or not others[0].depends:
        return Added(user.base)
    return Added("add", _like(last, others[0], watch), _like(last, user, watch))


def _like(product: Product, node: Node, watch: Watch) -> Tensor | None:
    """A node's values, if they were kept and are as many as the layer's result, in its order."""
    value = watch.small.get(node)
    if value is None:
        value = watch.small.get(origin(node))
    assert product.after is not None
    if value is None or node.shape != product.node.shape or value.shape != product.after.shape:
        return None
    return plain_copy(value.to(torch.float32))
