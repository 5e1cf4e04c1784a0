"""Reading and drawing share nothing: eight threads get what one gets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cbam_viz.attention import Cells
from cbam_viz.images import InputSpec, prepare, read_photo
from cbam_viz.render import COLORMAPS, contours, encode, map_scale, overlay, place


def work(number: int) -> tuple[bytes, bytes, bytes]:
    dice = np.random.default_rng(number)
    pixels = dice.integers(0, 256, (40 + number, 90 - number, 3), np.uint8)
    photo = read_photo(encode(pixels, "png"))
    made = prepare(photo, InputSpec(size=(64, 64)), "crop" if number % 2 else "whole")
    values = dice.random((4, 4)).astype(np.float32)
    placed = place(values, Cells(16, 16, 0.5, 0.5), made.geometry)
    colormap = COLORMAPS[number % len(COLORMAPS)]
    drawn = overlay(photo.pixels, placed, scale=map_scale(values), colormap=colormap)
    lines = contours(photo.pixels, placed, scale=map_scale(values), colormap=colormap)
    return made.tensor.numpy().tobytes(), encode(drawn), encode(lines)


def test_threads_get_what_one_gets() -> None:
    expected = [work(number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == expected
    assert len(set(expected)) == 40
