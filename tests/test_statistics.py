"""Numbers worked out by hand, and flags that appear exactly when they should."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cbam_viz.attention import Attention, Cells, LayerAttention
from cbam_viz.statistics import (
    all_statistics,
    gate_statistics,
    layer_statistics,
    layer_to_show,
    placement_note,
    relative_entropy,
    top_channels,
)


def layer(
    channel: Tensor | None, spatial: Tensor | None, name: str = "layer1.0.se"
) -> LayerAttention:
    return LayerAttention(
        name=name,
        module=name,
        call=1,
        stage="layer1",
        channel=channel,
        spatial=spatial,
        cells=None if spatial is None else Cells(4, 4, 0.5, 0.5),
        composition="channel then spatial",
        found_by="hook",
        verified=True,
        dtype=torch.float32,
    )


def test_numbers_by_hand() -> None:
    found = gate_statistics(np.array([0.0, 0.04, 0.5, 0.96, 1.0]))
    assert found.mean == pytest.approx(0.5)
    # Deviations -0.5, -0.46, 0, 0.46, 0.5: squares sum to 0.9232.
    assert found.spread == pytest.approx(math.sqrt(0.9232 / 5))
    assert (found.minimum, found.maximum, found.extent) == (0, 1, 1)
    assert (found.closed, found.opened, found.saturated) == pytest.approx((0.4, 0.4, 0.8))
    assert (found.count, found.not_finite) == (5, 0)


def test_the_borders_themselves_are_not_saturated() -> None:
    found = gate_statistics(np.array([0.05, 0.95]))
    assert found.saturated == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, 0.5, 0.5, 0.5], 1.0),
        ([1.0, 0.0, 0.0, 0.0], 0.0),
        ([1.0, 1.0, 0.0, 0.0], 0.5),  # log 2 / log 4
        ([0.5, 0.25, 0.25], 1.5 * math.log(2) / math.log(3)),
        ([0.3], 1.0),
        ([0.0, 0.0], None),
        ([-0.1, 0.5], None),
        ([], None),
        ([math.inf, 1.0], None),
    ],
)
def test_entropy_relative_to_uniform(values: list[float], expected: float | None) -> None:
    found = relative_entropy(np.array(values))
    assert found == (None if expected is None else pytest.approx(expected))


def test_entropy_does_not_depend_on_scale() -> None:
    values = np.random.default_rng(0).random((7, 7))
    assert relative_entropy(values) == pytest.approx(relative_entropy(values * 0.01))


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    found = gate_statistics(np.array([0.2, math.nan, 0.4, math.inf]))
    assert (found.mean, found.not_finite, found.count) == (pytest.approx(0.3), 2, 4)
    nothing = gate_statistics(np.array([math.nan]))
    assert math.isnan(nothing.mean)
    assert nothing.entropy is None


def test_float32_means_are_taken_in_double_precision() -> None:
    values = np.full(100_000, 0.1, np.float32)
    assert gate_statistics(values).mean == pytest.approx(float(np.float32(0.1)), rel=1e-14)


def test_each_image_of_a_batch_has_its_own() -> None:
    channel = torch.tensor([[0.2, 0.4], [0.6, 0.8]])
    found = layer_statistics(layer(channel, None), index=1)
    assert found.channel is not None
    assert found.channel.mean == pytest.approx(0.7)
    assert found.spatial is None
    assert (found.name, found.stage) == ("layer1.0.se", "layer1")


HEALTHY_C = torch.linspace(0.2, 0.8, 16)[None]
HEALTHY_S = torch.linspace(0.1, 0.9, 49).view(1, 7, 7)
HALF_C, HALF_S = torch.full((1, 16), 0.5), torch.full((1, 7, 7), 0.5)


@pytest.mark.parametrize(
    ("channel", "spatial", "flags"),
    [
        (HEALTHY_C, HEALTHY_S, ()),
        (HALF_C, HALF_S, ("untrained: every gate is exactly 0.5",)),
        (HALF_C, HEALTHY_S, ("untrained: all channel weights are exactly 0.5",)),
        (HEALTHY_C, HALF_S, ("untrained: all cells of the map are exactly 0.5",)),
        (HALF_C, None, ("untrained: every gate is exactly 0.5",)),
        (
            HEALTHY_C,
            0.4 + HEALTHY_S / 100,
            ("flat: over the photo the map varies by less than 0.01",),
        ),
        (
            0.5 + HEALTHY_C / 1000,
            HEALTHY_S,
            ("flat: the channel weights differ by less than 0.01",),
        ),
        (
            torch.tensor([[0.01] * 10 + [0.97] * 2 + [0.5] * 4]),
            HEALTHY_S,
            ("saturated: 62 % of the channel weights are nearly closed (below 0.05)",),
        ),
        (
            HEALTHY_C,
            torch.tensor([[[0.0, 0.02, 0.5], [0.5, 0.97, 1.0], [0.5, 0.5, 1.0]]]),
            (
                "nearly binary: 22 % of the cells of the map are nearly closed (below 0.05) and "
                "33 % fully open (above 0.95)",
            ),
        ),
        (
            torch.tensor([[0.99] * 15 + [0.5]]),
            HEALTHY_S,
            ("saturated: 94 % of the channel weights are fully open (above 0.95)",),
        ),
        (
            HEALTHY_C,
            torch.tensor([[[0.0, 0.02], [0.03, 0.5]]]),
            ("saturated: 75 % of the cells of the map are nearly closed (below 0.05)",),
        ),
        (torch.tensor([[0.01] * 8 + [0.5] * 8]), HEALTHY_S, ()),  # a half is not most of it
        (
            torch.tensor([[-0.5, 1.75]]),
            HEALTHY_S,
            (
                "beyond [0, 1]: the channel weights go from -0.5 to 1.75, so this gate does not "
                "end in a sigmoid",
            ),
        ),
        (
            HEALTHY_C,
            torch.tensor([[[0.3]]]),
            ("a single value: cells of the map must be several to differ",),
        ),
        (
            torch.tensor([[math.nan, 0.2, 0.8]]),
            HEALTHY_S,
            ("1 of 3 channel weights are not finite numbers",),
        ),
        (
            torch.tensor([[math.nan, math.nan]]),
            HEALTHY_S,
            ("2 of 2 channel weights are not finite numbers",),
        ),
    ],
)
def test_flags(channel: Tensor | None, spatial: Tensor | None, flags: tuple[str, ...]) -> None:
    assert layer_statistics(layer(channel, spatial)).flags == flags


def test_nearly_a_half_is_not_untrained() -> None:
    nearly = HALF_C.clone()
    nearly[0, 3] = 0.5001
    assert layer_statistics(layer(nearly, HEALTHY_S)).flags == (
        "flat: the channel weights differ by less than 0.01",
    )


@pytest.mark.parametrize(
    ("open_share", "says"), [(0.996, "99 %"), (1.0, "100 %"), (0.504, "50 %"), (0.506, "51 %")]
)
def test_hundred_per_cent_means_all(open_share: float, says: str) -> None:
    weights = torch.full((1, 1000), 0.6)
    weights[0, : round(1000 * open_share)] = 0.99
    flags = layer_statistics(layer(weights, HEALTHY_S)).flags
    assert any(flag.startswith(f"saturated: {says} of") for flag in flags)


def test_all_layers_in_order() -> None:
    layers = {name: layer(HEALTHY_C, None, name) for name in ("b", "a", "c")}
    found = all_statistics(Attention(layers, output=None, input_size=(224, 224)))
    assert [item.name for item in found] == ["b", "a", "c"]


def test_top_channels() -> None:
    weights = np.array([0.1, 0.9, 0.5, 0.9, 0.2])
    assert top_channels(weights, 3) == (1, 3, 2)
    assert top_channels(weights, 99) == (1, 3, 2, 4, 0)
    assert top_channels(weights, 0) == ()


def test_layer_to_show_first_is_the_last_whose_map_says_where() -> None:
    fine = torch.rand(1, 14, 14)
    coarse = torch.rand(1, 4, 4)
    flat = torch.full((1, 14, 14), 0.7) + 0.05 * torch.rand(1, 14, 14)
    shown = {
        "resolution before depth": ({"a": fine, "b": fine, "c": coarse}, "b"),
        "a flat map says nothing": ({"a": fine, "b": flat, "c": coarse}, "a"),
        "a last stage at 224 px is fine enough": ({"a": fine, "b": torch.rand(1, 7, 7)}, "b"),
        "a coarse map before a flat one": ({"a": flat, "b": coarse}, "b"),
        "of flat maps the one that varies most": ({"a": flat, "b": (flat + 0.7) / 2}, "a"),
        "a map before none": ({"a": flat, "b": None}, "a"),
        "no map": ({"a": None, "b": None}, "b"),
    }
    for case, (maps, expected) in shown.items():
        layers = {name: layer(HEALTHY_C, spatial, name) for name, spatial in maps.items()}
        assert layer_to_show(layers.values()).name == expected, case


@pytest.mark.parametrize(
    ("cells", "flags"),
    [
        (Cells(8, 8, 0.5, 0.5), ()),
        (
            Cells(8, 8, 0.5, 0.5, exact=False, within=7.5),
            (
                "place not exact: what reaches a cell is centred up to 7.5 px of the input beside "
                "it; where paths merge, the finest decides",
            ),
        ),
        (
            Cells(8, 8, 4, 4, exact=False, within=None),
            ("place not known: something on the way to the map is not known to keep positions",),
        ),
        (  # as read from an older file
            Cells(8, 8, 4, 4, exact=False),
            ("place not known: something on the way to the map is not known to keep positions",),
        ),
    ],
)
def test_a_place_that_is_not_exact_is_a_flag(cells: Cells, flags: tuple[str, ...]) -> None:
    placed = replace(layer(HEALTHY_C, HEALTHY_S), cells=cells)
    assert layer_statistics(placed).flags == flags


def test_of_several_maps_the_farthest_counts() -> None:
    near, far = (Cells(8, 8, 0.5, 0.5, exact=False, within=w) for w in (3.0, 15.0))
    unknown = Cells(8, 8, 4, 4, exact=False, within=None)
    assert "up to 15 px" in placement_note([near, Cells(8, 8, 0.5, 0.5), far])
    assert placement_note([near, unknown]).startswith("place not known")
    assert placement_note([]) == ""
