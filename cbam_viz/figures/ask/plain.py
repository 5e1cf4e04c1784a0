"""Frozen dataclasses from plain JSON data, every value checked against its annotation."""

from __future__ import annotations

import reprlib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Literal, TypeVar, get_args, get_origin

from cbam_viz.errors import FigureError

_T = TypeVar("_T")

LARGEST = 2**53
"""Numbers from here on are refused: JSON has numbers that no float can hold."""


def from_plain(kind: type[_T], data: Any, where: str) -> _T:
    """An instance of the dataclass `kind`; fields that are left out get their defaults.

    Raises:
        FigureError: if a field is unknown or a value is none it can have; the text names it.
    """
    if not isinstance(data, Mapping):
        raise FigureError(
            f"{where.capitalize()} is described by {reprlib.repr(data)}, which is no object."
        )
    hints = typing.get_type_hints(kind)
    known = {field.name for field in fields(typing.cast(Any, kind))}
    if unknown := sorted(set(data) - known):
        raise FigureError(f"Unknown in {where}: {', '.join(unknown)}.")
    needed = [
        field.name
        for field in fields(typing.cast(Any, kind))
        if field.default is MISSING and field.default_factory is MISSING
    ]
    if missing := sorted(set(needed) - set(data)):
        raise FigureError(f"Missing in {where}: {', '.join(missing)}.")
    return kind(**{name: _read(hints[name], value, f"{name} of {where}")
                   for name, value in data.items()})  # fmt: skip


def _read(hint: Any, value: Any, where: str) -> Any:
    """`value` from JSON as the annotated type, checked."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _read_union(arguments, value, where)
    if origin is tuple:
        return _read_tuple(arguments, value, where)
    if origin is not None and origin is not Literal:
        if not isinstance(value, origin):
            raise _refused(value, where)
        return value
    if origin is Literal:
        ok = value in arguments
    elif hint is float:
        ok = _is_number(value, (int, float))
    elif hint is int:
        ok = _is_number(value, int)
    elif isinstance(hint, type) and hint not in (str, bool):
        return from_plain(hint, value, where)
    else:
        ok = isinstance(value, hint)
    if not ok:
        raise _refused(value, where)
    return value


def _is_number(value: Any, kinds: Any) -> bool:
    """Whether it is a finite number of a size that any setting can have."""
    return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < LARGEST


def _refused(value: Any, where: str) -> FigureError:
    return FigureError(f"{reprlib.repr(value)} cannot be {where}.")


def _read_union(arguments: Sequence[Any], value: Any, where: str) -> Any:
    for argument in arguments:
        if argument is type(None):
            if value is None:
                return None
            continue
        try:
            return _read(argument, value, where)
        except FigureError:
            continue
    raise _refused(value, where)


def _read_tuple(arguments: Sequence[Any], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise FigureError(f"{reprlib.repr(value)} cannot be {where}: a list is wanted.")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_read(arguments[0], item, where) for item in value)
    if len(value) != len(arguments):
        raise FigureError(
            f"{reprlib.repr(value)} cannot be {where}: {len(arguments)} numbers are wanted."
        )
    return tuple(_read(hint, item, where) for hint, item in zip(arguments, value, strict=True))
