"""Which places of a map are its highest ones, where several tie."""

from __future__ import annotations

import numpy as np

from cbam_viz.metrics._checks import Map


def highest(values: Map, area: int) -> Map:
    """1 on the `area` highest places, 0 elsewhere; of the map's shape.

    Equally high places at the border each get the share of them that still fits, which is how often
    each would be taken if chance chose among them.
    """
    threshold = np.partition(values, values.size - area, axis=None)[values.size - area]
    above, equal = values > threshold, values == threshold
    room = (area - int(above.sum())) / int(equal.sum())
    return np.where(above, 1.0, np.where(equal, room, 0.0))
