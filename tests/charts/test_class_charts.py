"""Charts of classes hold the values that they are given, on scales that say what they are."""

from __future__ import annotations

import numpy as np
import pytest

from cbam_viz.charts.classes import LINES, MEAN, class_curves, heat_map, sampled_channels
from cbam_viz.errors import RenderError

VALUES = np.array([[0.2, 0.9, np.nan], [0.4, 0.1, 0.5]])


def test_cells_in_the_order_given_and_null_for_what_is_no_number():
    spec = heat_map(VALUES, ["b", "a"], ["7", "3", "5"], scale="absolute")
    assert [tuple(one.values()) for one in spec["data"]["values"]] == [
        ("b", "7", 0.2), ("b", "3", 0.9), ("b", "5", None),
        ("a", "7", 0.4), ("a", "3", 0.1), ("a", "5", 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "values", "domain"),
    [
        ("absolute", [[0.2, 0.9]], [0, 1]),
        ("absolute", [[-0.5, 1.5]], [-0.5, 1.5]),
        ("difference", [[-0.1, 0.3]], [-0.3, 0.3]),
        ("distance", [[0.0, 0.2]], [0, 0.2]),
    ],
)
def test_scales(scale, values, domain):
    spec = heat_map(np.array(values), ["a"], ["1", "2"], scale=scale)
    assert spec["encoding"]["color"]["scale"]["domain"] == pytest.approx(domain)


def test_rows_and_columns_need_names():
    with pytest.raises(RenderError, match="do not name"):
        heat_map(VALUES, ["a"], ["1", "2", "3"], scale="absolute")


def test_curves_with_the_mean_and_one_standard_deviation():
    lines, spread = np.array([[0.2, 0.9], [0.4, 0.1]]), np.array([[0.1, 0.2], [0.0, 0.3]])
    channels = np.array([1])
    spec = class_curves(lines, ["a", "b"], lines.mean(0), channels, spread=spread)
    bands, points = (layer["data"]["values"] for layer in spec["layer"])
    assert [(one["line"], one["value"]) for one in points] == [("a", 0.9), ("b", 0.1), (MEAN, 0.5)]
    assert [(one["low"], one["high"]) for one in bands] == [(0.7, 1.1), (-0.2, 0.4)]
    (scale,) = {tuple(layer["encoding"]["y"]["scale"]["domain"]) for layer in spec["layer"]}
    assert scale == pytest.approx((-0.2, 1.1))
    alone = class_curves(lines, ["a", "b"], lines.mean(0), channels)
    assert alone["layer"][0]["encoding"]["y"]["scale"]["domain"] == [0, 1]
    many = len(LINES) + 1
    with pytest.raises(RenderError, match="cannot be told apart"):
        class_curves(np.zeros((many, 2)), list("abcdefghi"), np.zeros(2), channels)


@pytest.mark.parametrize(
    ("count", "wanted", "channels"),
    [(5, 50, [0, 1, 2, 3, 4]), (101, 3, [0, 50, 100]), (1, 50, [0])],
)
def test_channels_are_sampled_evenly_from_the_first_to_the_last(count, wanted, channels):
    assert sampled_channels(count, wanted).tolist() == channels
