"""Photos by their gates: highest and lowest weight of a channel, nearest ones, unusual ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.dataset.gates import gate_summary
from cbam_viz.dataset.reading import Block, Store
from cbam_viz.dataset.telling import ROUNDING
from cbam_viz.errors import StoreError

Real = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """A photo in a list, with the number that put it there."""

    photo: int
    """Its number in the plan."""
    name: str
    label: str | None
    value: float


def extremes(
    store: Store, layer: str, channel: int, count: int = 9
) -> tuple[list[Ranked], list[Ranked]]:
    """The photos where a channel's weight is highest, and lowest; the most extreme first.

    Raises StoreError for a layer or a channel that is not there.
    """
    (channels,) = store.shape(layer, "channel")
    if not 0 <= channel < channels:
        raise StoreError(f"{layer} has channels 0 to {channels - 1}, and no {channel}.")
    rows, values = _each(store, layer, lambda block: block.values[:, channel])
    order = np.argsort(values, kind="stable")
    highest, lowest = order[::-1][:count], order[:count]
    return _ranked(store, rows, values, highest), _ranked(store, rows, values, lowest)


def neighbours(store: Store, layer: str, photo: int, count: int = 9) -> list[Ranked]:
    """The photos whose channel weights are nearest to those of one, with the distance.

    The distance is the root mean squared difference of weights. Raises StoreError if the store has
    no such photo, or no weights of it.
    """
    mine = np.asarray(store.photos["photo"]) == photo
    own = [
        values.astype(np.float64)
        for block in store.blocks(layer, "channel", mine)
        for values in block.values
    ]
    if not own or not np.isfinite(own[0]).all():
        finite = "finite " if own else ""
        raise StoreError(
            f"{store.path} has no {finite}channel weights of photo {photo} at {layer}."
        )
    rows, values = _each(
        store,
        layer,
        lambda block: np.sqrt(np.square(block.values.astype(np.float64) - own[0]).mean(1)),
    )
    order = np.argsort(values, kind="stable")
    order = order[~mine[rows[order]]][:count]
    return _ranked(store, rows, values, order)


def unusual(store: Store, layer: str, count: int = 9) -> list[Ranked]:
    """The photos whose channel weights are furthest from the mean of all photos.

    Their value is the root mean square of z-scores over channels, 1 for an ordinary photo, as
    `Against.whole` is; channels whose weight is the same for all photos are left out.
    """
    summary = gate_summary(store, layer, "channel")
    varies = summary.spread > ROUNDING
    if not varies.any():
        return []

    def score(block: Block) -> Real:
        apart = block.values[:, varies] - summary.mean[varies]
        return np.asarray(np.sqrt(np.square(apart / summary.spread[varies]).mean(1)), np.float64)

    rows, values = _each(store, layer, score)
    return _ranked(store, rows, values, np.argsort(-values, kind="stable")[:count])


def _each(
    store: Store, layer: str, number: Callable[[Block], npt.NDArray[np.floating]]
) -> tuple[npt.NDArray[np.int64], Real]:
    """A number for each photo whose weights are finite: rows of the store, and their numbers."""
    # Copied, as a part of a block would keep all of it in memory.
    found = [
        (block.rows, np.array(number(block), np.float64))
        for block in map(_finite, store.blocks(layer, "channel"))
    ]
    rows = np.concatenate([rows for rows, _ in found])
    return rows, np.concatenate([values for _, values in found])


def _finite(block: Block) -> Block:
    finite = np.asarray(np.isfinite(block.values).all(1))
    return block if finite.all() else block.only(finite)


def _ranked(
    store: Store, rows: npt.NDArray[np.int64], values: Real, order: npt.NDArray[np.intp]
) -> list[Ranked]:
    chosen = store.photos.take(rows[order])
    return [
        Ranked(int(one["photo"]), one["name"], one["label"], float(value))
        for one, value in zip(chosen.to_pylist(), values[order], strict=True)
    ]
