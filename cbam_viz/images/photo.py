"""The photo as everything downstream sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""


@dataclass(frozen=True, eq=False)
class Buffered:
    """A decoded picture in Pillow's own memory, for a network alone."""

    image: Image.Image
    """RGB, upright."""
    box: Box
    """Where the photo lies in it: all of it, but where it was decoded at a part of its size, whose
    pixels may reach beyond the photo's edges."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded picture: upright, opaque, 8 bits a channel.

    Two photos with the same `sha256`, `window` and `index` came from the same bytes in the same
    way, so that is what caches key on.
    """

    pixels: npt.NDArray[np.uint8]
    """(H, W, 3) RGB, contiguous, read-only: what networks are given, unless there are `values`."""
    name: str
    """File name without folders; `photo` where none is known."""
    sha256: str
    """Of the file's bytes; of shape, type and values where the source was an array."""
    format: str
    """What the content is, such as `JPEG`; `array` where the source was an array."""
    notes: tuple[str, ...] = ()
    """What was done to show it, in sentences: turned as EXIF says, put on white, and so on."""
    in_srgb: npt.NDArray[np.uint8] | None = None
    """The same picture as its colour profile means it; None where it has none, or one like sRGB."""
    window: tuple[float, float] | None = None
    """The values that were stated to be black and white, for values of more than 8 bits."""
    values: npt.NDArray[Any] | None = None
    """(H, W, C), the numbers of the file where these are more than three channels of 8 bits:
    what networks are given then. None for an ordinary photo."""
    levels: tuple[float, float] | None = None
    """The values that are black and white in `pixels`, where there are `values`; the greater one
    comes first where 0 is white."""

    index: int | None = None
    """Which slice of a volume it is, from 0."""
    buffered: Buffered | None = None
    """What networks are given in place of `pixels`, where the photo was read for one alone;
    `pixels` have the photo's shape then, and nothing in them."""

    @property
    def shown(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) RGB as people should see it; what every picture is drawn on."""
        return self.pixels if self.in_srgb is None else self.in_srgb

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.pixels.shape[:2]
        return height, width

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Photo) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        return self.sha256, self.name, self.window, self.index
