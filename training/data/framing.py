"""Pictures as the app shows them to a network: crops, whole photos with a border, rectangles.

A network that has only met squares cut out of photos opens or closes its late gates altogether on a
grey border, on a wide photo, or on one that is sharper than those it learned from. So a last phase
of training shows it all of these. Each frame keeps the boxes of its objects, and which part of it
is photo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.augment import DEGRADE_ABOVE, DEGRADE_SIDES, recolour, resize, resize_to, soften
from training.data.cache import ImageCache

Image = NDArray[np.uint8]
Boxes = NDArray[np.float64]
"""(N, 4) of x0, y0, x1, y1 as shares of width and height, 0..1."""
Place = tuple[float, float, float, float]
"""A part of a picture, as x0, y0, x1, y1 shares of it."""

GREY = 128
"""The border: what a mean of 0.5 comes to in bytes, as in `cbam_viz.images.views`."""

SQUARES = (192, 224, 224, 256)
"""Sides in pixels; one named twice is drawn twice as often."""
RECTANGLES = (
    (160, 224), (160, 288), (192, 256), (192, 288), (224, 288), (160, 256), (224, 320), (192, 320),
)  # fmt: skip
"""Heights and widths; shown upright as often as lying."""
MOSAIC_SIDE = 144
"""Pixels of each of the four photos of a mosaic."""
KINDS = {"crop": 0.35, "border": 0.3, "rectangle": 0.2, "mosaic": 0.15}
"""How often a batch is of each kind; in sum 1."""
WIDEST = 16 / 9
"""Photos with a border are as wide, or as high, at most."""


@dataclass(frozen=True)
class Source:
    """Decoded photos, and what is known of them."""

    cache: ImageCache
    labelled: bool
    boxes: dict[int, Boxes] = field(default_factory=dict)
    """By index, for some photos."""


@dataclass(frozen=True)
class Frame:
    """One picture as the network sees it."""

    image: Image
    """(H, W, 3) RGB."""
    label: int
    """-1 if it is not known, or if several photos stand side by side."""
    boxes: Boxes | None
    """As shares of the frame; None if it is not known where the object is."""
    photo: Place = (0.0, 0.0, 1.0, 1.0)
    """The part that is photo; the rest is border."""


def random_box(
    size: tuple[int, int], aspect: float, scale: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """A window (top, left, height, width) of a photo of `size`; its width is `aspect` its height.

    `scale`: its share of the area of the largest such window. `augment.view_box` draws the ratio
    as well; here all frames of a batch have one.
    """
    height, width = size
    tall = min(height, width / aspect) * math.sqrt(rng.uniform(*scale))
    high, wide = (max(1, round(side)) for side in (tall, tall * aspect))
    high, wide = min(height, high), min(width, wide)
    top, left = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
    return int(top), int(left), high, wide


def cut(
    image: Image, boxes: Boxes | None, window: tuple[int, int, int, int]
) -> tuple[Image, Boxes | None]:
    """The part (top, left, height, width) of a picture, and the boxes on it, cut with it."""
    top, left, height, width = window
    part = image[top : top + height, left : left + width]
    if boxes is None:
        return part, None
    pixels = boxes * [image.shape[1], image.shape[0], image.shape[1], image.shape[0]]
    inside = (pixels - [left, top, left, top]) / [width, height, width, height]
    return part, np.clip(inside, 0, 1)


def moved(boxes: Boxes | None, place: Place) -> Boxes | None:
    """Boxes of a picture that was put at a place of a larger one."""
    if boxes is None:
        return None
    x0, y0, x1, y1 = place
    return boxes * [x1 - x0, y1 - y0, x1 - x0, y1 - y0] + [x0, y0, x0, y0]


def with_border(image: Image, side: int) -> tuple[Image, Place]:
    """Fit a picture into the middle of a grey square; also the part that it takes."""
    ratio = side / max(image.shape[:2])
    height, width = (max(1, round(n * ratio)) for n in image.shape[:2])
    top, left = (side - height) // 2, (side - width) // 2
    canvas = np.full((side, side, 3), GREY, np.uint8)
    canvas[top : top + height, left : left + width] = resize_to(image, height, width)
    return canvas, (left / side, top / side, (left + width) / side, (top + height) / side)


def mirrored(frame: Frame) -> Frame:
    """Left and right exchanged."""
    boxes = frame.boxes
    if boxes is not None:
        boxes = boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [1, 0, 1, 0]
    x0, y0, x1, y1 = frame.photo
    image = np.ascontiguousarray(frame.image[:, ::-1])
    return Frame(image, frame.label, boxes, (1 - x1, y0, 1 - x0, y1))


class Framing:
    """Draws the frames of any step: a function of the seed and the step alone."""

    def __init__(
        self,
        sources: list[Source],
        shares: list[float],
        batch: int,
        seed: int,
        *,
        soften: float = 0.35,
        colour: float = 0.25,
    ) -> None:
        """Photos come from `sources` in the proportion of `shares`.

        `soften` is the probability of softening a sharp photo, `colour` the largest relative change
        of brightness, contrast and saturation.
        """
        self.sources, self.batch, self.seed = sources, batch, seed
        self.shares = np.asarray(shares) / sum(shares)
        self.soften, self.colour = soften, colour
        self._ends = [np.cumsum(source.cache.chances()) for source in sources]

    def frames(self, step: int) -> list[Frame]:
        """The frames of a step: all of one kind and size, so that they make a batch."""
        rng = np.random.default_rng((self.seed, 3, step))
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        if kind == "mosaic":
            return [self._mosaic(rng) for _ in range(self.batch)]
        side = int(rng.choice(SQUARES))
        rectangle = RECTANGLES[rng.integers(len(RECTANGLES))]
        if rng.random() < 0.5:
            rectangle = rectangle[::-1]
        if kind == "border":
            made = [self._bordered(side, rng) for _ in range(self.batch)]
        else:
            size = rectangle if kind == "rectangle" else (side, side)
            made = [self._filled(size, rng) for _ in range(self.batch)]
        return [mirrored(frame) if rng.random() < 0.5 else frame for frame in made]

    def _filled(self, size: tuple[int, int], rng: np.random.Generator) -> Frame:
        """A part of a photo that fills the frame."""
        image, label, boxes = self._photo(rng)
        part, boxes = self._part(image, boxes, size[1] / size[0], (0.4, 1), rng)
        return Frame(resize_to(part, *size), label, boxes)

    def _bordered(self, side: int, rng: np.random.Generator) -> Frame:
        """Most of a photo, lying or upright, in a square with a border."""
        image, label, boxes = self._photo(rng)
        aspect = WIDEST ** rng.uniform(-1, 1)
        part, boxes = self._part(image, boxes, aspect, (0.6, 1), rng)
        frame, place = with_border(part, side)
        return Frame(frame, label, moved(boxes, place), place)

    def _mosaic(self, rng: np.random.Generator) -> Frame:
        """Four photos side by side: small things, and a large frame of small photos that is sharp.

        It has boxes only if all four have.
        """
        side = MOSAIC_SIDE
        canvas = np.empty((2 * side, 2 * side, 3), np.uint8)
        found: list[Boxes] = []
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            image, _, boxes = self._photo(rng)
            part, boxes = self._part(image, boxes, 1.0, (0.7, 1), rng)
            canvas[y * side : (y + 1) * side, x * side : (x + 1) * side] = resize(part, side)
            boxes = moved(boxes, (x / 2, y / 2, (x + 1) / 2, (y + 1) / 2))
            if boxes is not None:
                found.append(boxes)
        return Frame(canvas, -1, np.concatenate(found) if len(found) == 4 else None)

    def _photo(self, rng: np.random.Generator) -> tuple[Image, int, Boxes | None]:
        """A photo, its label or -1, and its boxes if they are known."""
        which = int(rng.choice(len(self.sources), p=self.shares))
        source = self.sources[which]
        index = min(int(np.searchsorted(self._ends[which], rng.random())), len(source.cache) - 1)
        label = int(source.cache.labels[index]) if source.labelled else -1
        return source.cache.image(index), label, source.boxes.get(index)

    def _part(
        self,
        image: Image,
        boxes: Boxes | None,
        aspect: float,
        scale: tuple[float, float],
        rng: np.random.Generator,
    ) -> tuple[Image, Boxes | None]:
        """A random part of a photo, at times softened if it is sharp, and recoloured."""
        window = random_box((image.shape[0], image.shape[1]), aspect, scale, rng)
        part, boxes = cut(image, boxes, window)
        if min(image.shape[:2]) > DEGRADE_ABOVE and rng.random() < self.soften:
            part = soften(part, int(rng.integers(*DEGRADE_SIDES)))
        return recolour(part, rng.uniform(1 - self.colour, 1 + self.colour, 3)), boxes


def cover(
    boxes: Boxes,
    size: tuple[int, int],
    cells: tuple[int, int],
    stride: float,
    start: float = 0.5,
) -> Tensor:
    """Share of each cell that lies in any of the boxes, (h, w) in 0..1.

    Cells are squares of `stride` pixels on a frame of `size` (height, width), the middle of cell
    `i` at `start + stride * i`: 0.5 for a ResNet, `stride - 0.5` where strided convolutions are
    padded at the far side only. Of cells that reach beyond the frame, the part on it counts.
    """
    points = 4  # to a cell and side
    axes = []
    for count, length in zip(cells, size, strict=True):
        middle = start + stride * np.arange(count)
        within = stride * ((np.arange(points) + 0.5) / points - 0.5)
        axes.append((middle[:, None] + within).ravel() / length)
    y, x = axes
    inside = np.zeros((len(y), len(x)), bool)
    for x0, y0, x1, y1 in boxes:
        inside |= np.outer((y >= y0) & (y < y1), (x >= x0) & (x < x1))
    frame = np.outer((y >= 0) & (y < 1), (x >= 0) & (x < 1))
    blocks = (cells[0], points, cells[1], points)
    counted = (inside & frame).reshape(blocks).sum((1, 3))
    return torch.from_numpy(counted / frame.reshape(blocks).sum((1, 3))).float()
