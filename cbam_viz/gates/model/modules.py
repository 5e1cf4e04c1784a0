"""A network's modules, as far as a forward's way hangs on which there are."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from weakref import ref

import torch
from torch import nn

from .glance import Switches
from .hooks import Hooks, Sighting, Tap
from .lookalikes import lookalikes
from .restore import is_compiled
from .timm_layers import KnownLayer, fresh_gates, known_layers, plain_layers


@dataclass(frozen=True, eq=False)
class Modules:
    """The modules as they were when they were looked at; none of them is kept alive."""

    by_name: dict[str, ref[nn.Module]]
    """Every module that can be hooked, under its first name; the root is ""."""
    known: dict[str, KnownLayer]
    """Layers of known classes, by their modules' names."""
    plain: frozenset[str]
    """Those of them in which no code of the user's runs."""
    fresh: frozenset[Sighting]
    """Their gates that nobody else gets."""
    lookalikes: tuple[str, ...]
    """Names of modules of other classes that look like CBAM."""
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

    def module(self, name: str) -> nn.Module:
        """The module of this name; KeyError if it is gone."""
        found = self.by_name[name]()
        if found is None:
            raise KeyError(name)
        return found


def modules_of(model: nn.Module) -> Modules:
    """The model's modules now."""
    by_name: dict[str, ref[nn.Module]] = {}
    inside: list[str] = []
    named = dict(model.named_modules())
    for name, module in named.items():
        if any(name.startswith(prefix) for prefix in inside):
            continue
        if isinstance(module, torch.jit.ScriptModule):
            inside.append(name + "." if name else "")
            continue
        by_name[name] = ref(module)
    known = known_layers(named)
    there = [module for name in by_name if (module := by_name[name]()) is not None]
    ours = [module for module in there if not _is_torchs(module)]
    asked = _outside(model, {named[name] for name in known})
    ends = (
        Tap(model, Sighting("begin"), "called"),
        Tap(model, Sighting("done")),
        Tap(model, Sighting("end"), "finally"),
    )
    return Modules(
        by_name=by_name,
        known=known,
        plain=plain_layers(named, known),
        fresh=fresh_gates(named, known),
        lookalikes=lookalikes(named, known),
        children=tuple(name for name, _ in model.named_children()),
        scripted=bool(inside),
        compiled=is_compiled(named.values()),
        switches=Switches([module for module in ours if module in asked], ours),
        ends=Hooks(model, ends),
    )


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
