"""What detectors and segmenters found, read from what they give, and where it lies on the photo.

Each family's outputs are decoded as its own code does it, with its own suppression of double boxes:
ultralytics' heads, torchvision's detectors and whatever else gives boxes, labels and scores as they
do, segmenters of smp and torchvision; anything else by a function of one's own.
"""

from cbam_viz.detectors.found import Found
from cbam_viz.detectors.outlines import MOST_DRAWN, outlines, rings
from cbam_viz.detectors.overlap import again, score_again
from cbam_viz.detectors.placing import inside_mask, on_photo
from cbam_viz.detectors.reading import read_detections
from cbam_viz.detectors.rows import NoRowsError, alike, row_of

__all__ = [
    "MOST_DRAWN",
    "Found",
    "NoRowsError",
    "again",
    "alike",
    "inside_mask",
    "on_photo",
    "outlines",
    "read_detections",
    "rings",
    "row_of",
    "score_again",
]
