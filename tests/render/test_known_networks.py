"""From a file through a network whose answer is known, and back onto the file's own pixels.

The networks are pyramids of strided convolutions that keep positions in a known way, like those of
real networks; the picture is a bright spot. Whatever is drawn must lie on the spot.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from cbam_viz.attention import Cells
from cbam_viz.images import InputSpec, View, prepare, read_photo
from cbam_viz.render import place

SPEC = InputSpec(mean=(0.0,) * 3, std=(1.0,) * 3)


def resnet_like(x: Tensor, halvings: int) -> Tensor:
    """Convolutions of kernel 3, stride 2, padding 1: output i is centred on input pixel 2 i."""
    kernel = torch.tensor([1.0, 2.0, 1.0])
    weight = (kernel[:, None] * kernel / 16)[None, None]
    for _ in range(halvings):
        x = functional.conv2d(x, weight, stride=2, padding=1)
    return x


def pooling(x: Tensor, halvings: int) -> Tensor:
    """Means of blocks: output i is centred on the middle of its block; what is left over is cut."""
    return functional.avg_pool2d(x, 2**halvings)


def spot(size: tuple[int, int], y: float, x: float, sigma: float) -> npt.NDArray[np.uint8]:
    rows = np.exp(-(((np.arange(size[0]) + 0.5 - y) / sigma) ** 2) / 2)
    columns = np.exp(-(((np.arange(size[1]) + 0.5 - x) / sigma) ** 2) / 2)
    grey = (255 * np.outer(rows, columns)).round().astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def centre(values: npt.NDArray[np.float32]) -> tuple[float, float]:
    weights = values.astype(np.float64)
    y, x = np.arange(values.shape[0]) + 0.5, np.arange(values.shape[1]) + 0.5
    total = weights.sum()
    return float((weights.sum(1) * y).sum() / total), float((weights.sum(0) * x).sum() / total)


@pytest.mark.parametrize("view", ["crop", "whole"])
@pytest.mark.parametrize("size", [(300, 451), (451, 300), (333, 777), (1100, 300), (230, 231)])
@pytest.mark.parametrize(
    ("network", "halvings", "first"), [("resnet", 3, 0.5), ("resnet", 4, 0.5), ("pooling", 3, 4.0)]
)
def test_the_spot_is_drawn_where_it_is(
    view: View, size: tuple[int, int], network: str, halvings: int, first: float
) -> None:
    where = size[0] / 2 + 11.3, size[1] / 2 - 17.8
    photo = read_photo(spot(size, *where, sigma=min(size) / 12))
    made = prepare(photo, SPEC, view)
    run = resnet_like if network == "resnet" else pooling
    found = run(made.tensor[:, :1], halvings)[0, 0].numpy()
    stride = 2**halvings
    placed = place(found, Cells(stride, stride, first, first), made.geometry)
    error_y, error_x = np.subtract(centre(placed.values), where)
    # In input pixels; half of one is asked for.
    assert abs(error_y / made.geometry.scale_y) < 0.25
    assert abs(error_x / made.geometry.scale_x) < 0.25


def test_the_wrong_cells_would_be_noticed() -> None:
    photo = read_photo(spot((448, 448), 224, 224, 40))
    made = prepare(photo, SPEC, "crop")
    found = resnet_like(made.tensor[:, :1], 4)[0, 0].numpy()
    placed = place(found, Cells(16, 16, 8, 8), made.geometry)  # as if stretched over the input
    assert np.subtract(centre(placed.values), 224)[0] / made.geometry.scale_y > 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_uploads(orientation: int) -> None:
    size, where = (300, 451), (130.0, 250.0)
    upright = spot(size, *where, sigma=24)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(turned)).save(buffer, "PNG", exif=exif)
    photo = read_photo(buffer.getvalue())
    made = prepare(photo, SPEC, "crop")
    found = resnet_like(made.tensor[:, :1], 3)[0, 0].numpy()
    placed = place(found, Cells(8, 8, 0.5, 0.5), made.geometry)
    assert centre(placed.values) == pytest.approx(where, abs=0.25)
