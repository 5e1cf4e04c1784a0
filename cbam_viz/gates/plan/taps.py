"""Where a forward must be looked at: in layers of known classes, by a plan, or everywhere."""

from __future__ import annotations

from torch import nn

from ..model.hooks import Moment, Part, Sighting, Tap
from .table import Plan, Table


def known_taps(
    table: Table, *, branches: bool, descriptors: bool, features: frozenset[str] | bool
) -> list[Tap]:
    """Where to look in the layers of known classes."""
    taps: list[Tap] = []

    def tap(module: nn.Module, what: Part, moment: Moment = "after") -> None:
        taps.append(Tap(module, Sighting(what, prefix), moment))

    for prefix, layer in table.known.items():
        module = table.module(prefix) if prefix in table.modules else None
        if module is None:
            continue
        at = module.get_submodule
        if features is True or (features and layer.name in features):
            tap(at(layer.halves[0]), "before", "before")
            if len(layer.halves) == 2:
                tap(at(layer.halves[0]), "between")
            tap(at(layer.halves[-1]), "after")
        if branches and layer.branches:
            tap(at(layer.branches), "branches")
        if descriptors and layer.descriptors:
            tap(at(layer.descriptors), "descriptors", "before")
        if layer.channel is not None:
            tap(at(layer.channel.path), "channel")
        if layer.spatial is not None:
            tap(at(layer.spatial.path), "spatial")
    return taps


def plan_taps(table: Table, plan: Plan) -> list[Tap]:
    """Where a planned forward is looked at: its way, leaves of recipes, boundaries of checks."""
    taps: dict[Sighting, Tap] = {}
    for name in plan.trail:
        key = Sighting("enter", name)
        taps[key] = Tap(table.module(name), key, "before")
    for layer in plan.layers:
        for recipe in layer.recipes:
            for name, _ in recipe.leaves:
                key = Sighting("leaf", name)
                taps[key] = Tap(table.module(name), key)
        if layer.check is not None:
            for name, _, way, _ in (*layer.check.leaves, layer.check.result):
                if name:
                    key = Sighting("received" if way == "in" else "returned", name)
                    moment: Moment = "before" if way == "in" else "after"
                    taps[key] = Tap(table.module(name), key, moment)
    return list(taps.values())


def watch_taps(table: Table) -> list[Tap]:
    """Where each call of a module begins and ends."""
    taps: list[Tap] = []
    for name in table.modules:
        if name:
            module = table.module(name)
            taps.append(Tap(module, Sighting("enter", name), "before"))
            taps.append(Tap(module, Sighting("leave", name), "finally"))
    return taps
