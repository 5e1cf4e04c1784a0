"""How much of a layer's map lies on what a detector found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cbam_viz.analysis import Analysis
from cbam_viz.attention import LayerAttention
from cbam_viz.detectors import inside_mask
from cbam_viz.metrics import above_minimum, energy_inside
from cbam_viz.render import fit_size, place

LONGEST = 1024
"""Longer side in pixels of the copy of the photo on which shares are counted."""


@dataclass(frozen=True)
class Share:
    """Where a map lies: shares of what the network saw of the photo, in [0, 1]."""

    layer: str
    inside: float
    """Of the map's sum, in the boxes or masks; outside is the rest."""
    area: float
    """Of the area, in them: what `inside` is for a map that is the same everywhere."""
    pattern: float
    """Of the sum of the map less its lowest value there: a gate between 0.4 and 0.6 lies nearly
    alike everywhere, whatever its pattern."""

    @property
    def outside(self) -> float:
        """Of the map's sum, beside the boxes or masks."""
        return 1 - self.inside


def share_inside(analysis: Analysis, layer: LayerAttention) -> Share | None:
    """Share of a layer's map inside what was found, as the map's cells lie on the photo.

    None where nothing was found or sought, the layer has no map, or it is not known where that
    lies, or where the map has values that are no shares (negative, or no numbers).
    """
    found = analysis.detections
    if not found or layer.spatial is None or layer.cells is None:
        return None
    geometry = analysis.geometry
    size = fit_size(geometry.photo_size, LONGEST)
    placed = place(layer.spatial[0].numpy(), layer.cells, geometry, size, method="nearest")
    seen = np.ix_(placed.seen.any(1), placed.seen.any(0))
    values, mask = placed.values[seen], inside_mask(found, geometry, size)[seen]
    if not values.size or not np.isfinite(values).all() or values.min() < 0:
        return None
    if not mask.any():  # boxes smaller than a pixel of the copy
        return None
    return Share(
        layer.name,
        energy_inside(values, mask),
        float(mask.mean()),
        energy_inside(above_minimum(values), mask),
    )


def shares_inside(analysis: Analysis) -> dict[str, Share]:
    """The same of all layers that have one, by name."""
    shares = (share_inside(analysis, layer) for layer in analysis.layers)
    return {share.layer: share for share in shares if share is not None}
