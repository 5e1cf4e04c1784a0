"""Maps that another method makes of each side, for one class: of networks without attention too.

Values of such a method have no common unit in two networks, so each map is on a scale of its own
and there is no difference. How far the maps agree hangs on no unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from cbam_viz.comparison import Comparison
from cbam_viz.evaluation.agreement import agreement
from cbam_viz.models import LoadedModel
from cbam_viz.render import Scale
from cbam_viz.ui import words
from cbam_viz.ui.drawing.on_photo import Field, OnPhoto
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.pages.compare import frame
from cbam_viz.ui.pages.compare.sides import Look
from cbam_viz.ui.parts import components, display_controls
from cbam_viz.ui.parts.methods import stages
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control

if TYPE_CHECKING:
    from cbam_viz.methods import MethodMap

REASON = (
    "Values of this method have no unit that two networks or photos share, so nothing is "
    "subtracted."
)


def draw(scene: Scene, looks: Sequence[Look], found: Comparison, name: str, method: str) -> None:
    """A map for each side, each on its own scale, and how far they agree with the first's."""
    from cbam_viz.methods import METHODS

    label = _choose_class(looks) if METHODS[method].of_class else ""
    made: list[OnPhoto | None] = []
    told: list[str] = []
    for number, look in enumerate(looks):
        made.append(None)
        with boundary(), st.container(key=f"busy_method_{number}"), st.spinner("Asking …"):
            drawn, text = _one(scene, look, found, number, name, method=method, label=label)
            made[-1] = drawn
            told.append(f"{look.side.title}: {text}")
    sides = [one for one in made if one is not None]
    if not sides:
        return
    components.frames(
        {
            "linked": frame.linked(found, sides),
            "bars": [],
            "sides": [_column(scene, one) for one in sides],
        },
        key="compare_frames",
    )
    st.caption(words.plain(f"{'. '.join(told)}. {REASON} {METHODS[method].note}".strip()))
    _agreement(scene, found, made)
    display_controls.colours()


def _choose_class(looks: Sequence[Look]) -> str:
    """A class that one of the networks says, by its name; at first what the first one says."""
    labels = list(dict.fromkeys(name for look in looks for name in _said(look)))
    if not labels:
        return ""
    picked: str = st.selectbox(
        "Class", labels, width=250, **control("for", labels[0], among=labels)
    )
    return picked


def _said(look: Look) -> list[str]:
    """The classes that a network says, of the photo or of what is on it, the surest first."""
    found = look.analysis.detections
    if found is None or look.analysis.predictions:
        return [one.label for one in look.analysis.predictions]
    return [found.labelled[place] for place in (-found.scores).argsort(kind="stable")]


def _one(
    scene: Scene,
    look: Look,
    found: Comparison,
    number: int,
    name: str,
    *,
    method: str,
    label: str,
) -> tuple[OnPhoto, str]:
    """A side's map, and what it is of. Raises MethodError."""
    from cbam_viz.methods import METHODS

    network = look.network()
    place = _place(network, found, number, name) if METHODS[method].of_layer else ""
    target = _target(look, label) if METHODS[method].of_class else None
    own = replace(
        scene,
        photo=look.analysis.photo,
        loaded=network,
        request=look.request,
        analysis=look.analysis,
    )
    one = own.by_method(method, place, target)
    values = words.range_on_photo(one.values, one.cells, look.analysis.geometry)
    of = f" of the output of {place}" if place else ""
    title = f"{METHODS[method].title}{of}" + (f" for {one.target_name}" if one.score_kind else "")
    side = OnPhoto(
        name=place,
        title=title,
        provenance=look.side.title,
        alt=f"{look.analysis.photo.name} with {title} in {look.side.title}: values {values}",
        photo=look.analysis.photo,
        geometry=look.analysis.geometry,
        field=Field(one.values, one.cells, Scale("per map", *one.span), METHODS[method].title),
        key=(look.key, method, place, target),
    )
    return side, _in_words(one, title, label)


def _in_words(one: MethodMap, title: str, label: str) -> str:
    score = f", {one.score_kind} {words.number(one.score)}" if one.score is not None else ""
    other = f" (it does not know {label} by that name)" if _differs(one, label) else ""
    flat = ", the same everywhere, so it says nothing about places" if one.is_flat else ""
    return f"{title}{other}{score}{flat}"


def _differs(one: MethodMap, label: str) -> bool:
    name = one.target_name.partition(", ")[2] if one.box is not None else one.target_name
    return bool(label and one.score_kind) and name != label


def _target(look: Look, label: str) -> int | str | None:
    """The class of that name in a side's network; None, its own prediction, if it has none.

    Of a detector it is the name, which stands for the box of its highest score.
    """
    if look.analysis.detections is not None and not look.analysis.predictions:
        return label if label in _said(look) else None
    known = {one.label: one.index for one in look.analysis.predictions}
    classes = look.analysis.classes or ()
    if label in known:
        return known[label]
    return classes.index(label) if label in classes else None


def _place(network: LoadedModel, found: Comparison, number: int, name: str) -> str:
    """The stage that the layer is in: networks with and without gates both have its output."""
    modules = {module for module, _ in network.model.named_modules() if module}
    layer, first = found.layer(number, name), found.layer(found.reference, name)
    names = [one.stage for one in (layer, first) if one is not None and one.stage in modules]
    names += reversed(stages(network))
    return next(iter(names), "" if layer is None else layer.name)


def _column(scene: Scene, side: OnPhoto) -> dict[str, Any]:
    assert side.field is not None
    low, high = side.field.scale.range_label
    return frame.column(scene, side, side.provenance, f"colours from {low} to {high}, its own")


def _agreement(scene: Scene, found: Comparison, made: Sequence[OnPhoto | None]) -> None:
    """Of each side's map with the first's, where both are of one photo."""
    first = made[found.reference]
    if first is None or first.field is None:
        return
    one = first.field
    for number in found.others:
        side = made[number]
        if side is None or side.field is None or side.photo.sha256 != first.photo.sha256:
            continue
        other, beside = side.field, side.geometry
        if not words.are_numbers(one.values, other.values):
            continue

        def compare(other: Field = other, beside: Any = beside) -> str:
            maps = (one.values, one.cells), (other.values, other.cells)
            return words.agreement(agreement(*maps, first.geometry, of_other=beside))

        text = scene.results.pictures.get_or_make(("agreement", first.key, side.key), compare)
        st.caption(f"{words.plain(found.sides[number].title)}: {text}")
