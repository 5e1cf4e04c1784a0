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
    Scale,
    absolute_scale,
    cell_edges,
    colorize,
    contour_levels,
    contours,
    describe_png,
    draw_grid,
    encode,
    fit_size,
    hatch_unseen,
    lookup_table,
    make_scale,
    method_of,
    overlay,
    place,
    resize_photo,
    strip,
)
from cbam_viz.ui.drawing.found import drawn
from cbam_viz.ui.drawing.on_photo import OnPhoto
from cbam_viz.ui.glossary import hint

Pixels = npt.NDArray[np.uint8]

PHOTO_SIDE = 1280
"""Longer side of the photo in Explore."""
MAP_SIDE = 640
"""Longer side of a coloured map there: it is smooth, and the browser enlarges it."""
CONTOUR_SIDE = 1024
CARD_SIDE = 320
"""Longer side of a small picture beside others."""
LEAST = 400
"""Longer side of a picture at least: hatching, frames and level lines are drawn in its pixels, and
would cover the whole of an icon."""
FEW, FEW_SIDE, MANY_SIDE = 4, 960, 560
"""Longer side of a picture in the gallery of all layers, whose cards are the larger the fewer they
are: twice their width on a common screen for few, once and a half for many."""
STRIP_ROW = 128
"""Channels in a row of a strip, at most: the narrowest cards are wider in pixels."""
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


def screen_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Height and width of a picture of a photo of `size` that is at most `longest` pixels long."""
    factor = max(1.0, min(LEAST, longest) / max(size))
    return fit_size((math.ceil(size[0] * factor), math.ceil(size[1] * factor)), longest)


def preview(photo: Photo, longest: int = PHOTO_SIDE) -> bytes:
    """The photo at a size for screens, encoded."""
    return encode(resize_photo(photo.shown, fit_size(photo.size, longest)), "jpeg")


def base_photo(photo: Photo, geometry: Geometry) -> str:
    """The photo at screen size, with what the network did not see darkened and hatched."""
    size = screen_size(photo.size, PHOTO_SIDE)
    # Which pixels were seen does not depend on the map.
    seen = place(np.zeros((1, 1)), Cells(1, 1, 0, 0), geometry, size).seen
    return data_url(hatch_unseen(resize_photo(photo.shown, size), seen))


def field_layer(picture: OnPhoto, *, show: str, style: str, colormap: str) -> str:
    """What is drawn over the photo: the coloured field, the field alone, or the photo with lines.

    Lines between cells are left to the browser, which draws them sharp at every zoom.
    """
    field, photo = picture.field, picture.photo
    assert field is not None
    if show == "contours":
        size = screen_size(photo.size, CONTOUR_SIDE)
        placed = place(field.values, field.cells, picture.geometry, size)
        small = resize_photo(photo.shown, size)
        return data_url(contours(small, placed, scale=field.scale, colormap=colormap))
    method = method_of(style)
    size = screen_size(photo.size, MAP_SIDE if method == "bilinear" else PHOTO_SIDE)
    placed = place(field.values, field.cells, picture.geometry, size, method=method)
    colours = colorize(placed.values, field.scale, colormap)
    if show == "map":
        colours = hatch_unseen(colours, placed.seen, background=np.full_like(colours, BACKDROP))
    # Hard edges are to be seen as they are, not as JPEG blurs them.
    return data_url(colours, quality=95) if method == "bilinear" else data_url(colours, "png")


def full_picture(
    picture: OnPhoto,
    *,
    show: str,
    style: str,
    colormap: str,
    opacity: float,
    outlined: bool = False,
) -> bytes:
    """The current picture as PNG at the photo's own resolution, with what it shows in its text.

    With `outlined`, also outlines of what the network found.
    """
    field, photo, geometry = picture.field, picture.photo, picture.geometry
    assert field is not None
    scale = field.scale
    method = "bilinear" if show == "contours" else method_of(style)
    placed = place(field.values, field.cells, geometry, method=method)
    if show == "contours":
        pixels = contours(photo.shown, placed, scale=scale, colormap=colormap)
    elif show == "map":
        colours = colorize(placed.values, scale, colormap)
        backdrop = np.full_like(photo.shown, BACKDROP)
        pixels = hatch_unseen(colours, placed.seen, background=backdrop)
    else:
        pixels = overlay(photo.shown, placed, scale=scale, colormap=colormap, opacity=opacity)
    if style == "grid" and show != "contours":
        pixels = draw_grid(pixels, cell_edges(field.values.shape, field.cells, geometry))
    if outlined and picture.found is not None:
        pixels = drawn(pixels, picture.found, geometry)
    return describe_png(encode(pixels), description(picture, show=show, colormap=colormap))


def description(picture: OnPhoto, *, show: str, colormap: str) -> str:
    """What a saved picture shows, in a line: without its scale, colours are no values."""
    assert picture.field is not None
    scale = picture.field.scale
    parts = [picture.title, picture.provenance, f"scale: {scale.label}", f"colours: {colormap}"]
    if show == "contours":
        parts.append(lines_at(scale))
    return " · ".join(parts)


def lines_at(scale: Scale) -> str:
    """The values of the level lines, in words."""
    levels = written_levels(scale)
    return f"lines at {', '.join(levels)}" if levels else "no lines: all values are equal"


def small_photo(photo: Photo, layers: int) -> Pixels:
    """The photo at the size of a card among so many, to be made once for all of them."""
    longest = FEW_SIDE if layers <= FEW else MANY_SIDE
    return resize_photo(photo.shown, screen_size(photo.size, longest))


def card_picture(
    small: Pixels, geometry: Geometry, layer: LayerAttention, *, scale: Scale, colormap: str
) -> str:
    """A layer's overlay for the gallery, on `small_photo`."""
    height, width = small.shape[:2]
    assert layer.cells is not None
    placed = place(spatial_map(layer), layer.cells, geometry, (height, width))
    return data_url(overlay(small, placed, scale=scale, colormap=colormap), quality=80)


