"""What the network says with other gates: a sentence, and before and after side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from cbam_viz.ablation import Aim
from cbam_viz.analysis import Analysis
from cbam_viz.attention import LayerAttention
from cbam_viz.images import layer_shares
from cbam_viz.ui import words
from cbam_viz.ui.pages.whatif import measured, telling
from cbam_viz.ui.pages.whatif.choice import Change, pick_layer
from cbam_viz.ui.parts import display_controls, viewer
from cbam_viz.ui.parts.layout import two_columns
from cbam_viz.ui.parts.prediction import top_classes
from cbam_viz.ui.scene import Scene

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

NOT_FOLLOWED = (
    "This network's output has no classes or objects that could be followed, so the effects of "
    "gates are not measured here. Maps can still be compared; in Python, cbam_viz.effects takes "
    "any function of the output."
)


def draw(scene: Scene, change: Change, aim: Aim | None, said: DeltaGenerator) -> None:
    """One forward with other gates, and what it changed; in `said`, what the network says."""
    with said:
        with st.container(key="busy_whatif"), st.spinner("Running the network with other gates …"):
            changed = measured.changed(scene, change)
        _predictions(scene, change, changed, aim)
    _maps(scene, change, changed)


def _predictions(scene: Scene, change: Change, changed: Analysis, aim: Aim | None) -> None:
    """What becomes of what is followed, and both predictions beside each other."""
    if aim is None:
        st.info(words.plain(f"{scene.analysis.prediction_note} {NOT_FOLLOWED}".strip()))
        return
    share = measured.share(scene, aim, changed)
    st.markdown(telling.outcome(change.lead, aim, share, scene.analysis, changed))
    left, right = two_columns("whatif", (1, 1))
    with left:
        top_classes(scene.analysis, "whatif_before", "With its own gates")
    with right:
        top_classes(changed, "whatif_after", "With other gates")


def _maps(scene: Scene, change: Change, changed: Analysis) -> None:
    """A later layer's map before and after, on one scale."""
    layers = _later(scene, change)
    if not layers:
        st.info("No layer from there on has a spatial map that could be compared.")
        return
    replaced = {layer for layer, kind in change.gates if kind == "spatial"}
    untouched = [name for name in layers if name not in replaced]
    st.subheader("A map before and after", anchor=False)
    label = "Layer, from the first whose gates are replaced"
    picked = pick_layer(scene, label, "map", layers, (untouched or layers)[-1])
    before, after = scene.layers[picked], changed.attention.layers.get(picked)
    first = scene.on_photo(before)
    second = replace(scene, analysis=changed).on_photo(after)
    viewer.draw(
        scene,
        replace(first, title=f"{first.title}: with its own gates"),
        replace(
            second,
            title=f"{first.title}: with other gates",
            key=(measured.key_of(scene, change), picked),
        ),
        key="whatif_viewer",
    )
    st.caption(words.plain(_difference(scene, before, after, own=picked in replaced)))
    display_controls.draw()


def _later(scene: Scene, change: Change) -> list[str]:
    """Layers with a map from the first on whose gates are replaced."""
    names = list(scene.layers)
    first = min(names.index(layer) for layer, _ in change.gates)
    return [
        name
        for name in names[first:]
        if scene.layers[name].spatial is not None and scene.layers[name].cells is not None
    ]


def _difference(
    scene: Scene, before: LayerAttention, after: LayerAttention | None, *, own: bool
) -> str:
    """By how much the map differs, over the photo."""
    if after is None or before.spatial is None or after.spatial is None:
        return "With other gates this layer did not run."
    if before.spatial.shape != after.spatial.shape:
        return "With other gates this map has a different number of cells."
    change = np.abs(after.spatial[0].double().numpy() - before.spatial[0].double().numpy())
    shares = layer_shares(before, scene.analysis.geometry)
    whose = "This map is one of those that were replaced. It" if own else "The map"
    if not change[shares > 0].any():
        return f"{whose} had these values before." if own else f"{whose} does not change."
    mean = float(np.average(change, weights=shares))
    most = float(change[shares > 0].max())
    return (
        f"{whose} changes by {words.number(mean)} on average over the photo, by "
        f"{words.number(most)} at most. Equal colours are equal values in both."
    )
