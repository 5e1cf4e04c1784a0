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


def is_wanted(settings: Settings) -> bool:
    """True if a second picture stands beside the first."""
    return any(getattr(settings, name) is not None for name in NOTHING)


def offer(scene: Scene, layer: LayerAttention) -> None:
    """A row of what can be set beside the picture at one click, and taken away at another."""
    options = _quick(scene, layer)
    labels = {key: label for key, (label, _) in options.items()}
    st.session_state[QUICK] = _current(list(options), scene.settings)
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
        network = _choose_network(scene)
        photo = _choose_photo(scene.settings)
    with st.container(key="busy_beside"), st.spinner("Running the network on the photo …"):
        beside = _scene(scene, network, photo)
    layer = _layer(beside, first)
    if layer is not None:
        names = list(beside.layers)
        layer_slot.selectbox(
            "Layer beside it",
            names,
            format_func=lambda name: words.layer_option(
                beside.layers[name], beside.titles.layers[name]
            ),
            **session.control("layer2", among=names, shown=layer.name),
        )
    return beside, layer


def credit(settings: Settings) -> str:
    """Who made the photo beside the first; empty if it is the same, or the visitor's own."""
    for sample in samples():
        if sample.name == settings.image2:
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


def _current(options: list[str], chosen: Settings) -> str | None:
    """Which of the quick choices the settings come nearest to."""
    if chosen.model2 is not None:
        return chosen.model2 if chosen.model2 in options else None
    if chosen.image2 is not None:
        return PHOTO
    return LAYER if chosen.layer2 is not None else None


def _take(meanings: dict[str, dict[str, str | None]]) -> None:
    session.choose(**meanings.get(st.session_state[QUICK], NOTHING))


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


def _choose_network(scene: Scene) -> str | None:
    """The network's file; None for the first picture's network."""
    chosen = scene.settings.model2
    titles = networks.titles(_other_networks(scene))
    if chosen is not None and chosen not in titles:
        if chosen == session.memory().link.model2 != _file(scene):
            session.note("The network that the link sets beside the first is not here.")
        session.change(model2=None)
    return _select("Network beside it", "model2", "the same network", titles)


def _choose_photo(settings: Settings) -> str | None:
    """The photo's name among the choices; None for the first picture's photo."""
    chosen, shown = settings.image2, photos.choice()
    titles = {name: title for name, title in photos.choices().items() if name != shown}
    if chosen is not None and chosen not in titles:
        if chosen == session.memory().link.image2 != settings.image:
            session.note(
                "A link does not carry uploaded photos, so none stands beside the first."
                if chosen.startswith(UPLOAD)
                else "The photo that the link sets beside the first is not among the samples."
            )
        session.change(image2=None)
    return _select("Photo beside it", "image2", "the same photo", titles)


def _select(label: str, name: str, same: str, titles: dict[str, str]) -> str | None:
    """A list whose first entry stands for what the first picture has, which is no choice."""
    options = [None, *titles]
    picked: str | None = st.selectbox(
        label,
        options,
        format_func=lambda key: same if key is None else titles[key],
        **session.control(name, among=options),
    )
    return picked


def _scene(scene: Scene, network: str | None, photo: str | None) -> Scene:
    """The network and the photo that were chosen, from memory where that has been done."""
    if network is None and photo is None:
        return scene
    loaded, request = scene.loaded, scene.request
    if network is not None:
        request = networks.request_for(networks.folder() / network)
        loaded = networks.load(request)
    shown = scene.photo if photo is None else photos.photo_of(photo)
    sample = not (photo or photos.choice()).startswith(UPLOAD)
    return make_scene_beside(scene, shown, loaded, request, sample=sample)


def _layer(beside: Scene, first: LayerAttention) -> LayerAttention | None:
    """The layer that the visitor picked for this side; else the first's, or what suits the photo.

    None for a network without attention.
    """
    layers, wanted = beside.layers, beside.settings.layer2
    if not layers:
        return None
    if wanted is not None and wanted not in layers:
        if wanted == session.memory().link.layer2:
            session.note("The layer that the link sets beside the first is not in its network.")
        wanted = _neighbour(list(layers), first.name) if first.name in layers else None
        session.change(layer2=wanted)
    wanted = wanted or first.name
    if wanted in layers:
        return layers[wanted]
    return layer_to_show(layers.values(), geometry=beside.analysis.geometry)
