"""What changed from one store to another, by gate and class."""

from __future__ import annotations

import numpy as np

from cbam_viz.dataset import compare_stores
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.stores.classes import MOST_CLASSES
from cbam_viz.figures.content.stores.tables import Table, Tables
from cbam_viz.figures.content.stores.variance import PARTS
from cbam_viz.figures.content.storestudy import StoreStudy, heads
from cbam_viz.layer_names import find_name, no_such_layer

ALL = "all photos"


def content(spec: FigureSpec, study: StoreStudy) -> Tables:
    """How far the mean gates of all photos, and of each class, are apart in the two stores.

    Raises:
        FigureError: for layers and classes that not both have.
    """
    one, other = study.stores
    if spec.per_class is not None:
        raise FigureError("Two stores are compared by all of their photos; leave out --per-class.")
    shown = len(spec.classes) or len(set(one.classes) & set(other.classes))
    if shown > MOST_CLASSES:
        raise FigureError(
            f"Changes are drawn for {MOST_CLASSES} classes at most, not {shown:,}. Choose some "
            "(--class)."
        )
    changes = compare_stores(one, other)
    known = {change.layer: one.named[change.layer] for change in changes}
    wanted = [find_name(known, name) for name in spec.named_layers]
    for name, found in zip(spec.named_layers, wanted, strict=True):
        if found is None:
            raise FigureError(no_such_layer(list(known), name))
    chosen = [change for change in changes if not wanted or change.layer in wanted]
    common = tuple(dict.fromkeys(label for change in chosen for label in change.classes))
    for name in spec.classes:
        if name not in common:
            raise FigureError(f"Not both stores have photos of class {name!r}.")
    classes = spec.classes or common
    titles = heads(study)
    values = np.array(
        [
            [change.profile, *(change.classes.get(label, np.nan) for label in classes)]
            for change in chosen
        ]
    )
    rows = tuple(f"{titles[change.layer]}, {PARTS[change.part]}" for change in chosen)
    same = sorted(one.photos["sha256"].to_pylist()) == sorted(other.photos["sha256"].to_pylist())
    networks = " to ".join(dict.fromkeys(study.networks))
    return Tables(
        (Table("", "", rows, (ALL, *classes), values),),
        "change of the mean gate",
        (
            f"What changed from the store {one.path.resolve().name} to "
            f"{other.path.resolve().name} ({networks}), by gate: root mean squared difference of "
            "the mean gates, channel by channel or cell by cell",
            "" if same else "The stores are of different photos, which is a part of the difference",
            "Classes are as labelled in the stores" if classes else "",
        ),
        tuple(dict.fromkeys(change.layer for change in chosen)),
    )
