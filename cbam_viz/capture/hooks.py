"""Forward hooks that several captures of one model share, in any number of threads.

A hook is added when the first capture that needs it begins and removed when the last one ends. It
writes into the sink of the capture that runs in its own context, and does nothing where none does:
two threads, or two Streamlit sessions, on one model never see each other's gates.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Moment = Literal["before", "after", "finally"]
"""Before a module's forward, after it, or after it even if it raised."""


class Sink(Protocol):
    """What a capture gives its hooks to write into."""

    def see(self, key: Hashable, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Take what passed. Must not raise."""


@dataclass(frozen=True)
class Tap:
    """One place to look at: a module, when, and the key under which its sightings arrive."""

    module: nn.Module
    key: Hashable
    moment: Moment = "after"


class _Owner:
    """Identity of one model's hooks. Holds no module, so that nothing keeps the model alive."""

    def __init__(self) -> None:
        self.handles: dict[Hashable, tuple[int, RemovableHandle]] = {}


_lock = threading.RLock()
_owners: WeakKeyDictionary[nn.Module, _Owner] = WeakKeyDictionary()
_sinks: ContextVar[dict[_Owner, Sink]] = ContextVar("cbam_viz_sinks", default={})  # noqa: B039


@contextmanager
def tapping(model: nn.Module, taps: Sequence[Tap], sink: Sink) -> Iterator[None]:
    """Let `sink` see what passes the taps while the block runs in this context."""
    owner = _acquire(model, taps)
    before = _sinks.get()
    _sinks.set({**before, owner: sink})
    try:
        yield
    finally:
        _sinks.set(before)
        _release(owner, taps)


def _acquire(model: nn.Module, taps: Sequence[Tap]) -> _Owner:
    with _lock:
        owner = _owners.get(model)
        if owner is None:
            owner = _owners[model] = _Owner()
        done: list[Tap] = []
        try:
            for tap in taps:
                count, handle = owner.handles.get(tap.key, (0, None))
                if handle is None:
                    handle = _register(owner, tap)
                owner.handles[tap.key] = (count + 1, handle)
                done.append(tap)
        except BaseException:
            _release(owner, done)
            raise
        return owner


def _release(owner: _Owner, taps: Sequence[Tap]) -> None:
    with _lock:
        for tap in taps:
            count, handle = owner.handles[tap.key]
            if count > 1:
                owner.handles[tap.key] = (count - 1, handle)
            else:
                handle.remove()
                del owner.handles[tap.key]


def _register(owner: _Owner, tap: Tap) -> RemovableHandle:
    if tap.moment == "before":
        return tap.module.register_forward_pre_hook(_before(owner, tap.key))
    return tap.module.register_forward_hook(
        _after(owner, tap.key), always_call=tap.moment == "finally"
    )


def _before(owner: _Owner, key: Hashable) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
        sink = _sinks.get().get(owner)
        if sink is not None:
            sink.see(key, module, args, None)

    return hook


def _after(owner: _Owner, key: Hashable) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        sink = _sinks.get().get(owner)
        if sink is not None:
            sink.see(key, module, args, output)

    return hook


def kept(value: Any) -> Tensor | None:
    """A detached copy on the tensor's own device, safe from in-place operations that follow."""
    return value.detach().clone() if isinstance(value, Tensor) else None
