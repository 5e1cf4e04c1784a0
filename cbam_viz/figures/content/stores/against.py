"""One photo's channel weights against a store's mean and spread: what is special about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cbam_viz._text import counted
from cbam_viz.dataset import gate_summary
from cbam_viz.dataset.against import Against, against
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import settled_layers, top_class
from cbam_viz.figures.content.sentences import axes_sentence
from cbam_viz.figures.content.storestudy import (
    StoreStudy,
    channel_layers,
    heads,
    last_of_stages,
)
from cbam_viz.figures.content.values import Axis, Shown, Study, axis_of

SHOWN = 24
"""Channels in a panel, where it is not said how many."""


@dataclass(frozen=True)
class AgainstStore:
    """One layer of the photo."""

    layer: str
    head: str
    found: Against
    channels: np.ndarray
    """Those that are drawn: furthest from the mean first."""


@dataclass(frozen=True)
class Special:
    """A panel for each layer."""

    panels: tuple[AgainstStore, ...]
    photo: str
    label: str | None
    """The class that the photo is compared with too."""
    top: int

    map_scale = None
    predicted = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return tuple(one.layer for one in self.panels)

    @property
    def axis(self) -> Axis:
        """Of all panels: weights and means; bars are cut at its ends."""
        return axis_of(
            values[one.channels].astype(np.float32)
            for one in self.panels
            for values in (one.found.weights, one.found.store.mean)
        )

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        classes = () if self.label is None else (self.label,)
        return settled_layers(spec, self.layers).with_(top=self.top, classes=classes)

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`: of every channel the weight, mean, spread and z."""
        network = study.networks[0]
        for number, one in enumerate(self.panels, 1):
            kinds = {"channel weights": one.found.weights}
            for among in (one.found.store, one.found.of_class):
                if among is not None:
                    of = "the store" if among.label is None else f"class {among.label}"
                    kinds[f"mean of {of}"] = among.mean
                    kinds[f"standard deviation of {of}"] = among.spread
                    kinds[f"z in {of}"] = among.z
            for what, values in kinds.items():
                found = values.astype(np.float32)
                yield Shown(f"panel {number}", self.photo, network, what, one.layer, found)

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        first = self.panels[0].found
        notes = [first.store.note] + ([first.of_class.note] if first.of_class else [])
        constant = [
            f"{int(one.found.constant.sum())} channels of {one.layer} are the same for every photo "
            f"of the store and have no z ({int(one.found.moved.sum())} of them differ here)"
            for one in self.panels
            if one.found.constant.any()
        ]
        whole = ", ".join(f"{one.head} {one.found.whole:.2f}" for one in self.panels)
        return [
            f"Channel weights of {self.photo} in {figure.study.networks[0]} (dots) against "
            f"{counted(first.store.photos, 'photo')} of a store: mean (line) and one standard "
            "deviation between photos on both sides (bar, cut where the axis ends), of the "
            "channels that are furthest from the mean in standard deviations, the furthest first, "
            "numbered by index where numbers have room",
            f"The short blue line is the mean of class {self.label}" if self.label else "",
            f"Root mean square of z over all channels, 1 for an ordinary photo: {whole}",
            *constant,
            axes_sentence(self.axis),
            *(note.removesuffix(".") for note in notes),
        ]


def content(spec: FigureSpec, study: StoreStudy) -> Special:
    """The photo's channels in the layers asked for, else in the last of each stage.

    The class is the one that is asked for, else the predicted one where the store has it.

    Raises:
        FigureError: for layers or a class that are not there.
    """
    analysis = study.analyses[0][0]
    layers = channel_layers(study, spec) if spec.named_layers else last_of_stages(study)
    if not layers:
        channel_layers(study, spec)
    if len(spec.classes) > 1:
        raise FigureError("A photo is compared with one class; name one.")
    first = gate_summary(study.store, layers[0], "channel", spec.per_class)
    label = spec.classes[0] if spec.classes else top_class(analysis)
    if label not in first.classes:
        if spec.classes:
            raise FigureError(f"{study.store.path} has no class {label!r}.")
        label = ""
    titles, panels, top = heads(study), [], spec.top or SHOWN
    for layer in layers:
        gates = analysis.attention.get(layer)
        if gates is None or gates.channel is None:
            raise FigureError(f"{analysis.photo.name} has no channel weights at {layer}.")
        summary = gate_summary(study.store, layer, "channel", spec.per_class)
        own = label if label in summary.classes else None
        found = against(
            summary,
            gates.channel[0].double().numpy(),
            own,
            precision=study.store.record.layout.precision,
        )
        panels.append(AgainstStore(layer, titles[layer], found, found.order[:top]))
    return Special(tuple(panels), analysis.photo.name, label or None, top)
