"""Photos and maps as images in a figure.

A photo enters the figure with its own pixels, and maps are laid on those pixels by the same
function that the app uses. Only a photo with more pixels than a page can show is reduced, once,
before the map is laid on it; nothing is resampled after that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.image import AxesImage
from matplotlib.transforms import Affine2D

from cbam_viz.analysis import Analysis
from cbam_viz.detectors import MOST_DRAWN, inside_mask
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec, Region, Row
from cbam_viz.figures.ask.venues import POINTS_PER_INCH
from cbam_viz.figures.content.found import COLOURS
from cbam_viz.figures.content.values import Floats, FoundPicture, MapPicture, Picture
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Sheet
from cbam_viz.images import Photo
from cbam_viz.render import CellStyle, Placed, method_of, overlay, place, resize_photo

Pixels = npt.NDArray[np.uint8]

UNSEEN_WHITE = 0.62
"""How much paper white covers what the network did not see. The app darkens and hatches it, which
on paper would be the loudest thing in the figure."""

MASK = 0.5
"""Opacity of masks of what was found."""

LONGEST_SIDE = 1600
"""A photo keeps its pixels up to this many along its longer side."""


class OwnPixels(AxesImage):
    """An image that PDF and SVG embed pixel by pixel, and that is smoothed where pixels are drawn.

    matplotlib's `interpolation="none"` embeds, but picks single pixels in PNG and TIFF.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw as the kind of file wants it."""
        self.set_interpolation("none" if renderer.option_scale_image() else "auto")
        super().draw(renderer)

    def make_image(
        self, renderer: RendererBase, magnification: float = 1.0, unsampled: bool = False
    ) -> tuple[Any, float, float, Any]:
        """Embed upright: with y downwards, matplotlib would store the pixels upside down."""
        image, left, bottom, transform = super().make_image(renderer, magnification, unsampled)
        if unsampled and transform.get_matrix()[1, 1] < 0:
            upside_down = Affine2D().scale(1, -1).translate(0, image.shape[0])
            return image[::-1], left, bottom, upside_down + transform
        return image, left, bottom, transform


@dataclass(frozen=True)
class Rasters:
    """Photos at the sizes in which one figure uses them."""

    image_dpi: int | None
    _reduced: dict[tuple[str, int, int], Pixels] = field(default_factory=dict)

    def get(self, photo: Photo, region: Region, width: float) -> Pixels:
        """The whole photo, with the pixels that `region` needs when it is `width` points wide."""
        height, full_width = photo.size
        if self.image_dpi is None:
            factor = max(height, full_width) / LONGEST_SIDE
        else:
            factor = (region[3] - region[1]) / (width / POINTS_PER_INCH * self.image_dpi)
        if factor <= 1:
            return photo.shown
        size = max(1, round(height / factor)), max(1, round(full_width / factor))
        key = (photo.sha256, *size)
        if key not in self._reduced:
            self._reduced[key] = resize_photo(photo.shown, size)
        return self._reduced[key]


def region_of(analysis: Analysis, row: Row, spec: FigureSpec) -> Region:
    """The part of the photo that a picture shows.

    Raises:
        FigureError: if a crop lies outside the photo.
    """
    height, width = analysis.photo.size
    if row.crop is not None:
        return inside(row.crop, analysis.photo)
    if spec.frame == "seen":
        seen: Region = analysis.geometry.seen
        return seen
    return 0.0, 0.0, float(height), float(width)


def inside(region: Region, photo: Photo, shown: Region | None = None) -> Region:
    """The part of a region that lies on the photo, or on the part of it that is shown.

    Raises:
        FigureError: if that is nothing.
    """
    height, width = photo.size
    limits = shown or (0.0, 0.0, float(height), float(width))
    top, left = max(region[0], limits[0]), max(region[1], limits[1])
    bottom, right = min(region[2], limits[2]), min(region[3], limits[3])
    if top >= bottom or left >= right:
        raise FigureError(
            f"The region {_numbers(region)} lies outside what is shown of {photo.name}, "
            f"{_numbers(limits)}. Regions are top, left, bottom, right in pixels of the photo."
        )
    return top, left, bottom, right


def _numbers(region: Region) -> str:
    return ", ".join(f"{value:g}" for value in region)


def aspect_of(region: Region) -> float:
    """Height over width."""
    return (region[2] - region[0]) / (region[3] - region[1])


def placed_map(content: MapPicture, size: tuple[int, int], style: CellStyle = "smooth") -> Placed:
    """The map on the photo, or the mean of several, at that size of the whole photo."""
    method = method_of(style)
    placed = [
        place(values, cells, content.analysis.geometry, size, method=method)
        for values, cells in content.parts
    ]
    if len(placed) == 1:
        return placed[0]
    mean: Floats = np.mean([one.values for one in placed], axis=0, dtype=np.float32)
    return Placed(mean, placed[0].seen)


