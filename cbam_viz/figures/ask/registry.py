"""What can be asked for: layouts and columns, by the names that specifications have for them.

Each entry names the module that answers it. That of a layout is found in `content`, where its
`content(spec, study)` computes what is shown, and in `draw`, where its `draw(spec, study, content)`
draws that. That of a column is found in `content.columns`. They are named and not imported, so that
the command line and specifications know all names without loading what draws. A new layout or
column is its modules and a line here; tests go through all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Source = Literal["photos", "store", "evaluation"]


@dataclass(frozen=True)
class Layout:
    """One way to arrange a figure."""

    title: str
    """In the app."""
    about: str
    """On the command line, after its name."""
    modules: Mapping[str, str] = field(default_factory=dict)
    """The module of each variant (see `FigureSpec.variant`); empty: it is called as the layout."""
    most_photos: int | None = None
    """None where photos are averaged, so that any number can be read."""
    of: tuple[Source, ...] = ("photos",)
    """What it is made of: photos that are shown to networks, a store of `batch`, or either (content
    of a store is computed in `content.stores`), or what `evaluate` measured."""
    stores: int = 1
    """How many, of a layout of stores."""
    of_networks: bool = False
    """Whether it shows one network beside the next, such as the epochs of a training."""


_STORE: tuple[Source, ...] = ("store",)

LAYOUTS: Mapping[str, Layout] = {
    "grid": Layout("Grid", "images as rows", most_photos=64),
    "depth": Layout("All layers", "one image, all layers", most_photos=1),
    "channels": Layout(
        "Channel weights",
        "channel weights",
        {"layer": "layers", "class": "classes", "curves": "curves"},
        of=("photos", "store"),
    ),
    "channel": Layout(
        "One channel", "one channel before and after its gates", {"": "gated"}, most_photos=64
    ),
    "epochs": Layout(
        "Maps by epoch",
        "maps of each network, or epoch of a training, side by side",
        most_photos=16,
        of_networks=True,
    ),
    "training": Layout(
        "Numbers by epoch",
        "mean and saturation of each layer's gates over networks, or epochs",
        of_networks=True,
    ),
    "evaluation": Layout("Evaluation", "what cbam-viz evaluate measured", of=("evaluation",)),
    "variance": Layout(
        "Shares of variance", "what the variance of each gate of a store is made of", of=_STORE
    ),
    "distances": Layout("Distances", "distances between the classes of a store", of=_STORE),
    "extremes": Layout(
        "Photos of a channel",
        "the photos of a store where a channel is highest and lowest",
        {"": "ranked"},
        of=_STORE,
    ),
    "nearest": Layout(
        "Nearest photos",
        "the photos of a store that are nearest to one of them",
        {"": "ranked"},
        of=_STORE,
    ),
    "unusual": Layout(
        "Unusual photos", "the most unusual photos of a store", {"": "ranked"}, of=_STORE
    ),
    "against": Layout(
        "A photo against it",
        "a photo's channel weights against a store's mean and spread",
        most_photos=1,
        of=_STORE,
    ),
    "stores": Layout("Two stores", "what changed from one store to another", of=_STORE, stores=2),
}
OFFERED: Mapping[str, Layout] = {
    name: one for name, one in LAYOUTS.items() if one.of != ("evaluation",)
}
"""The layouts to choose from; the other comes with `cbam-viz evaluate`."""


@dataclass(frozen=True)
class ColumnKind:
    """What a column of a grid shows."""

    module: str
    takes: Literal["", "layer", "stage"] = ""
    """What it is named with: `map:LAYER`."""
    predicted: bool = False
    """Whether it says what the network predicts."""
    features: bool = False
    """Whether it shows features, which are captured only where they are asked for."""
    places: tuple[str, ...] = ()
    """What is written after the layer: `energy:LAYER:before`."""
    maps: bool = False
    """Whether it shows maps on the photo."""
    made: bool = False
    """Whether it takes more of a network than the forward that all share: `content.made`."""
    of_class: bool = False
    """Whether it is for a class, which may be named after an @: `gradcam:LAYER@CLASS`."""
    optional: bool = False
    """Whether what it takes may be left out."""
    of_gates: bool = False
    """Whether it is made of the gates of all layers."""

    @property
    def needs_gates(self) -> bool:
        """Whether a network without gates has nothing to show here."""
        return self.of_gates or (bool(self.takes) and not self.made)


def _method(*, of_class: bool = True) -> ColumnKind:
    """Another method's maps of a layer."""
    return ColumnKind("method", "layer", maps=True, made=True, of_class=of_class, optional=True)


COLUMNS: Mapping[str, ColumnKind] = {
    "input": ColumnKind("input"),
    "map": ColumnKind("map", "layer", maps=True),
    "stage": ColumnKind("stage", "stage", maps=True),
    "channels": ColumnKind("channels", "layer"),
    "energy": ColumnKind("energy", "layer", features=True, places=("before", "after"), maps=True),
    "whole": ColumnKind("method", maps=True, made=True, of_gates=True),
    "gradcam": _method(),
    "gradcam++": _method(),
    "layercam": _method(),
    "scorecam": _method(),
    "eigencam": _method(of_class=False),
    "occlusion": ColumnKind("method", maps=True, made=True, of_class=True),
    "effect": ColumnKind("effect", made=True, of_class=True, of_gates=True),
    "detections": ColumnKind("found"),
    "boxes": ColumnKind("found"),
    "mask": ColumnKind("found"),
    "class": ColumnKind("predicted", predicted=True),
    "probability": ColumnKind("predicted", predicted=True),
    "prediction": ColumnKind("predicted", predicted=True),
}
