"""A forward that was watched: its operations, and what modules received and returned."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...attention import Cells
from ..layout.axes import Layout, is_image
from ..layout.cells import are_placed, cells_of, holds_for_other_sizes
from ..layout.inputs import tensors_in
from ..model.aside import innermost_mode, unseen
from ..model.copies import kept
from ..model.hooks import Sighting
from ..model.modules import Modules
from ..model.timm_layers import Event, KnownCall, event, known_gates
from .graph import Node
from .limits import has_values, transformed
from .pairing import Found, name_layers, paired
from .products import Product, Watch
from .samples import Boundary, Leaf, agree, sampled, samples_of
from .sums import role

_LARGEST_LEAF = 1 << 18


@dataclass(eq=False)
class Pass:
    """One call of a layer of a known class that was not watched inside."""

    since: int
    """How many events had come before it."""
    verified: bool = False
    node: Node | None = None
    """What it returned."""


@dataclass(eq=False)
class WatchedForward:
    """What a forward shows whose every operation is looked at."""

    input_size: tuple[int, int]
    """Height and width; (0, 0) while they are not known."""
    modules: Modules
    watch: Watch
    passed: frozenset[str] = frozenset()
    """Layers of known classes that are not watched inside: what they do to features is known."""
    way: list[Sighting] = field(default_factory=list)
    """The calls of modules and the gates, in order; no gates that show no values."""
    events: list[Event] = field(default_factory=list)
    """What was seen in layers of known classes, in order."""
    times: list[int] = field(default_factory=list)
    """When the layer of each event began, as nodes and frames count."""
    known_inputs: dict[tuple[str, int], Node] = field(default_factory=dict)
    """What layers of known classes received, by prefix and call."""
    passes: dict[tuple[str, int], Pass] = field(default_factory=dict)
    """The calls of those that were not watched inside."""
    outputs: dict[Node, Leaf] = field(default_factory=dict)
    """Which nodes are outputs of modules; of these, `leaves` has copies."""
    leaves: dict[Leaf, Tensor] = field(default_factory=dict)
    returned: set[Node] = field(default_factory=set)
    """What the network returned."""
    boundaries: dict[Node, Boundary] = field(default_factory=dict)
    """What modules received and returned, first."""
    ends: dict[Node, Boundary] = field(default_factory=dict)
    """The same, last: what one module returned and the next one received."""
    samples: dict[Boundary, Tensor] = field(default_factory=dict)
    resizing: set[str] = field(default_factory=set)
    """Modules that returned maps of another size than they received."""
    small: set[str] = field(default_factory=set)
    """Modules that returned one map, or values without positions."""
    found: list[Found] | None = None
    """Its layers, as soon as they have been asked for."""
    strayed: bool = False
    """True if a part of a layer of a known class ran outside of it, and tells nothing of it."""
    _inside: tuple[str, int] | None = None
    """The call that runs unwatched."""

    def begin(self, args: tuple[Any, ...]) -> None:
        """The network is given these."""
        self._sample("", 1, "in", args)

    def start(self) -> None:
        """Watch from now on."""
        self.watch.__enter__()  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """Watch no more."""
        if self._inside is None:
            self.watch.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def see(self, key: Sighting, args: tuple[Any, ...], output: Any) -> None:
        """Take what a hook saw."""
        if transformed():  # nothing can be read there, but where it is
            if key.what == "enter":
                self.way.append(key)
                self.watch.transformed.add(self.watch.enter(key.module))
            elif key.what == "leave":
                self.watch.leave(key.module)
            return
        if key.what in ("enter", "channel", "spatial"):
            self.way.append(key)
        elif key.what == "leave":
            self.way.append(Sighting("leaf", key.module))
        if self._inside is not None and self._is_passed(key):
            return
        with unseen():
            if key.what == "enter":
                self._enter(key.module, args)
            elif key.what == "leave":
                self._leave(key.module, args, output)
            else:
                self._note(key, args, output)
        if key.what == "enter" and key.module in self.passed:
            self._look_away(key.module)

    def _note(self, key: Sighting, args: tuple[Any, ...], output: Any) -> None:
        """Keep what was seen in a layer of a known class, if it is this layer that runs."""
        frame = next((f for f in self.watch.frame.path() if f.module == key.module), None)
        itself = len(self.modules.known[key.module].halves) == 1
        if frame is not None:
            self.times.append(frame.serial)
        elif itself and key.what in ("before", "after"):  # hooks on the layer, around our own
            self.times.append(self.watch.frame.serial)
        else:
            self.strayed = True
            return
        self.events.append(event(key, args, output))

    def done(self, output: Any) -> None:
        """The network returned this."""
        with unseen():
            self._sample("", 1, "out", output)
            with suppress(NotImplementedError, RuntimeError):  # tensors without a storage
                self.returned = {self.watch.node(tensor) for tensor in tensors_in(output)}

    def _enter(self, name: str, args: tuple[Any, ...]) -> None:
        self.watch.enter(name)
        if name in self.modules.plain:
            self.watch.unnoted = self.watch.unnoted or name
        number = self.watch.calls[name]
        self._sample(name, number, "in", args)
        if name in self.modules.known and args and isinstance(args[0], Tensor):
            self.known_inputs[name, number] = self.watch.node(args[0])

    def _leave(self, name: str, args: tuple[Any, ...], output: Any) -> None:
        if self.watch.unnoted == name:
            self.watch.unnoted = None
        leaf = (name, self.watch.calls.get(name, 1))
        self._sample(*leaf, "out", output)
        if isinstance(output, Tensor):
            if leaf in self.passes:
                self._passed_on(leaf, args[0], output)
            self._mark(name, args, output)
            node = self.watch.node(output)
            if node not in self.outputs and output.numel() <= _LARGEST_LEAF:
                self.outputs[node] = leaf
                copy = kept(output)
                assert copy is not None
                self.leaves[leaf] = copy
        self.watch.leave(name)

    def _look_away(self, name: str) -> None:
        """Watch no operation until this layer ends, unless it does not get its features plainly."""
        call = name, self.watch.calls[name]
        features = self.known_inputs.get(call)
        if features is not None and is_image(features.layout) and innermost_mode() is self.watch:
            self._inside, self.passes[call] = call, Pass(len(self.events))
            self.watch.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def _is_passed(self, key: Sighting) -> bool:
        """Whether it is a call inside the layer that runs unwatched; if not, that has ended.

        It need not have told of it: what it raised may be no Exception.
        """
        assert self._inside is not None
        if key.what not in ("enter", "leave"):
            return False
        if key.module.startswith(f"{self._inside[0]}."):
            if key.what == "enter":
                self.watch.calls[key.module] = self.watch.calls.get(key.module, 0) + 1
            return True
        self._inside = None
        self.watch.__enter__()  # type: ignore[no-untyped-call]
        return False

    def _passed_on(self, call: tuple[str, int], features: Tensor, output: Tensor) -> None:
        """Note what a layer that was not watched made of its features, if gates explain it."""
        before, known = self.known_inputs[call], self.modules.known[call[0]]
        events = self.events[self.passes[call].since :]
        seen: KnownCall = {key.what: [copy] for key, copy in events if copy is not None}
        gates = known_gates(known, seen)
        with torch.no_grad():
            again = features
            for gate in gates:
                again = again if gate is None else again * gate
            self.passes[call].verified = has_values(output) and agree(again, output)
        module = self.modules.module(call[0])
        weights = [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
        self.passes[call].node = self.watch.gated(before, weights, output)

    def _mark(self, name: str, args: tuple[Any, ...], output: Tensor) -> None:
        """Note what a module returned, if that is no map of features like those it received."""
        if output.ndim != 4 or 1 in (output.shape[1], output.shape[-2:].numel()):
            self.small.add(name)
        elif not (args and isinstance(args[0], Tensor) and args[0].shape[2:] == output.shape[2:]):
            self.resizing.add(name)

    def _sample(self, name: str, number: int, way: str, value: Any) -> None:
        """Keep a few positions of what a module received or returned, if that may be compared."""
        for k, one in samples_of(value):
            boundary = (name, number, way, k)
            node = self.watch.node(one)
            before = self.ends.get(node)  # the same values: what one module returned, the next got
            self.samples[boundary] = sampled(one) if before is None else self.samples[before]
            self.boundaries.setdefault(node, boundary)
            self.ends[node] = boundary


def _last(forward: WatchedForward, products: list[Product]) -> set[Node]:
    """Stands for what the network returned where that holds no tensor: text, arrays, nothing."""
    seen = [*forward.ends, *(product.node for product in products)]
    return {max(seen, key=lambda node: node.order)} if seen else set()


def layers_of(forward: WatchedForward) -> list[Found]:
    """All layers that the products show, but those of known classes."""
    if forward.found is None:
        watch, modules = forward.watch, forward.modules
        products = [
            product
            for product in watch.products
            if role(product) == "gate"
            and not watch.in_transform(product.frame)
            and not any(frame.module in modules.known for frame in product.frame.path())
        ]
        forward.found = paired(products, forward.returned or _last(forward, products))
        name_layers(forward.found, len(modules.children), watch.calls, scripted=modules.scripted)
    return forward.found


def cells_on_input(found: Found, forward: WatchedForward) -> Cells | None:
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
