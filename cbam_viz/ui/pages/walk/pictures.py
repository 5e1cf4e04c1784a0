"""Encoded pictures of the walk: maps cell by cell, the followed cell framed, and colour bars."""

from __future__ import annotations

import numpy as np

from cbam_viz.attention import Cells
from cbam_viz.images import Geometry, Photo
from cbam_viz.render import (
    Scale,
    colorize,
    fit_size,
    frame_cell,
    grid,
    hatch_unseen,
    place,
    resize_photo,
)
from cbam_viz.steps import Picture
from cbam_viz.ui.drawing.pictures import BACKDROP, colour_bar, data_url

SIDE = 400
"""Longer side in pixels: two beside each other fill a column, and one fills a phone."""


def photo_with_cell(
    photo: Photo,
    geometry: Geometry,
    cells: Cells | None,
    shape: tuple[int, int],
    cell: tuple[int, int],
) -> str:
    """The photo, what the network did not see hatched, and the part that a cell stands for framed.

    A data URL, as all pictures here.
    """
    size = fit_size(photo.size, SIDE)
    pixels = resize_photo(photo.shown, size)
    if cells is None:
        return data_url(pixels)
    seen = place(np.zeros(shape), cells, geometry, size).seen
    return data_url(frame_cell(hatch_unseen(pixels, seen), shape, cell, cells, geometry))


def map_picture(
    picture: Picture, cells: Cells | None, geometry: Geometry, scale: Scale, colormap: str
) -> str:
    """A map on the photo's frame, or as it is where its cells lie on no photo."""
    values = picture.values
    shape = (values.shape[0], values.shape[1])
    marked = picture.marked if isinstance(picture.marked, tuple) else None
    if cells is None or picture.kind == "filter":
        pixels = grid(values, scale=scale, colormap=colormap, longest=SIDE, marked=marked)
        return data_url(pixels, "png")
    size = fit_size(geometry.photo_size, SIDE)
    placed = place(values, cells, geometry, size, method="nearest")
    colours = colorize(placed.values, scale, colormap)
    pixels = hatch_unseen(colours, placed.seen, background=np.full_like(colours, BACKDROP))
    if marked is not None:
        pixels = frame_cell(pixels, shape, marked, cells, geometry)
    return data_url(pixels, "png")


def bar_html(scale: Scale, colormap: str) -> str:
    """A colour bar with its ends, as wide as the picture above it."""
    bar = colour_bar(scale, colormap)
    ends = [tick.partition(",")[0].replace("-", "−") for tick in bar["ticks"]]
    said = f"Colours from {ends[0]} to {ends[1]}" if len(ends) == 2 else f"{ends[0]} everywhere"
    return (
        f'<div role="img" aria-label="{said}" style="height:.55rem;'
        f'border-radius:2px;background:linear-gradient(90deg,{",".join(bar["colors"])})"></div>'
        f'<div style="display:flex;justify-content:space-between;font-size:.8rem">'
        f"{''.join(f'<span>{end}</span>' for end in ends)}</div>"
    )
