"""What a feature map is multiplied by: gates, seen at the product itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .anatomy import Anatomy, anatomy, is_attention, is_squashed
from .axes import BATCH, CHANNEL, COLUMN, OTHER, ROW, Layout, as_image, labels
from .checks import agree
from .operators import MULTIPLYING
from .trace import Frame, Node, Trace, origin
from .varying import Kind, as_map, is_constant, readable, reduced, varying_dims

_DENSE = {
    True: "one joint gate over channels and positions, as in BAM",
    False: "a dense gate: a weight for every value, neither channel weights nor a map",
}


_BLEND = "features blended by torch.lerp: no product of features and a gate"
_ONE_CELL = "a gate on a map of one cell, where it cannot be told from the features"


@dataclass(eq=False)
class Gate:
    """One factor of a product, reduced to what varies."""

    kind: Kind
    value: Tensor
    """(B, C) or (B, h, w), a copy, in the dtype it was multiplied in."""
    node: Node


@dataclass(eq=False)
class Product:
    """A feature map times one gate, or times a channel and a spatial gate at once."""

    node: Node
    feature: Node
    gates: list[Gate]
    frame: Frame
    verified: bool
    layout: Layout
    before: Tensor | None = None
    after: Tensor | None = None

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(gate.kind for gate in self.gates)


@dataclass(eq=False)
class Odd:
    """A product that looks like attention and is neither a channel nor a spatial gate."""

    frame: Frame
    reason: str
    node: Node
    feature: Node


@dataclass(eq=False)
class _Outer:
    """Channel gate times spatial gate, before any feature map."""

    channel: Gate
    spatial: Gate


@dataclass(eq=False)
class _Operand:
    tensor: Tensor
    node: Node
    dims: set[int]
    """Dimensions of the result along which it varies, batch aside."""


@dataclass(frozen=True, eq=False)
class _Multiplied:
    node: Node
    operands: list[Tensor]
    feature: _Operand
    gate: _Operand
    layout: Layout
    result: Tensor


@dataclass
class Wants:
    """What to keep besides the gates."""

    features: bool = False
    small: bool = False
    """Small tensors, in which branches and descriptors are found later."""


class Watch(Trace):  # type: ignore[no-untyped-call]
    """A trace that recognises gates."""

    def __init__(self, parameters: dict[int, str], wants: Wants | None = None) -> None:
        super().__init__(parameters)
        self.wants = wants or Wants()
        self.products: list[Product] = []
        self.odd: list[Odd] = []
        self.small: dict[Node, Tensor] = {}
        self._outer: dict[Node, _Outer] = {}

    def about_to(self, name: str, args: Sequence[Any], nodes: Sequence[Node]) -> Any:
        """Copy what an in-place product is about to overwrite."""
        if name in ("mul_", "div_", "addcmul_") and isinstance(args[0], Tensor):
            return args[0].clone()
        return None

    def happened(
        self, node: Node, args: Sequence[Any], nodes: Sequence[Node], result: Tensor, extra: Any
    ) -> None:
        """Look at each multiplication."""
        if self.wants.small and node.depends and result.numel() <= 1 << 20 and result.ndim >= 2:
            self.small[node] = result.clone()
        if len(nodes) < 2 or result.ndim < 3 or not result.is_floating_point():
            return
        if node.base == "lerp" and len(nodes) == 3:
            self._blend(node, nodes)
        if node.base not in MULTIPLYING:
            return
        operands = list(args[:3] if node.base == "addcmul" else args[:2])
        if extra is not None:
            operands[0] = extra
        if all(isinstance(value, Tensor) for value in operands):
            self._look(node, operands, nodes, result)

    def _look(
        self, node: Node, operands: list[Tensor], nodes: Sequence[Node], result: Tensor
    ) -> None:
        layout = readable(node.layout)
        one, two = (
            _Operand(tensor, nodes[len(operands) - 2 + k], set())
            for k, tensor in enumerate(operands[-2:])
        )
        if layout is None or one.node is two.node or not (one.node.depends and two.node.depends):
            return
        every = {d for d, axis in enumerate(layout) if labels(axis) - {BATCH}}
        for operand in (one, two):
            operand.dims = varying_dims(operand.tensor, layout) & every
        if one.dims == two.dims == every:
            _constant_dims(one, two, layout)
        gate = _the_gate(one, two, every)
        if gate is not None and not (gate is one and node.base == "div"):
            feature = two if gate is one else one
            self._gate(_Multiplied(node, operands, feature, gate, layout, result))
        elif gate is None and node.base == "mul" and _disjoint(one, two, every):
            self._remember_outer(node, one, two, layout)
        elif gate is None and node.base != "div":
            self._joint(node, one.node, two.node)

    def _gate(self, seen: _Multiplied) -> None:
        node, layout = seen.node, seen.layout
        path = anatomy(seen.gate.node, seen.feature.node)
        if not is_attention(node, seen.gate.node, path):
            return
        kind = _kind(seen.gate.dims, layout)
        reason = None
        if _one_cell(layout) and not _plain_at_one_cell(kind, seen.gate.node, path):
            reason = _ONE_CELL
        elif _other_axes(layout):
            if not path.reaches and not is_squashed(seen.gate.node):
                return  # scores between tokens, say, times a temperature
            reason = f"features of {len(layout)} dimensions that are not channels, rows and columns"
        elif kind is None:
            reason = _odd_reason(seen.gate.dims, layout)
        if reason is not None or kind is None:
            self.odd.append(Odd(node.frame, reason or "", node, seen.feature.node))
            return
        small, value = reduced(seen.gate.tensor, kind, layout)
        feature = seen.feature.tensor
        if node.base == "div":
            value, again = 1 / value, feature / small
        elif len(seen.operands) == 3:
            scale = node.kwargs.get("value", 1)
            value = value * scale
            again = torch.addcmul(seen.operands[0], feature, small, value=scale)
        else:
            again = feature * small
        product = Product(
            node,
            seen.feature.node,
            [Gate(kind, value, seen.gate.node)],
            node.frame,
            agree(again, seen.result),
            _feature_layout(seen.feature.node, layout),
        )
        if self.wants.features:
            product.before = as_map(feature.expand(seen.result.shape), layout).clone()
            product.after = as_map(seen.result, layout).clone()
        self.products.append(product)

    def _remember_outer(self, node: Node, one: _Operand, two: _Operand, layout: Layout) -> None:
        found: dict[str, Gate] = {}
        for operand in (one, two):
            kind = _kind(operand.dims, layout)
            if kind is not None:
                value = reduced(operand.tensor, kind, layout)[1]
                found[kind] = Gate(kind, value, operand.node)
        if len(found) == 2:
            self._outer[node] = _Outer(found["channel"], found["spatial"])

    def _joint(self, node: Node, node_a: Node, node_b: Node) -> None:
        """Two dense operands: the product of two gates seen before, or a joint gate, or neither."""
        for gate, feature in ((node_b, node_a), (node_a, node_b)):
            outer = self._outer.get(origin(gate))
            if outer is not None and origin(feature) is not origin(gate):
                order = sorted((outer.channel, outer.spatial), key=lambda g: g.node.order)
                layout = _feature_layout(feature, node.layout)
                self.products.append(Product(node, feature, order, node.frame, True, layout))
                return
        for gate, feature in ((node_b, node_a), (node_a, node_b)):
            path = anatomy(gate, feature)
            if is_attention(node, gate, path, dense=True):
                self.odd.append(Odd(node.frame, _DENSE[path.narrow], node, feature))
                return

    def _blend(self, node: Node, nodes: Sequence[Node]) -> None:
        """torch.lerp(start, end, gate): no product of features and gate."""
        _, end, gate = nodes
        if gate.depends and is_attention(node, gate, anatomy(gate, end)):
            self.odd.append(Odd(node.frame, _BLEND, node, end))


def _constant_dims(one: _Operand, two: _Operand, layout: Layout) -> None:
    """Both operands are dense: note if just one is constant over space, or over channels."""
    dense = one.dims
    places = {d for d in dense if labels(layout[d]) <= {ROW, COLUMN}}
    channels = {d for d in dense if labels(layout[d]) == {CHANNEL}}
    found = []
    for operand in (two, one):
        for dims in (places, channels):
            if dims and dims != dense and is_constant(operand.tensor, dims, len(layout)):
                found.append((operand, dense - dims))
                break
    if len(found) == 1:
        operand, dims = found[0]
        operand.dims = dims


def _the_gate(one: _Operand, two: _Operand, every: set[int]) -> _Operand | None:
    """The operand that varies along fewer dimensions than the feature map."""
    if one.dims == every and two.dims < every:
        return two
    if two.dims == every and one.dims < every:
        return one
    if one.dims == two.dims == every and len(every) <= 1:
        for gate, feature in ((two, one), (one, two)):
            path = anatomy(gate.node, feature.node)
            if path.reaches and path.learned:
                return gate
    return None


def _disjoint(one: _Operand, two: _Operand, every: set[int]) -> bool:
    return one.dims | two.dims == every and not one.dims & two.dims


def _one_cell(layout: Layout) -> bool:
    """Maps of 1 x 1: features and channel gates have the same shape."""
    return not any(labels(axis) - {BATCH, CHANNEL} for axis in layout)


def _other_axes(layout: Layout) -> bool:
    """Volumes, signals, tokens of unknown order: some axis is none of (B, C, H, W)."""
    return any(OTHER in labels(axis) for axis in layout)


def _plain_at_one_cell(kind: Kind | None, gate: Node, path: Anatomy) -> bool:
    """There, only a gate that cannot be taken for another thing counts as one."""
    made = origin(gate)
    both = made.base == "mul" and sum(one.depends for one in made.inputs) > 1
    widened = kind == "channel" and not any(CHANNEL in labels(axis) for axis in gate.layout)
    return path.reaches and not both and not widened


def _kind(dims: set[int], layout: Layout) -> Kind | None:
    """What a gate that varies along these dimensions is."""
    over = frozenset(label for d in dims for label in labels(layout[d])) - {BATCH}
    places = {d for d, axis in enumerate(layout) if labels(axis) & {ROW, COLUMN}}
    channels = {d for d, axis in enumerate(layout) if CHANNEL in labels(axis)}
    if over == {CHANNEL} or (not over and places and not channels):
        return "channel"
    if over and over <= {ROW, COLUMN} and dims >= places:
        return "spatial"
    if not over and channels and not places:
        return "spatial"
    return None


_WORDS = {ROW: "rows", COLUMN: "columns", CHANNEL: "channels"}


def _odd_reason(dims: set[int], layout: Layout) -> str:
    over = [label for d in sorted(dims) for label in labels(layout[d]) if label != BATCH]
    if not over:
        return "a gate of one number for the whole map"
    if (
        len(layout) == 4
        and CHANNEL not in labels(layout[1])
        and BATCH in labels(layout[0]) | {BATCH}
    ):
        return "a gate over permuted axes: no map over rows and columns"
    words = list(dict.fromkeys(_WORDS.get(label, "groups or branches") for label in over))
    return "a gate over " + " and ".join(words) + ": neither one weight a channel nor one map"


def _feature_layout(feature: Node, layout: Layout) -> Layout:
    known = as_image(feature.layout)
    return known if len(known) == len(layout) else layout
