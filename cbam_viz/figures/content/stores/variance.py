"""What the variance of each gate of a store is made of: a constant, classes, single photos."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cbam_viz.dataset import GateSummary
from cbam_viz.dataset.gates import summaries_of
from cbam_viz.dataset.telling import in_words
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import settled_layers
from cbam_viz.figures.content.storestudy import StoreStudy, heads, photos_sentence
from cbam_viz.figures.content.values import Shown, Study
from cbam_viz.layer_names import find_name, no_such_layer

SHARES = ("pattern", "classes", "photos")
PARTS = {"channel": "channel weights", "spatial": "map"}


@dataclass(frozen=True)
class GateShares:
    """One gate's variance, shared out."""

    layer: str
    head: str
    part: str
    shares: tuple[float, float, float]
    """Of `SHARES`, in [0, 1]; NaN where the gate is one number for all photos."""
    told: str
    """In words."""


@dataclass(frozen=True)
class Variance:
    """Every gate, in order of execution."""

    gates: tuple[GateShares, ...]
    photos: str
    """A sentence on the photos."""
    classes: int
    left_out: tuple[str, ...] = ()
    """Sentences on photos that count in none of a gate's numbers."""

    map_scale = None
    predicted = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return tuple(dict.fromkeys(one.layer for one in self.gates))

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return settled_layers(spec, self.layers)

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`: a line for each share, and an array for each gate."""
        network = study.networks[0]
        for number, one in enumerate(self.gates, 1):
            start = f"gate {number}", "", network
            for name, share in zip(SHARES, one.shares, strict=True):
                what = f"share of variance: {name}"
                text = f"{PARTS[one.part]}: {share:.6f}"
                yield Shown(*start, what, one.layer, None, text=text)
            yield Shown(*start, "in words", one.layer, None, text=one.told)
            values = np.array(one.shares, np.float32)
            what = f"shares of variance of {PARTS[one.part]}: {', '.join(SHARES)}"
            yield Shown(*start, what, one.layer, values, in_table=False)

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        between = (
            "between the means of classes, and between photos of a class"
            if self.classes > 1
            else "and between photos"
        )
        constant = [one.head for one in self.gates if math.isnan(one.shares[0])]
        return [
            f"What the variance of each gate of {figure.study.networks[0]} is made of: what is the "
            f"same for all photos, {between}. A gate that is the same for every photo is a "
            "constant, not attention",
            self.photos,
            f"One number for all photos and places: {', '.join(constant)}" if constant else "",
            *(one.removesuffix(".") for one in self.left_out),
        ]


def content(spec: FigureSpec, study: StoreStudy) -> Variance:
    """Shares of all gates of the layers asked for, else of all.

    Raises:
        FigureError: for a layer that is not there, or where nothing can be summed up.
    """
    store = study.store
    gates = store.summable
    for name in spec.named_layers:
        if find_name(store.named, name) is None:
            raise FigureError(no_such_layer(list(store.named), name))
    wanted = {find_name(store.named, name) for name in spec.named_layers}
    chosen = [gate for gate in gates if not wanted or gate[0] in wanted]
    if not chosen:
        raise FigureError(
            f"No gate of these layers can be summed up: the maps in {store.path} differ in size "
            "from photo to photo, and there are no channel weights."
        )
    titles = heads(study)
    summaries, notes = summaries_of(store, chosen, spec.per_class, slim=True)
    if all(one.photos < 2 for one in summaries):
        raise FigureError(
            "The layout 'variance' shares out variance between photos, and the store has 1. Take a "
            "store of more photos."
        )
    return Variance(
        tuple(_gate(one, titles[one.layer]) for one in summaries),
        photos_sentence(study, spec),
        max(len(one.classes) for one in summaries),
        tuple(notes),
    )


def _gate(one: GateSummary, head: str) -> GateShares:
    pattern, classes, photos = (one.shares[name] for name in SHARES)
    return GateShares(one.layer, head, one.part, (pattern, classes, photos), in_words(one))
