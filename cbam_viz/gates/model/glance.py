"""Whether what modules keep is still as it was, seen at a glance.

To describe all that a network's modules keep takes longer than a capture may cost. So each module's
description is remembered with the plain values it was made of. While the module keeps these very
objects, it needs no other: numbers and words cannot change. What is no plain value is described
again each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import is_
from types import FunctionType
from typing import Any
from weakref import ref

from torch import nn

from .switches import (
    DEEPEST,
    MOST,
    PLAIN,
    absent,
    class_items,
    own_items,
    put_on,
    switch,
    users_classes,
)


class Description:
    """Hashed once, as it mostly stays the same object."""

    __slots__ = ("_hash", "parts")

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts, self._hash = parts, hash(parts)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Description) and self.parts == other.parts)

    def __hash__(self) -> int:
        return self._hash


class Switches:
    """What the code of a model's modules may ask for its way."""

    def __init__(self, modules: Iterable[nn.Module], others: Iterable[nn.Module]) -> None:
        """Attributes are looked at of `modules`; classes are of these and of `others`."""
        self._kept = [_Kept(module) for module in modules]
        self._modules = tuple(map(ref, (*modules, *others)))
        self._last: _Last | None = None

    def now(self, hooked: Iterable[nn.Module]) -> Description:
        """As they are; with the user's hooks on `hooked`, and forwards replaced there."""
        last = self._last
        kept = [one.now() for one in self._kept]
        if last is not None and all(map(is_, kept, last.kept)):
            classes = last.classes
        else:
            there = [module for r in self._modules if (module := r()) is not None]
            classes = [_Class(kind) for kind in users_classes(map(type, there))]
        of_classes = [one.now() for one in classes]
        hooks = [(id(module), *told) for module in hooked if (told := put_on(module))]
        parts = (*kept, *of_classes, *hooks)
        if last is not None and last.description.parts == parts:
            description = last.description
        else:
            description = Description(parts)
        self._last = _Last(kept, classes, description)
        return description


@dataclass(frozen=True, slots=True)
class _Last:
    """What the last look showed."""

    kept: list[tuple[Any, ...]]
    classes: list[_Class]
    description: Description


class _Kept:
    """What one module keeps, described."""

    __slots__ = ("_module", "_seen")

    def __init__(self, module: nn.Module) -> None:
        self._module = ref(module)
        self._seen: _Seen | None = None

    def now(self) -> tuple[Any, ...]:
        """The description: the same object while it is equal."""
        module, seen = self._module(), self._seen
        if module is None:
            return ()
        if seen is None or not seen.holds(module):
            seen = self._seen = _seen(module, seen)
        return seen.told


@dataclass(frozen=True, slots=True)
class _Seen:
    """A module as it was, and as it was described."""

    kind: ref[type]
    absent: tuple[str, ...]
    look: _Look
    told: tuple[Any, ...]

    def holds(self, module: nn.Module) -> bool:
        """Whether the module keeps the same, and nothing else."""
        try:
            same = type(module) is self.kind() and self.look.holds(module.__dict__)
            return same and absent(module) == self.absent
        except (LookupError, RuntimeError):  # something is gone, or just going in another thread
            return False


def _seen(module: nn.Module, before: _Seen | None) -> _Seen:
    kind, none, size = type(module), absent(module), len(module.__dict__)
    items = own_items(module)
    look = _look(items, size)  # first: if another thread changes something now, it does not hold
    told = (
        kind.__qualname__,
        none,
        *((name, *described) for name, value in items if (described := switch(value))),
    )
    if before is not None and before.told == told:
        told = before.told
    return _Seen(ref(kind), none, look, told)


class _Class:
    """What a class keeps for all its modules, described."""

    __slots__ = ("_kind", "_look", "_methods", "_told")

    def __init__(self, kind: type) -> None:
        self._kind = ref(kind)
        self._look: _Look | None = None
        self._methods: list[str] = []
        self._told: tuple[Any, ...] = ()

    def now(self) -> tuple[Any, ...]:
        """The description: the same object while the class keeps the same."""
        kind = self._kind()
        if kind is None:
            return ()
        there = kind.__dict__
        try:
            known = self._look is not None and self._look.holds(there)
            if known and {type(there[name]) for name in self._methods} <= _FUNCTION:
                return self._told
        except (LookupError, RuntimeError):
            pass
        self._methods = [name for name, value in list(there.items()) if _is_method(name, value)]
        items = class_items(kind)
        self._look = _look(items, len(there))
        self._told = tuple((name, switch(value)) for name, value in items)
        return self._told


_FUNCTION = {FunctionType}


def _is_method(name: str, value: Any) -> bool:
    return type(value) is FunctionType and not name.startswith("__")


@dataclass(frozen=True, slots=True)
class _Look:
    """What a module, a dict or a list kept, by names or numbers."""

    size: int
    order: tuple[Any, ...]
    """All names in a dict, whose order code may ask for."""
    plain: tuple[tuple[Any, Any], ...]
    """Plain values."""
    tables: tuple[tuple[Any, type, _Look], ...]
    """Dicts and lists, looked into."""
    others: tuple[tuple[Any, Any], ...]
    """All else, described."""
    depth: int

    def holds(self, there: Any) -> bool:
        """Whether it keeps the same; LookupError if something is gone."""
        if len(there) != self.size or (self.order and not all(map(is_, self.order, there))):
            return False
        for name, value in self.plain:
            if there[name] is not value:
                return False
        for name, kind, look in self.tables:
            if type(there[name]) is not kind or not look.holds(there[name]):
                return False
        others = self.others
        return not others or all(switch(there[name], self.depth) == told for name, told in others)


def _look(
    items: Iterable[tuple[Any, Any]], size: int, depth: int = DEEPEST, order: Iterable[Any] = ()
) -> _Look:
    plain: list[tuple[Any, Any]] = []
    tables: list[tuple[Any, type, _Look]] = []
    others: list[tuple[Any, Any]] = []
    for name, value in items:
        kind = type(value)
        if kind in PLAIN or (kind is tuple and all(type(part) in PLAIN for part in value)):
            plain.append((name, value))
        elif depth and kind is list and len(value) <= MOST:
            inside = list(value)
            tables.append((name, kind, _look(enumerate(inside), len(inside), depth - 1)))
        elif (
            depth and kind is dict and len(value) <= MOST and PLAIN.issuperset(map(type, [*value]))
        ):
            known = dict(value)
            tables.append((name, kind, _look(known.items(), len(known), depth - 1, known)))
        else:
            others.append((name, switch(value, depth)))
    return _Look(size, tuple(order), tuple(plain), tuple(tables), tuple(others), depth)
