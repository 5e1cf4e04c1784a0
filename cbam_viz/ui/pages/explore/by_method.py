"""What another method makes of a layer, as the second picture: which method, layer and class."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from cbam_viz.render import Scale
from cbam_viz.ui import session, words
from cbam_viz.ui.drawing.found import numbered
from cbam_viz.ui.drawing.on_photo import Field, OnPhoto
from cbam_viz.ui.parts.methods import stages
from cbam_viz.ui.parts.progress import progress
from cbam_viz.ui.scene import Scene

if TYPE_CHECKING:
    from cbam_viz.detections import Detections
    from cbam_viz.methods import Box, MethodMap

    Target = int | Box | None


def with_cost(name: str) -> str:
    """A method's title, and behind it what it takes where that is much."""
    from cbam_viz.methods import METHODS

    method = METHODS[name]
    return f"{method.title} ({method.cost})" if method.sweeps else method.title


def ask(scene: Scene, method: str, layer: str, target: Target) -> MethodMap:
    """The map, from memory or made now; a bar counts the forwards of a method that takes many.

    Raises MethodError. Any other choice of the visitor's ends the work.
    """
    began = time.monotonic()
    with progress(f"{with_cost(method)}:") as report:

        def between(done: int, of: int) -> None:
            rest = (time.monotonic() - began) / done * (of - done)
            much = f"{done:,} of {of:,}, about {rest:.0f} s to go. Any other choice stops it."
            report(done / of, much)

        return scene.by_method(method, layer, target, between)


def layer_names(scene: Scene) -> dict[str, str]:
    """Layers that a map can be made of, and what to call them: those with gates, then stages."""
    found = {name: scene.title(layer) for name, layer in scene.layers.items()}
    return found | {name: f"the output of {name}" for name in stages(scene.loaded)}


def choose_target(scene: Scene) -> Target:
    """The class, or of a detector the box, that a map is for; None for the first that is listed."""
    found = scene.analysis.detections
    if found is None or scene.analysis.predictions:
        return choose_class(scene)
    return choose_box(found) if len(found) else None


def choose_box(found: Detections) -> Box | None:
    """A list of what was found, as it is listed, whose first entry is the highest score."""
    from cbam_viz.methods import Box

    one = "Region" if found.kind == "regions" else "Box"
    titles = {place + 1: numbered(found, place) for place in range(len(found))}
    options = [None, *titles]
    chosen = session.memory().settings.box2
    if chosen not in options:
        session.note(f"{one} {chosen} is not on this photo: {len(found)} were found.")
        session.change(box2=None)
    highest = f"{titles[int(found.scores.argmax()) + 1]} (highest score)"
    picked: int | None = st.selectbox(
        f"{one} that the map is for",
        options,
        format_func=lambda number: highest if number is None else titles[number],
        placeholder=highest,
        **session.control("box2", among=options),
    )
    return None if picked is None else Box(picked)


def choose_class(scene: Scene) -> int | None:
    """A list of classes whose first entry is the predicted one; None for that."""
    predictions = scene.analysis.predictions
    if not predictions:
        return None
    classes = scene.analysis.classes or ()
    names = {str(one.index): one.label for one in predictions}
    if predictions[0].label in classes:  # they are known, and as many as there are scores
        names |= {str(index): name for index, name in enumerate(classes)}
    titles = words.distinct(names)
    options = [None, *map(int, titles)]
    chosen = session.memory().settings.class2
    if chosen not in options:
        session.note(f"Class {chosen} cannot be chosen here, so the map is for the predicted one.")
        session.change(class2=None)
    same = f"{predictions[0].label} (predicted)"
    picked: int | None = st.selectbox(
        "Class that the map is for",
        options,
        format_func=lambda index: same if index is None else titles[str(index)],
        placeholder=same,
        **session.control("class2", among=options),
    )
    return picked


def on_photo(scene: Scene, found: MethodMap) -> OnPhoto:
    """The map as a picture on the scene's photo, on its own scale from 0."""
    from cbam_viz.methods import METHODS

    title = METHODS[found.method].title
    of = layer_names(scene).get(found.layer, found.layer)
    whole = title + (f" of {of}" if of else "")
    whole += f" for {found.target_name}" if found.score_kind else ""
    low, high = found.span
    values = words.range_on_photo(found.values, found.cells, scene.analysis.geometry)
    return OnPhoto(
        name="_".join(filter(None, (found.method, found.layer))),
        title=whole,
        provenance=f"{scene.loaded.name} · {scene.photo.name}",
        alt=f"{scene.photo.name} with {whole}: values {values}",
        photo=scene.photo,
        geometry=scene.analysis.geometry,
        field=Field(found.values, found.cells, Scale("per map", low, high), title),
        key=(scene.key, found.method, found.layer, found.target, found.box),
        found=_only(scene.analysis.detections, found.box),
    )


def _only(found: Detections | None, box: int | None) -> Detections | None:
    """The box that a map is for, which is outlined on it; None if it is for no box."""
    return None if found is None or box is None else found.chosen(np.array([box - 1]))


def describe(found: MethodMap) -> None:
    """What the map is of, and what is to be known of it."""
    from cbam_viz.methods import METHODS, NO_CLASS

    method = METHODS[found.method]
    score, counted = "", f" ({found.forwards:,} here)" if method.sweeps else ""
    if found.score is not None:
        score = f", which has the {found.score_kind} {words.number(found.score)}"
    st.caption(
        words.plain(
            f"{method.title} ({method.source}) of {found.of}"
            + (f" for {found.target_name}{score}" if found.score_kind else ", of no class")
            + f". It takes {method.cost}{counted}; its values have no fixed range."
        )
    )
    if found.is_flat:
        st.info(
            f"The map is {words.number(float(found.values.flat[0]))} everywhere, so it says "
            "nothing of any place. Gated features have both signs, and most methods keep what "
            "speaks for the class alone: the output of a stage may show more.",
            icon=":material/info:",
        )
    st.caption(method.note if method.of_gates else NO_CLASS)
