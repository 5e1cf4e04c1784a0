"""What the lists, tables and arrays that a module keeps held, put back into the same objects."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

DEEPEST = 4
"""How deep they are looked for in one another."""
_LISTS = (list, deque)
_TABLES = (dict, OrderedDict, defaultdict, Counter)


class Contents:
    """Those of some values, as they are now; objects of other classes are not looked into.

    Networks collect in lists what their training takes out again, such as losses of their inner
    layers, and count in tables.
    """

    def __init__(self, values: Iterable[Any]) -> None:
        self._kept: list[tuple[Any, Any]] = []
        self._seen: set[int] = set()
        self._keep(values, DEEPEST)

    def _keep(self, values: Iterable[Any], depth: int) -> None:
        for value in values:
            kind = type(value)
            if id(value) in self._seen or depth == 0:
                continue
            if kind in _LISTS or kind is tuple:
                inside: Iterable[Any] = list(value)
            elif kind in _TABLES:
                inside = list(value.values())
            elif kind is set or kind is np.ndarray or _is_kept_tensor(value):
                inside = ()
            else:
                continue
            self._seen.add(id(value))
            if kind is not tuple:
                self._kept.append((value, _copy(value)))
            self._keep(inside, depth - 1)

    def restore(self) -> None:
        """Put back what has changed."""
        for value, before in self._kept:
            if isinstance(value, Tensor):
                tensor, version = before
                if value._version != version:
                    with torch.no_grad():
                        value.data.copy_(tensor)
            elif isinstance(value, np.ndarray):
                if value.flags.writeable:
                    value[...] = before
            elif _differs(value, before):
                value.clear()
                (value.extend if isinstance(value, _LISTS) else value.update)(before)


def _is_kept_tensor(value: Any) -> bool:
    """Whether it is a tensor that code may go on counting in, not one of a backward to come."""
    plain = type(value) is Tensor and not value.is_inference() and value.layout == torch.strided
    return plain and not value.requires_grad and not value.is_meta


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone(), value._version
    return value.copy()


def _differs(value: Any, before: Any) -> bool:
    """By the objects themselves: to compare them may be code of anybody's."""
    if len(value) != len(before):
        return True
    if isinstance(value, set):
        return {*map(id, value)} != {*map(id, before)}
    pairs = zip(value, before, strict=True)
    if any(one is not other for one, other in pairs):
        return True
    return isinstance(value, dict) and any(value[key] is not before[key] for key in before)
