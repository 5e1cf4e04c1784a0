"""What a feature map is multiplied by: gates, seen at the product itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...computation import Site
from ..layout.axes import CHANNEL, COLUMN, MANY, OTHER, ROW, Layout, as_image, labels
from ..layout.operators import CONTRACTING, MULTIPLYING, NORMALISING
from .anatomy import Anatomy, anatomy, is_attention, is_squashed
from .graph import OUTSIDE, Frame, Node, backward_slice, origin
from .limits import has_values
from .meeting import acted_on, halved
from .operands import (
    Kind,
    Operand,
    are_disjoint,
    are_halves,
    as_map,
    find_dims,
    kind_of,
    look_at_values,
    readable,
    reduced,
    the_gate,
)
from .reasons import (
    BLEND,
    COMPLEX,
    CONTRACTED,
    EVEN,
    FROM_OUTSIDE,
    MET,
    ONE_CELL,
    QUANTISED,
    of_dims,
    of_few_axes,
    of_full_size,
    of_other_axes,
)
from .samples import agree
from .trace import Trace

_MOST_VALUES = 200


@dataclass(eq=False)
class Gate:
    """One factor of a product, reduced to what varies."""

    kind: Kind
    value: Tensor
    """(B, C) or (B, h, w), a copy, in the dtype it was multiplied in."""
    node: Node
    sites: tuple[Site, ...] = ()
    """Where it is a factor, if that is wanted; several if it is put together of factors."""


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


@dataclass(frozen=True, eq=False)
class _Multiplied:
    node: Node
    operands: list[Tensor]
    feature: Operand
    gate: Operand
    layout: Layout
    result: Tensor


@dataclass
class Wants:
    """What to keep besides the gates."""

    features: bool = False
    small: bool = False
    """Small tensors, in which branches, descriptors and computations are found later."""
    sites: bool = False
    """Where gates are factors."""


class Watch(Trace):  # type: ignore[no-untyped-call]
    """A trace that recognises gates."""

    def __init__(self, parameters: dict[int, str], wants: Wants | None = None) -> None:
        super().__init__(parameters)
        self.wants = wants or Wants()
        self.products: list[Product] = []
        self.odd: list[Odd] = []
        self.small: dict[Node, Tensor] = {}
        self.by_values = False
        """True if what was recognised hangs on what the gates were in this forward."""
        self.inside: set[Node] = set()
        """What was computed between features of more than one cell and their gates."""
        self.transformed: set[Frame] = set()
        """Calls inside torch.vmap or a transform of torch.func."""
        self.by_buffers: list[tuple[str, Odd]] = []
        """Which of them multiplied what."""
        self._outer: dict[Node, _Outer] = {}

    def in_transform(self, frame: Frame) -> bool:
        """Whether a call, or one around it, is inside a transform of torch.func."""
        return not self.transformed.isdisjoint(frame.path())

    def about_to(self, name: str, args: Sequence[Any], nodes: Sequence[Node]) -> Any:
        """Copy what an in-place product is about to overwrite."""
        if name in ("mul_", "div_", "addcmul_") and isinstance(args[0], Tensor):
            return args[0].clone()
        return None

    def happened(
        self, node: Node, args: Sequence[Any], nodes: Sequence[Node], result: Tensor, extra: Any
    ) -> None:
        """Look at each multiplication, but for those of a backward."""
        if torch._C._current_graph_task_id() >= 0 or not has_values(result):
            return
        wanted = self.wants.small and (result.ndim >= 2 or self.wants.sites)
        if wanted and node.depends and result.numel() <= 1 << 20:
            self.small[node] = result.clone()
        if node.base in CONTRACTING and len(nodes) == 2:
            self._contracted(node, nodes)
        if not (result.is_floating_point() and (node.base in MULTIPLYING or _is_outer(node))):
            self._meet(node, result)
        if len(nodes) < 2 or result.ndim < 3 or not result.is_floating_point():
            return
        if node.base == "lerp" and len(nodes) == 3:
            self._blend(node, nodes)
        if node.base not in MULTIPLYING and not _is_outer(node):
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
            Operand(tensor, nodes[len(operands) - 2 + k], set())
            for k, tensor in enumerate(operands[-2:])
        )
        if layout is None or one.node is two.node or not (_may_vary(one) and _may_vary(two)):
            self._note_buffers(node, one, two)
            return
        every = {d for d, axis in enumerate(layout) if labels(axis) - MANY}
        if not find_dims(one, two, layout, every):
            return
        if one.dims == two.dims == every:
            for feature, both in ((one, two), (two, one)):
                outer = self._outer.get(origin(both.node))
                if outer is not None and node.base != "div":
                    self._both(_Multiplied(node, operands, feature, both, layout, result), outer)
                    return
            look_at_values(one, two, layout)
        gate = the_gate(one, two, every)
        if gate is None and node.base in ("mul", "bmm") and are_disjoint(one, two, every):
            self._remember_outer(node, one, two, layout)
            return
        if gate is None and node.base not in MULTIPLYING:
            return
        told = len(self.products) + len(self.odd)
        if gate is not None and not (gate is one and node.base == "div"):
            feature = two if gate is one else one
            outer = self._outer.get(origin(feature.node))
            if outer is not None and node.base == "mul":
                site = self._site(node, int(gate is two), gate.tensor, layout)
                more = _with_gate(outer, gate, layout, site)
                if more is not None:
                    self._outer[node] = more
                return
            self._gate(_Multiplied(node, operands, feature, gate, layout, result))
        elif gate is None and node.base != "div" and not are_halves(one, two, every):
            self._dense(_Multiplied(node, operands, one, two, layout, result))
        if (one.even or two.even) and len(self.products) + len(self.odd) > told:
            self.by_values = True

    def _gate(self, seen: _Multiplied) -> None:
        node, layout = seen.node, seen.layout
        path = anatomy(seen.gate.node, seen.feature.node)
        kind = kind_of(seen.gate.dims, layout)
        if not is_attention(node, seen.gate.node, path) or not _told_apart(layout, path):
            if kind is not None and seen.gate.dims and _is_from_outside(node, seen, path):
                self.odd.append(Odd(node.frame, FROM_OUTSIDE, node, seen.feature.node))
            return
        reason = None
        if _one_cell(layout) and not _plain_at_one_cell(kind, seen.gate.node, path):
            reason = ONE_CELL
        elif _other_axes(layout):
            if not path.reaches and not is_squashed(seen.gate.node):
                return  # scores between tokens, say, times a temperature
            reason = of_other_axes(seen.gate.dims, layout)
        elif kind is None:
            reason = of_dims(seen.gate.dims, layout)
        if not _one_cell(layout):
            self.inside |= path.nodes
        if reason is not None or kind is None:
            self.odd.append(Odd(node.frame, reason or "", node, seen.feature.node))
            return
        small, value = reduced(seen.gate.tensor, kind, layout)
        feature = seen.feature.tensor
        scale = 1.0
        if node.base == "div":
            value, again = 1 / value, feature / small
        elif len(seen.operands) == 3:
            scale = node.kwargs.get("value", 1)
            value = value * scale
            again = torch.addcmul(seen.operands[0], feature, small, value=scale)
        else:
            again = feature * small
        place = next(k for k, operand in enumerate(seen.operands) if operand is seen.gate.tensor)
        sites = self._site(node, place, seen.gate.tensor, layout, scale)
        product = Product(
            node,
            seen.feature.node,
            [Gate(kind, value, seen.gate.node, sites)],
            node.frame,
            agree(again, seen.result),
            _feature_layout(seen.feature.node, layout),
        )
        if self.wants.features:
            product.before = as_map(feature.expand(seen.result.shape), layout).clone()
            product.after = as_map(seen.result, layout).clone()
        self.products.append(product)

    def _site(
        self, node: Node, operand: int, tensor: Tensor, layout: Layout, scale: float = 1.0
    ) -> tuple[Site, ...]:
        """Where a gate is a factor, if that is wanted."""
        if not self.wants.sites:
            return ()
        total = float(tensor.sum(dtype=torch.float64))
        return (Site(node.number, node.name, operand, tuple(tensor.shape), total, scale, layout),)

    def _note_buffers(self, node: Node, one: Operand, two: Operand) -> None:
        """Products by buffers, which are gates if forwards write gates into them."""
        if self.buffers and node.base == "mul":
            for gate, feature in ((one, two), (two, one)):
                name = origin(gate.node).parameter
                if name in self.buffers and feature.node.depends and gate.tensor.numel() > 1:
                    self.by_buffers.append(
                        (name, Odd(node.frame, FROM_OUTSIDE, node, feature.node))
                    )

    def _remember_outer(self, node: Node, one: Operand, two: Operand, layout: Layout) -> None:
        found: dict[str, Gate] = {}
        for place, operand in enumerate((one, two)):
            kind = kind_of(operand.dims, layout)
            if kind is not None:
                value = reduced(operand.tensor, kind, layout)[1]
                sites = self._site(node, place, operand.tensor, layout)
                found[kind] = Gate(kind, value, operand.node, sites)
        if len(found) == 2:
            self._outer[node] = _Outer(found["channel"], found["spatial"])

    def _dense(self, seen: _Multiplied) -> None:
        """Two dense operands: features and a dense gate, or neither."""
        both = (seen.feature, seen.gate)
        reason = of_few_axes(seen.layout)
        if reason is not None and all(is_squashed(one.node) for one in both):
            return  # two maps, or channel weights twice, of which one gate is made
        for feature, gate in (both, both[::-1]):
            path = anatomy(gate.node, feature.node)
            attention = is_attention(seen.node, gate.node, path, dense=True)
            if attention and _told_apart(seen.layout, path):
                self.inside |= path.nodes
                if reason is None:
                    reason = EVEN if gate.even else of_full_size(gate.node, seen.layout)
                self.odd.append(Odd(seen.node.frame, reason, seen.node, feature.node))
                return

    def _contracted(self, node: Node, nodes: Sequence[Node]) -> None:
        """A matrix product of features and one squashed gate: nothing gated ever exists."""
        one, two = nodes
        for gate, feature, along, alone in ((two, one, -1, -1), (one, two, -2, -2)):
            axes = [labels(axis) - MANY for axis in feature.layout]
            if gate.shape[alone] != 1 or not (gate.depends and feature.depends):
                continue
            gated = axes[along] in ({CHANNEL}, {ROW, COLUMN}) and axes[-3 - along] - axes[along]
            squashed = is_squashed(gate) and origin(gate).base != "_softmax"
            if gated and squashed and is_attention(node, gate, anatomy(gate, feature)):
                self.odd.append(Odd(node.frame, CONTRACTED, node, feature))
                return

    def _both(self, seen: _Multiplied, outer: _Outer) -> None:
        """Features times the product of a channel and a spatial gate."""
        node, feature, layout, shape = seen.node, seen.feature, seen.layout, seen.result.shape
        channel, spatial = outer.channel, outer.spatial
        before, after = as_map(feature.tensor.expand(shape), layout), as_map(seen.result, layout)
        again = before * (channel.value[:, :, None, None] * spatial.value[:, None])
        if len(seen.operands) == 3:
            scale = node.kwargs.get("value", 1)
            sites = tuple(replace(one, scale=one.scale * scale) for one in channel.sites)
            channel = Gate("channel", channel.value * scale, channel.node, sites)
            again = as_map(seen.operands[0].expand(shape), layout) + again * scale
        product = Product(
            node,
            feature.node,
            sorted((channel, spatial), key=lambda gate: gate.node.order),
            node.frame,
            agree(again, after),
            _feature_layout(feature.node, layout),
        )
        if self.wants.features:
            product.before, product.after = before.clone(), after.clone()
        self.products.append(product)

    def _meet(self, node: Node, result: Tensor) -> None:
        """A gate that acts in an operation which is no product."""
        values = result.is_floating_point() or result.is_complex() or result.is_quantized
        told = self.odd and self.odd[-1].node is node
        if node.base == "lerp" or told or not values:
            return
        feature = halved(node) if node.base == "glu" else acted_on(node)
        if feature is not None:
            reason = MET.format(node.base.strip("_"))
            if node.base == "mul":
                reason = COMPLEX if result.is_complex() else QUANTISED
            self.odd.append(Odd(node.frame, reason, node, feature))

    def _blend(self, node: Node, nodes: Sequence[Node]) -> None:
        """torch.lerp(start, end, gate): no product of features and gate."""
        _, end, gate = nodes
        if gate.depends and is_attention(node, gate, anatomy(gate, end)):
            self.odd.append(Odd(node.frame, BLEND, node, end))


def _may_vary(operand: Operand) -> bool:
    """Whether it may be another for the next photo: also what was made outside, in this forward."""
    return operand.node.depends or origin(operand.node).name == OUTSIDE


def _is_from_outside(node: Node, seen: _Multiplied, path: Anatomy) -> bool:
    """Whether computed features are multiplied by what came from nowhere that is known."""
    scaling = node.base != "div" and not path.names & NORMALISING
    if not (scaling and OUTSIDE in path.names) or path.reaches or path.learned:
        return False
    made = backward_slice([seen.feature.node], limit=_MOST_VALUES)
    return any(one.parameter is not None for one in made)


def _with_gate(
    outer: _Outer, gate: Operand, layout: Layout, sites: tuple[Site, ...]
) -> _Outer | None:
    """A channel gate times a map, and one gate more of either kind: still no features."""
    kind = kind_of(gate.dims, layout)
    if kind is None:
        return None
    value = reduced(gate.tensor, kind, layout)[1]
    own = outer.channel if kind == "channel" else outer.spatial
    more = replace(own, value=own.value * value, sites=own.sites + sites)
    return replace(outer, **{kind: more})


def _is_outer(node: Node) -> bool:
    """A column times a row: the outer product, as a product of matrices."""
    return node.base == "bmm" and node.inputs[0].shape[-1] == 1


def _one_cell(layout: Layout) -> bool:
    """Maps of 1 x 1: features and channel gates have the same shape."""
    return not any(labels(axis) - {CHANNEL, *MANY} for axis in layout)


def _other_axes(layout: Layout) -> bool:
    """Volumes, signals, tokens of unknown order: some axis is none of (B, C, H, W)."""
    return any(OTHER in labels(axis) for axis in layout)


def _told_apart(layout: Layout, path: Anatomy) -> bool:
    """Where no axis is known to be channels or positions, masks and scores look like gates."""
    known = any(labels(axis) & {CHANNEL, ROW, COLUMN} for axis in layout)
    return known or _one_cell(layout) or (path.reaches and path.learned)


def _plain_at_one_cell(kind: Kind | None, gate: Node, path: Anatomy) -> bool:
    """There, only a gate that cannot be taken for another thing counts as one."""
    made = origin(gate)
    both = made.base == "mul" and sum(one.depends for one in made.inputs) > 1
    widened = kind == "channel" and not any(CHANNEL in labels(axis) for axis in gate.layout)
    return path.reaches and not both and not widened


def _feature_layout(feature: Node, layout: Layout) -> Layout:
    known = as_image(feature.layout)
    return known if len(known) == len(layout) else layout
