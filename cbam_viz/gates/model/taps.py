"""Where a forward is looked at: in layers of known classes, and where all modules begin and end."""

from __future__ import annotations

from torch import nn

from .hooks import Moment, Part, Sighting, Tap
from .modules import Modules
from .wanted import Wanted


def known_taps(modules: Modules, wanted: Wanted) -> list[Tap]:
    """Where to look in the layers of known classes."""
    taps: list[Tap] = []

    def tap(module: nn.Module, what: Part, moment: Moment = "after") -> None:
        taps.append(Tap(module, Sighting(what, prefix), moment))

    for prefix, layer in modules.known.items():
        module = modules.module(prefix) if prefix in modules.by_name else None
        if module is None:
            continue
        at = module.get_submodule
        if wanted.features_in(layer.name):
            tap(at(layer.halves[0]), "before", "before")
            if len(layer.halves) == 2:
                tap(at(layer.halves[0]), "between")
            tap(at(layer.halves[-1]), "after")
        if wanted.branches and layer.branches:
            tap(at(layer.branches), "branches")
        if wanted.descriptors and layer.descriptors:
            tap(at(layer.descriptors), "descriptors", "before")
        if layer.channel is not None:
            tap(at(layer.channel.path), "channel")
        if layer.spatial is not None:
            tap(at(layer.spatial.path), "spatial")
    return taps


def watch_taps(modules: Modules) -> list[Tap]:
    """Where each call of a module begins and ends."""
    taps: list[Tap] = []
    for name in modules.by_name:
        if name:
            module = modules.module(name)
            taps.append(Tap(module, Sighting("enter", name), "before"))
            taps.append(Tap(module, Sighting("leave", name), "finally"))
    return taps
