"""The network's prediction, the five most probable classes."""

from __future__ import annotations

import streamlit as st

from cbam_viz.analysis import Analysis
from cbam_viz.detections import Detections
from cbam_viz.ui import words
from cbam_viz.ui.drawing import found
from cbam_viz.ui.parts import components

MOST_LISTED = 12
"""Detections that are listed; all are outlined on the photo."""


def top_classes(analysis: Analysis, key: str = "prediction", title: str = "Prediction") -> None:
    """The five most probable classes with their probabilities, or why there are none.

    `key` is unique on the page.
    """
    if analysis.detections is not None:
        _detections(analysis.detections, key, title)
        return
    best = analysis.predictions[:5]
    if not best and not analysis.prediction_note:
        return
    st.subheader(title, anchor=False)
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


def _detections(detections: Detections, key: str, title: str) -> None:
    """What a detector found, best first."""
    st.subheader(title, anchor=False)
    if len(detections):
        rows = [
            {
                "label": f"{number} · {row['label']}",
                "share": row["score"],
                "text": words.percent(row["score"]),
            }
            for number, row in enumerate(detections.rows[:MOST_LISTED], 1)
        ]
        kind = "Detections" if detections.kind == "objects" else "Regions"
        components.ranking({"caption": f"{kind} with their scores", "rows": rows}, key=key)
    else:
        st.info(found.in_words(detections), icon=":material/search_off:")
    more = len(detections) - MOST_LISTED
    for text in (f"And {more} more, of lower scores." if more > 0 else "", detections.note):
        if text:
            st.caption(words.plain(text))


def one_line(analysis: Analysis) -> str:
    """The most probable class, in a sentence, or why there is none."""
    if analysis.detections is not None:
        return found.in_words(analysis.detections)
    if not analysis.predictions:
        return analysis.prediction_note
    best = analysis.predictions[0]
    return f"Prediction: {best.label}, {words.percent(best.probability)}"
