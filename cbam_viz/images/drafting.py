"""JPEGs decoded at a half, a quarter or an eighth of their size, which decoders do in less time.

A JPEG holds squares of 8 x 8 pixels as frequencies; leaving out the higher ones gives squares of
4 x 4, 2 x 2 or 1 x 1. The picture is about the average of the pixels, not exactly; resizing it has
fewer pixels to look at, which saves more than the decoding does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbam_viz.images.photo import Buffered

Least = Callable[[tuple[int, int]], tuple[int, int]]
"""Height and width that a photo must keep, by its own height and width."""


def draft(image: Image.Image, least: Least, *, sideways: bool) -> int:
    """Let a JPEG that is not decoded yet be decoded smaller; return how many times.

    1 where it cannot be, or is as small as it may be. `sideways` says that it will be turned.
    """
    if image.format not in ("JPEG", "MPO") or image.mode not in ("RGB", "L"):
        return 1
    width, height = image.size
    kept = least((width, height) if sideways else (height, width))
    made = image.draft(None, kept if sideways else kept[::-1])
    return 1 if made is None else round(width / made[1][2])


def placed(
    image: Image.Image,
    size: tuple[int, int],
    times: int,
    turn: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
) -> Buffered:
    """Where a photo lies in a picture of it that was decoded so many times smaller, then turned.

    `size` is the photo's before it was turned, (width, height). The last column and row may reach
    beyond the photo, and turning takes them to other sides.
    """
    right, bottom = (math.ceil(side / times) - side / times for side in size)
    beyond = turn(np.array([[0, 0, 0], [0, 0, right], [0, bottom, 0]])[..., None])[..., 0]
    box = (beyond[1, 0], beyond[0, 1], image.width - beyond[1, 2], image.height - beyond[2, 1])
    left, top, right, bottom = map(float, box)
    return Buffered(image, (left, top, right, bottom))
