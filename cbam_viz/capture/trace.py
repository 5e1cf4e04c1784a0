"""Watching one forward: which operation made which tensor out of which, in which module.

The mode below sits under autograd and autocast and sees what really runs: functional code, einsum,
TorchScript. It keeps no tensor alive, changes none, and its own failures never reach the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from .axes import Layout, image_layout, lost, moved, plain_layout, same_place
from .operators import PASSES, VALUELESS, base
from .placement import layout_after


@dataclass(eq=False)
class Frame:
    """One call of one module."""

    module: str
    serial: int
    parent: Frame | None
    number: int = 1
    """Which call of the module in this forward."""

    def path(self) -> Iterator[Frame]:
        """The call itself and those around it, innermost first."""
        frame: Frame | None = self
        while frame is not None:
            yield frame
            frame = frame.parent


@dataclass(eq=False, slots=True)
class Node:
    """One tensor value: what made it. Holds no data."""

    name: str
    """The operator without its namespace, such as `mul`; `input`, `constant` or a parameter."""
    func: Any
    args: Sequence[Any]
    kwargs: dict[str, Any]
    inputs: tuple[Node, ...]
    shape: tuple[int, ...]
    layout: Layout
    frame: Frame
    order: int
    depends: bool
    """True if it was computed from the network's input."""
    parameter: str | None = None
    users: list[Node] = field(default_factory=list)

    @property
    def base(self) -> str:
        """The operator's name, in place or not."""
        return base(self.name)


def origin(node: Node) -> Node:
    """The node whose values these are, before views and copies."""
    while node.name in PASSES or node.base in PASSES:
        if not node.inputs:
            break
        if node.name == "slice" and node.shape != node.inputs[0].shape:
            break
        node = node.inputs[1 if node.base == "copy" and len(node.inputs) > 1 else 0]
    return node


Watcher = Callable[[Node, Node, Tensor, Tensor], None]


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Builds the graph of one forward; `before` and `after` are told of each multiplication."""

    def __init__(self, parameters: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.root = Frame("", 0, None)
        self.frame = self.root
        self.calls: dict[str, int] = {}
        self.errors: list[tuple[Frame, Exception]] = []
        self._parameters = parameters
        self._nodes: dict[tuple[Any, ...], tuple[int, Node]] = {}
        self._latest: dict[int, tuple[int, Node]] = {}
        self._alive: dict[int, StorageWeakRef] = {}
        self._mixed: set[int] = set()
        """Storages into parts of which values from elsewhere were written."""
        self._order = 0
        self._placed = False

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

    def place_input(self, image: Tensor) -> None:
        """Say which tensor, (B, C, H, W) or (C, H, W), is an image, its pixels in place."""
        self._placed = True
        node = self._new("input", None, (), {}, (), image)
        node.depends = True
        node.layout = image_layout((1, *image.shape)[-4:], placed=True)[-image.ndim :]
        self._store(image, node)

    def node(self, tensor: Tensor) -> Node:
        """The node of a tensor as it is now."""
        key = _key(tensor)
        version, latest = self._latest.get(key[0], (0, None))
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
            parameter = self._parameters.get(key[0])
            name = "parameter" if parameter is not None else "input"
            node = self._new(name, None, (), {}, (), tensor)
            node.parameter, node.depends = parameter, parameter is None
        self._nodes[key] = (version, node)
        self._hold(tensor, key[0])
        return node

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation and note it."""
        kwargs = kwargs or {}
        if _is_composite(func):
            with self:
                out = func._op_dk(_COMPOSITE, *args, **kwargs)
            if out is not NotImplemented:
                return out
        noted = self._guard(self._before, func, args, kwargs)
        out = func(*args, **kwargs)
        if noted is not None:
            self._guard(self._after, func, args, kwargs, noted, out)
        return out

    def _guard(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            with torch.no_grad():
                return step(*args)
        except Exception as error:
            self.errors.append((self.frame, error))
            return None

    def _before(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors = [*_tensors(args), *_tensors(tuple(kwargs.values()))]
        nodes = [self.node(tensor) for tensor in tensors]
        name = func._schema.name.split("::")[-1]
        return name, tensors, nodes, self.about_to(name, args, nodes)

    def _after(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], noted: Any, out: Any
    ) -> None:
        name, tensors, nodes, extra = noted
        if name in ("set_", "resize_"):
            return
        lookup = {id(tensor): node for tensor, node in zip(tensors, nodes, strict=True)}
        saved = tuple(_saved(value, lookup) for value in args)
        saved_kwargs = {key: _saved(value, lookup) for key, value in kwargs.items()}
        inputs = tuple(nodes)
        layouts = [node.layout for node in nodes]
        for result in _tensors(out if isinstance(out, tuple) else (out,)):
            node = self._new(name, func, saved, saved_kwargs, inputs, result)
            node.layout = layout_after(name, args, kwargs, layouts, result)
            constant = name == "lift_fresh" and self._placed  # torch.tensor(...) in the forward
            node.depends = (
                not constant and base(name) not in VALUELESS and any(one.depends for one in inputs)
            )
            for one in inputs:
                one.users.append(node)
            written = name.endswith("_") and not name.startswith("_")
            if written and layouts and moved(layouts[0], node.layout):
                self._mixed.add(_key(result)[0])
            self._store(result, node, written=written)
            self.happened(node, args, nodes, result, extra)

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
    ) -> Node:
        self._order += 1
        shape = tuple(tensor.shape)
        return Node(
            name, func, args, kwargs, inputs, shape, plain_layout(shape), self.frame, self._order,
            False,
        )  # fmt: skip

    def _store(self, tensor: Tensor, node: Node, *, written: bool = False) -> None:
        key = _key(tensor)
        version = self._latest.get(key[0], (0, None))[0] + (1 if written else 0)
        self._latest[key[0]] = (version, node)
        self._nodes[key] = (version, node)
        self._hold(tensor, key[0])

    def _hold(self, tensor: Tensor, storage: int) -> None:
        """Keep the storage's identity (not its memory) from being given to another tensor."""
        if storage not in self._alive:
            self._alive[storage] = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def parameter_storages(model: nn.Module) -> dict[int, str]:
    """Identity of each parameter's and buffer's storage, and its dotted name."""
    found: dict[int, str] = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        try:
            found[tensor.untyped_storage()._cdata] = name
        except (RuntimeError, NotImplementedError, ValueError):
            continue
    return found


_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
"""The compositions of C++: `func.decompose` prefers Python's, which round otherwise (bilinear
interpolation does), and the network's output must not change."""

_composite: dict[Any, bool] = {}


def _is_composite(func: Any) -> bool:
    """Under inference mode whole compositions arrive; only their parts can be understood."""
    known = _composite.get(func)
    if known is None:
        known = _composite[func] = bool(
            hasattr(func, "decompose")
            and torch._C._dispatch_has_kernel_for_dispatch_key(
                func.name(), "CompositeImplicitAutograd"
            )
        )
    return known


def _key(tensor: Tensor) -> tuple[Any, ...]:
    storage: int = tensor.untyped_storage()._cdata
    return (storage, tensor.storage_offset(), tuple(tensor.shape), tensor.stride())


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, Tensor))


def _saved(value: Any, lookup: dict[int, Node]) -> Any:
    if isinstance(value, Tensor):
        return lookup[id(value)]
    if isinstance(value, (list, tuple)):
        return [_saved(item, lookup) for item in value]
    return value
