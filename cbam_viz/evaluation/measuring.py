"""Measuring maps of one photo: gates, other methods, and what any map has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cbam_viz.analysis import Analysis, analyse
from cbam_viz.attention import Cells
from cbam_viz.errors import MethodError, MetricError
from cbam_viz.evaluation.curves import points_of
from cbam_viz.evaluation.measures import GROUPS, REPLACEMENTS, Group
from cbam_viz.evaluation.scored import Scored, scored_by
from cbam_viz.images import DEFAULT_VIEW, Geometry, Photo, View
from cbam_viz.methods import METHODS, Box, method_maps
from cbam_viz.metrics import (
    Region,
    above_minimum,
    blurred,
    centre_gaussian,
    confidence,
    energy_inside,
    filled,
    gini,
    let_through,
    overlap_at_area,
    pointing_hit,
    removal,
    smooth_random,
    uniform,
)
from cbam_viz.metrics.removal import BATCH, STEPS, Picture, Ties
from cbam_viz.models import LoadedModel
from cbam_viz.models.feed import as_weights, inputs_of
from cbam_viz.render import place

UNIFORM, GAUSSIAN, RANDOM = "uniform", "centre Gaussian", "random like "
SHOWN_SIDE = 224
"""Maps meet boxes on the photo, scaled to this shorter side."""

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Plan:
    """What is measured, and how; all of it is stated beside the results."""

    gates: tuple[str, ...]
    """Captured layers whose spatial maps are measured."""
    layers: tuple[str, ...]
    """Layers, modules and stages that methods make maps of."""
    methods: tuple[str, ...] = ("gradcam",)
    """Names in `METHODS`."""
    groups: tuple[Group, ...] = GROUPS
    steps: int = STEPS
    ties: Ties = "shuffled"
    seed: int = 0
    view: View = DEFAULT_VIEW


@dataclass(frozen=True, eq=False)
class Candidate:
    """A map to be measured."""

    name: str
    values: npt.NDArray[Any]
    """(h, w)."""
    cells: Cells
    upside_down: npt.NDArray[Any]
    """1 - map for a gate; for others, whose values have no upper end, the maximum less the map."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One photo's numbers."""

    target: int
    target_name: str
    probability: float
    """Of the target, for the whole picture."""
    maps: dict[str, Numbers]
    """For each map its measures by name; None where one says nothing of it."""
    notes: tuple[str, ...] = ()
    """Sentences on what could not be measured."""
    curves: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    """For each map its `curves.Points`; empty where removal was not measured."""


def measure_photo(
    loaded: LoadedModel,
    photo: Photo,
    plan: Plan,
    target: int | str | None = None,
    regions: Sequence[Region] = (),
) -> Measured:
    """Measure all maps that are planned, for one class: the predicted one by default.

    Of a detector it is one box, that of the highest score, or of the highest of class `target`, or
    the one that `target` numbers, `box2`.

    What needs `regions` is left out, with a note, where there are none or the network looked at
    none of them. Removal and confidence go by the class's
    probability, on the network's input.

    Raises:
        MethodError: the output is no class scores, there is no such class, layer or method.
    """
    (x,) = as_weights(loaded.model, inputs_of(loaded, photo, plan.view)[1])
    analysis = analyse(loaded, photo, plan.view, gates=False)
    scored = scored_by(loaded, analysis, x, target)
    candidates = list(_candidates(loaded, analysis, x, plan, scored.wish))
    meter = _Meter(loaded, analysis, x, plan, scored)
    found = {one.name: meter.numbers(one) for one in candidates}
    notes = []
    if "boxes" in plan.groups:
        try:
            mask = _mask(regions, analysis, scored.label)
            on_boxes = {one.name: _on_boxes(one, analysis.geometry, mask) for one in candidates}
        except MetricError as error:
            notes.append(f"{error} So nothing is said of where maps lie on it.")
        else:
            for name, numbers in on_boxes.items():
                found[name] |= numbers
    return Measured(scored.index, scored.name, scored.whole, found, tuple(notes), meter.curves)


def _candidates(
    loaded: LoadedModel, analysis: Analysis, x: Tensor, plan: Plan, target: int | Box
) -> Iterator[Candidate]:
    """The maps, each with one of chance that is as smooth, and the two that look at nothing."""
    attention = analysis.attention
    maps: list[Candidate] = []
    for name in plan.gates:
        layer = attention.get(name)
        if layer is None or layer.spatial is None or layer.cells is None:
            raise MethodError(f"{name} has no spatial map that could be measured.")
        values = layer.spatial[0].numpy()
        maps.append(Candidate(f"gate of {name}", values, layer.cells, 1 - values))
    if plan.methods:
        for made in method_maps(loaded, x, plan.layers, plan.methods, target, attention=attention):
            name = METHODS[made.method].title + (f" of {made.layer}" if made.layer else "")
            upside_down = made.values.max() - made.values
            maps.append(Candidate(name, made.values, made.cells, upside_down))
    for one in maps:
        chance = smooth_random(one.values, plan.seed)
        yield one
        yield Candidate(RANDOM + one.name, chance, one.cells, chance.max() - chance)
    size, pixels = analysis.geometry.input_size, Cells(1, 1, 0.5, 0.5)
    for name, values in ((UNIFORM, uniform(size)), (GAUSSIAN, centre_gaussian(size))):
        yield Candidate(name, values, pixels, values.max() - values)


