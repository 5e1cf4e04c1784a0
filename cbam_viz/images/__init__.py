"""Photos: reading uploads, what the network sees of them, and the samples."""

from cbam_viz.images.geometry import VIEWS, Geometry, View
from cbam_viz.images.library import Sample, samples
from cbam_viz.images.photo import Photo
from cbam_viz.images.reading import MAX_BYTES, MAX_MEGAPIXELS, read_photo
from cbam_viz.images.spec import InputOrigin, InputSpec
from cbam_viz.images.views import ModelInput, prepare

__all__ = [
    "MAX_BYTES",
    "MAX_MEGAPIXELS",
    "VIEWS",
    "Geometry",
    "InputOrigin",
    "InputSpec",
    "ModelInput",
    "Photo",
    "Sample",
    "View",
    "prepare",
    "read_photo",
    "samples",
]
