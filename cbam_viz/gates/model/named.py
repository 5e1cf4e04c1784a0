"""What code names beside its arguments: globals, closures, defaults, settings in classes.

A forward may ask any of these for its way. They are found once, by following the names in the code
from the forwards of a network's classes, from what its modules keep and from the user's hooks to
the functions and classes named there. Later all that is asked is whether the same values are still
there. None of the user's objects is kept alive.
"""

from __future__ import annotations

import dis
import functools
import os
import sys
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ref

import torch
from torch import nn

from .looks import Look, look_at
from .switches import DEEPEST, MOST, PLAIN, attributes, cell_content, of_library, own_items, switch

_MOST_FUNCTIONS = 2_000
"""Where more are reached, those named last are not followed."""
_SPECIAL = "call init getattr getattribute getitem len iter next bool contains eq enter exit"
_UNNAMED = frozenset({"forward", *(f"__{name}__" for name in _SPECIAL.split())})
"""Methods that run though no code names them."""
_OF_PROCESS: dict[str, Callable[[], Any]] = {
    "is_grad_enabled": torch.is_grad_enabled,
    "requires_grad": torch.is_grad_enabled,
    "is_inference_mode_enabled": torch.is_inference_mode_enabled,
    "is_inference": torch.is_inference_mode_enabled,
    "get_default_dtype": torch.get_default_dtype,
    "are_deterministic_algorithms_enabled": torch.are_deterministic_algorithms_enabled,
    "benchmark": lambda: torch.backends.cudnn.benchmark,
    "deterministic": lambda: torch.backends.cudnn.deterministic,
    "environ": lambda: tuple(os.environ.items()),
    "getenv": lambda: tuple(os.environ.items()),
}
"""What the whole process has a state of, by the names by which code asks for it."""

Where = tuple[str, str]
"""Where something is named, and by which name."""
Told = tuple[tuple[Where, tuple[Any, ...]], ...]
"""Descriptions of what is named."""


class Named:
    """What is named by code that some functions, classes and objects lead to."""

    def __init__(self) -> None:
        self._others: Callable[[], Iterable[Any]] = tuple
        self._hooks: list[ref[Any]] = []
        self._spaces: list[_Space] = []
        self._process: list[tuple[str, Any]] = []
        self._told: Told = ()
        self._readable = False
        self._collected: set[Where] = set()
        """Lists and tables that forwards lengthen: what they collect is no switch."""

    def now(self, hooks: list[Any], others: Callable[[], Iterable[Any]] | None) -> Told:
        """What is named, described: the same object while it is equal.

        Args:
            hooks: the user's, from which code is found.
            others: what else it is found from; None if that is as it was at the last call.
        """
        if others is not None:
            self._others = others
        try:
            if others is None and self._holds(hooks):
                return self._told
            return self._found(hooks)
        except Exception:  # of the user's objects: then nothing is as it was
            self._readable = False
            return ((("", "unreadable"), (object(),)),)

    def _found(self, hooks: list[Any]) -> Told:
        reach = _Reach([*self._others(), *hooks], hooks)
        self._hooks = [ref(one) for one in hooks if _referable(one)]
        self._spaces = list(reach.spaces(self._collected))
        self._process = reach.process()
        self._readable = True
        told = tuple(
            [(("", name), (value,)) for name, value in self._process]
            + [one for space in self._spaces for one in space.described()]
        )
        if told != self._told:
            self._told = told
        return self._told

    def _holds(self, hooks: list[Any]) -> bool:
        known = self._hooks
        if not self._readable or len(known) != len(hooks):
            return False
        for one, reference in zip(hooks, known, strict=True):
            if one is not reference():
                return False
        for name, value in self._process:
            if _OF_PROCESS[name]() != value:
                return False
        return all(space.holds() for space in self._spaces)

    def settle(self) -> set[Where]:
        """After a forward: which of what was described before it only collects what forwards give.

        Such is what has become longer while it ran.
        """
        grown = {where for space in self._spaces for where in space.grown()}
        if not grown <= self._collected:
            self._collected |= grown
            self._readable = False  # though it may be emptied again before the next look
        return self._collected


View = Callable[[Any], Any]


