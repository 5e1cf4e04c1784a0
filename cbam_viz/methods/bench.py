"""A network's private copy with a place for each layer that is looked at.

What a layer gives passes through an `nn.Identity` of its own, on which torchcam puts its hooks. So
it does not matter whether a layer is a module, one call of a module, or a product in the middle of
somebody's forward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cbam_viz._text import few, nearest, quoted
from cbam_viz.attention import Attention, Cells
from cbam_viz.errors import CbamVizError, MethodError
from cbam_viz.gates import capture
from cbam_viz.gates.layout.cells import cells_of
from cbam_viz.gates.model.restore import calm
from cbam_viz.gates.watch.trace import Trace, parameter_storages
from cbam_viz.layer_names import find_called

Progress = Callable[[int, int], None]
"""Called between forwards with how many changed inputs are done, and how many there are. What it
raises ends the work."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a layer's features are to be met."""

    name: str
    module: str = ""
    """Dotted name of the module whose output they are; empty if `after` says what they are."""
    call: int = 1
    after: Tensor | None = None
    """(1, C, h, w) float32: the gated features, where they are no module's output."""
    cells: Cells | None = None
    """Where that is known already."""
    gated: bool = False
    """True if they are what a layer's gates give."""

    @property
    def what(self) -> str:
        """The features in words."""
        return f"the {'gated features' if self.gated else 'output'} of {self.name}"


def places_of(
    model: nn.Module, x: Tensor, layers: Sequence[str], gated: Attention | None
) -> list[Place]:
    """Where to meet each layer: a captured layer by its name, else a module or stage by its path.

    `gated` is what was captured on this very input; None for a network without gates.

    Raises:
        MethodError: there is no such layer.
    """
    modules = {name for name, _ in model.named_modules() if name}
    places = []
    plain = []
    for asked in layers:
        meant = None if gated is None or asked in modules else find_called(gated, asked)
        name = meant or asked
        layer = gated.get(name) if gated is not None else None
        if layer is None and name in modules:
            places.append(Place(name, name))
        elif layer is None:
            there = nearest([*(gated or ()), *sorted(modules)], name)
            raise MethodError(
                f"There is no layer {quoted(name)}. Take a layer with gates, or a module or stage "
                f"by its name, such as {few(there)}."
            )
        elif layer.found_by == "hook" and layer.module in modules:
            places.append(Place(name, layer.module, layer.call, None, layer.cells, True))
        else:
            plain.append(name)
            places.append(Place(name, "", 1, None, layer.cells, True))
    found = _features(model, x, plain) if plain else {}
    return [replace(one, after=found[one.name]) if one.name in found else one for one in places]


def captured(model: nn.Module, x: Tensor) -> Attention | None:
    """None for a network without gates that could be captured; its modules are still there."""
    try:
        with torch.no_grad():
            return capture(model, x)
    except CbamVizError:
        return None


