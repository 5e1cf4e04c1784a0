"""Text in a grid: classes and probabilities."""

from __future__ import annotations

from cbam_viz.figures.content.values import Place, Words
from cbam_viz.figures.draw.places.drawing import Drawing, Spot
from cbam_viz.figures.draw.plan import ColumnRoom
from cbam_viz.figures.paper.sheet import Sheet, Style
from cbam_viz.figures.paper.typesetting import line_height

MOST_LINES = 6
"""Of a class's name and its probability together."""

is_picture = False
least_height = 0.0


def room(drawing: Drawing, column: int, width: float) -> ColumnRoom:
    """What the texts and the heading need, within limits."""
    texts = [*map(_text, drawing.column(column)), drawing.head(column), drawing.over(column)]
    return ColumnRoom(fixed=_words_width(drawing.style, texts, widest=width / 7))


def text_height(drawing: Drawing, place: Words, column: ColumnRoom) -> float:
    """All of its lines."""
    style = drawing.style
    lines = _wrap_words(style, place.text, column.fixed or style.width, MOST_LINES)
    return len(lines) * line_height(style.size)


def whole(drawing: Drawing, place: Words, column: ColumnRoom) -> bool:
    """Whether no class's name is cut."""
    return drawing.style.fits(place.text, column.fixed or 0.0, lines=MOST_LINES)


def foot(drawing: Drawing) -> float:
    """Nothing."""
    return 0.0


def draw(sheet: Sheet, drawing: Drawing, place: Words, spot: Spot) -> None:
    """As many lines as the row has room for."""
    most = int((spot.rect.height + 0.01) // line_height(sheet.size))
    lines = _wrap_words(drawing.style, place.text, spot.rect.width, max(1, most))
    sheet.lines(spot.rect, lines, gid=spot.gid)


def _text(place: Place) -> str:
    return place.text if isinstance(place, Words) else ""


def _words_width(style: Style, texts: list[str], widest: float) -> float:
    """Enough for one line; where that is more than `widest`, the least that two lines take.

    No word is broken that is not much wider than `widest` itself.
    """
    lines = [line for text in texts for line in text.split("\n")]
    longest_word = max(style.measure(word) for line in lines for word in (line.split(" ") or [""]))
    widest = max(widest, min(longest_word, 1.8 * widest))
    unbroken = max(style.measure(line) for line in lines)
    if unbroken <= widest:
        return unbroken + 4
    width = widest
    for narrower in range(int(width), max(15, int(min(longest_word, width))), -1):
        if any(_cut(style, line, narrower) for line in lines):
            break
        width = narrower
    return width + 4


def _cut(style: Style, line: str, width: float) -> bool:
    """Whether two lines of that width do not hold the text."""
    wrapped = style.wrap(line, width, lines=2)
    return "".join(wrapped).replace(" ", "") != line.replace(" ", "")


def _wrap_words(style: Style, text: str, width: float, most: int) -> list[str]:
    """The text in at most so many lines; a number in its last line is kept whole."""
    *first, last = text.split("\n")
    if not first:
        return style.wrap(last, width, lines=most)
    return [*style.wrap("\n".join(first), width, lines=max(1, most - 1)), last]
