"""Where a forward by a plan is looked at, besides layers of known classes."""

from __future__ import annotations

from ..model.hooks import Moment, Passing, Sighting, Tap
from ..model.modules import Modules
from .plan import Plan


def plan_taps(modules: Modules, plan: Plan) -> list[Tap]:
    """Where a planned forward is looked at: its way, leaves of recipes, boundaries of checks."""
    taps: dict[Sighting, Tap] = {}
    for name in plan.trail:
        key = Sighting("enter", name)
        taps[key] = Tap(modules.module(name), key, "before")
    for layer in plan.layers:
        for recipe in layer.recipes:
            for name, _ in recipe.leaves:
                key = Sighting("leaf", name)
                taps[key] = Tap(modules.module(name), key)
        if layer.check is not None:
            for name, _, way, _ in (*layer.check.leaves, layer.check.result):
                if name:
                    key = Sighting("received" if way == "in" else "returned", name)
                    moment: Moment = "before" if way == "in" else "after"
                    taps[key] = Tap(modules.module(name), key, moment)
    return list(taps.values())


def passing_taps(modules: Modules) -> list[Tap]:
    """The calls of layers whose operations are known."""
    return [
        Tap(modules.module(name), Sighting(what, name), moment)
        for name in modules.plain
        for what, moment in _PASSING
    ]


_PASSING: tuple[tuple[Passing, Moment], ...] = (("pass", "before"), ("passed", "after"))
