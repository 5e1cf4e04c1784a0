"""What stands beside the first picture: another layer, another network, another photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.images import samples
from cbam_viz.statistics import layer_to_show
from cbam_viz.ui import session, words
from cbam_viz.ui.scene import Scene, make_scene_beside
from cbam_viz.ui.session.link import UPLOAD, Settings
from cbam_viz.ui.sidebar import networks, photos

if TYPE_CHECKING:
    from cbam_viz.models import CheckpointEntry

NOTHING = {"layer2": None, "model2": None, "image2": None}
LAYER, PHOTO = "layer", "photo"
QUICK = "compare"
"""Key of the row of quick choices."""
MOST_QUICK = 3
"""Networks that are one click away; the list of networks has all of them."""
SAME = "same"
"""Stands in a list for what the first picture has."""


def is_wanted() -> bool:
    """True if a second picture stands beside the first."""
    chosen = session.settings()
    return any(getattr(chosen, name) is not None for name in NOTHING)


def offer(scene: Scene, layer: LayerAttention) -> None:
    """A row of what can be set beside the picture at one click, and taken away at another."""
    options = _quick(scene, layer)
    labels = {key: label for key, (label, _) in options.items()}
    st.session_state[QUICK] = _current(list(options))
    st.pills(
        "Compare with",
        list(options),
        format_func=labels.__getitem__,
        key=QUICK,
        on_change=_take,
        args=({key: settings for key, (_, settings) in options.items()},),
        wrap=True,
    )


def choose(scene: Scene, first: LayerAttention) -> tuple[Scene, LayerAttention | None]:
    """Controls for the second picture; its network and photo, and the layer that it shows.

    Raises CbamVizError if the network cannot be loaded or cannot take the photo.
    """
    layer_slot = st.container()
    with st.container(horizontal=True, gap="small"):
        _choose_network(scene)
        _choose_photo()
    with st.container(key="busy_beside"), st.spinner("Running the network on the photo …"):
        beside = _scene(scene)
    layer = _layer(beside, first)
    if layer is not None:
        names = list(beside.layers)
        layer_slot.selectbox(
            "Layer beside it",
            names,
            format_func=lambda name: words.layer_option(
                beside.layers[name], beside.titles.layers[name]
            ),
            **session.control("layer2", names, shown=layer.name),
        )
    return beside, layer


def credit() -> str:
    """Who made the photo beside the first; empty if it is the same, or the visitor's own."""
    for sample in samples():
        if sample.name == session.settings().image2:
            return f"Photo beside it: {sample.credit}, {sample.licence}"
    return ""


def _quick(scene: Scene, layer: LayerAttention) -> dict[str, tuple[str, dict[str, str | None]]]:
    """What is one click away: its label, and the settings that it stands for."""
    options: dict[str, tuple[str, dict[str, str | None]]] = {}
    if neighbour := _neighbour(list(scene.layers), layer.name):
        options[LAYER] = "Another layer", NOTHING | {"layer2": neighbour}
    for entry in _other_networks(scene)[:MOST_QUICK]:
        options[entry.path.name] = _label(entry, scene), NOTHING | {"model2": entry.path.name}
    others = [name for name in photos.choices() if name != photos.choice()]
    if others:
        options[PHOTO] = "Another photo", NOTHING | {"image2": others[0]}
    return options


def _current(options: list[str]) -> str | None:
    """Which of the quick choices the settings come nearest to."""
    chosen = session.settings()
    if chosen.model2 is not None:
        return chosen.model2 if chosen.model2 in options else None
    if chosen.image2 is not None:
        return PHOTO
    return LAYER if chosen.layer2 is not None else None


def _take(meanings: dict[str, dict[str, str | None]]) -> None:
    session.memory().link = Settings()
    session.change(**meanings.get(st.session_state[QUICK], NOTHING))


def _neighbour(names: list[str], name: str) -> str | None:
    """The layer after this one, or before it if there is none."""
    position = names.index(name)
    near = names[position + 1 : position + 2] or names[max(0, position - 1) : position]
    return near[0] if near else None


