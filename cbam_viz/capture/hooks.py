"""Forward hooks that several captures of one model share, in any number of threads.

A hook is added when the first capture that needs it begins and removed when the last one ends. It
tells the sink of the capture that runs in its own context, and does nothing where none does: two
threads, or two Streamlit sessions, on one model never see each other's gates.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from weakref import WeakKeyDictionary, ref

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Moment = Literal["before", "after", "finally"]
"""Before a module's forward, after it, or after it even if it raised an Exception."""

Root = Literal["begin", "done", "end"]
"""The network's own forward: before it, after it, after it even if it raised an Exception."""
Passing = Literal["enter", "leave", "received", "returned", "leaf"]
"""A module's call while watching (enter, leave); what one received or returned, for a check; and
what one returned, for a recipe."""
Part = Literal["before", "between", "after", "branches", "descriptors", "channel", "spatial"]
"""What is to be seen in a layer of a known class."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a hook is there to see."""

    what: Root | Passing | Part
    module: str = ""
    """Dotted name, free as users choose it; of the layer if `what` is a part of one."""


class Sink(Protocol):
    """What a capture gives its hooks to tell."""

    def see(
        self, key: Sighting, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Take what passed. Must not raise."""

    def step(self, module: int) -> None:
        """A module of the trail, by its identity, is about to run. Must not raise."""


@dataclass(frozen=True)
class Tap:
    """One place to look at: a module, when, and the key under which its sightings arrive."""

    module: nn.Module
    key: Sighting
    moment: Moment = "after"


@dataclass(frozen=True, eq=False)
class Trail:
    """Modules whose calls are told one by one, as `Sink.step`. Does not keep them alive."""

    modules: tuple[ref[nn.Module], ...]
    identities: frozenset[int]

    @classmethod
    def along(cls, modules: Iterable[nn.Module]) -> Trail:
        """A trail of these modules."""
        there = list(modules)
        return cls(tuple(map(ref, there)), frozenset(map(id, there)))


class _Removable(Protocol):
    def remove(self) -> None: ...


class _Owner:
    """Identity of one model's hooks. Holds no module, so that nothing keeps the model alive."""

    def __init__(self) -> None:
        self.handles: dict[Hashable, tuple[int, _Removable]] = {}


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

    def add(self, taps: Sequence[Tap | Trail]) -> None:
        """Place hooks, or share those that another capture has placed."""
        handles = self._owner.handles
        with _lock:
            for tap in taps:
                key = tap if isinstance(tap, Trail) else tap.key
                count, handle = handles.get(key, (0, None))
                if handle is None:
                    handle = _register(self._owner, tap)
                handles[key] = (count + 1, handle)
                self._taps.append(key)

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


def _register(owner: _Owner, tap: Tap | Trail) -> _Removable:
    if isinstance(tap, Trail):
        return _Steps(owner, tap)
    told = _Told(owner, ref(tap.module), tap.key)
    if tap.moment == "before":
        return tap.module.register_forward_pre_hook(_before(told), with_kwargs=True)
    return tap.module.register_forward_hook(_after(told), always_call=tap.moment == "finally")


@dataclass(frozen=True)
class _Told:
    """What a hook knows. A deep copy of a module takes its hooks along: they must do nothing."""

    owner: _Owner
    module: ref[nn.Module]
    key: Sighting

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


class _Steps:
    """One hook on all modules of a trail.

    They are hundreds, and each would cost more in `register_forward_pre_hook` and its handle than
    in the forward itself; so the hook goes straight to where that puts it, under a number of its
    own that torch gives out.
    """

    def __init__(self, owner: _Owner, trail: Trail) -> None:
        identities = trail.identities

        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            sink = _sinks.get().get(owner)
            if sink is not None and id(module) in identities:  # not so in a deep copy
                sink.step(id(module))

        self._number = RemovableHandle(OrderedDict()).id
        self._hooks: list[dict[int, Callable[..., Any]]] = []
        for reference in trail.modules:
            module = reference()
            if module is not None:
                module._forward_pre_hooks[self._number] = hook
                self._hooks.append(module._forward_pre_hooks)

    def remove(self) -> None:
        for hooks in self._hooks:
            hooks.pop(self._number, None)


def kept(value: Any) -> Tensor | None:
    """A detached copy on the tensor's own device, safe from in-place operations that follow."""
    return value.detach().clone() if isinstance(value, Tensor) else None
