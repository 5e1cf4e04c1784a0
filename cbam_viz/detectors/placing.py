"""From the network's input to the photo: boxes, corners, points, and masks of all that is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cbam_viz.detections import Detections, Numbers
from cbam_viz.images import Geometry
from cbam_viz.metrics import box_mask

Mask = npt.NDArray[np.bool_]


def on_photo(found: Detections, geometry: Geometry) -> Detections:
    """Bring boxes (cut at the photo's edges), corners and keypoints to pixels of the photo."""
    height, width = geometry.photo_size
    boxes = _points(found.boxes.reshape(-1, 2), geometry).reshape(-1, 4)
    boxes = boxes.clip(0, [width, height, width, height])
    moved: dict[str, Any] = {"boxes": boxes}
    if found.corners is not None:
        moved["corners"] = _points(found.corners, geometry)
    if found.keypoints is not None:
        points = found.keypoints.copy()
        points[..., :2] = _points(points[..., :2], geometry)
        moved["keypoints"] = points
    return replace(found, **moved)


def _points(points: Numbers, geometry: Geometry) -> Numbers:
    """(..., 2) of x and y on the input to x and y on the photo."""
    scale = np.array([geometry.scale_x, geometry.scale_y])
    offset = np.array([geometry.offset_x, geometry.offset_y])
    moved: Numbers = points * scale + offset
    return moved


def inside_mask(
    found: Detections, geometry: Geometry, size: tuple[int, int], which: Any = slice(None)
) -> Mask:
    """Mark what lies in any detection, on a copy of the photo of height and width `size`.

    In masks where there are some, else in turned boxes, else in boxes. `found` is `on_photo`.
    `which` chooses among them.
    """
    height, width = size
    across, down = width / geometry.photo_size[1], height / geometry.photo_size[0]
    if found.masks is not None:
        together = found.masks[which].any(0) if len(found) else np.zeros(geometry.input_size, bool)
        return _mask_on_photo(together, geometry, size)
    if found.corners is not None:
        marked = np.zeros(size, np.uint8)
        for corners in found.corners[which] * [across, down]:
            # The pixel whose centre is at 0.5 is OpenCV's pixel 0.
            cv2.fillPoly(marked, [np.round((corners - 0.5) * 16).astype(np.int32)], 1, shift=4)
        return marked.astype(bool)
    return box_mask(found.boxes[which] * [across, down, across, down], size)


def _mask_on_photo(mask: Mask, geometry: Geometry, size: tuple[int, int]) -> Mask:
    """A mask over the input, of any size, for each pixel's centre on a copy of the photo."""
    y = (np.arange(size[0]) + 0.5) * geometry.photo_size[0] / size[0]
    x = (np.arange(size[1]) + 0.5) * geometry.photo_size[1] / size[1]
    down, across = np.array(mask.shape) / geometry.input_size
    rows = np.floor((y - geometry.offset_y) / geometry.scale_y * down).astype(np.intp)
    columns = np.floor((x - geometry.offset_x) / geometry.scale_x * across).astype(np.intp)
    there = np.outer(
        (rows >= 0) & (rows < mask.shape[0]), (columns >= 0) & (columns < mask.shape[1])
    )
    kept: Mask = mask[rows.clip(0, mask.shape[0] - 1)][:, columns.clip(0, mask.shape[1] - 1)]
    return kept & there
