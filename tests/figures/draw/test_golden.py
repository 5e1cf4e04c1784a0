"""Each layout against a picture of it that was looked at and found good.

Its words are compared as words and by where they stand, all else tile by tile: versions of FreeType
smooth letters differently, and of a whole figure a moved picture or a wrong letter is next to
nothing. After a change that is meant, write both anew with CBAM_VIZ_WRITE_GOLDEN=1 and look at the
pictures.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.text import Text
from PIL import Image

from cbam_viz.figures import FigureSpec, Row, Study, build, columns_from_text

from ..conftest import make_analysis, make_photo

FOLDER = Path(__file__).parent / "golden"
COMMON = {"font": "STIXGeneral", "venue": "free", "width": 80}
DPI = 72
TEXTS = FOLDER / "texts.json"
TILE = 8
"""Pixels of a tile's side."""
TILE_TOLERANCE = 3.0
"""Of 255, the mean over a tile; a picture moved by two pixels gives 8 or more in one of them."""
TEXT_TOLERANCE = 1.5
"""Pixels by which a text's corner may lie elsewhere."""
AROUND = 2
"""Pixels around a text that its letters may touch."""


def several(count: int) -> Study:
    sizes = ((96, 128), (128, 96), (48, 160))
    return Study(
        tuple(
            (make_analysis(make_photo(*sizes[seed % 3], seed=seed), seed=seed),)
            for seed in range(count)
        )
    )


def spec(**settings: object) -> FigureSpec:
    return FigureSpec(**{**COMMON, **settings})  # type: ignore[arg-type]


FIGURES = {
    "grid": (
        spec(
            columns=columns_from_text("input,map:0,stage:layer2,channels:-1,prediction"),
            letters="columns",
            row_labels="class",
        ),
        several(3),
    ),
    "marks": (
        spec(
            columns=columns_from_text("input,map:0,map:-1=A long heading of its own"),
            frame="photo",
            scale="per map",
            mark_seen=True,
            scale_bar="input",
            contours=(0.5,),
            letters="cells",
            rows=(Row(zoom=(20, 30, 50, 70), boxes=((60, 60, 90, 100),)),),
        ),
        several(2),
    ),
    "depth": (spec(layout="depth", per_line=6), make_analysis(blocks=(2, 3, 3))),
    "channels": (spec(layout="channels"), several(2)),
    "classes": (spec(layout="channels", by="class", order="weight"), several(3)),
    "channel": (
        spec(layout="channel", layer="0"),
        Study(tuple((make_analysis(seed=seed, features=True),) for seed in range(2))),
    ),
}


@dataclass(frozen=True)
class Look:
    """A figure as it looks: its pixels, and the words on it."""

    pixels: npt.NDArray[np.float64]
    texts: tuple[tuple[str, float, float, float, float], ...]
    """Words, and left, top, right and bottom in pixels."""
    pictures: tuple[tuple[int, int, int, int], ...]
    """Left, top, right and bottom of every picture."""


@cache
def look_of(name: str) -> Look:
    settings, study = FIGURES[name]
    built = build(settings, study)
    pixels = np.asarray(Image.open(io.BytesIO(built.render("png", dpi=DPI))), float)
    figure, height = built.figure, pixels.shape[0]
    figure.set_dpi(DPI)
    texts = []
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            texts.append((text.get_text(), box.x0, height - box.y1, box.x1, height - box.y0))
    boxes = [axes.get_window_extent() for axes in figure.axes if axes.images]
    pictures = [(box.x0, height - box.y1, box.x1, height - box.y0) for box in boxes]
    rounded = tuple(tuple(round(side) for side in box) for box in pictures)
    return Look(pixels, tuple(sorted(texts)), rounded)  # type: ignore[arg-type]


def golden(name: str) -> tuple[npt.NDArray[np.float64], list[list[Any]]]:
    """The picture and the words that were found good."""
    pixels = np.asarray(Image.open(FOLDER / f"{name}.png").convert("RGB"), float)
    return pixels, json.loads(TEXTS.read_text("utf-8"))[name]


def changes(
    name: str, pixels: npt.NDArray[np.float64], texts: list[tuple[Any, ...]] | list[list[Any]]
) -> list[str]:
    """What has changed since the figure was found good, in words."""
    wanted, wanted_texts = golden(name)
    found = []
    words = [one[0] for one in texts], [one[0] for one in wanted_texts]
    if words[0] != words[1]:
        found.append(f"words: {words[0]}, not {words[1]}")
    else:
        for (word, *box), (_, *before) in zip(texts, wanted_texts, strict=True):
            if max(np.abs(np.subtract(box, before))) > TEXT_TOLERANCE:
                found.append(f"{word!r} stands at {box}, not {before}")
    if pixels.shape != wanted.shape:
        return [*found, f"size: {pixels.shape}, not {wanted.shape}"]
    difference = np.abs(pixels - wanted).mean(2)
    for _, *box in [*texts, *wanted_texts]:
        left, top, right, bottom = (max(0, round(side)) for side in box)
        rows = slice(max(0, top - AROUND), bottom + AROUND)
        difference[rows, max(0, left - AROUND) : right + AROUND] = 0
    height, width = (side // TILE for side in difference.shape)
    cut = difference[: height * TILE, : width * TILE]
    tiles = cut.reshape(height, TILE, width, TILE).mean((1, 3))
    if tiles.max() > TILE_TOLERANCE:
        row, column = divmod(int(tiles.argmax()), width)
        found.append(f"pixels: {tiles.max():.1f} around ({column * TILE}, {row * TILE})")
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_the_layout_looks_as_it_did(name: str) -> None:
    look = look_of(name)
    if os.environ.get("CBAM_VIZ_WRITE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        Image.fromarray(look.pixels.astype(np.uint8)).save(FOLDER / f"{name}.png", optimize=True)
        told = json.loads(TEXTS.read_text("utf-8")) if TEXTS.exists() else {}
        told[name] = [[one[0], *(round(side, 1) for side in one[1:])] for one in look.texts]
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(told.items())]
        TEXTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    assert not changes(name, look.pixels, list(look.texts))


@pytest.mark.parametrize("name", ["grid", "marks", "depth", "channel"])
def test_a_picture_that_is_moved_by_two_pixels_is_noticed(name: str) -> None:
    look, (wanted, texts) = look_of(name), golden(name)
    tried = 0
    for left, top, right, bottom in look.pictures:
        inside = wanted[top + 1 : bottom - 1, left + 1 : right - 1]
        moved = wanted.copy()
        moved[top + 1 : bottom - 1, left + 1 : right - 1] = np.roll(inside, 2, axis=1)
        if np.abs(np.diff(inside, axis=1)).mean() < 1:
            continue  # the same everywhere: moved, it is what it was
        assert [one[:6] for one in changes(name, moved, texts)] == ["pixels"]
        assert np.abs(moved - wanted).mean() < 3  # of the whole figure it would be next to nothing
        tried += 1
    assert tried > 3


@pytest.mark.parametrize("name", FIGURES)
def test_a_wrong_letter_and_a_moved_word_are_noticed(name: str) -> None:
    wanted, texts = golden(name)
    assert texts
    for number, (word, *box) in enumerate(texts):
        others = texts[:number], texts[number + 1 :]
        wrong = word[:-1] + chr(ord(word[-1]) + 1)
        assert changes(name, wanted, [*others[0], [wrong, *box], *others[1]])
        assert changes(name, wanted, [*others[0], *others[1]])
        beside = [side + 2 * (place % 2 == 0) for place, side in enumerate(box)]
        assert changes(name, wanted, [*others[0], [word, *beside], *others[1]])
