"""Channel weights as bars in a grid."""

from __future__ import annotations

from cbam_viz.figures.content.values import Bars
from cbam_viz.figures.draw.bars import bars_margin, draw_bars, ordered
from cbam_viz.figures.draw.places.drawing import Drawing, Spot
from cbam_viz.figures.draw.plan import ColumnRoom
from cbam_viz.figures.paper.sheet import Sheet

is_picture = False
least_height = 24.0
"""Below this height bars cannot be told apart."""


def room(drawing: Drawing, column: int, width: float) -> ColumnRoom:
    """As wide as a picture, with room for the axis at the left."""
    return ColumnRoom(margin=bars_margin(drawing.style, drawing.axis))


def text_height(drawing: Drawing, place: Bars, column: ColumnRoom) -> float:
    """Nothing beside `least_height`."""
    return 0.0


def whole(drawing: Drawing, place: Bars, column: ColumnRoom) -> bool:
    """Always."""
    return True


def foot(drawing: Drawing) -> float:
    """The axis of channels, labelled once below each block."""
    return drawing.style.small + 2.5


def draw(sheet: Sheet, drawing: Drawing, place: Bars, spot: Spot) -> None:
    """The bars, all on one axis."""
    shown = ordered(place.weights, drawing.spec.order)[None]
    draw_bars(
        sheet, spot.rect, shown, gid=spot.gid, axis=drawing.axis, x_labels=spot.last,
        order=drawing.spec.order,
    )  # fmt: skip
