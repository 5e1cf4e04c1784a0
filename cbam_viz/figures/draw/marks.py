"""What is drawn on top of a picture: boxes, contours, the seen crop, a scale bar, a zoom, tags.

Marks are white with a dark edge, so that they show on any photo and in grey print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from contourpy import LineType, contour_generator
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from cbam_viz.figures.ask.spec import FigureSpec, Region, Row
from cbam_viz.figures.content.values import MapPicture, Picture
from cbam_viz.figures.draw.cells import draw_cell_lines
from cbam_viz.figures.draw.pictures import Drawn, inside, placed_map, show
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Sheet
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.figures.wording import range_text

LIGHT, DARK = "white", "black"
LINE = 0.8
EDGE = 1.8
"""Widths in points of a mark and of the dark line below it."""

CONTOUR, CONTOUR_EDGE = 0.5, 1.3
"""The same of contours, which may wind closely."""

CONTOUR_GRID = 256
"""Contours are traced on a copy of the map with so many points along its longer side."""

ZOOM_SHARE = 0.46
"""Of the picture's width or height, at most, that a zoom inset covers."""

TAG = {"boxstyle": "square,pad=0.18", "facecolor": (0, 0, 0, 0.62), "edgecolor": "none"}


def draw_marks(sheet: Sheet, drawn: Drawn, spec: FigureSpec, row: Row, letter: str = "") -> None:
    """All marks that the figure asks for on this picture."""
    analysis = drawn.content.analysis
    if isinstance(drawn.content, MapPicture) and spec.cells == "grid":
        sheet.figure.cells_without_lines |= not draw_cell_lines(drawn, drawn.content)
    if isinstance(drawn.content, MapPicture) and spec.contours:
        draw_contours(drawn, drawn.content, spec.contours)
    for number, box in enumerate(row.boxes):
        outline(drawn.axes, inside(box, analysis.photo), f"{drawn.gid} box {number + 1}")
    if spec.mark_seen and isinstance(drawn.content, Picture):
        outline(drawn.axes, analysis.geometry.seen, f"{drawn.gid} seen", dashed=True)
    # Each corner holds one thing; the zoom comes first, and what stood there moves to the free one.
    corners = {"letter": "upper left", "range": "upper right", "scale bar": "lower left"}
    taken = ""
    if row.zoom is not None:
        taken = draw_zoom(sheet, drawn, inside(row.zoom, analysis.photo, drawn.region))
        corners = {
            what: "lower right" if corner == taken else corner for what, corner in corners.items()
        }
    if spec.scale_bar != "none":
        draw_scale_bar(sheet, drawn, spec, right=corners["scale bar"] == "lower right")
    if isinstance(drawn.content, MapPicture) and _has_own_scale(drawn.content):
        used = {taken, corners["range"], corners["scale bar"] * (spec.scale_bar != "none")}
        free = [corner for corner in ("lower left", "lower right") if corner not in used]
        text, aside = _range_of(sheet, drawn, letter, room_below=bool(free))
        if aside:
            corners["letter"] = free[0]
        if text:
            tag(sheet, drawn, text, corners["range"], "range")
        sheet.figure.ranges_left_out |= not text
    if letter:
        tag(sheet, drawn, letter, corners["letter"], "letter")


def _range_of(sheet: Sheet, drawn: Drawn, letter: str, *, room_below: bool) -> tuple[str, bool]:
    """A map's range in one line or two, and whether its letter has to stand below it.

    Empty where the picture is too small for it.
    """
    assert isinstance(drawn.content, MapPicture)
    step, pad = line_height(sheet.small) + 1, 2 * _pad(sheet)
    whole = range_text(drawn.content.scale.low, drawn.content.scale.high)
    beside = sheet.measure(letter, sheet.small) + pad if letter else 0.0
    for text in (whole, whole.replace(" to ", "\N{EN DASH}\n")):
        lines = text.split("\n")
        width = max(sheet.measure(line, sheet.small) for line in lines) + pad
        if width > drawn.rect.width or len(lines) * step + pad > drawn.rect.height:
            continue
        if width + beside <= drawn.rect.width:
            return text, False
        if room_below and (len(lines) + 1) * step + pad <= drawn.rect.height:
            return text, True
    return "", False


def _has_own_scale(content: MapPicture) -> bool:
    """Whether it is printed on the map, as no colour bar says it."""
    return content.scale.kind == "per map" or bool(content.quantity)


def outline(axes: Axes, region: Region, gid: str, *, dashed: bool = False) -> None:
    """A rectangle in pixels of the photo."""
    top, left, bottom, right = region
    for color, width in ((DARK, EDGE), (LIGHT, LINE)):
        axes.add_patch(
            Rectangle(
                (left, top),
                right - left,
                bottom - top,
                fill=False,
                edgecolor=color,
                linewidth=width,
                linestyle=(0, (3, 2)) if dashed and color == LIGHT else "-",
                joinstyle="miter",
                gid=gid if color == LIGHT else f"{gid} edge",
            )
        )


def contour_lines(content: MapPicture, level: float) -> list[np.ndarray]:
    """Lines (N, 2) of x and y in pixels of the photo along which the map has that value."""
    height, width = content.analysis.photo.size
    factor = max(1.0, max(height, width) / CONTOUR_GRID)
    size = max(2, round(height / factor)), max(2, round(width / factor))
    placed = placed_map(content, size)
    # The value of a pixel belongs to its centre.
    x = (np.arange(size[1]) + 0.5) * (width / size[1])
    y = (np.arange(size[0]) + 0.5) * (height / size[0])
    values = np.ma.masked_array(placed.values, mask=~placed.seen)
    generator = contour_generator(x, y, values, line_type=LineType.Separate)
    return [np.asarray(line) for line in generator.lines(level)]


