"""One capture at work: hooks tell it what passes, and each forward becomes an `Attention`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..attention import Attention
from ..errors import CaptureError
from .assemble import attention_of, order_of, overhangs
from .layout.inputs import images_in, input_size_of, pictured_size, tensors_in
from .model.aside import unseen
from .model.hooks import Hooks, Sighting, Tapping, any_global_hook, is_bare
from .model.restore import Buffers, State, altered, calm, train_lock
from .model.survey import Survey
from .model.taps import known_taps, watch_taps
from .model.wanted import Wanted
from .plan.forward import PlannedForward
from .plan.learn import learned_plan
from .plan.plan import Plan
from .plan.signature import Signature, settled, signature_of
from .plan.table import Table, forget, table_of
from .plan.taps import passing_taps, plan_taps
from .readings import Changed, Forward
from .watch.forward import WatchedForward
from .watch.kept import left_behind
from .watch.limits import demand_plain, demand_values, unreadable
from .watch.operations import Operations
from .watch.products import Wants, Watch
from .watch.trace import parameter_storages, storages_of
from .watch.whole import rules

_NO_SIZE = (0, 0)


@dataclass(frozen=True, eq=False)
class _Run:
    """A forward at work, or one that has just ended."""

    forward: Forward
    signature: Signature
    state: State
    """What a second run needs to be this one again: the plan may turn out wrong."""


class Recorder:
    """The sink of one capture's hooks."""

    def __init__(self, root: nn.Module, wanted: Wanted) -> None:
        self.root, self.wanted = root, wanted
        self.results: list[Attention] = []
        self.error: BaseException | None = None
        self.alone = False
        """True if the caller learns from the results alone what the network gave: then a second run
        may stand for the first."""
        self._tapping: Tapping | None = None
        self._calls: list[FrameType | None] = []
        """The network's own forwards that run, one inside the other."""
        self._run: _Run | None = None
        self._buffers: Buffers | None = None
        self._done: _Run | None = None
        self._fresh = False
        self._hooked = True
        """True if hooks tell of a forward's beginning and end."""
        self._output: Any = None
        self._table: Table
        self._seen: Survey
        self._watching = False
        """True if the next forward is to be watched whatever is known."""
        self._altered = False
        """True if somebody changes the forward's values: nothing is learnt from it."""
        self._way: list[Sighting] = []
        """That of the last forward."""

    @property
    def scripted(self) -> bool:
        """True if the whole model is TorchScript, which takes no hooks."""
        return isinstance(self.root, torch.jit.ScriptModule)

    def run(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the model, and tell of it what the hooks of `start` would have told."""
        if self._hooked:
            return model(*args, **kwargs)
        self.see(Sighting("begin"), args, kwargs, None)
        try:
            output = model(*args, **kwargs)
            self.see(Sighting("done"), args, kwargs, output)
        except Exception:
            self.see(Sighting("end"), args, kwargs, None)
            raise
        self.see(Sighting("end"), args, kwargs, output)
        return output

    def start(self, *, by_run: bool = False) -> None:
        """Place the hooks that notice a forward's beginning and end.

        Not if all forwards come `by_run` and nothing changes what the root is given on the way.
        """
        self.prepare()
        self._fresh = by_run  # else the user may still change the model
        self._hooked = not (self.scripted or (by_run and is_bare(self.root)))
        self._tapping = Tapping(self.root, self)
        try:
            self._tapping.open()
            if self._hooked:
                self._tapping.add(self._table.modules.ends)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Leave no hook, no mode and no changed buffer, whatever has happened."""
        try:
            self._finish()
        finally:
            self._calls.clear()
            if self._tapping is not None:
                self._tapping.close()
                self._tapping = None

    def prepare(self) -> Table:
        """Look at the model as it is now, once before the next forward."""
        if not self._fresh:
            self._table, self._seen = table_of(self.root)
            self._fresh = True
        return self._table

    def see(
        self, key: Sighting, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Take what a hook saw; the network goes on, whatever comes of it."""
        try:
            if key.what in ("begin", "done", "end"):
                self._root(key.what, args, kwargs, output)
            elif self._run is not None:
                self._run.forward.see(key, args, output)
        except CaptureError:
            raise
        except Exception as error:
            self.error = self.error or unreadable(error)

    def _root(self, what: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        call = _running_call()
        if what == "begin":
            self._drop_dead_calls()
            self._calls.append(call)
            if len(self._calls) == 1:
                self._begin(args, kwargs)
        elif not self._calls or self._calls[-1] is not call:
            return  # a hook of the user's failed before this call began
        elif what == "end":
            self._calls.pop()
            if not self._calls:
                self._finish()
        elif len(self._calls) == 1 and self._run is not None:
            self._done, self._output = self._run, output
            self._run.forward.done(output)

    def _drop_dead_calls(self) -> None:
        """End forwards whose end no hook told of: what was raised was no Exception."""
        if self._calls:
            running = set(_frames())
            self._calls = [call for call in self._calls if call is None or call in running]
            if not self._calls:
                self._finish()

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with unseen():
            run = self._begun(args, kwargs)
        run.forward.start()
        self._run = run  # last: only what has begun is ended

    def _begun(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Run:
        demand_plain()
        self._altered = altered.get()
        self.prepare()
        self._fresh = False
        if any(self._seen.training):
            train_lock.acquire()
            self._buffers = Buffers(self.root)
        signature = signature_of(self._table.modules, args, kwargs, self._seen)
        size = input_size_of(args, kwargs)
        plan = self._usable_plan(signature) if size != _NO_SIZE else None
        lent = plan is not None and not self._table.is_own(signature, plan)
        tapping = self._tapping
        assert tapping is not None
        try:
            tapping.add(self._hooks(plan, lent=lent))
        except KeyError:  # a module is gone and another has its identity
            tapping.drop(keep=int(self._hooked))
            forget(self.root)
            self._table, self._seen = table_of(self.root)
            plan = None
            tapping.add(self._hooks(plan))
        state = State(args, kwargs, drawn=plan is None or plan.draws)
        forward: Forward
        if plan is not None:
            forward = PlannedForward(size, plan, self._fresh_gates())
            if lent:
                forward.operations = Operations([])
        else:
            forward = self._watched(size, args, kwargs)
        forward.begin(args)
        return _Run(forward, signature, state)

    def _watched(
        self, size: tuple[int, int], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> WatchedForward:
        wanted, steps = self.wanted, bool(self.wanted.steps)
        wants = Wants(
            features=bool(wanted.features) or steps,
            small=wanted.branches or wanted.descriptors or steps,
            sites=steps,
        )
        watch = Watch(parameter_storages(self.root), wants)
        for image in images_in(args, kwargs):
            watch.place_input(image)
        watch.given = storages_of(tensors_in((args, kwargs)))
        watch.kept = self._table.kept()
        watch.buffers = frozenset(name for name, _ in self.root.named_buffers())
        watch.awaits = pictured_size(args, kwargs) or size == _NO_SIZE
        known = self._private() and not (self.wanted.steps or self._altered)
        passed = self._table.modules.plain if known else frozenset()
        return WatchedForward(
            size,
            self._table.modules,
            watch,
            passed,
            lazy=any(map(is_lazy, self.root.parameters())),
            rules=rules() if known and not wants.small else {},
        )

    def _fresh_gates(self) -> frozenset[Sighting]:
        """Gates that nobody else gets."""
        return self._table.modules.fresh if self._private() else frozenset()

    def _private(self) -> bool:
        """True if what is inside the network's layers no hooks but ours are told of."""
        return len(self._seen.put_on) == 1 and not any_global_hook()

    def _usable_plan(self, signature: Signature) -> Plan | None:
        """The plan with which hooks alone give all that is wanted."""
        if self._watching or self._altered or self._table.fickle or self.wanted.steps:
            return None
        plan = self._table.plan(signature)
        if plan is None or not plan.quick or (self.wanted.extras and plan.layers):
            return None
        return plan

    def _hooks(self, plan: Plan | None, *, lent: bool = False) -> Hooks:
        """What a forward by this plan is looked at with, or one that is watched."""

        def made() -> Hooks:
            modules = self._table.modules
            more = watch_taps(modules) if plan is None else plan_taps(modules, plan)
            more += passing_taps(modules) if lent else []
            return Hooks(self.root, known_taps(modules, self.wanted) + more)

        return self._table.hooks(plan, (self.wanted, lent), made)

    def _finish(self) -> None:
        """End the forward that runs, if one does."""
        run, self._run = self._run, None
        done, self._done = self._done, None
        try:
            if run is not None:
                run.forward.end()
        finally:
            if self._tapping is not None:
                self._tapping.drop(keep=int(self._hooked))
            if self._buffers is not None:
                buffers, self._buffers = self._buffers, None
                buffers.restore()
                train_lock.release()
        if done is not None and done is run:
            self._conclude(done, self._output)
        self._output = None

    def _conclude(self, run: _Run, output: Any) -> None:
        self._way = run.forward.way
        try:
            demand_values(tensors_in(output))
            with calm():
                attention = self._attention(run, output)
            if attention is not None:
                self.results.append(attention)
            elif isinstance(run.forward, PlannedForward):
                self._watch_again(run, run.forward.plan, output)
        except Exception as error:
            self.error = self.error or unreadable(error)

    def _attention(self, run: _Run, output: Any) -> Attention | None:
        """The result; None if the forward left its plan."""
        forward = run.forward
        if isinstance(forward, PlannedForward):
            if not forward.does_the_same:
                return None
            try:
                told = attention_of(self._table, forward.plan, forward, output, self.wanted)
            except Changed:
                return None
            if forward.operations is not None:
                self._table.keep(run.signature, forward.plan)
            return told
        if forward.input_size == _NO_SIZE:
            forward.input_size = forward.watch.input_size or _NO_SIZE
        self._table.keep_tensors(left_behind(forward.watch))
        plan = learned_plan(forward, draws=run.state.drawn())
        attention = attention_of(self._table, plan, forward, output, self.wanted)
        if not self._altered:
            plan = replace(plan, overhangs=overhangs(attention), order=order_of(attention))
            self._table.keep(settled(self._table.modules, run.signature), plan)
        return attention

    def _watch_again(self, left: _Run, plan: Plan, output: Any) -> None:
        """Run a forward that left its plan a second time, and watch it.

        The second run's gates are the first one's if both called the same modules and gave the same
        bits.
        """
        state = left.state
        self._table.left(left.signature, plan)
        known, problem = len(self.results), None
        self._watching = True
        try:
            with state.again():
                self.run(self.root, state.args, state.kwargs)  # it has its own result
        except Exception as error:
            if self.alone:
                self.error = self.error or error  # the network's own
                return
            problem = error
        finally:
            self._watching = False
        if problem is None and len(self.results) == known:  # told already
            return
        if self.alone and state.repeated:
            return
        way = [step for step in self._way if step in plan.steps]
        same = problem is None and state.repeated and way == left.forward.way
        if same and _same_bits(output, self.results[-1].output):
            self.results[-1] = replace(self.results[-1], output=output)
            return
        del self.results[known:]
        self._table.distrust()
        raise CaptureError(
            "In one forward the network went another way than in those before it, and when it was "
            "run again to be watched it did not give the same: it keeps something from forward to "
            "forward, or draws random numbers of its own. Capture this forward again: this network "
            "will be watched at every forward from now on."
        ) from problem


def _same_bits(output: Any, again: Any) -> bool:
    """Two runs gave the same; not known where they gave no tensor."""
    one, two = list(tensors_in(output)), list(tensors_in(again))
    return bool(one) and len(one) == len(two) and all(map(_equal, one, two))


def _equal(one: Tensor, two: Tensor) -> bool:
    """Bit for bit; where one is no number, neither is the other."""
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    if torch.equal(one, two):
        return True
    return one.is_floating_point() and torch.allclose(one, two, 0, 0, equal_nan=True)


_CALLS = {nn.Module._call_impl.__code__, Recorder.run.__code__}
"""Whose frames stand for a call of the network."""


def _frames() -> Iterator[FrameType]:
    """What runs, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _running_call() -> FrameType | None:
    """The innermost call of a module: in a hook of the network's, its own."""
    return next((frame for frame in _frames() if frame.f_code in _CALLS), None)