def paint(content: Picture | MapPicture, pixels: Pixels, spec: FigureSpec, row: Row) -> Pixels:
    """The pixels that the picture shows, for the whole photo."""
    if isinstance(content, FoundPicture) and content.how == "mask":
        return _with_masks(content, pixels)
    if isinstance(content, Picture):
        return pixels
    placed = placed_map(content, (pixels.shape[0], pixels.shape[1]), spec.cells)
    painted: Pixels = overlay(
        pixels,
        placed,
        scale=content.scale,
        colormap=spec.colormap,
        opacity=1.0 if spec.style == "map" else spec.opacity,
        mark_unseen=False,
    )
    # The edge of what was seen may cut through pixels; shown alone, they belong to it.
    alone = spec.frame == "seen" and row.crop is None
    if not alone and not placed.seen.all():
        painted[~placed.seen] = _faded(pixels[~placed.seen])
    return painted


def _with_masks(content: FoundPicture, pixels: Pixels) -> Pixels:
    """The photo with masks in the colours of their classes, the best on top."""
    geometry, size = content.analysis.geometry, (pixels.shape[0], pixels.shape[1])
    colours = np.array(list(COLOURS.values()))
    painted = pixels.copy()
    for number in reversed(range(min(len(content.found), MOST_DRAWN))):
        mask = inside_mask(content.found, geometry, size, [number])
        colour = colours[content.colours[number] % len(colours)]
        painted[mask] = np.rint(pixels[mask] * (1 - MASK) + colour * MASK)
    return painted


def _faded(pixels: Pixels) -> Pixels:
    faded: Pixels = np.rint(pixels * (1 - UNSEEN_WHITE) + 255 * UNSEEN_WHITE).astype(np.uint8)
    return faded


def draw_image(sheet: Sheet, rect: Rect, pixels: Pixels, gid: str) -> None:
    """Fill a rectangle with pixels, such as those of a colour bar."""
    _fill(sheet.axes(rect, f"{gid} axes"), pixels, gid, (0, 1, 0, 1))


def draw_matrix(sheet: Sheet, rect: Rect, pixels: Pixels, gid: str) -> None:
    """The same in axes whose coordinates are rows, downwards, and columns."""
    rows, columns = pixels.shape[:2]
    _fill(sheet.axes(rect, f"{gid} axes"), pixels, gid, (0, columns, rows, 0))


def _fill(axes: Axes, pixels: Pixels, gid: str, extent: tuple[float, float, float, float]) -> None:
    image = OwnPixels(axes, extent=extent, origin="upper", interpolation_stage="rgba")
    image.set_data(pixels)
    image.set_gid(gid)
    axes.add_image(image)
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])


def show(axes: Axes, pixels: Pixels, region: Region, photo_size: tuple[int, int], gid: str) -> None:
    """Put the region into axes whose coordinates are pixels of the photo."""
    top, left, bottom, right = region
    fy, fx = photo_size[0] / pixels.shape[0], photo_size[1] / pixels.shape[1]
    y0, y1 = math.floor(top / fy + 1e-9), math.ceil(bottom / fy - 1e-9)
    x0, x1 = math.floor(left / fx + 1e-9), math.ceil(right / fx - 1e-9)
    image = OwnPixels(
        axes,
        extent=(x0 * fx, x1 * fx, y1 * fy, y0 * fy),
        origin="upper",
        resample=True,
        interpolation_stage="rgba",
        filternorm=True,
    )
    image.set_data(pixels[y0:y1, x0:x1])
    image.set_gid(gid)
    axes.add_image(image)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    image.set_clip_path(axes.patch)


@dataclass(frozen=True)
class Drawn:
    """A picture after drawing, for what is put on top of it."""

    axes: Axes
    rect: Rect
    region: Region
    pixels: Pixels
    """The whole photo as painted."""
    content: Picture | MapPicture
    gid: str


def draw_picture(
    sheet: Sheet,
    cell: Rect,
    content: Picture | MapPicture,
    *,
    spec: FigureSpec,
    row: Row,
    rasters: Rasters,
    gid: str,
) -> Drawn:
    """Draw a photo or a map on its photo, as large as the cell allows."""
    analysis = content.analysis
    region = region_of(analysis, row, spec)
    rect = cell.fitted(aspect_of(region))
    pixels = paint(content, rasters.get(analysis.photo, region, rect.width), spec, row)
    axes = sheet.axes(rect, f"{gid} axes")
    show(axes, pixels, region, analysis.photo.size, gid)
    return Drawn(axes, rect, region, pixels, content, gid)
