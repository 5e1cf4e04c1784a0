"""One map for the whole network: all spatial gates, multiplied along the ways through its forward.

Let `T` of a value be the share of it that all gates before it let through at a place of the input,
each gate against an open one. The input has T = 1, and

    gated features   y = M_s * (M_c * x)      T(y) = M_s T(x)
    a sum            y = a + b                T(y) = (T(a) + T(b)) / 2
    all else         y = f(x)                 T(y) = T(x)

so that a residual block, y = x + M_s * (M_c * f(x)), has T(y) = (1 + M_s) / 2 * T(x): weight 1 on
the shortcut and M_s on the branch, over what both are with an open gate. A plain network has the
product of its maps, a residual one the product of (1 + M_s) / 2, and gates one after the other in
one branch (1 + M_1 M_2) / 2. The map is T of what the network returns. It is attention rollout
(Abnar and Zuidema, ACL 2020, where the shortcut weighs 0.5 too) for gates that stay in place.

It is a heuristic. Branches that are added are taken for equally strong, convolutions for looking
at one place alone, and channels for alike; channel gates are not in it. Which value is made of
which is no guess: one forward is followed, operation by operation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cbam_viz._text import few
from cbam_viz.attention import Attention, Cells, LayerAttention
from cbam_viz.errors import MethodError
from cbam_viz.gates.layout.inputs import tensors_in
from cbam_viz.gates.model.restore import calm
from cbam_viz.gates.watch.graph import Node, backward_slice
from cbam_viz.gates.watch.trace import Trace, parameter_storages
from cbam_viz.images import Geometry
from cbam_viz.methods.bench import Bench, places_of
from cbam_viz.methods.gradients import Values, demand_numbers
from cbam_viz.methods.replica import replica
from cbam_viz.render import place

Share = npt.NDArray[np.float64] | float
"""(H, W) on the input's pixels, or the same everywhere."""

JOINING = frozenset({"add", "sub", "cat", "stack", "maximum", "minimum"})
"""Operations that bring values of several ways together, each with a part in the result."""


def whole_map(
    model: nn.Module, x: Tensor, attention: Attention | None
) -> tuple[Values, Cells, dict[str, Any]]:
    """The map (H, W) of an input (1, C, H, W) on its own pixels, their cells, what went into it.

    A map's cells become pixels as they do in pictures of it. Layers whose gated features do not
    lead to what the network returns have no part in it, and are named (`left out`).

    Raises:
        MethodError: the network has no spatial gate, one is no finite number, or how they follow
            each other could not be seen.
    """
    layers = [] if attention is None else [one for one in attention.values() if _has_map(one)]
    if not layers:
        raise MethodError(
            "The network has no spatial gate, so there is no map of all of them. Take a network "
            "with CBAM."
        )
    for layer in layers:
        assert layer.spatial is not None
        demand_numbers(f"the spatial map of {layer.name}", layer.spatial)
    size = (int(x.shape[2]), int(x.shape[3]))
    names = [layer.name for layer in layers]
    bench = Bench(replica(model), places_of(model, x, names, attention))
    gated, returned = _followed(bench, x)
    values = {node for node in backward_slice(returned) if node.depends}
    gates = {node: layers[k] for k, node in gated.items() if node in values}
    if not gates:
        raise MethodError(
            "How the gates follow each other could not be seen: nothing leads from "
            f"{few(names, 3)} to what the network returns."
        )
    share = _mean([_let_through(values, returned, gates, size)])
    found = np.broadcast_to(np.asarray(share, np.float32), size)
    cells = [layer.cells for layer in gates.values() if layer.cells is not None]
    within = [one.within for one in cells]
    where = Cells(
        1.0,
        1.0,
        0.5,
        0.5,
        exact=all(one.exact for one in cells),
        within=None if None in within else max(one for one in within if one is not None),
    )
    used = {layer.name for layer in gates.values()}
    settings = {
        "layers": [name for name in names if name in used],
        "left out": [name for name in names if name not in used],
        "a sum is": "the mean of its terms",
    }
    return np.array(found), where, settings


def _has_map(layer: LayerAttention) -> bool:
    return layer.spatial is not None and layer.cells is not None and len(layer.spatial) == 1


def _followed(bench: Bench, x: Tensor) -> tuple[dict[int, Node], list[Node]]:
    """One forward: the node of each place's gated features, and those of what was returned."""
    gated: dict[int, Node] = {}
    returned: list[Node] = []
    with calm(), torch.no_grad(), Trace(parameter_storages(bench.network)) as trace:
        trace.place_input(x)

        def note(k: int, features: Tensor) -> None:
            gated[k] = trace.node(features)

        def end(output: Any) -> Tensor:
            returned.extend(trace.node(one) for one in tensors_in(output))
            return torch.zeros(1)

        bench.see, bench.score = note, end
        try:
            bench(x)
        finally:
            bench.see = bench.score = None
    return gated, [node for node in returned if node.depends]


def _let_through(
    values: set[Node],
    returned: Sequence[Node],
    gates: dict[Node, LayerAttention],
    size: tuple[int, int],
) -> Share:
    """T of what is returned; that of a value is forgotten as soon as all made of it have theirs."""
    waiting = Counter(one for node in values for one in {*node.inputs} if one in values)
    waiting.update(returned)
    shares: dict[Node, Share] = {}
    for node in sorted(values, key=lambda one: one.order):
        inputs = [one for one in node.inputs if one in values]
        share = _of(node, inputs, shares)
        if node in gates:
            share = share * _gate(gates[node], size)
        shares[node] = share
        for one in {*inputs}:
            waiting[one] -= 1
            if not waiting[one]:
                del shares[one]
    return _mean([shares[node] for node in returned])


def _of(node: Node, inputs: Sequence[Node], shares: dict[Node, Share]) -> Share:
    """T of a value from those of what it was made of; the input's own is 1."""
    if not inputs:
        return 1.0
    counts = [math.prod(one.shape) for one in inputs]
    if node.base == "cat":  # each has its part of the result
        return _mean([shares[one] for one in inputs], counts)
    if node.base in JOINING:  # a term that is the same at all places does not lie on any
        whole = [one for one in inputs if one.shape == node.shape] or inputs
        return _mean([shares[one] for one in whole])
    # Of a product or an attention the features are the larger operand.
    return _mean([shares[one] for one, n in zip(inputs, counts, strict=True) if n == max(counts)])


def _mean(shares: Sequence[Share], weights: Iterable[float] | None = None) -> Share:
    """The same array again where there is only one."""
    first = shares[0]
    if all(one is first for one in shares):
        return first
    parts = [1.0] * len(shares) if weights is None else list(weights)
    total: Share = sum((part * one for part, one in zip(parts, shares, strict=True)), 0.0)
    return total / sum(parts)


def _gate(layer: LayerAttention, size: tuple[int, int]) -> Share:
    """A layer's map on the input's pixels; of two parallel branches it gates one."""
    assert layer.spatial is not None
    assert layer.cells is not None
    placed = place(layer.spatial[0].numpy(), layer.cells, Geometry.of_input(size))
    values = placed.values.astype(np.float64)
    return (1 + values) / 2 if layer.composition == "parallel" else values
