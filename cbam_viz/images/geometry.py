"""Where a pixel of the network's input lies on the photo.

Coordinates are continuous in both: pixel `k` covers `[k, k + 1)`, its centre is `k + 0.5`. Resizing
in this convention is a plain scaling of coordinates, which is also what Pillow does, so that the
mapping is exact through the rounding of sizes, the crop and any border.
"""

from __future__ import annotations

from dataclasses import dataclass

from cbam_viz._defaults import VIEW as DEFAULT_VIEW
from cbam_viz._defaults import VIEWS, View

__all__ = ["DEFAULT_VIEW", "VIEWS", "Geometry", "View"]


@dataclass(frozen=True)
class Geometry:
    """The affine map between the network's input and the photo, one axis at a time."""

    photo_size: tuple[int, int]
    """Height and width of the photo in pixels."""
    input_size: tuple[int, int]
    """Height and width of the network's input in pixels."""
    scale_y: float
    """Photo pixels per input pixel, down."""
    scale_x: float
    """Photo pixels per input pixel, across. Differs from `scale_y` by rounding, or by squashing."""
    offset_y: float
    """Photo coordinate of the input's top edge; negative where the input begins with a border."""
    offset_x: float
    """Photo coordinate of the input's left edge."""
    view: View = DEFAULT_VIEW
    border: tuple[int, int, int] | None = None
    """8-bit RGB of what surrounds the photo in the input; None where nothing does, or where it is
    not known."""

    @classmethod
    def of_input(cls, size: tuple[int, int]) -> Geometry:
        """The input of height and width `size` itself, taken for the photo."""
        return cls(size, size, 1.0, 1.0, 0.0, 0.0)

    def to_photo(self, y: float, x: float) -> tuple[float, float]:
        """Photo coordinates of a point given in input coordinates."""
        return self.offset_y + y * self.scale_y, self.offset_x + x * self.scale_x

    def to_input(self, y: float, x: float) -> tuple[float, float]:
        """Input coordinates of a point given in photo coordinates."""
        return (y - self.offset_y) / self.scale_y, (x - self.offset_x) / self.scale_x

    @property
    def seen(self) -> tuple[float, float, float, float]:
        """(top, left, bottom, right) of the part of the photo that the network saw."""
        top, left = self.to_photo(0, 0)
        bottom, right = self.to_photo(*self.input_size)
        height, width = self.photo_size
        return max(top, 0.0), max(left, 0.0), min(bottom, height), min(right, width)

    @property
    def seen_share(self) -> float:
        """Share of the photo's area that the network saw, in [0, 1]."""
        top, left, bottom, right = self.seen
        height, width = self.photo_size
        return (bottom - top) * (right - left) / (height * width)

    @property
    def border_share(self) -> float:
        """Share of the input's area that lies on no photo, in [0, 1]."""
        top, left, bottom, right = self.seen
        height, width = self.input_size
        on_photo = (bottom - top) / self.scale_y * (right - left) / self.scale_x
        return max(0.0, round(1 - on_photo / (height * width), 9))
