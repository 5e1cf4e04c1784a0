"""What one photo is followed by while gates change: a class's probability, or an object's score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbam_viz.ablation.scores import class_scores
from cbam_viz.analysis import Analysis
from cbam_viz.detections import Detections
from cbam_viz.detectors import on_photo, read_detections
from cbam_viz.errors import MetricError
from cbam_viz.models import LoadedModel
from cbam_viz.models.feed import as_weights, inputs_of, running
from cbam_viz.predictions import read_output

MOST = 12
"""Objects that can be followed: the best."""
SAME_PLACE = 0.5
"""Intersection over union from which a box is where the object was."""
EVERY = 1 << 30


@dataclass(frozen=True)
class Aim:
    """One thing that the network says of a photo."""

    kind: Literal["class", "object", "region"]
    place: int
    """Number of the class, or position among the detections."""
    label: str
    before: float
    """Its probability or score, 0..1, with all gates as they are."""


def aims(analysis: Analysis) -> tuple[Aim, ...]:
    """What can be followed on this photo, best first; nothing where the output says nothing of it.

    Several objects of one class are followed apart, each at its place.
    """
    found = analysis.detections
    if found is None:
        return tuple(
            Aim("class", one.index, one.label, one.probability) for one in analysis.predictions
        )
    kind: Literal["object", "region"] = "object" if found.kind == "objects" else "region"
    return tuple(
        Aim(kind, place, row["label"], row["score"])
        for place, row in enumerate(found.named(analysis.classes).rows[:MOST])
    )


def share_of(aim: Aim, loaded: LoadedModel, analysis: Analysis) -> Callable[[Any], float]:
    """A function from an output for this photo to the class's probability or the object's score.

    An object's score is the highest of its class among boxes that overlap its own by half or more
    (intersection over union); 0 if there is none any more. A region's is its class's; 0 if no pixel
    is taken for it. The function raises MetricError for an output that has no class scores.
    """
    if aim.kind == "class":
        return lambda output: _probability(aim.place, loaded, analysis, output)
    before = analysis.detections
    assert before is not None

    def score(output: Any) -> float:
        after = read_detections(loaded, output, analysis.geometry.input_size).detections
        if after is None or not len(after):
            return 0.0
        return _score(before, aim.place, on_photo(after, analysis.geometry))

    return score


def logit_of(aim: Aim, analysis: Analysis) -> Callable[[Any], float] | None:
    """A function from an output to the class's score as the network gives it; None without one."""
    if aim.kind != "class":
        return None

    def logit(output: Any) -> float:
        return float(class_scores(output, 1)[0, aim.place])

    try:
        logit(analysis.attention.output)
    except MetricError:
        return None
    return logit


def _probability(number: int, loaded: LoadedModel, analysis: Analysis, output: Any) -> float:
    view = analysis.geometry.view

    def run() -> Any:
        inputs = as_weights(loaded.model, inputs_of(loaded, analysis.photo, view)[1])
        with running(loaded, inputs, view):
            return loaded.model(*inputs)

    reading = read_output(output, loaded.classes, loaded.model, run=run, top=EVERY)
    for one in reading.predictions:
        if one.index == number:
            return one.probability
    raise MetricError(reading.note or f"The network has no class {number}.")


def _score(before: Detections, place: int, after: Detections) -> float:
    same = after.classes == before.classes[place]
    if before.kind == "objects":
        same &= _overlaps(after.boxes, before.boxes[place]) >= SAME_PLACE
    return float(after.scores[same].max()) if same.any() else 0.0


def _overlaps(
    boxes: npt.NDArray[np.float64], box: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Intersection over union of each box (N, 4) with one, (N,)."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = (high - low).clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - common
    found: npt.NDArray[np.float64] = np.divide(
        common, areas, out=np.zeros(len(boxes)), where=areas > 0
    )
    return found
