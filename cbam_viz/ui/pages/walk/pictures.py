"""Encoded pictures of the walk: maps cell by cell, the followed cell framed, and colour bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz._numbers import number
from cbam_viz.attention import Cells
from cbam_viz.images import Geometry, Photo
from cbam_viz.render import (
    CellEdges,
    Scale,
    cell_edges,
    colorize,
    draw_grid,
    frame_cell,
    grid,
    hatch_unseen,
    method_of,
    place,
    resize_photo,
)
from cbam_viz.ui.drawing.pictures import BACKDROP, Pixels, colour_bar, data_url, screen_size

SIDE = 400
"""Longer side in pixels: two beside each other fill a column, and one fills a phone."""


@dataclass(frozen=True)
class Frame:
    """Where the cells of a layer's maps lie, and which of them is followed."""

    shape: tuple[int, int]
    """Rows and columns."""
    cells: Cells | None
    geometry: Geometry
    followed: tuple[int, int] | None
    """Row and column, from 0."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its pictures; of one that lies on no photo, only their ratio."""
        on_photo = self.cells is not None
        return screen_size(self.geometry.photo_size, SIDE) if on_photo else self.shape

    def marked(self, pixels: Pixels) -> Pixels:
        """The picture with the followed cell framed."""
        if self.cells is None or self.followed is None:
            return pixels
        return frame_cell(pixels, self.shape, self.followed, self.cells, self.geometry)

    def to_choose(
        self, picture: str, caption: str, alt: str, values: npt.NDArray[Any] | None = None
    ) -> dict[str, Any]:
        """A picture for the browser, where each of its cells can be read out and chosen."""
        rows, columns = self.shape
        edges = CellEdges(tuple(range(rows + 1)), tuple(range(columns + 1)))
        if self.cells is not None:
            edges = cell_edges(self.shape, self.cells, self.geometry, self.size)
        return {
            "picture": picture,
            "caption": caption,
            "alt": alt,
            "size": self.size,
            "followed": self.followed or (0, 0),
            "cells": {
                "columns": columns,
                "rows_at": edges.rows,
                "columns_at": edges.columns,
                "values": None if values is None else [number(v) for v in values.ravel().tolist()],
            },
        }


def photo_picture(photo: Photo, frame: Frame) -> str:
    """The photo, what the network did not see hatched, and the part that a cell stands for framed.

    A data URL, as all pictures here.
    """
    pixels = resize_photo(photo.shown, screen_size(photo.size, SIDE))
    if frame.cells is None:
        return data_url(pixels)
    seen = place(np.zeros(frame.shape), frame.cells, frame.geometry, frame.size).seen
    return data_url(frame.marked(hatch_unseen(pixels, seen)))


def map_picture(
    values: npt.NDArray[Any], frame: Frame, scale: Scale, colormap: str, style: str
) -> str:
    """A map on the photo's frame, or as it is where its cells lie on no photo."""
    if frame.cells is None:
        return filter_picture(values, scale, colormap, frame.followed)
    placed = place(values, frame.cells, frame.geometry, frame.size, method=method_of(style))
    colours = colorize(placed.values, scale, colormap)
    pixels = hatch_unseen(colours, placed.seen, background=np.full_like(colours, BACKDROP))
    if style == "grid":
        edges = cell_edges(frame.shape, frame.cells, frame.geometry, frame.size)
        pixels = draw_grid(pixels, edges)
    return data_url(frame.marked(pixels), "png")


def filter_picture(
    values: npt.NDArray[Any], scale: Scale, colormap: str, marked: tuple[int, int] | None = None
) -> str:
    """Numbers (h, w) as squares of colour."""
    return data_url(
        grid(values, scale=scale, colormap=colormap, longest=SIDE, marked=marked), "png"
    )


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
