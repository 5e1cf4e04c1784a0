"""Photos and maps in a grid."""

from __future__ import annotations

from cbam_viz.figures.content.values import MapPicture, Picture
from cbam_viz.figures.draw.marks import draw_marks
from cbam_viz.figures.draw.pictures import draw_picture
from cbam_viz.figures.draw.places.drawing import Drawing, Spot
from cbam_viz.figures.draw.plan import ColumnRoom
from cbam_viz.figures.paper.sheet import Sheet
from cbam_viz.figures.wording import letter

is_picture = True
least_height = 0.0


def room(drawing: Drawing, column: int, width: float) -> ColumnRoom:
    """A share of what other columns leave."""
    return ColumnRoom()


def text_height(drawing: Drawing, place: Picture | MapPicture, column: ColumnRoom) -> float:
    """Nothing: a picture has no text of its own."""
    return 0.0


def whole(drawing: Drawing, place: Picture | MapPicture, column: ColumnRoom) -> bool:
    """Always."""
    return True


def foot(drawing: Drawing) -> float:
    """Nothing."""
    return 0.0


def draw(sheet: Sheet, drawing: Drawing, place: Picture | MapPicture, spot: Spot) -> None:
    """The picture with its marks."""
    spec, row = drawing.spec, drawing.spec.row(spot.row)
    drawn = draw_picture(
        sheet, spot.rect, place, spec=spec, row=row, rasters=drawing.rasters, gid=spot.gid
    )
    draw_marks(sheet, drawn, spec, row, letter(spot.number) if spec.letters == "cells" else "")
