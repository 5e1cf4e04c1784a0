"""Which channel and which cell the numbers of a walk follow, and why these."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from cbam_viz._numbers import number
from cbam_viz.attention import LayerAttention
from cbam_viz.computation import Computation
from cbam_viz.errors import CaptureError
from cbam_viz.images import Geometry, photo_shares

Wish = Literal["most taken", "largest", "smallest"]
"""Which channel: the one from which its weight takes most, or that of the largest or smallest."""

WISHES: dict[Wish, str] = {
    "most taken": "the channel from which its weight takes most",
    "largest": "the channel with the largest weight",
    "smallest": "the channel with the smallest weight",
}


def channels_of(
    layer: LayerAttention, computation: Computation, geometry: Geometry | None
) -> dict[Wish, int]:
    """The channel that each wish comes to; without channel weights only the first, for strength.

    "Takes most" is `|F| (1 - M_c)` over the photo: a weight of 1 changes nothing, and a weight of 0
    on a channel that is silent takes nothing.
    """
    gate = next((one for one in computation.gates if one.kind == "channel"), computation.gates[0])
    features = np.abs(gate.features[0].numpy())
    shares = photo_shares((features.shape[1], features.shape[2]), layer.cells, geometry)
    strength = np.tensordot(features, shares, 2)
    if layer.channel is None:
        return {"most taken": _highest(strength)}
    weights = layer.channel[0].numpy()
    return {
        "most taken": _highest(strength * np.abs(1 - weights)),
        "largest": _highest(weights),
        "smallest": _highest(-weights),
    }


def channel_reason(
    layer: LayerAttention, channel: int, wishes: dict[Wish, int], *, chosen: bool
) -> str:
    """Why this channel; of one that was chosen, the rank of its weight."""
    if layer.channel is None:
        return "chosen by you" if chosen else "the channel that is strongest on the photo"
    weights = layer.channel[0].numpy()
    found = [WISHES[wish] for wish, one in wishes.items() if one == channel]
    same = int((weights == weights[channel]).sum()) - 1
    rank = f"rank {1 + int((weights > weights[channel]).sum())} of {weights.size}"
    told = f"weight {number(float(weights[channel]))}, {rank}"
    if same:
        told += f", shared with {same} other{'s' if same > 1 else ''}"
    return f"{found[0] if found else 'chosen by you'} ({told})"


def cell_of(
    layer: LayerAttention,
    computation: Computation,
    geometry: Geometry | None,
    channel: int,
    *,
    chosen: tuple[int, int] | None = None,
) -> tuple[tuple[int, int], str]:
    """Row and column of the cell to follow, and why: the highest of the map, on the photo.

    Of one that was chosen, only if it is that cell; raises CaptureError if there is none such.
    """
    if layer.spatial is not None:
        values, what = layer.spatial[0].numpy(), "the map is highest"
    else:
        values = np.abs(computation.gates[0].features[0, channel].numpy())
        what = f"channel {channel} is strongest"
    shares = photo_shares((values.shape[0], values.shape[1]), layer.cells, geometry)
    seen = np.where((shares > 0) & np.isfinite(values), values, -np.inf)
    row, column = (int(one) for one in np.unravel_index(int(seen.argmax()), seen.shape))
    if chosen is not None and chosen != (row, column):
        rows, columns = values.shape
        if not (0 <= chosen[0] < rows and 0 <= chosen[1] < columns):
            raise CaptureError(
                f"There is no cell {chosen}; this layer has {rows} rows and {columns} columns, "
                "which count from 0 here."
            )
        return chosen, "chosen by you" if shares[chosen] > 0 else "chosen by you, off the photo"
    equal = int((seen == seen[row, column]).sum())
    first = f"the first of {equal} cells where" if equal > 1 else "the cell where"
    return (row, column), f"{first} {what} on the photo"


def _highest(values: npt.NDArray[np.floating]) -> int:
    """Its place; the first of equal ones, and none that is not a number."""
    return int(np.where(np.isfinite(values), values, -np.inf).argmax())
