"""Whether the values in one place, a module, a table or a closure, are those that were there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import is_
from typing import Any

from .switches import DEEPEST, MOST, PLAIN, switch


@dataclass(frozen=True, slots=True)
class Look:
    """What a module, a dict, a list or a function kept, by names or numbers."""

    size: int
    order: tuple[Any, ...]
    """All names in a dict, whose order code may ask for."""
    plain: tuple[tuple[Any, Any], ...]
    """Plain values."""
    tables: tuple[tuple[Any, type, Look], ...]
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


def look_at(
    items: Iterable[tuple[Any, Any]], size: int, depth: int = DEEPEST, order: Iterable[Any] = ()
) -> Look:
    """A look at these, by names or numbers, in a place that holds `size` things."""
    plain: list[tuple[Any, Any]] = []
    tables: list[tuple[Any, type, Look]] = []
    others: list[tuple[Any, Any]] = []
    for name, value in items:
        kind = type(value)
        if kind in PLAIN or (kind is tuple and all(type(part) in PLAIN for part in value)):
            plain.append((name, value))
        elif depth and kind is list and len(value) <= MOST:
            inside = list(value)
            tables.append((name, kind, look_at(enumerate(inside), len(inside), depth - 1)))
        elif (
            depth and kind is dict and len(value) <= MOST and PLAIN.issuperset(map(type, [*value]))
        ):
            known = dict(value)
            tables.append((name, kind, look_at(known.items(), len(known), depth - 1, known)))
        else:
            others.append((name, switch(value, depth)))
    return Look(size, tuple(order), tuple(plain), tuple(tables), tuple(others), depth)
