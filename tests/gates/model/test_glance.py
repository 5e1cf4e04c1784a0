"""What is remembered of a model's switches is what describing them all anew would give."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from cbam_viz.gates.model.glance import Description, Switches


class Level(Enum):
    LOW, HIGH = 0, 1


class Keeper(nn.Module):
    """Keeps something of each kind."""

    shared = 1

    def __init__(self) -> None:
        super().__init__()
        self.flag, self.count, self.word, self.nothing = False, 1, "a", None
        self.fraction = 0.5
        self.table = {"on": True, "inner": {"depth": 3, "names": ["a", "b"]}}
        self.order = {"first": 1, "second": 2}
        self.list: list[Any] = [1, [2, 3]]
        self.pair, self.mixed = (1, 2), (1, [2])
        self.level, self.space = Level.LOW, SimpleNamespace(on=1)
        self.made = functools.partial(int, 3)
        self.seen = torch.zeros(1)
        self.register_buffer("mask", None)
        self.weight = nn.Parameter(torch.ones(1))


class Other(Keeper):
    pass


def put(name: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(model, name, value)


def reorder(model: Any) -> None:
    model.order["first"] = model.order.pop("first")


def swap_names(model: Any) -> None:
    del model.nothing
    model.something = None


CHANGES: dict[str, Callable[[Any], Any]] = {
    "flag": put("flag", True),
    "number": put("count", 2),
    "number to flag": put("count", True),
    "word": put("word", "b"),
    "fraction": put("fraction", 0.25),
    "from nothing": put("nothing", 0),
    "to a table": put("flag", {}),
    "new": put("added", 1),
    "one for another": swap_names,
    "in a table": lambda model: model.table.update(on=False),
    "key of a table": lambda model: model.table.update(off=model.table.pop("on")),
    "deep in a table": lambda model: model.table["inner"].update(depth=4),
    "deep in a list": lambda model: model.table["inner"]["names"].append("c"),
    "order of a table": reorder,
    "in a list": lambda model: model.list.__setitem__(0, 2),
    "in a list of lists": lambda model: model.list[1].__setitem__(1, 4),
    "list to tuple": put("list", (1, [2, 3])),
    "in a tuple": lambda model: model.mixed[1].append(3),
    "tuple": put("pair", (1, 3)),
    "level": put("level", Level.HIGH),
    "namespace": lambda model: setattr(model.space, "on", 0),
    "partial": put("made", functools.partial(int, 4)),
    "tensor to number": put("seen", 1),
    "buffer": lambda model: setattr(model, "mask", torch.ones(1)),
    "parameter": put("weight", None),
    "class": lambda model: setattr(model, "__class__", Other),
}


def fresh(model: nn.Module) -> Description:
    return Switches([model], []).now([])


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_noticed(name: str) -> None:
    model = Keeper()
    switches = Switches([model], [])
    before = switches.now([])
    assert switches.now([]) is before
    CHANGES[name](model)
    assert switches.now([]) != before
    assert switches.now([]) == fresh(model)
    assert switches.now([]) is switches.now([])


def test_an_attribute_of_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Keeper()
    switches, others = Switches([model], []), Switches([], [model])
    before = switches.now([]), others.now([])
    monkeypatch.setattr(Keeper, "shared", 2)
    assert switches.now([]) != before[0]
    assert others.now([]) != before[1]
    monkeypatch.undo()
    assert (switches.now([]), others.now([])) == before
    model.__class__ = Other
    before = switches.now([]), others.now([])
    monkeypatch.setattr(Other, "shared", 3, raising=False)
    assert switches.now([]) != before[0]


def test_equal_values_are_no_change() -> None:
    """As networks keep sizes: numbers that are made anew in each forward."""
    model = Keeper()
    model.size = 10**6
    switches = Switches([model], [])
    before = switches.now([])
    model.size = int("1000000")
    model.table = {"on": True, "inner": {"depth": 3, "names": ["a", "b"]}}
    model.seen = torch.ones(3)
    assert switches.now([]) is before


class Thing:
    """What a user's module may keep."""


def watched() -> tuple[Switches, list[weakref.ref[Any]]]:
    """Switches of a model that holds things, and whose class's methods hold the model."""
    model: Any = Keeper()

    class Holding(nn.Module):
        def held(self) -> Any:
            return model

    thing, held = Thing(), Holding()
    model.table["thing"], model.list, model.pair = thing, [thing], (thing,)
    model.by_thing = {thing: 1}
    switches = Switches([model, held], [])
    switches.now([model])
    return switches, [weakref.ref(one) for one in (model, thing, held, Holding)]


def test_nothing_of_the_user_is_kept_alive() -> None:
    switches, there = watched()
    gc.collect()
    assert [one() for one in there] == [None] * 4
    switches.now([])
