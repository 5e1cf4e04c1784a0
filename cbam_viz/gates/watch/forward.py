"""A forward that was watched: its operations, and what modules received and returned."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _pop_mode, _push_mode

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
from .whole import Operation, Rules, operations

_LARGEST_LEAF, _LARGEST_FEATURES = 1 << 18, 1 << 12
"""Most values of what a gate may be made of, and of that if it has several channels and cells."""

_STEPS = frozenset(("enter", "leave", "channel", "spatial"))
_AT_A_TIME = 1 << 17
"""Values, which fit into a processor's cache."""


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
    lazy: bool = False
    """True if some weights are not made yet."""
    rules: Rules = field(default_factory=dict)
    """How torch's own modules are noted as a whole."""
    seen: list[Sighting] = field(default_factory=list)
    """Where modules began and ended, and the gates, in order; no gates that show no values."""
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
    _whole: tuple[Node, tuple[Operation, ...]] | None = None
    """What it was given and does, if it is to be noted as a whole."""

    @property
    def way(self) -> list[Sighting]:
        """The calls of modules, what they gave, and the gates, as hooks of a plan tell of them."""
        return [Sighting("leaf", key.module) if key.what == "leave" else key for key in self.seen]

    def begin(self, args: tuple[Any, ...]) -> None:
        """The network is given these."""
        self._sample("", 1, "in", args)

    def start(self) -> None:
        """Watch from now on."""
        self.watch.__enter__()  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """Watch no more."""
        if self._inside is not None:
            _push_mode(self.watch)
        self.watch.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def see(self, key: Sighting, args: tuple[Any, ...], output: Any) -> None:
        """Take what a hook saw."""
        if self._inside is not None and self._is_passed(key):
            return
        if transformed():  # nothing can be read there, but where it is
            if key.what == "enter":
                self.seen.append(key)
                self.watch.transformed.add(self.watch.enter(key.module))
            elif key.what == "leave":
                self.watch.leave(key.module)
            return
        if key.what in _STEPS:
            self.seen.append(key)
        given = None
        with unseen():
            if key.what == "enter":
                given = self._enter(key.module, args)
            elif key.what == "leave":
                self._leave(key.module, args, output)
            else:
                self._note(key, args, output)
        if given is not None:
            self._look_away(key.module, args, given)

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

    def _enter(self, name: str, args: tuple[Any, ...]) -> Node | None:
        """A module begins; the node of what it is given first, if that may be compared."""
        number = self.watch.enter(name).number
        if self.lazy:
            self.watch.name_parameters(name, self.modules.module(name))
        if name in self.modules.plain:
            self.watch.unnoted = self.watch.unnoted or name
        given = self._sample(name, number, "in", args)
        if name in self.modules.known and args and isinstance(args[0], Tensor):
            self.known_inputs[name, number] = given or self.watch.node(args[0])
        return given

    def _leave(self, name: str, args: tuple[Any, ...], output: Any) -> None:
        if self.watch.unnoted == name:
            self.watch.unnoted = None
        leaf = (name, self.watch.calls.get(name, 1))
        whole, self._whole = self._whole, None
        if isinstance(output, Tensor):
            if whole is not None:
                self.watch.done(whole[1], whole[0], output)
            elif leaf in self.passes:
                self._passed_on(leaf, args[0], output)
        node = self._sample(*leaf, "out", output)
        if isinstance(output, Tensor):
            self._mark(name, args, output)
            node = node or self.watch.node(output)
            if node not in self.outputs and _may_be_a_gate(output):
                self.outputs[node] = leaf
                copy = kept(output)
                assert copy is not None
                self.leaves[leaf] = copy
        self.watch.leave(name)

    def _look_away(self, name: str, args: tuple[Any, ...], given: Node) -> None:
        """Watch no operation until this call ends, if it is known what it does."""
        call = name, self.watch.calls[name]
        if name in self.passed:
            if not is_image(given.layout) or innermost_mode() is not self.watch:
                return
            self.passes[call] = Pass(len(self.events))
        else:
            done = operations(self.modules.module(name), args, self.watch, self.rules)
            if done is None:
                return
            self._whole = given, done
        self._inside = call
        _pop_mode()

    def _is_passed(self, key: Sighting) -> bool:
        """Whether it is a call inside the layer that runs unwatched; if not, that has ended.

        It need not have told of it: what it raised may be no Exception.
        """
        assert self._inside is not None
        if key.what not in ("enter", "leave"):
            return False
        if key.module.startswith(f"{self._inside[0]}."):
            self.seen.append(key)
            if key.what == "enter":
                self.watch.calls[key.module] = self.watch.calls.get(key.module, 0) + 1
            return True
        if key.module != self._inside[0]:
            self._whole = None
        self._inside = None
        _push_mode(self.watch)
        return False

    def _passed_on(self, call: tuple[str, int], features: Tensor, output: Tensor) -> None:
        """Note what a layer that was not watched made of its features, if gates explain it."""
        before, known = self.known_inputs[call], self.modules.known[call[0]]
        events = self.events[self.passes[call].since :]
        seen: KnownCall = {key.what: [copy] for key, copy in events if copy is not None}
        gates = known_gates(known, seen)
        with torch.no_grad():
            factors = [gate for gate in gates if gate is not None]
            self.passes[call].verified = has_values(output) and _explain(factors, features, output)
        module = self.modules.module(call[0])
        weights = [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
        self.passes[call].node = self.watch.gated(before, weights, output)

    def _mark(self, name: str, args: tuple[Any, ...], output: Tensor) -> None:
        """Note what a module returned, if that is no map of features like those it received."""
        if output.ndim != 4 or 1 in (output.shape[1], output.shape[-2:].numel()):
            self.small.add(name)
        elif not (args and isinstance(args[0], Tensor) and args[0].shape[2:] == output.shape[2:]):
            self.resizing.add(name)

    def _sample(self, name: str, number: int, way: str, value: Any) -> Node | None:
        """Keep a few positions of what a module received or returned, if that may be compared.

        Gives the node of the first of these tensors, if it came first.
        """
        first = None
        for k, one in samples_of(value):
            boundary = (name, number, way, k)
            node = self.watch.node(one)
            first = node if k == 0 else first
            before = self.ends.get(node)  # the same values: what one module returned, the next got
            self.samples[boundary] = sampled(one) if before is None else self.samples[before]
            self.boundaries.setdefault(node, boundary)
            self.ends[node] = boundary
        return first


def _explain(gates: list[Tensor], features: Tensor, output: Tensor) -> bool:
    """Whether features, (B, C, h, w), times these gates are the output.

    Some channels at a time: fresh memory for all of large features costs more than the products.
    """
    if features.shape != output.shape:
        return False
    channels = max(1, _AT_A_TIME * features.shape[1] // max(1, features.numel()))
    for first in range(0, features.shape[1], channels):
        part = slice(first, first + channels)
        again = features[:, part]
        for gate in gates:
            again = again * (gate if gate.shape[1] == 1 else gate[:, part])
        if not agree(again, output[:, part]):
            return False
    return True


def _may_be_a_gate(output: Tensor) -> bool:
    """Whether a gate can be made of this by operations on each value, so that it is to be copied.

    Channel weights have one cell, a map one channel, wherever that axis is.
    """
    features = output.ndim == 4 and 1 not in output.shape[1:]
    return output.numel() <= (_LARGEST_FEATURES if features else _LARGEST_LEAF)


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
