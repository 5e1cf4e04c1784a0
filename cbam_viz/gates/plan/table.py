"""What is known of a model between captures, and noticed as soon as it no longer holds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Container, Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, ref

import numpy as np
import torch
from torch import Tensor, nn

from ...attention import Cells, Composition, Unsupported
from ..model.glance import Switches
from ..model.hooks import Hooks, Sighting, Tap
from ..model.lookalikes import lookalikes
from ..model.restore import is_compiled
from ..model.structure import Survey, parts_of, survey
from ..model.switches import switch
from ..model.timm_layers import KnownLayer, known_layers
from .checks import Check
from .recipes import Recipe

_MOST_CHANGES = 2


@dataclass(frozen=True)
class LayerPlan:
    """How to get one layer's gates again without watching."""

    key: str
    module: str
    call: int
    channel: Recipe | None
    spatial: Recipe | None
    cells: Cells | None
    composition: Composition
    verified: bool
    weights: tuple[str, ...]
    check: Check | None

    @property
    def recipes(self) -> list[Recipe]:
        """Of the channel gate and of the map, where there are both."""
        return [recipe for recipe in (self.channel, self.spatial) if recipe is not None]


@dataclass
class Plan:
    """What watching one forward has shown."""

    layers: list[LayerPlan]
    """Layers of unknown classes; those of known ones are hooked anyway."""
    quick: bool
    """True if plain hooks give all gates of these layers, and enough to check them."""
    cells: dict[tuple[str, int], Cells]
    """Where the maps of layers of known classes lie, by prefix and call."""
    verified: dict[tuple[str, int], bool]
    unsupported: tuple[Unsupported, ...]
    not_called: tuple[str, ...]
    any_size: bool
    """True if all this holds for inputs of other sizes too."""
    trail: frozenset[str]
    """Modules that are followed although no gate is made of what they give."""
    steps: frozenset[Sighting]
    """Their calls, and the gates: what tells whether a forward goes the same way."""
    way: tuple[Sighting, ...]
    """The steps that it took, in order."""
    draws: bool
    """True if it drew from Python's or NumPy's random numbers."""
    overhangs: dict[str, tuple[float, float]] = field(default_factory=dict)
    """How far each layer's cells reach beyond the input, by the layer's name."""
    hooks: dict[Hashable, Hooks] = field(default_factory=dict)
    """Where to look, by what is wanted."""


@dataclass(frozen=True)
class Signature:
    """What a forward's way through the network may depend on, besides values."""

    inputs: Any
    """Shapes, dtypes and devices of tensors, and the other arguments as they are."""
    around: Any
    """Autocast, each module's mode, and numbers and switches that modules keep as attributes."""


@dataclass
class Table:
    """A model's modules by name, as they were when the table was made."""

    marks: tuple[int, ...]
    known: dict[str, KnownLayer]
    lookalikes: tuple[str, ...]
    modules: dict[str, ref[nn.Module]]
    """Every module that can be hooked, under its first name; the root is ""."""
    children: tuple[str, ...]
    """The root's own children."""
    scripted: bool
    """True if some modules are TorchScript, so that hooks do not see all."""
    compiled: bool
    """True if torch.compile has been applied to the model or a part of it."""
    switches: Switches
    """Of the modules whose code is not known, and may ask what they keep as attributes."""
    ends: Hooks
    """What notices the beginning and the end of a forward."""
    hooks: dict[Hashable, Hooks] = field(default_factory=dict)
    """Where to look while watching, by what is wanted."""
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Stage and block of each layer's module that has been asked for."""
    max_plans: ClassVar[int] = 16
    _plans: OrderedDict[Signature, Plan] = field(default_factory=OrderedDict)
    _changes: int = 0
    """How often a forward went another way than its plan."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def module(self, name: str) -> nn.Module:
        """The module of this name; KeyError if it is gone."""
        found = self.modules[name]()
        if found is None:
            raise KeyError(name)
        return found

    @property
    def fickle(self) -> bool:
        """True if this network has left its plans so often that each forward is to be watched."""
        return self._changes >= _MOST_CHANGES

    def plan(self, signature: Signature) -> Plan | None:
        """The plan for this kind of forward."""
        with self._lock:
            found = self._plans.get(signature)
            if found is None:
                sizeless = _without_sizes(signature.inputs)
                found = next(
                    (
                        plan
                        for known, plan in self._plans.items()
                        if plan.any_size
                        and known.around == signature.around
                        and _without_sizes(known.inputs) == sizeless
                    ),
                    None,
                )
            return found

    def keep(self, signature: Signature, plan: Plan) -> None:
        """Remember a plan; the oldest of many is forgotten."""
        with self._lock:
            self._plans[signature] = plan
            while len(self._plans) > self.max_plans:
                self._plans.popitem(last=False)

    def left(self, signature: Signature, plan: Plan) -> None:
        """A forward went another way than its plan: none that is kept may hold any longer.

        If the plan was only lent by a forward of another size, sizes have ways of their own.
        """
        with self._lock:
            if self._plans.get(signature) is plan:
                self._plans.clear()
                self._changes += 1
            else:  # lent, or left in another thread already
                plan.any_size = False

    def distrust(self) -> None:
        """Watch every forward from now on."""
        with self._lock:
            self._plans.clear()
            self._changes = _MOST_CHANGES


_tables: WeakKeyDictionary[nn.Module, Table] = WeakKeyDictionary()
_lock = threading.Lock()


def table_of(model: nn.Module) -> tuple[Table, Survey]:
    """The model's table, made anew if any module was replaced; and how its modules are now."""
    seen = survey(model)
    with _lock:
        table = _tables.get(model)
        if table is None or table.marks != seen.marks:
            table = _tables[model] = _made(model, seen.marks)
        return table, seen


