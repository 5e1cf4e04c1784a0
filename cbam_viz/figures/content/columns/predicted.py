"""What the network predicts: `class`, `probability`, or both (`prediction`).

Of a detector or segmenter, which predicts nothing of the whole photo, what it found.
"""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz.analysis import Analysis
from cbam_viz.detections import Detections
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.content.found import classes_text, scores_text
from cbam_viz.figures.content.values import Place, Words

of_a_network = True


def settled(column: Column, analysis: Analysis) -> Column:
    """See `Answer`."""
    return column


def places(column: Column, analyses: Sequence[Analysis]) -> list[Place]:
    """See `Answer`."""
    return [Words(analysis, _text(column, analysis)) for analysis in analyses]


def _text(column: Column, analysis: Analysis) -> str:
    found = analysis.detections
    if not analysis.predictions and found is not None:
        return _found_text(column.kind, found)
    if not analysis.predictions:
        return "–"
    best = analysis.predictions[0]
    label, share = str(best.label), f"{best.probability:.2f}"
    return {"class": label, "probability": share}.get(column.kind, f"{label}\n{share}")


def _found_text(kind: str, found: Detections) -> str:
    """What a detector found, where others predict a class."""
    label, scores = classes_text(found), scores_text(found)
    told = {"class": label, "probability": scores or "–"}
    return told.get(kind, f"{label}\n{scores}" if scores else label)


def head(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return column.kind.capitalize()


def words(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    told = {"class": "the predicted class", "probability": "its probability"}
    if analysis.detections is not None and not analysis.predictions:
        told = {"class": "what it found", "probability": "the scores of what it found"}
        return told.get(column.kind, "what it found, with scores")
    return told.get(column.kind, "the predicted class with its probability")
