"""Channel weights of classes: each class's mean over its photos, in one layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import (
    channel_weights,
    find_layer,
    last_channel_layer,
    short_names,
    top_class,
)
from cbam_viz.figures.content.sentences import nan_sentence, outside_sentence, range_sentence
from cbam_viz.figures.content.values import Floats, Shown, Study
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
class ByClass:
    """Classes in the order of their first photo."""

    layer: str
    head: str
    classes: tuple[ClassWeights, ...]
    scale: Scale

    map_scale = None
    predicted = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return (self.layer,)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return spec.with_(layer=self.layer, scale=self.scale.kind)

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`."""
        scale = (self.scale.low, self.scale.high)
        for n, one in enumerate(self.classes):
            yield Shown(f"class {n + 1}", f"{one.photos} photos", study.networks[0],
                        "channel weights", one.name, one.weights, scale, self.layer)  # fmt: skip

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        spec, weights = figure.spec, [one.weights for one in self.classes]
        sorted_by = ", from the channel of the highest mean weight to that of the lowest"
        return [
            f"Channel weights of layer {self.layer} of {figure.study.networks[0]}, one line a "
            f"class, one cell a channel{sorted_by if spec.order == 'weight' else ''}; a line is "
            "the mean over the photos of its class",
            range_sentence(f"Colours ({spec.colormap}) share one scale", self.scale),
            outside_sentence(weights, self.scale),
            nan_sentence(weights),
        ]


def content(spec: FigureSpec, study: Study) -> ByClass:
    """Mean weights of `spec.layer` (the last one by default) for each class.

    A photo's class is its row's `group`, else the predicted one.
    """
    attention = study.analyses[0][0].attention
    layer = find_layer(attention, spec.layer or last_channel_layer(study)).name
    groups: dict[str, list[Floats]] = {}
    for index, row in enumerate(study.analyses):
        name = spec.row(index).group or top_class(row[0]) or UNKNOWN
        groups.setdefault(name, []).append(channel_weights(row[0].attention[layer]))
    classes = tuple(
        ClassWeights(name, len(rows), np.stack(rows).mean(axis=0, dtype=np.float32))
        for name, rows in groups.items()
    )
    means = [one.weights for one in classes]
    scale = absolute_scale() if spec.scale == "absolute" else shared_scale(means)
    return ByClass(layer, short_names(attention)[layer], classes, scale)