def draw_contours(drawn: Drawn, content: MapPicture, levels: Sequence[float]) -> None:
    """Contour lines of a map at levels in its own values."""
    for level in levels:
        lines = contour_lines(content, level)
        for color, width in ((DARK, CONTOUR_EDGE), (LIGHT, CONTOUR)):
            name = f"{drawn.gid} contour {level:g}"
            drawn.axes.add_collection(
                LineCollection(
                    lines,
                    colors=color,
                    linewidths=width,
                    linestyles="-",
                    gid=name if color == LIGHT else f"{name} edge",
                ),
                autolim=False,
            )


def draw_zoom(sheet: Sheet, drawn: Drawn, zoom: Region) -> str:
    """Show a region enlarged in the corner farthest from it; returns the corner."""
    rect, region = drawn.rect, drawn.region
    outline(drawn.axes, zoom, f"{drawn.gid} zoomed")
    centre_y = (zoom[0] + zoom[2]) / 2 - (region[0] + region[2]) / 2
    centre_x = (zoom[1] + zoom[3]) / 2 - (region[1] + region[3]) / 2
    vertical = "lower" if centre_y <= 0 else "upper"
    horizontal = "right" if centre_x <= 0 else "left"
    aspect = (zoom[2] - zoom[0]) / (zoom[3] - zoom[1])
    width = min(rect.width * ZOOM_SHARE, rect.height * ZOOM_SHARE / aspect)
    height = width * aspect
    rim = EDGE / 2
    inset = Rect(
        rect.right - width - rim if horizontal == "right" else rect.x + rim,
        rect.bottom - height - rim if vertical == "lower" else rect.y + rim,
        width,
        height,
    )
    axes = sheet.axes(inset, f"{drawn.gid} zoom axes")
    show(axes, drawn.pixels, zoom, drawn.content.analysis.photo.size, f"{drawn.gid} zoom")
    top, left, bottom, right = zoom
    for color, line in ((DARK, EDGE), (LIGHT, LINE)):
        frame = Rectangle(
            (left, top),
            right - left,
            bottom - top,
            fill=False,
            edgecolor=color,
            linewidth=line,
            joinstyle="miter",
            clip_on=False,
            gid=f"{drawn.gid} zoom frame" + ("" if color == LIGHT else " edge"),
        )
        axes.add_patch(frame)
    return f"{vertical} {horizontal}"


def nice_length(longest: float) -> int:
    """The largest of 1, 2, 5 times a power of ten that is no longer."""
    power = 10 ** math.floor(math.log10(max(longest, 1.0)))
    return int(next(k * power for k in (5, 2, 1) if k * power <= max(longest, 1.0)))


def draw_scale_bar(sheet: Sheet, drawn: Drawn, spec: FigureSpec, *, right: bool) -> None:
    """A bar of a round number of pixels, about a quarter of the picture wide."""
    rect, region = drawn.rect, drawn.region
    points_per_pixel = rect.width / (region[3] - region[1])
    unit = 1.0
    if spec.scale_bar == "input":
        unit = drawn.content.analysis.geometry.scale_x
    length = nice_length(0.34 * rect.width / (points_per_pixel * unit))
    width = length * unit * points_per_pixel
    margin = 4.0
    x = rect.right - margin - width if right else rect.x + margin
    y = rect.bottom - margin
    in_photo = (x - rect.x) / points_per_pixel + region[1]
    thick = 1.6 / points_per_pixel
    top = region[2] - margin / points_per_pixel - thick
    drawn.axes.add_patch(
        Rectangle(
            (in_photo, top),
            length * unit,
            thick,
            facecolor=LIGHT,
            edgecolor=DARK,
            linewidth=0.4,
            gid=f"{drawn.gid} scale bar",
        )
    )
    text = f"{length} px" if spec.scale_bar == "photo" else f"{length} input px"
    if sheet.measure(text, sheet.small) + 4 > rect.width:  # whose pixels, the caption says too
        text = f"{length} px"
    half = sheet.measure(text, sheet.small) / 2 + 2
    centre, baseline = x + width / 2, y - 5.4
    if rect.height < margin + 5.4 + 1.4 * sheet.small:  # too low for a text above the bar
        centre = x - half - 2 if right else x + width + half + 2
        baseline = y + 0.8
    sheet.text(
        min(max(min(max(centre, rect.x + half), rect.right - half), half), sheet.width - half),
        baseline,
        text,
        size=sheet.small,
        color=LIGHT,
        box=dict(TAG),
        gid=f"{drawn.gid} scale bar length",
    )


def tag(sheet: Sheet, drawn: Drawn, text: str, corner: str, gid: str) -> None:
    """A small text in a corner of the picture, in lines if it has some."""
    vertical, horizontal = corner.split()
    pad = _pad(sheet)
    rect = drawn.rect
    lines = text.split("\n")
    step = line_height(sheet.small) + 1
    for number, line in enumerate(lines):
        down = number if vertical == "upper" else number - len(lines) + 1
        sheet.text(
            rect.x + pad if horizontal == "left" else rect.right - pad,
            (rect.y + pad if vertical == "upper" else rect.bottom - pad) + down * step,
            line,
            size=sheet.small,
            ha=horizontal,
            va="top" if vertical == "upper" else "bottom",
            color=LIGHT,
            box=dict(TAG),
            gid=f"{drawn.gid} {gid}" + (f" line {number + 1}" if number else ""),
        )


def _pad(sheet: Sheet) -> float:
    """From a picture's edge to the text of a tag."""
    return 0.18 * sheet.small + 1.2
