"""Where a network's gates multiply, found by watching one forward and proven by a second one.

The first is a capture with its steps. The second counts the operations as later forwards will, and
meets every gate with the very sum that the capture saw. Both leave buffers and random numbers as
they were. What they show holds for later forwards of the same kind, as long as each operation up to
the last replaced gate is the same: that is compared while such a forward runs.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils import _pytree
from torch.utils._python_dispatch import _disable_current_modes

from cbam_viz.ablation._capture import (
    Buffers,
    State,
    Table,
    capture,
    settled,
    signature_of,
    table_of,
    train_lock,
)
from cbam_viz.ablation.passes import (
    Key,
    Passing,
    acting,
    call,
    hooked,
    key_of,
    nobody_acting,
    weights_of,
)
from cbam_viz.ablation.tape import Reading, Tape
from cbam_viz.attention import LayerAttention, Unsupported
from cbam_viz.computation import GateKind, Site
from cbam_viz.errors import CaptureError

GateName = tuple[str, GateKind]
"""A layer's name, and which of its gates."""


@dataclass(frozen=True)
class LayerPlace:
    """A layer by all that it can be called."""

    name: str
    module: str
    call: int
    stage: str
    block: str | None
    verified: bool


@dataclass(frozen=True)
class GatePlace:
    """Where one gate is a factor."""

    layer: str
    kind: GateKind
    sites: tuple[Site, ...]
    """Several if it is put together of factors."""
    shape: tuple[int, ...]
    """(B, C) or (B, h, w)."""

    @property
    def first(self) -> int:
        """Number of the first operation that has it."""
        return min(site.operation for site in self.sites)


@dataclass(frozen=True, eq=False)
class Learned:
    """What is known of one kind of forward."""

    layers: Mapping[str, LayerPlace]
    gates: Mapping[GateName, GatePlace]
    """In order of execution."""
    values: Mapping[GateName, Tensor]
    """What the gates were in the forward that was watched."""
    unsupported: tuple[Unsupported, ...]
    not_called: tuple[str, ...]
    keys: tuple[Key, ...]
    """All operations of the forward."""
    tape: Tape


_MOST = 16
_known: WeakKeyDictionary[Table, OrderedDict[Any, Learned]] = WeakKeyDictionary()
"""By what is known of the network's modules, which is made anew when one of them is another."""
_fickle: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
_lock = threading.Lock()


def learned_of(
    root: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, anew: bool = False
) -> Learned:
    """What is known of this kind of forward; if nothing is, learn it from this very input.

    A network that reads numbers out of tensors may go another way for each photo, and is learnt
    `anew` for each.

    Raises:
        CaptureError: the network cannot be captured, or does not do the same twice.
    """
    table, seen = table_of(root)
    signature = signature_of(table.modules, args, kwargs, seen)
    inference = torch.is_inference_mode_enabled()
    with _lock:
        known = _known.setdefault(table, OrderedDict())
        found = known.get((signature, inference))
    if found is not None and not anew and not found.tape.asked and not _fickle.get(root):
        return found
    # TorchScript changes its operations in the first runs, until it has settled.
    for tries_left in (2, 1, 0) if table.modules.scripted else (0,):
        try:
            learned = _learn(root, args, kwargs, table.modules.scripted, any(seen.training))
            break
        except OtherForwardError:
            if not tries_left:
                raise
    with _lock:
        known[settled(table.modules, signature), inference] = learned
        while len(known) > _MOST:
            known.popitem(last=False)
    return learned


def in_training(root: nn.Module) -> bool:
    """Whether any module is in train mode."""
    return any(table_of(root)[1].training)


def distrust(root: nn.Module) -> None:
    """Learn every forward of this network anew from now on."""
    _fickle[root] = True


