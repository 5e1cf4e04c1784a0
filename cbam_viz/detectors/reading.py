"""`read_detections`: whose output it is, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from cbam_viz._text import named
from cbam_viz.detections import Detections
from cbam_viz.detectors import segmenters, torchvision, ultralytics
from cbam_viz.detectors.found import MIN_SCORE, Found
from cbam_viz.errors import ModelError
from cbam_viz.models import LoadedModel
from cbam_viz.wrappers import unwrap


def read_detections(
    loaded: LoadedModel, output: Any, size: tuple[int, int], *, gradients: bool = False
) -> Found:
    """Read what a network gave for one photo; `size` is its input's height and width.

    By `loaded.decode` where the network brings one. With `gradients`, those of the scores go
    through where the code lets them (`Detections.traced`).

    Raises:
        ModelError: `decode` fails or returns something else.
    """
    if loaded.decode is not None:
        with torch.inference_mode(not gradients):
            return Found(_decoded(loaded, output).named(loaded.classes))
    model = unwrap(loaded.model)
    for family in (ultralytics, torchvision, segmenters):
        if family.gives(model, output):
            with torch.inference_mode(not gradients):
                return _read(family.read, model, output, size, loaded.classes)
    return Found()


def _decoded(loaded: LoadedModel, output: Any) -> Detections:
    assert loaded.decode is not None
    try:
        found = loaded.decode(output)
    except ModelError:
        raise
    except Exception as error:
        cause = named(error, 150)
        raise ModelError(f"The decode function of {loaded.name} fails: {cause}.") from error
    if not isinstance(found, Detections):
        raise ModelError(
            f"The decode function of {loaded.name} returned {type(found).__name__}; it should "
            "return cbam_viz.Detections(boxes, scores, classes)."
        )
    return found


def _read(
    read: Callable[[nn.Module, Any, tuple[int, int]], Found],
    model: nn.Module,
    output: Any,
    size: tuple[int, int],
    classes: Sequence[str] | None,
) -> Found:
    try:
        found = read(model, output, size)
    except Exception as error:  # another version's output, or numbers that are none
        cause = named(error, 150)
        return Found(note=f"What the network detects cannot be read ({cause}).")
    if found.detections is None:
        return found
    return Found(_sure(found.detections.named(classes)), found.note)


def _sure(found: Detections) -> Detections:
    """Leave out what the network itself thinks little of."""
    keep = found.scores >= MIN_SCORE
    if found.kind == "regions" or keep.all():
        return found
    left_out = int((~keep).sum())
    note = f"{left_out} with a score below {MIN_SCORE} left out."
    return replace(found.chosen(np.asarray(keep)), note=" ".join(filter(None, (found.note, note))))