def forget(model: nn.Module) -> None:
    """Make the model's table anew at the next capture."""
    with _lock:
        _tables.pop(model, None)


def _made(model: nn.Module, marks: tuple[int, ...]) -> Table:
    modules: dict[str, ref[nn.Module]] = {}
    inside: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(prefix) for prefix in inside):
            continue
        if isinstance(module, torch.jit.ScriptModule):
            inside.append(name + "." if name else "")
            continue
        modules[name] = ref(module)
    known = known_layers(model)
    children = tuple(name for name, _ in model.named_children())
    there = [module for name in modules if (module := modules[name]()) is not None]
    ours = [module for module in there if not _is_torchs(module)]
    asked = _outside(model, {model.get_submodule(name) for name in known})
    return Table(
        marks, known, lookalikes(model, known), modules, children, bool(inside), is_compiled(model),
        Switches([module for module in ours if module in asked], ours),
        Hooks(model, [
            Tap(model, Sighting("begin"), "called"),
            Tap(model, Sighting("done")),
            Tap(model, Sighting("end"), "finally"),
        ]),
    )  # fmt: skip


def _outside(model: nn.Module, layers: Container[nn.Module]) -> set[nn.Module]:
    """All modules but those that only these layers call."""
    found: set[nn.Module] = set()
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if module not in found and module not in layers:
            found.add(module)
            waiting.extend(module.children())
    return found


def _is_torchs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.") and "forward" not in module.__dict__


def signature_of(
    table: Table, args: tuple[Any, ...], kwargs: dict[str, Any], seen: Survey
) -> Signature:
    """What this forward's way through the network may depend on, besides values."""
    autocast = tuple(
        (torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None)
        for kind in ("cpu", "cuda")
    )
    switches = table.switches.now(seen.put_on)
    return Signature((_described(args), _described(kwargs)), (autocast, seen.training, switches))


def _described(value: Any) -> Any:  # noqa: PLR0911
    if isinstance(value, np.ndarray):
        return ("array", value.shape, str(value.dtype), "cpu")
    if isinstance(value, Tensor) and value.is_nested:
        return ("nested", *(_described(part) for part in value.unbind()))
    if isinstance(value, Tensor):
        return ("tensor", tuple(value.shape), value.dtype, value.device.type)
    if isinstance(value, Mapping):
        return tuple((str(key), _described(item)) for key, item in value.items())
    if isinstance(value, (int, float, str, bool, type(None))):
        return value
    if isinstance(value, (bytes, Enum, np.generic, set, frozenset, SimpleNamespace)):
        return switch(value)
    return (type(value).__name__, *(_described(part) for part in parts_of(value)))


def _without_sizes(described: Any) -> Any:
    if isinstance(described, tuple):
        if len(described) == 4 and described[0] in ("tensor", "array"):
            return (described[0], len(described[1]), *described[2:])
        return tuple(_without_sizes(item) for item in described)
    return described
