"""What is changed: which layers' gates, and what stands in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from cbam_viz._text import few
from cbam_viz.ablation import Constant, Mean, Replacement, Shuffled
from cbam_viz.ablation.wishes import KINDS
from cbam_viz.attention import LayerAttention
from cbam_viz.computation import GateKind
from cbam_viz.ui.glossary import hint
from cbam_viz.ui.pages.whatif import telling
from cbam_viz.ui.parts import layer_choice, painter
from cbam_viz.ui.parts.layout import two_columns
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control
from cbam_viz.ui.words import layer_option, plain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

PAINTED = "painted"
REACHES = {
    "layer": "One layer",
    "stage": "Its stage",
    "some": "Several layers",
    "all": "All layers",
}
GATES = {"both": "Both gates", "channel": "Channel weights", "spatial": "Spatial maps"}
REPLACEMENTS = {
    "mean": "its own mean",
    "one": "one: the gate is off",
    "zero": "zero: nothing passes",
    "number": "another number",
    "shuffled": "its own values, shuffled",
    PAINTED: "what I paint on its map",
}
READING = {
    "mean": "Each gate becomes its own mean, which keeps its level and removes its pattern: the "
    "mildest change. If the prediction changes, it depends on that pattern. Where an earlier gate "
    "is replaced too, the mean is that of the gate that this leads to.",
    "one": "With ones, everything passes, so features become larger than the network ever saw in "
    "training (a distribution shift), above all if many gates are replaced at once. If the network "
    "then fails, that says little; the mean is milder.",
    "zero": "With zeros, none of these features pass, which the network never saw in training (a "
    "distribution shift). This shows what depends on the features, not on how they are weighted; "
    "the mean is milder.",
    "number": "Near a gate's own mean, a number removes its pattern; far from it, features "
    "become larger or smaller than the network ever saw in training (a distribution shift).",
    "shuffled": "Shuffling keeps a gate's values and puts them in other places or channels. If the "
    "prediction changes, it depends on which of them had which value. Another seed gives another "
    "order.",
    PAINTED: "In the cells that you paint, the network multiplies by what you paint; in all "
    "others, by the map's own values. A link has the layer and the brush, but not what is painted: "
    "that stays until you close or reload this window.",
}
MOST_SEED = 9999


@dataclass(frozen=True)
class Change:
    """Gates, and what replaces them."""

    gates: tuple[tuple[str, GateKind], ...]
    """By layer and kind, in order of execution."""
    by: Replacement
    words: str
    """Which gates, such as `the spatial maps of stage 3`."""

    @property
    def wishes(self) -> dict[str, dict[GateKind, Replacement]]:
        """As `ablate` takes them."""
        found: dict[str, dict[GateKind, Replacement]] = {}
        for layer, kind in self.gates:
            found.setdefault(layer, {})[kind] = self.by
        return found

    @property
    def lead(self) -> str:
        """How a sentence about it begins."""
        return telling.with_instead(self.by, self.words, one=len(self.gates) == 1)


@dataclass(frozen=True)
class Chosen:
    """What the visitor chose."""

    by: Replacement
    """What replaces gates in turn; their mean where one map is painted."""
    change: Change | None
    """None where what was chosen has no such gate; then a sentence says so."""
    said: DeltaGenerator
    """Where to say what the network then says: beside what is painted."""


def choose(scene: Scene) -> Chosen:
    """Controls for it."""
    picked = scene.layer()
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        kind, by = _replacement()
    st.caption(READING[kind])
    if kind == PAINTED:
        with above:
            layer_choice.choose(scene, picked)
        left, right = two_columns("whatif_painted")
        with left:
            return Chosen(by, _painted(scene, picked), right)
    with above:
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            reach = _segments("In which layers", "reach", REACHES, "layer")
            kinds = _kinds(scene)
        chosen = _layers(scene, reach, picked)
    gates = tuple(
        (one.name, kind) for one in chosen for kind in KINDS if kind in kinds and _has(one, kind)
    )
    there = [kind for kind in KINDS if any(kind == each for _, each in gates)]
    titles = [scene.title(one) for one in chosen]
    if not gates:
        has = "has" if len(titles) == 1 else "have"
        what = " and no ".join(telling.WORDS[kind][1] for kind in kinds)
        st.info(plain(f"There is nothing to replace: {few(titles, 3)} {has} no {what}."))
        return Chosen(by, None, st.container())
    stage = scene.titles.stages[picked.stage] if reach == "stage" else ""
    change = Change(gates, by, telling.gates_of(there, titles, stage, reach == "all"))
    return Chosen(by, change, st.container())


def pick_layer(scene: Scene, label: str, name: str, names: list[str], default: str) -> str:
    """One of some layers, by the setting `name`: `default` until the visitor picks another."""
    tied = control(name, "", among=["", *names])
    if not st.session_state[tied["key"]]:
        st.session_state[tied["key"]] = default
    picked: str = st.selectbox(
        label,
        names,
        format_func=lambda one: layer_option(scene.layers[one], scene.titles.layers[one]),
        **tied,
    )
    return picked


def _layers(scene: Scene, reach: str, picked: LayerAttention) -> list[LayerAttention]:
    """The layers that are meant, in order of execution."""
    if reach == "some":
        return _some(scene, picked)
    if reach in ("layer", "stage"):
        layer_choice.choose(scene, picked)
    return [
        one
        for one in scene.layers.values()
        if reach == "all" or one is picked or (reach == "stage" and one.stage == picked.stage)
    ]


def _some(scene: Scene, picked: LayerAttention) -> list[LayerAttention]:
    """Any layers; the one that other pages show where none is chosen."""
    names: list[str] = st.multiselect(
        "Layers",
        list(scene.layers),
        format_func=lambda name: layer_option(scene.layers[name], scene.titles.layers[name]),
        placeholder=f"Choose layers; until then it is {scene.title(picked)}",
        **control("layers", [], among=list(scene.layers)),
    )
    return [one for name, one in scene.layers.items() if name in names] or [picked]


def _kinds(scene: Scene) -> tuple[GateKind, ...]:
    """Which kind of gate; not asked where the network has but one."""
    there = [kind for kind in KINDS if any(_has(one, kind) for one in scene.layers.values())]
    if len(there) < 2:
        return tuple(there)
    chosen = _segments("Which gates", "gates", GATES, "both")
    return KINDS if chosen == "both" else tuple(kind for kind in KINDS if kind == chosen)


def _painted(scene: Scene, layer: LayerAttention) -> Change | None:
    """A map to paint on, and what was painted."""
    side, title = scene.on_photo(layer), scene.title(layer)
    if side.field is None:
        there = [scene.title(one) for one in scene.layers.values() if scene.on_photo(one).field]
        st.info(
            plain(
                f"There is nothing to paint on: {title} has no map whose cells lie on the photo. "
                + (f"Choose another layer, such as {there[-1]}." if there else "")
            )
        )
        return None
    low, high = painter.span(side.field)
    if (low, high) != (0, 1):
        st.caption(
            f"This layer's map is not kept between 0 and 1, so you can paint from {low:g} to "
            f"{high:g}, as far as it goes here: 1 lets features through as they are, more makes "
            "them larger, and less than 0 reverses their sign."
        )
    by = painter.draw(scene, side, key="whatif_painter")
    gates: tuple[tuple[str, GateKind], ...] = ((layer.name, "spatial"),)
    return Change(gates, by, telling.gates_of(["spatial"], [title], "", False))


def _replacement() -> tuple[str, Replacement]:
    """What stands in a gate's place: its name, and for what is painted the mean, in turn."""
    kind: str = st.selectbox(
        "Replace each with",
        list(REPLACEMENTS),
        format_func=REPLACEMENTS.__getitem__,
        width=250,
        help=hint("gate", "distribution shift"),
        **control("by", "mean", among=REPLACEMENTS),
    )
    by: Replacement = {"one": Constant(1.0), "zero": Constant(0.0)}.get(kind, Mean())
    if kind == "number":
        tied = control("number", 0.5, between=(0, 1))
        by = Constant(float(st.slider("Number", 0.0, 1.0, step=0.01, width=250, **tied)))
    elif kind == "shuffled":
        tied = control("seed", 0, between=(0, MOST_SEED))
        by = Shuffled(seed=int(st.number_input("Seed", 0, MOST_SEED, step=1, width=130, **tied)))
    return kind, by


def _segments(label: str, name: str, options: dict[str, str], default: str) -> str:
    chosen: str = st.segmented_control(
        label,
        list(options),
        format_func=options.__getitem__,
        required=True,
        **control(name, default, among=options),
    )
    return chosen


def _has(layer: LayerAttention, kind: GateKind) -> bool:
    return (layer.channel if kind == "channel" else layer.spatial) is not None
