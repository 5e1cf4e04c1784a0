"""The outlines of what was found, for pictures: masks where there are some, else boxes."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from cbam_viz.detections import Detections, Numbers
from cbam_viz.detectors.placing import inside_mask
from cbam_viz.images import Geometry

MOST_DRAWN = 60
"""More outlines hide the picture; these are the best."""


def outlines(
    found: Detections,
    geometry: Geometry,
    size: tuple[int, int],
    shapes: Literal["masks", "boxes"] = "masks",
) -> list[list[Numbers]]:
    """Return closed lines (P, 2) of x and y around each of the best, at most `MOST_DRAWN`.

    On a copy of the photo of height and width `size`. They follow masks where there are some, which
    may have several parts or none, else turned boxes, else boxes; with `"boxes"` no masks.
    """
    across, down = size[1] / geometry.photo_size[1], size[0] / geometry.photo_size[0]
    count = min(len(found), MOST_DRAWN)
    if found.masks is not None and shapes == "masks":
        return [_around_mask(found, geometry, size, place) for place in range(count)]
    if found.corners is not None:
        return [[corners * [across, down]] for corners in found.corners[:count]]
    boxes = found.boxes[:count] * [across, down, across, down]
    return [
        [np.array([[left, top], [right, top], [right, bottom], [left, bottom]])]
        for left, top, right, bottom in boxes
    ]


def _around_mask(
    found: Detections, geometry: Geometry, size: tuple[int, int], place: int
) -> list[Numbers]:
    mask = inside_mask(found, geometry, size, [place]).astype(np.uint8)
    shapes, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    simpler = (cv2.approxPolyDP(shape, 1.0, True)[:, 0] + 0.5 for shape in shapes)
    return [shape for shape in simpler if len(shape) > 2]