def strip_picture(weights: npt.NDArray[np.float32], colormap: str) -> str:
    """Channel weights as a strip, one pixel a channel, on the absolute scale.

    In rows of at most `STRIP_ROW`, by index like lines of text: squeezed into one, several channels
    would share a pixel of a card, and the browser would show their mean. What the last row has too
    much is grey.
    """
    colours = strip(weights, absolute_scale(), colormap, height=1)[0]
    rows = strip_rows(len(colours))
    columns = math.ceil(len(colours) / rows)
    folded = np.full((rows * columns, 3), BACKDROP, np.uint8)
    folded[: len(colours)] = colours
    return data_url(folded.reshape(rows, columns, 3), "png")


def strip_rows(channels: int) -> int:
    """Into how many rows a strip of so many channels is folded."""
    return math.ceil(channels / STRIP_ROW)


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
    placed = place(values, cells, geometry, screen_size(geometry.photo_size, CARD_SIDE))
    colours = colorize(placed.values, scale, colormap)
    backdrop = np.full_like(colours, BACKDROP)
    return data_url(hatch_unseen(colours, placed.seen, background=backdrop))


def colour_bar(
    scale: Scale, colormap: str, *, lines: bool = False, name: str = "Scale"
) -> dict[str, Any]:
    """The colour bar for the browser: colours from low to high, and what the ends stand for.

    With `lines`, the values of level lines are marked on it and written out. `name` says whose
    scale it is, where there are several.
    """
    table = lookup_table(colormap)
    if scale.high > scale.low:
        colours = [table[round(255 * step / 16)] for step in range(17)]
    else:
        colours = [table[128]] * 2
    label, ticks = scale.label, list(scale.range_label)
    if scale.high == scale.low:
        label = label.removesuffix(f" to {ticks.pop()}") + " everywhere"
    if scale.kind == "absolute":
        ticks = [f"{ticks[0]}, held back", f"{ticks[1]}, let through"]
    span = scale.high - scale.low
    return {
        "colors": [f"rgb({red} {green} {blue})" for red, green, blue in colours],
        "ticks": ticks,
        "label": f"{name}: {label}",
        "hint": (hint(*ticks) or "").replace("**", ""),
        "levels": [(level - scale.low) / span for level in contour_levels(scale)] if lines else [],
        "lines": lines_at(scale).capitalize() if lines else "",
    }


def written_levels(scale: Scale) -> list[str]:
    """The values of the level lines, with as many decimals as it takes to tell them apart."""
    levels = contour_levels(scale)
    if not levels:
        return []
    decimals = max(2, 1 - math.floor(math.log10(scale.high - scale.low)))
    return [f"{level:.{decimals}f}" for level in levels]


def readout(picture: OnPhoto, size: tuple[int, int]) -> dict[str, Any]:
    """The field's own numbers, and how pixels of a copy of the photo of `size` turn into cells.

    Values that are no finite numbers are None: JSON has nothing else for them.
    """
    assert picture.field is not None
    values, cells, geometry = picture.field.values, picture.field.cells, picture.geometry
    step_y = geometry.photo_size[0] / size[0] / geometry.scale_y / cells.stride_y
    step_x = geometry.photo_size[1] / size[1] / geometry.scale_x / cells.stride_x
    start_y = (-geometry.offset_y / geometry.scale_y - cells.offset_y) / cells.stride_y
    start_x = (-geometry.offset_x / geometry.scale_x - cells.offset_x) / cells.stride_x
    edges = cell_edges(values.shape, cells, geometry, size)
    return {
        "rows": values.shape[0],
        "columns": values.shape[1],
        "values": [
            round(value, 6) if math.isfinite(value) else None for value in values.ravel().tolist()
        ],
        "y": [start_y, step_y],
        "x": [start_x, step_x],
        "rows_at": list(edges.rows),
        "columns_at": list(edges.columns),
    }


def seen_box(geometry: Geometry, size: tuple[int, int]) -> list[float]:
    """Top, left, bottom, right of what the network saw, in pixels of a picture of `size`."""
    down, across = size[0] / geometry.photo_size[0], size[1] / geometry.photo_size[1]
    top, left, bottom, right = geometry.seen
    return [top * down, left * across, bottom * down, right * across]
