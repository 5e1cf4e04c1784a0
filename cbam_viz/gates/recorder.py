"""One capture at work: hooks tell it what passes, and each forward becomes an `Attention`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from ..attention import Attention
from ..errors import CaptureError
from .assemble import Changed, attention_of, demand_places, overhangs
from .model.hooks import Hooks, Sighting, Tapping, is_bare, kept
from .model.restore import Buffers, State, calm, train_lock
from .model.structure import Survey, images_in, input_size_of, pictured_size, tensors_in
from .plan.checks import sampled
from .plan.forward import Forward
from .plan.learn import learned_plan
from .plan.table import Plan, Signature, Table, forget, signature_of, table_of
from .plan.taps import known_taps, plan_taps, watch_taps
from .watch.limits import demand_plain, demand_values, transformed, unreadable
from .watch.products import Wants, Watch
from .watch.trace import parameter_storages

_LARGEST_LEAF = 1 << 18
_NO_SIZE = (0, 0)


class Recorder:
    """The sink of one capture's hooks."""

    def __init__(
        self,
        root: nn.Module,
        *,
        branches: bool,
        descriptors: bool,
        features: bool | Sequence[str],
        steps: bool | Sequence[str] = False,
    ) -> None:
        self.root = root
        self.results: list[Attention] = []
        self.error: BaseException | None = None
        self.alone = False
        """True if the caller learns from the results alone what the network gave: then a second run
        may stand for the first."""
        self._branches, self._descriptors = branches, descriptors
        self._features = features if isinstance(features, bool) else frozenset(features)
        self._steps = steps if isinstance(steps, bool) else frozenset(steps)
        self._tapping: Tapping | None = None
        self._forward: Forward | None = None
        self._buffers: Buffers | None = None
        self._done: Forward | None = None
        self._depth = 0
        self._fresh = False
        self._hooked = True
        """True if hooks tell of a forward's beginning and end."""
        self._output: Any = None
        self._table: Table
        self._seen: Survey
        self._watching = False
        """True if the next forward is to be watched whatever is known."""
        self._way: list[Sighting] = []
        """That of the last forward."""

    @property
    def extras(self) -> bool:
        """True if more than gates is wanted."""
        return bool(self._branches or self._descriptors or self._features)

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
                self._tapping.add(self._table.ends)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Leave no hook, no mode and no changed buffer, whatever has happened."""
        try:
            self._finish()
        finally:
            self._depth = 0
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
            self._take(key, args, kwargs, output)
        except CaptureError:
            raise
        except Exception as error:
            self.error = self.error or unreadable(error)

    def _take(
        self, key: Sighting, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        forward = self._forward
        if key.what in ("begin", "done", "end"):
            self._root(key.what, args, kwargs, output)
        elif forward is None or not forward.steps_on(key):
            return
        elif transformed():
            _pass_by(forward, key)
        elif key.what == "leaf":
            self._leaf(forward, key.module, output)
        elif forward.watch is not None:
            with _disable_current_modes():
                self._see(forward, key, args, output)
        else:
            self._see(forward, key, args, output)

    def _see(self, forward: Forward, key: Sighting, args: tuple[Any, ...], output: Any) -> None:
        what = key.what
        if what in ("enter", "leave"):
            self._walk(forward, what, key.module, args, output)
        elif what in ("received", "returned"):
            number = forward.passed[key] = forward.passed.get(key, 0) + 1
            way, value = ("in", args) if what == "received" else ("out", output)
            _sample(forward, key.module, number, way, value)
        else:
            value = args[0] if what in ("before", "descriptors") and args else output
            forward.events.append((key.module, what, kept(value)))

    def _root(self, what: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if what == "begin":
            self._depth += 1
            if self._depth == 1:
                self._begin(args, kwargs)
        elif what == "done":
            if self._depth == 1:
                self._done = self._forward
                self._output = output
                if self._forward is not None:
                    with _disable_current_modes():
                        _sample(self._forward, "", 1, "out", output)
                        _note_returned(self._forward, output)
        else:
            self._depth -= 1
            if self._depth == 0:
                self._finish()

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        demand_plain()
        self.prepare()
        self._fresh = False
        if any(self._seen.training):
            train_lock.acquire()
            self._buffers = Buffers(self.root)
        signature = signature_of(self._table, args, kwargs, self._seen)
        size = input_size_of(args, kwargs)
        plan = self._usable_plan(signature) if size != _NO_SIZE else None
        tapping = self._tapping
        assert tapping is not None
        try:
            tapping.add(self._hooks(plan))
        except KeyError:  # a module is gone and another has its identity
            tapping.drop(keep=int(self._hooked))
            forget(self.root)
            self._table, self._seen = table_of(self.root)
            plan = None
            tapping.add(self._hooks(plan))
        state = State(args, kwargs, drawn=plan is None or plan.draws)
        watch = None
        if plan is None:
            steps = bool(self._steps)
            wants = Wants(
                bool(self._features) or steps, self._branches or self._descriptors or steps, steps
            )
            watch = Watch(parameter_storages(self.root), wants)
            for image in images_in(args, kwargs):
                watch.place_input(image)
            watch.awaits = pictured_size(args, kwargs) or size == _NO_SIZE
        self._forward = Forward(size, signature, plan, watch, state)
        _sample(self._forward, "", 1, "in", args)
        if watch is not None:
            watch.__enter__()  # type: ignore[no-untyped-call]

    def _usable_plan(self, signature: Signature) -> Plan | None:
        """The plan with which hooks alone give all that is wanted."""
        if self._watching or self._table.fickle or self._steps:
            return None
        plan = self._table.plan(signature)
        if plan is None or not plan.quick or (self.extras and plan.layers):
            return None
        return plan

    def _hooks(self, plan: Plan | None) -> Hooks:
        """What a forward by this plan is looked at with, or one that is watched."""
        places = (self._table if plan is None else plan).hooks
        asked = (self._branches, self._descriptors, self._features)
        hooks = places.get(asked)
        if hooks is None:
            known = known_taps(
                self._table,
                branches=self._branches,
                descriptors=self._descriptors,
                features=self._features,
            )
            more = watch_taps(self._table) if plan is None else plan_taps(self._table, plan)
            hooks = places[asked] = Hooks(self.root, known + more)
        return hooks

    def _leaf(self, forward: Forward, name: str, output: Any) -> None:
        number = forward.calls[name] = forward.calls.get(name, 0) + 1
        copy = kept(output)
        if copy is not None:
            forward.leaves[name, number] = copy
            forward.first[name, number] = len(forward.events)

    def _walk(
        self, forward: Forward, what: str, name: str, args: tuple[Any, ...], output: Any
    ) -> None:
        watch = forward.watch
        if watch is None:
            return
        if what == "enter":
            watch.enter(name)
            _sample(forward, name, watch.calls[name], "in", args)
            if name in self._table.known and args and isinstance(args[0], Tensor):
                forward.known_inputs[name, watch.calls[name]] = watch.node(args[0])
            return
        _sample(forward, name, watch.calls.get(name, 1), "out", output)
        if isinstance(output, Tensor):
            forward.mark(name, args, output)
            node = watch.node(output)
            leaf = (name, watch.calls.get(name, 1))
            if node not in forward.outputs and output.numel() <= _LARGEST_LEAF:
                forward.outputs[node] = leaf
                copy = kept(output)
                assert copy is not None
                forward.leaves[leaf] = copy
        watch.leave(name)

    def _finish(self) -> None:
        """End the forward that runs, if one does."""
        forward, self._forward = self._forward, None
        done, self._done = self._done, None
        try:
            if forward is not None and forward.watch is not None:
                forward.watch.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        finally:
            if self._tapping is not None:
                self._tapping.drop(keep=int(self._hooked))
            if self._buffers is not None:
                buffers, self._buffers = self._buffers, None
                buffers.restore()
                train_lock.release()
        if done is not None and done is forward:
            self._conclude(done, self._output)
        self._output = None

    def _conclude(self, forward: Forward, output: Any) -> None:
        self._way = forward.way
        try:
            demand_values(tensors_in(output))
            try:
                self.results.append(self._attention(forward, output))
            except Changed:
                self._watch_again(forward, output)
        except Exception as error:
            self.error = self.error or unreadable(error)

    def _attention(self, forward: Forward, output: Any) -> Attention:
        with calm():
            plan = forward.plan
            if forward.watch is not None:
                if forward.input_size == _NO_SIZE:
                    forward.input_size = forward.watch.input_size or _NO_SIZE
                plan = learned_plan(self._table, forward)
            assert plan is not None
            attention = attention_of(
                self._table,
                plan,
                forward,
                output,
                branches=self._branches,
                descriptors=self._descriptors,
                steps=self._steps,
            )
            if forward.watch is None:
                demand_places(plan, attention)
            else:
                plan.overhangs = overhangs(attention)
                self._table.keep(forward.signature, plan)
            return attention

    def _watch_again(self, forward: Forward, output: Any) -> None:
        """Run a forward that left its plan a second time, and watch it.

        The second run's gates are the first one's if both called the same modules and gave the same
        bits.
        """
        state = forward.state
        assert forward.plan is not None
        self._table.left(forward.signature, forward.plan)
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
        way = [step for step in self._way if step in forward.plan.steps]
        same = problem is None and state.repeated and way == forward.way
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


def _pass_by(forward: Forward, key: Sighting) -> None:
    """A call inside a transform of torch.func: nothing to be read, but where it is."""
    watch = forward.watch
    if watch is not None and key.what == "enter":
        watch.transformed.add(watch.enter(key.module))
    elif watch is not None and key.what == "leave":
        watch.leave(key.module)


def _sample(forward: Forward, name: str, number: int, way: str, value: Any) -> None:
    """Keep a few positions of what a module received or returned, if that may be compared."""
    if forward.watch is None and not name and not _asked(forward.plan, way):
        return
    values = value if isinstance(value, (tuple, list)) else (value,)
    for k, one in enumerate(values[:4]):
        if not isinstance(one, Tensor) or one.is_nested or one.layout is not torch.strided:
            continue
        if one.ndim == 4 and one.is_floating_point():
            boundary = (name, number, way, k)
            forward.samples[boundary] = sampled(one)
            if forward.watch is not None:
                node = forward.watch.node(one)
                forward.boundaries.setdefault(node, boundary)
                forward.ends[node] = boundary


def _note_returned(forward: Forward | None, output: Any) -> None:
    """Remember, while watching, which values the network returned."""
    if forward is not None and forward.watch is not None:
        with suppress(NotImplementedError, RuntimeError):  # tensors without a storage
            forward.returned = {forward.watch.node(tensor) for tensor in tensors_in(output)}


def _asked(plan: Plan | None, way: str) -> bool:
    return plan is not None and any(
        name == "" and asked == way
        for layer in plan.layers
        if layer.check is not None
        for name, _, asked, _ in (*layer.check.leaves, layer.check.result)
    )
