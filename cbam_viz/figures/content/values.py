"""What stands in each place of a figure, as values: nothing is drawn here.

Tables, arrays and captions read the same objects as the drawing, so that they cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbam_viz._text import distinct
from cbam_viz.analysis import Analysis
from cbam_viz.attention import Cells
from cbam_viz.detections import Detections
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.images import View, border_note, photo_shares
from cbam_viz.render import Scale

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Study:
    """The analysed photos: `analyses[photo][network]`, all photos by the same networks."""

    analyses: tuple[tuple[Analysis, ...], ...]
    at: tuple[int, ...] = ()
    """The epoch of each network, where they are those of one training; else empty."""
    unit: str = "network"
    """What `at` counts; without it, networks are counted from 1."""

    def __post_init__(self) -> None:
        if not self.analyses or not self.analyses[0]:
            raise FigureError("A figure needs at least one photo and one network.")
        if len({len(row) for row in self.analyses}) != 1:
            raise FigureError("Each photo of a figure must be analysed by the same networks.")
        if self.at and len(self.at) != len(self.networks):
            raise FigureError("Each network of a training needs the number of its epoch.")
        object.__setattr__(self, "analyses", tuple(map(_told_apart, self.analyses)))

    @property
    def networks(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(analysis.model_name for analysis in self.analyses[0])

    @property
    def numbers(self) -> tuple[int, ...]:
        """Where each network lies on an axis: its epoch, or its place, from 1."""
        return self.at or tuple(range(1, len(self.networks) + 1))

    @property
    def photos(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(row[0].photo.name for row in self.analyses)

    @property
    def border(self) -> str:
        """What surrounds the photos in the networks' inputs, in words; empty if nothing does."""
        return border_note(*(analysis.geometry for row in self.analyses for analysis in row))

    @property
    def view(self) -> View:
        """What the networks saw of the photos."""
        return self.analyses[0][0].geometry.view

    @property
    def fed(self) -> tuple[str, ...]:
        """What each network was fed, in a sentence."""
        return tuple(analysis.fed for analysis in self.analyses[0])

    @property
    def assumed(self) -> tuple[str, ...]:
        """Of `fed`, what had to be assumed; empty where nothing was."""
        return tuple(
            one.fed if one.spec is not None and one.spec.assumed else "" for one in self.analyses[0]
        )

    def network(self, index: int) -> Analysis:
        """The first photo as that network sees it.

        Raises:
            FigureError: if there are not so many networks.
        """
        if index >= len(self.networks):
            count = len(self.networks)
            raise FigureError(
                f"The figure asks for network {index + 1}, and there "
                f"{'is one' if count == 1 else f'are {count}'}: add a checkpoint or a network."
            )
        return self.analyses[0][index]


def _told_apart(row: tuple[Analysis, ...]) -> tuple[Analysis, ...]:
    """One photo's analyses; networks of one name get a number, as two would read as one."""
    names = distinct([analysis.model_name for analysis in row])
    return tuple(
        analysis if analysis.model_name == name else replace(analysis, model_name=name)
        for analysis, name in zip(row, names, strict=True)
    )


def study_of(
    analyses: Study | Analysis | Sequence[Analysis] | Sequence[Sequence[Analysis]],
) -> Study:
    """One analysis, one for each photo, or for each photo one for each network."""
    if isinstance(analyses, Study):
        return analyses
    if isinstance(analyses, Analysis):
        return Study(((analyses,),))
    return Study(tuple((row,) if isinstance(row, Analysis) else tuple(row) for row in analyses))


@dataclass(frozen=True)
class Shown:
    """One array or text of a figure, for its tables."""

    place: str
    """Such as `row 1 column 3`, as in the figure's own element names."""
    photo: str
    network: str
    shown: str
    """`map`, another quantity of a map, `channel weights`, `effect without`, `curve`, `mean` or
    `text`."""
    name: str
    """Layer, stage or class."""
    values: npt.NDArray[Any] | None
    """float32; masks are truth values."""
    scale: tuple[float, float] | None = None
    text: str = ""
    cells: tuple[dict[str, Any], ...] = ()
    """Where a map's cells lie on the network's input."""
    photo_share: npt.NDArray[np.float64] | None = None
    """(h, w), of the photo, by each cell of a map; 0 for cells in a border."""
    in_table: bool = True
    """Whether it is a line of the table; False for arrays that other lines tell."""


@dataclass(frozen=True)
class Target:
    """The class, or object, that a place is for."""

    name: str
    probability: float | None
    """What the network gives it on the photo; None where it gives none."""
    quantity: Literal["probability", "score"] = "probability"
    """What that is: objects of a detector have scores."""

    @property
    def share(self) -> str:
        """Its probability as figures write it; empty without one."""
        return "" if self.probability is None else f"{self.probability:.2f}"

    @property
    def text(self) -> str:
        """For tables."""
        share = "" if self.probability is None else f", {self.quantity} {self.probability:.4f}"
        return f"for {self.name}{share}"


@dataclass(frozen=True)
class Picture:
    """A place that shows the photo."""

    analysis: Analysis

    def shown(self, place: str) -> Iterator[Shown]:
        """Nothing: the photo is a file of its own."""
        return iter(())


