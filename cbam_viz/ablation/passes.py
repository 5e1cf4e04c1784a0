"""One forward whose operations are counted, and some of them changed, in one thread alone.

A dispatch mode meets every operation that really runs, whatever the code looks like. It lies on the
thread's stack while a block lasts and does nothing until a forward of the network begins; the hooks
that tell it so are shared by all threads and speak to the innermost block of their own context.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Protocol
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from cbam_viz.ablation._capture import Hooks, in_parts


class Act(Protocol):
    """What is done with the operations of a forward."""

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one, or do something else in its place; return its result."""


class Passing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands each operation to the act of the forward that runs, if one does."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.act: Act | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation, or its parts."""
        kwargs = kwargs or {}
        if self.act is None:
            return func(*args, **kwargs)
        out = in_parts(self, func, args, kwargs)
        return self.act.operation(func, args, kwargs) if out is NotImplemented else out


class Actor(Protocol):
    """Who is told of the forwards of a network, in one context."""

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward was called, before any hook of the user's."""

    def start(self) -> None:
        """The code of the network comes next."""

    def done(self, output: Any) -> None:
        """It returned."""

    def end(self) -> None:
        """It returned, or raised an Exception."""


_Root = ref[nn.Module]
_actors: ContextVar[Mapping[_Root, Actor]] = ContextVar(
    "cbam_viz_actors", default=MappingProxyType({})
)


@contextmanager
def acting(root: nn.Module, actor: Actor) -> Iterator[None]:
    """In this block and context, `actor` is told of the forwards of `root`."""
    token = _actors.set({**_actors.get(), ref(root): actor})
    try:
        yield
    finally:
        _actors.reset(token)


@contextmanager
def nobody_acting() -> Iterator[None]:
    """In this block and context, networks run as if there were no block around it."""
    token = _actors.set(MappingProxyType({}))
    try:
        yield
    finally:
        _actors.reset(token)


def actor_of(root: nn.Module) -> Actor | None:
    """Who is told of this network's forwards here."""
    return _actors.get().get(ref(root))


@contextmanager
def hooked(root: nn.Module) -> Iterator[None]:
    """In this block the actors of `root` are told, in every thread and context."""
    if isinstance(root, torch.jit.ScriptModule):  # takes no hooks: whoever calls it tells
        yield
        return
    with _lock:
        count, numbers = _hooked.get(root, (0, ()))
        _hooked[root] = (count + 1, numbers or _put_on(root))
    try:
        yield
    finally:
        with _lock:
            count, numbers = _hooked[root]
            if count > 1:
                _hooked[root] = (count - 1, numbers)
            else:
                del _hooked[root]
                _take_off(root, numbers)


_hooked: WeakKeyDictionary[nn.Module, tuple[int, tuple[int, ...]]] = WeakKeyDictionary()
_lock = threading.RLock()


def _put_on(root: nn.Module) -> tuple[int, ...]:
    """First of all hooks, the one that learns the arguments and those that end; last the start."""
    begin = root.register_forward_pre_hook(_begin, with_kwargs=True, prepend=True)
    start = root.register_forward_pre_hook(_start)
    end = root.register_forward_hook(_end, prepend=True, always_call=True)
    done = root.register_forward_hook(_done, prepend=True)
    return (begin.id, start.id, end.id, done.id)


def _take_off(root: nn.Module, numbers: tuple[int, ...]) -> None:
    for table in (
        root._forward_pre_hooks,
        root._forward_pre_hooks_with_kwargs,
        root._forward_hooks,
        root._forward_hooks_always_called,
    ):
        for number in numbers:
            table.pop(number, None)


# A deep copy of a network takes these along, and has no actor.


def _begin(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
) -> None:  # without them if another thread just takes the hooks off
    actor = actor_of(module)
    if actor is not None:
        actor.begin(args, kwargs or {})


def _start(module: nn.Module, args: tuple[Any, ...]) -> None:
    actor = actor_of(module)
    if actor is not None:
        actor.start()


def _done(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    actor = actor_of(module)
    if actor is not None:
        actor.done(output)


def _end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    actor = actor_of(module)
    if actor is not None:
        actor.end()


for _hook in (_begin, _start, _done, _end):
    _hook.__module__ = Hooks.__module__  # as capture's own: no switch that the network's way asks


def call(root: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a network, and tell its actor what hooks cannot tell of TorchScript."""
    actor = actor_of(root) if isinstance(root, torch.jit.ScriptModule) else None
    if actor is None:
        return root(*args, **kwargs)
    actor.begin(args, kwargs)
    try:
        actor.start()
        output = root(*args, **kwargs)
        actor.done(output)
    finally:
        actor.end()
    return output


def tensors_of(values: Any) -> Iterator[Tensor]:
    """The tensors among the arguments or results of an operation."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, Tensor))


Key = tuple[Any, ...]
"""What an operation is, and what it was given, but for the values of tensors."""


def key_of(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], weights: Mapping[int, str]
) -> Key:
    """Equal keys, equal operations, on tensors of equal shapes and on the same parameters."""
    told = tuple([_told(value, weights) for value in args])
    if not kwargs:
        return (func, told)
    return (func, told, tuple((name, _told(value, weights)) for name, value in kwargs.items()))


def weights_of(root: nn.Module) -> dict[int, str]:
    """Parameters and buffers by identity."""
    return {id(one): name for name, one in (*root.named_parameters(), *root.named_buffers())}


_PLAIN = (bool, int, str, type(None), torch.dtype, torch.device, torch.memory_format, torch.layout)


def _told(value: Any, weights: Mapping[int, str]) -> Any:
    if isinstance(value, Tensor):
        shape = None if value.is_nested else value.shape
        return (shape, value.dtype, weights.get(id(value)))
    if isinstance(value, (list, tuple)):
        return tuple([_told(item, weights) for item in value])
    if isinstance(value, float):
        return value if value == value else "nan"  # noqa: PLR0124
    return value if isinstance(value, _PLAIN) else type(value)
