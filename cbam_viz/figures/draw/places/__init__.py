"""The places of a grid: each kind has a module that says what room it needs and draws it.

A new kind is one module here, with the functions of `PlaceDrawing`, and a line in `PLACES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from cbam_viz.figures.content.values import (
    Bars,
    EffectBars,
    FoundPicture,
    MapPicture,
    Picture,
    Place,
    Words,
)
from cbam_viz.figures.draw.places import bars, effects, found, pictures, words
from cbam_viz.figures.draw.places.drawing import Drawing, Spot
from cbam_viz.figures.draw.plan import ColumnRoom
from cbam_viz.figures.paper.sheet import Sheet


class PlaceDrawing(Protocol):
    """What the module of a kind of place has."""

    is_picture: bool
    """Whether its pictures are counted for letters."""
    least_height: float
    """Points that a row must have, whatever else it holds."""

    def room(self, drawing: Drawing, column: int, width: float) -> ColumnRoom:
        """What the column needs of a block that is so wide."""

    def text_height(self, drawing: Drawing, place: Any, column: ColumnRoom) -> float:
        """What its text needs of the row's height; 0 without text."""

    def whole(self, drawing: Drawing, place: Any, column: ColumnRoom) -> bool:
        """Whether its text is not cut."""

    def foot(self, drawing: Drawing) -> float:
        """Room below the last row of a block."""

    def draw(self, sheet: Sheet, drawing: Drawing, place: Any, spot: Spot) -> None:
        """Draw it."""


PLACES: Mapping[type[Place], PlaceDrawing] = {
    Picture: pictures,
    FoundPicture: found,
    MapPicture: pictures,
    Bars: bars,
    EffectBars: effects,
    Words: words,
}


def drawing_of(place: Place) -> PlaceDrawing:
    """The module that draws a place."""
    return PLACES[type(place)]
