"""What is known of a model between captures, and noticed as soon as it no longer holds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import ClassVar
from weakref import WeakKeyDictionary, ref

from torch import nn

from ...wrappers import clean_name
from ..model.hooks import Hooks
from ..model.modules import Modules, modules_of
from ..model.names import place_of
from ..model.survey import Roll, Survey
from ..watch.kept import Kept, still_there
from .drafts import Drafts
from .plan import Plan
from .signature import Signature, without_sizes

_MOST_CHANGES = 2


class Table:
    """One model's plans, by the kind of forward that they are for.

    Captures in several threads share it; what it keeps is read and written under its lock, and
    what it gives out are values that nobody changes.
    """

    max_plans: ClassVar[int] = 16

    def __init__(self, modules: Modules, roll: Roll) -> None:
        self.modules, self.roll = modules, roll
        self._plans: OrderedDict[Signature, Plan] = OrderedDict()
        self._own_size: set[Signature] = set()
        """Of plans that turned out not to hold for other sizes."""
        self._changes = 0
        """How often a forward went another way than its plan."""
        self._hooks: WeakKeyDictionary[Plan | Modules, dict[Hashable, Hooks]] = WeakKeyDictionary()
        self._drafts: WeakKeyDictionary[Plan, Drafts] = WeakKeyDictionary()
        self._kept: Kept = {}
        """What forwards that were watched left behind."""
        self._named = _Named({clean_name(n): one for n, one in modules.by_name.items()})
        self._places: dict[str, tuple[str, str]] = {}
        self._lock = threading.RLock()  # a finalizer may end a capture while another one asks

    @property
    def fickle(self) -> bool:
        """True if this network has left its plans so often that each forward is to be watched."""
        return self._changes >= _MOST_CHANGES

    def plan(self, signature: Signature) -> Plan | None:
        """The plan for this kind of forward."""
        with self._lock:
            found = self._plans.get(signature)
            if found is None:
                sizeless = without_sizes(signature.inputs)
                found = next(
                    (
                        plan
                        for known, plan in self._plans.items()
                        if plan.any_size
                        and known not in self._own_size
                        and known.around == signature.around
                        and without_sizes(known.inputs) == sizeless
                    ),
                    None,
                )
            return found

    def is_own(self, signature: Signature, plan: Plan) -> bool:
        """Whether a plan was learnt, or has proved to hold, for just this kind of forward."""
        with self._lock:
            return self._plans.get(signature) is plan

    def keep(self, signature: Signature, plan: Plan) -> None:
        """Remember a plan; the oldest of many is forgotten."""
        with self._lock:
            self._plans[signature] = plan
            self._own_size.discard(signature)
            while len(self._plans) > self.max_plans:
                self._own_size.discard(self._plans.popitem(last=False)[0])

    def left(self, signature: Signature, plan: Plan) -> None:
        """A forward went another way than its plan: none that is kept may hold any longer.

        If the plan was only lent by a forward of another size, sizes have ways of their own.
        """
        with self._lock:
            if self._plans.get(signature) is plan:
                self._forget_plans()
                self._changes += 1
            else:  # lent, or left in another thread already
                self._own_size |= {one for one, kept in self._plans.items() if kept is plan}

    def distrust(self) -> None:
        """Watch every forward from now on."""
        with self._lock:
            self._forget_plans()
            self._changes = _MOST_CHANGES

    def hooks(self, plan: Plan | None, asked: Hashable, make: Callable[[], Hooks]) -> Hooks:
        """With what to look at a forward by this plan, or at one that is watched: made once."""
        with self._lock:
            made = self._hooks.setdefault(self.modules if plan is None else plan, {})
            if asked not in made:
                made[asked] = make()
            return made[asked]

    def drafts(self, plan: Plan) -> Drafts | None:
        """Those of the plan's last forward of which all was made anew."""
        with self._lock:
            return self._drafts.get(plan)

    def keep_drafts(self, plan: Plan, drafts: Drafts) -> None:
        """Remember them for forwards of the same size, in place of others."""
        with self._lock:
            self._drafts[plan] = drafts

    def kept(self) -> frozenset[int]:
        """Identity of memory that a forward left behind, and that is still there."""
        with self._lock:
            self._kept = still_there(self._kept)
            return frozenset(self._kept)

    def keep_tensors(self, left: Kept) -> None:
        """Remember what a forward left behind, besides what others did."""
        with self._lock:
            self._kept = {**still_there(self._kept), **left}

    def place(self, module: str, weights: tuple[str, ...], *, known: bool) -> tuple[str, str]:
        """Stage and block that a layer is in, looked up once for each module."""
        with self._lock:
            if module not in self._places:
                self._places[module] = place_of(module, weights, self._named, known=known)
            return self._places[module]

    def _forget_plans(self) -> None:
        self._plans.clear()
        self._own_size.clear()


class _Named(Mapping[str, nn.Module]):
    """The modules that are still there, by clean names."""

    def __init__(self, references: Mapping[str, ref[nn.Module]]) -> None:
        self._references = references

    def __getitem__(self, name: str) -> nn.Module:
        module = self._references[name]()
        if module is None:
            raise KeyError(name)
        return module

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)


_tables: WeakKeyDictionary[nn.Module, Table] = WeakKeyDictionary()
_lock = threading.RLock()


def table_of(model: nn.Module) -> tuple[Table, Survey]:
    """The model's table, made anew if any module was replaced; and how its modules are now."""
    with _lock:
        table = _tables.get(model)
        seen = table.roll.look() if table is not None else None
        if table is None or seen is None:
            modules = modules_of(model)
            roll = Roll(model)
            table = _tables[model] = Table(modules, roll)
            seen = roll.look() or roll.slow_look()
        return table, seen


def forget(model: nn.Module) -> None:
    """Make the model's table anew at the next capture."""
    with _lock:
        _tables.pop(model, None)
