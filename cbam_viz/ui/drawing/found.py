"""What a detector found: outlines and labels for pictures, and sentences. No Streamlit here.

Outlines follow masks where there are some, else turned boxes, else boxes; keypoints have rings.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cbam_viz.detections import Detections
from cbam_viz.detectors import outlines, rings
from cbam_viz.images import Geometry
from cbam_viz.shares import Share
from cbam_viz.ui import words

Pixels = npt.NDArray[np.uint8]

LONGEST_LABEL = 40


def marks(found: Detections, geometry: Geometry, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Each detection for the browser: outlines and where its label stands, in pixels of `size`."""
    return [
        {
            "path": "".join(_path(points) for points in (*around, *ringed)),
            "label": label(found, place),
            "at": _corner(around),
        }
        for place, (around, ringed) in enumerate(
            zip(outlines(found, geometry, size), rings(found, geometry, size), strict=True)
        )
        if around
    ]


def label(found: Detections, place: int) -> str:
    """What a detection is called on a picture, such as `dog 87 %`."""
    name = found.labelled[place]
    short = name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"
    return f"{short} {words.percent(float(found.scores[place]))}"


def numbered(found: Detections, place: int) -> str:
    """The same with its number among all, as they are chosen by, such as `2 · dog 87 %`."""
    return f"{place + 1} · {label(found, place)}"


def drawn(pixels: Pixels, found: Detections, geometry: Geometry) -> Pixels:
    """A picture of the photo with what was found outlined, white on black; without labels."""
    size = (pixels.shape[0], pixels.shape[1])
    corners = [
        np.round((points - 0.5) * 16).astype(np.int32)
        for shape in (*outlines(found, geometry, size), *rings(found, geometry, size))
        for points in shape
    ]
    thickness = max(1, round(max(size) / 400))
    picture = np.ascontiguousarray(pixels).copy()
    for width, colour in ((3 * thickness, (0, 0, 0)), (thickness, (255, 255, 255))):
        cv2.polylines(picture, corners, True, colour, width, cv2.LINE_AA, shift=4)
    return picture


def in_words(found: Detections) -> str:
    """What was found, in a sentence."""
    if not len(found):
        return "Nothing was found on this photo."
    first = ", ".join(label(found, place) for place in range(min(3, len(found))))
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"Found: {first}{more}"


def share_in_words(share: Share, found: Detections) -> str:
    """How much of a map lies on what was found, in a sentence."""
    where = "boxes" if found.corners is None else "turned boxes"
    where = where if found.masks is None else "masks"
    return (
        f"{words.percent(share.inside)} of this layer's map lies in the {where}, which are "
        f"{words.percent(share.area)} of what the network saw; of its pattern (the map less its "
        f"lowest value), {words.percent(share.pattern)}."
    )


def _path(points: npt.NDArray[np.float64]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def _corner(around: list[npt.NDArray[np.float64]]) -> list[float]:
    """The top left of the largest outline."""
    largest = max(around, key=lambda points: float(np.ptp(points[:, 0]) * np.ptp(points[:, 1])))
    left, top = largest.min(0)
    return [round(float(left), 1), round(float(top), 1)]
