"""Blending, marking, level lines, bars, strips and encoding, each against a value worked out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cbam_viz import RenderError
from cbam_viz.attention import Cells
from cbam_viz.images import Geometry
from cbam_viz.render import (
    Placed,
    Scale,
    absolute_scale,
    colorbar,
    colorize,
    contour_levels,
    contours,
    encode,
    fit_size,
    hatch_unseen,
    lookup_table,
    overlay,
    place,
    resize_photo,
    strip,
)

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (40, 60, 3), np.uint8)
VALUES = RNG.random((40, 60)).astype(np.float32)
ALL = Placed(VALUES, np.ones((40, 60), bool))
LEFT = Placed(VALUES, np.arange(60)[None] * np.ones((40, 1)) < 30)


@pytest.mark.parametrize("opacity", [0.0, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("colormap", ["viridis", "diverging", "grey"])
def test_overlay_is_the_blend_it_says(opacity: float, colormap: str) -> None:
    drawn = overlay(PHOTO, ALL, scale=absolute_scale(), colormap=colormap, opacity=opacity)
    colours = colorize(VALUES, absolute_scale(), colormap).astype(float)
    expected = (1 - opacity) * PHOTO + opacity * colours
    assert drawn.dtype == np.uint8
    assert np.abs(drawn - expected).max() <= 0.5 + 1e-3


def test_white_on_white_does_not_overflow() -> None:
    white = np.full((2, 2, 3), 255, np.uint8)
    placed = Placed(np.ones((2, 2), np.float32), np.ones((2, 2), bool))
    assert (overlay(white, placed, scale=absolute_scale(), colormap="grey") == 255).all()


def test_channels_are_red_green_blue() -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    placed = Placed(np.zeros((2, 2), np.float32), np.ones((2, 2), bool))
    drawn = overlay(red, placed, scale=absolute_scale(), opacity=0.5)
    # The first colour of viridis is (68, 1, 84).
    assert drawn[0, 0].tolist() == [134, 0, 42] or drawn[0, 0].tolist() == [134, 1, 42]


def test_unseen_parts_are_dark_hatched_and_without_colour() -> None:
    drawn = overlay(PHOTO, LEFT, scale=absolute_scale())
    plain = overlay(PHOTO, LEFT, scale=absolute_scale(), mark_unseen=False)
    np.testing.assert_array_equal(drawn[:, :30], plain[:, :30])
    dimmed = 0.35 * PHOTO[:, 30:].astype(float)
    extra = drawn[:, 30:] - dimmed
    off_line = np.abs(extra).max(2) <= 0.5 + 1e-3
    on_line = np.abs(extra - 70).max(2) <= 0.5 + 1e-3
    assert (off_line | on_line).all()
    assert 0.05 < on_line.mean() < 0.3
    other = Placed(1 - VALUES, LEFT.seen)
    np.testing.assert_array_equal(
        overlay(PHOTO, other, scale=absolute_scale())[:, 30:], drawn[:, 30:]
    )


def test_hatch_lines_run_diagonally() -> None:
    black = np.zeros((50, 50, 3), np.uint8)
    hatched = hatch_unseen(black, np.zeros((50, 50), bool))[..., 0]
    np.testing.assert_array_equal(hatched[1:, :-1], hatched[:-1, 1:])
    assert hatched.max() == 70


def test_photos_are_left_alone() -> None:
    before = PHOTO.copy()
    PHOTO.flags.writeable = False
    overlay(PHOTO, LEFT, scale=absolute_scale())
    contours(PHOTO, LEFT, scale=absolute_scale())
    PHOTO.flags.writeable = True
    np.testing.assert_array_equal(PHOTO, before)
    assert hatch_unseen(PHOTO, ALL.seen) is PHOTO


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_impossible_opacities(opacity: float) -> None:
    with pytest.raises(RenderError, match="opacity"):
        overlay(PHOTO, ALL, scale=absolute_scale(), opacity=opacity)


@pytest.mark.parametrize(
    "photo", [PHOTO[:, :50], PHOTO[..., 0], PHOTO.astype(np.float32), PHOTO[..., :2]]
)
def test_photos_that_do_not_fit(photo: np.ndarray) -> None:
    with pytest.raises(RenderError, match="do not fit"):
        overlay(photo, ALL, scale=absolute_scale())


def test_sizes() -> None:
    assert fit_size((300, 450), 150) == (100, 150)
    assert fit_size((300, 450), 1000) == (300, 450)
    assert fit_size((1, 5000), 100) == (1, 100)
    photo = np.array([[[0] * 3, [100] * 3], [[50] * 3, [250] * 3]], np.uint8)
    assert resize_photo(photo, (1, 1)).tolist() == [[[100] * 3]]
    assert resize_photo(photo, (2, 2)) is photo


def test_a_larger_copy_lies_between_the_pixels_that_there_are() -> None:
    photo = np.repeat(np.array([[0, 100]], np.uint8)[..., None], 3, 2)
    # Centres of the four pixels lie at -0.25, 0.25, 0.75 and 1.25 of the two.
    assert resize_photo(photo, (1, 4))[0, :, 0].tolist() == [0, 25, 75, 100]


def ramp(height: int, width: int) -> Placed:
    """Rises by one hundredth a pixel to the right, from half a hundredth."""
    row = (np.arange(width) + 0.5) / 100
    return Placed(np.tile(row, (height, 1)).astype(np.float32), np.ones((height, width), bool))


def test_level_lines_lie_on_their_level() -> None:
    white = np.full((30, 100, 3), 255, np.uint8)
    drawn = contours(white, ramp(30, 100), scale=absolute_scale(), levels=[0.25], colormap="grey")
    darkness = (255 - drawn[..., 0].astype(float)).sum(0)
    centre = (darkness * (np.arange(100) + 0.5)).sum() / darkness.sum()
    assert centre == pytest.approx(25, abs=0.05)
    # A line of one pixel and its rim: two and a half pixels, with soft edges.
    assert 2 <= (darkness > 0).sum() <= 4
    assert (drawn[0] == drawn[-1]).all()


def test_circles_come_out_round() -> None:
    y, x = np.mgrid[0:101, 0:101] - 50.0
    cone = Placed((1 - np.hypot(y, x) / 60).astype(np.float32), np.ones((101, 101), bool))
    black = np.zeros((101, 101, 3), np.uint8)
    drawn = contours(black, cone, scale=absolute_scale(), levels=[0.5])
    radius = np.hypot(y, x)[drawn.max(2) > 60]
    assert radius.size > 150
    assert np.abs(radius - 30).max() < 1.5


def test_flat_maps_have_no_lines_on_any_scale() -> None:
    flat = Placed(np.full((40, 60), 0.5, np.float32), np.ones((40, 60), bool))
    for scale in (absolute_scale(), Scale("per map", 0.5, 0.5)):
        drawn = contours(PHOTO, flat, scale=scale, levels=[0.5, 0.25])
        np.testing.assert_array_equal(drawn, PHOTO)


def test_flat_beyond_rounding_has_no_lines() -> None:
    geometry = Geometry((60, 80), (224, 224), 60 / 224, 80 / 224, 0, 0)
    placed = place(np.full((7, 7), 0.3), Cells(32, 32, 0.5, 0.5), geometry)
    photo = np.zeros((60, 80, 3), np.uint8)
    level = float(placed.values.mean())
    assert not contours(photo, placed, scale=absolute_scale(), levels=[level]).any()


def test_contour_levels() -> None:
    assert contour_levels(absolute_scale(), 4) == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert contour_levels(Scale("per map", 0.5, 0.5), 4) == []
    assert contour_levels(absolute_scale(), [0.1, 0.9]) == [0.1, 0.9]
    with pytest.raises(RenderError, match="level lines"):
        contour_levels(absolute_scale(), 0)


def test_contours_of_a_single_row_and_of_unseen_parts() -> None:
    single = Placed(np.linspace(0, 1, 20, dtype=np.float32)[None], np.ones((1, 20), bool))
    assert contours(np.zeros((1, 20, 3), np.uint8), single, scale=absolute_scale()).shape == (
        1,
        20,
        3,
    )
    drawn = contours(PHOTO, LEFT, scale=absolute_scale())
    np.testing.assert_array_equal(drawn[:, 30:], hatch_unseen(PHOTO, LEFT.seen)[:, 30:])


@pytest.mark.parametrize("width", [256, 300, 40, 1])
def test_colorbar_runs_from_first_to_last_colour(width: int) -> None:
    bar = colorbar(absolute_scale(), "magma", width=width, height=5)
    assert bar.shape == (5, width, 3)
    assert (bar == bar[0]).all()
    if width >= 256:
        assert bar[0, 0].tolist() == lookup_table("magma")[0].tolist()
        assert bar[0, -1].tolist() == lookup_table("magma")[255].tolist()
    flat = colorbar(Scale("per map", 0.5, 0.5), "magma", width=width)
    assert (flat == lookup_table("magma")[128]).all()


def test_colorbar_with_labels_keeps_the_bar() -> None:
    plain, labelled = (colorbar(absolute_scale(), labels=labels) for labels in (False, True))
    np.testing.assert_array_equal(labelled[: len(plain)], plain)
    text = labelled[len(plain) :]
    assert text.min() < 60  # something is written
    assert (text[:, 40:90] == 255).all()  # nothing between the end and the middle


def test_strip_has_one_cell_a_channel() -> None:
    weights = np.array([0.0, 1.0, 0.5, 0.25], np.float32)
    drawn = strip(weights, absolute_scale(), height=3, channel_width=2)
    assert drawn.shape == (3, 8, 3)
    table = lookup_table()
    for channel, level in enumerate([0, 255, 128, 64]):
        cell = drawn[:, 2 * channel : 2 * channel + 2].reshape(-1, 3)
        assert np.abs(cell.astype(int) - table[level]).max() <= 1
    for bad in (np.zeros((2, 3)), np.zeros(0)):
        with pytest.raises(RenderError, match="strip"):
            strip(bad, absolute_scale())
    with pytest.raises(RenderError, match="colour bar"):
        colorbar(absolute_scale(), width=0)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_encoded_colours_come_back(format: str) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 250
    data = encode(red, format)  # type: ignore[arg-type]
    back = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB)
    assert np.abs(back.astype(int) - red).max() <= 6
    assert data == encode(red, format)  # type: ignore[arg-type]


def test_png_is_lossless_with_and_without_alpha_and_grey() -> None:
    rgba = RNG.integers(0, 256, (9, 7, 4), np.uint8)
    for pixels, code in (
        (PHOTO, cv2.COLOR_BGR2RGB),
        (rgba, cv2.COLOR_BGRA2RGBA),
        (PHOTO[..., 0].copy(), None),
    ):
        back = cv2.imdecode(np.frombuffer(encode(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(back if code is None else cv2.cvtColor(back, code), pixels)


@pytest.mark.parametrize(
    ("pixels", "format", "quality", "says"),
    [
        (PHOTO, "bmp", 90, "no format 'bmp'"),
        (PHOTO, "jpeg", 0, "quality of 0"),
        (PHOTO, "jpeg", 101, "quality of 101"),
        (PHOTO.astype(float), "png", 90, "cannot be written"),
        (PHOTO[..., :2], "png", 90, "cannot be written"),
        (PHOTO[:0], "png", 90, "cannot be written"),
        (np.zeros((4, 4, 4), np.uint8), "jpeg", 90, "no transparency"),
        (np.zeros((20_000, 1, 3), np.uint8), "webp", 90, "16,383"),
        (np.zeros((70_000, 1, 3), np.uint8), "jpeg", 90, "16,383"),
    ],
)
def test_what_cannot_be_encoded(pixels: np.ndarray, format: str, quality: int, says: str) -> None:
    with pytest.raises(RenderError, match=says):
        encode(pixels, format, quality)  # type: ignore[arg-type]
