"""What was found on photos, in words: for columns of text, and sentences of captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cbam_viz.detections import Detections
from cbam_viz.detectors.found import MIN_SCORE
from cbam_viz.detectors.outlines import MOST_DRAWN
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.values import FoundPicture

COLOURS = {
    "orange": (230, 159, 0),
    "light blue": (86, 180, 233),
    "green": (0, 158, 115),
    "yellow": (240, 228, 66),
    "blue": (0, 114, 178),
    "red": (213, 94, 0),
    "pink": (204, 121, 167),
}
"""Of masks, by class: those of Okabe and Ito, which people with every kind of sight tell apart."""

NOTHING = "nothing found"
_MOST_NAMED = 3


def classes_text(found: Detections) -> str:
    """What was found, counted: `2 × dog, cat`."""
    counted = Counter(found.labelled)
    named = [
        label if count == 1 else f"{count} × {label}"
        for label, count in list(counted.items())[:_MOST_NAMED]
    ]
    more = len(counted) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "") if named else NOTHING


def scores_text(found: Detections) -> str:
    """Their scores, best first."""
    scores = [f"{score:.2f}" for score in found.scores[:_MOST_NAMED].tolist()]
    more = len(found) - len(scores)
    return ", ".join(scores) + (f" and {more} more" if more else "")


def found_sentences(figure: Composition, pictures: Sequence[FoundPicture]) -> list[str]:
    """What a reader must know of outlines, rings, labels and masks; nothing if there are none."""
    if not pictures:
        return []
    all_found = {id(one.found): one.found for one in pictures}.values()
    notes = [note.rstrip(".") for note in dict.fromkeys(one.note for one in all_found) if note]
    return [
        f"Where there are more than {MOST_DRAWN}, the {MOST_DRAWN} best are drawn"
        if any(len(one) > MOST_DRAWN for one in all_found)
        else "",
        f"Rings mark keypoints of which the network is sure by {MIN_SCORE} or more"
        if any(one.how == "detections" and one.found.keypoints is not None for one in pictures)
        else "",
        "Labels that found no room are left out" if figure.fit.labels_left_out else "",
        _colours_sentence([one for one in pictures if one.how == "mask"]),
        *notes,
    ]


def _colours_sentence(pictures: Sequence[FoundPicture]) -> str:
    names = list(COLOURS)
    meant: dict[str, dict[str, None]] = {}
    for one in pictures:
        for label, number in zip(one.found.labelled, one.colours, strict=True):
            meant.setdefault(names[number % len(names)], {})[label] = None
    told = "; ".join(f"{colour}, {' or '.join(labels)}" for colour, labels in meant.items())
    return f"Colours of masks: {told}" if told else ""
