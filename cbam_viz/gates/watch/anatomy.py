"""What lies between a feature map and the factor it is multiplied by: attention or not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..layout.operators import AFFINE, CUTTING, NORMALISING, POINTWISE, SPREADING, SQUASHING
from .graph import KEPT, Node, origin


@dataclass
class Anatomy:
    """What lies between a feature map and its gate."""

    names: set[str] = field(default_factory=set)
    learned: bool = False
    """Something that the network keeps is on the way."""
    trained: bool = False
    """And it is no buffer, which may hold statistics."""
    cut: bool = False
    """It is a part of a wide result, whose other parts may be the features: of its own filters."""
    owners: set[str] = field(default_factory=set)
    """Names of the parameters on the way."""
    reaches: bool = False
    """The gate was computed from this very feature map."""
    nodes: set[Node] = field(default_factory=set)
    """What was computed on the way."""


def anatomy(gate: Node, feature: Node, limit: int = 300) -> Anatomy:
    """The backward slice from a gate to the feature map it multiplies."""
    found, start = Anatomy(), origin(feature)
    size = math.prod(feature.shape)
    waiting, seen = [(gate, False)], {gate}
    while waiting and limit:
        limit -= 1
        node, cut = waiting.pop()
        if node is feature or node is start:
            found.reaches = True
            continue
        if node.parameter is not None:
            found.cut, found.learned = found.cut or cut, found.learned or not cut
            found.trained = found.trained or not (cut or node.buffer)
            found.owners.add(node.parameter)
            continue
        parted = cut or node.base in CUTTING
        if not parted and node.order < start.order and math.prod(node.shape) >= size:
            continue
        if not cut:
            found.names.add(_named(node))
            found.nodes.add(node)
        made = any(one.parameter is not None for one in node.inputs)
        for one in node.inputs:
            if one not in seen:
                seen.add(one)
                waiting.append((one, parted and (one.parameter is not None or not made)))
    return found


def _named(node: Node) -> str:
    """A number to the power of values is their exponential."""
    raised = node.base == "pow" and not isinstance(node.args[0], Node)
    return "exp" if raised else node.base


def is_attention(product: Node, gate: Node, path: Anatomy, *, dense: bool = False) -> bool:
    """Whether a factor is attention: no normalisation, activation, mask or unlearned divisor.

    A `dense` factor has a weight for every value; one that is neither squashed nor made of the
    features themselves is another feature map.
    """
    if product.base == "div" and not (path.learned and {"exp", "sigmoid"} & path.names):
        return False
    if path.reaches and path.names <= POINTWISE:
        return False
    made = origin(gate)
    if made.base == "_softmax" and made.shape[made.args[1]] == 1:
        return False  # the only one has all: a weight of 1, whatever it is made of
    if product.base != "div" and is_squashed(gate):
        return True
    weighing = path.names & (SQUASHING | {"exp"})
    normalising = path.names & NORMALISING and not weighing
    learned = path.trained if normalising else (path.learned or path.cut)
    if not learned and (not path.reaches or normalising):
        return False
    return not dense or bool(path.reaches and (path.learned or path.names & SQUASHING))


def is_squashed(gate: Node) -> bool:
    """The factor is a sigmoid's or softmax's result, at most scaled, shifted, enlarged."""
    node = origin(gate)
    while node.base in SPREADING or (node.base in AFFINE and _varies_once(node)):
        node = origin(max(node.inputs, key=lambda one: one.depends))
    return node.base in SQUASHING or node.name == KEPT


def _varies_once(node: Node) -> bool:
    return sum(one.depends for one in node.inputs) == 1
