"""The network's prediction, the five most probable classes."""

from __future__ import annotations

import streamlit as st

from cbam_viz.analysis import Analysis
from cbam_viz.ui import components, words


def top_classes(analysis: Analysis) -> None:
    """The five most probable classes with their probabilities, where there are classes."""
    best = analysis.predictions[:5]
    if not best:
        return
    st.subheader("Prediction", anchor=False)
    rows = [
        {
            "label": prediction.label,
            "share": prediction.probability,
            "text": words.percent(prediction.probability),
        }
        for prediction in best
    ]
    components.ranking({"caption": "Most probable classes", "rows": rows}, key="prediction")


def one_line(analysis: Analysis) -> str:
    """The most probable class, in a sentence; empty where there are no classes."""
    if not analysis.predictions:
        return ""
    best = analysis.predictions[0]
    return f"Prediction: {best.label}, {words.percent(best.probability)}"
