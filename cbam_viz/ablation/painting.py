"""From a mask on the photo to the cells of a layer's map."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cbam_viz.analysis import Analysis
from cbam_viz.errors import CaptureError
from cbam_viz.render import cell_edges


def on_cells(analysis: Analysis, layer: str, mask: Any) -> Tensor:
    """The share of each cell of a layer's map that a mask on the photo covers, (h, w) float32.

    To be painted on that map: `Painted(on_cells(analysis, "layer4.1.se", mask), 0.0)` closes what
    lies there. A cell is the rectangle that pictures of the map show it as; what the network did
    not see of the photo counts for none, and a cell beyond the photo is not covered.

    Args:
        analysis: of the photo in the network, by `analyse`.
        layer: name of a layer with a spatial map.
        mask: (H, W) of the photo, true or 1 where it covers, shares in between.

    Raises:
        CaptureError: there is no such layer or no map in it, the places of its cells are not known,
            or the mask is none of this photo.
    """
    found = analysis.attention.layers.get(layer)
    if found is None or found.spatial is None or found.cells is None:
        there = [one.name for one in analysis.layers if one.spatial is not None]
        what = "is not there" if found is None else "has no map whose cells lie on the photo"
        raise CaptureError(f"{layer!r} {what}. Layers with one: {', '.join(there) or 'none'}.")
    size = analysis.geometry.photo_size
    try:
        values = np.asarray(mask, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CaptureError(f"A mask is an array of numbers, (H, W): {error}.") from error
    if values.shape != size:
        shape = " × ".join(map(str, values.shape)) or "one number"
        raise CaptureError(
            f"The mask is {shape}, and the photo {size[0]} × {size[1]} (height × width): it needs "
            "a value for each of its pixels."
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise CaptureError("A mask is 0 where nothing is painted, 1 where it is, or in between.")
    height, width = found.spatial.shape[1:]
    edges = cell_edges((height, width), found.cells, analysis.geometry)
    rows, columns = _covered(edges.rows, size[0]), _covered(edges.columns, size[1])
    areas = np.outer(rows.sum(1), columns.sum(1))
    shares = np.divide(rows @ values @ columns.T, areas, out=np.zeros_like(areas), where=areas > 0)
    return torch.from_numpy(shares.clip(0, 1)).float()


def _covered(edges: tuple[float, ...], count: int) -> npt.NDArray[np.float64]:
    """(cells, pixels): how much of each pixel lies between two edges, along one axis."""
    low, high = np.sort([edges[:-1], edges[1:]], axis=0)
    pixels = np.arange(count)
    ends = np.minimum(high[:, None], pixels + 1.0), np.maximum(low[:, None], pixels)
    covered: npt.NDArray[np.float64] = (ends[0] - ends[1]).clip(0, 1)
    return covered
