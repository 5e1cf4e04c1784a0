"""Distances between the classes of a store: a square of cells for each layer."""

from __future__ import annotations

from cbam_viz.dataset import gate_summary
from cbam_viz.dataset.clustering import IN_WORDS, cluster
from cbam_viz.dataset.gates import distances_between
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.stores.classes import classes_of, whose_sentence
from cbam_viz.figures.content.stores.tables import Table, Tables
from cbam_viz.figures.content.storestudy import (
    StoreStudy,
    channel_layers,
    heads,
    last_of_stages,
)

MOST_CLASSES = 64
"""A cell of more would be a dot."""
CROWDED = 24
"""Names of more classes may have no room."""


def content(spec: FigureSpec, study: StoreStudy) -> Tables:
    """Distances in the layers asked for, else in the last one of each stage.

    Raises:
        FigureError: for fewer than two classes, or more than can be read.
    """
    layers = channel_layers(study, spec) if spec.named_layers else last_of_stages(study)
    if not layers:
        channel_layers(study, spec)
    titles, tables = heads(study), []
    for layer in layers:
        summary = gate_summary(study.store, layer, "channel", spec.per_class)
        names = classes_of(study, summary, spec.classes)
        if not 2 <= len(names) <= MOST_CLASSES:
            raise FigureError(
                f"Distances are drawn between 2 to {MOST_CLASSES} classes, not {len(names)}. "
                "Choose some (--class)."
            )
        at = [summary.classes.index(name) for name in names]
        values, tree = distances_between(summary.class_mean[at]), None
        if spec.order == "cluster":
            tree = cluster(summary.class_mean[at])
            values, names = values[tree.order][:, tree.order], tuple(names[n] for n in tree.order)
        tables.append(Table(layer, titles[layer], names, names, values, tree))
    clustered = f"Classes are ordered {IN_WORDS}" if spec.order == "cluster" else ""
    crowded = max(len(one.rows) for one in tables) > CROWDED
    of = f"layer {layers[0]}" if len(layers) == 1 else f"{len(layers)} layers"
    return Tables(
        tuple(tables),
        "distance of mean weights",
        (
            f"Distances between the classes in {of} of {study.networks[0]}: root mean squared "
            "difference of their mean channel weights",
            clustered,
            "Where lines are narrow, only every second or third has its name" if crowded else "",
            whose_sentence(spec, study, layers),
        ),
    )
