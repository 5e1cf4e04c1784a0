"""Photos: reading uploads, what the network sees of them, and the samples."""

from cbam_viz.images.apart import read_photo_apart
from cbam_viz.images.channels import part_of, seen_as
from cbam_viz.images.coverage import (
    border_note,
    cells_on_photo,
    layer_shares,
    numbers_on_photo,
    photo_shares,
)
from cbam_viz.images.geometry import DEFAULT_VIEW, VIEWS, Geometry, View
from cbam_viz.images.library import Sample, sample_of, samples
from cbam_viz.images.options import InputOptions, changed
from cbam_viz.images.photo import Photo
from cbam_viz.images.reading import MAX_BYTES, MAX_MEGAPIXELS, read_for_network, read_photo
from cbam_viz.images.spec import InputOrigin, InputSpec
from cbam_viz.images.transform import Transform, prepare_by
from cbam_viz.images.views import ModelInput, prepare, resized_size

__all__ = [
    "DEFAULT_VIEW",
    "MAX_BYTES",
    "MAX_MEGAPIXELS",
    "VIEWS",
    "Geometry",
    "InputOptions",
    "InputOrigin",
    "InputSpec",
    "ModelInput",
    "Photo",
    "Sample",
    "Transform",
    "View",
    "border_note",
    "cells_on_photo",
    "changed",
    "layer_shares",
    "numbers_on_photo",
    "part_of",
    "photo_shares",
    "prepare",
    "prepare_by",
    "read_for_network",
    "read_photo",
    "read_photo_apart",
    "resized_size",
    "sample_of",
    "samples",
    "seen_as",
]
