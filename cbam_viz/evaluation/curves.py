"""Curves of insertion and deletion over many photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cbam_viz.evaluation.measures import REPLACEMENTS
from cbam_viz.metrics.removal import Removal

Order = Literal["most", "least"]
ORDERS: tuple[Order, ...] = ("most", "least")
"""Which places are replaced first: the most influential (deletion) or the least (insertion)."""
Points = Mapping[str, Mapping[str, Sequence[float]]]
"""Of one map on one photo: by replacement and order the scores after 0, 1, ... steps."""


@dataclass(frozen=True)
class Curve:
    """The mean over photos of a score, as ever more of the picture is replaced."""

    map: str
    replacement: str
    order: Order
    scores: tuple[float, ...]
    """After equal steps, from nothing replaced to all."""
    photos: int


def points_of(found: Removal) -> dict[str, list[float]]:
    """Both curves of one photo as plain data."""
    return {
        "most": [float(one) for one in found.most_first],
        "least": [float(one) for one in found.least_first],
    }


def mean_curves(photos: Sequence[Mapping[str, Points]]) -> tuple[Curve, ...]:
    """Mean curves over photos, each of which has points by map; none where none were measured."""
    found = []
    for name in dict.fromkeys(name for photo in photos for name in photo):
        for kind in REPLACEMENTS:
            for order in ORDERS:
                known: list[Any] = [
                    photo[name][kind][order] for photo in photos if kind in photo.get(name, {})
                ]
                if known:
                    mean = np.mean(np.array(known, dtype=np.float64), axis=0)
                    found.append(Curve(name, kind, order, tuple(map(float, mean)), len(known)))
    return tuple(found)
