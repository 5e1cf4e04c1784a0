"""How much of the photo each cell stands for: closed forms, and the drawn picture as a witness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbam_viz.attention import Cells
from cbam_viz.images import Geometry, InputSpec, border_note, photo_shares, prepare, read_photo
from cbam_viz.render import place

FIXED = InputSpec(size=(224, 224), fixed_size=True)
EVEN = Cells(32, 32, 16, 16)
RESNET = Cells(32, 32, 0.5, 0.5)


def geometry_of(height: int, width: int, spec: InputSpec = FIXED, view="whole") -> Geometry:
    return prepare(read_photo(np.zeros((height, width, 3), np.uint8)), spec, view).geometry


def test_a_photo_twice_as_wide_as_high_covers_the_rows_in_the_middle() -> None:
    """112 x 224 pixels in 224 x 224: rows 56 to 168, cells of 32 rows."""
    shares = photo_shares((7, 7), EVEN, geometry_of(100, 200))
    rows = np.array([0, 8, 32, 32, 32, 8, 0]) / 112
    np.testing.assert_allclose(shares, np.outer(rows, np.full(7, 1 / 7)), atol=1e-15)


def test_cells_end_half_way_to_their_neighbours_and_the_outermost_at_the_edge() -> None:
    """Centres at 0.5, 32.5, ... 192.5: boundaries at 16.5, 48.5, ... 176.5."""
    shares = photo_shares((7, 7), RESNET, geometry_of(224, 224))
    sides = np.array([16.5, 32, 32, 32, 32, 32, 47.5]) / 224
    np.testing.assert_allclose(shares, np.outer(sides, sides), atol=1e-15)
    high = photo_shares((7, 7), RESNET, geometry_of(200, 100))  # columns 56 to 168
    columns = np.array([0, 0, 24.5, 32, 32, 23.5, 0]) / 112
    np.testing.assert_allclose(high, np.outer(sides, columns), atol=1e-15)


def test_a_border_that_ends_between_two_cells_leaves_no_sliver() -> None:
    """Rows 64 to 160: cells 2, 3 and 4 and nothing of the others, rounding or not."""
    geometry = Geometry((96, 224), (224, 224), 1.0, 1.0, -64.0, 0.0)
    rows = photo_shares((7, 7), EVEN, geometry).sum(1)
    np.testing.assert_allclose(rows, np.array([0, 0, 1, 1, 1, 0, 0]) / 3, atol=1e-15)
    moved = Geometry((96, 224), (224, 224), 1.0, 1.0, -64.0 + 1e-12, 0.0)
    assert np.array_equal(photo_shares((7, 7), EVEN, moved) > 0, rows[:, None] > np.zeros(7))


def test_cells_may_run_back() -> None:
    """A network that has turned its features upside down: row 0 lies at the bottom."""
    geometry = Geometry((100, 224), (224, 224), 1.0, 1.0, 0.0, 0.0)  # border below the photo
    forth = photo_shares((7, 7), EVEN, geometry)
    back = photo_shares((7, 7), Cells(-32, 32, 208, 16), geometry)
    np.testing.assert_allclose(back, forth[::-1], atol=1e-15)
    assert forth.sum(1)[:4] == pytest.approx([0.32, 0.32, 0.32, 0.04])


def test_a_map_finer_than_the_input() -> None:
    geometry = Geometry((2, 4), (4, 4), 1.0, 1.0, -1.0, 0.0)
    shares = photo_shares((8, 8), Cells(0.5, 0.5, 0.25, 0.25), geometry)
    assert shares.sum(1).tolist() == [0, 0, 0.25, 0.25, 0.25, 0.25, 0, 0]


def test_what_is_not_known_counts_alike() -> None:
    alike = np.full((2, 5), 0.1)
    assert np.array_equal(photo_shares((2, 5), EVEN, None), alike)
    assert np.array_equal(photo_shares((2, 5), None, geometry_of(10, 20)), alike)


@given(
    photo=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    view=st.sampled_from(["crop", "whole"]),
    mode=st.sampled_from(["center", "squash", "border"]),
    fixed=st.booleans(),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    stride=st.tuples(st.sampled_from([4.0, 7.5, -8.0]), st.sampled_from([0.5, 8.0, -12.0])),
    offset=st.tuples(st.floats(-20, 80), st.floats(-20, 80)),
)
def test_the_mean_of_a_map_is_that_of_its_picture(
    photo, view, mode, fixed, shape, stride, offset
) -> None:
    """Each cell drawn as a rectangle on a copy of the photo, and its pixels counted."""
    spec = InputSpec(size=(64, 48), crop_mode=mode, fixed_size=fixed, multiple=16)
    geometry = geometry_of(*photo, spec, view)
    cells = Cells(stride[0], stride[1], offset[0], offset[1])
    shares = photo_shares(shape, cells, geometry)
    assert shares.sum() == pytest.approx(1)

    finer = (photo[0] * 40, photo[1] * 40)
    numbers = np.arange(shape[0] * shape[1]).reshape(shape)
    drawn = place(numbers, cells, geometry, finer, method="nearest")
    seen = drawn.values[drawn.seen].astype(int)
    counted = np.bincount(seen, minlength=numbers.size) / seen.size
    # Along each side the edges of a cell and of what was seen may each be a pixel off.
    top, left, bottom, right = geometry.seen
    rounding = 2 / (40 * (bottom - top)) + 2 / (40 * (right - left))
    np.testing.assert_allclose(counted, shares.ravel(), atol=rounding)


def test_the_border_is_named_with_its_size_and_colour() -> None:
    note = "fitted into 224 × 224 with a {} border: 50 % of the input is border"
    assert border_note(geometry_of(100, 200)) == note.format("grey")
    black = InputSpec(mean=(0, 0, 0), std=(1, 1, 1), fixed_size=True)
    assert border_note(geometry_of(100, 200, black)) == note.format("black")
    white = InputSpec(mean=(1, 1, 1), std=(1, 1, 1), fixed_size=True)
    assert border_note(geometry_of(100, 200, white)) == note.format("white")
    red = InputSpec(mean=(0.9, 0.2, 0.1), fixed_size=True)
    assert border_note(geometry_of(100, 200, red)) == note.format("coloured")
    by_mode = InputSpec(crop_mode="border", crop_pct=1.0)
    assert border_note(geometry_of(100, 200, by_mode, "crop")) == note.format("grey")
    outside = InputSpec(crop_pct=2.0)  # timm pads with black what the crop lacks
    assert border_note(geometry_of(100, 100, outside, "crop")) == (
        "fitted into 224 × 224 with a black border: 75 % of the input is border"
    )


def test_of_several_photos_the_borders_are_a_range() -> None:
    square, wide, wider = (geometry_of(100, width) for width in (100, 200, 400))
    assert border_note() == border_note(square) == ""
    assert border_note(wide, wider).endswith("grey border: 50 to 75 % of the input is border")
    assert border_note(square, wide).endswith("grey border: 0 to 50 % of the input is border")
    other = geometry_of(100, 200, InputSpec(size=(96, 96), fixed_size=True))
    assert border_note(wide, other).startswith("fitted into the input with a grey border: 50 %")
    nearly = Geometry((223, 224), (224, 224), 1.0, 1.0, 0.0, 0.0)
    assert border_note(nearly).endswith("plain border: less than 1 % of the input is border")


@pytest.mark.parametrize(("size", "share"), [((100, 200), 0.5), ((300, 451), 1 - 149 / 224)])
def test_the_share_of_the_border(size: tuple[int, int], share: float) -> None:
    assert geometry_of(*size).border_share == pytest.approx(share, abs=1e-9)
    assert geometry_of(*size, view="crop").border_share == 0
    assert geometry_of(*size, view="crop").border is None
