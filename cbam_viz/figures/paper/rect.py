"""Rectangles on the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rect:
    """A rectangle, in points from the figure's top left."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Place of the right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Place of the lower edge."""
        return self.y + self.height

    def fitted(self, aspect: float) -> Rect:
        """The largest rectangle of that height over width inside this one, centred."""
        width = min(self.width, self.height / aspect)
        height = width * aspect
        return Rect(
            self.x + (self.width - width) / 2, self.y + (self.height - height) / 2, width, height
        )
