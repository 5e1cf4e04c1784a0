"""Writing down the dataflow graph of one forward: what made which tensor, in which module.

The mode below sits under autograd and autocast and sees what really runs: functional code, einsum,
TorchScript. It keeps no tensor alive, changes none, and its own failures never reach the user.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from weakref import finalize

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from ..layout.axes import (
    COLUMN,
    ROW,
    Layout,
    axis_size,
    image_layout,
    labels,
    lost,
    moved,
    plain_layout,
    same_place,
)
from ..layout.inputs import picture_layout
from ..layout.operators import ASKING, DRAWING, base, is_valueless
from ..layout.placement import layout_after
from ..layout.same import Same, is_told, same_after, same_of
from ..model.aside import unseen
from .graph import KEPT, OUTSIDE, Frame, Node
from .operations import in_parts, noted
from .whole import Operation


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Builds the dataflow graph of one forward. To look at it, override `happened`."""

    supports_higher_order_operators = True

    def __init__(self, parameters: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.root = Frame("", 0, None)
        self.frame = self.root
        self.operations = 0
        """How many have run."""
        self.sequence: list[Any] = []
        """Which, in order, as `noted` says."""
        self.unnoted: str | None = None
        """The layer of a known class that runs: what it does is known."""
        self.calls: dict[str, int] = {}
        self.errors: list[tuple[Frame, Exception]] = []
        self.asked = False
        """True if a number was read out of a tensor, as a condition does."""
        self.used: set[str] = set()
        """Names of the parameters that took part."""
        self._parameters = parameters
        self._nodes: dict[tuple[Any, ...], tuple[int, Node]] = {}
        self.latest: dict[int, tuple[int, Node]] = {}
        """How often the memory of this identity was written, and what it holds."""
        self.alive: dict[int, Any] = {}
        """Weak references to it."""
        self.given: set[int] = set()
        """Of the network's arguments."""
        self.kept: Collection[int] = ()
        """Of what forwards before this one left behind."""
        self.buffers: frozenset[str] = frozenset()
        """Names of the network's buffers."""
        self.outside: list[Node] = []
        """What came from elsewhere."""
        self._mixed: set[int] = set()
        """Storages into parts of which values from elsewhere were written."""
        self._order = 0
        self._placed = False
        self._awaited: Node | None = None
        self.awaits: tuple[int, int] | bool = False
        """The size of the picture whose tensor is to come; True if that is not known."""
        self.input_size: tuple[int, int] | None = None
        """Of the picture that came, or else of what the first convolution was given."""

    def enter(self, module: str) -> Frame:
        """A module begins."""
        self._order += 1
        self.calls[module] = self.calls.get(module, 0) + 1
        self.frame = Frame(module, self._order, self.frame, self.calls[module])
        return self.frame

    def leave(self, module: str) -> None:
        """A module ends; those inside it that raised end with it."""
        for frame in self.frame.path():
            if frame.module == module and frame.parent is not None:
                self.frame = frame.parent
                return

    def name_parameters(self, module: str, one: nn.Module) -> None:
        """Say what a module keeps that may have been made only now, as by lazy modules."""
        for name, storage in _stored(one, module):
            if storage not in self._parameters:
                self._parameters[storage] = name
                self.latest.pop(storage, None)  # how it was drawn is nothing of the photo
                self._nodes = {key: seen for key, seen in self._nodes.items() if key[0] != storage}

    def place_input(self, image: Tensor) -> None:
        """Say which tensor, (B, C, H, W) or (C, H, W), is an image, its pixels in place."""
        self._placed = True
        node = self._new("input", None, (), {}, (), image)
        node.depends = node.certain = True
        node.layout = image_layout((1, *image.shape)[-4:], placed=True)[-image.ndim :]
        self._store(image, node)

    def node(self, tensor: Tensor) -> Node:
        """The node of a tensor as it is now."""
        key = _key(tensor)
        version, latest = self.latest.get(key[0], (0, None))
        found = self._nodes.get(key)
        if found is not None and found[0] == version:
            return found[1]
        if latest is not None:
            node = self._new("alias", None, (), {}, (latest,), tensor)
            node.depends = latest.depends
            if found is not None:
                node.layout = found[1].layout
            if found is None or key[0] in self._mixed:
                node.layout = lost(tuple(map(same_place, node.layout)))
        else:
            node = self._from_elsewhere(tensor, key[0])
        self._nodes[key] = (version, node)
        self._hold(tensor, key[0])
        return node

    def _from_elsewhere(self, tensor: Tensor, storage: int) -> Node:
        """The node of a tensor that no operation of this forward has made."""
        parameter = None if storage in self.kept else self._parameters.get(storage)
        name = "parameter" if parameter is not None else "input"
        node = self._new(name, None, (), {}, (), tensor)
        node.parameter, node.depends = parameter, parameter is None
        if parameter is not None:
            self.used.add(parameter)
            node.certain, node.buffer = True, parameter in self.buffers
            return node
        if self.awaits and not self._placed:
            self._place(node)
        if node is not self._awaited and storage not in self.given:
            node.name = KEPT if storage in self.kept else OUTSIDE
            self.outside.append(node)
        return node

    def gated(self, before: Node, weights: Iterable[Tensor], after: Tensor) -> Node:
        """The node of features that a layer gated whose operations were not looked at."""
        inputs = (before, *map(self.node, weights))
        node = self._new("gated", None, (), {}, inputs, after)
        node.depends, node.certain = before.depends, before.certain
        if node.shape == before.shape:
            node.layout = before.layout
        for one in inputs:
            one.users.append(node)
        self._store(after, node)
        return node

    def _place(self, node: Node) -> None:
        """A tensor that came from outside, and may be the picture that is waited for."""
        size = self.awaits if isinstance(self.awaits, tuple) else None
        layout = picture_layout(node.shape, size)
        if layout is not None:
            node.layout, self._awaited, self._placed = layout, node, True
            sides = [axis_size(axis) for axis in layout if labels(axis) & {ROW, COLUMN}]
            self.input_size = size or (sides[0], sides[1])

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation and note it."""
        kwargs = kwargs or {}
        self.asked = self.asked or isinstance(
            func, HigherOrderOperator
        )  # its way may hang on values
        out = in_parts(self, func, args, kwargs)
        if out is not NotImplemented:
            return out
        self.operations += 1
        before = self._guard(self._before, func, args, kwargs)
        out = func(*args, **kwargs)
        if self.unnoted is None:
            self.sequence.append(noted(func, args, out))
        if before is not None:
            self._guard(self._after, func, args, kwargs, before, out)
        return out

    def _guard(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            with unseen():
                if not torch.is_grad_enabled():
                    return step(*args)
                with torch.no_grad():
                    return step(*args)
        except Exception as error:
            self.errors.append((self.frame, error))
            return None

    def _before(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors = [*_tensors(args), *_tensors(tuple(kwargs.values()))]
        if any(tensor.is_nested or is_lazy(tensor) for tensor in tensors):
            return None
        nodes = [self.node(tensor) for tensor in tensors]
        name = func._schema.name.split("::")[-1]
        self.asked = self.asked or name in ASKING
        return name, tensors, nodes, self.about_to(name, args, nodes)

    def _after(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], before: Any, out: Any
    ) -> None:
        name, tensors, nodes, extra = before
        if name in ("set_", "resize_"):
            return
        if name == "convolution" and self.input_size is None and len(nodes[0].shape) == 4:
            self.input_size = (nodes[0].shape[2], nodes[0].shape[3])
        lookup = {id(tensor): node for tensor, node in zip(tensors, nodes, strict=True)}
        saved = tuple(_saved(value, lookup) for value in args)
        saved_kwargs = {key: _saved(value, lookup) for key, value in kwargs.items()}
        inputs = tuple(nodes)
        layouts = [node.layout for node in nodes]
        operands = [(node.shape, node.same) for node in nodes]
        for result in _tensors(out if isinstance(out, tuple) else (out,)):
            if isinstance(out, tuple) and result.numel() == 0:
                continue  # statistics that BatchNorm does not have in eval mode
            node = self._new(
                name, func, saved, saved_kwargs, inputs, result,
                layout_after(name, args, kwargs, layouts, result),
                same_after(name, args, kwargs, operands, result),
            )  # fmt: skip
            self._joined(node)
            # torch.tensor(...) in the forward, unless of the picture
            constant = name == "lift_fresh" and self._placed and nodes[0] is not self._awaited
            source = self._is_source(func, name, nodes) or node.depends
            node.depends = source and not (constant or is_valueless(name, func))
            written = _writes(name)
            if written and layouts and moved(layouts[0], node.layout):
                self._mixed.add(_key(result)[0])
            self._store(result, node, written=written)
            self.happened(node, args, nodes, result, extra)

    def _joined(self, node: Node) -> None:
        """Join an operation to those that gave its inputs."""
        inputs = node.inputs
        node.number = self.operations
        node.certain = is_told(node.name) and all(one.certain for one in inputs)
        node.depends = any(one.depends for one in inputs)
        for one in inputs:
            one.users.append(node)

    def done(self, operations: Iterable[Operation], before: Node, after: Tensor) -> None:
        """Write down what a module returned, `after`, that is known to have done these operations.

        All of their results have its shape.
        """
        self._guard(self._done, operations, before, after)

    def _done(self, operations: Iterable[Operation], before: Node, after: Tensor) -> None:
        node = before
        for name, func, weights, rest, first in operations:
            self.operations += 1 if first is None else 2
            if self.unnoted is None:
                self.sequence += [] if first is None else [first]
                self.sequence.append(noted(func, (after, *weights, *rest), after))
            given = [node, *(None if weight is None else self.node(weight) for weight in weights)]
            args, inputs = (*given, *rest), tuple([one for one in given if one is not None])
            layout = node.layout  # of the same shape, if each value stays where it is
            if name == "convolution":
                layout = layout_after(name, args, {}, [one.layout for one in inputs], after)
            node = self._new(
                name, func, args, {}, inputs, after, layout,
                same_after(name, args, {}, [(one.shape, one.same) for one in inputs], after),
            )  # fmt: skip
            self._joined(node)
            self._store(after, node, written=_writes(name))
            if name == "convolution" and self.input_size is None:
                self.input_size = (before.shape[2], before.shape[3])

    def _is_source(self, func: Any, name: str, nodes: Sequence[Node]) -> bool:
        """A network that takes no tensor draws one, or reads one from a file."""
        read = not nodes and func.namespace != "aten"
        return bool(self.awaits) and (read or base(name) in DRAWING)

    def about_to(self, name: str, args: Sequence[Any], nodes: Sequence[Node]) -> Any:
        """Called before an operation; what it returns comes back in `happened`."""

    def happened(
        self, node: Node, args: Sequence[Any], nodes: Sequence[Node], result: Tensor, extra: Any
    ) -> None:
        """Called after an operation, for each result."""

    def _new(  # noqa: PLR0917
        self,
        name: str,
        func: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        inputs: tuple[Node, ...],
        tensor: Tensor,
        layout: Layout | None = None,
        same: Same | None = None,
    ) -> Node:
        self._order += 1
        shape = () if tensor.is_nested else tuple(tensor.shape)
        layout = plain_layout(shape) if layout is None else layout
        same = same_of(tensor) if same is None else same
        return Node(
            name, func, args, kwargs, inputs, shape, layout, self.frame, self._order, False, same
        )

    def _store(self, tensor: Tensor, node: Node, *, written: bool = False) -> None:
        key = _key(tensor)
        version = self.latest.get(key[0], (0, None))[0] + (1 if written else 0)
        self.latest[key[0]] = (version, node)
        self._nodes[key] = (version, node)
        self._hold(tensor, key[0])

    def _hold(self, tensor: Tensor, storage: int) -> None:
        """Keep the storage's identity (not its memory) from being given to another tensor."""
        if storage in self.alive:
            return
        stored = _storage(tensor)
        if stored is not None:
            self.alive[storage] = StorageWeakRef(stored)  # type: ignore[no-untyped-call]
        else:
            self.alive[storage] = finalize(tensor, self._forget, _key(tensor))

    def _forget(self, key: tuple[Any, ...]) -> None:
        """A tensor without a storage is gone, and its identity may be given to another."""
        for known in (self.latest, self.alive):
            known.pop(key[0], None)
        self._nodes.pop(key, None)


def parameter_storages(model: nn.Module) -> dict[int, str]:
    """Identity of each parameter's and buffer's storage, and its dotted name, the first it has."""
    found: dict[int, str] = {}
    named = [*model.named_modules()]
    for table in ("_parameters", "_buffers"):
        for module, one in named:
            for name, storage in _stored(one, module, table):
                found.setdefault(storage, name)
    return found


def storages_of(tensors: Iterable[Tensor]) -> set[int]:
    """Identity of each tensor's memory, as far as it has one of its own."""
    stored = (_storage(tensor) for tensor in tensors)
    return {one._cdata for one in stored if one is not None}


def _stored(module: nn.Module, name: str, *tables: str) -> Iterator[tuple[str, int]]:
    """Dotted name and storage of what one module keeps itself in these tables, or in both."""
    for table in tables or ("_parameters", "_buffers"):
        for own, tensor in getattr(module, table).items():
            if tensor is None:
                continue
            with suppress(RuntimeError, NotImplementedError, ValueError):
                yield f"{name}.{own}" if name else own, tensor.untyped_storage()._cdata


def _storage(tensor: Tensor) -> torch.UntypedStorage | None:
    """Sparse tensors have no storage of their own, nor have those of torch.func's transforms."""
    if tensor.layout is not torch.strided or tensor.is_nested:
        return None
    try:
        return tensor.untyped_storage()
    except NotImplementedError:
        return None


def _key(tensor: Tensor) -> tuple[Any, ...]:
    storage = _storage(tensor)
    if storage is None:
        return (-id(tensor), 0, (), ())
    return (storage._cdata, tensor.storage_offset(), tensor.shape, tensor.stride())


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, Tensor))


def _writes(name: str) -> bool:
    """Whether an operator of this name works in place."""
    return name.endswith("_") and not name.startswith("_")


def _saved(value: Any, lookup: dict[int, Node]) -> Any:
    if isinstance(value, Tensor):
        return lookup[id(value)]
    if isinstance(value, (list, tuple)):
        return [_saved(item, lookup) for item in value]
    return value
