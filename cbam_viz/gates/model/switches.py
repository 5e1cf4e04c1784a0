"""What the code of modules may ask for its way: numbers, words and switches that they keep.

Descriptions of them, equal if these are, which keep no object of the user's alive. Of no tensors:
those that code asks for its way are noticed while it is watched.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from enum import Enum
from functools import partial
from threading import Event, local
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as _everywhere

PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None)))
"""Values in which nothing can change."""
_OWN = frozenset(nn.Module().__dict__)
"""What torch keeps in each module."""
_LIBRARIES = frozenset((*sys.stdlib_module_names, "torch", "torchvision", "numpy", "PIL"))
MOST, DEEPEST = 64, 4
"""Longer tables are data, such as names of classes; what lies deeper is not looked for."""
_OPEN = frozenset({"SimpleNamespace", "Namespace"})
"""Of Python's own classes, those in which users keep settings."""
_BUILT_IN = (BuiltinFunctionType, MethodWrapperType)
_OUR_HOOKS = f"{__package__}.hooks"
_NONE = ()
"""The description of what is no switch."""


def switch(value: Any, depth: int = DEEPEST) -> tuple[Any, ...]:  # noqa: PLR0911, PLR0912
    """The description of one value, `_NONE` if it is no switch and holds none."""
    kind = type(value)
    if kind in PLAIN:
        return kind, value
    if isinstance(value, Enum):
        return kind.__qualname__, value.name
    if isinstance(value, np.generic):
        return kind, value.item()
    if isinstance(value, ContextVar):
        return switch(value.get(None), depth)
    if isinstance(value, Event):
        return kind, value.is_set()
    if depth == 0:
        return _NONE
    if kind is dict:
        return kind.__name__, *_named(value, depth)
    if isinstance(value, FunctionType):
        return value.__code__, *_parts(map(cell_content, value.__closure__ or ()), depth)
    if isinstance(value, type) or (isinstance(value, _BUILT_IN) and _of_no_object(value)):
        return kind, value.__qualname__
    if isinstance(value, (MethodType, *_BUILT_IN)):
        function = getattr(value, "__func__", None)
        return kind, value.__name__, *_parts((function, value.__self__), depth)
    if isinstance(value, partial):
        return kind, *_parts((value.func, value.args, value.keywords), depth)
    if kind is torch.Size or isinstance(value, torch.Tensor):  # mostly of what came before
        return _NONE
    if isinstance(value, np.ndarray):
        return (kind, *value.flat) if value.size <= MOST and value.dtype.kind in "biufU" else _NONE
    if isinstance(value, (list, tuple, deque)):
        return kind.__name__, *_parts(value, depth)
    if isinstance(value, (set, frozenset)):
        return kind.__name__, *sorted(_parts(value, depth), key=repr)
    if isinstance(value, Mapping):
        return kind.__name__, *_named(value, depth)
    if isinstance(value, local):
        return kind.__name__, *_named(value.__dict__, depth)
    if of_library(kind.__module__) and kind.__name__ not in _OPEN:
        return _NONE
    if isinstance(value, nn.Module):
        return kind.__qualname__, *_named(dict(own_items(value)), depth)
    return kind.__qualname__, *_named(attributes(value), depth)


def attributes(value: Any) -> dict[str, Any]:
    """What an object of a user's class keeps, in slots too."""
    there = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        for name, slot in vars(kind).items():
            if isinstance(slot, MemberDescriptorType):
                with suppress(AttributeError):  # nothing is in it
                    there[name] = slot.__get__(value)
    return there


def _of_no_object(function: BuiltinFunctionType | MethodWrapperType) -> bool:
    return function.__self__ is None or isinstance(function.__self__, (ModuleType, type))


def own_items(module: nn.Module) -> list[tuple[str, Any]]:
    """What a module keeps besides what torch keeps in each."""
    return [item for item in list(module.__dict__.items()) if item[0] not in _OWN]


def absent(module: nn.Module) -> tuple[str, ...]:
    """Which of its parameters and buffers are None."""
    parameters, buffers = module.__dict__["_parameters"], module.__dict__["_buffers"]
    if not (parameters or buffers):
        return ()
    tensors = [*parameters.items(), *buffers.items()]
    return tuple([name for name, tensor in tensors if tensor is None])


def put_on(module: nn.Module) -> tuple[Any, ...]:
    """The user's hooks on a module, and a forward that replaces that of the class."""
    there = module.__dict__
    told = _codes(hooks_on(module))
    return (*told, switch(there["forward"])) if "forward" in there else told


def hooks_on(module: nn.Module) -> list[Any]:
    """The user's hooks on a module."""
    there = module.__dict__
    return _users(there.get("_forward_pre_hooks", {}), there.get("_forward_hooks", {}))


def put_on_all() -> tuple[Any, ...]:
    """The user's hooks on all modules of the process."""
    return _codes(hooks_on_all())


def hooks_on_all() -> list[Any]:
    """The same, as they are."""
    return _users(_everywhere._global_forward_pre_hooks, _everywhere._global_forward_hooks)


def _users(*tables: Mapping[int, Any]) -> list[Any]:
    return [
        hook
        for table in tables
        for hook in list(table.values())
        if getattr(hook, "__module__", "") != _OUR_HOOKS
    ]


def _codes(hooks: Iterable[Any]) -> tuple[Any, ...]:
    return tuple([getattr(hook, "__code__", type(hook).__qualname__) for hook in hooks])


def users_classes(kinds: Iterable[type]) -> list[type]:
    """These classes and those above them, but for those of torch and Python."""
    bases = dict.fromkeys(base for kind in kinds for base in kind.__mro__)
    return [base for base in bases if not of_library(base.__module__)]


def class_items(kind: type) -> list[tuple[str, Any]]:
    """What a class keeps for all its modules, and its forward."""
    return [
        (name, value)
        for name, value in list(vars(kind).items())
        if name == "forward" or not (name.startswith("__") or callable(value))
    ]


def of_library(module: object) -> bool:
    """Whether a module of this name is Python's own or of a library whose code asks no switches."""
    return str(module).partition(".")[0] in _LIBRARIES


def cell_content(cell: CellType) -> Any:
    """What a function's closure holds."""
    try:
        return cell.cell_contents
    except ValueError:  # empty as yet
        return None


def _parts(values: Iterable[Any], depth: int) -> list[tuple[Any, ...]]:
    there = list(values)  # another thread may add one
    return [] if len(there) > MOST else [told for v in there if (told := switch(v, depth - 1))]


def _named(values: Mapping[Any, Any], depth: int) -> list[tuple[Any, ...]]:
    there = list(values.items())
    if len(there) > MOST:
        return []
    told: list[tuple[Any, ...]] = []
    for name, value in there:
        kind = type(value)
        if kind in PLAIN:
            told.append((str(name), kind, value))
        elif described := switch(value, depth - 1):
            told.append((str(name), *described))
    return told
