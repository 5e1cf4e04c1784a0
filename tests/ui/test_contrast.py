"""Text can be read: the contrast of every pair of colours that the theme and our styles bring."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[2]
UI = ROOT / "cbam_viz" / "ui"
THEME = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
STYLES = sorted(UI.rglob("*.css"))
AT_LEAST = 4.5
"""WCAG 2.2, success criterion 1.4.3, level AA."""
FADED = 0.6
"""Streamlit's share of the text's colour in captions and placeholders."""
TINT = 0.12
"""At least its share of the primary colour in the ground of a chosen segment."""

Colour = tuple[float, ...]


def colour(text: str) -> Colour:
    return tuple(int(text[start : start + 2], 16) for start in (1, 3, 5))


def mixed(upper: Colour, lower: Colour, share: float) -> Colour:
    return tuple(share * a + (1 - share) * b for a, b in zip(upper, lower, strict=True))


def luminance(rgb: Colour) -> float:
    shares = [value / 255 for value in rgb]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def of(theme: str, name: str) -> Colour:
    return colour(THEME[theme][name])


def grounds(theme: str) -> list[Colour]:
    """What text stands on: page and fields, in the main part and in the sidebar."""
    parts = (THEME[theme], THEME[theme]["sidebar"])
    names = ("backgroundColor", "secondaryBackgroundColor")
    return [colour(part[name]) for part, name in product(parts, names)]


def test_contrasts_of_the_standard():
    assert contrast(colour("#000000"), colour("#ffffff")) == pytest.approx(21)
    assert contrast(colour("#777777"), colour("#ffffff")) == pytest.approx(4.48, abs=0.005)
    assert contrast(colour("#767676"), colour("#ffffff")) == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_captions_can_be_read_on_every_ground(theme):
    for ground in grounds(theme):
        assert contrast(of(theme, "textColor"), ground) >= 7
        caption = mixed(of(theme, "textColor"), ground, FADED)
        assert contrast(caption, ground) >= AT_LEAST
        assert contrast(of(theme, "linkColor"), ground) >= AT_LEAST


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_primary_colour_can_be_read_as_text_and_as_a_ground(theme):
    primary = of(theme, "primaryColor")
    for ground in grounds(theme):
        assert contrast(primary, mixed(primary, ground, TINT)) >= AT_LEAST
    style = (UI / "page.css").read_text("utf-8")
    (rule,) = re.findall(r'stBaseButton-primary"\][^}]*?light-dark\((#\w+), (#\w+)\)', style)
    on_primary = dict(zip(("light", "dark"), rule, strict=True))[theme]
    assert contrast(colour(on_primary), primary) >= AT_LEAST


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_no_style_of_ours_fades_text_too_far(theme, path):
    """Every opacity in our styles is taken as that of text on the hardest ground."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
    for share in re.findall(r"(?<![\w-])(?:fill-)?opacity:\s*([\d.]+)", text):
        if float(share) == 0:
            continue  # not there at all
        for ground in grounds(theme):
            faded = mixed(of(theme, "textColor"), ground, float(share))
            assert contrast(faded, ground) >= AT_LEAST, f"{path.name}: opacity {share}"


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_fixed_colours_of_text_can_be_read_on_their_grounds(path):
    """Rules that name both; a ground that lets something through is taken over white."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
    white = colour("#ffffff")
    for rule in re.findall(r"\{([^{}]*)\}", text):
        front = re.search(r"(?<![\w-])color:\s*(#\w{3,6})\b", rule)
        solid = re.search(r"background(?:-color)?:\s*(#\w{6})\b", rule)
        clear = re.search(r"background(?:-color)?:\s*rgba\(0, 0, 0, ([\d.]+)\)", rule)
        if front and (solid or clear):
            written = front[1] if len(front[1]) == 7 else "#" + "".join(2 * c for c in front[1][1:])
            ground = colour(solid[1]) if solid else mixed((0, 0, 0), white, float(clear[1]))
            assert contrast(colour(written), ground) >= AT_LEAST, rule
