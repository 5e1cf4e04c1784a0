"""What a feature map is multiplied by: gates, seen at the product itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from .axes import BATCH, CHANNEL, COLUMN, ROW, Axis, Layout, image_layout, labels
from .placement import as_image
from .trace import Frame, Node, Trace, origin

Kind = Literal["channel", "spatial"]

CONSTANT = 2e-6
"""A dense gate counts as constant along an axis if it varies by less, relative to its size."""

_MULTIPLY = ("mul", "div", "addcmul")
_NORMS = frozenset(
    ["sqrt", "rsqrt", "var", "var_mean", "std", "std_mean", "norm", "linalg_vector_norm", "pow", "_native_batch_norm_legit", "native_layer_norm", "native_group_norm", "native_batch_norm", "square"]
)
_SQUASHING = frozenset({"sigmoid", "hardsigmoid", "tanh", "_softmax"})
_DENSE = {
    True: "one joint gate over channels and positions, as in BAM",
    False: "a dense gate: a weight for every value, neither channel weights nor a map",
}
_POINTWISE = frozenset(
    ["sigmoid", "relu", "hardsigmoid", "hardswish", "hardtanh", "clamp", "clamp_min", "clamp_max", "tanh", "silu", "add", "sub", "mul", "div", "rsub", "neg", "exp", "reciprocal", "softplus", "mish", "elu", "gelu", "leaky_relu", "threshold", "log1p", "log", "erf", "_to_copy", "clone", "view", "detach", "alias"]
)


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


@dataclass
class Wants:
    """What to keep besides the gates."""

    features: bool = False
    small: bool = False
    """Small tensors, in which branches and descriptors are found later."""


class Watch(Trace):
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
        if node.base not in _MULTIPLY or len(nodes) < 2 or result.ndim < 3:
            return
        if not result.is_floating_point():
            return
        operands = list(args[:3] if node.base == "addcmul" else args[:2])
        if extra is not None:
            operands[0] = extra
        if all(isinstance(value, Tensor) for value in operands):
            self._look(node, operands, nodes, result)

    def _look(
        self, node: Node, operands: list[Tensor], nodes: Sequence[Node], result: Tensor
    ) -> None:
        (a, b), (node_a, node_b) = (
            operands[-2:],
            (nodes[len(operands) - 2], nodes[len(operands) - 1]),
        )
        if not (node_a.depends and node_b.depends) or node_a is node_b:
            return
        layout = _readable(node.layout)
        if layout is None:
            return
        every = {d for d, axis in enumerate(layout) if labels(axis) - {BATCH}}
        in_a, in_b = _varying(a, layout) & every, _varying(b, layout) & every
        if in_a == every and in_b == every:
            in_a, in_b = _constant_dims(a, b, in_a, in_b, layout)
        swapped = _gate_first(in_a, in_b, every, node_a, node_b)
        if swapped is None:
            if node.base == "mul" and in_a | in_b == every and not in_a & in_b:
                self._remember_outer(node, (a, in_a, node_a), (b, in_b, node_b), layout)
            elif node.base != "div":
                self._joint(node, node_a, node_b)
            return
        if swapped and node.base == "div":
            return
        gate, feature = (a, b) if swapped else (b, a)
        gate_node, feature_node = (node_a, node_b) if swapped else (node_b, node_a)
        dims = in_a if swapped else in_b
        self._gate(node, operands, feature, feature_node, gate, gate_node, dims, layout, result)

    def _gate(
        self,
        node: Node,
        operands: list[Tensor],
        feature: Tensor,
        feature_node: Node,
        gate: Tensor,
        gate_node: Node,
        dims: set[int],
        layout: Layout,
        result: Tensor,
    ) -> None:
        path = anatomy(gate_node, feature_node)
        if _is_no_attention(node, path):
            return
        kind = _kind(dims, layout)
        if _one_cell(layout) and not _plain_at_one_cell(kind, gate_node, path):
            return
        if kind is None:
            self.odd.append(Odd(node.frame, _odd_reason(dims, layout), node, feature_node))
            return
        small, value = _reduced(gate, kind, layout)
        if node.base == "div":
            value, again = 1 / value, feature / small
        elif len(operands) == 3:
            scale = node.kwargs.get("value", 1)
            value, again = value * scale, torch.addcmul(operands[0], feature, small, value=scale)
        else:
            again = feature * small
        product = Product(
            node,
            feature_node,
            [Gate(kind, value, gate_node)],
            node.frame,
            _agree(again, result),
            _feature_layout(feature_node, layout),
        )
        self._keep(product, feature, result, layout)

    def _remember_outer(
        self,
        node: Node,
        one: tuple[Tensor, set[int], Node],
        two: tuple[Tensor, set[int], Node],
        layout: Layout,
    ) -> None:
        found: dict[str, Gate] = {}
        for tensor, dims, source in (one, two):
            kind = _kind(dims, layout)
            if kind is not None:
                found[kind] = Gate(kind, _reduced(tensor, kind, layout)[1], source)
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
            squashed = path.learned or path.names & _SQUASHING
            if path.reaches and squashed and not _is_no_attention(node, path):
                self.odd.append(Odd(node.frame, _DENSE[path.narrow], node, feature))
                return

    def _keep(self, product: Product, feature: Tensor, result: Tensor, layout: Layout) -> None:
        if self.wants.features:
            product.before = as_map(feature.expand(result.shape), layout).clone()
            product.after = as_map(result, layout).clone()
        self.products.append(product)


@dataclass
class Anatomy:
    """What lies between a feature map and its gate."""

    names: set[str] = field(default_factory=set)
    learned: bool = False
    owners: set[str] = field(default_factory=set)
    """Names of the parameters on the way."""
    reaches: bool = False
    """The gate was computed from this very feature map."""
    narrow: bool = False
    """Somewhere on the way there is much less than the feature map: pooling, a bottleneck."""


def anatomy(gate: Node, feature: Node, limit: int = 300) -> Anatomy:
    """Walk from a gate back to the feature map it multiplies."""
    found, start = Anatomy(), origin(feature)
    size = math.prod(feature.shape)
    waiting, seen = [gate], {gate}
    while waiting and limit:
        limit -= 1
        node = waiting.pop()
        if node is feature or node is start:
            found.reaches = True
            continue
        if node.parameter is not None:
            found.learned = True
            found.owners.add(node.parameter)
            continue
        if node.order < start.order and math.prod(node.shape) >= size:
            continue
        found.names.add(node.base)
        found.narrow = found.narrow or math.prod(node.shape) * 4 <= size
        for one in node.inputs:
            if one not in seen:
                seen.add(one)
                waiting.append(one)
    return found


def _is_no_attention(node: Node, path: Anatomy) -> bool:
    """Normalisation (x / std), activation (x * sigmoid(x)), masks, division by what is unlearned."""
    if node.base == "div" and not (path.learned and {"exp", "sigmoid"} & path.names):
        return True
    if not path.learned and (not path.reaches or path.names & _NORMS):
        return True
    return path.reaches and path.names <= _POINTWISE


def _readable(layout: Layout) -> Layout | None:
    layout = as_image(layout)
    known = {label for axis in layout for label in labels(axis)}
    if known & {ROW, COLUMN, CHANNEL}:
        return layout
    if len(layout) == 4 and not known:
        return image_layout([1, 1, 1, 1], placed=False)
    return layout if known & {CHANNEL} else None


def _varying(tensor: Tensor, layout: Layout) -> set[int]:
    skip = len(layout) - tensor.ndim
    return {
        d + skip
        for d, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True))
        if size > 1 and stride != 0 and d + skip >= 0
    }


def _constant_dims(
    a: Tensor, b: Tensor, in_a: set[int], in_b: set[int], layout: Layout
) -> tuple[set[int], set[int]]:
    """Both operands are dense: is one of them constant over space, or over channels?"""
    places = {d for d in in_a if labels(layout[d]) <= {ROW, COLUMN}}
    channels = {d for d in in_a if labels(layout[d]) == {CHANNEL}}
    found = []
    for tensor in (b, a):
        for dims in (places, channels):
            if dims and dims != in_a and _is_constant(tensor, dims, len(layout)):
                found.append((tensor is a, in_a - dims))
                break
    if len(found) != 1:
        return in_a, in_b
    first, dims = found[0]
    return (dims, in_b) if first else (in_a, dims)


def _is_constant(tensor: Tensor, dims: set[int], ndim: int) -> bool:
    skip = ndim - tensor.ndim
    start = probe = tensor
    for d in dims:
        start = start.narrow(d - skip, 0, 1)
        probe = probe.narrow(d - skip, tensor.shape[d - skip] - 1, 1)
    size = start.abs().max()
    if not bool(((probe - start).abs() <= CONSTANT * size).all()):
        return False
    return bool(((tensor - start).abs() <= CONSTANT * size).all()) and bool(size > 0)


def _gate_first(
    in_a: set[int], in_b: set[int], every: set[int], node_a: Node, node_b: Node
) -> bool | None:
    """True if `a` is the gate, False if `b` is, None if neither is."""
    if in_a == every and in_b < every:
        return False
    if in_b == every and in_a < every:
        return True
    if in_a == in_b == every and len(every) <= 1:
        for gate, feature, answer in ((node_b, node_a, False), (node_a, node_b, True)):
            path = anatomy(gate, feature)
            if path.reaches and path.learned:
                return answer
    return None


def _one_cell(layout: Layout) -> bool:
    """Maps of 1 x 1: features and channel gates have the same shape."""
    return not any(labels(axis) & {ROW, COLUMN} for axis in layout)


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


def _reduced(gate: Tensor, kind: Kind, layout: Layout) -> tuple[Tensor, Tensor]:
    """A copy of what varies: as it broadcasts against the features, and as (B, C) or (B, h, w)."""
    skip = len(layout) - gate.ndim
    small = gate[(None,) * skip] if skip > 0 else gate
    keep = {CHANNEL} if kind == "channel" else {ROW, COLUMN}
    for d, axis in enumerate(layout):
        size = math.prod(factor.size for factor in axis)
        wanted = labels(axis) & (keep | {BATCH})
        if wanted and small.shape[d] == 1 and size > 1:
            small = small.expand(*(size if k == d else n for k, n in enumerate(small.shape)))
        elif not wanted and small.shape[d] > 1:
            small = small.narrow(d, 0, 1)
    small = small.clone(memory_format=torch.contiguous_format)
    factors: list[tuple[str, int]] = []
    for d, axis in enumerate(layout):
        if labels(axis) & (keep | {BATCH}):
            factors.extend((f.label, f.size) for f in axis)
        else:
            factors.append(("", int(small.shape[d])))
    view = small.reshape([size for _, size in factors])
    order = sorted(range(len(factors)), key=lambda k: _PLACE.get(factors[k][0], -1))
    view = view.permute(order)
    sizes = {label: math.prod(n for f, n in factors if f == label) for label in _PLACE}
    if kind == "channel":
        return small, view.reshape(sizes[BATCH], sizes[CHANNEL])
    return small, view.reshape(sizes[BATCH], sizes[ROW], sizes[COLUMN])


_PLACE = {BATCH: 0, CHANNEL: 1, ROW: 2, COLUMN: 3}


def as_map(tensor: Tensor, layout: Layout) -> Tensor:
    """A tensor of any layout as (B, C, h, w)."""
    factors = [(f.label, f.size) for axis in layout for f in (axis or _UNIT)]
    view = tensor.reshape([size for _, size in factors])
    view = view.permute(sorted(range(len(factors)), key=lambda k: _PLACE.get(factors[k][0], -1)))
    sizes = [math.prod(n for f, n in factors if f == label) for label in _PLACE]
    return view.reshape(sizes)


class _One:
    label, size = "", 1


_UNIT: tuple[Any, ...] = (_One(),)


def _feature_layout(feature: Node, layout: Layout) -> Layout:
    known = as_image(feature.layout)
    return known if len(known) == len(layout) else layout


def _agree(again: Tensor, result: Tensor) -> bool:
    if torch.equal(again, result):
        return True
    step = torch.finfo(result.dtype).eps
    return bool(torch.allclose(again.float(), result.float(), rtol=4 * step, atol=4 * step))


__all__ = ["Axis", "Gate", "Odd", "Product", "Wants", "Watch", "anatomy", "as_map"]
