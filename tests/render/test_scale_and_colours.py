"""Scales say what they are; colours are perceptual and never invent contrast."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from cbam_viz import RenderError
from cbam_viz.render import (
    COLORMAPS,
    DEFAULT_COLORMAP,
    SCALE_KINDS,
    Scale,
    absolute_scale,
    color_of,
    colorize,
    gate_scale,
    lookup_table,
    make_scale,
    map_scale,
    shared_scale,
)

A = np.array([[0.2, 0.4]], np.float32)
B = np.array([[0.3, 0.9], [0.1, 0.5]], np.float32)


def test_scales_by_hand() -> None:
    assert (absolute_scale().low, absolute_scale().high) == (0, 1)
    assert (map_scale(A).low, map_scale(A).high) == pytest.approx((0.2, 0.4))
    assert (shared_scale([A, B]).low, shared_scale([A, B]).high) == pytest.approx((0.1, 0.9))
    assert [make_scale(kind, A, [B]).high for kind in SCALE_KINDS] == pytest.approx([1, 0.9, 0.4])


@pytest.mark.parametrize(
    ("scale", "label"),
    [
        (absolute_scale(), "absolute, 0 to 1"),
        (Scale("shared", 0.1234, 0.8765), "shared by all layers, 0.12 to 0.88"),
        (Scale("per map", 0.50012, 0.50038), "this map alone, 0.50012 to 0.50038"),
        (Scale("per map", 0.5, 0.5), "this map alone, 0.5 to 0.5"),
        (Scale("per map", -3, 12), "this map alone, -3 to 12"),
        (Scale("per map", 0, 1000), "this map alone, 0 to 1000"),
        (Scale("per map", 1e-12, 2e-12), "this map alone, 0 to 0"),
    ],
)
def test_labels(scale: Scale, label: str) -> None:
    assert scale.label == label


def test_values_that_are_not_finite_do_not_stretch_a_scale() -> None:
    values = np.array([[np.nan, 0.25, np.inf, 0.75, -np.inf]])
    assert (map_scale(values).low, map_scale(values).high) == (0.25, 0.75)
    nothing = map_scale(np.array([[np.nan]]))
    assert (nothing.low, nothing.high) == (0, 1)
    assert (shared_scale([]).low, shared_scale([]).high) == (0, 1)


@pytest.mark.parametrize("ends", [(1.0, 0.0), (math.nan, 1.0), (0.0, math.inf)])
def test_impossible_scales(ends: tuple[float, float]) -> None:
    with pytest.raises(RenderError, match="cannot be drawn"):
        Scale("per map", *ends)


def test_unknown_names() -> None:
    with pytest.raises(RenderError, match="no scale 'log'"):
        make_scale("log", A)  # type: ignore[arg-type]
    with pytest.raises(RenderError, match="cannot be drawn"):
        Scale("log", 0, 1)  # type: ignore[arg-type]
    with pytest.raises(RenderError, match="no colour map 'jet'"):
        lookup_table("jet")


def test_share_outside() -> None:
    assert absolute_scale().share_outside(np.array([-0.1, 0, 0.5, 1, 1.1])) == pytest.approx(0.4)


@pytest.mark.parametrize("colormap", COLORMAPS)
@pytest.mark.parametrize("value", [0.0, 0.5, 0.4837, 1.0])
@pytest.mark.parametrize("kind", ["per map", "shared"])
def test_a_constant_map_stays_flat(colormap: str, value: float, kind: str) -> None:
    values = np.full((5, 6), value, np.float32)
    colours = colorize(values, make_scale(kind, values), colormap)  # type: ignore[arg-type]
    assert (colours == lookup_table(colormap)[128]).all()


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_ends_and_every_level_between(colormap: str) -> None:
    table = lookup_table(colormap)
    assert table.shape == (256, 3)
    levels = np.arange(256) / 255
    np.testing.assert_array_equal(colorize(levels[None], absolute_scale(), colormap)[0], table)
    narrow = Scale("per map", 0.500, 0.501)
    values = 0.5 + 0.001 * levels
    # The levels of a float32 around 0.5 are 6e-8 apart: 1/66 of a colour on this scale.
    np.testing.assert_array_equal(colorize(values[None], narrow, colormap)[0], table)


def test_values_beyond_the_ends_get_the_end_and_nan_its_own_colour() -> None:
    values = np.array([[-5.0, -0.01, 1.01, 99.0, np.inf, -np.inf, np.nan]])
    table = lookup_table()
    expected = [table[0], table[0], table[255], table[255], table[255], table[0], (255, 0, 255)]
    np.testing.assert_array_equal(colorize(values, absolute_scale())[0], expected)
    assert color_of(math.nan, absolute_scale()) == (255, 0, 255)


def test_colorize_leaves_its_input_alone() -> None:
    values = np.array([[-1.0, 0.5, 2.0]], np.float32)
    before = values.copy()
    colorize(values, absolute_scale())
    np.testing.assert_array_equal(values, before)
    with pytest.raises(ValueError, match="read-only"):
        lookup_table()[0, 0] = 1


def lab(table: np.ndarray) -> np.ndarray:
    floats = (table[None].astype(np.float32)) / np.float32(255)
    return np.asarray(cv2.cvtColor(floats, cv2.COLOR_RGB2Lab))[0]


@pytest.mark.parametrize("colormap", ["viridis", "cividis", "magma", "inferno", "grey"])
def test_lightness_rises_all_the_way(colormap: str) -> None:
    lightness = lab(lookup_table(colormap))[:, 0]
    steps = np.diff(lightness[::8])
    assert (steps > 0).all()
    # Uniform: no eighth of the scale takes more than three times its share of lightness.
    assert steps.max() < 3 * steps.mean()


def test_diverging_is_lightest_and_greyest_in_the_middle_and_symmetric() -> None:
    colours = lab(lookup_table("diverging"))
    chroma = np.hypot(colours[:, 1], colours[:, 2])
    assert abs(int(np.argmax(colours[:, 0])) - 127.5) < 3
    assert chroma[127] < 3
    assert chroma[128] < 3
    assert abs(colours[0, 0] - colours[255, 0]) < 5
    red, _, blue = lookup_table("diverging")[[0, 255]].T.astype(int)
    assert blue[0] > red[0] + 80
    assert red[1] > blue[1] + 80


@pytest.mark.parametrize("colormap", ["viridis", "cividis", "magma", "inferno"])
def test_tables_are_matplotlibs(colormap: str) -> None:
    colormaps = pytest.importorskip("matplotlib").colormaps
    theirs = np.rint(colormaps[colormap](np.arange(256))[:, :3] * 255).astype(int)
    assert np.abs(theirs - lookup_table(colormap)).max() <= 1


def test_the_default_is_perceptual() -> None:
    assert DEFAULT_COLORMAP == "viridis"
    assert COLORMAPS[0] == DEFAULT_COLORMAP


def test_gates_are_on_the_absolute_scale_unless_values_lie_beyond_it() -> None:
    inside = np.array([0.0, 0.25, 1.0, np.nan])
    assert gate_scale([inside, inside]) == absolute_scale()
    assert gate_scale([]) == absolute_scale()
    beyond = gate_scale([inside, np.array([-0.5, 0.5])])
    assert (beyond.kind, beyond.low, beyond.high) == ("shared", -0.5, 1.0)
    assert gate_scale([np.array([0.4, 1.5])]).high == 1.5
