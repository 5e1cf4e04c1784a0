"""One photo's channel weights against those of a store: what is special about it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz._text import counted
from cbam_viz.dataset.gates import GateSummary
from cbam_viz.dataset.reading import Store
from cbam_viz.dataset.telling import ROUNDING
from cbam_viz.errors import StoreError
from cbam_viz.models import LoadedModel
from cbam_viz.models.loaded import weights_sha256
from cbam_viz.store.precision import Precision, most_rounded

Real = npt.NDArray[np.float64]

FEW = 20
"""Of fewer photos a standard deviation is itself uncertain by more than a sixth."""


@dataclass(frozen=True)
class Among:
    """The store's photos, or those of one class, as what a photo is compared with."""

    label: str | None
    """The class; None for all photos."""
    photos: int
    mean: Real
    """(C,)"""
    spread: Real
    """(C,) standard deviation between photos, divided by n."""
    z: Real
    """(C,) (weight - mean) / spread; NaN where the spread is zero or there is one photo."""

    @property
    def note(self) -> str:
        """What to know of so few photos, in a sentence; empty where they are enough."""
        of = "the store" if self.label is None else f"class {self.label}"
        return few_photos(self.photos, of)


def few_photos(photos: int, of: str) -> str:
    """Say how uncertain standard deviations between so few photos are; empty for `FEW` of them."""
    if photos < 2:
        return f"There is one photo of {of}, so there is no spread to compare with."
    if photos >= FEW:
        return ""
    doubt = 1 / math.sqrt(2 * (photos - 1))
    return (
        f"There are only {photos} photos of {of}: standard deviations, and so z, are "
        f"uncertain by about {100 * doubt:.0f} %."
    )


@dataclass(frozen=True)
class Against:
    """Channel weights of one photo against a store."""

    weights: Real
    """(C,) the photo's."""
    store: Among
    of_class: Among | None
    """None if no class was asked for."""
    precision: Precision = "float32"
    """Of the store's gates: which may be rounded, and the photo's are not."""

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """(C,) channels whose weight is the same for every photo of the store, of two at least."""
        return (self.store.spread <= ROUNDING) & (self.store.photos > 1)

    @property
    def moved(self) -> npt.NDArray[np.bool_]:
        """(C,) those of them that this photo has another weight of: no z can say how far."""
        return self.constant & _apart(self.weights, self.store.mean, self.precision)

    @property
    def whole(self) -> float:
        """Root mean square of z over channels, 1 for an ordinary photo; NaN if none has one."""
        known = self.store.z[np.isfinite(self.store.z)]
        return float(np.sqrt(np.square(known).mean())) if known.size else math.nan

    @property
    def without_z(self) -> str:
        """Why no channel has a z, in a sentence; empty where one has."""
        if np.isfinite(self.store.z).any():
            return ""
        if self.store.photos < 2:
            return self.store.note
        moved = int(self.moved.sum())
        same = "Channel weights of this layer are the same for every photo of the store"
        if not moved:
            return f"{same}, and on this photo: a constant, not attention."
        return (
            f"{same}, so that none has a z, but this photo's differ from them in {moved} of "
            f"{counted(self.weights.size, 'channel')}: the photos of the store may be alike."
        )

    @property
    def order(self) -> npt.NDArray[np.intp]:
        """Channels from the furthest from the store's mean on; those without z come last, the
        ones that moved before the others.
        """
        size = np.where(np.isfinite(self.store.z), np.abs(self.store.z), -1.0)
        return np.lexsort((np.arange(size.size), ~self.moved, -size))


def against(
    summary: GateSummary,
    weights: npt.NDArray[np.floating],
    label: str | None = None,
    *,
    precision: Precision = "float32",
) -> Against:
    """Compare a photo's channel weights (C,) with those of a store, and with one class of it.

    `precision` is the one of the store's gates, which `moved` allows for.
    Raises StoreError for weights of another layer, and for a class that the store has not.
    """
    values = np.asarray(weights, np.float64)
    if summary.part != "channel" or values.shape != summary.mean.shape:
        raise StoreError(
            f"{summary.layer} has channel weights {summary.mean.shape} in the store, and "
            f"{values.shape} for this photo: they cannot be compared."
        )
    of_class = None
    if label is not None:
        if label not in summary.classes:
            raise StoreError(f"The store has no photo of class {label!r} with gates of this layer.")
        at = summary.classes.index(label)
        of_class = _among(
            values, label, int(summary.count[at]), summary.class_mean[at], summary.class_spread[at]
        )
    return Against(
        values,
        _among(values, None, summary.photos, summary.mean, summary.spread),
        of_class,
        precision,
    )


def is_as_there(summary: GateSummary, gate: npt.NDArray[np.floating], precision: Precision) -> bool:
    """Whether a photo's gate of any shape, of as many values, is the mean one of the store."""
    values = np.asarray(gate, np.float64).reshape(-1)
    same = values.shape == summary.mean.shape
    return same and not _apart(values, summary.mean, precision).any()


def _apart(values: Real, mean: Real, precision: Precision) -> npt.NDArray[np.bool_]:
    """Which values differ by more than a batch and the store's rounding can make of it."""
    return np.asarray(np.abs(values - mean) > ROUNDING + most_rounded(mean, precision))


def _among(values: Real, label: str | None, photos: int, mean: Real, spread: Real) -> Among:
    varies = (spread > ROUNDING) & (photos > 1)
    z = np.divide(values - mean, spread, out=np.full_like(values, np.nan), where=varies)
    return Among(label, photos, mean, spread, z)


def differing(store: Store, loaded: LoadedModel, view: str) -> str:
    """In what a store was made otherwise than a photo is shown to a network; empty if in nothing.

    Another network, view or input gives gates that cannot be compared.
    """
    made = store.record.fingerprint
    if made.get("network") != loaded.name:
        return f"another network ({made.get('network')} there, {loaded.name} here)"
    same = (made.get("checkpoint") or None) == loaded.sha256
    if same and loaded.sha256 is None:  # no file tells the weights apart
        same = made.get("weights") == weights_sha256(loaded.model)
    if not same:
        return "other weights of that network"
    if made.get("view") != view:
        return f"another choice of what the network sees ({made.get('view')} there, {view} here)"
    if made.get("input") != json.dumps(asdict(loaded.spec), sort_keys=True):
        return "another input: its size, normalisation or resizing differs"
    return ""
