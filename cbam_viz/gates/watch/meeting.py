"""Gates that act on features by something else than a product: noticed, though not to be read.

Features may be chosen by a condition that a gate gives, convolved or contracted with it, scaled by
a normalisation's weights, be complex or quantised. No such operation shows a factor and a product
that could be compared; that there is a gate must be told all the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from ..layout.axes import CHANNEL, COLUMN, MANY, ROW, labels
from ..layout.operators import (
    COMPARING,
    CONTRACTING,
    CUTTING,
    JOINED,
    MULTIPLIED_UP,
    PASSES,
    SPREADING,
    SQUASHING,
    SUMMED,
)
from ..layout.same import varying
from .anatomy import anatomy, is_attention
from .graph import Node, origin
from .operands import readable

_APART = CUTTING | PASSES | SPREADING | COMPARING | SUMMED | JOINED
"""Where features and a gate meet, and neither acts on the other."""
_CARRYING = SPREADING | {"diag_embed", "quantize_per_tensor", "complex", "cat"}
"""What these alone make of a gate is the gate in other clothes: a diagonal matrix, say."""
_MIXING = CONTRACTING | {"addmm", "baddbmm"}
"""Here a gate is the diagonal of a matrix. Any other matrix mixes features, as self-attention's."""
_PLACES = frozenset({ROW, COLUMN})
_MOST_STEPS = 8


def acted_on(node: Node) -> Node | None:
    """The features that channel weights or a map act on in an operation that is no product."""
    if node.base in _APART:
        return None
    operands, size = [one for one in node.inputs if one.depends], math.prod(node.shape)
    if node.base in MULTIPLIED_UP and operands:
        joined = origin(operands[0])
        operands = [one for one in joined.inputs if one.depends] if joined.base in JOINED else []
        size = math.prod(joined.shape)
    if len(operands) < 2:
        return None
    for feature in operands:
        sizes = _sizes(feature) if math.prod(feature.shape) <= size else None
        if sizes is not None and any(
            gate is not feature and _weighs(node, gate, feature, *sizes) for gate in operands
        ):
            return feature
    return None


def halved(node: Node) -> Node | None:
    """The features in a gated linear unit, if its other half is widened channel weights or a map.

    Two halves as large as each other are an activation's.
    """
    joined = origin(node.inputs[0])
    if joined.base != "cat" or len(joined.inputs) != 2 or _sizes(node) is None:
        return None
    feature, gate = joined.inputs
    narrower = len(varying(gate.shape, gate.same)) < len(varying(feature.shape, feature.same))
    return feature if gate.depends and narrower else None


def _sizes(feature: Node) -> tuple[set[int], set[int]] | None:
    """How many values channel weights, and a map, of these features have; None if it is no map."""
    layout = readable(feature.layout)
    if layout is None:
        return None
    factors = [factor for axis in layout for factor in axis]
    many = math.prod(factor.size for factor in factors if factor.label in MANY)
    channels = math.prod(factor.size for factor in factors if factor.label == CHANNEL)
    places = math.prod(factor.size for factor in factors if factor.label in _PLACES)
    if channels < 2 or places < 2:
        return None
    return {channels, channels * many}, {places, places * many}


def _weighs(
    node: Node, gate: Node, feature: Node, channels: Collection[int], places: Collection[int]
) -> bool:
    """Whether this is channel weights or a map of the features, or made of some."""
    source, diagonal = origin(gate), False
    for _ in range(_MOST_STEPS):
        own = {origin(one) for one in source.inputs if one.depends}
        if source.base not in _CARRYING or len(own) != 1:
            break
        diagonal = diagonal or source.base == "diag_embed"
        source = own.pop()
    if node.base in _MIXING and not diagonal:
        return False
    over = varying(source.shape, source.same)
    count = math.prod(source.shape[d] for d in over)
    meant = frozenset[str]().union(*(labels(source.layout[d]) for d in over)) - MANY
    weights = count in channels and not meant & _PLACES
    if not (weights or (count in places and CHANNEL not in meant)):
        return False
    path = anatomy(source, feature)
    weighed = path.learned or path.names & SQUASHING
    return bool(weighed) and is_attention(node, source, path)
