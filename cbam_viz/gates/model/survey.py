"""One look at a model's modules: whether they are those that are known, and in which mode.

It runs at every capture, and a network has hundreds of modules. So what is to be looked at is
listed once, no more than that is touched, and lists are compared as wholes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from types import FunctionType
from typing import Any
from weakref import ref

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Survey:
    """How a model's modules are at one moment."""

    training: tuple[bool, ...]
    """Which modules are in train mode."""
    put_on: tuple[nn.Module, ...]
    """The model, and modules with hooks or with a forward that replaces that of their class."""


class Roll:
    """A model's modules as they were when it was made; none of them is kept alive."""

    def __init__(self, model: nn.Module) -> None:
        parents = _parents(model)
        everybody = [model, *(one for parent in parents for one in parent._modules.values())]
        first: dict[nn.Module, int] = {}
        for k, module in enumerate(everybody):
            if module is not None:
                first.setdefault(module, k)
        self._everybody = [_reference(module) for module in everybody]
        """The model and all children; one that has two parents is there twice."""
        self._looked = [k for module, k in first.items() if not _is_script(module)]
        self._scripts = [k for module, k in first.items() if _is_script(module)]
        places = {k: n for n, k in enumerate(self._looked)}
        self._parents = [places[first[parent]] for parent in parents]
        families = [parent._modules for parent in parents]
        self._counts, self._names = [*map(len, families)], [*chain(*families)]
        kept = [everybody[k].__dict__ for k in self._looked]
        self._changed = _changed(kept, _marked(kept))
        of_classes = {type(everybody[k]): k for k in self._looked}
        self._codes = [(k, ref(code)) for kind, k in of_classes.items() if (code := _code(kind))]
        """What each class runs, and one of its modules."""

    def look(self) -> Survey | None:
        """How the modules are now.

        None if one was added, removed, renamed or replaced, compiled, or runs other code than it
        did, by a forward of its own or its class's, since the roll was made.
        """
        everybody = [reference() for reference in self._everybody]
        looked: list[Any] = [everybody[k] for k in self._looked]
        try:
            kept = [module.__dict__ for module in looked]
            families = [kept[k]["_modules"] for k in self._parents]
            if [*chain.from_iterable(map(dict.values, families))] != everybody[1:]:
                return None
            if [*map(len, families)] != self._counts or [*chain(*families)] != self._names:
                return None
            marked = _marked(kept)
        except (AttributeError, LookupError, RuntimeError):  # gone, or just going in another thread
            return None
        if _changed(kept, marked) != self._changed:
            return None
        if any(_code(type(everybody[k])) is not code() for k, code in self._codes):
            return None
        try:
            training = [there["training"] for there in kept]
        except KeyError:  # asked of the one inside, by what torch.compile wraps around a module
            training = [bool(getattr(module, "training", False)) for module in looked]
        training += [_in_training(everybody[k]) for k in self._scripts]
        model: Any = everybody[0]
        hooked = (looked[k] for k in marked)
        return Survey(tuple(training), (model, *(one for one in hooked if one is not model)))

    def slow_look(self) -> Survey:
        """The same of modules that are like no others, whether or not they have changed."""
        there = [module for reference in self._everybody if (module := reference()) is not None]
        return Survey(tuple(map(_in_training, there)), tuple(there))


def _parents(model: nn.Module) -> dict[nn.Module, None]:
    """Modules with children, each once, and those that may get some that they would call."""
    found: dict[nn.Module, None] = {}
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if module in found or _is_script(module) or (_is_leaf(module) and not module._modules):
            continue
        found[module] = None
        waiting.extend(child for child in module._modules.values() if child is not None)
    return found


def _is_script(module: object) -> bool:
    return isinstance(module, torch.jit.ScriptModule)


def _is_leaf(module: nn.Module) -> bool:
    """Whether its class is one of torch's that call no children."""
    kind = type(module).__module__
    return kind.startswith("torch.nn.modules.") and not kind.endswith(".container")


def _marked(kept: Sequence[dict[str, Any]]) -> list[int]:
    """Which of the modules that keep this have hooks, or may run other code than their class's."""
    return [
        k
        for k, there in enumerate(kept)
        if there["_forward_hooks"]
        or there["_forward_pre_hooks"]
        or "forward" in there
        or "_compiled_call_impl" in there
    ]


def _changed(kept: Sequence[dict[str, Any]], marked: Iterable[int]) -> list[tuple[int, bool]]:
    """Which of those marked do run other code, and whether it is compiled."""
    found = [(k, kept[k].get("_compiled_call_impl") is not None) for k in marked]
    return [(k, compiled) for k, compiled in found if compiled or "forward" in kept[k]]


def _code(kind: type) -> FunctionType | None:
    code = getattr(kind, "forward", None)
    return code if type(code) is FunctionType else None


def _reference(module: nn.Module | None) -> Callable[[], nn.Module | None]:
    return ref(module) if module is not None else lambda: None


def _in_training(module: Any) -> bool:
    """Whether it, or a module in it, is in train mode; what is frozen does not say, and is not."""
    return any(getattr(one, "training", False) for one in module.modules())
