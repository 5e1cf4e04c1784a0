"""Which of what is found now is what was found before."""

from __future__ import annotations

import numpy as np

from cbam_viz.detections import Detections, Numbers

SAME_PLACE = 0.5
"""Intersection over union from which a box is where the object was."""


def again(before: Detections, place: int, after: Detections) -> int | None:
    """The place in `after` of what stands at `place` in `before`, None where it is no more.

    An object is the box of its class that overlaps its own most, by half or more; a region is that
    of its class.
    """
    same = after.classes == before.classes[place]
    if before.kind == "objects":
        shared = overlaps(after.boxes, before.boxes[place])
        same &= shared >= SAME_PLACE
    else:
        shared = np.ones(len(after))
    return int(np.where(same, shared, -1.0).argmax()) if same.any() else None


def score_again(before: Detections, place: int, after: Detections) -> float:
    """The score of what `again` finds, 0 where there is none."""
    there = again(before, place, after)
    return 0.0 if there is None else float(after.scores[there])


def overlaps(boxes: Numbers, box: Numbers) -> Numbers:
    """Intersection over union of each box (N, 4) with one, (N,)."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = (high - low).clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - common
    found: Numbers = np.divide(common, areas, out=np.zeros(len(boxes)), where=areas > 0)
    return found