def copied(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same arguments, of which a forward may write to the tensors."""

    def copy(tensor: Tensor) -> Tensor:
        return tensor.detach().clone().requires_grad_(tensor.requires_grad)

    copies: tuple[tuple[Any, ...], dict[str, Any]] = _pytree.tree_map_only(
        Tensor, copy, (args, kwargs)
    )
    return copies


def _learn(
    root: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    scripted: bool,
    training: bool,
) -> Learned:
    with ExitStack() as stack:
        stack.enter_context(_disable_current_modes())
        stack.enter_context(nobody_acting())
        stack.enter_context(torch.no_grad())
        state = State(args, kwargs, drawn=True)
        with state.again():
            ours, named = copied(args, kwargs)
            attention = capture(root, *ours, steps=True, **named)
        layers = {
            name: LayerPlace(
                name, layer.module, layer.call, layer.stage, layer.block, layer.verified
            )
            for name, layer in attention.items()
        }
        gates = {
            (place.layer, place.kind): place
            for layer in attention.values()
            for place in _places(layer)
        }
        rehearsal = _Rehearsal(root, gates)
        with state.again():
            ours, named = copied(args, kwargs)
            rehearsal.run(ours, named, training=training)
    if scripted:
        rehearsal.tape.refuse("is TorchScript in parts")
    kinds: tuple[GateKind, GateKind] = ("channel", "spatial")
    values = {
        (name, kind): value
        for name, layer in attention.items()
        for kind, value in zip(kinds, (layer.channel, layer.spatial), strict=True)
        if value is not None
    }
    return Learned(
        layers, gates, values, attention.unsupported, attention.not_called,
        tuple(rehearsal.keys), rehearsal.tape,
    )  # fmt: skip


def _places(layer: LayerAttention) -> list[GatePlace]:
    if layer.computation is None:
        return []
    shapes = {"channel": layer.channel, "spatial": layer.spatial}
    found = []
    for gate in layer.computation.gates:
        value = shapes[gate.kind]
        if value is not None and gate.sites:
            found.append(GatePlace(layer.name, gate.kind, gate.sites, tuple(value.shape)))
    return found


class _Rehearsal:
    """Runs a forward, changes nothing, and notes what later ones are compared with."""

    def __init__(self, root: nn.Module, gates: Mapping[GateName, GatePlace]) -> None:
        self.keys: list[Key] = []
        self.tape = Tape()
        self._root, self._mode = root, Passing()
        self._weights = weights_of(root)
        self._sites: dict[int, list[Site]] = {}
        for place in gates.values():
            for site in place.sites:
                self._sites.setdefault(site.operation, []).append(site)
        self._met = 0

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, training: bool) -> None:
        """Raises CaptureError if the gates are not where the capture saw them."""
        reading = Reading()
        with ExitStack() as stack:
            if training:
                stack.enter_context(train_lock)
                stack.callback(Buffers(self._root).restore)
            stack.enter_context(hooked(self._root))
            stack.enter_context(acting(self._root, self))
            stack.enter_context(reading)
            stack.enter_context(self._mode)
            call(self._root, args, kwargs)
        if reading.read:
            self.tape.asked = True
            self.tape.refuse("reads numbers out of tensors")
        if self._met < sum(map(len, self._sites.values())):
            raise OtherForwardError

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """See `Actor`."""

    def start(self) -> None:
        """The network's code begins, in the first call of it."""
        if not self.keys:
            self._mode.act = self

    def done(self, output: Any) -> None:
        """It is over, while what it returned still lives."""
        self.end()

    def end(self) -> None:
        """It is over."""
        if self._mode.act is not None:
            self._mode.act = None
            self.tape.end()

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run it and note it."""
        self.keys.append(key_of(func, args, kwargs, self._weights))
        for site in self._sites.get(len(self.keys), ()):
            operand = operand_at(site, func, args)
            if operand is None or not _same(float(operand.sum(dtype=torch.float64)), site.total):
                raise OtherForwardError
            self._met += 1
        out = func(*args, **kwargs)
        self.tape.note(func, args, kwargs, out)
        return out


def operand_at(site: Site, func: Any, args: tuple[Any, ...]) -> Tensor | None:
    """The gate among an operation's arguments; None if it is another operation."""
    operand = args[site.operand] if len(args) > site.operand else None
    name = func._schema.name.split("::")[-1]
    if name != site.name or not isinstance(operand, Tensor) or tuple(operand.shape) != site.shape:
        return None
    return operand


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


class OtherForwardError(CaptureError):
    """A forward is not the one that was learnt."""

    def __init__(self) -> None:
        super().__init__(
            "Run again so that its gates can be replaced, the network did not do the same as "
            "before: it draws random numbers of its own, or keeps something from forward to "
            "forward. Without that (`model.eval()`), its gates can be found and replaced."
        )
