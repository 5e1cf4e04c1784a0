"""Widths against the venues' own style files, not against the table that the code uses."""

from __future__ import annotations

import pytest

from cbam_viz.errors import FigureError
from cbam_viz.figures import venue, venues

# From the style files: text widths and column separations in inches or picas (12 TeX points).
STYLE_FILES = {
    "cvpr": (72 * (6.875 - 0.3125) / 2, 72 * 6.875),  # cvpr.sty
    "icml": (72 * (6.75 - 0.25) / 2, 72 * 6.75),  # icml.sty
    "neurips": (72 * 5.5, 72 * 5.5),  # neurips.sty
    "iclr": (72 * 5.5, 72 * 5.5),  # iclr_conference.sty
    "aaai": (72 * (7 - 0.375) / 2, 72 * 7),  # aaai.sty
    "eccv": (122 / 25.4 * 72, 122 / 25.4 * 72),  # llncs.cls
    "ieee": (21 * 12 * 72 / 72.27, 43 * 12 * 72 / 72.27),  # IEEEtran.cls
    "springer": (84 / 25.4 * 72, 174 / 25.4 * 72),
    "elsevier": (90 / 25.4 * 72, 190 / 25.4 * 72),
    "slides": (0.48 * 398.3386 * 72 / 72.27, 398.3386 * 72 / 72.27),  # beamer, 16:9
}


@pytest.mark.parametrize("key", STYLE_FILES)
def test_widths_are_those_of_the_style_file(key: str) -> None:
    column, text = STYLE_FILES[key]
    assert venue(key).width("column") == pytest.approx(column, abs=0.5)
    assert venue(key).width("text") == pytest.approx(text, abs=0.5)


def test_type_is_a_point_below_the_captions() -> None:
    # Captions: CVPR, ICML, ECCV 9 points; NeurIPS, ICLR, AAAI 10 points.
    for keys, size in ((("cvpr", "icml", "eccv"), 8), (("neurips", "iclr", "aaai"), 9)):
        assert {venue(key).size for key in keys} == {size}
    assert all(venue(key).small >= 6 for key in venues())


def test_a_width_may_be_millimetres() -> None:
    assert venue("free").width(100) == pytest.approx(100 / 25.4 * 72)


@pytest.mark.parametrize("width", [19.9, 1001, float("nan"), "wide"])
def test_an_impossible_width_is_refused(width: str | float) -> None:
    with pytest.raises(FigureError, match=r"mm|millimetres"):
        venue("free").width(width)


def test_names_have_aliases_and_near_misses() -> None:
    assert venue("ICCV") is venue("cvpr")
    with pytest.raises(FigureError, match="Did you mean neurips"):
        venue("nurips")
