"""Page Compare: networks on one photo, or photos in one network, layer beside layer."""

from __future__ import annotations

import streamlit as st

from cbam_viz.comparison import Comparison
from cbam_viz.ui import words
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.pages.compare import by_method, channels, maps, numbers, pairing, sides
from cbam_viz.ui.pages.compare.sides import Look
from cbam_viz.ui.parts import layer_choice, methods
from cbam_viz.ui.parts.prediction import top_classes
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control

GATES = "gates"


def page(scene: Scene) -> None:
    """What is chosen, the maps in one frame, and below them channels, numbers and predictions."""
    looks = sides.choose(scene)
    if len(looks) < 2:
        st.info("Choose at least one more to compare with.", icon=":material/compare:")
        return
    found = pairing.compared(scene, looks, same_scene=_same_scene(looks))
    layer = scene.layer()
    layer_choice.choose(scene, layer)
    if len({one.request for one in looks}) > 1:
        pairing.choose(found, layer.name)
    made = _made_by()
    with boundary():
        if made == GATES:
            maps.draw(scene, looks, found, layer.name)
        else:
            by_method.draw(scene, looks, found, layer.name, made)
    with boundary():
        _predictions(looks)
    with boundary():
        channels.draw(looks, found, layer.name)
    with boundary():
        numbers.draw(scene, looks, found)
    _about(found)


def _same_scene(looks: list[Look]) -> bool:
    """Whether different photos of one size show the same scene, as the visitor says."""
    shown = {one.analysis.photo.sha256: one.analysis.photo.size for one in looks}
    first, *others = shown.values()
    if first not in others:
        return False
    return st.toggle(
        "The photos show the same scene, pixel by pixel",
        help="As one photo before and after a change. Then places correspond, and maps have "
        "differences.",
        **control("same", False),
    )


def _made_by() -> str:
    options = {GATES: "the gates"} | methods.offered()
    made: str = st.selectbox(
        "Maps from",
        list(options),
        format_func=options.__getitem__,
        width=250,
        help="Other methods make maps for a class, also for networks without attention.",
        **control("made", GATES, among=options),
    )
    return made


def _predictions(looks: list[Look]) -> None:
    st.subheader("Predictions", anchor=False)
    with st.container(key=f"compare_columns_{len(looks)}"):
        for number, (column, look) in enumerate(zip(st.columns(len(looks)), looks, strict=True)):
            with column:
                top_classes(look.analysis, f"compare_prediction_{number}", look.side.title)


def _about(found: Comparison) -> None:
    """What each network was shown, and what of its attention is not here; once each."""
    told: dict[str, list[str]] = {}
    sidebar = found.sides[0].analysis.fed
    for side in found.sides:
        analysis = side.analysis
        texts = (
            *words.what_was_seen(analysis.geometry),
            # What the sidebar says of the first is not said again.
            words.what_was_assumed(analysis) if analysis.fed == sidebar else analysis.fed,
            *words.missing(analysis.attention),
        )
        for text in filter(None, texts):
            told.setdefault(text, []).append(side.title)
    for text, titles in told.items():
        whose = "" if len(titles) == len(found.sides) else f"{', '.join(titles)}: "
        st.caption(words.plain(f"{whose}{text}"))
