"""What a detector finds with its gates and without some of them: which objects are the same."""

from __future__ import annotations

import numpy as np

from cbam_viz.detections import Detections, Numbers

SAME = 0.5
"""Of the area of both together that two boxes or masks must share to be one object."""


def found_again(before: Detections, after: Detections) -> list[tuple[int, int]]:
    """Return the pairs of positions in both that are one object, the best of `before` first.

    Of one class, and sharing at least `SAME` of their common area: of masks where both have some of
    one size, else of boxes. Each is in one pair at most.
    """
    shares = _shares(before, after)
    shares[before.classes[:, None] != after.classes[None]] = 0
    pairs = []
    for place in range(len(before)):
        other = int(shares[place].argmax()) if len(after) else 0
        if len(after) and shares[place, other] >= SAME:
            pairs.append((place, other))
            shares[:, other] = 0
    return pairs


def _shares(one: Detections, other: Detections) -> Numbers:
    """(N, M): intersection over union of each pair."""
    mine, theirs = one.masks, other.masks
    if mine is not None and theirs is not None and mine.shape[1:] == theirs.shape[1:]:
        rows, columns = (
            masks.reshape(len(masks), -1).astype(np.float32) for masks in (mine, theirs)
        )
        return _of_union(rows @ columns.T, rows.sum(1), columns.sum(1))
    low = np.maximum(one.boxes[:, None, :2], other.boxes[None, :, :2])
    high = np.minimum(one.boxes[:, None, 2:], other.boxes[None, :, 2:])
    inside = np.clip(high - low, 0, None).prod(-1)
    areas = [np.prod(each.boxes[:, 2:] - each.boxes[:, :2], axis=1) for each in (one, other)]
    return _of_union(inside, *areas)


def _of_union(inside: Numbers, first: Numbers, second: Numbers) -> Numbers:
    union = first[:, None] + second[None] - inside
    shares: Numbers = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    return shares
