"""What the network predicts: `class`, `probability`, or both (`prediction`)."""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz.analysis import Analysis
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.content.values import Place, Words

of_a_network = True


def settled(column: Column, analysis: Analysis) -> Column:
    """See `Answer`."""
    return column


def places(column: Column, analyses: Sequence[Analysis]) -> list[Place]:
    """See `Answer`."""
    return [Words(analysis, _text(column, analysis)) for analysis in analyses]


def _text(column: Column, analysis: Analysis) -> str:
    if not analysis.predictions:
        return "–"
    best = analysis.predictions[0]
    label, share = str(best.label), f"{best.probability:.2f}"
    return {"class": label, "probability": share}.get(column.kind, f"{label}\n{share}")


def head(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return column.kind.capitalize()


def words(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    told = {"class": "the predicted class", "probability": "its probability"}
    return told.get(column.kind, "the predicted class with its probability")