@dataclass(frozen=True)
class FoundPicture(Picture):
    """A place that shows what a detector or segmenter found, on the photo."""

    how: str
    """`detections`, `boxes` or `mask`."""
    colours: tuple[int, ...]
    """Of each detection's class: its number in the order of appearance."""

    @property
    def found(self) -> Detections:
        """What was found, best first, in pixels of the photo."""
        assert self.analysis.detections is not None
        return self.analysis.detections

    def shown(self, place: str) -> Iterator[Shown]:
        """A line for each, then boxes, scores and, where they are shown, masks as arrays."""
        start = place, self.analysis.photo.name, self.analysis.model_name
        found = self.found
        if not len(found):
            yield Shown(*start, "detection", "", None, text="nothing found")
            return
        for label, score, box in zip(found.labelled, found.scores, found.boxes, strict=True):
            sides = zip(("left", "top", "right", "bottom"), box.tolist(), strict=True)
            text = f"score {score:.4f}, " + ", ".join(f"{side} {at:.1f}" for side, at in sides)
            yield Shown(*start, "detection", label, None, text=text)
        arrays = {
            "boxes": found.boxes.astype(np.float32),
            "scores": found.scores.astype(np.float32),
        }
        if found.masks is not None and self.how != "boxes":
            arrays["masks"] = found.masks
        for name, values in arrays.items():
            yield Shown(*start, name, "", values, in_table=False)


@dataclass(frozen=True)
class MapPicture:
    """A place that shows a map on the photo."""

    analysis: Analysis
    name: str
    """Layer or stage."""
    parts: tuple[tuple[Floats, Cells], ...]
    """The map (h, w) with its cells. Several where a stage's layers differ in size: what is shown
    is their mean on the photo."""
    scale: Scale
    quantity: str = ""
    """What the values are where they are no gates; these have a scale of their own."""
    target: Target | None = None

    @property
    def values(self) -> list[Floats]:
        """The maps alone."""
        return [values for values, _ in self.parts]

    def shown(self, place: str) -> Iterator[Shown]:
        """Each of its maps."""
        photo, network = self.analysis.photo.name, self.analysis.model_name
        scale = (self.scale.low, self.scale.high)
        for values, cells in self.parts:
            height, width = values.shape
            share = photo_shares((height, width), cells, self.analysis.geometry)
            text = "" if self.target is None else self.target.text
            yield Shown(place, photo, network, self.quantity or "map", self.name, values, scale,
                        text, (asdict(cells),), share)  # fmt: skip


@dataclass(frozen=True)
class Bars:
    """A place that shows channel weights."""

    analysis: Analysis
    name: str
    weights: Floats
    """(C,), by index."""

    def shown(self, place: str) -> Iterator[Shown]:
        """Its weights."""
        photo, network = self.analysis.photo.name, self.analysis.model_name
        yield Shown(place, photo, network, "channel weights", self.name, self.weights)


@dataclass(frozen=True)
class GateEffect:
    """What becomes of a score when one gate is taken away."""

    layer: str
    kind: Literal["channel", "spatial"]
    change: float
    """After less before, of a probability."""

    @property
    def name(self) -> str:
        """The gate, for tables."""
        return f"{'channel weights' if self.kind == 'channel' else 'spatial map'} of {self.layer}"


@dataclass(frozen=True)
class EffectBars:
    """A place that shows what each gate does for a class."""

    analysis: Analysis
    effects: tuple[GateEffect, ...]
    """In order of execution."""
    target: Target
    axis: tuple[float, float] = (-1.0, 1.0)
    """Of all photos of the column."""
    skipped: tuple[str, ...] = ()
    """Sentences on gates that could not be taken away."""

    def shown(self, place: str) -> Iterator[Shown]:
        """A number for each gate."""
        start = place, self.analysis.photo.name, self.analysis.model_name, "effect without"
        for one in self.effects:
            yield Shown(*start, one.name, np.array(one.change, np.float32), self.axis,
                        self.target.text)  # fmt: skip


@dataclass(frozen=True)
class Words:
    """A place that shows text."""

    analysis: Analysis
    text: str

    def shown(self, place: str) -> Iterator[Shown]:
        """Its text, on one line."""
        photo, text = self.analysis.photo.name, self.text.replace("\n", " ")
        yield Shown(place, photo, self.analysis.model_name, "text", "", None, text=text)


Place = Picture | FoundPicture | MapPicture | Bars | EffectBars | Words

Axis = tuple[float, float]
"""Lower and upper end of the axis of channel weights."""


def axis_of(weights: Iterable[Floats]) -> Axis:
    """0 to 1, or the whole numbers around gates that go beyond."""
    low, high = 0.0, 1.0
    for values in weights:
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return float(math.floor(low + 1e-6)), float(math.ceil(high - 1e-6))


def axis_around(changes: Iterable[float]) -> Axis:
    """From a round number below all and 0 to one above; beside 0 where all are 0."""
    known = [one for one in changes if math.isfinite(one)]
    low, high = min(0.0, *known, 0.0), max(0.0, *known, 0.0)
    if low == high:
        return -0.01, 0.01
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-6)))
    # No more digits than the step has, which a product of floats would have.
    return (
        float(f"{math.floor(low / step) * step:.12g}"),
        float(f"{math.ceil(high / step) * step:.12g}"),
    )


def drawn_channels(spec: FigureSpec, mean: Floats) -> npt.NDArray[np.intp]:
    """Which channels are drawn, in order, given their mean weights (C,).

    `top` takes those of the highest mean, `sample` evenly spaced ones, the first and the last
    among them. What is no number comes last.
    """
    ranked = np.argsort(-mean, kind="stable")
    chosen = np.arange(mean.size)
    if spec.top is not None:
        chosen = np.sort(ranked[: spec.top])
    elif spec.sample is not None:
        spaced = np.linspace(0, mean.size - 1, min(spec.sample, mean.size))
        chosen = np.unique(np.rint(spaced).astype(np.intp))
    return chosen if spec.order == "index" else ranked[np.isin(ranked, chosen)]
