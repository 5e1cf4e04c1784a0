"""Crops and their variations; every random choice comes from a seed, so that a run can resume.

A *view* is a fixed random crop of an image. The teacher labels views, so that a student is always
told what the teacher sees in the very crop that it is shown (Beyer et al., "Knowledge
distillation: a good teacher is patient and consistent", CVPR 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

RATIOS = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Augmentation:
    """Strength of what is done to a view each time it is shown; probabilities are in 0..1."""

    flip: float = 0.5
    degrade: float = 0.4
    """Down- and up-sampling to DEGRADE_SIDES. Sharpness tells some classes apart in some data
    sets, and a network must not learn that."""
    colour: float = 0.3
    """Largest relative change of brightness, contrast and saturation."""


DEGRADE_SIDES = (40, 72)
DEGRADE_ABOVE = 100  # smaller images are soft already


def view_box(
    height: int, width: int, seed: tuple[int, ...], scale: tuple[float, float]
) -> tuple[int, int, int, int]:
    """A random crop (top, left, height, width) in pixels, `scale` its share of the area.

    The sampling of torchvision's RandomResizedCrop, from `seed` instead of a global state.
    """
    rng = np.random.default_rng(seed)
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(math.log(RATIOS[0]), math.log(RATIOS[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            return int(top), int(left), h, w
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def resize_to(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize to (height, width, 3): area averaging to shrink both sides, else cubic."""
    shrink = image.shape[0] > height and image.shape[1] > width
    method = cv2.INTER_AREA if shrink else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.uint8)


def resize(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize to (side, side, 3), as `resize_to` does."""
    return resize_to(image, side, side)


def soften(view: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """Reduce a view (H, W, 3) to a short side and enlarge it again; a smaller one is left alone."""
    height, width = view.shape[:2]
    ratio = short_side / min(height, width)
    if ratio >= 1:
        return view
    small = resize_to(np.ascontiguousarray(view), round(height * ratio), round(width * ratio))
    return resize_to(small, height, width)


def crop_view(
    image: NDArray[np.uint8], seed: tuple[int, ...], scale: tuple[float, float], side: int
) -> NDArray[np.uint8]:
    """The view of `image` (H, W, 3) that `seed` names, as (side, side, 3)."""
    top, left, h, w = view_box(image.shape[0], image.shape[1], seed, scale)
    return resize(np.ascontiguousarray(image[top : top + h, left : left + w]), side)


def vary(
    view: NDArray[np.uint8], rng: np.random.Generator, recipe: Augmentation, sharp: bool
) -> NDArray[np.uint8]:
    """Flip, soften and recolour a view (S, S, 3); `sharp` says that its source is large."""
    if rng.random() < recipe.flip:
        view = view[:, ::-1]
    if sharp and rng.random() < recipe.degrade:
        view = soften(view, int(rng.integers(*DEGRADE_SIDES)))
    if recipe.colour > 0:
        view = recolour(view, rng.uniform(1 - recipe.colour, 1 + recipe.colour, 3))
    return np.ascontiguousarray(view)


def recolour(view: NDArray[np.uint8], factors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Brightness, contrast and saturation times `factors` (3,), in one 3 x 4 colour matrix."""
    brightness, contrast, saturation = factors
    grey = np.full((3, 3), 1 / 3)
    matrix = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * grey)
    offset = np.full((3, 1), brightness * (1 - contrast) * float(view[::4, ::4].mean()))
    mixed = cv2.transform(np.ascontiguousarray(view), np.hstack([matrix, offset]))
    return np.asarray(mixed, dtype=np.uint8)
