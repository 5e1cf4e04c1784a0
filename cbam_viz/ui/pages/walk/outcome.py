"""The end of the walk: what the network would say without a gate of this layer."""

from __future__ import annotations

import streamlit as st

from cbam_viz.ablation import GATES
from cbam_viz.analysis import Analysis
from cbam_viz.attention import LayerAttention
from cbam_viz.computation import GateKind
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
    with st.spinner("Running the network without …"):
        outcome = scene.without(layer, chosen)
    if not outcome.predictions:
        st.info(words.plain(outcome.note or "This network's output is no class scores."))
        return
    told = " and ".join(GATES[gate] for gate in chosen)
    st.markdown(_compared(scene.analysis, outcome.predictions, told))
    left, right = two_columns("outcome", (1, 1))
    with left:
        _ranking("With all gates", scene.analysis.predictions, "with")
    with right:
        _ranking(f"Without {told}", outcome.predictions, "without")


def _compared(analysis: Analysis, predictions: tuple[Prediction, ...], told: str) -> str:
    """What becomes of the prediction, in a sentence."""
    before, after = analysis.predictions[0], predictions[0]
    was = f"{words.plain(before.label)}, {words.percent(before.probability)}"
    now = f"{words.plain(after.label)}, {words.percent(after.probability)}"
    if before.index == after.index:
        return f"Without {told} of this layer it is still **{now}** (with them: {was})."
    return f"Without {told} of this layer it says **{now}** (with them: {was})."


def _ranking(caption: str, predictions: tuple[Prediction, ...], key: str) -> None:
    st.markdown(f":small[{words.plain(caption)}]")
    rows = [
        {"label": one.label, "share": one.probability, "text": words.percent(one.probability)}
        for one in predictions[:5]
    ]
    components.ranking({"caption": caption, "rows": rows}, key=f"outcome_{key}")
