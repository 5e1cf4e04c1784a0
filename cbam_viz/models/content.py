"""What the nodes of a PyTorch file mean: plain values, tensors, and records of all else.

What a file would call means something only if it is in the table of `meanings`; all else is a
record that says what it was. Nothing here recurses, and each node is made once: they may be nested
without end, shared a thousand times and refer to each other in circles.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from typing import Any

from cbam_viz.errors import CheckpointError
from cbam_viz.inert.container import Opened
from cbam_viz.inert.nodes import Node, damaged
from cbam_viz.inert.transport import without_collection
from cbam_viz.models.meanings import NOTHING, has_meaning, meaning_of, refuse_odd
from cbam_viz.models.records import Named, Record, as_key
from cbam_viz.models.storages import Budget, Storage, Storages, storage_type

_DICTIONARIES = {
    "collections.OrderedDict": 0,
    "collections.Counter": 0,
    "collections.defaultdict": 1,
}
"""Classes that are dictionaries here, and which of their arguments is the content."""

_SETS = frozenset(
    f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("set", "frozenset")
)


def build_content(opened: Opened, data: bytearray | mmap.mmap, size: int) -> Any:
    """Return what an author saved: dictionaries, lists, tuples, sets, numbers, texts and tensors.

    Objects of other classes are `Record`s, classes are `Named`. Arrays of NumPy are tensors, its
    scalars numbers. Keys that are no texts or numbers are `Key`s. Containers may hold themselves.

    Args:
        opened: what the file says.
        data: the file's bytes, writable; tensors are views of them.
        size: their number.

    Raises:
        CheckpointError: tensors do not lie in the file, claim more than it has, or are of a kind
            that is not read.
    """
    storages = Storages(data, opened.parts, Budget(size), swapped=opened.swapped)
    with without_collection():
        return _Builder(opened.nodes, storages).build(opened.root)


_CONTENTS = frozenset({"list", "tuple", "dict", "set", "frozenset"})
_MOST_POURED = 1_000_000
"""Entries that dictionaries and sets take over from others; many may be made of one."""

_CONTAINERS: dict[str, type] = {"list": list, "dict": dict, "set": set}


class _Unmade:
    """Stands where a node has no value yet."""


_UNMADE = _Unmade()


class _Builder:
    def __init__(self, nodes: list[Node], storages: Storages) -> None:
        self.storages = storages
        self._nodes = nodes
        self._values: list[Any] = [_UNMADE] * len(nodes)
        self._poured = 0

    def build(self, root: Any) -> Any:
        for node in self._nodes:
            self._make(node)
        for node in self._nodes:
            self._fill(node)
        return self.value(root)

    def value(self, item: Any) -> Any:
        return self._values[item.index] if isinstance(item, Node) else item

    def values(self, items: Iterable[Any]) -> list[Any]:
        made = self._values
        return [made[item.index] if isinstance(item, Node) else item for item in items]

    def _make(self, node: Node) -> None:
        """Make a node's value, after those that must be whole before it."""
        made, waiting, begun = self._values, [node], set[int]()
        while waiting:
            node = waiting[-1]
            missing = [part for part in _needed(node) if made[part.index] is _UNMADE]
            if not missing:
                waiting.pop()
                if made[node.index] is _UNMADE:
                    made[node.index] = self._made(node)
            elif node.index in begun:
                raise damaged("a part of it consists of itself")
            else:
                begun.add(node.index)
                waiting += missing

    def _made(self, node: Node) -> Any:
        match node.kind:
            case "tuple":
                value: Any = tuple(self.values(node.items))
            case "call":
                value = self._called(node)
            case "storage":
                value = self._storage(node)
            case "name":
                value = Named(node.items)
            case "frozenset":
                value = frozenset(map(as_key, self.values(node.items)))
            case "list" | "dict" | "set":
                value = _CONTAINERS[node.kind]()
            case _:  # text and bytes
                value = node.items
        return value

    def _called(self, node: Node) -> Any:
        name = _name_of(node)
        if name in _DICTIONARIES:
            return {}
        if name in _SETS:
            return set()
        arguments = _arguments(node)
        if not has_meaning(name, len(arguments)):
            refuse_odd(name)
            return Record(name)
        state = self.value(_last_state(node))
        value = meaning_of(name, self.storages, self.values(arguments), state)
        return Record(name) if value is NOTHING else value

    def _storage(self, node: Node) -> Storage:
        _, kind, key, _, count, *view = self.values(node.items)
        first = 0
        if view and isinstance(view[0], tuple) and len(view[0]) == 3:
            _, first, count = view[0]
        described = isinstance(kind, Named) and isinstance(key, str)
        if not described or type(first) is not int or type(count) is not int:
            raise damaged("it does not describe its tensors as PyTorch does")
        return Storage(storage_type(kind.name), key, first, count)

    def _fill(self, node: Node) -> None:
        """Put into a container what it holds, now that all values are there."""
        target = self._values[node.index]
        if node.kind == "list":
            target += self.values(node.items)
        elif node.kind == "dict":
            self._set(target, node.items)
        elif node.kind == "set":
            target.update(map(as_key, self.values(node.items)))
        elif node.kind == "call":
            self._fill_call(node, target)

    def _fill_call(self, node: Node, target: Any) -> None:
        steps = node.more or []
        if isinstance(target, Record):
            given = self.value(node.items[1])  # as it is: calls may share it
            target.arguments = given if isinstance(given, tuple) else ()
            target.keywords = self.value(node.items[2]) if len(node.items) > 2 else None
            self._tell(target, steps)
        elif isinstance(target, (dict, set)):
            self._pour(target, _arguments(node)[_DICTIONARIES.get(_name_of(node), 0) :][:1])
            for what, values in zip(steps[::2], steps[1::2], strict=True):
                if what == "pairs" and isinstance(target, dict):
                    self._set(target, values)

    def _tell(self, record: Record, steps: list[Any]) -> None:
        items: list[Any] = []
        pairs: dict[Any, Any] = {}
        for what, values in zip(steps[::2], steps[1::2], strict=True):
            if what == "state":
                record.state = self.value(values[0])
            elif what == "items":
                items += self.values(values)
            else:
                self._set(pairs, values)
        record.items, record.pairs = items or record.items, pairs or record.pairs

    def _pour(self, target: dict[Any, Any] | set[Any], arguments: list[Any]) -> None:
        """Fill a dictionary from another or from a list of pairs, a set from a list."""
        source = arguments[0] if arguments else None
        if not isinstance(source, Node) or source.kind not in _CONTENTS:
            return
        self._poured += len(source.items)
        if self._poured > _MOST_POURED:
            raise CheckpointError(
                f"The file makes more than {_MOST_POURED:,} entries of few; it was made to exhaust "
                "memory and not opened."
            )
        if isinstance(target, set):
            target.update(map(as_key, self.values(source.items)))
        elif source.kind == "dict":
            self._set(target, source.items)
        else:
            for pair in source.items:
                if isinstance(pair, Node) and pair.kind in {"list", "tuple"}:
                    self._set(target, pair.items[:2])

    def _set(self, target: dict[Any, Any], items: list[Any]) -> None:
        values = self.values(items)
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[key if type(key) is str else as_key(key)] = value


def _needed(node: Node) -> list[Node]:
    """Return the nodes whose values must be there before this one's; others are filled in later."""
    if node.kind in {"tuple", "storage", "frozenset"}:
        return [item for item in node.items if isinstance(item, Node)]
    if node.kind == "call" and has_meaning(_name_of(node), len(_arguments(node))):
        parts = (*_arguments(node), _last_state(node))
        return [item for item in parts if isinstance(item, Node)]
    return []


def _arguments(node: Node) -> list[Any]:
    """Return what a call would be given, not yet made."""
    given = node.items[1]
    return given.items if isinstance(given, Node) and given.kind == "tuple" else []


_MAKERS = frozenset({"copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__"})
"""Functions that make an object of the class that is their first argument."""


def _name_of(node: Node) -> str:
    """Return the name of what a call calls, or of the class whose object it makes."""
    function = node.items[0]
    name = function.items if isinstance(function, Node) and function.kind == "name" else ""
    if name in _MAKERS and _arguments(node):
        first = _arguments(node)[0]
        if isinstance(first, Node) and first.kind == "name":
            name = first.items
    return name or "something without a name"


def _last_state(node: Node) -> Any:
    steps = node.more or []
    return steps[-1][0] if steps and steps[-2] == "state" else None
