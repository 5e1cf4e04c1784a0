"""What is known of a model between captures, and noticed as soon as it no longer holds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, ref

import numpy as np
import torch
from torch import Tensor, nn

from ..attention import Cells, Composition, Unsupported
from .checks import Check
from .hooks import Moment, Tap
from .known import KnownLayer, known_layers
from .lookalikes import lookalikes
from .recipes import Recipe
from .state import is_compiled
from .structure import fingerprint, parts_of

Places = dict[Any, list[tuple[ref[nn.Module], Hashable, Moment]]]
"""Taps that do not keep the modules alive."""


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


@dataclass
class Plan:
    """What watching one forward has shown."""

    layers: list[LayerPlan]
    """Layers of unknown classes; those of known ones are hooked anyway."""
    quick: bool
    """True if plain hooks give all gates of these layers, and enough to check them."""
    cells: dict[str, Cells]
    """Where the maps of layers of known classes lie, by key."""
    verified: dict[str, bool]
    unsupported: tuple[Unsupported, ...]
    not_called: tuple[str, ...]
    any_size: bool
    """True if all this holds for inputs of other sizes too."""
    taps: Places = field(default_factory=dict)
    """Where to look, by what is wanted."""


@dataclass
class Table:
    """A model's modules by name, as they were when the table was made."""

    fingerprint: tuple[int, ...]
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
    plans: OrderedDict[Any, Plan] = field(default_factory=OrderedDict)
    fickle: int = 0
    """How often a forward went another way than its plan."""
    max_plans: ClassVar[int] = 16

    taps: Places = field(default_factory=dict)
    """Where to look while watching, by what is wanted."""

    def module(self, name: str) -> nn.Module:
        """The module of this name; KeyError if it is gone."""
        found = self.modules[name]()
        if found is None:
            raise KeyError(name)
        return found

    def plan(self, signature: Any) -> Plan | None:
        """The plan for this kind of forward."""
        found = self.plans.get(signature)
        if found is None:
            sizeless = _without_sizes(signature)
            found = next(
                (p for s, p in self.plans.items() if p.any_size and _without_sizes(s) == sizeless),
                None,
            )
        return found

    def keep(self, signature: Any, plan: Plan) -> None:
        """Remember a plan; the oldest of many is forgotten."""
        self.plans[signature] = plan
        while len(self.plans) > self.max_plans:
            self.plans.popitem(last=False)

    def forget(self) -> None:
        """Nothing that was seen before holds."""
        self.plans.clear()
        self.taps.clear()
        self.fickle += 1


_tables: WeakKeyDictionary[nn.Module, Table] = WeakKeyDictionary()
_lock = threading.Lock()


def table_of(model: nn.Module) -> tuple[Table, tuple[bool, ...]]:
    """The model's table, made anew if any module was replaced; and each module's mode."""
    marks, training = fingerprint(model)
    with _lock:
        table = _tables.get(model)
        if table is None or table.fingerprint != marks:
            table = _tables[model] = _made(model, marks)
        return table, training


def remembered(places: Places, wanted: Hashable, make: Callable[[], list[Tap]]) -> list[Tap]:
    """The taps for what is wanted, made once; KeyError if a module is gone."""
    known = places.get(wanted)
    if known is None:
        taps = make()
        places[wanted] = [(ref(tap.module), tap.key, tap.moment) for tap in taps]
        return taps
    found = [Tap(m, key, moment) for r, key, moment in known if (m := r()) is not None]
    if len(found) < len(known):
        raise KeyError("a module is gone")
    return found


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
    return Table(
        marks, known, lookalikes(model, known), modules, children, bool(inside), is_compiled(model)
    )


def signature_of(args: tuple[Any, ...], kwargs: dict[str, Any], training: tuple[bool, ...]) -> Any:
    """What a forward's way through the network may depend on, besides values."""
    autocast = tuple(
        (torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None)
        for kind in ("cpu", "cuda")
    )
    return (_described(args), _described(kwargs), autocast, training)


def _described(value: Any) -> Any:
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
    return (type(value).__name__, *(_described(part) for part in parts_of(value)))


def _without_sizes(described: Any) -> Any:
    if isinstance(described, tuple):
        if len(described) == 4 and described[0] in ("tensor", "array"):
            return (described[0], len(described[1]), *described[2:])
        return tuple(_without_sizes(item) for item in described)
    return described


def known_taps(
    table: Table, *, branches: bool, descriptors: bool, features: frozenset[str] | bool
) -> list[Tap]:
    """Where to look in the layers of known classes; keys are (prefix, what)."""
    taps: list[Tap] = []
    for prefix, layer in table.known.items():
        module = table.module(prefix) if prefix in table.modules else None
        if module is None:
            continue
        at = module.get_submodule
        if features is True or (features and layer.name in features):
            taps.append(Tap(at(layer.halves[0]), (prefix, "before"), "before"))
            if len(layer.halves) == 2:
                taps.append(Tap(at(layer.halves[0]), (prefix, "between")))
            taps.append(Tap(at(layer.halves[-1]), (prefix, "after")))
        if branches and layer.branches:
            taps.append(Tap(at(layer.branches), (prefix, "branches")))
        if descriptors and layer.descriptors:
            taps.append(Tap(at(layer.descriptors), (prefix, "descriptors"), "before"))
        for what, site in (("channel", layer.channel), ("spatial", layer.spatial)):
            if site is not None:
                taps.append(Tap(at(site.path), (prefix, what)))
    return taps
