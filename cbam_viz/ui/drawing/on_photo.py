"""A picture on a photo's frame: what each side of a comparison is made of.

The values may be a layer's spatial map or anything else that has cells with places on the network's
input, such as what another method finds in the same network. Whatever draws, reads out, compares or
saves such a picture takes it from here and need not know what made the values.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cbam_viz.attention import Cells
from cbam_viz.detections import Detections
from cbam_viz.images import Geometry, Photo
from cbam_viz.render import Scale, shared_scale


@dataclass(frozen=True, eq=False)
class Field:
    """Values in cells that have places on the network's input, and how they are coloured."""

    values: npt.NDArray[np.float32]
    """(h, w), in their own unit; a gate's are between 0 and 1."""
    cells: Cells
    scale: Scale
    unit: str = "Spatial map"
    """What the values are; those of different units are on no common scale."""


@dataclass(frozen=True, eq=False)
class OnPhoto:
    """A photo as a network saw it, with a field over it or without one."""

    name: str
    """What the field is called in files and links, such as a layer's path."""
    title: str
    """What the field is called on the page."""
    provenance: str
    """Which network made it of which photo, in one line."""
    alt: str
    """The picture for a reader who cannot see it."""
    photo: Photo
    geometry: Geometry
    field: Field | None
    """None for the photo alone, as of a network that has no attention."""
    key: Hashable
    """What tells this field from all others of the session; pictures of it are kept by it."""
    found: Detections | None = None
    """What the network found on the photo, of a detector."""


def on_one_scale(*sides: OnPhoto) -> tuple[OnPhoto, ...]:
    """The same pictures coloured alike: equal colours are equal values in all of them.

    Scales that are equal stay as they are; others become one that holds all of them. Values of
    different units stay on scales of their own.
    """
    scales = {one.field.scale for one in sides if one.field is not None}
    units = {one.field.unit for one in sides if one.field is not None}
    if len(scales) < 2 or len(units) > 1:
        return sides
    among = "all layers of both" if all(one.kind == "shared" for one in scales) else "both maps"
    scale = shared_scale([np.array([one.low, one.high]) for one in scales], among)
    return tuple(
        one if one.field is None else replace(one, field=replace(one.field, scale=scale))
        for one in sides
    )