class _Meter:
    """Measures maps by what the network makes of changed inputs."""

    def __init__(
        self, loaded: LoadedModel, analysis: Analysis, x: Tensor, plan: Plan, scored: Scored
    ) -> None:
        self._like, self._plan, self._scored = x, plan, scored
        self._size = analysis.geometry.input_size
        self._picture: Picture = x[0].float().cpu().numpy()
        self._replaced = {
            "blur": blurred(self._picture),
            "mean": filled(self._picture, mean_colour(loaded, self._picture)),
        }
        self.curves: dict[str, dict[str, dict[str, list[float]]]] = {}

    def numbers(self, candidate: Candidate) -> Numbers:
        """All measures that need no boxes."""
        groups, found = self._plan.groups, Numbers()
        geometry = Geometry.of_input(self._size)
        values = place(candidate.values, candidate.cells, geometry).values
        if "removal" in groups:
            for kind in REPLACEMENTS:
                found |= self._removed(candidate.name, values, kind)
        if "confidence" in groups:
            found |= self._confidence(values)
        if "sparseness" in groups:
            found["sparseness"] = gini(candidate.values)
        return found

    def _score(self, pictures: Picture) -> npt.NDArray[np.float64]:
        return self._scored.of(torch.from_numpy(pictures).to(self._like))

    def _removed(self, name: str, values: npt.NDArray[Any], kind: str) -> Numbers:
        found = removal(
            self._score,
            self._picture,
            values,
            self._replaced[kind],
            replacement=kind,
            score_name=self._scored.kind,
            steps=self._plan.steps,
            ties=self._plan.ties,
            seed=self._plan.seed,
            batch=BATCH,
        )
        self.curves.setdefault(name, {})[kind] = points_of(found)
        return {
            f"deletion ({kind})": found.deletion,
            f"insertion ({kind})": found.insertion,
            f"combined ({kind})": found.combined,
            f"tie effect ({kind})": found.tie_effect,
        }

    def _confidence(self, values: npt.NDArray[Any]) -> Numbers:
        through = let_through(self._picture, values, self._replaced["mean"])
        whole = self._scored.whole
        if through is None or whole == 0:
            return {"drop": None, "increase": None}
        found = confidence(whole, float(self._score(through[None])[0]))
        return {"drop": found.drop, "increase": found.increase}


def mean_colour(loaded: LoadedModel, picture: Picture) -> list[float]:
    """What replaces pixels as `mean`, (C,), as the input has it; see `mean_colour_words`."""
    spec = loaded.spec
    if loaded.transform is not None:
        own: list[float] = picture.mean((1, 2)).tolist()
        return own
    if any(spec.mean):
        return [0.0] * len(picture)
    white = 255.0 if spec.range == "0..255" else 1.0
    grey = [white / 2 / std for std in spec.std]
    return grey if len(grey) == len(picture) else grey[:1] * len(picture)


def mean_colour_words(loaded: LoadedModel) -> str:
    """What that colour is."""
    if loaded.transform is not None:
        return "the photo's own mean colour"
    if any(loaded.spec.mean):
        return "the data's mean colour, by the network's normalisation"
    return "mid-grey, as the network's normalisation has no mean colour"


def _mask(
    regions: Sequence[Region], analysis: Analysis, label: str | None
) -> npt.NDArray[np.bool_]:
    """The objects of the target's class if any is called so, else all.

    Raises MetricError if there are none.
    """
    if not regions:
        raise MetricError("No objects are known of it.")
    height, width = analysis.geometry.photo_size
    scale = min(1.0, SHOWN_SIDE / min(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    name = None if label is None else label.casefold()
    named = [one for one in regions if one.label is not None and one.label.casefold() == name]
    mask = np.zeros(size, bool)
    for one in named or regions:
        mask |= one.on(size)
    return mask


def _on_boxes(one: Candidate, geometry: Geometry, mask: npt.NDArray[np.bool_]) -> Numbers:
    """How a map and its opposite lie on the objects, where the network looked."""
    size = (mask.shape[0], mask.shape[1])
    found: Numbers = {}
    for values, turned in ((one.values, ""), (one.upside_down, " (1 - map)")):
        placed = place(values, one.cells, geometry, size)
        inside, shown = mask[placed.seen], placed.values[placed.seen]
        for name, measure in _MEASURED.items():
            found[f"{name}{turned}"] = _said(measure, shown, inside)
    return found


def _said(
    measure: Callable[..., float], values: npt.NDArray[Any], mask: npt.NDArray[np.bool_]
) -> float | None:
    if not mask.any():
        raise MetricError("None of its objects lies where the network looked.")
    if measure is energy_inside and values.min() < 0:
        return None  # a share of what is partly negative says nothing
    return measure(values, mask)


def _energy_above_minimum(values: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> float:
    return energy_inside(above_minimum(values), mask)


_MEASURED: dict[str, Callable[..., float]] = {
    "energy inside": energy_inside,
    "energy above minimum": _energy_above_minimum,
    "pointing": pointing_hit,
    "IoU at equal area": overlap_at_area,
}