def _other_networks(scene: Scene) -> list[CheckpointEntry]:
    """The networks of the folder but the one that is shown: those made to be compared first."""
    found = [entry for entry in networks.entries_beside() if entry.path.name != _file(scene)]
    return sorted(found, key=lambda entry: not _is_twin(entry, scene))


def _file(scene: Scene) -> str | None:
    """Name of the network's file in the folder; None for any other network."""
    return scene.request.path.name if scene.request.path else None


def _is_twin(entry: CheckpointEntry, scene: Scene) -> bool:
    file = _file(scene)
    return file is not None and (
        entry.metadata.get("compare_with") == file
        or scene.loaded.metadata.get("compare_with") == entry.path.name
    )


def _label(entry: CheckpointEntry, scene: Scene) -> str:
    if _is_twin(entry, scene):
        without = networks.is_plain_twin(entry)
        return "The same network without CBAM" if without else "The same network with CBAM"
    return words.plain(entry.title)


def _choose_network(scene: Scene) -> None:
    chosen = session.settings().model2
    titles = networks.titles(_other_networks(scene))
    if chosen is not None and chosen not in titles:
        if chosen == session.memory().link.model2 != _file(scene):
            session.note("The network that the link sets beside the first is not here.")
        session.change(model2=None)
    _select("Network beside it", "model2", {SAME: "the same network"} | titles)


def _choose_photo() -> None:
    chosen = session.settings()
    shown = photos.choice()
    titles = {name: title for name, title in photos.choices().items() if name != shown}
    if chosen.image2 is not None and chosen.image2 not in titles:
        if chosen.image2 == session.memory().link.image2 != chosen.image:
            session.note(
                "A link does not carry uploaded photos, so none stands beside the first."
                if chosen.image2.startswith(UPLOAD)
                else "The photo that the link sets beside the first is not among the samples."
            )
        session.change(image2=None)
    _select("Photo beside it", "image2", {SAME: "the same photo"} | titles)


def _select(label: str, name: str, titles: dict[str, str]) -> None:
    key = f"set_{name}"
    st.session_state[key] = getattr(session.settings(), name) or SAME
    st.selectbox(
        label,
        list(titles),
        format_func=titles.__getitem__,
        key=key,
        on_change=_take_one,
        args=(name, key, tuple(titles)),
    )


def _take_one(name: str, key: str, among: tuple[str, ...]) -> None:
    """Take what was picked from a list; a list that has changed meanwhile says nothing."""
    picked = st.session_state[key]
    if picked in among:
        session.memory().link = Settings()
        session.change(**{name: None if picked == SAME else picked}, **session.RESETS.get(name, {}))


def _scene(scene: Scene) -> Scene:
    """The network and the photo that were chosen, from memory where that has been done."""
    chosen = session.settings()
    if chosen.model2 is None and chosen.image2 is None:
        return scene
    loaded, request = scene.loaded, scene.request
    if chosen.model2 is not None:
        request = networks.request_for(networks.folder() / chosen.model2)
        loaded = networks.load(request)
    photo = scene.photo if chosen.image2 is None else photos.photo_of(chosen.image2)
    sample = not (chosen.image2 or photos.choice()).startswith(UPLOAD)
    return make_scene_beside(photo, loaded, request, sample=sample)


def _layer(beside: Scene, first: LayerAttention) -> LayerAttention | None:
    """The layer that the visitor picked for this side; else the first's, or what suits the photo.

    None for a network without attention.
    """
    layers, wanted = beside.layers, session.settings().layer2
    if not layers:
        return None
    if wanted is not None and wanted not in layers:
        if wanted == session.memory().link.layer2:
            session.note("The layer that the link sets beside the first is not in its network.")
        session.change(
            layer2=_neighbour(list(layers), first.name) if first.name in layers else None
        )
    wanted = session.settings().layer2 or first.name
    if wanted in layers:
        return layers[wanted]
    return layer_to_show(layers.values(), geometry=beside.analysis.geometry)
