"""Page What if: a layer's gates replaced, what each of them does, which channels matter.

A pretty map proves nothing; what a gate does is seen by putting another one in its place.
"""

from __future__ import annotations

import streamlit as st

from cbam_viz.ablation import Aim, aims
from cbam_viz.ui import words
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.pages.whatif import channels, choice, gates, outcome
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control

INTRODUCTION = (
    "A map may look right and do nothing. Here you replace a layer's gates, and the network says "
    "what it then sees."
)


def page(scene: Scene) -> None:
    """Change gates, and below it every gate and every channel in turn.

    An error in one part leaves the others.
    """
    st.markdown(INTRODUCTION)
    aim = _aim(scene)
    chosen = choice.choose(scene)
    with boundary():
        if chosen.change is not None:
            outcome.draw(scene, chosen.change, aim, chosen.said)
    if aim is not None:
        with boundary():
            gates.draw(scene, aim, chosen.by)
        with boundary():
            channels.draw(scene, aim)
    analysis = scene.analysis
    seen = words.what_was_seen(analysis.geometry)
    texts = [*seen, words.what_was_assumed(analysis), *words.missing(analysis.attention)]
    for text in filter(None, texts):
        st.caption(words.plain(text))


def _aim(scene: Scene) -> Aim | None:
    """What is followed: the first of what the network says, unless the visitor picks another."""
    found = aims(scene.analysis)
    if not found:
        return None
    places = range(len(found))
    chosen: int = st.selectbox(
        f"{found[0].kind.capitalize()} to follow",
        places,
        format_func=lambda place: (
            f"{found[place].label} · {words.percent(found[place].before)}"
            + (f" · number {place + 1}" if found[0].kind == "object" else "")
        ),
        **control("follow", 0, among=places),
    )
    return found[chosen]
