"""What one forward showed: the copies that hooks kept, and the layers to be read from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...attention import Cells
from ..layout.axes import Layout
from ..layout.cells import are_placed, cells_of, holds_for_other_sizes
from ..model.hooks import Sighting
from ..model.restore import State
from ..model.timm_layers import KnownLayer
from ..watch.pairing import Found, name_layers, paired
from ..watch.products import Product, Watch
from ..watch.sums import role
from ..watch.trace import Node
from .checks import Boundary
from .recipes import Leaf
from .table import Plan, Signature, Table

KnownCall = dict[str, list[Tensor]]
"""One call of a layer of a known class: what was seen, by what it is."""


_STEPS = ("enter", "channel", "spatial", "leaf")


@dataclass
class Forward:
    """What one forward showed."""

    input_size: tuple[int, int]
    signature: Signature
    plan: Plan | None
    watch: Watch | None
    state: State
    """What a second run needs to be this one again: the plan may turn out wrong."""
    way: list[Sighting] = field(default_factory=list)
    """The calls of modules and the gates, in order."""
    events: list[tuple[str, str, Tensor | None]] = field(default_factory=list)
    """Layers of known classes: (prefix, what, copy), in order."""
    leaves: dict[Leaf, Tensor] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    passed: dict[Sighting, int] = field(default_factory=dict)
    outputs: dict[Node, Leaf] = field(default_factory=dict)
    """While watching: which nodes are outputs of modules."""
    known_inputs: dict[tuple[str, int], Node] = field(default_factory=dict)
    returned: set[Node] = field(default_factory=set)
    """While watching: what the network returned."""
    boundaries: dict[Node, Boundary] = field(default_factory=dict)
    """While watching: what modules received and returned, first."""
    ends: dict[Node, Boundary] = field(default_factory=dict)
    """The same, last: what one module returned and the next one received."""
    samples: dict[Boundary, Tensor] = field(default_factory=dict)
    first: dict[Leaf, int] = field(default_factory=dict)
    resizing: set[str] = field(default_factory=set)
    """While watching: modules that returned maps of another size than they received."""
    small: set[str] = field(default_factory=set)
    """While watching: modules that returned one map, or values without positions."""
    found: list[Found] | None = None

    def steps_on(self, key: Sighting) -> bool:
        """Note a step of the way; whether there is more to be seen at it."""
        if key.what in _STEPS:
            self.way.append(key)
            return key.what != "enter" or self.watch is not None
        if key.what == "leave":
            self.way.append(Sighting("leaf", key.module))
        return True

    def mark(self, name: str, args: tuple[Any, ...], output: Tensor) -> None:
        """Note what a module returned, if that is no map of features like those it received."""
        if output.ndim != 4 or 1 in (output.shape[1], output.shape[-2:].numel()):
            self.small.add(name)
        elif not (args and isinstance(args[0], Tensor) and args[0].shape[2:] == output.shape[2:]):
            self.resizing.add(name)


def known_calls(table: Table, forward: Forward) -> list[tuple[int, str, int, KnownCall]]:
    """Calls of layers of known classes: (order, prefix, number, what was seen)."""
    calls: list[tuple[int, str, int, KnownCall]] = []
    running: dict[str, KnownCall] = {}
    counts: dict[str, int] = {}
    for order, (prefix, what, tensor) in enumerate(forward.events):
        if tensor is None:
            continue
        call = running.get(prefix)
        if call is None or (what in call and what != "branches"):
            counts[prefix] = counts.get(prefix, 0) + 1
            call = running[prefix] = {}
            at = forward.known_inputs.get((prefix, counts[prefix]))
            calls.append((at.order if at is not None else order, prefix, counts[prefix], call))
        call.setdefault(what, []).append(tensor)
    return calls


def call_key(module: str, number: int) -> str:
    return module if number == 1 else f"{module}#{number}"


def known_gates(layer: KnownLayer, call: KnownCall) -> tuple[Tensor | None, Tensor | None]:
    gates: list[Tensor | None] = []
    for what, site in (("channel", layer.channel), ("spatial", layer.spatial)):
        if site is None or what not in call:
            gates.append(None)
        elif site.sigmoid:
            gates.append(torch.sigmoid(call[what][0]))
        else:
            gates.append(call[what][0])
    return gates[0], gates[1]


def _last(forward: Forward, products: list[Product]) -> set[Node]:
    """Stands for what the network returned where that holds no tensor: text, arrays, nothing."""
    seen = [*forward.ends, *(product.node for product in products)]
    return {max(seen, key=lambda node: node.order)} if seen else set()


def general_layers(table: Table, forward: Forward) -> list[Found]:
    """All layers that the products show, but those of known classes."""
    if forward.found is None:
        watch = forward.watch
        assert watch is not None
        products = [
            product
            for product in watch.products
            if role(product) == "gate"
            and not watch.in_transform(product.frame)
            and not any(frame.module in table.known for frame in product.frame.path())
        ]
        forward.found = paired(products, forward.returned or _last(forward, products))
        name_layers(forward.found, len(table.children), watch.calls, scripted=table.scripted)
    return forward.found


def cells_on_input(found: Found, forward: Forward) -> Cells | None:
    if found.spatial is None:
        return None
    size = found.spatial.value.shape
    return cells_of(map_layout(found), forward.input_size, (int(size[1]), int(size[2])))


def cells_hold(found: Found) -> bool:
    """True if the cells of its map, where it has one, are the same at other sizes of the input."""
    return found.spatial is None or holds_for_other_sizes(map_layout(found))


def map_layout(found: Found) -> Layout:
    """The layout of the product with the map: the features lie there, and so should the gate."""
    product = next(p for p in found.products if "spatial" in p.kinds)
    return product.node.layout if are_placed(product.node.layout) else product.layout
