"""What one photo is followed by while gates change: a class's probability, or an object's score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from cbam_viz.analysis import Analysis
from cbam_viz.detectors import on_photo, read_detections, score_again
from cbam_viz.errors import MetricError
from cbam_viz.models import LoadedModel
from cbam_viz.models.feed import as_weights, inputs_of, running
from cbam_viz.predictions import ClassScores, scores_in

MOST = 12
"""Objects that can be followed: the best."""


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
    return tuple(aim_of(analysis, place) for place in range(min(len(found), MOST)))


def aim_of(analysis: Analysis, place: int) -> Aim:
    """The object or region at this place among the detections of a photo."""
    found = analysis.detections
    assert found is not None
    label = found.named(analysis.classes).labelled[place]
    kind: Literal["object", "region"] = "object" if found.kind == "objects" else "region"
    return Aim(kind, place, label, float(found.scores[place]))


def share_of(aim: Aim, loaded: LoadedModel, analysis: Analysis) -> Callable[[Any], float]:
    """A function from an output for this photo to the class's probability or the object's score.

    An object's score is that of the box of its class that overlaps its own most, by half or more
    (intersection over union); 0 if there is none any more. A region's is its class's; 0 if no pixel
    is taken for it.

    Raises:
        MetricError: the network of `analysis` has no such class.
    """
    if aim.kind == "class":
        scores = scores_of(loaded, analysis)
        if scores is None or aim.place >= scores.count:
            raise MetricError(f"The network has no class {aim.place}.")
        return lambda output: float(shares_in(output, scores)[aim.place])
    before = analysis.detections
    assert before is not None

    def score(output: Any) -> float:
        after = read_detections(loaded, output, analysis.geometry.input_size).detections
        if after is None or not len(after):
            return 0.0
        return score_again(before, aim.place, on_photo(after, analysis.geometry))

    return score


def logit_of(aim: Aim, loaded: LoadedModel, analysis: Analysis) -> Callable[[Any], float] | None:
    """A function from an output to the class's logit; None where the network gives none."""
    scores = scores_of(loaded, analysis) if aim.kind == "class" else None
    if scores is None or scores.kind != "logits":
        return None
    return lambda output: float(scores.of(output)[0, aim.place])


def scores_of(loaded: LoadedModel, analysis: Analysis) -> ClassScores | None:
    """Where and what the class scores in the output of an analysis are; None without any.

    With other gates they are the same, whatever the numbers look like: logits may then lie between
    0 and 1 by chance.
    """
    view = analysis.geometry.view

    def run() -> Any:
        inputs = as_weights(loaded.model, inputs_of(loaded, analysis.photo, view)[1])
        with running(loaded, inputs, view):
            return loaded.model(*inputs)

    if not analysis.predictions:
        return None
    return scores_in(analysis.attention.output, loaded.classes, loaded.model, run=run)


def shares_in(output: Any, scores: ClassScores) -> Tensor:
    """The probabilities (K,) in an output, double precision on the CPU."""
    return scores.as_probabilities(scores.of(output).detach().double().cpu())[0]
