"""From a captured layer to the walk through it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cbam_viz._numbers import number
from cbam_viz.analysis import Analysis, analyse
from cbam_viz.attention import LayerAttention
from cbam_viz.computation import Computation, GateComputation, GateKind, Source
from cbam_viz.errors import CaptureError
from cbam_viz.images import DEFAULT_VIEW, Geometry, Photo, View
from cbam_viz.models import LoadedModel
from cbam_viz.steps.follow import Wish, cell_of, channel_reason, channels_of
from cbam_viz.steps.records import Followed, Number, Picture, Step, Values, Walk, spread
from cbam_viz.steps.symbols import GATES, SOURCES, Formula, plain
from cbam_viz.steps.telling import GateTelling
from cbam_viz.wrappers import unwrap

INTO = {
    "convolution": "a convolution", "relu": "a ReLU", "silu": "a SiLU", "hardswish": "a Hardswish",
    "mean": "an average pooling", "amax": "a max pooling", "cat": "a concatenation",
    "native_batch_norm": "a BatchNorm", "max_pool2d_with_indices": "a max pooling",
    "avg_pool2d": "an average pooling", "mul": "a multiplication", "add": "an addition",
}  # fmt: skip


def analyse_steps(
    loaded: LoadedModel, photo: Photo, layer: str, view: View = DEFAULT_VIEW
) -> Analysis:
    """One forward that keeps every operation of one layer, by its name in `Analysis.attention`.

    Raises what `cbam_viz.analyse` raises.
    """
    return analyse(loaded, photo, view, features=(layer,), steps=(layer,))


def walk(
    layer: LayerAttention,
    model: nn.Module,
    geometry: Geometry | None = None,
    *,
    channel: int | Wish | None = None,
    cell: tuple[int, int] | None = None,
) -> Walk:
    """The steps of a layer that was captured with `steps`, on one photo.

    Every number is what the network computed; `model` is asked for the weights that stand in the
    equations, nothing else. `channel` is a number, `"largest"` or `"smallest"` weight, or
    `"most taken"`, the default: the one from which its weight takes most. `cell` is a row and a
    column, from 0; without it, the highest of the map on the photo.

    Raises:
        CaptureError: the layer was captured without its steps, or for several photos at once, or
            has no such channel or cell.
    """
    computation = layer.computation
    if computation is None or not computation.gates:
        raise CaptureError(
            f"The steps of {layer.name} were not captured. Capture the layer with steps=True; if "
            "that was done, the operations around its gates could not be seen."
        )
    if computation.gates[0].features.shape[0] != 1:
        raise CaptureError("A walk is of one photo. Capture it alone, as a batch of one.")
    wishes = channels_of(layer, computation, geometry)
    count = computation.gates[0].features.shape[1]
    followed = _channel(channel, wishes, count)
    at, cell_reason = cell_of(layer, computation, geometry, followed, chosen=cell)
    reason = channel_reason(layer, followed, wishes, chosen=isinstance(channel, int))
    walker = _Walker(
        layer, computation, geometry, followed=Followed(followed, at), weights=_weights(model)
    )
    return Walk(
        layer, computation, geometry, followed, reason, at, cell_reason, tuple(walker.steps())
    )


def _channel(wish: int | Wish | None, wishes: dict[Wish, int], count: int) -> int:
    if not isinstance(wish, int):
        return wishes.get(wish or "most taken", wishes["most taken"])
    if not 0 <= wish < count:
        raise CaptureError(f"There is no channel {wish}; this layer has 0 to {count - 1}.")
    return wish


def _weights(model: nn.Module) -> Mapping[str, Tensor]:
    inner = unwrap(model)
    return {**dict(inner.named_buffers()), **dict(inner.named_parameters())}


@dataclass(frozen=True)
class _Product:
    """A multiplication by one gate or by both, in words."""

    name: Formula
    """Of its result."""
    factor: Formula
    title: str
    words: str
    values: tuple[float, ...]
    """The factors of the followed value."""


class _Walker:
    """Puts the steps of the gates between what goes in and what comes out."""

    def __init__(
        self,
        layer: LayerAttention,
        computation: Computation,
        geometry: Geometry | None,
        *,
        followed: Followed,
        weights: Mapping[str, Tensor],
    ) -> None:
        self.layer, self.computation, self.followed = layer, computation, followed
        self.geometry, self._weights = geometry, weights

    def steps(self) -> list[Step]:
        """All steps, in the order in which a student meets them."""
        steps = [self._input()]
        gates = self.computation.gates
        for index, gate in enumerate(gates):
            value = self.layer.channel if gate.kind == "channel" else self.layer.spatial
            assert value is not None
            telling = GateTelling(
                gate,
                self.seen(index),
                value,
                followed=self.followed,
                weights=self._weights,
                geometry=self.geometry,
                cells=self.layer.cells,
            )
            steps.extend(telling.steps())
            if not gate.together or index == len(gates) - 1:
                steps.append(self._product(index))
        steps.append(self._after())
        return steps

    def seen(self, index: int) -> Source:
        """What a gate multiplies, in the words of `computation.Source`."""
        first, gate = self.computation.gates[0], self.computation.gates[index]
        if index == 0 or gate.together or self.layer.composition == "parallel":
            return "input"
        same = first.result.shape == gate.features.shape and bool(
            (first.result == gate.features).all()
        )
        return "gated" if same else "seen"

    def _input(self) -> Step:
        features = self.computation.gates[0].features[0].numpy()
        channels, rows, columns = features.shape
        channel, (row, column) = self.followed.channel, self.followed.cell
        value = float(features[channel, row, column])
        picture = self._map(f"Channel {channel} of F", features[channel])
        return Step(
            "features", None, "Input features",
            rf"F \in \mathbb{{R}}^{{{channels} \times {rows} \times {columns}}}",
            f"F has {channels} × {rows} × {columns} values",
            f"{channels} feature maps (channels) of {rows} × {columns} cells. Each map responds to "
            "one kind of pattern, and each cell to a part of the photo.",
            f"{channels} × {rows} × {columns}",
            (f"{self._at()}: {number(value)}",),
            (Number("F", value),),
            (picture,),
        )  # fmt: skip

    def _product(self, index: int) -> Step:
        gate = self.computation.gates[index]
        done = self._both() if gate.together else self._one(index, gate)
        features, result = gate.features[0].numpy(), gate.result[0].numpy()
        channel, cell = self.followed.channel, self.followed.cell
        before, after = features[channel], result[channel]
        low, high = spread(before, after)
        ends = float(before[cell]), float(after[cell])
        seen = SOURCES[self.seen(index)]
        sides = "".join(f" × {number(value)}" for value in done.values)
        latex, text = (
            f"{done.factor.latex} \\otimes {seen.latex}",
            f"{done.factor.text} ⊗ {seen.text}",
        )
        words = [done.words]
        if not _is_product(features, gate, self.layer):
            latex, text = f"{latex} + A", f"{text} + A"
            sides += f" + {number(ends[1] - ends[0] * math.prod(done.values))}"
            words.append("This code adds something (A) in the same operation.")
        if seen is SOURCES["seen"]:
            words.append(f"{seen.text} is what the first gate made, with something added since.")
        return Step(
            "product",
            None if gate.together else gate.kind,
            done.title,
            f"{done.name.latex} = {latex}",
            f"{done.name.text} = {text}",
            " ".join(words),
            " × ".join(map(str, features.shape)),
            (f"{self._at()}: {number(ends[0])}{sides} = {number(ends[1])}",),
            (Number(seen.text, ends[0]), Number(done.name.text, ends[1])),
            (
                Picture(f"Channel {channel} of {seen.text}", "map", before, low, high, cell),
                Picture(f"Channel {channel} of {done.name.text}", "map", after, low, high, cell),
            ),
        )

    def _at(self) -> str:
        return f"Channel {self.followed.channel}, {self.followed.where}"

    def _one(self, index: int, gate: GateComputation) -> _Product:
        """One gate's multiplication."""
        seen, made = SOURCES[self.seen(index)], GATES[gate.kind]
        name = plain("F'", "F′") if index == 0 else plain("F''", "F″")
        if self.layer.composition == "parallel":
            name = plain("F_c") if gate.kind == "channel" else plain("F_s")
        whose, where, title = (
            ("channel", "in all its cells", "Channel-refined features")
            if gate.kind == "channel"
            else ("place", "of all channels there", "Spatially refined output")
        )
        factor = plain(f"{made.latex}({seen.latex})", f"{made.text}({seen.text})")
        words = (
            f"⊗ multiplies element by element: the weight of a {whose} is the factor of the values "
            f"{where}."
        )
        return _Product(name, factor, title, words, (self._weight(gate.kind),))

    def _both(self) -> _Product:
        """Both gates in one multiplication."""
        words = (
            "This code multiplies by both gates at once, so features after one gate alone never "
            "exist. ⊗ multiplies element by element."
        )
        values = self._weight("channel"), self._weight("spatial")
        factor = plain(r"M_c(F) \otimes M_s(F)", "Mc(F) ⊗ Ms(F)")
        return _Product(plain("F''", "F″"), factor, "Refined output", words, values)

    def _weight(self, kind: GateKind) -> float:
        """The gate's value for the followed channel or cell."""
        gate, (row, column) = self.layer.channel, self.followed.cell
        if kind == "channel":
            assert gate is not None
            return float(gate[0, self.followed.channel])
        assert self.layer.spatial is not None
        return float(self.layer.spatial[0, row, column])

    def _after(self) -> Step:
        after, gates = self.computation.after, self.computation.gates
        title, words = "What follows", ""
        if self.layer.composition == "parallel":
            title, words = "Both results meet", (
                "Both gates acted on the same features; the network brings both results together "
                "and goes on with that."
            )  # fmt: skip
        elif after.name == "add" and (after.value is None or after.shortcut is None):
            title, words = "Added to the shortcut", (
                "The refined features are added to others: in a residual block, to the block's "
                "input."
            )  # fmt: skip
            return Step(
                "after", None, title, "", "", words, "",
                reason="The shortcut's features were too large to keep or have another order of "
                "axes, so they are not shown.",
            )  # fmt: skip
        elif after.name == "add":
            return self._sum()
        elif after.name:
            into = INTO.get(after.name, f"the operation “{after.name.strip('_')}”")
            words = f"The refined features go on into {into}."
        else:
            words = "The refined features are what the network, or this part of it, returns."
        if after.name != "add" and len(gates) and self.layer.composition != "parallel":
            words += " No shortcut is added to them right behind this layer."
        return Step("after", None, title, "", "", words, "")

    def _sum(self) -> Step:
        after, gate = self.computation.after, self.computation.gates[-1]
        assert after.shortcut is not None
        assert after.value is not None
        channel, (row, column) = self.followed.channel, self.followed.cell
        parts = [one[0, channel].numpy() for one in (gate.result, after.shortcut, after.value)]
        low, high = spread(*parts)
        values = [float(one[row, column]) for one in parts]
        told = "{} + {} = {}".format(*map(number, values))
        name = "F″" if len(self.computation.gates) == 2 else "F′"
        titles = (f"Channel {channel} of {name}", "The shortcut", "Their sum")
        latex = name.replace("″", "''").replace("′", "'")
        return Step(
            "after", None, "Added to the shortcut", f"Y = {latex} + S", f"Y = {name} + S",
            "S did not pass this layer: in a residual block it is the shortcut, the block's input. "
            "It is added number by number, so that the gates hold back what this block adds, and "
            "nothing of what came before.",
            " × ".join(map(str, gate.result.shape[1:])),
            (f"{self._at()}: {told}",),
            tuple(Number(t, v) for t, v in zip((name, "S", "Y"), values, strict=True)),
            tuple(
                Picture(title, "map", one, low, high, (row, column))
                for title, one in zip(titles, parts, strict=True)
            ),
        )  # fmt: skip

    def _map(self, title: str, values: Values) -> Picture:
        low, high = spread(np.asarray(values))
        return Picture(title, "map", values, low, high, self.followed.cell)


def _is_product(features: Values, gate: GateComputation, layer: LayerAttention) -> bool:
    """Whether features times gates are the result, within rounding: addcmul adds something too."""
    product = features
    if layer.channel is not None and (gate.together or gate.kind == "channel"):
        product = product * layer.channel[0].numpy()[:, None, None]
    if layer.spatial is not None and (gate.together or gate.kind == "spatial"):
        product = product * layer.spatial[0].numpy()[None]
    result = gate.result[0].numpy()
    rounding = 4 * torch.finfo(layer.dtype).eps if layer.dtype.is_floating_point else 0.0
    most = float(np.abs(product[np.isfinite(product)]).max(initial=0))
    return bool(np.allclose(product, result, rounding, rounding * most, equal_nan=True))
