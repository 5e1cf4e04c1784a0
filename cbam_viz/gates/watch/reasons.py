"""What is told of attention that is neither channel weights nor a map, from how it was made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ..layout.axes import BRANCH, CHANNEL, COLUMN, MANY, OTHER, ROW, Layout, labels
from ..layout.operators import JOINING
from ..layout.same import varying
from .graph import Node, origin

BLEND = "features blended by torch.lerp: no product of features and a gate"
MET = "a gate that acts on features by another operation than a product (torch's {})"
FROM_OUTSIDE = (
    "weights that this forward has not computed: a constant, kept from an earlier forward or made "
    "outside of PyTorch, so that it cannot be told whether they are a gate"
)
ELSEWHERE = (
    "features that were computed where this forward could not be watched, in another thread, "
    "outside of PyTorch or in an earlier forward: whether they are gated cannot be told"
)
COMPLEX = "a gate on features of complex numbers"
QUANTISED = "a gate on quantised features"
ONE_CELL = "a gate on a map of one cell, where it cannot be told from the features"
ONE_CHANNEL = "a gate on a map of one channel, where it cannot be told from the features"
EVEN = (
    "a gate of the features' size that was even over channels or positions in this forward, so "
    "that it cannot be told whether it is channel weights, a map or neither"
)
CONTRACTED = "a gate whose product with the features is summed up in the same matrix product"
POOLING = "weights by which gated features are summed up: a pooling, no gate"
BRANCHES = "weights for several branches, which are summed up"
STRANGER = (
    "more multiplied in it than its own gates, as a hook's does: its own are shown, and not this"
)
JOINT = "one joint gate: channel weights and a map put together before they act, as in BAM"
DENSE = "a dense gate: a weight for every value, neither channel weights nor a map"

_PLACES = {ROW, COLUMN}
_WORDS = {CHANNEL: "channel", ROW: "row", COLUMN: "column", BRANCH: "branch", OTHER: "group"}
_WIDENING = frozenset({"view", "unsqueeze", "expand", "clone", "repeat", "index_select"})
_SUCH = {3: " (a signal's, say)", 5: " (a volume's, say)"}
_MOST_STEPS = 24


def of_dims(dims: set[int], layout: Layout) -> str:
    """Of a gate that varies along these dimensions of the features."""
    over = {label for d in dims for label in labels(layout[d])} - MANY
    if not over:
        return "a gate of one number for the whole map"
    rest = [d for d in range(len(layout)) if d not in dims]
    whole = not any(CHANNEL in labels(layout[d]) for d in rest)
    if over == {CHANNEL, ROW, COLUMN} and not whole:
        return _maps(_size(dims, layout, CHANNEL))
    if BRANCH in over and not over & {OTHER}:
        count = _size(dims, layout, BRANCH)
        if over == {BRANCH, ROW, COLUMN}:
            return f"one map for each of {count} branches"
        if over == {BRANCH, CHANNEL}:
            return f"channel weights for each of {count} branches"
    if CHANNEL in over and len(over & _PLACES) == 1 and _rotated(layout):
        return f"a map of {_each(over, 's')}, on permuted axes: no map of rows and columns"
    return f"one weight for each {_each(over)}: neither channel weights nor a map"


def of_other_axes(dims: set[int], layout: Layout) -> str:
    """Of a gate on features that are no (B, C, H, W); their first axis is the batch."""
    along = sorted(dims - {0})
    over = {label for d in along for label in labels(layout[d])}
    if over == {CHANNEL}:
        what = "channel weights"
    elif over and CHANNEL not in over and any(CHANNEL in labels(axis) for axis in layout):
        what = "a map"
    else:
        what = "a gate" + (f" along {_axes(along)}" if along else "")
    size = len(layout)
    return f"{what} on features of {size} dimensions{_SUCH.get(size, '')}, not (B, C, H, W)"


def _axes(dims: list[int]) -> str:
    """In words: axis 1; axes 2, 3 and 4."""
    if len(dims) == 1:
        return f"axis {dims[0]}"
    return f"axes {', '.join(map(str, dims[:-1]))} and {dims[-1]}"


def of_few_axes(layout: Layout) -> str | None:
    """Of a gate on features that vary along no more than channel weights or a map do."""
    over = frozenset[str]().union(*map(labels, layout)) - MANY
    return {frozenset({CHANNEL}): ONE_CELL, frozenset(_PLACES): ONE_CHANNEL}.get(over)


def of_full_size(gate: Node, layout: Layout) -> str:
    """Of a gate with a weight for every channel and position."""
    for node in _back(gate):
        shape, axes = node.shape, labels(layout[1]) if len(layout) == 4 else frozenset()
        maps = len(shape) == 4 and axes == {CHANNEL} and shape[2:] == gate.shape[2:]
        if maps and 1 < shape[1] < gate.shape[1] and math.prod(shape) < math.prod(gate.shape):
            return _maps(shape[1])
    halves = list(_parts(gate))
    if sorted(halves, key=len) == [{CHANNEL}, _PLACES]:
        return JOINT
    if len(halves) == 2:
        one, two = (_phrase(half) for half in halves)
        return f"one gate put together of {one} and {two}"
    return DENSE


def _parts(gate: Node) -> Iterator[set[str]]:
    """What the two operands vary along, each less than the gate, that it was put together of."""
    node = gate
    for _ in range(_MOST_STEPS):
        node = origin(node)
        own = [one for one in node.inputs if one.depends]
        if node.base not in JOINING or not own:
            return
        if len(own) > 1:
            halves = [_over(one) for one in own]
            whole = _over(node)
            if all(half and half < whole for half in halves):
                yield from halves
            return
        node = own[0]


def _over(node: Node) -> set[str]:
    return {
        label for d in varying(node.shape, node.same) for label in labels(node.layout[d])
    } - MANY


def _back(gate: Node) -> Iterator[Node]:
    """The gate and what it was copied, viewed and widened from."""
    node = gate
    for _ in range(_MOST_STEPS):
        yield node
        own = [one for one in node.inputs if one.depends]
        if len(own) != 1 or node.base not in _WIDENING:
            return
        node = own[0]


def _maps(count: int) -> str:
    return f"one map for each of {count} groups of channels"


def _size(dims: Iterable[int], layout: Layout, label: str) -> int:
    return math.prod(one.size for d in dims for one in layout[d] if one.label == label)


def _rotated(layout: Layout) -> bool:
    """Channels stand between rows and columns, or where one of these does."""
    order = [label for axis in layout for label in (CHANNEL, ROW, COLUMN) if label in labels(axis)]
    return list(dict.fromkeys(order)) not in ([CHANNEL, ROW, COLUMN], [ROW, COLUMN, CHANNEL])


def _each(over: set[str], plural: str = "") -> str:
    return " and ".join(word + plural for label, word in _WORDS.items() if label in over)


def _phrase(over: set[str]) -> str:
    if over == {CHANNEL}:
        return "channel weights"
    return "a map" if over == _PLACES else f"weights for each {_each(over)}"
