"""Forward hooks that several captures of one model share, in any number of threads.

A hook is added when the first capture that needs it begins and removed when the last one ends. It
tells the sink of the capture that runs in its own context, and does nothing where none does: two
threads, or two Streamlit sessions, on one model never see each other's gates.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from weakref import WeakKeyDictionary, ref

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Moment = Literal["before", "after", "finally"]
"""Before a module's forward, after it, or after it even if it raised an Exception."""


class Sink(Protocol):
    """What a capture gives its hooks to tell."""

    def see(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
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


class Tapping:
    """The hooks of one capture: `open`, `add` more, `close`."""

    def __init__(self, model: nn.Module, sink: Sink) -> None:
        with _lock:
            owner = _owners.get(model)
            if owner is None:
                owner = _owners[model] = _Owner()
        self._owner, self._sink = owner, sink
        self._taps: list[Hashable] = []
        self._outer: Sink | None = None

    def open(self) -> None:
        """From now on the hooks of this model tell this capture, in this context."""
        sinks = _sinks.get()
        self._outer = sinks.get(self._owner)
        _sinks.set({**sinks, self._owner: self._sink})

    def add(self, taps: Sequence[Tap]) -> None:
        """Place hooks, or share those that another capture has placed."""
        handles = self._owner.handles
        with _lock:
            for tap in taps:
                count, handle = handles.get(tap.key, (0, None))
                if handle is None:
                    handle = _register(self._owner, tap)
                handles[tap.key] = (count + 1, handle)
                self._taps.append(tap.key)

    def drop(self, keep: int = 0) -> None:
        """Give back all hooks but the first `keep` ones."""
        handles = self._owner.handles
        with _lock:
            while len(self._taps) > keep:
                key = self._taps.pop()
                count, handle = handles[key]
                if count > 1:
                    handles[key] = (count - 1, handle)
                else:
                    handle.remove()
                    del handles[key]

    def close(self) -> None:
        """Give back all hooks and tell the capture around this one again, if there is one."""
        sinks = dict(_sinks.get())
        if sinks.get(self._owner) is self._sink:
            del sinks[self._owner]
            if self._outer is not None:
                sinks[self._owner] = self._outer
            _sinks.set(sinks)
        self.drop()


def _register(owner: _Owner, tap: Tap) -> RemovableHandle:
    told = _Told(owner, ref(tap.module), tap.key)
    if tap.moment == "before":
        return tap.module.register_forward_pre_hook(_before(told), with_kwargs=True)
    return tap.module.register_forward_hook(_after(told), always_call=tap.moment == "finally")


@dataclass(frozen=True)
class _Told:
    """What a hook knows. A deep copy of a module takes its hooks along: they must do nothing."""

    owner: _Owner
    module: ref[nn.Module]
    key: Hashable

    def sink(self, module: nn.Module) -> Sink | None:
        return _sinks.get().get(self.owner) if module is self.module() else None


def _before(told: _Told) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        sink = told.sink(module)
        if sink is not None:
            sink.see(told.key, args, kwargs, None)

    return hook


def _after(told: _Told) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        sink = told.sink(module)
        if sink is not None:
            sink.see(told.key, args, {}, output)

    return hook


def kept(value: Any) -> Tensor | None:
    """A detached copy on the tensor's own device, safe from in-place operations that follow."""
    return value.detach().clone() if isinstance(value, Tensor) else None
