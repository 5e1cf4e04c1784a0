"""What the nodes of a PyTorch file mean: plain values, tensors, and records of all else.

This is where a file's names get a meaning: a table from names to functions of ours. What is not in
it is a record that says so. Nothing here recurses, and each node is made once: they may be nested
without end, shared a thousand times and refer to each other in circles.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import torch

from cbam_viz.errors import CheckpointError
from cbam_viz.inert.container import Opened
from cbam_viz.inert.machine import Node, damaged
from cbam_viz.inert.transport import without_collection
from cbam_viz.models import arrays
from cbam_viz.models.records import Named, Record, as_key
from cbam_viz.models.storages import Budget, Storage, Storages, storage_type

_ODD_TENSORS = {
    "_rebuild_sparse_tensor": "sparse tensors",
    "_rebuild_qtensor": "quantised tensors",
    "_rebuild_nested_tensor": "nested tensors",
    "_rebuild_meta_tensor_no_storage": "tensors without values (torch's meta device)",
}
"""torch's own functions for tensors that are no plain weights."""

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

    Parameters
    ----------
    opened
        What the file says.
    data
        The file's bytes, writable; tensors are views of them.
    size
        Their number.

    Raises
    ------
    CheckpointError
        Tensors do not lie in the file, claim more than it has, or are of a kind that is not read.
    """
    storages = Storages(data, opened.parts, Budget(size), swapped=opened.swapped)
    with without_collection():
        return _Builder(opened.nodes, storages).build(opened.root)


_CONTAINERS: dict[str, type] = {"list": list, "dict": dict, "set": set}


_IMPOSSIBLE = (
    TypeError, ValueError, IndexError, AttributeError, RuntimeError, OverflowError,
)  # fmt: skip
"""What a meaning meets where a file gives it something else than what it takes."""


class _Unmade:
    """Stands where a node has no value yet."""


_UNMADE = _Unmade()


class _Builder:
    def __init__(self, nodes: list[Node], storages: Storages) -> None:
        self.storages = storages
        self._nodes = nodes
        self._values: list[Any] = [_UNMADE] * len(nodes)

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
        meaning = _MEANINGS.get(name)
        if meaning is not None and _is_tuple(node.items[1]):
            state = self.value(_last_state(node))
            return self.meant(meaning, self.values(node.items[1].items), state, name)
        _refuse_odd(name)
        return Record(name)

    def meant(self, meaning: Meaning, arguments: list[Any], state: Any, name: str) -> Any:
        """Return what a call means; a record where its arguments are not what it takes."""
        try:
            value = meaning(self, arguments, state)
        except CheckpointError:
            raise
        except _IMPOSSIBLE as error:
            raise damaged(f"{name} with impossible arguments") from error
        if value is not _UNMADE:
            return value
        record = Record(name)
        record.arguments, record.state = tuple(arguments), state
        return record

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
            if _is_tuple(node.items[1]):
                keywords = node.items[2:]
                target.arguments = tuple(self.values([*node.items[1].items, *keywords]))
            self._tell(target, steps)
            return
        if type(target) not in {dict, set}:
            return
        name = _name_of(node)
        if name in _DICTIONARIES or name in _SETS:
            arguments = node.items[1].items if _is_tuple(node.items[1]) else []
            self._pour(target, arguments[_DICTIONARIES.get(name, 0) :])
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
        if not isinstance(source, Node):
            return
        if isinstance(target, set):
            if source.kind in {"list", "tuple", "set", "frozenset"}:
                target.update(map(as_key, self.values(source.items)))
        elif source.kind == "dict":
            self._set(target, source.items)
        elif source.kind in {"list", "tuple"}:
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
    if node.kind == "call" and _name_of(node) in _MEANINGS:
        parts = node.items[1].items if _is_tuple(node.items[1]) else []
        return [item for item in (*parts, _last_state(node)) if isinstance(item, Node)]
    return []


def _is_tuple(item: Any) -> bool:
    return isinstance(item, Node) and item.kind == "tuple"


_MAKERS = frozenset({"copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__"})
"""Functions that make an object of the class that is their first argument."""


def _name_of(node: Node) -> str:
    """Return the name of what a call calls, or of the class whose object it makes."""
    function, arguments = node.items[:2]
    name = function.items if isinstance(function, Node) and function.kind == "name" else ""
    if name in _MAKERS and _is_tuple(arguments) and arguments.items:
        first = arguments.items[0]
        if isinstance(first, Node) and first.kind == "name":
            name = first.items
    return name or "something without a name"


def _last_state(node: Node) -> Any:
    steps = node.more or []
    return steps[-1][0] if steps and steps[-2] == "state" else None


def _refuse_odd(name: str) -> None:
    module, _, function = name.rpartition(".")
    if module.partition(".")[0] == "torch" and function.startswith("_rebuild_"):
        kind = _ODD_TENSORS.get(function, f"tensors of a kind that is not read ({name})")
        raise CheckpointError(
            f"The file holds {kind}; only plain weights can be read. Save the network's ordinary "
            "floating-point weights."
        )


# What calls mean. Each takes the arguments and the state, and returns the value or _UNMADE.

Meaning: TypeAlias = Callable[[_Builder, list[Any], Any], Any]


def _tensor(builder: _Builder, arguments: list[Any], _state: Any) -> Any:
    """`_rebuild_tensor(storage, offset, size, stride)`; gradients and hooks follow."""
    storage, offset, size, stride, *rest = arguments
    _refuse_views(rest[2:])
    return builder.storages.tensor(storage, offset, size, stride)


def _tensor_of_type(builder: _Builder, arguments: list[Any], _state: Any) -> Any:
    """`_rebuild_tensor_v3`: the storage is of bytes, the type follows the hooks."""
    storage, offset, size, stride, _, _, dtype, *rest = arguments
    _refuse_views(rest)
    return builder.storages.tensor(storage, offset, size, stride, _dtype(dtype))


def _refuse_views(metadata: list[Any]) -> None:
    if metadata and metadata[0] is not None:
        raise CheckpointError(
            "The file holds tensors that are conjugated or negated when they are read; only plain "
            "weights can be read. Save tensor.resolve_conj().resolve_neg()."
        )


def _dtype(named: Any) -> torch.dtype:
    dtype = getattr(torch, named.name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise TypeError
    return dtype


def _first(_builder: _Builder, arguments: list[Any], _state: Any) -> Any:
    """A parameter, or a tensor that another device had: the tensor in it."""
    return arguments[0] if arguments and isinstance(arguments[0], torch.Tensor) else _UNMADE


def _subclass(builder: _Builder, arguments: list[Any], _state: Any) -> Any:
    """`_rebuild_from_type_v2(function, class, arguments, state)`: the plain tensor."""
    function, _, inner, *_ = arguments
    meaning = _MEANINGS.get(function.name)
    if meaning in {None, _subclass} or not isinstance(inner, tuple):
        _refuse_odd(function.name)
        return _UNMADE
    return builder.meant(meaning, list(inner), None, function.name)


def _size(_builder: _Builder, arguments: list[Any], _state: Any) -> Any:
    return arguments[0] if arguments and isinstance(arguments[0], tuple) else _UNMADE


def _encode(builder: _Builder, arguments: list[Any], _state: Any) -> Any:
    """Protocols below 3 have no bytes: they write the text of the same numbers."""
    if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[1] != "latin1":
        return _UNMADE
    builder.storages.budget.spend(len(arguments[0]))
    return arguments[0].encode("latin1")


def _no_bytes(_builder: _Builder, arguments: list[Any], _state: Any) -> Any:
    """`bytes()`, as protocols below 3 write none; never bytes of a length that is asked for."""
    return _UNMADE if arguments else b""


def _array_type(_builder: _Builder, arguments: list[Any], state: Any) -> Any:
    return arrays.number_type(arguments[0] if arguments else None, state) or _UNMADE


def _scalar(_builder: _Builder, arguments: list[Any], _state: Any) -> Any:
    dtype, content = arguments
    if not isinstance(dtype, np.dtype) or not isinstance(content, bytes):
        return _UNMADE
    return arrays.scalar(dtype, content)


def _array(builder: _Builder, arguments: list[Any], state: Any) -> Any:
    """`_reconstruct(class, shape, code)` and then (version, shape, type, Fortran order, bytes)."""
    if not isinstance(state, tuple) or len(state) != 5:
        return _UNMADE
    return _numbers(builder, state[4], state[2], state[1], fortran=state[3])


def _array_from_buffer(builder: _Builder, arguments: list[Any], _state: Any) -> Any:
    content, dtype, shape, order = arguments
    return _numbers(builder, content, dtype, shape, fortran=order == "F")


def _numbers(builder: _Builder, content: Any, dtype: Any, shape: Any, *, fortran: Any) -> Any:
    if not (
        isinstance(content, bytes) and isinstance(dtype, np.dtype) and isinstance(shape, tuple)
    ):
        return _UNMADE
    made = arrays.tensor(dtype, shape, content, builder.storages.budget, fortran=bool(fortran))
    return _UNMADE if made is None else made


_MEANINGS: dict[str, Meaning] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_numpy": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._utils._rebuild_xla_tensor": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch.Size": _size,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _no_bytes,
    "numpy.dtype": _array_type,
    **{
        f"numpy.{core}.{name}": meaning
        for core in ("core", "_core")
        for name, meaning in {
            "multiarray.scalar": _scalar,
            "multiarray._reconstruct": _array,
            "numeric._frombuffer": _array_from_buffer,
        }.items()
    },
}