def _features(model: nn.Module, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Gated features that are made in plain code, (1, C, h, w) float32, by one forward."""
    with torch.no_grad():
        seen = capture(model, x, features=names)
    found = {}
    for name in names:
        features = seen[name].features
        if features is None:
            raise MethodError(
                f"The gated features of {name} were not seen, so there is no map of it."
            )
        found[name] = features.after
    return found


class Bench(nn.Module):
    """A replica at work; its forward gives the target's score of each picture, (B, 1)."""

    def __init__(
        self,
        network: nn.Module,
        places: Sequence[Place],
        score: Callable[[Any], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.places = tuple(places)
        self.spots = nn.ModuleList(nn.Identity() for _ in places)
        self.score = score
        self.swept: Callable[[Any], Tensor] | None = None
        """The score of changed inputs, where it is another one."""
        self.watching: Callable[[], AbstractContextManager[None]] = nullcontext
        """Entered for a forward and the score that is made of it."""
        self.see: Callable[[int, Tensor], None] | None = None
        self.expected: float | None = None
        """The score that the network itself gives for the input that is looked at."""
        self.progress: Progress | None = None
        self.ran = 0
        """How many inputs went through the network here."""
        self._looking = True
        self._swept = self._of = 0
        self.eval()

    def only(self, k: int) -> Bench:
        """A bench of the same copy and target that has one of the places."""
        one = Bench(self.network, self.places[k : k + 1], self.score)
        one.swept, one.watching = self.swept, self.watching
        one.expected, one.progress = self.expected, self.progress
        return one

    @contextmanager
    def unseen(self, count: int) -> Iterator[None]:
        """Forwards of so many changed inputs, whose features nobody asks for."""
        self._looking, self._swept, self._of = False, 0, count
        try:
            yield
        finally:
            self._looking = True

    def names(self) -> list[str]:
        """What torchcam calls the places, in their order."""
        return [f"spots.{k}" for k in range(len(self.spots))]

    def forward(self, x: Tensor) -> Tensor:
        """Run the network; (B, 1), or nothing of use before there is a target."""
        self.ran += len(x)
        with self.watching():
            if self._looking:
                return self._looked(x)
            scores = self._scored(self.network(x), self.swept or self.score)
        self._swept += len(x)
        if self.progress is not None:
            self.progress(min(self._swept, self._of), self._of)
        return scores

    def _looked(self, x: Tensor) -> Tensor:
        met: set[int] = set()
        with _meeting(self, met):
            output = self.network(x)
        for k, place in enumerate(self.places):
            if k not in met:
                raise MethodError(
                    f"{place.what[0].upper()}{place.what[1:]} did not come by: the layer does not "
                    "run in this forward, or is made in a way that cannot be followed."
                )
        scores = self._scored(output, self.score)
        if self.expected is not None:
            self._demand_same(float(scores[0, 0].detach()), self.expected)
        return scores

    @staticmethod
    def _demand_same(score: float, expected: float) -> None:
        if not math.isclose(score, expected, rel_tol=1e-3, abs_tol=1e-5):
            raise MethodError(
                f"With its layers looked at, the network gives {score:g} for the target, and "
                f"{expected:g} without: it draws random numbers, or writes into what a layer has "
                "given. A map of it would not be of this network."
            )

    @staticmethod
    def _scored(output: Any, score: Callable[[Any], Tensor] | None) -> Tensor:
        return torch.empty(0) if score is None else score(output)[:, None]

    def through(self, k: int, features: Any) -> Tensor:
        """Let a layer's features pass their spot, and give the network what it goes on with."""
        place = self.places[k]
        if not isinstance(features, Tensor) or features.ndim != 4 or min(features.shape) < 1:
            what = (
                tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            )
            raise MethodError(
                f"{place.what[0].upper()}{place.what[1:]} is {what}, and a map is made of feature "
                "maps, (B, C, h, w)."
            )
        # What follows may write into them (an in-place ReLU, `x += shortcut`).
        features = features.clone()
        if torch.is_grad_enabled() and not features.requires_grad:
            features.requires_grad_()
        passed: Tensor = self.spots[k](features)
        if self.see is not None:
            self.see(k, passed)
        return passed.clone()


@contextmanager
def _meeting(bench: Bench, met: set[int]) -> Iterator[None]:
    """Notice the features of each place as they come by."""
    handles = []
    calls: dict[str, int] = {}
    for name in {place.module for place in bench.places if place.module}:

        def met_output(_module: nn.Module, _args: Any, output: Any, name: str = name) -> Any:
            calls[name] = calls.get(name, 0) + 1
            for k, place in enumerate(bench.places):
                if place.module == name and place.call == calls[name]:
                    met.add(k)
                    output = bench.through(k, output)
            return output

        handles.append(bench.network.get_submodule(name).register_forward_hook(met_output))
    try:
        with (
            _Finding(bench, met)
            if any(p.after is not None for p in bench.places)
            else nullcontext()
        ):
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Finding(TorchFunctionMode):
    """Meets gated features that are no module's output: the first result that equals them."""

    def __init__(self, bench: Bench, met: set[int]) -> None:
        super().__init__()
        self._bench, self._met = bench, met
        self._wanted = {k: p.after for k, p in enumerate(bench.places) if p.after is not None}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation and look at its result."""
        out = func(*args, **(kwargs or {}))
        for k, after in self._wanted.items():
            if k not in self._met and _equal(out, after):
                self._met.add(k)
                passed = self._bench.through(k, out)
                # `x.mul_(gate)`: what follows goes on with `x`, whatever is returned.
                out = out.copy_(passed) if args and out is args[0] else passed
        return out


def _equal(out: Any, after: Tensor) -> bool:
    fits = isinstance(out, Tensor) and out.shape == after.shape and out.is_floating_point()
    return fits and torch.equal(out.detach().float().cpu(), after)


def cells_at(bench: Bench, x: Tensor) -> list[Cells]:
    """Where the cells of each place's features lie on the input: one forward that is followed.

    Captured layers have theirs already; nothing runs where all places do.
    """
    known = {k: place.cells for k, place in enumerate(bench.places) if place.cells is not None}
    if len(known) == len(bench.places):
        return [known[k] for k in range(len(bench.places))]
    found: dict[int, Cells] = {}
    size = (int(x.shape[2]), int(x.shape[3]))
    with calm(), Trace(parameter_storages(bench.network)) as trace:
        trace.place_input(x)

        def note(k: int, features: Tensor) -> None:
            layout = trace.node(features).layout
            shape = (int(features.shape[2]), int(features.shape[3]))
            found[k] = cells_of(layout, size, shape)

        bench.see = note
        try:
            bench(x)
        finally:
            bench.see = None
    return [known.get(k) or found[k] for k in range(len(bench.places))]
