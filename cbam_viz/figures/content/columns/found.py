"""What a detector or segmenter found on the photo: `detections`, `boxes` and `mask`."""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz.analysis import Analysis
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.content.values import FoundPicture, Place

of_a_network = True

_HEADS = {"detections": "Detections", "boxes": "Boxes", "mask": "Masks"}
_WORDS = {
    "detections": "what it found, outlined, with classes and scores",
    "boxes": "boxes of what it found",
    "mask": "masks of what it found",
}


def settled(column: Column, analysis: Analysis) -> Column:
    """See `Answer`."""
    return column


def places(column: Column, analyses: Sequence[Analysis]) -> list[Place]:
    """See `Answer`."""
    for analysis in analyses:
        _check(column.kind, analysis)
    colours: dict[str, int] = {}  # by class, the same on all photos of the column
    found: list[Place] = []
    for analysis in analyses:
        assert analysis.detections is not None
        labels = analysis.detections.labelled
        numbers = tuple(colours.setdefault(label, len(colours)) for label in labels)
        found.append(FoundPicture(analysis, column.kind, numbers))
    return found


def _check(kind: str, analysis: Analysis) -> None:
    """Refuse a network that finds nothing on any photo. Raises FigureError."""
    name, found = analysis.model_name, analysis.detections
    if found is None:
        # What an unread detector says of it is of more use than that it is none.
        note = "" if analysis.predictions else f" {analysis.prediction_note}"
        raise FigureError(
            f"{name} gives no boxes or masks, so there is nothing for a column {kind!r}.{note} It "
            "takes a detector or segmenter; of other networks, class, probability and prediction "
            "say what they make of a photo."
        )
    if kind == "mask" and found.masks is None and len(found):
        raise FigureError(
            f"{name} gives boxes and no masks: write detections or boxes in place of 'mask'."
        )


def head(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return _HEADS[column.kind]


def words(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return _WORDS[column.kind]
