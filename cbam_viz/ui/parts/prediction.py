"""The network's prediction, the five most probable classes."""

from __future__ import annotations

import streamlit as st

from cbam_viz.analysis import Analysis
from cbam_viz.ui import words
from cbam_viz.ui.parts import components


def top_classes(analysis: Analysis, key: str = "prediction") -> None:
    """The five most probable classes with their probabilities, or why there are none.

    `key` is unique on the page.
    """
    best = analysis.predictions[:5]
    if not best and not analysis.prediction_note:
        return
    st.subheader("Prediction", anchor=False)
    if not best:
        st.info(words.plain(analysis.prediction_note), icon=":material/question_mark:")
        return
    rows = [
        {
            "label": prediction.label,
            "share": prediction.probability,
            "text": words.percent(prediction.probability),
        }
        for prediction in best
    ]
    components.ranking({"caption": "Most probable classes", "rows": rows}, key=key)
    if analysis.prediction_note:
        st.caption(words.plain(analysis.prediction_note))


def one_line(analysis: Analysis) -> str:
    """The most probable class, in a sentence, or why there is none."""
    if not analysis.predictions:
        return analysis.prediction_note
    best = analysis.predictions[0]
    return f"Prediction: {best.label}, {words.percent(best.probability)}"
