"""Page All layers: every map and its numbers, by stage."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.render import fit_size
from cbam_viz.statistics import LayerStatistics
from cbam_viz.ui import session, words
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.pages.layers import table as layer_table
from cbam_viz.ui.parts import components, display_controls, pictures
from cbam_viz.ui.parts.prediction import one_line
from cbam_viz.ui.scene import Scene, current

GALLERY = "layers_gallery"


@st.fragment
def page(scene: Scene) -> None:
    """The gallery, and below it the table."""
    with boundary():
        statistics = {one.name: one for one in scene.statistics()}
        display_controls.draw()
        st.caption(words.plain(one_line(scene.analysis)))
        for text in words.what_was_seen(scene.analysis.geometry):
            st.caption(text)
        components.gallery(_cards(scene, statistics), key=GALLERY, on_open_change=_open)
        for text in (scene.analysis.fed, *words.missing(scene.analysis.attention)):
            st.caption(words.plain(text))
        layer_table.draw(list(statistics.values()))
        session.write_url()


def open_layer(name: str) -> None:
    """Go to Explore with this layer; for callbacks."""
    session.change(layer=name, channel=None)
    st.switch_page(session.memory().pages["explore"])


def _open() -> None:
    state: Any = st.session_state[GALLERY]
    name, scene = state.get("open"), current()
    if scene is not None and name in scene.layers:
        open_layer(name)


def _cards(scene: Scene, statistics: dict[str, LayerStatistics]) -> dict[str, Any]:
    height, width = fit_size(scene.photo.size, pictures.CARD_SIDE)
    stages = []
    for stage, members in groupby(scene.layers.values(), key=lambda layer: layer.stage):
        layers = list(members)
        stages.append(
            {
                "title": stage,
                "note": f"{len(layers)} layers" if len(layers) > 1 else "1 layer",
                "cards": [_card(scene, layer, statistics[layer.name]) for layer in layers],
            }
        )
    return {"ratio": f"{width} / {height}", "bar": _bar(scene), "stages": stages}


def _card(scene: Scene, layer: LayerAttention, numbers: LayerStatistics) -> dict[str, Any]:
    geometry = scene.analysis.geometry
    facts = [words.size_of(layer), *words.of_cells(layer, geometry)]
    if numbers.spatial is not None:
        mean, spread = numbers.spatial.mean, numbers.spatial.spread
        facts.append(f"map {words.number(mean)} ± {words.number(spread)}")
    alt = f"{layer.name} has {words.composition(layer)}"
    if layer.spatial is not None:
        alt = words.picture_alt(scene.photo, layer, geometry)
    return {
        "name": layer.name,
        "current": str(layer.name == scene.layer().name).lower(),
        "picture": None if layer.spatial is None else scene.card_picture(layer),
        "alt": alt,
        "strip": None if layer.channel is None else scene.strip_picture(layer),
        "stripAlt": "" if layer.channel is None else words.strip_alt(layer),
        "facts": facts,
        "flags": list(numbers.flags),
    }


def _bar(scene: Scene) -> dict[str, Any] | None:
    """What the colours stand for; None for a network without any map."""
    layers = [layer for layer in scene.layers.values() if layer.spatial is not None]
    if not layers:
        return None
    settings = session.settings()
    bar = pictures.colour_bar(scene.scale(layers[0]), settings.colormap)
    if settings.scale == "per map":
        bar |= {"ticks": ["lowest", "highest"], "label": "Scale: each map alone, not comparable"}
    return bar | {"note": "Below each map its channel weights by index, absolute, 0 to 1."}
