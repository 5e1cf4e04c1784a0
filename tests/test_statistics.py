"""Numbers worked out by hand, and flags that appear exactly when they should."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cbam_viz.attention import Attention, Cells, LayerAttention
from cbam_viz.images import Geometry
from cbam_viz.statistics import (
    LayerStatistics,
    all_statistics,
    doubted,
    gate_statistics,
    layer_statistics,
    layer_to_show,
    placement_note,
    relative_entropy,
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
            ("flat: over the photo the map varies by less than 0.01, so it prefers no place",),
        ),
        (
            0.5 + HEALTHY_C / 1000,
            HEALTHY_S,
            ("flat: the channel weights differ by less than 0.01, so it prefers no channel",),
        ),
        (
            torch.tensor([[0.01] * 10 + [0.97] * 2 + [0.5] * 4]),
            HEALTHY_S,
            (
                "saturated: 62 % of the channel weights are nearly closed (below 0.05), so it "
                "holds most channels back",
            ),
        ),
        (
            HEALTHY_C,
            torch.tensor([[[0.0, 0.02, 0.5], [0.5, 0.97, 1.0], [0.5, 0.5, 1.0]]]),
            (
                "nearly binary: 22 % of the map is nearly closed (below 0.05) and 33 % fully open "
                "(above 0.95), so it works like a switch",
            ),
        ),
        (
            torch.tensor([[0.99] * 15 + [0.5]]),
            HEALTHY_S,
            (
                "saturated: 94 % of the channel weights are fully open (above 0.95), so it lets "
                "most channels pass unchanged",
            ),
        ),
        (
            HEALTHY_C,
            torch.tensor([[[0.0, 0.02], [0.03, 0.5]]]),
            (
                "saturated: 75 % of the map is nearly closed (below 0.05), so it holds most "
                "places back",
            ),
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
            torch.full((1, 4), 2.0),
            HEALTHY_S,
            (
                "flat: the channel weights differ by less than 0.01, so it prefers no channel",
                "beyond [0, 1]: the channel weights are all 2, so this gate does not end in a "
                "sigmoid",
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
        "flat: the channel weights differ by less than 0.01, so it prefers no channel",
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


# The photo is 10 x 10 pixels in the lower left corner of an input of 16 x 16; cells are of 4 x 4.
CORNER = Geometry((10, 10), (16, 16), 1.0, 1.0, -6.0, 0.0)
CENTRED = Cells(4, 4, 2, 2)
IN_A_CORNER = torch.tensor(
    [
        [0.0, 0.0, 0.0, 0.0],
        [0.2, 0.4, 0.6, 0.0],
        [0.96, 1.0, 0.01, math.nan],
        [0.3, 0.5, 0.02, 0.0],
    ]
)[None]


def placed(spatial: Tensor, cells: Cells = CENTRED, name: str = "layer1.0.se") -> LayerAttention:
    return replace(layer(None, spatial, name), cells=cells)


def test_a_map_counts_by_the_area_that_its_cells_have_on_the_photo() -> None:
    """Rows 2, 4, 4 of ten, columns 4, 4, 2 of ten; the rest lies in the border."""
    found = layer_statistics(placed(IN_A_CORNER), geometry=CORNER).spatial
    assert found is not None
    rows, columns = [0.2, 0.4, 0.4], [0.4, 0.4, 0.2]
    cells = [
        (rows[i] * columns[j], float(IN_A_CORNER[0, i + 1, j])) for i in range(3) for j in range(3)
    ]
    mean = sum(area * value for area, value in cells)
    assert found.mean == pytest.approx(mean)
    square = sum(area * (value - mean) ** 2 for area, value in cells)
    assert found.spread == pytest.approx(math.sqrt(square))
    assert found.closed == pytest.approx(0.08 + 0.08)
    assert found.opened == pytest.approx(0.16 + 0.16)
    assert (found.minimum, found.maximum) == (pytest.approx(0.01), 1)
    assert (found.count, found.total, found.not_finite) == (9, 16, 0)
    everywhere = layer_statistics(placed(IN_A_CORNER)).spatial
    assert everywhere is not None
    assert (everywhere.count, everywhere.total, everywhere.not_finite) == (16, 16, 1)


def test_entropy_over_areas() -> None:
    # All of the sum in an area of one half: divergence log 2, and the areas' entropy is 1.5 log 2.
    assert relative_entropy(np.array([0.4, 0, 0]), np.array([2, 1, 1])) == pytest.approx(1 / 3)
    assert relative_entropy(np.array([0.4, 0.4, 0.4]), np.array([2, 1, 1])) == 1
    # Two halves of a cell are that cell: what is divided alike stays as even as it was.
    assert relative_entropy(np.array([0, 0, 1]), np.array([1, 1, 0.1])) == 0


def test_a_warning_is_of_the_photo_and_not_of_its_border() -> None:
    """Closed in the border alone, open on the photo alone: without a photo it seems a switch."""
    spatial = torch.zeros(1, 4, 4)
    spatial[0, 1:, :3] = 0.99
    assert layer_statistics(placed(spatial)).flags == (
        "saturated: 56 % of the map is fully open (above 0.95), so it lets most places pass "
        "unchanged",
    )
    assert layer_statistics(placed(spatial), geometry=CORNER).flags == (
        "flat: over the photo the map varies by less than 0.01, so it prefers no place",
        "saturated: 100 % of the map over the photo is fully open (above 0.95), so it lets most "
        "places pass unchanged",
    )
    closed = torch.zeros(1, 4, 4)
    closed[0, 1:, :3] = torch.linspace(0.2, 0.8, 9).view(3, 3)
    assert layer_statistics(placed(closed), geometry=CORNER).flags == ()


def test_the_layer_to_show_varies_on_the_photo_and_is_fine_there() -> None:
    photo = Geometry((112, 224), (224, 224), 1.0, 1.0, -56.0, 0.0)  # half of it is border
    fine, last = Cells(16, 16, 8, 8), Cells(32, 32, 16, 16)
    noise = torch.rand(1, 14, 14, generator=torch.Generator().manual_seed(0))
    framed = torch.full((1, 14, 14), 0.9)
    framed[0, :3] = framed[0, 11:] = 0  # varies between photo and border alone
    layers = [
        placed(noise, fine, "fine"),
        placed(framed, fine, "framed"),
        placed(noise[:, :7, :7], last, "last"),  # five of its seven rows lie on the photo
    ]
    assert layer_to_show(layers).name == "last"
    assert layer_to_show(layers[:2]).name == "framed"
    assert layer_to_show(layers, geometry=photo).name == "fine"
    broken = placed(torch.full((1, 14, 14), math.nan), fine, "broken")
    assert layer_to_show([broken, placed(framed, fine, "framed")], geometry=photo).name == "framed"


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


def test_doubt_is_added_to_what_the_input_may_have_caused() -> None:
    flags = ("saturated: 60 % of them", "untrained: all", "flat: by 0.01", "3 of 4 are not finite")
    layer = LayerStatistics("a", "stage", None, None, flags)
    (doubted_one,) = doubted([layer], "it was assumed")
    assert doubted_one.flags == (
        "saturated: 60 % of them; it was assumed",
        "untrained: all",
        "flat: by 0.01; it was assumed",
        "3 of 4 are not finite",
    )
    assert doubted([layer], "") == (layer,)


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
