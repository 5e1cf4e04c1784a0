"""The end of the walk: what the network would say without a gate of this layer."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbam_viz.ablation import GATES
from cbam_viz.ablation.found import found_again
from cbam_viz.attention import LayerAttention
from cbam_viz.computation import GateKind
from cbam_viz.detections import Detections
from cbam_viz.predictions import Prediction
from cbam_viz.ui import session, words
from cbam_viz.ui.parts import components
from cbam_viz.ui.parts.layout import two_columns
from cbam_viz.ui.scene import Scene


def draw(scene: Scene, layer: LayerAttention) -> None:
    """A switch for each gate, and both predictions side by side."""
    st.subheader("What would it predict without?", anchor=False)
    present: list[GateKind] = []
    if layer.channel is not None:
        present.append("channel")
    if layer.spatial is not None:
        present.append("spatial")
    with st.container(horizontal=True):
        chosen = tuple(
            gate for gate in present if st.toggle(f"Without {GATES[gate]}", key=f"without_{gate}")
        )
    st.caption(
        "A gate is replaced by ones in this layer alone, so that all its features pass; the rest "
        "of the network does what it does. It shows what the gate changes on this photo, not what "
        "a network would say that was trained without it."
    )
    st.page_link(
        session.memory().pages["whatif"],
        label="What if: change more than this",
        icon=":material/experiment:",
    )
    if not chosen:
        return
    with st.spinner("Running the network without these gates …"):
        outcome = scene.without(layer, chosen)
    told = " and ".join(GATES[gate] for gate in chosen)
    before = scene.analysis
    if before.detections is not None and outcome.detections is not None and not before.predictions:
        found = before.detections, outcome.detections
        st.markdown(_found_sentence(*found, told))
        rows = [_found(each) for each in found]
    elif before.predictions and outcome.predictions:
        st.markdown(_compared(before.predictions[0], outcome.predictions[0], told))
        rows = [
            [(one.label, one.probability) for one in each]
            for each in (before.predictions, outcome.predictions)
        ]
    else:
        note = outcome.prediction_note or before.prediction_note
        st.info(words.plain(note or "This network's output is no class scores."))
        return
    left, right = two_columns("outcome", (1, 1))
    with left:
        _ranking("With all gates", rows[0], "with")
    with right:
        _ranking(f"Without {told}", rows[1], "without")


_Row = tuple[str, float]
"""A class and its probability or score."""


def _found(found: Detections) -> list[_Row]:
    return list(zip(found.labelled, found.scores.tolist(), strict=True))


def _compared(before: Prediction, after: Prediction, told: str) -> str:
    """What becomes of the prediction, in a sentence."""
    was = f"{words.plain(before.label)}, {words.percent(before.probability)}"
    now = f"{words.plain(after.label)}, {words.percent(after.probability)}"
    if before.index == after.index:
        return f"Without {told} of this layer it is still **{now}** (with them: {was})."
    return f"Without {told} of this layer it says **{now}** (with them: {was})."


def _found_sentence(before: Detections, after: Detections, told: str) -> str:
    """What becomes of what was found, in a sentence."""
    same = len(found_again(before, after))
    found = f"**{len(after)}**" if len(after) else "**nothing**"
    again = (
        f"{same} of these it finds again: of the same class, in the same place for at least half."
        if len(before)
        else ""
    )
    return f"Without {told} of this layer it finds {found} (with them: {len(before)}). {again}"


def _ranking(caption: str, said: Sequence[_Row], key: str) -> None:
    st.markdown(f":small[{words.plain(caption)}]")
    rows = [
        {"label": label, "share": share, "text": words.percent(share)} for label, share in said[:5]
    ]
    components.ranking({"caption": caption, "rows": rows}, key=f"outcome_{key}")
