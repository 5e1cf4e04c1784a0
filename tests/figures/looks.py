"""What can be wrong with a drawn figure, computed from where its texts and pictures stand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from cbam_viz.figures import Venue
from cbam_viz.figures.paper.settings import pinned_settings
from cbam_viz.figures.paper.typesetting import ELLIPSIS

SLACK = 0.6
"""Points: sides of letters reach a little beyond their advance widths."""
TOUCH = 0.25
"""Share of the lower text's height by which boxes of two texts may overlap: the boxes hold room
for accents and descenders."""
Boxes = list[tuple[Text, Bbox]]
ON_PICTURES = (" letter", " range", " scale bar length")
"""Texts that stand on pictures on purpose."""


def faults(figure: Figure, venue: Venue) -> list[str]:
    """Texts outside the figure, over each other or over pictures, cut short, or too small."""
    boxes = _boxes(figure)
    return [*_of_texts(figure, venue, boxes), *_of_lines(boxes), *_of_pairs(figure, boxes)]


def share_of_pictures(figure: Figure) -> float:
    """Of the figure's area, without its colour bar."""
    boxes = [axes.get_position() for axes in figure.axes if axes.get_gid() != "legend axes"]
    return float(sum(box.width * box.height for box in boxes))


def height_of(figure: Figure) -> float:
    """Points."""
    return float(figure.get_figheight() * 72)


def _of_texts(figure: Figure, venue: Venue, boxes: Boxes) -> Iterator[str]:
    page = Bbox.from_extents(0, 0, figure.get_figwidth() * 72, height_of(figure))
    for text, box in boxes:
        beyond = (-box.x0, -box.y0, box.x1 - page.x1, box.y1 - page.y1)
        if max(beyond) > SLACK:
            yield f"{text.get_text()!r} ends {max(beyond):.1f} points outside"
        if text.get_fontsize() < venue.small - 1e-6:
            yield f"{text.get_text()!r} is set in {text.get_fontsize():g} points"
        if ELLIPSIS in text.get_text():
            yield f"{text.get_text()!r} is cut short"
    if height_of(figure) > venue.text_height:
        yield f"{height_of(figure):.0f} points high"


def _of_lines(boxes: Boxes) -> Iterator[str]:
    """Names that are set letter by letter, one below the other."""
    names: dict[str, list[str]] = {}
    for text, _ in boxes:
        name = (text.get_gid() or "").partition(" line ")[0]
        names.setdefault(name, []).append(text.get_text())
    for name, lines in names.items():
        if name and len(lines) > 2 and len("".join(lines)) < 3 * len(lines):
            yield f"{name} is set letter by letter: {' / '.join(lines)}"


def _of_pairs(figure: Figure, boxes: Boxes) -> Iterator[str]:
    for (one, a), (other, b) in combinations(boxes, 2):
        if _overlap(a, b) > TOUCH * min(a.height, b.height, a.width, b.width):
            yield f"{one.get_text()!r} and {other.get_text()!r} overlap"
    for axes in figure.axes:
        place = axes.get_position()
        size = figure.get_figwidth() * 72, height_of(figure)
        area = Bbox.from_extents(
            place.x0 * size[0], place.y0 * size[1], place.x1 * size[0], place.y1 * size[1]
        )
        for text, box in boxes:
            meant = any(mark in (text.get_gid() or "") for mark in ON_PICTURES)
            if not meant and _overlap(area, box) > TOUCH * min(box.height, box.width):
                yield f"{text.get_text()!r} lies on {axes.get_gid()}"


def _boxes(figure: Figure) -> Boxes:
    """All texts with what they cover, in points from the lower left."""
    with pinned_settings():
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.set_dpi(72)
        shown = [text for text in figure.texts if text.get_text().strip()]
        return [(text, text.get_window_extent(renderer)) for text in shown]


def _overlap(a: Bbox, b: Bbox) -> float:
    """The smaller side of what two boxes share; negative if they share nothing."""
    return float(min(min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)))
