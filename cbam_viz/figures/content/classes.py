"""Channel weights of classes: each class's mean over its photos, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import (
    channel_weights,
    find_layer,
    last_channel_layer,
    settled_layers,
    short_names,
    top_class,
)
from cbam_viz.figures.content.sentences import (
    channels_sentence,
    nan_sentence,
    outside_sentence,
    range_sentence,
)
from cbam_viz.figures.content.values import Floats, Shown, Study, drawn_channels
from cbam_viz.render import Scale, absolute_scale, shared_scale

UNKNOWN = "all photos"


@dataclass(frozen=True)
class ClassWeights:
    """Mean channel weights of the photos of one class, in one layer."""

    name: str
    photos: int
    weights: Floats
    """(C,), by index."""


@dataclass(frozen=True)
class LayerClasses:
    """One layer's weights, classes in the order of their first photo."""

    layer: str
    head: str
    classes: tuple[ClassWeights, ...]
    channels: npt.NDArray[np.intp]
    """Those that are drawn, in that order."""

    @property
    def mean(self) -> Floats:
        """(C,): over all classes, each counting once, by index."""
        return mean_of(self.classes)

    @property
    def matrix(self) -> Floats:
        """(classes, channels): what is drawn."""
        return np.stack([one.weights for one in self.classes])[:, self.channels]

    def shown(self, first: int, network: str, scale: Scale | None) -> Iterator[Shown]:
        """Every class's weights, of all channels; `first` is the number of the first class."""
        ends = None if scale is None else (scale.low, scale.high)
        for number, one in enumerate(self.classes, first):
            yield Shown(f"class {number}", f"{one.photos} photos", network,
                        "channel weights", one.name, one.weights, ends, self.layer)  # fmt: skip


@dataclass(frozen=True)
class ByClass:
    """Layers as they were asked for."""

    matrices: tuple[LayerClasses, ...]
    scale: Scale

    map_scale = None
    predicted = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return tuple(one.layer for one in self.matrices)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return settled_layers(spec, self.layers).with_(scale=self.scale.kind)

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`."""
        for number, one in enumerate(self.matrices):
            first = number * len(one.classes) + 1
            yield from one.shown(first, study.networks[0], self.scale)

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        spec, weights = figure.spec, [one.matrix for one in self.matrices]
        sorted_by = ", from the channel of the highest mean weight to that of the lowest"
        return [
            f"Channel weights of {_layers_words(self.layers)} of {figure.study.networks[0]}, one "
            f"line a class, one cell a channel{sorted_by if spec.order == 'weight' else ''}; a "
            "line is the mean over the photos of its class",
            classes_sentence(spec, figure.study),
            channels_sentence(spec),
            range_sentence(f"Colours ({spec.colormap}) share one scale", self.scale),
            outside_sentence(weights, self.scale),
            nan_sentence(weights),
        ]


def content(spec: FigureSpec, study: Study) -> ByClass:
    """Mean weights of the layers asked for (the last one by default) for each class.

    A photo's class is its row's `group`, else the predicted one.
    """
    names = spec.named_layers or (last_channel_layer(study),)
    matrices = classes_of(spec, study, names)
    drawn = [one.matrix for one in matrices]
    scale = absolute_scale() if spec.scale == "absolute" else shared_scale(drawn)
    return ByClass(matrices, scale)


def classes_of(spec: FigureSpec, study: Study, names: Sequence[str]) -> tuple[LayerClasses, ...]:
    """Mean weights of each class in each of these layers.

    Raises:
        FigureError: for a layer that is not there, or has no channel weights.
    """
    attention = study.analyses[0][0].attention
    short = short_names(attention)
    found = []
    for layer in dict.fromkeys(find_layer(attention, name).name for name in names):
        groups: dict[str, list[Floats]] = {}
        for index, row in enumerate(study.analyses):
            weights = channel_weights(row[0].attention[layer])
            groups.setdefault(class_of(spec, study, index), []).append(weights)
        classes = tuple(
            ClassWeights(name, len(rows), np.stack(rows).mean(axis=0, dtype=np.float32))
            for name, rows in groups.items()
        )
        channels = drawn_channels(spec, mean_of(classes))
        found.append(LayerClasses(layer, short[layer], classes, channels))
    return tuple(found)


def class_of(spec: FigureSpec, study: Study, photo: int) -> str:
    """A photo's class: as labelled, else as predicted."""
    return spec.row(photo).group or top_class(study.analyses[photo][0]) or UNKNOWN


def mean_of(classes: Sequence[ClassWeights]) -> Floats:
    """(C,): the mean over all classes, each counting once."""
    mean: Floats = np.stack([one.weights for one in classes]).mean(axis=0)
    return mean


def classes_sentence(spec: FigureSpec, study: Study) -> str:
    """Whose word the classes are."""
    labelled = sum(bool(spec.row(index).group) for index in range(len(study.analyses)))
    if labelled == len(study.analyses):
        return "Classes are as labelled"
    if labelled:
        return "Classes are as labelled, and as the network predicts for photos without a label"
    if not any(row[0].predictions for row in study.analyses):
        return "All photos stand together, as the network predicts no classes"
    return "Classes are those that the network predicts"


def _layers_words(layers: Sequence[str]) -> str:
    return f"layer {layers[0]}" if len(layers) == 1 else f"{len(layers)} layers"
