"""Each layout against a picture of it that was looked at and found good.

After a change that is meant, write them anew with CBAM_VIZ_WRITE_GOLDEN=1 and look at them.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbam_viz.figures import FigureSpec, Row, Study, build, columns_from_text

from ..conftest import make_analysis, make_photo

FOLDER = Path(__file__).parent / "golden"
COMMON = {"font": "STIXGeneral", "venue": "free", "width": 80}
DPI = 72
MEAN_TOLERANCE = 2.0
"""Of 255. Versions of FreeType smooth letters a little differently; a moved cell gives 10."""


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


@pytest.mark.parametrize("name", FIGURES)
def test_the_layout_looks_as_it_did(name: str) -> None:
    settings, study = FIGURES[name]
    png = build(settings, study).render("png", dpi=DPI)
    file = FOLDER / f"{name}.png"
    if os.environ.get("CBAM_VIZ_WRITE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        Image.open(io.BytesIO(png)).save(file, optimize=True)
    shown = np.asarray(Image.open(io.BytesIO(png)), float)
    wanted = np.asarray(Image.open(file).convert("RGB"), float)
    assert shown.shape == wanted.shape
    assert abs(shown - wanted).mean() < MEAN_TOLERANCE


def test_the_tolerance_notices_a_moved_cell() -> None:
    wanted = np.asarray(Image.open(FOLDER / "grid.png").convert("RGB"), float)
    assert abs(np.roll(wanted, 4, axis=1) - wanted).mean() > 3 * MEAN_TOLERANCE
