"""Methods that torchcam has not: EigenCAM and occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cbam_viz.attention import Cells
from cbam_viz.errors import MethodError
from cbam_viz.methods.bench import Bench
from cbam_viz.methods.gradients import Values, as_array, demand_numbers

CHUNK = 16
"""Changed inputs in one forward."""


@dataclass(frozen=True)
class Sweep:
    """How a method goes over changed inputs."""

    window: int | None = None
    """Side of occlusion's window in input pixels; None for an eighth of the shorter side."""
    stride: int | None = None
    """From window to window; None for half a window."""
    chunk: int = CHUNK


def eigen_cams(bench: Bench, x: Tensor) -> list[Values]:
    """EigenCAM maps (h, w) of all places, of no class, by one forward.

    The features' projection on the first right singular vector of their matrix (h w, C), which is
    not centred. Muhammad and Yeasin, "Eigen-CAM", IJCNN 2020, section III. A singular vector has no
    sign of its own: here the map's sum is positive, so that it is high where features are.
    """
    seen: dict[int, Tensor] = {}
    bench.see = lambda k, features: seen.update({k: features.detach().clone()})
    try:
        with torch.no_grad():
            bench(x)
    finally:
        bench.see = None
    return [_projection(seen[k], place.what) for k, place in enumerate(bench.places)]


def _projection(features: Tensor, what: str) -> Values:
    demand_numbers(what, features)
    matrix = features[0].double().flatten(1).T
    _, vectors = torch.linalg.eigh(matrix.T @ matrix)
    values = matrix @ vectors[:, -1]
    total, largest = values.sum(), values[values.abs().argmax()]
    sign = total if float(total.abs()) > 1e-9 * float(values.abs().sum()) else largest
    return as_array((values * (-1 if sign < 0 else 1)).view(features.shape[2:]))


def occlusion(bench: Bench, x: Tensor, sweep: Sweep) -> tuple[Values, Cells, dict[str, Any]]:
    """How much the score falls where a window is covered: values (h, w), their cells, settings.

    A cell is a window, and lies on its centre; all windows lie wholly on the input, (1, C, H, W).
    They are covered with the input's own mean colour. Negative where the score rises. Zeiler and
    Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2.

    Raises:
        MethodError: the window does not fit.
    """
    height, width = int(x.shape[2]), int(x.shape[3])
    side = max(1, min(height, width) // 8) if sweep.window is None else sweep.window
    step = max(1, side // 2) if sweep.stride is None else sweep.stride
    if not 1 <= side <= min(height, width) or step < 1:
        raise MethodError(
            f"A window of {side} pixels, moved by {step}, does not fit an input of {width} x "
            f"{height}."
        )
    rows, columns = _starts(height, side, step), _starts(width, side, step)
    cover = x.mean((2, 3), keepdim=True)[0]
    places = [(top, left) for top in rows for left in columns]
    scores = []
    with bench.unseen(len(places) + 1), torch.no_grad():
        plain = bench(x)[0, 0].double()
        for start in range(0, len(places), sweep.chunk):
            some = places[start : start + sweep.chunk]
            batch = x.repeat(len(some), 1, 1, 1)
            for one, (top, left) in zip(batch, some, strict=True):
                one[:, top : top + side, left : left + side] = cover
            scores.append(bench(batch)[:, 0].double())
    fall = (plain - torch.cat(scores)).view(len(rows), len(columns))
    demand_numbers("the score behind covered windows", fall)
    half = side / 2
    cells = Cells(step, step, rows[0] + half, columns[0] + half)
    settings = {"window": side, "stride": step, "covered with": "the input's mean colour"}
    return as_array(fall), cells, settings


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where windows begin: as many as fit, with what is left over shared by both ends."""
    count = (length - side) // step + 1
    first = (length - side - (count - 1) * step) // 2
    return [first + k * step for k in range(count)]
