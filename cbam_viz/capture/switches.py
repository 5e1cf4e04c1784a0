"""What the code of modules may ask for its way: numbers, words and switches that they keep."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, MethodType
from typing import Any
from weakref import ref

import numpy as np
import torch
from torch import nn

_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None)))
_OWN = frozenset(nn.Module().__dict__)
"""What torch keeps in each module."""
_LIBRARIES = frozenset((*sys.stdlib_module_names, "torch", "torchvision", "numpy", "PIL"))
_MOST, _DEEPEST = 64, 4
"""Longer tables are data, such as names of classes; what lies deeper is not looked for."""
_OUR_HOOKS = f"{__package__}.hooks"
_NONE = ()
"""The description of what is no switch."""


def switches_of(modules: Iterable[ref[nn.Module]], ours: Iterable[ref[nn.Module]]) -> Any:
    """Attributes of `ours` and of their classes; hooks and replaced forwards of all `modules`.

    Equal if these are; keeps no object of the user's alive. No tensors: those that code asks for
    its way are noticed while it is watched.
    """
    found: list[Any] = []
    for reference in modules:
        module = reference()
        if module is not None:
            there = module.__dict__
            some = there["_forward_hooks"] or there["_forward_pre_hooks"] or "forward" in there
            if some and (told := _put_on(module)):
                found += id(module), tuple(told)
    classes: dict[type, None] = {}
    for reference in ours:
        module = reference()
        if module is not None:
            classes.setdefault(type(module))
            found += _attributes(module)
    bases = dict.fromkeys(base for kind in classes for base in kind.__mro__)
    for base in bases:
        if base.__module__.partition(".")[0] not in _LIBRARIES:
            found += _of_class(base)
    return tuple(found)


def switch(value: Any, depth: int = _DEEPEST) -> tuple[Any, ...]:  # noqa: PLR0911, PLR0912
    """The description of one value, `_NONE` if it is no switch and holds none."""
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if isinstance(value, Enum):
        return kind.__qualname__, value.name
    if isinstance(value, np.generic):
        return kind, value.item()
    if depth == 0:
        return _NONE
    if isinstance(value, FunctionType):
        return value.__code__, *_parts(map(_content, value.__closure__ or ()), depth)
    if isinstance(value, (type, BuiltinFunctionType)):
        return kind, value.__qualname__
    if isinstance(value, MethodType):
        return switch(value.__func__, depth)
    if isinstance(value, partial):
        return kind, *_parts((value.func, value.args, value.keywords), depth)
    if kind is torch.Size or isinstance(value, torch.Tensor):  # mostly of what came before
        return _NONE
    if isinstance(value, (list, tuple)):
        return kind.__name__, *_parts(value, depth)
    if isinstance(value, (set, frozenset)):
        return kind.__name__, *sorted(_parts(value, depth), key=repr)
    if isinstance(value, Mapping):
        return kind.__name__, *_named(value, depth)
    if kind.__module__.partition(".")[0] in _LIBRARIES and kind.__name__ != "SimpleNamespace":
        return _NONE
    return kind.__qualname__, *_named(getattr(value, "__dict__", {}), depth)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty as yet
        return None


def _parts(values: Iterable[Any], depth: int) -> list[tuple[Any, ...]]:
    there = list(values)  # another thread may add one
    return [] if len(there) > _MOST else [told for v in there if (told := switch(v, depth - 1))]


def _named(values: Mapping[Any, Any], depth: int) -> list[tuple[Any, ...]]:
    there = [(str(name), value) for name, value in list(values.items()) if name not in _OWN]
    if len(there) > _MOST:
        return []
    return [(name, *told) for name, value in there if (told := switch(value, depth - 1))]


def _attributes(module: nn.Module) -> list[Any]:
    """Those of a module, and which of its parameters and buffers are none."""
    there = module.__dict__
    told: list[Any] = []
    for tensors in (there["_parameters"], there["_buffers"]):
        told.extend(name for name, tensor in list(tensors.items()) if tensor is None)
    for name, value in list(there.items()):
        if name not in _OWN:
            if type(value) in _PLAIN:
                told += name, value
            elif described := switch(value):
                told += name, described
    return told


def _put_on(module: nn.Module) -> list[Any]:
    """The user's hooks, not what they keep, which is mostly what they saw; and a forward that
    replaces that of the class.
    """
    there = module.__dict__
    hooks = [*there["_forward_pre_hooks"].values(), *there["_forward_hooks"].values()]
    told = [
        getattr(hook, "__code__", type(hook).__qualname__)
        for hook in hooks
        if getattr(hook, "__module__", "") != _OUR_HOOKS
    ]
    return [*told, switch(there["forward"])] if "forward" in there else told


def _of_class(kind: type) -> list[Any]:
    told: list[Any] = []
    for name, value in list(vars(kind).items()):
        if name == "forward" or not (name.startswith("__") or callable(value)):
            told += name, switch(value)
    return told
