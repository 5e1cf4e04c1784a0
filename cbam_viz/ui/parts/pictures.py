"""Encoded pictures for the browser: the photo, the maps, the thumbnails.

Nothing here knows Streamlit; sizes are those of a screen, not of the photo. Everything is a data
URL, because a picture that a session made is then reachable by that session alone.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbam_viz.attention import Cells, LayerAttention
from cbam_viz.images import Geometry, Photo
from cbam_viz.render import (
    ImageFormat,
    Placed,
    Scale,
    absolute_scale,
    colorize,
    contours,
    encode,
    fit_size,
    hatch_unseen,
    lookup_table,
    make_scale,
    overlay,
    place,
    resize_photo,
    strip,
)

Pixels = npt.NDArray[np.uint8]

PHOTO_SIDE = 1280
"""Longer side of the photo in Explore."""
MAP_SIDE = 640
"""Longer side of a coloured map there: it is smooth, and the browser enlarges it."""
CONTOUR_SIDE = 1024
CARD_SIDE = 320
"""Longer side of a picture in the gallery."""
BACKDROP = 128
"""Grey level behind a map that is shown without its photo, before hatching."""


def data_url(pixels: Pixels, image_format: ImageFormat = "jpeg", quality: int = 90) -> str:
    """The picture as text that an <img> takes."""
    encoded = encode(pixels, image_format, quality)
    return f"data:image/{image_format};base64,{base64.b64encode(encoded).decode('ascii')}"


def scale_for(kind: str, layer: LayerAttention, layers: Sequence[LayerAttention]) -> Scale:
    """The scale of this layer's map: absolute, shared by all maps of the scene, or its own."""
    shared = kind == "shared"
    maps = [spatial_map(other) for other in layers if shared and other.spatial is not None]
    return make_scale(kind, spatial_map(layer), maps)  # type: ignore[arg-type]


def spatial_map(layer: LayerAttention) -> npt.NDArray[np.float32]:
    """The layer's map as an array (h, w)."""
    assert layer.spatial is not None
    values: npt.NDArray[np.float32] = layer.spatial[0].numpy()
    return values


@cache
def icon() -> Image.Image:
    """The page's icon: a peak of attention."""
    axis = (np.arange(32) - 15.5) / 16
    distance = np.hypot(axis[:, None] + 0.1, axis[None] - 0.1)
    return Image.fromarray(colorize(np.exp(-3 * distance**2), absolute_scale()))


def preview(photo: Photo, longest: int = PHOTO_SIDE) -> bytes:
    """The photo at a size for screens, encoded."""
    return encode(resize_photo(photo.shown, fit_size(photo.size, longest)), "jpeg")


def base_photo(photo: Photo, geometry: Geometry) -> str:
    """The photo at screen size, with what the network did not see darkened and hatched."""
    size = fit_size(photo.size, PHOTO_SIDE)
    # Which pixels were seen does not depend on the map.
    seen = place(np.zeros((1, 1)), Cells(1, 1, 0, 0), geometry, size).seen
    return data_url(hatch_unseen(resize_photo(photo.shown, size), seen))


def layer_picture(
    photo: Photo,
    geometry: Geometry,
    layer: LayerAttention,
    *,
    show: str,
    scale: Scale,
    colormap: str,
) -> str:
    """What is drawn over the photo: the coloured map, the map alone, or the photo with lines."""
    size = fit_size(photo.size, CONTOUR_SIDE if show == "contours" else MAP_SIDE)
    placed = place_map(layer, geometry, size)
    if show == "contours":
        small = resize_photo(photo.shown, size)
        return data_url(contours(small, placed, scale=scale, colormap=colormap))
    colours = colorize(placed.values, scale, colormap)
    if show == "map":
        backdrop = np.full_like(colours, BACKDROP)
        return data_url(hatch_unseen(colours, placed.seen, background=backdrop), quality=95)
    return data_url(colours, quality=95)