def _globals(function: Any) -> Mapping[str, Any]:
    return function.__globals__  # type: ignore[no-any-return]


def _cells(function: Any) -> Mapping[str, Any]:
    names = function.__code__.co_freevars
    return dict(zip(names, map(cell_content, function.__closure__ or ()), strict=True))


def _defaults(function: Any) -> Mapping[str, Any]:
    given = dict(enumerate(function.__defaults__ or ())) | (function.__kwdefaults__ or {})
    return {str(name): value for name, value in given.items()}


def _parts_of_partial(made: Any) -> Mapping[str, Any]:
    given = dict(enumerate((made.func, *made.args))) | made.keywords
    return {str(name): value for name, value in given.items()}


def _attributes(thing: Any) -> Mapping[str, Any]:
    there: Mapping[str, Any] = vars(thing)
    return there


class _Space:
    """Names in one place, and what they stand for."""

    def __init__(
        self, holder: Any, view: View, label: str, names: Iterable[str], without: Container[Where]
    ) -> None:
        self._holder, self._view, self._label = ref(holder), view, label
        there = view(holder)
        self._names = [name for name in names if name in there and (label, name) not in without]
        same: list[tuple[str, Callable[[], Any]]] = []
        rest: list[tuple[str, Any]] = []
        for name in self._names:
            value = there[name]
            if isinstance(value, _CODE) and _referable(value):
                same.append((name, ref(value)))
            else:
                rest.append((name, value))
        self._same = same
        self._look: Look = look_at(rest, len(there), DEEPEST)
        self._sizes = {name: len(value) for name, value in rest if isinstance(value, _GROWING)}

    def holds(self) -> bool:
        """Whether all names stand for the same, and there are no others."""
        holder = self._holder()
        if holder is None:
            return False
        there = self._view(holder)
        try:
            for name, reference in self._same:
                if there[name] is not reference():
                    return False
            return self._look.holds(there)
        except (LookupError, RuntimeError):  # something is gone, or just going in another thread
            return False

    def described(self) -> Told:
        """All that is named here."""
        holder = self._holder()
        there = {} if holder is None else self._view(holder)
        return tuple(
            [
                ((self._label, name), told)
                for name in self._names
                if name in there and (told := switch(there[name], DEEPEST))
            ]
        )

    def grown(self) -> Iterator[Where]:
        """What is longer than it was."""
        holder = self._holder() if self._sizes else None
        there = {} if holder is None else self._view(holder)
        for name, size in self._sizes.items():
            value = there.get(name)
            if isinstance(value, _GROWING) and len(value) > size:
                yield self._label, name


_CODE = (FunctionType, BuiltinFunctionType, type, ModuleType)
_GROWING = (list, dict, set, deque)


