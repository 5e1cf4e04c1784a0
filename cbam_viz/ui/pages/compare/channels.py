"""Channel weights against each other where channels correspond; else how they are spread."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbam_viz.charts import distribution_chart, scatter_chart
from cbam_viz.comparison import Channels, Comparison
from cbam_viz.ui import words
from cbam_viz.ui.glossary import hint
from cbam_viz.ui.pages.compare.sides import Look


def draw(looks: Sequence[Look], found: Comparison, name: str) -> None:
    """Of the layers that stand beside each other."""
    sides = [
        (number, layer)
        for number in range(len(looks))
        if (layer := found.layer(number, name)) is not None and layer.channel is not None
    ]
    if not sides:
        return
    st.subheader("Channel weights", anchor=False, help=hint("channel weight"))
    pairs = {number: found.channels(number, name) for number in found.others}
    known = {number: one for number, one in pairs.items() if one is not None}
    told = {number: one.kinship.text for number, one in known.items()}
    scattered = {number: one for number, one in known.items() if one.kinship.corresponds}
    if scattered:
        _scatters(found, scattered)
    spread = distribution_chart(
        [layer.channel[0].numpy() for _, layer in sides],  # type: ignore[index]
        [found.sides[number].title for number, _ in sides],
    )
    st.vega_lite_chart(spec=spread, width="stretch", key="compare_spread")
    st.caption(
        "Shares of a layer's channels by weight; those below 0 or above 1 count in the outermost "
        "bins."
    )
    texts = dict.fromkeys(told.values())
    for text in texts:
        whose = [found.sides[number].title for number, one in told.items() if one == text]
        st.caption(words.plain(f"{', '.join(whose)}: {text}" if len(texts) > 1 else text))


def _scatters(found: Comparison, pairs: dict[int, Channels]) -> None:
    first = found.sides[found.reference].title
    with st.container(key=f"compare_columns_scatter_{len(pairs)}"):
        for column, (number, one) in zip(st.columns(len(pairs)), pairs.items(), strict=True):
            with column:
                title = found.sides[number].title
                spec = scatter_chart(one.first, one.second, (first, title))
                st.vega_lite_chart(spec=spec, width="stretch", key=f"compare_scatter_{number}")
                st.caption(words.plain(_in_words(one)))


def _in_words(one: Channels) -> str:
    if one.pearson is None or one.spearman is None:
        return "All weights of one of them are equal, so there is no correlation."
    said = (f"{value:.2f}".replace("-", "−") for value in (one.pearson, one.spearman))
    pearson, spearman = said
    return (
        f"Each point is a channel. Pearson {pearson}, Spearman {spearman}; on the dashed line both "
        "weights are equal."
    )
