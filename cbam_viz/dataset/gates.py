"""One gate over all photos: by class, what of it varies, and which channels tell classes apart."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbam_viz._text import counted, few
from cbam_viz.dataset.caching import kept
from cbam_viz.dataset.moments import Moments
from cbam_viz.dataset.numbers import NUMBERS
from cbam_viz.dataset.reading import Part, Store
from cbam_viz.dataset.sums import Sums, in_order, sums_of, sums_of_some
from cbam_viz.errors import StoreError

Real = npt.NDArray[np.float64]


class NoGatesError(StoreError):
    """A gate that no photo of a store has, or none has in finite numbers."""


@dataclass(frozen=True)
class GateSummary:
    """One gate of one layer over all photos of a store. K classes, D channels or cells.

    Photos without a label count in what is told of all photos, and in no class.
    """

    layer: str
    part: Part
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    count: npt.NDArray[np.int64]
    """(K,) photos of each class."""
    photos: int
    """All of them."""
    mean: Real
    """(D,) over all photos."""
    spread: Real
    """(D,) standard deviation over all photos, divided by n."""
    class_mean: Real
    """(K, D)"""
    class_spread: Real
    """(K, D)"""
    numbers: dict[str, float]
    """Mean over all photos of each of `NUMBERS`."""
    class_numbers: dict[str, Real]
    """(K,) the same by class."""
    shares: dict[str, float]
    """What part of the gate's variance is where, in [0, 1], sums to 1: `pattern` between channels
    or cells and the same for all photos, `classes` between the means of classes, `photos` between
    photos of a class. Photos without a label are of none: how far they are from the mean of all
    photos counts among `photos`. A gate whose `pattern` is all of it gives every photo the same: a
    constant. NaN if the gate is one number, and of one photo, which differs from no other.
    """

    def without_classes(self) -> GateSummary:
        """The same without `class_mean` and `class_spread`, (K, 0): of thousands of classes they
        take a hundred times what all the rest does.
        """
        nothing = np.zeros((len(self.classes), 0))
        return replace(self, class_mean=nothing, class_spread=nothing)

    @property
    def distances(self) -> Real:
        """(K, K) root mean squared difference of the mean gates of two classes."""
        return distances_between(self.class_mean)


@dataclass(frozen=True)
class Selectivity:
    """How much one class stands out, for each channel."""

    index: Real
    """(C,) in [0, 1]: 0 if all classes are alike, 1 if the weight is 0 for all classes but one. NaN
    where a class has a negative mean: the index is a ratio of what is not negative."""
    best: npt.NDArray[np.int64]
    """(C,) the class with the highest mean."""

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """Channels, the most selective first; those without an index last."""
        return np.argsort(-self.index, kind="stable").astype(np.int64)

    @property
    def note(self) -> str:
        """Say of how many channels there is no index, and why; empty if of none."""
        without = int(np.isnan(self.index).sum())
        return (
            f"{without} of {counted(self.index.size, 'channel')} have a negative mean weight in a "
            "class, of which the index says nothing: they come last."
            if without
            else ""
        )


def gate_summary(
    store: Store,
    layer: str,
    part: Part,
    per_class: int | None = None,
    classes: Sequence[str] = (),
) -> GateSummary:
    """Sum up one gate of all photos; each is read once, and the sums are kept beside the store.

    With `per_class`, of so many photos of each class, evenly spaced in the store's order; photos
    without a label then count nowhere, and if `classes` are named, neither do those of others:
    shards that have none of them are not read. Raises StoreError as `Store.blocks` does, and for a
    `per_class` below 1.
    """
    store.shape(layer, part)
    if per_class is not None and not store.classes:
        raise StoreError(
            f"The photos of {store.path} have no classes to take {per_class} photos of. Put photos "
            "of each class into a folder of its own, or give cbam-viz batch --labels."
        )
    name, chosen = f"{layer}/{part}", None
    if per_class is not None:
        chosen = sampled(store.groups, len(store.classes), per_class)
        if not classes and chosen.all():
            return gate_summary(store, layer, part)
        name += f"/{per_class} a class"
        if classes:
            named = [number for number, one in enumerate(store.classes) if one in classes]
            chosen &= np.isin(store.groups, named)
            name += f" of {json.dumps([store.classes[number] for number in named])}"
    elif in_order(store) == len(store.files):  # the sums themselves are kept
        return _summary(store, layer, part, sums_of(store, layer, part))
    else:
        name += "/with gaps"

    def made() -> GateSummary:
        if chosen is None:
            return _summary(store, layer, part, sums_of(store, layer, part))
        return _summary(store, layer, part, sums_of_some(store, layer, part, chosen))

    summary: GateSummary = kept(store.path, store.files, name, GateSummary, made)
    return summary


def summaries_of(
    store: Store,
    gates: Sequence[tuple[str, Part]],
    per_class: int | None = None,
    summary: Callable[[str, Part], GateSummary] | None = None,
    *,
    slim: bool = False,
) -> tuple[list[GateSummary], list[str]]:
    """The summaries of some gates, and what to know of photos that count in none of them.

    `summary` makes one, if not `gate_summary`, by layer and part. If `slim`, they are
    `without_classes`, so that many gates of many classes have room together.
    Raises StoreError as `gate_summary` does, and if no gate can be summed up.
    """
    made: list[GateSummary] = []
    notes: list[str] = []
    for layer, part in gates:
        try:
            one = summary(layer, part) if summary else gate_summary(store, layer, part, per_class)
            made.append(one.without_classes() if slim else one)
        except NoGatesError as error:
            notes.append(str(error))
    if gates and not made:
        raise NoGatesError(notes[0])
    return made, [*notes, *([] if per_class else left_out(store, made))]


def left_out(store: Store, summaries: Sequence[GateSummary]) -> list[str]:
    """Say of which gates not all photos count, and how many do not: a sentence for each count."""
    photos = store.photos.num_rows
    missing: dict[int, list[str]] = {}
    for one in summaries:
        missing.setdefault(photos - one.photos, []).append(f"{one.layer} ({one.part})")
    return [
        f"{count:,} of {counted(photos, 'photo')} count nowhere at {few(names)}: their gates there "
        "are not finite, or the layer did not run for them."
        for count, names in missing.items()
        if count
    ]


def sampled(groups: npt.NDArray[np.int64], classes: int, per_class: int) -> npt.NDArray[np.bool_]:
    """(N,) which photos stand for their class (N,): all, or so many evenly spaced ones.

    Raises StoreError for a number below 1.
    """
    if per_class < 1:
        raise StoreError(f"{per_class} photos stand for no class. Take 1 or more.")
    chosen = np.zeros(groups.size, bool)
    for number in range(classes):
        rows = np.flatnonzero(groups == number)
        at = np.rint(np.linspace(0, rows.size - 1, min(per_class, rows.size)))
        chosen[rows[at.astype(np.intp)]] = True
    return chosen


def _summary(store: Store, layer: str, part: Part, sums: Sums) -> GateSummary:
    moments, told = sums.moments, sums.told
    whole = moments.together()
    if not whole.count[0]:
        raise NoGatesError(f"No photo in {store.path} has finite {part} gates at {layer}.")
    # A class none of whose photos has this gate has no mean either.
    labelled = np.flatnonzero(moments.count[: len(sums.classes)])
    return GateSummary(
        layer,
        part,
        store.shape(layer, part),
        tuple(sums.classes[n] for n in labelled),
        moments.count[labelled],
        int(whole.count[0]),
        whole.mean[0],
        np.sqrt(whole.variance[0]),
        moments.mean[labelled],
        moments.spread(labelled),
        dict(zip(NUMBERS, told.together().mean[0].tolist(), strict=True)),
        {name: told.mean[labelled, n] for n, name in enumerate(NUMBERS)},
        _variance_shares(moments, whole, sums.areas / sums.areas.sum()),
    )


def _variance_shares(moments: Moments, whole: Moments, areas: Real) -> dict[str, float]:
    """Of the values of all photos and elements, each element counted by its area.

    The last group is of photos without a label, which are no class.
    """
    count = whole.count[0]
    profile = whole.mean[0]
    pattern = float(areas @ np.square(profile - areas @ profile))
    apart = moments.count * np.array([areas @ np.square(one - profile) for one in moments.mean])
    classes = float(apart[:-1].sum()) / count
    photos = float(areas @ moments.squares.sum(0) + apart[-1]) / count
    total = pattern + classes + photos if count > 1 else 0.0  # one photo differs from no other
    parts = {"pattern": pattern, "classes": classes, "photos": photos}
    return {name: float(part / total) if total > 0 else math.nan for name, part in parts.items()}


def distances_between(means: Real) -> Real:
    """(R, R) root mean squared differences of rows (R, D), such as the means of some classes."""
    found = np.zeros((len(means), len(means)))
    for number, one in enumerate(means):  # all at once, a thousand classes would take 15 GB
        found[number, number:] = np.sqrt(np.square(means[number:] - one).mean(1))
    return np.maximum(found, found.T)


def selectivity(summary: GateSummary) -> Selectivity:
    """How selective each channel is for a class; see `selectivity_of`."""
    return selectivity_of(summary.class_mean)


def selectivity_of(means: npt.NDArray[Any]) -> Selectivity:
    """How selective each channel is for a class, given each class's mean weights (K, C).

    (highest class mean - mean of the other classes' means) over their sum: Morcos, Barrett,
    Rabinowitz and Botvinick, "On the importance of single directions for generalization", ICLR
    2018, arXiv 1803.06959, section 2.3. It is defined for what is not negative, as activations
    behind a ReLU are; a channel with a negative mean has NaN. Raises StoreError for fewer than two
    classes.
    """
    means = np.asarray(means, np.float64)
    if len(means) < 2:
        raise StoreError(
            f"Selectivity compares classes, and the photos are of {len(means)}. Give them classes: "
            "--labels where a store is made, --group-by folder where a figure is made of photos."
        )
    best = means.argmax(0)
    top = means.max(0)
    others = (means.sum(0) - top) / (len(means) - 1)
    together = top + others
    index = np.divide(top - others, together, out=np.zeros_like(top), where=together > 0)
    index[means.min(0) < 0] = np.nan
    return Selectivity(index, np.asarray(best, np.int64))


def as_json(summary: GateSummary) -> dict[str, Any]:
    """What is told of a gate, without the values of every channel and cell."""
    return {
        "layer": summary.layer,
        "part": summary.part,
        "shape": list(summary.shape),
        "photos": summary.photos,
        "numbers": summary.numbers,
        "variance": summary.shares,
        "spread_between_photos": float(summary.spread.mean()),
        "classes": {
            name: {
                "photos": int(summary.count[n]),
                **{key: float(values[n]) for key, values in summary.class_numbers.items()},
            }
            for n, name in enumerate(summary.classes)
        },
    }
