"""Page All layers: every map and its numbers, by stage."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.layer_names import both_names
from cbam_viz.statistics import LayerStatistics
from cbam_viz.ui import session, words
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.pages.layers import table as layer_table
from cbam_viz.ui.parts import against, components, display_controls
from cbam_viz.ui.parts.prediction import one_line
from cbam_viz.ui.scene import Scene

GALLERY = "layers_gallery"
COLOURS = (
    "On the photo lies each layer's spatial map: a place at 0 is held back (multiplied by 0), a "
    "place at 1 is let through unchanged."
)
STRIPS = (
    " The strip below it shows the channel weights by index, always from 0 to 1, in rows of at "
    f"most {pictures.STRIP_ROW}."
)


def page(scene: Scene) -> None:
    """The gallery, and below it the table."""
    statistics = {one.name: one for one in scene.statistics()}
    display_controls.draw()
    store = against.choose(scene)
    if store is not None:
        statistics = {
            name: replace(one, flags=one.flags + against.flags(scene, store, scene.layers[name]))
            for name, one in statistics.items()
        }
    st.caption(words.plain(one_line(scene.analysis)))
    for text in words.what_was_seen(scene.analysis.geometry):
        st.caption(text)
    components.gallery(
        _cards(scene, statistics), key=GALLERY, on_open_change=partial(_open, tuple(scene.layers))
    )
    texts = [words.what_was_assumed(scene.analysis), *words.missing(scene.analysis.attention)]
    for text in filter(None, texts):
        st.caption(words.plain(text))
    layer_table.draw(list(statistics.values()), scene.titles.layers)


def open_layer(name: str) -> None:
    """Go to Explore with this layer; for callbacks."""
    session.change(layer=name, channel=None)
    st.switch_page(session.memory().pages["explore"])


def _open(names: tuple[str, ...]) -> None:
    """A card was opened; what a browser sends may be anything."""
    state: Any = st.session_state[GALLERY]
    if state.get("open") in names:
        open_layer(state["open"])


def _cards(scene: Scene, statistics: dict[str, LayerStatistics]) -> dict[str, Any]:
    height, width = scene.photo.size
    stages = []
    for stage, members in groupby(scene.layers.values(), key=lambda layer: layer.stage):
        layers = list(members)
        stages.append(
            {
                "title": words.heading(scene.titles.stages[stage], stage),
                "note": f"{len(layers)} layers" if len(layers) > 1 else "1 layer",
                "cards": [_card(scene, layer, statistics[layer.name]) for layer in layers],
            }
        )
    return {"ratio": f"{width} / {height}", "bar": _bar(scene), "stages": stages}


def _card(scene: Scene, layer: LayerAttention, numbers: LayerStatistics) -> dict[str, Any]:
    geometry, title = scene.analysis.geometry, scene.title(layer)
    facts = [words.size_of(layer), *words.of_cells(layer, geometry)]
    if numbers.spatial is not None:
        facts.append(f"Spatial map: {words.mean_and_spread(numbers.spatial)}")
    if numbers.channel is not None:
        facts.append(f"Channel weights: {words.mean_and_spread(numbers.channel)}")
    alt = f"{both_names(layer.name, title)} has {words.composition(layer)}"
    if layer.spatial is not None:
        alt = words.picture_alt(scene.photo, layer, geometry, title)
    return {
        "name": layer.name,
        "title": title,
        "current": str(layer.name == scene.layer().name).lower(),
        "picture": None if layer.spatial is None else scene.card_picture(layer),
        "alt": alt,
        "strip": None if layer.channel is None else scene.strip_picture(layer),
        "stripRows": 0 if layer.channel is None else pictures.strip_rows(layer.channel.shape[1]),
        "stripAlt": "" if layer.channel is None else words.strip_alt(layer),
        "facts": facts,
        "flags": list(numbers.flags),
    }


def _bar(scene: Scene) -> dict[str, Any] | None:
    """What the colours stand for; None for a network without any map."""
    layers = [layer for layer in scene.layers.values() if layer.spatial is not None]
    if not layers:
        return None
    settings = scene.settings
    bar = pictures.colour_bar(scene.scale(layers[0]), settings.colormap)
    if settings.scale == "per map":
        bar |= {"ticks": ["lowest", "highest"], "label": "Scale: each map alone, not comparable"}
    strips = any(layer.channel is not None for layer in scene.layers.values())
    return bar | {"note": COLOURS + (STRIPS if strips else "")}
