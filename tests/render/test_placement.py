"""A map lands on the photo where its cells look, to a fraction of an input pixel."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cbam_viz import RenderError
from cbam_viz.attention import Cells
from cbam_viz.images import Geometry, InputSpec, Photo, View, prepare, read_photo
from cbam_viz.render import place

RESNET_32 = Cells(32, 32, 0.5, 0.5)
EVEN_32 = Cells(32, 32, 16, 16)

SIZES = [(300, 451), (451, 300), (64, 64), (123, 599), (599, 123), (97, 901)]
VIEWS: list[View] = ["crop", "whole"]


def black(height: int, width: int) -> Photo:
    return read_photo(np.zeros((height, width, 3), np.uint8))


def oracle(
    values: npt.NDArray[Any], cells: Cells, geometry: Geometry, size: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Pixel by pixel, from the definitions, with none of the code under test."""
    out = np.empty(size)
    for row in range(size[0]):
        y = (row + 0.5) * geometry.photo_size[0] / size[0]
        v = ((y - geometry.offset_y) / geometry.scale_y - cells.offset_y) / cells.stride_y
        v = min(max(v, 0.0), values.shape[0] - 1.0)
        for column in range(size[1]):
            x = (column + 0.5) * geometry.photo_size[1] / size[1]
            u = ((x - geometry.offset_x) / geometry.scale_x - cells.offset_x) / cells.stride_x
            u = min(max(u, 0.0), values.shape[1] - 1.0)
            i, j = min(int(v), values.shape[0] - 1), min(int(u), values.shape[1] - 1)
            k, m = min(i + 1, values.shape[0] - 1), min(j + 1, values.shape[1] - 1)
            p, q = v - i, u - j
            out[row, column] = (1 - p) * ((1 - q) * values[i, j] + q * values[i, m]) + p * (
                (1 - q) * values[k, j] + q * values[k, m]
            )
    return out


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", [(30, 45), (41, 23), (17, 96)])
@pytest.mark.parametrize("shape", [(7, 7), (1, 1), (1, 5), (4, 1), (3, 8), (14, 14)])
def test_equals_the_definition(view: View, size: tuple[int, int], shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    geometry = prepare(black(*size), InputSpec(size=(64, 64)), view).geometry
    cells = Cells(8, 6.5, 0.5, 3.25)
    placed = place(values, cells, geometry)
    np.testing.assert_allclose(
        placed.values, oracle(values, cells, geometry, size), atol=2e-6, rtol=0
    )
    smaller = place(values, cells, geometry, (11, 13))
    np.testing.assert_allclose(
        smaller.values, oracle(values, cells, geometry, (11, 13)), atol=2e-6, rtol=0
    )


def centre_of_mass(values: npt.NDArray[Any]) -> tuple[float, float]:
    """In photo coordinates: the centre of pixel k is at k + 0.5."""
    rows, columns = values.sum(1, dtype=np.float64), values.sum(0, dtype=np.float64)
    total = values.sum(dtype=np.float64)
    return (
        float((rows * (np.arange(len(rows)) + 0.5)).sum() / total),
        float((columns * (np.arange(len(columns)) + 0.5)).sum() / total),
    )


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cells", [RESNET_32, EVEN_32, Cells(16, 16, 0.5, 0.5), Cells(8, 8, 4, 4)])
def test_a_single_hot_cell_lies_on_its_receptive_field(
    view: View, size: tuple[int, int], cells: Cells
) -> None:
    geometry = prepare(black(*size), InputSpec(), view).geometry
    # As a network of this stride has it, also on sides that it does not divide.
    shape = (
        -(-geometry.input_size[0] // int(cells.stride_y)),
        -(-geometry.input_size[1] // int(cells.stride_x)),
    )
    # A tent of few photo pixels is sampled too coarsely for its centre of mass to be exact.
    finer = 1 if min(size) > 256 else 4
    checked = 0
    # Not the outermost cells: they are repeated outwards.
    for i in range(1, shape[0] - 1, max(1, shape[0] // 4)):
        for j in range(1, shape[1] - 1, max(1, shape[1] // 4)):
            delta = np.zeros(shape, np.float32)
            delta[i, j] = 1
            y = cells.offset_y + i * cells.stride_y
            x = cells.offset_x + j * cells.stride_x
            expected = geometry.to_photo(y, x)
            reach = (cells.stride_y * geometry.scale_y, cells.stride_x * geometry.scale_x)
            if not all(r < e < s - r for e, r, s in zip(expected, reach, size, strict=True)):
                continue  # cut by the photo's edge: its centre of mass lies elsewhere
            drawn = place(delta, cells, geometry, (finer * size[0], finer * size[1])).values
            on_photo = (position / finer for position in centre_of_mass(drawn))
            found = geometry.to_input(*on_photo)
            # Half an input pixel is asked for; this is a tenth.
            assert found == pytest.approx((y, x), abs=0.1)
            checked += 1
    assert checked >= 4


def test_the_peak_of_a_cell_is_at_its_centre() -> None:
    # A photo of the input's own size: input and photo coordinates are the same.
    geometry = Geometry((224, 224), (224, 224), 1, 1, 0, 0)
    delta = np.zeros((7, 7), np.float32)
    delta[3, 2] = 1
    values = place(delta, RESNET_32, geometry).values
    # Cell (3, 2) is centred on (96.5, 64.5): the centre of pixel (96, 64), where it has all weight.
    assert values[96, 64] == 1
    assert values[96 + 16, 64] == values[96 - 16, 64] == 0.5
    assert values[96, 64 + 8] == 0.75
    assert values[96 + 32, 64] == values[96, 64 - 32] == 0
    stretched = place(delta, EVEN_32, geometry).values
    # Centre (112, 80), between pixels 111 and 112: the naive stretch is 15.5 pixels off.
    assert stretched[111, 79] == stretched[112, 80] == (1 - 0.5 / 32) ** 2


def test_beyond_the_outermost_centres_values_repeat() -> None:
    geometry = Geometry((224, 224), (224, 224), 1, 1, 0, 0)
    values = np.random.default_rng(1).random((7, 7)).astype(np.float32)
    placed = place(values, RESNET_32, geometry).values
    np.testing.assert_array_equal(placed[192:, 192:], values[6, 6])
    np.testing.assert_array_equal(placed[0, 0], values[0, 0])


def test_a_linear_ramp_stays_linear() -> None:
    """Interpolation between centres reproduces y and x themselves, through crop and resize."""
    geometry = prepare(black(300, 451), InputSpec(), "crop").geometry
    i, j = np.mgrid[0:7, 0:7]
    ramp = (0.5 + 32 * i) * 1000 + (0.5 + 32 * j)  # y * 1000 + x at each centre
    placed = place(ramp, RESNET_32, geometry).values
    for row, column in [(150, 225), (60, 150), (100, 300), (230, 120)]:
        y, x = geometry.to_input(row + 0.5, column + 0.5)
        assert placed[row, column] == pytest.approx(y * 1000 + x, rel=1e-6)


@pytest.mark.parametrize(
    ("size", "view"), [((300, 451), "crop"), ((300, 451), "whole"), ((40, 900), "crop")]
)
def test_seen_is_what_the_geometry_says(size: tuple[int, int], view: View) -> None:
    geometry = prepare(black(*size), InputSpec(), view).geometry
    seen = place(np.ones((7, 7)), RESNET_32, geometry).seen
    top, left, bottom, right = geometry.seen
    for (row, column), value in np.ndenumerate(seen):
        inside = top < row + 0.5 < bottom and left < column + 0.5 < right
        assert value == inside
    assert place(np.ones((7, 7)), RESNET_32, geometry, (13, 17)).seen.mean() == pytest.approx(
        geometry.seen_share, abs=0.08
    )


def test_nearest_shows_cells_as_rectangles_around_their_centres() -> None:
    geometry = Geometry((224, 224), (224, 224), 1, 1, 0, 0)
    values = np.arange(49, dtype=np.float32).reshape(7, 7)
    placed = place(values, RESNET_32, geometry, method="nearest").values
    # Cell 1 reaches from 16.5 to 48.5: pixel 16 has its centre on the border, 17 to 47 lie inside.
    assert placed[0, 15] == 0
    assert (placed[0, 17:48] == 1).all()
    assert placed[0, 49] == 2
    assert placed[17, 0] == 7
    assert set(np.unique(placed)) == set(range(49))


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_turned_uploads_get_their_maps_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = (300, 451) if orientation == 1 else (451, 300)
    buffer = io.BytesIO()
    Image.new("RGB", stored[::-1]).save(buffer, "JPEG", exif=exif)
    geometry = prepare(read_photo(buffer.getvalue()), InputSpec(), "crop").geometry
    reference = prepare(black(300, 451), InputSpec(), "crop").geometry
    values = np.random.default_rng(2).random((7, 7)).astype(np.float32)
    np.testing.assert_array_equal(
        place(values, RESNET_32, geometry).values, place(values, RESNET_32, reference).values
    )


def test_cells_that_are_not_numbers_do_not_spread() -> None:
    geometry = Geometry((224, 224), (224, 224), 1, 1, 0, 0)
    values = np.full((7, 7), 0.25, np.float32)
    values[3, 3] = np.nan
    values[5, 5] = np.inf
    placed = place(values, EVEN_32, geometry).values
    bad = ~np.isfinite(placed)
    assert bad.sum() == 2 * 32 * 32
    assert np.isnan(placed[96:128, 96:128]).all()
    assert np.isinf(placed[160:192, 160:192]).all()
    assert placed[0, 0] == 0.25


def test_bits_do_not_depend_on_memory_layout_or_type() -> None:
    geometry = prepare(black(300, 451), InputSpec(), "crop").geometry
    values = np.random.default_rng(3).random((7, 9)).astype(np.float32)
    reference = place(values, RESNET_32, geometry).values
    for other in (np.asfortranarray(values), values.astype(np.float64)):
        np.testing.assert_array_equal(place(other, RESNET_32, geometry).values, reference)


@pytest.mark.parametrize(
    ("values", "size"),
    [
        (np.zeros(7), None),
        (np.zeros((2, 7, 7)), None),
        (np.zeros((0, 7)), None),
        (np.zeros((7, 7)), (0, 5)),
        (np.zeros((7, 7)), (5, -1)),
    ],
)
def test_what_cannot_be_placed(values: npt.NDArray[Any], size: tuple[int, int] | None) -> None:
    with pytest.raises(RenderError, match="cannot be put on a picture"):
        place(values, RESNET_32, Geometry((9, 9), (9, 9), 1, 1, 0, 0), size)


def test_an_unknown_method() -> None:
    with pytest.raises(RenderError, match="no method 'cubic'"):
        place(np.zeros((2, 2)), EVEN_32, Geometry((9, 9), (9, 9), 1, 1, 0, 0), method="cubic")  # type: ignore[arg-type]
