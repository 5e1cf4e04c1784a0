"""What stands in a checkpoint beside weights: objects of classes that were never imported."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

_NONE: Mapping[Any, Any] = MappingProxyType({})


class Named:
    """A class or function that a file names. It was not looked up."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name
        """Module and name, such as `pathlib.PosixPath`; at most 200 characters."""

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Record:
    """An object of a file, as what the file says of it. Nothing of its class ever ran."""

    __slots__ = ("arguments", "items", "keywords", "name", "pairs", "state")

    def __init__(self, name: str) -> None:
        self.name = name
        """Of the class or function that would have made it, such as `argparse.Namespace`."""
        self.arguments: tuple[Any, ...] = ()
        """What that would have been called with."""
        self.keywords: Any = None
        """Its keyword arguments, a dictionary, if there were any."""
        self.state: Any = None
        """What it would have been told to restore: its attributes, as a rule."""
        self.items: Sequence[Any] = ()
        """What would have been appended to it."""
        self.pairs: Mapping[Any, Any] = _NONE
        """What would have been set in it as in a dictionary."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its attributes (`__dict__` and slots); empty if its state is something else."""
        if isinstance(self.state, dict):
            return self.state
        if isinstance(self.state, tuple) and len(self.state) == 2:
            return ChainMap(*[part for part in self.state if isinstance(part, dict)])
        return _NONE

    def __repr__(self) -> str:
        return f"<an object of {self.name}>"


class Key:
    """A key that is no plain text or number. It is hashed by itself, not by what it holds.

    Whoever makes a file can choose tuples that take for ever to hash, or many that hash alike.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "<a key that is no text>"


def mapping_of(value: Any) -> Mapping[Any, Any] | None:
    """Return a dictionary, or what an object holds as one or by its attributes; None of others."""
    if isinstance(value, Record):
        return value.pairs or value.attributes
    return value if isinstance(value, Mapping) else None


_MOST = 2**60
"""Whole numbers below it hash to themselves, each to another."""


def as_key(value: Any) -> Any:
    """Return `value` if a dictionary can hold it in constant time, else a `Key` of it."""
    if value is None or isinstance(value, (str, bytes, float, Named, Record)):
        return value
    return value if isinstance(value, int) and -_MOST < value < _MOST else Key(value)
