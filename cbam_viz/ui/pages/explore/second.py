"""What stands beside the first picture: another layer, network, photo or method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.images import samples
from cbam_viz.models.metadata import are_twins
from cbam_viz.statistics import layer_to_show
from cbam_viz.ui import session, words
from cbam_viz.ui.drawing.on_photo import OnPhoto
from cbam_viz.ui.pages.explore import by_method
from cbam_viz.ui.parts import methods
from cbam_viz.ui.scene import Scene, make_scene_beside
from cbam_viz.ui.session.link import UPLOAD, Settings
from cbam_viz.ui.sidebar import networks, photos

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from cbam_viz.methods import MethodMap
    from cbam_viz.models import CheckpointEntry

DIFFERENCES = ("layer2", "model2", "image2", "method2")
NOTHING: dict[str, str | int | None] = {**dict.fromkeys((*DIFFERENCES, "class2", "box2"))}
LAYER, PHOTO, METHOD = "layer", "photo", "method"
WHOLE = "whole"
"""One map of all spatial gates: a choice of its own, and the method's name."""
QUICK = "compare"
"""Key of the row of quick choices."""
MOST_QUICK = 3
"""Networks that are one click away; the list of networks has all of them."""


def is_wanted(settings: Settings) -> bool:
    """True if a second picture stands beside the first."""
    return any(getattr(settings, name) is not None for name in DIFFERENCES)


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


@dataclass(frozen=True, eq=False)
class Beside:
    """The second picture: its network and photo, and what is drawn."""

    scene: Scene
    picture: OnPhoto
    layer: LayerAttention | None
    """None for a network without attention, or where another method made the picture."""
    found: MethodMap | None = None
    """What another method made."""


def choose(scene: Scene, first: LayerAttention) -> Beside:
    """Controls for the second picture, and what they make of it.

    Raises CbamVizError if the network cannot be loaded or cannot take the photo, or if the method
    makes no map of it.
    """
    layer_slot = st.container()
    with st.container(horizontal=True, gap="small"):
        network = _choose_network(scene)
        photo = _choose_photo(scene.settings)
        method = _choose_method(scene.settings)
    with st.container(key="busy_beside"), st.spinner("Running the network on the photo …"):
        beside = _scene(scene, network, photo)
    if method is not None:
        return _by_method(beside, first, method, layer_slot)
    options = {
        name: words.layer_option(layer, beside.titles.layers[name])
        for name, layer in beside.layers.items()
    }
    name = _choose_layer(beside, first, options, layer_slot)
    layer = None if name is None else beside.layers[name]
    return Beside(beside, beside.on_photo(layer), layer)


def _by_method(beside: Scene, first: LayerAttention, method: str, slot: DeltaGenerator) -> Beside:
    from cbam_viz.methods import METHODS

    name = ""
    if METHODS[method].of_layer:
        options = {
            one: title if one in title else f"{title} · {one}"
            for one, title in by_method.layer_names(beside).items()
        }
        name = _choose_layer(beside, first, options, slot) or ""
    target = by_method.choose_target(beside) if METHODS[method].of_class else None
    with st.container(key="busy_method"), st.spinner("Asking the network …"):
        found = by_method.ask(beside, method, name, target)
    return Beside(beside, by_method.on_photo(beside, found), None, found)


def credit(settings: Settings) -> str:
    """Who made the photo beside the first; empty if it is the same, or the visitor's own."""
    for sample in samples():
        if sample.name == settings.image2:
            return f"Second photo: {sample.credit}, {sample.licence}"
    return ""


Wanted = dict[str, str | int | None]


