"""What a detector or segmenter found, on the photo: outlines, labels, coloured masks."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Polygon

from cbam_viz.detections import Numbers
from cbam_viz.detectors.outlines import outlines, rings
from cbam_viz.figures.content.values import FoundPicture
from cbam_viz.figures.draw.marks import DARK, EDGE, LIGHT, LINE, TAG, draw_marks
from cbam_viz.figures.draw.pictures import Drawn, draw_picture
from cbam_viz.figures.draw.places.drawing import Drawing, Spot
from cbam_viz.figures.draw.places.pictures import foot as foot  # noqa: PLC0414
from cbam_viz.figures.draw.places.pictures import room as room  # noqa: PLC0414
from cbam_viz.figures.draw.places.pictures import text_height as text_height  # noqa: PLC0414
from cbam_viz.figures.draw.places.pictures import whole as whole  # noqa: PLC0414
from cbam_viz.figures.paper.rect import Rect
from cbam_viz.figures.paper.sheet import Sheet
from cbam_viz.figures.paper.typesetting import line_height
from cbam_viz.figures.wording import letter

is_picture = True
least_height = 0.0

_TRACED = 1024
"""Outlines of masks are traced on a copy of the photo with so many pixels along its longer side."""


def draw(sheet: Sheet, drawing: Drawing, place: FoundPicture, spot: Spot) -> None:
    """The photo, what was found on it, then marks."""
    spec, row = drawing.spec, drawing.spec.row(spot.row)
    drawn = draw_picture(
        sheet, spot.rect, place, spec=spec, row=row, rasters=drawing.rasters, gid=spot.gid
    )
    found, ringed = _lines(place)
    for number, parts in enumerate(found):
        for part in (*parts, *ringed[number]):
            _draw_outline(drawn, part, f"{spot.gid} found {number + 1}")
    corner = letter(spot.number) if spec.letters == "cells" else ""
    if place.how != "boxes":
        _draw_labels(sheet, drawn, place, found, corner)
    draw_marks(sheet, drawn, spec, row, corner)


def _lines(place: FoundPicture) -> tuple[list[list[Numbers]], list[list[Numbers]]]:
    """Closed lines around each and around its keypoints, in pixels of the photo."""
    geometry = place.analysis.geometry
    height, width = geometry.photo_size
    factor = max(1.0, max(height, width) / _TRACED)
    size = max(1, round(height / factor)), max(1, round(width / factor))
    back = np.array([width / size[1], height / size[0]])
    shapes = outlines(place.found, geometry, size, "boxes" if place.how == "boxes" else "masks")
    points = rings(place.found, geometry, size) if place.how == "detections" else [[]] * len(shapes)

    def on_photo(lines: list[list[Numbers]]) -> list[list[Numbers]]:
        return [[part * back for part in parts] for parts in lines]

    return on_photo(shapes), on_photo(points)


def _draw_outline(drawn: Drawn, points: Numbers, gid: str) -> None:
    for color, width in ((DARK, EDGE), (LIGHT, LINE)):
        drawn.axes.add_patch(
            Polygon(
                points,
                closed=True,
                fill=False,
                edgecolor=color,
                linewidth=width,
                joinstyle="miter",
                gid=gid if color == LIGHT else f"{gid} edge",
            )
        )


def _draw_labels(
    sheet: Sheet, drawn: Drawn, place: FoundPicture, found: list[list[Numbers]], corner: str
) -> None:
    """A label at each outline, the best first, where it covers no other one."""
    pad = 0.18 * sheet.small
    height = line_height(sheet.small) + 2 * pad
    taken = []
    if corner:  # the picture's letter stands there
        width = sheet.measure(corner, sheet.small) + 4 * pad
        taken.append(Rect(drawn.rect.x, drawn.rect.y, width, height + 2 * pad))
    for number, parts in enumerate(found):
        around = _on_page(drawn, parts)
        if around is None:
            continue
        text = _label(sheet, place, number, drawn.rect.width - 2 * pad)
        width = sheet.measure(text, sheet.small) + 2 * pad
        spot = _free(around, drawn.rect, width, height, taken)
        if spot is None:
            sheet.figure.labels_left_out = True
            continue
        taken.append(spot)
        sheet.text(
            spot.x + pad, spot.y + pad, text, size=sheet.small, ha="left", va="top", color=LIGHT,
            box=dict(TAG), gid=f"{drawn.gid} found {number + 1} label",
        )  # fmt: skip


def _label(sheet: Sheet, place: FoundPicture, number: int, widest: float) -> str:
    """The class with its score; the class is cut where the picture is too narrow for it."""
    name = place.found.labelled[number]
    score = f" {place.found.scores[number]:.2f}"
    for length in range(len(name), 0, -1):
        short = name if length == len(name) else f"{name[:length].rstrip()}…"
        if sheet.measure(short + score, sheet.small) <= widest:
            return short + score
    return score.strip()


def _on_page(drawn: Drawn, parts: list[Numbers]) -> Rect | None:
    """The rectangle around the largest part, on the page; None if none of it is shown."""
    if not parts:
        return None
    largest = max(parts, key=lambda points: float(np.ptp(points[:, 0]) * np.ptp(points[:, 1])))
    top, left, bottom, right = drawn.region
    rect = drawn.rect
    x = rect.x + (largest[:, 0] - left) / (right - left) * rect.width
    y = rect.y + (largest[:, 1] - top) / (bottom - top) * rect.height
    x0, x1 = (float(end) for end in np.clip([x.min(), x.max()], rect.x, rect.right))
    y0, y1 = (float(end) for end in np.clip([y.min(), y.max()], rect.y, rect.bottom))
    return Rect(x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None


def _free(
    around: Rect, picture: Rect, width: float, height: float, taken: list[Rect]
) -> Rect | None:
    """Where a label fits: above an outline, at its top, below it, at its bottom; left, then right.

    Within the picture, and on no label that stands already.
    """
    lefts = [around.x, around.right - width]
    tops = [around.y - height, around.y, around.bottom, around.bottom - height]
    for top in tops:
        for left in lefts:
            x = min(max(left, picture.x), picture.right - width)
            spot = Rect(x, top, width, height)
            inside = picture.y <= top and top + height <= picture.bottom + 0.01
            if inside and not any(_overlap(spot, other) for other in taken):
                return spot
    return None


def _overlap(one: Rect, other: Rect) -> bool:
    across = min(one.right, other.right) - max(one.x, other.x)
    down = min(one.bottom, other.bottom) - max(one.y, other.y)
    return across > 0 and down > 0