class _Reach:
    """The code that roots lead to."""

    def __init__(self, roots: Iterable[Any], hooks: Iterable[Any]) -> None:
        self._names = set(_UNNAMED)
        self._functions: dict[int, FunctionType] = {}
        self._open: dict[int, Any] = {}
        """Classes and modules, of which only what code names counts."""
        self._objects: dict[int, Any] = {}
        """What hooks belong to."""
        self._seen: dict[int, Any] = {}
        for root in roots:
            self._visit(root, DEEPEST)
        for hook in hooks:
            owner = hook.__self__ if isinstance(hook, MethodType) else hook
            if not isinstance(owner, (*_CODE, nn.Module)):
                self._objects[id(owner)] = owner
        known = -1
        while known != len(self._seen) + len(self._names):
            known = len(self._seen) + len(self._names)
            for function in list(self._functions.values()):
                self._follow(function)
            for thing in list(self._open.values()):
                for name in self._named_in(thing):
                    self._visit(vars(thing)[name], DEEPEST)

    def _named_in(self, thing: Any) -> list[str]:
        module = isinstance(thing, type) and issubclass(thing, nn.Module)
        return [
            name
            for name in list(vars(thing))
            if name in self._names and not (module and name == "__init__")
        ]

    def _follow(self, function: FunctionType) -> None:
        if _is_librarys(function):
            return
        asked, names = _names_in(function.__code__)
        self._names |= names
        there = function.__globals__
        for name in sorted(asked):
            if name in there:
                self._visit(there[name], DEEPEST)
        for name in sorted(names & sys.modules.keys()):  # imported inside it
            self._visit(sys.modules[name], DEEPEST)

    def _visit(self, value: Any, depth: int) -> None:
        if type(value) in PLAIN or isinstance(value, torch.Tensor) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        for part in self._parts(value):
            if depth:
                self._visit(part, depth - 1)

    def _parts(self, value: Any) -> Iterable[Any]:
        """What is to be visited with it."""
        if isinstance(value, FunctionType):
            if len(self._functions) < _MOST_FUNCTIONS:
                self._functions[id(value)] = value
            return [*_cells(value).values(), *_defaults(value).values(), *vars(value).values()]
        if isinstance(value, type):
            for kind in value.__mro__:
                if not of_library(kind.__module__):
                    self._open[id(kind)] = kind
            return ()
        if isinstance(value, ModuleType):
            if not of_library(value.__name__):
                self._open[id(value)] = value
            return ()
        if isinstance(value, (list, tuple, set, frozenset, deque)):
            return list(value) if len(value) <= MOST else ()
        if isinstance(value, Mapping):
            return list(value.values()) if len(value) <= MOST else ()
        return self._parts_of_object(value)

    def _parts_of_object(self, value: Any) -> Iterable[Any]:
        if isinstance(value, functools.partial):
            return _parts_of_partial(value).values()
        if isinstance(value, (MethodType, staticmethod, classmethod)):
            return value.__func__, getattr(value, "__self__", None)
        if isinstance(value, (property, functools.cached_property)):
            return (value.fget if isinstance(value, property) else value.func,)
        if of_library(type(value).__module__) and not isinstance(value, nn.Module):
            return ()
        kept = dict(own_items(value)) if isinstance(value, nn.Module) else attributes(value)
        return type(value), *(kept.values() if len(kept) <= MOST else ())

    def spaces(self, without: Container[Where]) -> Iterator[_Space]:
        """Where something is named, but for some of it."""
        by_globals: dict[int, tuple[FunctionType, set[str]]] = {}
        for k, function in enumerate(self._functions.values()):
            label = f"{function.__qualname__} {k}"
            for kind, look in (("()", _cells), ("=", _defaults), (".", _attributes)):
                if names := list(look(function)):
                    yield _Space(function, look, label + kind, names, without)
            if not _is_librarys(function):
                asked = by_globals.setdefault(id(function.__globals__), (function, set()))[1]
                asked |= _names_in(function.__code__)[0]
        for function, asked in by_globals.values():
            label = str(function.__globals__.get("__name__"))
            yield _Space(function, _globals, label, sorted(asked), without)
        for thing in self._open.values():
            label = f"{getattr(thing, '__module__', '')}.{thing.__name__}."
            yield _Space(thing, _attributes, label, sorted(self._named_in(thing)), without)
        for k, thing in enumerate(self._objects.values()):
            view: View = attributes
            if isinstance(thing, functools.partial):
                view = _parts_of_partial
            names = list(view(thing))
            if _referable(thing) and 0 < len(names) <= MOST:
                yield _Space(thing, view, f"{type(thing).__qualname__} {k}", names, without)

    def process(self) -> list[tuple[str, Any]]:
        """What code asks the process for, and what it says."""
        return [(name, get()) for name, get in _OF_PROCESS.items() if name in self._names]


@functools.lru_cache(maxsize=8192)
def _names_in(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The globals that code asks for, and all names in it, words too: `getattr` takes these."""
    asked = {one.argval for one in dis.get_instructions(code) if one.opname in _ASKING}
    names = {*code.co_names, *(one for one in code.co_consts if isinstance(one, str))}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            more, others = _names_in(inner)
            asked |= more
            names |= others
    if "globals" in asked:  # globals()["NAME"]
        asked |= names
    return frozenset(asked), frozenset(names)


_ASKING = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})


def _is_librarys(function: FunctionType) -> bool:
    """By where it was written: decorators give their functions other names."""
    return of_library(function.__globals__.get("__name__"))


def _referable(value: Any) -> bool:
    return getattr(type(value), "__weakrefoffset__", 0) > 0
