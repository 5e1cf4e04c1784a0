"""One capture at work: hooks tell it what passes, and each forward becomes an `Attention`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from ..attention import Attention
from ..errors import CaptureError
from .assemble import Changed, attention_of
from .checks import sampled
from .forward import Forward
from .hooks import Moment, Tap, Tapping, kept
from .learn import learned_plan
from .limits import demand_plain, demand_values, transformed, unreadable
from .products import Wants, Watch
from .state import Buffers, calm, train_lock
from .structure import images_in, input_size_of, pictured_size, tensors_in
from .table import Plan, Table, forget, known_taps, remembered, signature_of, table_of
from .trace import parameter_storages

_LARGEST_LEAF = 1 << 18
_MOST_CHANGES = 2
"""A network that went another way than planned this often is watched at every forward."""
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
    ) -> None:
        self.root = root
        self.results: list[Attention] = []
        self.error: BaseException | None = None
        self._branches, self._descriptors = branches, descriptors
        self._features = features if isinstance(features, bool) else frozenset(features)
        self._tapping: Tapping | None = None
        self._forward: Forward | None = None
        self._buffers: Buffers | None = None
        self._done: Forward | None = None
        self._depth = 0
        self._fresh = False
        self._output: Any = None
        self._table: Table
        self._training: tuple[bool, ...] = ()

    @property
    def extras(self) -> bool:
        """True if more than gates is wanted."""
        return bool(self._branches or self._descriptors or self._features)

    @property
    def scripted(self) -> bool:
        """True if the whole model is TorchScript, which takes no hooks."""
        return isinstance(self.root, torch.jit.ScriptModule)

    def run(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the model, whether or not it takes hooks."""
        if not self.scripted:
            return model(*args, **kwargs)
        self._begin(args, kwargs)
        output = self._output = model(*args, **kwargs)
        self._done = self._forward
        self._finish()
        return output

    def start(self) -> None:
        """Place the hooks that notice a forward's beginning and end."""
        self.prepare()
        self._tapping = Tapping(self.root, self)
        try:
            self._tapping.open()
            if not self.scripted:
                self._tapping.add(
                    [
                        Tap(self.root, "begin", "before"),
                        Tap(self.root, "done"),
                        Tap(self.root, "end", "finally"),
                    ]
                )
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
            self._table, self._training = table_of(self.root)
            self._fresh = True
        return self._table

    def see(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Take what a hook saw; the network goes on, whatever comes of it."""
        try:
            self._take(key, args, kwargs, output)
        except CaptureError:
            raise
        except Exception as error:
            self.error = self.error or unreadable(error)

    def _take(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        forward = self._forward
        if isinstance(key, str):
            self._root(key, args, kwargs, output)
        elif forward is None:
            return
        elif transformed():
            _pass_by(forward, key)
        elif key[0] == "leaf":
            self._leaf(forward, key[1], output)
        elif forward.watch is not None:
            with _disable_current_modes():
                self._see(forward, key, args, output)
        else:
            self._see(forward, key, args, output)

    def _see(self, forward: Forward, key: Any, args: tuple[Any, ...], output: Any) -> None:
        if key[0] in ("enter", "leave"):
            self._walk(forward, key[0], key[1], args, output)
        elif key[0] == "in":
            number = forward.passed[key] = forward.passed.get(key, 0) + 1
            _sample(forward, key[1], number, "in", args)
        elif key[0] == "out":
            number = forward.passed[key] = forward.passed.get(key, 0) + 1
            _sample(forward, key[1], number, "out", output)
        else:
            value = args[0] if key[1] in ("before", "descriptors") and args else output
            forward.events.append((key[0], key[1], kept(value)))

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
        else:
            self._depth -= 1
            if self._depth == 0:
                self._finish()

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        demand_plain()
        self.prepare()
        self._fresh = False
        if any(self._training):
            train_lock.acquire()
            self._buffers = Buffers(self.root)
        signature = signature_of(args, kwargs, self._training)
        size = input_size_of(args, kwargs)
        plan = self._usable_plan(signature) if size != _NO_SIZE else None
        try:
            taps = self._taps(plan)
        except KeyError:  # a module is gone and another has its identity
            forget(self.root)
            self._table, self._training = table_of(self.root)
            plan = None
            taps = self._taps(plan)
        watch = None
        if plan is None:
            wants = Wants(bool(self._features), self._branches or self._descriptors)
            watch = Watch(parameter_storages(self.root), wants)
            for image in images_in(args, kwargs):
                watch.place_input(image)
            watch.awaits = pictured_size(args, kwargs) or size == _NO_SIZE
        self._forward = Forward(size, signature, plan, watch)
        _sample(self._forward, "", 1, "in", args)
        assert self._tapping is not None
        self._tapping.add(taps)
        if watch is not None:
            watch.__enter__()  # type: ignore[no-untyped-call]

    def _usable_plan(self, signature: Any) -> Plan | None:
        """The plan with which hooks alone give all that is wanted."""
        if self._table.fickle >= _MOST_CHANGES:
            return None
        plan = self._table.plan(signature)
        if plan is None or not plan.quick or (self.extras and plan.layers):
            return None
        return plan

    def _taps(self, plan: Plan | None) -> list[Tap]:
        def make() -> list[Tap]:
            taps = known_taps(
                self._table,
                branches=self._branches,
                descriptors=self._descriptors,
                features=self._features,
            )
            return taps + (self._watch_taps() if plan is None else _plan_taps(self._table, plan))

        asked = (self._branches, self._descriptors, self._features)
        return remembered((self._table if plan is None else plan).taps, asked, make)

    def _watch_taps(self) -> list[Tap]:
        taps = []
        for name in self._table.modules:
            if name:
                module = self._table.module(name)
                taps.append(Tap(module, ("enter", name), "before"))
                taps.append(Tap(module, ("leave", name), "finally"))
        return taps

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
                self._tapping.drop(keep=0 if self.scripted else 3)
            if self._buffers is not None:
                buffers, self._buffers = self._buffers, None
                buffers.restore()
                train_lock.release()
        if done is not None and done is forward:
            self._conclude(done, self._output)
        self._output = None

    def _conclude(self, forward: Forward, output: Any) -> None:
        try:
            demand_values(tensors_in(output))
            with calm():
                if forward.watch is not None:
                    if forward.input_size == _NO_SIZE:
                        forward.input_size = forward.watch.input_size or _NO_SIZE
                    plan = learned_plan(self._table, forward)
                    self._table.keep(forward.signature, plan)
                self.results.append(
                    attention_of(
                        self._table,
                        forward,
                        output,
                        branches=self._branches,
                        descriptors=self._descriptors,
                    )
                )
        except Changed as error:
            self.error = self.error or error
        except Exception as error:
            self.error = self.error or unreadable(error)


def _plan_taps(table: Table, plan: Plan) -> list[Tap]:
    """Where a planned forward must be looked at: leaves of recipes, and boundaries of checks."""
    taps: dict[Any, Tap] = {}
    for layer in plan.layers:
        for recipe in (layer.channel, layer.spatial):
            for name, _ in recipe.leaves if recipe is not None else ():
                taps["leaf", name] = Tap(table.module(name), ("leaf", name))
        if layer.check is not None:
            for name, _, way, _ in (*layer.check.leaves, layer.check.result):
                if name:
                    moment: Moment = "before" if way == "in" else "after"
                    taps[way, name] = Tap(table.module(name), (way, name), moment)
    return list(taps.values())


def _pass_by(forward: Forward, key: Any) -> None:
    """A call inside a transform of torch.func: nothing to be read, but where it is."""
    watch = forward.watch
    if watch is not None and key[0] == "enter":
        watch.transformed.add(watch.enter(key[1]))
    elif watch is not None and key[0] == "leave":
        watch.leave(key[1])


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
                forward.boundaries.setdefault(forward.watch.node(one), boundary)


def _asked(plan: Plan | None, way: str) -> bool:
    return plan is not None and any(
        name == "" and asked == way
        for layer in plan.layers
        if layer.check is not None
        for name, _, asked, _ in (*layer.check.leaves, layer.check.result)
    )
