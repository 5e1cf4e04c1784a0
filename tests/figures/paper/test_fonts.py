"""Letters that the figure's own font lacks: drawn by an installed font, or said to be missing."""

from __future__ import annotations

import io
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont
from matplotlib import font_manager
from pypdf import PdfReader

from cbam_viz.analysis import Analysis
from cbam_viz.figures import FigureSpec, build, columns_from_text
from cbam_viz.figures.paper import fonts, typesetting
from cbam_viz.figures.paper.pdf_fonts import to_truetype
from cbam_viz.predictions import Prediction

from ..conftest import make_analysis

GLYPH = "\U00013000"  # a hieroglyph: no font of this machine has it, but for the tests' own
OTHER = "\U00013001"
NOBODYS = "\U00013002"


def made_font(path: Path, family: str, letters: str, *, postscript: bool) -> Path:
    """A font whose letters are squares of 800 by 800 units, 1,000 wide."""
    builder = FontBuilder(1000, isTTF=not postscript)
    names = [".notdef", *(f"u{ord(letter):X}" for letter in letters)]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, letters), names[1:], strict=True)))
    drawn = {}
    for name in names:
        pen = T2CharStringPen(1000, None) if postscript else TTGlyphPen(None)
        pen.moveTo((100, 0))
        if postscript:  # a curve, which TrueType has no letter for
            pen.curveTo((100, 400), (400, 800), (900, 800))
        for corner in ((100, 800), (900, 800), (900, 0)):
            pen.lineTo(corner)
        pen.closePath()
        drawn[name] = pen.getCharString() if postscript else pen.glyph()
    if postscript:
        builder.setupCFF(family.replace(" ", ""), {}, drawn, {})
    else:
        builder.setupGlyf(drawn)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable(
        {"familyName": family, "styleName": "Regular", "psName": family.replace(" ", "")}
    )
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture(params=["ttf", "otf", "ttc"])
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The family of an installed font that has `GLYPH`; in a collection it is the second face."""
    family = f"Test Hieroglyphs {request.param}"
    path = tmp_path / f"font.{request.param}"
    if request.param == "ttc":
        collection = TTCollection()
        for number, name in enumerate(("Test Latin only", family)):
            letters = "ab" if number == 0 else GLYPH
            face = made_font(tmp_path / f"{number}.otf", name, letters, postscript=True)
            collection.fonts.append(TTFont(face))
        collection.save(path)
    else:
        made_font(path, family, GLYPH, postscript=request.param == "otf")
    manager, before = font_manager.fontManager, list(font_manager.fontManager.ttflist)
    manager.addfont(path)
    _forget()
    yield family
    manager.ttflist = before
    _forget()


def _forget() -> None:
    for cached in (fonts._installed, fonts.families_for, typesetting.drawable, fonts.letters_of):
        cached.cache_clear()
    typesetting.text_width.cache_clear()


def named(label: str) -> Analysis:
    return replace(make_analysis(), predictions=(Prediction(0, label, 0.9),))


def drawn(label: str):  # type: ignore[no-untyped-def]
    """A figure with a prediction of that name; any warning is an error."""
    spec = FigureSpec(columns=columns_from_text("input,prediction"))
    return build(spec, named(label))


def test_a_letter_is_drawn_by_the_font_that_has_it(installed: str) -> None:
    text, families, missing = typesetting.drawable(f"cat {GLYPH}", "STIXGeneral")
    assert (text, missing) == (f"cat {GLYPH}", "")
    assert families == ("STIXGeneral", "DejaVu Sans", installed)
    wide = typesetting.text_width(GLYPH, "STIXGeneral", 10)
    assert wide == pytest.approx(10 * 0.8, abs=0.3) or wide == pytest.approx(10, abs=0.3)


@pytest.mark.parametrize("kind", ["pdf", "svg", "png"])
def test_no_box_and_no_warning(installed: str, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        built = drawn(f"cat {GLYPH}")
        assert built.render(kind)  # type: ignore[arg-type]
    assert built.notes == ()


def test_pdf_embeds_truetype_alone_and_keeps_the_text(installed: str) -> None:
    data = drawn(f"cat {GLYPH}").render("pdf")
    page = PdfReader(io.BytesIO(data)).pages[0]
    assert GLYPH in page.extract_text()
    for font in page["/Resources"]["/Font"].values():
        (inner,) = font.get_object()["/DescendantFonts"]
        inner = inner.get_object()
        assert inner["/Subtype"] == "/CIDFontType2"
        file = TTFont(io.BytesIO(inner["/FontDescriptor"].get_object()["/FontFile2"].get_data()))
        assert "glyf" in file
        assert "CFF " not in file


@pytest.mark.skipif(shutil.which("pdffonts") is None, reason="needs poppler")
def test_poppler_finds_nothing_wrong_with_the_pdf(installed: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(drawn(f"cat {GLYPH}").render("pdf"))
    told = subprocess.run(["pdffonts", path], capture_output=True, text=True, check=True)
    assert told.stderr == ""
    rows = told.stdout.splitlines()[2:]
    assert rows
    assert all(" CID TrueType " in row and " yes yes yes " in row for row in rows)


def test_the_figure_is_as_it_was_after_writing(installed: str) -> None:
    built = drawn(f"cat {GLYPH}")
    before = list(font_manager.fontManager.ttflist)
    first = built.render("pdf")
    assert font_manager.fontManager.ttflist == before
    assert built.render("pdf") == first
    assert drawn(f"cat {GLYPH}").render("pdf") == first


def test_svg_carries_the_letter(installed: str) -> None:
    text = drawn(f"cat {GLYPH}").render("svg").decode()
    assert f"font-family:'{installed}'" in text
    assert GLYPH in text


@pytest.mark.parametrize("letter", ["\t", "\x00", "\x1b", "\u2028", "\x85"])
def test_letters_that_only_control_are_drawn_as_spaces(letter: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        built = drawn(f"a{letter}b")
        assert built.render("png")
    assert "a b" in {text.get_text() for text in built.figure.texts}
    assert built.notes == ()


def test_letters_that_no_font_has_are_named() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        built = drawn(f"cat {NOBODYS}\ufe0f")
        built.render("png")
    (note,) = built.notes
    assert note.startswith(f"No installed font has {NOBODYS} (U+13002): □ is drawn instead.")
    assert drawn("Łódź – naïve").notes == ()


def test_pictures_in_colour_and_boxes_for_everything_count_for_nothing(tmp_path: Path) -> None:
    empty = fonts.FontFile("none", str(tmp_path / "missing.ttf"), 0)
    assert fonts.letters_of(empty) == frozenset()
    known = {file.family for file in fonts._installed()}
    assert not {name for name in known if len(fonts.letters_of(fonts.font_file(name))) > 100_000}  # type: ignore[arg-type]
    assert typesetting.drawable(OTHER, "DejaVu Sans")[2] == OTHER  # matplotlib's last resort has it


def test_truetype_curves_lie_where_the_postscript_ones_do(tmp_path: Path) -> None:
    path = made_font(tmp_path / "a.otf", "A", GLYPH, postscript=True)
    with TTFont(path) as font:
        from fontTools.pens.areaPen import AreaPen
        from fontTools.pens.boundsPen import BoundsPen

        def measured(font: TTFont) -> tuple[float, tuple[float, ...], float]:
            glyphs = font.getGlyphSet()
            area, bounds = AreaPen(glyphs), BoundsPen(glyphs)
            glyphs["u13000"].draw(area)
            glyphs["u13000"].draw(bounds)
            return abs(area.value), bounds.bounds, font["hmtx"]["u13000"][0]

        before = measured(font)
        to_truetype(font, "A (TrueType)")
        buffer = io.BytesIO()
        font.save(buffer)
    after = measured(TTFont(buffer))
    assert after[0] == pytest.approx(before[0], rel=0.002)
    assert np.allclose(after[1], before[1], atol=1)
    assert after[2] == before[2]


def test_a_font_of_postscript_curves_can_be_asked_for(installed: str) -> None:
    assert typesetting.resolve_font(installed, "sans") == installed