def _quick(scene: Scene, layer: LayerAttention) -> dict[str, tuple[str, Wanted]]:
    """What is one click away: its label, and the settings that it stands for."""
    options: dict[str, tuple[str, Wanted]] = {}
    if neighbour := _neighbour(list(scene.layers), layer.name):
        options[LAYER] = "Another layer", NOTHING | {"layer2": neighbour}
    for entry in _other_networks(scene)[:MOST_QUICK]:
        options[entry.path.name] = _label(entry, scene), NOTHING | {"model2": entry.path.name}
    others = [name for name in photos.choices() if name != photos.choice()]
    if others:
        options[PHOTO] = "Another photo", NOTHING | {"image2": others[0]}
    if (titles := methods.offered()) and (scene.analysis.predictions or scene.analysis.detections):
        name, title = next(iter(titles.items()))
        options[METHOD] = title, NOTHING | {"method2": name}
    if _maps(scene) > 1:
        options[WHOLE] = methods.offered()[WHOLE], NOTHING | {"method2": WHOLE}
    return options


def _current(options: list[str], chosen: Settings) -> str | None:
    """Which of the quick choices the settings come nearest to."""
    if chosen.method2 is not None:
        own = WHOLE if chosen.method2 == WHOLE else METHOD
        return own if own in options else None
    if chosen.model2 is not None:
        return chosen.model2 if chosen.model2 in options else None
    if chosen.image2 is not None:
        return PHOTO
    return LAYER if chosen.layer2 is not None else None


def _take(meanings: dict[str, Wanted]) -> None:
    session.choose(**meanings.get(st.session_state[QUICK], NOTHING))


def _maps(scene: Scene) -> int:
    """How many layers have a map."""
    return sum(layer.spatial is not None for layer in scene.layers.values())


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
    return file is not None and are_twins(file, scene.loaded.metadata, entry)


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
            session.note("The link's second network is not here.")
        session.change(model2=None)
    return _select("Second network", "model2", "the same", titles)


def _choose_photo(settings: Settings) -> str | None:
    """The photo's name among the choices; None for the first picture's photo."""
    chosen, shown = settings.image2, photos.choice()
    titles = {name: title for name, title in photos.choices().items() if name != shown}
    if chosen is not None and chosen not in titles:
        if chosen == session.memory().link.image2 != settings.image:
            session.note(
                "A link does not carry uploaded photos, so there is no second one."
                if chosen.startswith(UPLOAD)
                else "The link's second photo is not among the samples."
            )
        session.change(image2=None)
    return _select("Second photo", "image2", "the same", titles)


def _choose_method(settings: Settings) -> str | None:
    """What makes the second picture; None for the gates."""
    titles = methods.offered(counted=True)
    if settings.method2 is not None and settings.method2 not in titles:
        if settings.method2 == session.memory().link.method2:
            session.note("The link's method for the second picture is not offered here.")
        session.change(method2=None)
    titles = {name: by_method.with_cost(name) for name in titles}
    return _select("Map from", "method2", "the gates", titles)


def _select(label: str, name: str, same: str, titles: dict[str, str]) -> str | None:
    """A list whose first entry stands for what the first picture has, which is no choice."""
    options = [None, *titles]
    picked: str | None = st.selectbox(
        label,
        options,
        format_func=lambda key: same if key is None else titles[key],
        placeholder=same,
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


def _choose_layer(
    beside: Scene, first: LayerAttention, options: dict[str, str], slot: DeltaGenerator
) -> str | None:
    """The layer that the visitor picked for this side; else the first's, or what suits the photo.

    None if there are none.
    """
    if not options:
        return None
    wanted, names = beside.settings.layer2, list(options)
    if wanted is not None and wanted not in options:
        if wanted == session.memory().link.layer2:
            session.note("The link's second layer is not in its network.")
        wanted = _neighbour(names, first.name) if first.name in options else None
        session.change(layer2=wanted)
    name = wanted or first.name
    if name not in options:
        layers, geometry = beside.layers.values(), beside.analysis.geometry
        name = layer_to_show(layers, geometry=geometry).name if beside.layers else names[-1]
    slot.selectbox(
        "Second layer",
        names,
        format_func=options.__getitem__,
        **session.control("layer2", among=names, shown=name),
    )
    return name
