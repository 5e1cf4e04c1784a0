"""Pictures as the app shows them to a network: crops, whole photos with a border, rectangles.

A network that has only met squares cut out of photos opens or closes its late gates altogether on a
grey border, on a wide photo, or on one that is sharper than those it learned from. So a last phase
of training shows it all of these. Each frame keeps the boxes of its objects, and how much of it is
photo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .augment import DEGRADE_SIDES, recolour
from .cache import ImageCache

Image = NDArray[np.uint8]
Boxes = NDArray[np.float64]
"""(N, 4) of x0, y0, x1, y1 as shares of width and height, 0..1."""

GREY = 128
"""The border: what a mean of 0.5 comes to in bytes, as in `cbam_viz.images.views`."""

SQUARES = (192, 224, 224, 256)
RECTANGLES = (
    (160, 224), (160, 288), (192, 256), (192, 288), (224, 288), (160, 256), (224, 320), (192, 320),
)  # fmt: skip
"""Heights and widths; shown upright as often as lying."""
KINDS = {"crop": 0.35, "border": 0.3, "rectangle": 0.2, "mosaic": 0.15}
"""How often a batch is of each kind."""


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
    photo: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """The part that is photo, as x0, y0, x1, y1 shares; the rest is border."""


def cut(image: Image, boxes: Boxes | None, box: tuple[int, int, int, int]) -> tuple[Image, Boxes | None]:
    """The part (top, left, height, width) of a picture, and the boxes on it."""
    top, left, height, width = box
    part = image[top : top + height, left : left + width]
    if boxes is None:
        return part, None
    full = np.array([image.shape[1], image.shape[0]] * 2, float)
    inside = (boxes * full - [left, top, left, top]) / [width, height, width, height]
    return part, np.clip(inside, 0, 1)


def random_box(
    size: tuple[int, int], aspect: float, scale: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """A window (top, left, height, width) of a given width over height.

    `scale`: its share of the area of the largest such window.
    """
    height, width = size
    largest = min(height, width / aspect)
    h = max(8.0, largest * math.sqrt(rng.uniform(*scale)))
    high, wide = min(height, round(h)), min(width, max(1, round(h * aspect)))
    top, left = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
    return int(top), int(left), high, wide


def scaled(image: Image, height: int, width: int) -> Image:
    """Area averaging to shrink, cubic to enlarge."""
    shrink = image.shape[0] > height
    method = cv2.INTER_AREA if shrink else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.uint8)


def with_border(image: Image, side: int) -> tuple[Image, tuple[float, float, float, float]]:
    """Fit a picture into a grey square; also the part that it takes."""
    ratio = side / max(image.shape[:2])
    height, width = (max(1, round(n * ratio)) for n in image.shape[:2])
    top, left = (side - height) // 2, (side - width) // 2
    canvas = np.full((side, side, 3), GREY, np.uint8)
    canvas[top : top + height, left : left + width] = scaled(image, height, width)
    return canvas, (left / side, top / side, (left + width) / side, (top + height) / side)


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
        self.sources, self.batch, self.seed = sources, batch, seed
        self.shares = np.asarray(shares) / sum(shares)
        self.soften, self.colour = soften, colour
        self._weights = []
        for source in sources:
            sizes = np.bincount(source.cache.labels)
            weight = 1 / np.sqrt(sizes[source.cache.labels])
            self._weights.append(np.cumsum(weight / weight.sum()))

    def frames(self, step: int) -> list[Frame]:
        """The frames of a step, all of one size."""
        rng = np.random.default_rng((self.seed, 3, step))
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        if kind == "mosaic":
            return [self._mosaic(rng) for _ in range(self.batch)]
        side = int(rng.choice(SQUARES))
        height, width = RECTANGLES[rng.integers(len(RECTANGLES))]
        if rng.random() < 0.5:
            height, width = width, height
        made = []
        for _ in range(self.batch):
            image, label, boxes, soft = self._photo(rng)
            if kind == "border":
                aspect = math.exp(rng.uniform(-0.58, 0.58))  # 9 : 16 to 16 : 9
                part, boxes = cut(image, boxes, random_box(image.shape[:2], aspect, (0.6, 1), rng))
                frame, place = with_border(self._varied(part, rng, soft), side)
                x0, y0, x1, y1 = place
                if boxes is not None:
                    boxes = boxes * [x1 - x0, y1 - y0, x1 - x0, y1 - y0] + [x0, y0, x0, y0]
                made.append(Frame(frame, label, boxes, place))
                continue
            h, w = (side, side) if kind == "crop" else (height, width)
            part, boxes = cut(image, boxes, random_box(image.shape[:2], w / h, (0.4, 1), rng))
            made.append(Frame(scaled(self._varied(part, rng, soft), h, w), label, boxes))
        return [mirrored(frame) if rng.random() < 0.5 else frame for frame in made]

    def _photo(self, rng: np.random.Generator) -> tuple[Image, int, Boxes | None, bool]:
        which = int(rng.choice(len(self.sources), p=self.shares))
        source = self.sources[which]
        index = min(int(np.searchsorted(self._weights[which], rng.random())), len(source.cache) - 1)
        image = source.cache.image(index)
        label = int(source.cache.labels[index]) if source.labelled else -1
        return image, label, source.boxes.get(index), min(image.shape[:2]) <= 100

    def _varied(self, part: Image, rng: np.random.Generator, soft: bool) -> Image:
        """Softened at random if it is sharp, and recoloured."""
        part = np.ascontiguousarray(part)
        if not soft and rng.random() < self.soften:
            ratio = int(rng.integers(*DEGRADE_SIDES)) / min(part.shape[:2])
            if ratio < 1:
                small = scaled(part, *(max(8, round(n * ratio)) for n in part.shape[:2]))
                part = scaled(small, *part.shape[:2])
        return recolour(part, rng.uniform(1 - self.colour, 1 + self.colour, 3))

    def _mosaic(self, rng: np.random.Generator) -> Frame:
        """Four photos side by side: small things, sharp at 288 px."""
        side, found, known = 144, [], True
        canvas = np.empty((2 * side, 2 * side, 3), np.uint8)
        for k in range(4):
            image, _, boxes, soft = self._photo(rng)
            part, boxes = cut(image, boxes, random_box(image.shape[:2], 1, (0.7, 1), rng))
            y, x = divmod(k, 2)
            canvas[y * side :, x * side :][:side, :side] = scaled(self._varied(part, rng, soft), side, side)
            known = known and boxes is not None
            found.append(boxes / 2 + [x / 2, y / 2, x / 2, y / 2] if boxes is not None else None)
        everything = np.concatenate([b for b in found if b is not None]) if known else None
        return Frame(canvas, -1, everything)


def mirrored(frame: Frame) -> Frame:
    """Left and right changed."""
    boxes = None if frame.boxes is None else frame.boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [1, 0, 1, 0]
    x0, y0, x1, y1 = frame.photo
    return Frame(np.ascontiguousarray(frame.image[:, ::-1]), frame.label, boxes, (1 - x1, y0, 1 - x0, y1))


def cover(boxes: Boxes, size: tuple[int, int], cells: tuple[int, int], stride: int) -> Tensor:
    """Share of each cell's square that lies in any of the boxes, (h, w) in 0..1.

    Cells are those of a ResNet: the middle of cell `i` is at `0.5 + stride * i` pixels.
    """
    grid = 4  # points a cell and side
    axes = []
    for count in cells:
        middle = 0.5 + stride * np.arange(count)
        axes.append((middle[:, None] + stride * ((np.arange(grid) + 0.5) / grid - 0.5)).ravel())
    y, x = axes[0] / size[0], axes[1] / size[1]
    inside = np.zeros((len(y), len(x)), bool)
    for x0, y0, x1, y1 in boxes:
        inside |= np.outer((y >= y0) & (y < y1), (x >= x0) & (x < x1))
    shares = inside.reshape(cells[0], grid, cells[1], grid).mean((1, 3))
    return torch.from_numpy(shares).float()
