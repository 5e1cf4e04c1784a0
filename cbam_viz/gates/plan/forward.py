"""A forward by a plan: what hooks alone saw of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..model.aside import unseen
from ..model.copies import kept
from ..model.hooks import Sighting
from ..model.timm_layers import Event, event
from ..watch.limits import transformed
from ..watch.operations import Operations
from ..watch.samples import Boundary, Leaf, sampled, samples_of
from .plan import Plan


@dataclass(eq=False, slots=True)
class PlannedForward:
    """What a forward shows that is looked at where its plan says."""

    input_size: tuple[int, int]
    plan: Plan
    fresh: frozenset[Sighting] = frozenset()
    """What nobody else gets, so that it need not be copied before the forward ends."""
    way: list[Sighting] = field(default_factory=list)
    """The calls of the plan's modules and the gates, in order; no gates that show no values."""
    events: list[Event] = field(default_factory=list)
    """What was seen in layers of known classes, in order."""
    leaves: dict[Leaf, Tensor] = field(default_factory=dict)
    samples: dict[Boundary, Tensor] = field(default_factory=dict)
    operations: Operations | None = None
    """Notes what runs, if the plan is that of another size."""
    _noting: bool = False
    _calls: dict[Sighting, int] = field(default_factory=dict)

    def start(self) -> None:
        """Note what runs from now on, if that is wanted."""
        self._note(on=True)

    def end(self) -> None:
        """Note no more."""
        self._note(on=False)

    def _note(self, *, on: bool) -> None:
        if self.operations is not None and on is not self._noting:
            self._noting = on
            if on:
                self.operations.__enter__()  # type: ignore[no-untyped-call]
            else:
                self.operations.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    @property
    def does_the_same(self) -> bool:
        """Whether the operations are those of the forward that the plan was learnt of."""
        return self.operations is None or tuple(self.operations.sequence) == self.plan.operations

    def begin(self, args: tuple[Any, ...]) -> None:
        """The network is given these."""
        if "in" in self.plan.root_ways:
            self._sample("", 1, "in", args)

    def see(self, key: Sighting, args: tuple[Any, ...], output: Any) -> None:
        """Take what a hook saw."""
        what = key.what
        if what in ("pass", "passed"):
            self._note(on=what == "passed")
            return
        if what == "enter":
            self.way.append(key)
        elif transformed():
            return
        with unseen():
            self._take(key, args, output)

    def _take(self, key: Sighting, args: tuple[Any, ...], output: Any) -> None:
        what = key.what
        if what in ("channel", "spatial"):
            self.way.append(key)
            whole = key in self.fresh and isinstance(output, Tensor)
            self.events.append((key, output if whole else kept(output)))
        elif what == "leaf":
            self.way.append(key)
            leaf = (key.module, self._call(key))
            copy = kept(output)
            if copy is not None:
                self.leaves[leaf] = copy
        elif what == "received":
            self._sample(key.module, self._call(key), "in", args)
        elif what == "returned":
            self._sample(key.module, self._call(key), "out", output)
        else:
            self.events.append(event(key, args, output))

    def done(self, output: Any) -> None:
        """The network returned this."""
        if "out" in self.plan.root_ways:
            with unseen():
                self._sample("", 1, "out", output)

    def _call(self, key: Sighting) -> int:
        """The number of this call among those at which the same is seen."""
        number = self._calls[key] = self._calls.get(key, 0) + 1
        return number

    def _sample(self, name: str, number: int, way: str, value: Any) -> None:
        for k, one in samples_of(value):
            self.samples[name, number, way, k] = sampled(one)
