"""Many forwards on one input, each with other gates, at the cost of what lies behind them.

Up to the first gate that is replaced, all of them are the same. See `tape` for when and how that is
left out; what comes out is the same to the bit, or the whole network runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from cbam_viz.ablation._capture import (
    allow_compiled,
    demand_plain,
    force_eager,
    is_compiled,
    tensors_in,
)
from cbam_viz.ablation.learnt import GateName, copied, in_training, learned_of
from cbam_viz.ablation.passes import Act, Passing, acting, call, hooked
from cbam_viz.ablation.replacements import Replacement
from cbam_viz.ablation.replacing import Exchange
from cbam_viz.ablation.tape import Content, Keeping, OtherWayError, Skipping, Tape
from cbam_viz.errors import CaptureError
from cbam_viz.wrappers import unwrap


class Forwards:
    """Forwards of one network in eval mode on one input, without gradients.

    Raises:
        CaptureError: the network cannot be captured, is in train mode, or does not do the same
            twice.
        NoAttentionError: it has no gates.
    """

    def __init__(self, model: nn.Module, *args: Any, reuse: bool = True, **kwargs: Any) -> None:
        self.root = unwrap(model)
        if in_training(self.root):
            raise CaptureError(
                "The network is in train mode, where dropout and batch statistics change its "
                "output too. Call model.eval() first."
            )
        demand_plain()
        self._compiled = is_compiled(model.modules())
        self._args, self._kwargs = args, kwargs
        with torch.no_grad():
            self.learned = learned_of(self.root, args, kwargs)
        if any(len(place.sites) > 1 for place in self.learned.gates.values()):
            with torch.no_grad():
                self.learned = learned_of(self.root, args, kwargs, anew=True)
        self._kept: Content | None = None
        self._reuse = reuse
        self._at: frozenset[int] = frozenset()
        self.acted: dict[GateName, Tensor] = {}
        """What the gates of the last forward were replaced by, as it acted."""

    @property
    def whole(self) -> str:
        """Why each forward runs as a whole; empty if what is unchanged is left out."""
        if not self._reuse:
            return "was asked to"
        return self.learned.tape.refusal

    def unchanged(self, gates: Iterable[GateName] = ()) -> Any:
        """The network's own output; keeps what forwards without these gates can start from."""
        at = frozenset(self.learned.gates[gate].first for gate in gates)
        if self.whole or not at:
            return self._run(_Plain(self.learned.tape))
        keeping = Keeping(self.learned.tape, at)
        act = _Plain(self.learned.tape, keeping)
        output = self._run(act)
        if act.same:
            self._kept, self._at = keeping.kept, at
            self._prove(output, sorted(at)[len(at) // 2])
        else:
            self.learned.tape.refuse("does not do the same twice")
        return output

    def bare(self) -> Any:
        """The network's own output, by a forward that whoever calls may watch."""
        args, kwargs = copied(self._args, self._kwargs)
        with ExitStack() as stack:
            if self._compiled:
                force_eager()
                stack.callback(allow_compiled)
            stack.enter_context(torch.no_grad())
            return self.root(*args, **kwargs)

    def replaced(self, wanted: Mapping[GateName, Replacement]) -> Any:
        """The output with these gates in the place of its own.

        Raises:
            CaptureError: a gate cannot be replaced by this.
        """
        first = min(self.learned.gates[gate].first for gate in wanted)
        skipping = None
        if self._kept is not None and first in self._at and not self.whole:
            skipping = Skipping(self.learned.tape, self._kept, first)
        exchange = Exchange(self.root, self.learned, wanted, skipping)
        try:
            output = self._run(exchange)
            exchange.demand_all()
        except OtherWayError:
            self.learned.tape.refuse("does not do the same twice")
            return self.replaced(wanted)
        self.acted = exchange.acted
        return output

    def _prove(self, output: Any, at: int) -> None:
        """Once for each kind of forward: starting in the middle gives the very output."""
        tape = self.learned.tape
        if tape.proven or self._kept is None:
            return
        exchange = Exchange(self.root, self.learned, {}, Skipping(tape, self._kept, at))
        try:
            again = self._run(exchange)
            exchange.demand_all()
            same = _same_bits(output, again)
        except (OtherWayError, CaptureError):
            same = False
        if same:
            tape.proven = True
        else:
            tape.refuse("gave another output when it was started in the middle")

    def _run(self, act: Act) -> Any:
        actor = _Actor(act)
        args, kwargs = copied(self._args, self._kwargs)
        with ExitStack() as stack:
            if self._compiled:
                force_eager()
                stack.callback(allow_compiled)
            stack.enter_context(_disable_current_modes())
            stack.enter_context(torch.no_grad())
            stack.enter_context(hooked(self.root))
            stack.enter_context(acting(self.root, actor))
            stack.enter_context(actor.mode)
            return call(self.root, args, kwargs)


class _Actor:
    """Lets an act have the operations of one forward."""

    def __init__(self, act: Act) -> None:
        self.mode, self._act, self._depth = Passing(), act, 0

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """See `passes.Actor`."""
        self._depth += 1

    def start(self) -> None:
        """The network's code comes next."""
        if self._depth == 1:
            self.mode.act = self._act

    def done(self, output: Any) -> None:
        """It returned."""
        if self._depth == 1:
            self.mode.act = None

    def end(self) -> None:
        """It is over."""
        self._depth -= 1
        if self._depth == 0:
            self.mode.act = None


class _Plain:
    """Runs every operation as it is, and lets values be kept."""

    def __init__(self, tape: Tape, keeping: Keeping | None = None) -> None:
        self.same = True
        """Whether all operations were those that the tape has."""
        self._tape, self._keeping, self._number = tape, keeping, 0

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one."""
        self._number += 1
        if self._keeping is None or not self.same:
            return func(*args, **kwargs)
        funcs = self._tape.funcs
        if self._number > len(funcs) or funcs[self._number - 1] is not func:
            self.same = False
            return func(*args, **kwargs)
        self._keeping.before(self._number)
        out = func(*args, **kwargs)
        self._keeping.after(self._number, out)
        return out


def _same_bits(one: Any, two: Any) -> bool:
    pairs = list(tensors_in(one)), list(tensors_in(two))
    if not pairs[0] or len(pairs[0]) != len(pairs[1]):
        return False
    return all(
        a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
        for a, b in zip(*pairs, strict=True)
    )
