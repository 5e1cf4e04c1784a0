"""What pictures draw of what was found: outlines of masks where there are some, else of boxes,
turned ones as they lie; and a ring around each keypoint.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from cbam_viz.detections import Detections, Numbers
from cbam_viz.detectors.found import MIN_SCORE
from cbam_viz.detectors.placing import inside_mask
from cbam_viz.images import Geometry

MOST_DRAWN = 60
"""More outlines hide the picture; these are the best."""
_SIDES, _LEAST_RADIUS = 12, 2.0
"""Of the ring around a keypoint; its radius is in pixels of the picture."""


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


def rings(found: Detections, geometry: Geometry, size: tuple[int, int]) -> list[list[Numbers]]:
    """Return a closed line (P, 2) around each keypoint of each of the best, as `outlines` does.

    Points that the network itself takes for hidden are left out: those whose third number, how sure
    it is of them, is below `MIN_SCORE`, as ultralytics draws them. How points belong together is no
    part of an output, so no limbs are drawn.
    """
    count = min(len(found), MOST_DRAWN)
    if found.keypoints is None:
        return [[] for _ in range(count)]
    scale = np.array([size[1] / geometry.photo_size[1], size[0] / geometry.photo_size[0]])
    angles = np.arange(_SIDES) * (2 * np.pi / _SIDES)
    ring = max(_LEAST_RADIUS, max(size) / 120) * np.stack([np.cos(angles), np.sin(angles)], 1)
    made = []
    for points in found.keypoints[:count]:
        sure = points[:, 2] >= MIN_SCORE if points.shape[1] > 2 else np.ones(len(points), bool)
        made.append([ring + point for point in points[sure, :2] * scale])
    return made


def _around_mask(
    found: Detections, geometry: Geometry, size: tuple[int, int], place: int
) -> list[Numbers]:
    mask = inside_mask(found, geometry, size, [place]).astype(np.uint8)
    shapes, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    simpler = (cv2.approxPolyDP(shape, 1.0, True)[:, 0] + 0.5 for shape in shapes)
    return [shape for shape in simpler if len(shape) > 2]
