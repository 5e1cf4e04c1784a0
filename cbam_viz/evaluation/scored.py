"""What maps of one photo are measured by: the probability of a class, or the score of a box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cbam_viz.analysis import Analysis
from cbam_viz.detectors import read_detections
from cbam_viz.errors import MethodError
from cbam_viz.methods import Box
from cbam_viz.methods.boxes import BoxScore, box_in, place_of
from cbam_viz.methods.replica import replica
from cbam_viz.methods.targets import index_of
from cbam_viz.models import LoadedModel
from cbam_viz.predictions import ClassScores, scores_in

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """One number that a network says of a photo, and of changed pictures of it."""

    wish: int | Box
    """What methods make maps for."""
    index: int
    """Number of the class, also of a box."""
    name: str
    label: str | None
    """Name of the class; None where it has none."""
    whole: float
    """Of the whole picture, 0 to 1."""
    kind: str
    """`probability` of a class, `score` of a box."""
    of: Callable[[Tensor], Scores]
    """From pictures (B, C, H, W) to (B,)."""


def scored_by(
    loaded: LoadedModel, analysis: Analysis, x: Tensor, target: int | str | None
) -> Scored:
    """By a class: the target, else the predicted one. Of a detector by the box of highest score.

    A target is a class by its number or name, of a detector also one of its boxes, `box2`.

    Raises:
        MethodError: the network has no such class, finds nothing, or says neither.
    """

    def run() -> Any:
        with torch.inference_mode():
            return loaded.model(x)

    output = analysis.attention.output
    if analysis.detections is not None and not analysis.predictions:
        return _of_box(loaded, x, output, target)
    if isinstance(target, str) and box_in(target):
        raise MethodError(f"{loaded.name} finds no objects, so there is no box. Name a class.")
    try:
        scores = scores_in(output, loaded.classes, loaded.model, run=run)
    except Exception as error:
        raise MethodError(f"{error} Maps are measured by the score of a class.") from error
    return _of_class(loaded, scores, output, target)


def _of_class(
    loaded: LoadedModel, scores: ClassScores, output: Any, target: int | str | None
) -> Scored:
    shares = scores.probabilities(output)[0]
    names = loaded.classes
    index = int(shares.argmax()) if target is None else index_of(target, names, scores.count)

    def of(pictures: Tensor) -> Scores:
        with torch.inference_mode():
            found = scores.probabilities(loaded.model(pictures))[:, index]
        values: Scores = found.double().cpu().numpy()
        return values

    label = names[index] if names and index < len(names) else None
    name = label if names and label and len(names) == scores.count else f"class {index}"
    return Scored(index, index, name, label, float(shares[index]), "probability", of)


def _of_box(loaded: LoadedModel, x: Tensor, output: Any, target: int | str | None) -> Scored:
    size = (int(x.shape[2]), int(x.shape[3]))
    found = read_detections(loaded, output, size).detections
    assert found is not None
    names = loaded.classes
    if isinstance(target, int):
        target = names[target] if names and target < len(names) else f"class {target}"
    box = BoxScore(loaded, size, found, place_of(target, found, loaded.name))
    network = replica(loaded.model)
    with torch.inference_mode(False):
        box.trace(network, x.clone())

    def of(pictures: Tensor) -> Scores:
        shares = []
        with torch.inference_mode():
            for picture in pictures:
                with box.watching():
                    shares.append(float(box.shares(network(picture[None]))))
        return np.array(shares)

    index = int(found.classes[box.number - 1])
    label = found.labelled[box.number - 1]
    return Scored(Box(box.number), index, label, label, box.share, "score", of)
