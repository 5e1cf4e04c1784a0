"""Fonts inside SVG, so that its text has the same widths on machines that lack them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

_Family = tuple[str, str]
"""Name and weight."""


def with_fonts(svg: bytes, figure: Figure) -> bytes:
    """The SVG with the letters that its text uses, as `@font-face` rules."""
    rules = "".join(_rule(family, letters) for family, letters in sorted(_used(figure).items()))
    style = f"<style>{rules}</style>\n".encode()
    # The first <defs> is matplotlib's own, right after the metadata.
    return svg.replace(b"<defs>\n", b"<defs>\n  " + style, 1)


def _used(figure: Figure) -> dict[_Family, str]:
    """The letters of each font: those of the first family in a text's list that has them."""
    letters: dict[_Family, set[str]] = {}
    for text in figure.findobj(Text):
        properties = text.get_fontproperties()
        weight = str(properties.get_weight())
        left = set(text.get_text())
        for family in properties.get_family():
            found = {letter for letter in left if ord(letter) in _letters(family, weight)}
            letters.setdefault((family, weight), set()).update(found)
            left -= found
    return {family: "".join(sorted(found)) for family, found in letters.items() if found}


def _letters(family: str, weight: str) -> Iterable[int]:
    with TTFont(_file(family, weight), lazy=True) as font:
        cmap: dict[int, str] = font.getBestCmap()
    return cmap


def _file(family: str, weight: str) -> str:
    wanted = font_manager.FontProperties(family=[family], weight=weight)
    return str(font_manager.findfont(wanted, fallback_to_default=False))


def _rule(family: _Family, letters: str) -> str:
    name, weight = family
    options = Options(layout_features=["kern"], notdef_outline=True)
    options.drop_tables += ["FFTM"]  # time stamps of FontForge
    subsetter = Subsetter(options)
    subsetter.populate(text=letters)
    with TTFont(_file(name, weight), recalcTimestamp=False) as font:
        subsetter.subset(font)
        buffer = io.BytesIO()
        font.save(buffer)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f"@font-face{{font-family:'{name}';font-weight:{weight};"
        f"src:url(data:font/ttf;base64,{data})}}"
    )
