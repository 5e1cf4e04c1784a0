"""What lies between a feature map and the factor it is multiplied by: attention or not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .operators import AFFINE, NORMALISING, POINTWISE, SPREADING, SQUASHING
from .trace import Node, origin


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


def is_squashed(gate: Node) -> bool:
    """The factor is a sigmoid's or softmax's result, at most scaled, shifted, enlarged."""
    node = origin(gate)
    while node.base in SPREADING or (node.base in AFFINE and _varies_once(node)):
        node = origin(max(node.inputs, key=lambda one: one.depends))
    return node.base in SQUASHING


def _varies_once(node: Node) -> bool:
    return sum(one.depends for one in node.inputs) == 1


def is_activation(path: Anatomy) -> bool:
    """X * sigmoid(x) and its like: nothing but pointwise functions of the features themselves."""
    return path.reaches and path.names <= POINTWISE


def is_no_attention(node: Node, path: Anatomy) -> bool:
    """Normalisation (x / std), activation (x * sigmoid(x)), masks, unlearned divisors."""
    if node.base == "div" and not (path.learned and {"exp", "sigmoid"} & path.names):
        return True
    normalising = path.names & NORMALISING and not path.names & (SQUASHING | {"exp"})
    if not path.learned and (not path.reaches or normalising):
        return True
    return is_activation(path)