def full_overlay(
    photo: Photo,
    geometry: Geometry,
    layer: LayerAttention,
    *,
    show: str,
    scale: Scale,
    colormap: str,
    opacity: float,
) -> bytes:
    """The current picture as PNG at the photo's own resolution."""
    placed = place_map(layer, geometry, photo.size)
    if show == "contours":
        return encode(contours(photo.shown, placed, scale=scale, colormap=colormap))
    if show == "map":
        backdrop = np.full_like(photo.shown, BACKDROP)
        colours = colorize(placed.values, scale, colormap)
        return encode(hatch_unseen(colours, placed.seen, background=backdrop))
    blended = overlay(photo.shown, placed, scale=scale, colormap=colormap, opacity=opacity)
    return encode(blended)


def small_photo(photo: Photo) -> Pixels:
    """The photo at the size of a card, to be made once for all of them."""
    return resize_photo(photo.shown, fit_size(photo.size, CARD_SIDE))


def card_picture(
    small: Pixels, geometry: Geometry, layer: LayerAttention, *, scale: Scale, colormap: str
) -> str:
    """A layer's overlay for the gallery, on `small_photo`."""
    height, width = small.shape[:2]
    placed = place_map(layer, geometry, (height, width))
    return data_url(overlay(small, placed, scale=scale, colormap=colormap), quality=80)


def strip_picture(weights: npt.NDArray[np.float32], colormap: str) -> str:
    """Channel weights as a strip, one pixel a channel, on the absolute scale."""
    return data_url(strip(weights, absolute_scale(), colormap, height=1), "png")


def field_picture(
    values: npt.NDArray[np.float32],
    cells: Cells | None,
    geometry: Geometry,
    *,
    scale: Scale,
    colormap: str,
) -> str:
    """Any map (h, w) of a layer, such as one feature channel, on the photo's frame.

    Without known cells the map is shown as it is, cell by cell.
    """
    if cells is None:
        return data_url(colorize(values, scale, colormap), "png")
    placed = place(values, cells, geometry, fit_size(geometry.photo_size, CARD_SIDE))
    colours = colorize(placed.values, scale, colormap)
    backdrop = np.full_like(colours, BACKDROP)
    return data_url(hatch_unseen(colours, placed.seen, background=backdrop))


def place_map(layer: LayerAttention, geometry: Geometry, size: tuple[int, int]) -> Placed:
    """The layer's spatial map on a picture of `size`."""
    assert layer.cells is not None
    return place(spatial_map(layer), layer.cells, geometry, size)


def colour_bar(scale: Scale, colormap: str) -> dict[str, Any]:
    """The colour bar for the browser: colours from low to high, and what the ends stand for."""
    table = lookup_table(colormap)
    if scale.high > scale.low:
        colours = [table[round(255 * step / 16)] for step in range(17)]
    else:
        colours = [table[128]] * 2
    ticks = scale.range_label
    if scale.kind == "absolute":
        ticks = (f"{ticks[0]}, held back", f"{ticks[1]}, let through")
    return {
        "colors": [f"rgb({red} {green} {blue})" for red, green, blue in colours],
        "ticks": list(ticks),
        "label": f"Scale: {scale.label}",
    }


def readout(layer: LayerAttention, geometry: Geometry, size: tuple[int, int]) -> dict[str, Any]:
    """The map's own numbers, and how picture pixels of `size` turn into cell numbers.

    Values that are no finite numbers are None: JSON has nothing else for them.
    """
    values, cells = spatial_map(layer), layer.cells
    assert cells is not None
    step_y = geometry.photo_size[0] / size[0] / geometry.scale_y / cells.stride_y
    step_x = geometry.photo_size[1] / size[1] / geometry.scale_x / cells.stride_x
    start_y = (-geometry.offset_y / geometry.scale_y - cells.offset_y) / cells.stride_y
    start_x = (-geometry.offset_x / geometry.scale_x - cells.offset_x) / cells.stride_x
    return {
        "rows": values.shape[0],
        "columns": values.shape[1],
        "values": [
            round(value, 4) if math.isfinite(value) else None for value in values.ravel().tolist()
        ],
        "y": [start_y, step_y],
        "x": [start_x, step_x],
    }


def seen_box(geometry: Geometry, size: tuple[int, int]) -> list[float]:
    """Top, left, bottom, right of what the network saw, in pixels of a picture of `size`."""
    down, across = size[0] / geometry.photo_size[0], size[1] / geometry.photo_size[1]
    top, left, bottom, right = geometry.seen
    return [top * down, left * across, bottom * down, right * across]
