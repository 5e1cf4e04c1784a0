"""Forward hooks that several captures of one model share, in any number of threads.

What one kind of forward is looked at with is a set of hooks, made once. It is put on the model when
the first capture that needs it begins, and taken off when the last one ends. Its hooks tell the
capture that runs in their own context, if that has asked for this very set, and do nothing
otherwise: two threads, or two Streamlit sessions, on one model never see each other's gates.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol
from weakref import ref

from torch import nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils.hooks import RemovableHandle

Moment = Literal["called", "before", "after", "finally"]
"""Before a module's forward, with its keyword arguments (called) or without; after it; or after it
even if it raised an Exception."""

Root = Literal["begin", "done", "end"]
"""The network's own forward: before it, after it, after it even if it raised an Exception."""
Passing = Literal["enter", "leave", "received", "returned", "leaf", "pass", "passed"]
"""A module's call while watching (enter, leave); what one received or returned, for a check; what
one returned, for a recipe; and the call of a layer whose operations are not noted."""
Part = Literal["before", "between", "after", "branches", "descriptors", "channel", "spatial"]
"""What is to be seen in a layer of a known class."""


class Sighting(NamedTuple):
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


class Tap(NamedTuple):
    """One place to look at: a module, when, and the key under which its sightings arrive."""

    module: nn.Module
    key: Sighting
    moment: Moment = "after"


_Model = ref[nn.Module]
_running: ContextVar[Mapping[_Model, Tapping]] = ContextVar(
    "cbam_viz_running", default=MappingProxyType({})
)
"""The capture that each model's hooks tell in this context: the innermost one."""
_lock = threading.RLock()  # a finalizer may end a capture while another one begins


def steady() -> AbstractContextManager[Any]:
    """While it is held, no capture puts hooks on a model or takes them off: to copy one."""
    return _lock


class Tapping:
    """The hooks of one capture: `open`, `add` some, `close`."""

    def __init__(self, model: nn.Module, sink: Sink) -> None:
        self.sink = sink
        self._model = ref(model)
        self._added: list[Hooks] = []
        self._outer: Tapping | None = None

    def open(self) -> None:
        """From now on the hooks of this model tell this capture, in this context."""
        running = _running.get()
        self._outer = running.get(self._model)
        _running.set({**running, self._model: self})

    def add(self, hooks: Hooks) -> None:
        """Put hooks on, or share those that another capture has put on.

        Raises:
            KeyError: one of their modules is gone.
        """
        self._added.append(hooks)
        hooks.put_on(self)

    def drop(self, keep: int = 0) -> None:
        """Give back all hooks but the first `keep` sets."""
        while len(self._added) > keep:
            self._added.pop().take_off(self)

    def close(self) -> None:
        """Give back all hooks and tell the capture around this one again, if there is one."""
        running = dict(_running.get())
        if running.get(self._model) is self:
            del running[self._model]
            if self._outer is not None:
                running[self._model] = self._outer
            _running.set(running)
        self.drop()


class Hooks:
    """A set of hooks, which keeps no module alive.

    Torch's own functions that register and remove a hook cost more than what most hooks do in a
    forward. So these go straight to where those would put them, under numbers that torch gives out.
    """

    def __init__(self, model: nn.Module, taps: Iterable[Tap]) -> None:
        self._users: set[Tapping] = set()
        here = ref(model)
        self._places: list[tuple[ref[nn.Module], int, str, Callable[..., None]]] = []
        numbers: list[int] = []
        taken: dict[tuple[int, str], int] = {}
        with _lock:
            for tap in taps:
                where, tables = ref(tap.module), _TABLES[tap.moment]
                k = taken[id(tap.module), tables[0]] = (
                    taken.get((id(tap.module), tables[0]), -1) + 1
                )
                if k == len(numbers):
                    numbers.append(_number())
                hook = _HOOKS[tap.moment](here, self._users, where, tap.key)
                self._places += [(where, numbers[k], table, hook) for table in tables]

    def put_on(self, user: Tapping) -> None:
        """Put the hooks on, unless somebody has; KeyError if a module is gone."""
        with _lock:
            first = not self._users
            self._users.add(user)
            if first:
                for where, number, name, hook in self._places:
                    module = where()
                    if module is None:
                        raise KeyError("a module is gone")
                    module.__dict__[name][number] = hook

    def take_off(self, user: Tapping) -> None:
        """Take the hooks off, unless somebody else uses them."""
        with _lock:
            self._users.discard(user)
            if not self._users:
                for where, number, name, _ in self._places:
                    module = where()
                    if module is not None:
                        module.__dict__[name].pop(number, None)


_TABLES: dict[Moment, tuple[str, ...]] = {
    "called": ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
    "before": ("_forward_pre_hooks",),
    "after": ("_forward_hooks",),
    "finally": ("_forward_hooks", "_forward_hooks_always_called"),
}
"""Where a module keeps a hook; of all tables but the first, only the keys count."""


def is_bare(module: nn.Module) -> bool:
    """True if no hook sees, or changes, what the module is given."""
    there = module.__dict__
    kinds = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    return not (any(there[kind] for kind in kinds) or any_global_hook())


def any_global_hook() -> bool:
    """True if some hook sees all modules of the process."""
    return bool(_has_any_global_hook())  # type: ignore[no-untyped-call]


def _number() -> int:
    return RemovableHandle(OrderedDict()).id


# A deep copy of a module takes its hooks along: there they must do nothing.


def _called(
    model: _Model, users: set[Tapping], where: ref[nn.Module], key: Sighting
) -> Callable[..., None]:
    # Without them if another thread takes the hooks off while torch goes through them in this one.
    def hook(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        user = _running.get().get(model)
        if user is not None and user in users and module is where():
            user.sink.see(key, args, kwargs or {}, None)

    return hook


def _before(
    model: _Model, users: set[Tapping], where: ref[nn.Module], key: Sighting
) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
        user = _running.get().get(model)
        if user is not None and user in users and module is where():
            user.sink.see(key, args, {}, None)

    return hook


def _after(
    model: _Model, users: set[Tapping], where: ref[nn.Module], key: Sighting
) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        user = _running.get().get(model)
        if user is not None and user in users and module is where():
            user.sink.see(key, args, {}, output)

    return hook


_HOOKS = {"called": _called, "before": _before, "after": _after, "finally": _after}
