"""Which layers stand beside each other: the rule's, or the visitor's own choice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.comparison import RULE, Comparison, Kinship, compare_sides, kinship
from cbam_viz.comparison.comparing import of_one_network
from cbam_viz.comparison.pairing import WORDS
from cbam_viz.layer_names import titles
from cbam_viz.ui import session, words
from cbam_viz.ui.pages.compare.sides import PAIRS, Look
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control

Pairs = dict[int, dict[str, str]]


def compared(scene: Scene, looks: Sequence[Look], *, same_scene: bool) -> Comparison:
    """What corresponds, by the rule and by what was paired by hand."""
    one_network = len({one.request for one in looks}) == 1

    def kin(first: int, second: int, layer: LayerAttention, partner: LayerAttention) -> Kinship:
        if one_network:
            return of_one_network(first, second, layer, partner)
        a, b = looks[first], looks[second]
        key = ("kinship", a.request, b.request, layer.name, partner.name)
        return scene.results.pictures.get_or_make(
            key, lambda: kinship(a.network().model, b.network().model, layer, partner)
        )

    return compare_sides(
        [one.side for one in looks],
        kin=kin,
        chosen={} if one_network else chosen(looks),
        same_scene=same_scene,
    )


def chosen(looks: Sequence[Look]) -> Pairs:
    """What the visitor paired by hand: by number of the side, the first's layers with its own."""
    first = looks[0].side.layers
    known = {
        f"{number}:{name}={other}"
        for number, look in enumerate(looks[1:], 1)
        for name in first
        for other in look.side.layers
    }
    control(PAIRS, [], among=known)
    found: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for text in session.page_settings().values[PAIRS]:
        number, _, pair = text.partition(":")
        name, _, other = pair.partition("=")
        found[int(number)][name] = other
    return dict(found)


def choose(found: Comparison, name: str) -> None:
    """For each other network the layer beside the one that is shown; changing it is a choice."""
    others = [number for number in found.others if found.sides[number].layers]
    if not others:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        for number in others:
            _choose_one(found, number, name)
    ways = [
        f"{match.layer} of {found.sides[number].title} is {WORDS[match.way]}"
        for number in others
        if (match := found.pairs[number][name]) is not None
    ]
    st.caption(words.plain(f"{'. '.join(ways)}."), help=RULE)


def _choose_one(found: Comparison, number: int, name: str) -> None:
    side, match = found.sides[number], found.pairs[number][name]
    called = titles(side.layers.values()).layers
    key = f"compare_beside_{number}"
    st.session_state[key] = None if match is None else match.layer
    st.selectbox(
        f"Layer in {side.title}",
        list(side.layers),
        format_func=lambda one: words.layer_option(side.layers[one], called[one]),
        placeholder="no layer of this kind",
        key=key,
        on_change=_take,
        args=(key, number, name),
    )


def _take(key: str, number: int, name: str) -> None:
    values = session.page_settings().values
    before = f"{number}:{name}="
    kept = [one for one in values.get(PAIRS, []) if not one.startswith(before)]
    picked = st.session_state[key]
    values[PAIRS] = kept if picked is None else [*kept, f"{before}{picked}"]
