"""Channel weights of a store's classes, as coloured cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cbam_viz._text import counted
from cbam_viz.dataset import GateSummary, gate_summary
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.classes import (
    ByClass,
    ClassWeights,
    LayerClasses,
    by_class,
    layer_classes,
)
from cbam_viz.figures.content.storestudy import (
    StoreStudy,
    channel_layers,
    heads,
    missing_sentences,
    photos_sentence,
)
from cbam_viz.figures.content.values import Floats

MOST_CLASSES = 256
"""No page has room for lines of more."""


def content(spec: FigureSpec, study: StoreStudy) -> ByClass:
    """Mean weights of classes in the layers asked for, the last one by default."""
    layers = channel_layers(study, spec)
    names = layers if spec.named_layers else layers[-1:]
    shown = len(set(spec.classes)) or len(study.store.classes)
    if shown > MOST_CLASSES:
        raise FigureError(
            f"Lines of cells are drawn for {MOST_CLASSES} classes at most, not {shown:,}. Choose "
            "some (--class)."
        )
    matrices = layers_of(spec, study, names, spec.classes)
    return by_class(spec, matrices, whose_sentence(spec, study, names, spec.classes))


def layers_of(
    spec: FigureSpec, study: StoreStudy, names: Sequence[str], classes: Sequence[str]
) -> tuple[LayerClasses, ...]:
    """Each layer's means of these classes, of all where none are named, beside the mean of all.

    Where only some photos of a class stand for it, those of the others are not read: the mean of
    all classes is then of all their photos, which are summed up already.

    Raises:
        FigureError: for classes that the store has not, or a store without any.
    """
    titles, found = heads(study), []
    for layer in names:
        per_class = None if classes else spec.per_class
        whole = summary = gate_summary(study.store, layer, "channel", per_class)
        wanted = classes_of(study, whole, classes)
        most = max(int(whole.count[whole.classes.index(one)]) for one in wanted)
        if classes and most > (spec.per_class or most):
            summary = gate_summary(study.store, layer, "channel", spec.per_class, wanted)
        chosen = tuple(_one(summary, name) for name in classes_of(study, summary, classes))
        everything = _floats(whole.class_mean)
        found.append(layer_classes(spec, layer, titles[layer], chosen, everything))
    return tuple(found)


def classes_of(study: StoreStudy, summary: GateSummary, wanted: Sequence[str]) -> tuple[str, ...]:
    """The classes of that name, or all.

    Raises:
        FigureError: for one that is not there, or where there are none.
    """
    if not summary.classes:
        raise FigureError(
            f"The photos of {study.store.path} have no classes. Put photos of each class into a "
            "folder of its own, or give cbam-viz batch --labels."
        )
    missing = [name for name in wanted if name not in summary.classes]
    if missing:
        few = ", ".join(summary.classes[:12]) + (", ..." if len(summary.classes) > 12 else "")
        raise FigureError(
            f"{study.store.path} has no class {missing[0]!r} with gates of {summary.layer}. It "
            f"has {few}."
        )
    return tuple(dict.fromkeys(wanted)) or summary.classes


def whose_sentence(
    spec: FigureSpec, study: StoreStudy, layers: Sequence[str], classes: Sequence[str] = ()
) -> str:
    """Whose word the classes are, of which photos the means, and which count in none."""
    told = [f"Classes are as labelled in the store. {photos_sentence(study, spec)}"]
    if spec.per_class is not None and classes:
        told[0] += "; the mean of all classes is of all their photos"
    store = study.store
    without = int((store.groups == len(store.classes)).sum())
    if without:
        have = "has" if without == 1 else "have"
        told.append(f"{counted(without, 'photo')} {have} no class and {have} no part in this")
    told += missing_sentences(study, layers)
    return ". ".join(told)


def _one(summary: GateSummary, name: str) -> ClassWeights:
    at = summary.classes.index(name)
    return ClassWeights(
        name, int(summary.count[at]), _floats(summary.class_mean[at]),
        _floats(summary.class_spread[at]),
    )  # fmt: skip


def _floats(values: np.ndarray) -> Floats:
    found: Floats = values.astype(np.float32)
    return found
