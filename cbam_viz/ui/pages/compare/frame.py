"""Pictures for the frame in which all sides stand: a map over a photo, a difference over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cbam_viz.attention import Cells
from cbam_viz.comparison import Comparison, Mapped, difference_on
from cbam_viz.images import Geometry, Photo
from cbam_viz.render import (
    Scale,
    colorize,
    hatch_unseen,
    method_of,
    place,
    resize_photo,
)
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.drawing.on_photo import OnPhoto
from cbam_viz.ui.scene import Scene

LONGEST = 720
"""Longer side of a picture, in pixels: two to four stand beside each other."""
MAP_SIDE = 480
DIVERGING = "diverging"
LUMA = np.array([0.299, 0.587, 0.114])
"""Of red, green and blue in a grey level (ITU-R BT.601)."""


def size_of(photo: Photo) -> tuple[int, int]:
    """Height and width of the pictures of a photo."""
    return pictures.screen_size(photo.size, LONGEST)


def linked(found: Comparison, sides: Sequence[OnPhoto]) -> bool:
    """Whether a place means the same in all pictures, so that one cursor is in all of them."""
    return found.same_scene or len({one.photo.sha256 for one in sides}) == 1


def column(scene: Scene, side: OnPhoto, title: str, told: str) -> dict[str, Any]:
    """One side without a difference; `told` stands below its map until one points at it."""
    size = size_of(side.photo)
    return {
        "title": title,
        "subtitle": side.title,
        "size": size,
        "isReference": False,
        "cells": None if side.field is None else pictures.readout(side, size),
        "map": map_picture(scene, side, told),
        "difference": None,
        "reason": "",
    }


def map_picture(scene: Scene, side: OnPhoto, told: str) -> dict[str, Any]:
    """A side's map over its photo, or the photo alone."""
    made, settings = scene.results.pictures, scene.settings
    how = {"show": settings.show, "style": settings.cells, "colormap": settings.colormap}
    shown: dict[str, Any] = {
        "photo": _photo(scene, side.photo, (side.geometry,)),
        "layer": None,
        "inset": [0.0] * 4,
        "opacity": settings.opacity if settings.show == "overlay" else 1.0,
        "lines": settings.cells == "grid" and settings.show != "contours",
        "sharp": settings.cells != "smooth" and settings.show != "contours",
        "alt": side.alt,
        "told": told,
    }
    if side.field is None:
        return shown
    shown["layer"] = made.get_or_make(
        ("framed", side.key, side.field.scale, *how.values()),
        lambda: pictures.field_layer(side, **how),
    )
    if settings.show != "contours":  # these are the whole picture, what was not seen included
        shown["inset"] = _inset(side.geometry, side.geometry)
    return shown


def difference_picture(
    scene: Scene, photo: Photo, maps: tuple[Mapped, Mapped], most: float
) -> dict[str, Any]:
    """The second map minus the first over the photo, from `-most` to `most`."""
    first, second = maps
    settings = scene.settings
    method = method_of("smooth" if settings.show == "contours" else settings.cells)
    size = pictures.screen_size(photo.size, MAP_SIDE if method == "bilinear" else LONGEST)
    placed = difference_on(first, second, size, method)
    colours = colorize(placed.values, Scale("shared", -most, most), DIVERGING)
    return {
        "photo": _photo(scene, photo, (first.geometry, second.geometry), grey=True),
        "layer": pictures.data_url(colours, "jpeg" if method == "bilinear" else "png"),
        "inset": _inset(first.geometry, second.geometry),
        "opacity": settings.opacity if settings.show == "overlay" else 1.0,
        "lines": False,
        "sharp": method != "bilinear",
    }


def _photo(
    scene: Scene, photo: Photo, geometries: tuple[Geometry, ...], *, grey: bool = False
) -> str:
    """The photo, what was not seen in all of these ways darkened and hatched; made once.

    In grey below a difference: an orange photo would look like an increase.
    """

    def make() -> str:
        size = size_of(photo)
        # Which pixels were seen does not depend on the map.
        one = np.zeros((1, 1)), Cells(1, 1, 0, 0)
        seen = [place(*one, geometry, size).seen for geometry in geometries]
        pixels = resize_photo(photo.shown, size)
        if grey:
            levels = np.rint(pixels @ LUMA).astype(np.uint8)
            pixels = np.repeat(levels[..., None], 3, axis=2)
        return pictures.data_url(hatch_unseen(pixels, np.all(seen, axis=0)))

    return scene.results.pictures.get_or_make(("frame", photo.sha256, geometries, grey), make)


def _inset(*geometries: Geometry) -> list[float]:
    """How far what all of them saw is from each edge of the photo, as shares: top, right, ..."""
    height, width = geometries[0].photo_size
    tops, lefts, bottoms, rights = zip(*(one.seen for one in geometries), strict=True)
    return [
        max(tops) / height,
        1 - min(rights) / width,
        1 - min(bottoms) / height,
        max(lefts) / width,
    ]
