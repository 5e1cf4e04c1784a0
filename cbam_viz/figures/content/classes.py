"""Channel weights of classes: each class's mean over its photos, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cbam_viz.dataset.clustering import IN_WORDS, Clusters, cluster
from cbam_viz.dataset.gates import selectivity_of
from cbam_viz.errors import FigureError, StoreError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import (
    channel_weights,
    find_layer,
    last_channel_layer,
    settled_layers,
    top_class,
)
from cbam_viz.figures.content.sentences import (
    channels_sentence,
    nan_sentence,
    outside_sentence,
    range_sentence,
)
from cbam_viz.figures.content.values import Floats, Shown, Study, drawn_channels
from cbam_viz.layer_names import short_names
from cbam_viz.render import Colormap, Scale, absolute_scale, shared_scale

UNKNOWN = "all photos"
TOGETHER = "All photos stand together, as the network predicts no classes"
"""`classes_sentence` of a detector's photos without labels."""
SIGNED_COLORMAP: Colormap = "diverging"
"""Of differences from the mean of all classes, whatever the figure asks for."""


@dataclass(frozen=True)
class ClassWeights:
    """Mean channel weights of the photos of one class, in one layer."""

    name: str
    photos: int
    weights: Floats
    """(C,), by index."""
    spread: Floats
    """(C,) standard deviation within the class, divided by n."""


def names_with_photos(classes: Sequence[ClassWeights]) -> list[str]:
    """Each with how many photos it has, if more than one."""
    return [
        f"{one.name} ({one.photos:,} photos)" if one.photos > 1 else one.name for one in classes
    ]


@dataclass(frozen=True)
class LayerClasses:
    """One layer's weights; classes in the order of their first photo, unless clustered."""

    layer: str
    head: str
    classes: tuple[ClassWeights, ...]
    channels: npt.NDArray[np.intp]
    """Those that are drawn, in that order."""
    all_classes: Floats | None = None
    """(C,): the mean over all classes, where others are known than those that are drawn."""
    tree: Clusters | None = None
    """Of the classes, where they stand as clustering puts them."""
    relative: bool = False
    """Whether differences from the mean of all classes are drawn."""

    @property
    def mean(self) -> Floats:
        """(C,): over all classes, each counting once, by index."""
        return mean_of(self.classes) if self.all_classes is None else self.all_classes

    @property
    def matrix(self) -> Floats:
        """(classes, channels): what is drawn."""
        weights = np.stack([one.weights for one in self.classes])
        return (weights - self.mean if self.relative else weights)[:, self.channels]

    def shown(
        self, first: int, network: str, scale: Scale | None, *, spread: bool = False
    ) -> Iterator[Shown]:
        """Every class's weights, of all channels; `first` is the number of the first class."""
        ends = None if scale is None else (scale.low, scale.high)
        for number, one in enumerate(self.classes, first):
            start = f"class {number}", f"{one.photos} photos", network
            weights = one.weights - self.mean if self.relative else one.weights
            what = "difference of channel weights" if self.relative else "channel weights"
            yield Shown(*start, what, one.name, weights, ends, self.layer)
            if spread:
                what = "standard deviation of channel weights"
                yield Shown(*start, what, one.name, one.spread, ends, self.layer)


@dataclass(frozen=True)
class ByClass:
    """Layers as they were asked for."""

    matrices: tuple[LayerClasses, ...]
    scale: Scale
    whose: str
    """A sentence: whose word the classes are."""

    map_scale = None
    predicted = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return tuple(one.layer for one in self.matrices)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        colormap = SIGNED_COLORMAP if spec.relative else spec.colormap
        return settled_layers(spec, self.layers).with_(scale=self.scale.kind, colormap=colormap)

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`."""
        first = 1
        for one in self.matrices:
            yield from one.shown(first, study.networks[0], self.scale)
            first += len(one.classes)

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        spec, weights = figure.spec, [one.matrix for one in self.matrices]
        sorted_by = ", from the channel of the highest mean weight to that of the lowest"
        clustered = f"Classes and channels are ordered {IN_WORDS}; the tree is that of the classes"
        less = ", less the mean of all classes, each counting once" if spec.relative else ""
        return [
            f"Channel weights of {_layers_words(self.layers)} of {figure.study.networks[0]}, one "
            f"line a class, one cell a channel{sorted_by if spec.order == 'weight' else ''}; a "
            f"line is the mean over the photos of its class{less}",
            self.whose,
            clustered if spec.order == "cluster" else "",
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
    return by_class(spec, classes_of(spec, study, names), classes_sentence(spec, study))


def by_class(spec: FigureSpec, matrices: tuple[LayerClasses, ...], whose: str) -> ByClass:
    """All layers on one scale; differences on one that is symmetric about 0."""
    drawn = [one.matrix for one in matrices]
    if spec.relative:
        found = shared_scale(drawn)
        most = max(-found.low, found.high)
        return ByClass(matrices, Scale("shared", -most, most), whose)
    scale = absolute_scale() if spec.scale == "absolute" else shared_scale(drawn)
    return ByClass(matrices, scale, whose)


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
            ClassWeights(
                name, len(rows), np.stack(rows).mean(axis=0, dtype=np.float32),
                np.stack(rows).std(axis=0, dtype=np.float64).astype(np.float32),
            )
            for name, rows in groups.items()
        )  # fmt: skip
        found.append(layer_classes(spec, layer, short[layer], classes))
    return tuple(found)


def layer_classes(
    spec: FigureSpec,
    layer: str,
    head: str,
    classes: tuple[ClassWeights, ...],
    everything: Floats | None = None,
) -> LayerClasses:
    """The classes of one layer with the channels that are drawn, both in order.

    `everything` (K, C) are the means of all classes, where more are known than are drawn.

    Raises:
        FigureError: for weights that cannot be ranked or clustered.
    """
    means = np.stack([one.weights for one in classes]) if everything is None else everything
    mean = means.mean(axis=0)
    known = None if everything is None else mean
    try:
        channels = _channels(spec, mean, means)
        found = LayerClasses(layer, head, classes, channels, known, relative=spec.relative)
        if spec.order != "cluster":
            return found
        rows, columns = cluster(found.matrix), cluster(found.matrix.T)
    except StoreError as error:
        raise FigureError(str(error)) from error
    ordered = tuple(classes[row] for row in rows.order)
    return replace(found, classes=ordered, channels=channels[columns.order], tree=rows)


def _channels(spec: FigureSpec, mean: Floats, means: Floats) -> npt.NDArray[np.intp]:
    """Which channels are drawn, by index or by their mean weight."""
    by = spec.with_(order="index") if spec.order == "cluster" else spec
    if spec.rank == "weight":
        return drawn_channels(by, mean)
    chosen = np.sort(selectivity_of(means).order[: spec.top])
    return chosen if by.order == "index" else chosen[np.argsort(-mean[chosen], kind="stable")]


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
        return TOGETHER
    return "Classes are those that the network predicts"


def _layers_words(layers: Sequence[str]) -> str:
    return f"layer {layers[0]}" if len(layers) == 1 else f"{len(layers)} layers"
