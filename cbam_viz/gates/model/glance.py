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

from .looks import Look, look_at
from .named import Named
from .switches import (
    absent,
    class_items,
    hooks_on,
    hooks_on_all,
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
        self._named = Named()
        self._last: _Last | None = None

    def now(self, hooked: Iterable[nn.Module]) -> Description:
        """As they are; with the user's hooks on `hooked`, and forwards replaced there."""
        last, hooked = self._last, list(hooked)
        kept = [one.now() for one in self._kept]
        same = last is not None and all(map(is_, kept, last.kept))
        if last is not None and same:
            classes = last.classes
        else:
            classes = [_Class(kind) for kind in users_classes(map(type, self._there()))]
        of_classes = [one.now() for one in classes]
        hooks = [(id(module), *told) for module in hooked if (told := put_on(module))]
        put = [hook for module in hooked for hook in hooks_on(module)] + hooks_on_all()
        named = self._named.now(put, None if same else self._roots)
        parts = (*kept, *of_classes, *hooks, named)
        if last is not None and last.description.parts == parts:
            description = last.description
        else:
            description = Description(parts)
        self._last = _Last(kept, classes, description)
        return description

    def _there(self) -> list[nn.Module]:
        return [module for reference in self._modules if (module := reference()) is not None]

    def _roots(self) -> list[Any]:
        """From where the code of the modules is found."""
        there = self._there()
        return [
            *users_classes(map(type, there)),
            *(value for module in there for _, value in own_items(module)),
        ]

    def settled(self, before: Description) -> Description:
        """A description from before a forward, without what that forward lengthened."""
        collected = self._named.settle()
        *parts, named = before.parts
        if collected.isdisjoint(where for where, _ in named):
            return before
        rest = tuple(one for one in named if one[0] not in collected)
        return Description((*parts, rest))


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
    look: Look
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
    look = look_at(items, size)  # first: if another thread changes something now, it does not hold
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
        self._look: Look | None = None
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
        self._look = look_at(items, len(there))
        self._told = tuple((name, switch(value)) for name, value in items)
        return self._told


_FUNCTION = {FunctionType}


def _is_method(name: str, value: Any) -> bool:
    return type(value) is FunctionType and not name.startswith("__")
