"""Channel weights as bars to choose from, and one channel before and after weighting."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.charts import channel_bars, places
from cbam_viz.dataset.against import Against
from cbam_viz.layer_names import both_names
from cbam_viz.render import Scale, shared_scale
from cbam_viz.ui import session, words
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.glossary import hint
from cbam_viz.ui.parts import against, components
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session.link import ORDERS, TOP_KS

BARS = "channel_bars"


def draw(scene: Scene, layer: LayerAttention) -> None:
    """The chart, and below it the channel that was clicked."""
    st.subheader("Channel weights", anchor=False, help=hint("channel weights"))
    if layer.channel is None:
        called = words.plain(both_names(layer.name, scene.title(layer)))
        st.info(f"The layer {called} has {words.composition(layer)}.")
        return
    weights = layer.channel[0].numpy()
    _controls()
    chosen = checked_channel(scene.settings.channel, len(weights))
    store = against.choose(scene)
    found = None if store is None else against.compare(scene, store, layer)
    draw_bars(scene, layer, chosen, found)
    st.caption("Click a bar, or press Tab until here and use the arrow keys.")
    if store is not None and found is not None:
        against.told(scene, store, found)
    st.number_input(
        "Channel to see before and after weighting",
        help=hint("channel weight"),
        min_value=0,
        max_value=len(weights) - 1,
        step=1,
        placeholder=f"0 to {len(weights) - 1}",
        **session.control("channel", along={"layer": layer.name}),
    )
    if chosen is not None:
        _one_channel(scene, layer, chosen)


def _controls() -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control(
            "Order",
            list(ORDERS),
            format_func=ORDERS.__getitem__,
            required=True,
            label_visibility="collapsed",
            **session.control("order"),
        )
        st.selectbox(
            "Mark the highest",
            TOP_KS,
            format_func=lambda k: f"mark the {k} highest" if k else "mark none",
            label_visibility="collapsed",
            width=190,
            **session.control("top"),
        )


def draw_bars(
    scene: Scene, layer: LayerAttention, selected: int | None, found: Against | None = None
) -> None:
    """A layer's bars and their histogram; choosing one chooses its channel, and so the layer.

    With what was `found` against a store, its means and spreads around them.
    """
    assert layer.channel is not None
    settings = scene.settings
    data = channel_bars(
        layer.channel[0].numpy(),
        order="sorted" if settings.order == "sorted" else "index",
        top_k=settings.top,
        selected=selected,
        title=scene.title(layer),
        around=None if found is None else against.around(found),
    )
    components.bars(data, key=BARS, on_pick_change=partial(_take_pick, layer.name))


def _take_pick(layer: str) -> None:
    """A bar that was clicked or reached with the keys chooses its channel; -1 chooses none."""
    state: Any = st.session_state[BARS]
    picked = state.get("pick")
    if isinstance(picked, int):
        session.change(channel=picked if picked >= 0 else None, layer=layer)


def checked_channel(chosen: int | None, count: int) -> int | None:
    """The channel, if the layer has it; a link may name any."""
    if chosen is not None and chosen >= count:
        session.note(f"This layer has no channel {chosen}, only 0 to {count - 1}.")
        session.change(channel=None)
        return None
    return chosen


def _one_channel(scene: Scene, layer: LayerAttention, channel: int) -> None:
    """The channel's features before and after weighting, on one scale that is stated."""
    assert layer.channel is not None
    weights = layer.channel[0].numpy()
    with st.spinner("Reading this layer's features …"):
        features = scene.details(layer.name).features
    st.markdown(
        f"**Channel {channel}** · weight {words.number(float(weights[channel]))} · "
        f"{places(weights)[channel]}"
    )
    if features is None:
        st.caption("This layer's features could not be captured.")
        return
    # Only behind the spatial map do the channel weights act on something else than the input.
    source = features.before
    if layer.composition == "spatial then channel" and features.between is not None:
        source = features.between
    before = source[0, channel].numpy()
    after = before * weights[channel]
    scale = shared_scale((before, after))
    for column, title, values in zip(
        st.columns(2, gap="small", wrap=False),
        ("Before weighting", f"After × {words.number(float(weights[channel]))}"),
        (before, after),
        strict=True,
    ):
        with column:
            _field(scene, layer, title, values, scale)
    st.caption(f"Colours, the same for both: {words.span(scale.low, scale.high)}.")


def _field(
    scene: Scene, layer: LayerAttention, title: str, values: npt.NDArray[np.float32], scale: Scale
) -> None:
    geometry = scene.analysis.geometry
    picture = pictures.field_picture(
        values,
        layer.cells,
        geometry,
        scale=scale,
        colormap=scene.settings.colormap,
    )
    text = f"{title}: {words.range_on_photo(values, layer.cells, geometry)}"
    st.image(picture, caption=text, width="stretch", alt=text)
