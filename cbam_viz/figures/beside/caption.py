"""A figure's caption in words, computed from what was drawn.

It says what is shown and how values became colours, so that a reader needs nothing else. What is
peculiar to a layout, its content says.
"""

from __future__ import annotations

from cbam_viz.figures.content.composition import Composition


def caption(figure: Composition) -> str:
    """What the figure shows, how it is scaled and what the networks were given, in plain text."""
    border = figure.study.border
    told = [*figure.content.sentences(figure), f"Photos are {border}" if border else ""]
    sentences = [*(f"{one}." for one in told if one), *_assumptions(figure)]
    return " ".join(filter(None, sentences))


def _assumptions(figure: Composition) -> list[str]:
    """What was assumed of the networks' inputs, and why a prediction's place is empty."""
    study = figure.study
    told = [one for one in zip(study.networks, study.assumed, strict=True) if one[1]]
    told += [
        (row[model].model_name, row[model].prediction_note)
        for row in study.analyses
        for model in figure.content.predicted
        if not row[model].predictions and row[model].detections is None
    ]
    several = len(study.networks) > 1
    return [f"{name}: {text}" if several else text for name, text in dict.fromkeys(told)]
