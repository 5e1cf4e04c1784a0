"""Fonts inside SVG, so that its text has the same widths on machines that lack them."""

from __future__ import annotations

import base64
import io

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from matplotlib.figure import Figure
from matplotlib.text import Text

from cbam_viz.figures.paper.fonts import FontFile, font_file, has

_Family = tuple[str, str]
"""Name and weight."""


def with_fonts(svg: bytes, figure: Figure) -> bytes:
    """The SVG with the letters that its text uses, as `@font-face` rules."""
    rules = "".join(
        _rule(family, letters) for family, letters in sorted(fonts_used(figure).items())
    )
    style = f"<style>{rules}</style>\n".encode()
    # The first <defs> is matplotlib's own, right after the metadata.
    return svg.replace(b"<defs>\n", b"<defs>\n  " + style, 1)


def fonts_used(figure: Figure) -> dict[_Family, str]:
    """The letters of each font: those of the first family in a text's list that has them."""
    letters: dict[_Family, set[str]] = {}
    for text in figure.findobj(Text):
        properties = text.get_fontproperties()
        weight = str(properties.get_weight())
        left = set(text.get_text())
        for family in properties.get_family():
            found = {letter for letter in left if has(_file(family, weight), letter)}
            letters.setdefault((family, weight), set()).update(found)
            left -= found
    return {family: "".join(sorted(found)) for family, found in letters.items() if found}


def _file(family: str, weight: str) -> FontFile:
    file = font_file(family, weight)
    assert file is not None, family  # chosen among the installed ones
    return file


def subset(family: str, weight: str, letters: str) -> TTFont:
    """The font's letters alone, without what makes equal fonts differ in bytes."""
    options = Options(layout_features=["kern"], notdef_outline=True)
    options.drop_tables += ["FFTM"]  # time stamps of FontForge
    subsetter = Subsetter(options)
    subsetter.populate(text=letters)
    file = _file(family, weight)
    font = TTFont(file.path, fontNumber=file.face, recalcTimestamp=False)
    subsetter.subset(font)
    return font


def _rule(family: _Family, letters: str) -> str:
    name, weight = family
    buffer = io.BytesIO()
    with subset(name, weight, letters) as font:
        font.save(buffer)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f"@font-face{{font-family:'{name}';font-weight:{weight};"
        f"src:url(data:font/ttf;base64,{data})}}"
    )
