"""Fonts inside PDF: TrueType only, which is what journals' checks ask for.

matplotlib embeds a font file as it is. OpenType files with PostScript curves (.otf, most .ttc of
Chinese, Japanese and Korean) would stand in the PDF as TrueType and not be it, so that viewers
warn or draw nothing. Their letters are redrawn with TrueType's curves for as long as the PDF is
written; a thousandth of the letter's size is the most by which a curve moves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from cbam_viz.figures.paper.svg_fonts import fonts_used, subset

MAX_ERROR = 0.001
"""Of the letter's size."""

_UNUSED = (
    "maxTwilightPoints",
    "maxStorage",
    "maxFunctionDefs",
    "maxInstructionDefs",
    "maxStackElements",
    "maxSizeOfInstructions",
    "maxComponentElements",
)
"""Sizes of what only hinted and composite letters have."""


@contextmanager
def only_truetype(figure: Figure) -> Iterator[None]:
    """Let the figure's texts use TrueType copies of the fonts that are none; undone at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        copies: dict[str, str] = {}
        for number, ((family, weight), letters) in enumerate(sorted(fonts_used(figure).items())):
            with subset(family, weight, letters) as font:
                if "glyf" in font:
                    continue
                copies[family] = f"{family} (TrueType)"
                to_truetype(font, copies[family])
                path = folder / f"{number}.ttf"
                font.save(path)
            font_manager.fontManager.addfont(path)
            stack.callback(_forget, str(path))
        for text in figure.findobj(Text) if copies else ():
            before = text.get_fontproperties()
            named = before.copy()
            named.set_family([copies.get(name, name) for name in before.get_family()])
            text.set_fontproperties(named)
            stack.callback(text.set_fontproperties, before)
        yield


def _forget(path: str) -> None:
    manager = font_manager.fontManager
    manager.ttflist = [entry for entry in manager.ttflist if str(entry.fname) != path]


def to_truetype(font: TTFont, family: str) -> None:
    """Redraw a font's PostScript curves as TrueType's, in place, under another family name."""
    glyphs, order = font.getGlyphSet(), font.getGlyphOrder()
    most = font["head"].unitsPerEm * MAX_ERROR
    redrawn = {}
    for name in order:
        pen = TTGlyphPen(glyphs)
        glyphs[name].draw(Cu2QuPen(pen, most, reverse_direction=True))
        redrawn[name] = pen.glyph()
    font["loca"] = newTable("loca")
    font["glyf"] = table = newTable("glyf")
    table.glyphOrder, table.glyphs = order, redrawn
    for name in order:
        glyph = redrawn[name]
        glyph.recalcBounds(table)
        font["hmtx"][name] = (font["hmtx"][name][0], getattr(glyph, "xMin", 0))
    font["maxp"] = maximum = newTable("maxp")
    maximum.tableVersion = 0x00010000
    for field in _UNUSED:
        setattr(maximum, field, 0)
    maximum.maxZones = 1
    font["post"].formatType = 3.0
    for tag in ("CFF ", "CFF2", "VORG"):
        if tag in font:
            del font[tag]
    font.sfntVersion = "\000\001\000\000"
    for record in font["name"].names:
        if record.nameID in (1, 16):
            record.string = family
