"""A small data set of drawn shapes, for trainings of minutes: python -m training.data.shapes DATA.

Each picture has one shape of a random colour, size and place on a coloured gradient with noise; its
class is what shape it is. So the shape's place is where attention ought to be.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

CLASSES = ("circle", "cross", "square", "triangle")
SIDE = 128


def picture(name: str, rng: np.random.Generator, side: int = SIDE) -> NDArray[np.uint8]:
    """One picture (side, side, 3) of a class."""
    corner = rng.integers(40, 216, (2, 2, 3)).astype(np.float64)
    at = np.linspace(0, 1, side)
    rows = corner[0] + at[:, None, None] * (corner[1] - corner[0])
    across = rows[:, :1] + at[None, :, None] * (rows[:, 1:] - rows[:, :1])
    ground = across + rng.normal(0, 12, (side, side, 1))
    canvas = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    mean = ground.mean((0, 1))
    colour = rng.integers(0, 256, 3)
    while np.abs(colour - mean).max() < 90:
        colour = rng.integers(0, 256, 3)
    radius = rng.uniform(0.14, 0.24) * side
    x, y = rng.uniform(radius, side - radius, 2)
    fill = tuple(int(part) for part in colour)
    _draw(ImageDraw.Draw(canvas), name, (x, y, radius), rng.uniform(0, 2 * math.pi), fill)
    return np.asarray(canvas, np.uint8)


def _draw(
    draw: ImageDraw.ImageDraw,
    name: str,
    place: tuple[float, float, float],
    turn: float,
    colour: tuple[int, ...],
) -> None:
    """A filled shape around (x, y) of a radius, turned by an angle."""
    x, y, radius = place
    if name == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        return
    if name == "cross":
        for angle in (turn, turn + math.pi / 2):
            dx, dy = radius * math.cos(angle), radius * math.sin(angle)
            draw.line((x - dx, y - dy, x + dx, y + dy), fill=colour, width=round(radius * 0.45))
        return
    corners = {"square": 4, "triangle": 3}[name]
    points = [
        (
            x + radius * math.cos(turn + 2 * math.pi * n / corners),
            y + radius * math.sin(turn + 2 * math.pi * n / corners),
        )
        for n in range(corners)
    ]
    draw.polygon(points, fill=colour)


def write_shapes(folder: Path, train: int = 200, val: int = 40, seed: int = 0) -> None:
    """Write `train/CLASS/*.png` and `val/CLASS/*.png`, so many pictures of each class."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("val", val)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                target = folder / split / name / f"{number:04}.png"
                Image.fromarray(picture(name, rng)).save(target)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.data.shapes", description=__doc__)
    parser.add_argument("folder", type=Path, help="where train/ and val/ go")
    parser.add_argument("--train", type=int, default=200, help="pictures of each class")
    parser.add_argument("--val", type=int, default=40, help="pictures of each class")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    write_shapes(options.folder, options.train, options.val, options.seed)


if __name__ == "__main__":
    main()
