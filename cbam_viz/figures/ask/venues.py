"""Column widths, text widths and type sizes of the places where figures get printed.

Where tueplots has a venue, its numbers are used. The others are from the venue's own style file or
artwork guide, named in `Venue.source`.

A point here is PostScript's, 1/72 inch, the unit of a PDF's media box. TeX's point is 1/72.27 inch.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from tueplots import figsizes, fontsizes

from cbam_viz.errors import FigureError

POINTS_PER_INCH = 72.0
MILLIMETRES_PER_INCH = 25.4
TEX_POINTS_PER_INCH = 72.27

MIN_WIDTH_MM, MAX_WIDTH_MM = 20.0, 1000.0

FontFamily = Literal["serif", "sans"]


@dataclass(frozen=True)
class Venue:
    """One preset. Widths and heights in points (1/72 inch), type sizes in points as well."""

    key: str
    title: str
    column_width: float
    """A figure that goes into one column (`figure`); equal to `text_width` in one-column venues."""
    text_width: float
    """A figure across the page (`figure*`)."""
    text_height: float
    """What a page holds; figures stay below it."""
    family: FontFamily
    """`serif` means Times, `sans` Helvetica; `paper/typesetting.py` says what stands in."""
    size: float
    """Headings and labels: one point below the venue's captions or text."""
    small: float
    """Tick labels and annotations."""
    source: str

    def width(self, width: str | float) -> float:
        """Points of `"column"`, `"text"` or a number of millimetres.

        Raises:
            FigureError: for another word, or a number outside 20 to 1000 mm.
        """
        if width == "column":
            return self.column_width
        if width == "text":
            return self.text_width
        if isinstance(width, str):
            raise FigureError(
                f"A figure's width is 'column', 'text' or a number of millimetres, not {width!r}."
            )
        if not MIN_WIDTH_MM <= width <= MAX_WIDTH_MM:
            raise FigureError(
                f"A figure {width:g} mm wide cannot be set: choose {MIN_WIDTH_MM:g} to "
                f"{MAX_WIDTH_MM:g} mm."
            )
        return float(width) / MILLIMETRES_PER_INCH * POINTS_PER_INCH


def inches(value: float) -> float:
    """Points of so many inches."""
    return value * POINTS_PER_INCH


def millimetres(value: float) -> float:
    """Points of so many millimetres."""
    return value / MILLIMETRES_PER_INCH * POINTS_PER_INCH


def tex_points(value: float) -> float:
    """PostScript points of so many TeX points."""
    return value / TEX_POINTS_PER_INCH * POINTS_PER_INCH


def _tueplots_width(size: Callable[..., dict[str, Any]], **settings: float) -> float:
    return inches(float(size(**settings)["figure.figsize"][0]))


def _from_tueplots(
    key: str, title: str, *, half: str, full: str, height: float, sizes: str
) -> Venue:
    type_sizes = getattr(fontsizes, sizes)()
    return Venue(
        key,
        title,
        column_width=_tueplots_width(getattr(figsizes, half)),
        text_width=_tueplots_width(getattr(figsizes, full)),
        text_height=inches(height),
        family="serif",
        size=float(type_sizes["font.size"]),
        small=float(type_sizes["xtick.labelsize"]),
        source=f"tueplots: figsizes.{half}, figsizes.{full}, fontsizes.{sizes}",
    )


def _aaai() -> Venue:
    """The style file sets 0.9 and 1.8 points more than tueplots."""
    rough = _from_tueplots(
        "aaai", "AAAI", half="aaai2024_half", full="aaai2024_full", height=9.0, sizes="aaai2024"
    )
    return replace(
        rough,
        column_width=inches((7 - 0.375) / 2),
        text_width=inches(7),
        source="aaai.sty: 7 in text, columns 0.375 in apart; type sizes: tueplots, aaai2024",
    )


def _slides() -> Venue:
    return Venue(
        "slides",
        "Slides (beamer, 16:9)",
        column_width=_tueplots_width(figsizes.beamer_169, rel_width=0.48),
        text_width=_tueplots_width(figsizes.beamer_169, rel_width=1.0),
        text_height=millimetres(72),
        family="sans",
        size=float(fontsizes.beamer()["font.size"]),
        small=float(fontsizes.beamer()["xtick.labelsize"]),
        source="tueplots: figsizes.beamer_169, fontsizes.beamer; a column is 0.48 of the text",
    )


def _journals() -> tuple[Venue, ...]:
    return (
        Venue(
            "ieee", "IEEE journals", tex_points(252), tex_points(516), inches(9.25), "serif", 8, 6,
            "IEEEtran.cls: 21 pc columns, 43 pc text",
        ),
        Venue(
            "springer", "Springer journals", millimetres(84), millimetres(174), millimetres(234),
            "sans", 8, 7, "Springer artwork guide: 84 and 174 mm wide, 234 mm high, Helvetica 8 pt",
        ),
        Venue(
            "elsevier", "Elsevier journals", millimetres(90), millimetres(190), millimetres(240),
            "sans", 8, 7, "Elsevier artwork sizing: 90 mm and 190 mm wide, lettering 7 pt",
        ),
    )  # fmt: skip


@cache
def venues() -> dict[str, Venue]:
    """All presets by key."""
    everything = (
        # cvpr.sty sets a 6.875 in text with 0.3125 in between the columns: 236.25 points a column,
        # which is tueplots' cvpr2022_half. Its cvpr2024_half is 2 points too narrow.
        _from_tueplots(
            "cvpr", "CVPR and ICCV", half="cvpr2022_half", full="cvpr2024_full", height=8.875,
            sizes="cvpr2024",
        ),
        _from_tueplots("icml", "ICML", half="icml2024_half", full="icml2024_full", height=9.0,
                       sizes="icml2024"),
        _aaai(),
        *(
            _from_tueplots(key, title, half=name, full=name, height=height, sizes=name)
            for key, title, name, height in (
                ("eccv", "ECCV", "eccv2024", 7.6),
                ("neurips", "NeurIPS", "neurips2024", 9.0),
                ("iclr", "ICLR", "iclr2024", 9.0),
            )
        ),
        *_journals(),
        _slides(),
        Venue(
            "free", "Free size", millimetres(90), millimetres(180), millimetres(240), "sans", 8, 6,
            "no venue: give the width in millimetres",
        ),
    )  # fmt: skip
    return {venue.key: venue for venue in everything}


_ALIASES = {"iccv": "cvpr", "wacv": "cvpr", "beamer": "slides"}


def venue(key: str) -> Venue:
    """The preset of that name, upper or lower case; `iccv` is `cvpr`.

    Raises:
        FigureError: if there is none; the text lists what there is.
    """
    wanted = key.strip().lower()
    wanted = _ALIASES.get(wanted, wanted)
    if wanted in venues():
        return venues()[wanted]
    near = difflib.get_close_matches(wanted, venues(), n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise FigureError(f"There is no venue {key!r}.{hint} There are: {', '.join(venues())}.")
