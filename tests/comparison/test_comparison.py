"""What corresponds and what differs, on maps and weights whose answer is known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import cbam_viz
from cbam_viz.analysis import Analysis
from cbam_viz.attention import Attention, Cells, LayerAttention
from cbam_viz.comparison import (
    Mapped,
    Match,
    Side,
    compare,
    compare_sides,
    correspond,
    difference,
    difference_on,
    kinship,
)
from cbam_viz.comparison.comparing import NOT_ONE_PHOTO, of_one_network
from cbam_viz.comparison.tables import COLUMNS, as_json, csv_text, table
from cbam_viz.errors import MetricError
from cbam_viz.images import Geometry, read_photo

PHOTO = read_photo(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
OTHER = read_photo(np.full((64, 64, 3), 90, np.uint8))


def layer(name: str, stride: float | None = 8, channels: int | None = 8, value=0.5, size=8):
    """A layer with a map of one value, or of an array, and channel weights from 0.1 up."""
    spatial = None if stride is None else torch.full((1, size, size), 0.0) + torch.as_tensor(value)
    return LayerAttention(
        name=name,
        module=name,
        call=1,
        stage=name.split(".", maxsplit=1)[0],
        channel=None if channels is None else torch.linspace(0.1, 0.9, channels)[None],
        spatial=spatial,
        cells=None if stride is None else Cells(stride, stride, stride / 2, stride / 2),
        composition="channel then spatial",
        found_by="hook",
        verified=True,
        dtype=torch.float32,
    )


def side(title: str, *layers: LayerAttention, photo=PHOTO, geometry=None) -> Side:
    geometry = geometry or Geometry.of_input(photo.size)
    attention = Attention({one.name: one for one in layers}, None, geometry.input_size)
    return Side(title, Analysis(photo, title, None, attention, geometry, ()))


def named(*layers: LayerAttention) -> dict[str, LayerAttention]:
    return {one.name: one for one in layers}


def test_layers_of_one_name_correspond_wherever_they_lie() -> None:
    first = named(layer("a.0", 8), layer("b.0", 16))
    other = named(layer("b.0", 4), layer("a.0", 32))
    assert correspond(first, other) == {"a.0": Match("a.0", "name"), "b.0": Match("b.0", "name")}


def test_other_names_correspond_by_stage_and_depth_within_it() -> None:
    first = named(*(layer(f"layer3.{k}", 16) for k in range(4)), layer("layer4.0", 32))
    other = named(layer("s2.0", 8), *(layer(f"s3.{k}", 16) for k in range(2)), layer("s4.0", 32),
                  layer("s4.1", 32))  # fmt: skip
    found = {name: one.layer for name, one in correspond(first, other).items()}
    # Of four beside two: the first at 0/3, then 1/3, 2/3 and 1; one alone counts as the last.
    assert found == {"layer3.0": "s3.0", "layer3.1": "s3.0", "layer3.2": "s3.1",
                     "layer3.3": "s3.1", "layer4.0": "s4.1"}  # fmt: skip
    assert {one.way for one in correspond(first, other).values()} == {"stage"}


def test_the_nearest_stage_stands_for_one_that_has_no_gates() -> None:
    first = named(layer("early", 4), layer("middle", 16), layer("late", 32))
    found = correspond(first, named(layer("x", 16), layer("y", 32)))
    assert found == {"early": Match("x", "nearest stage"), "middle": Match("x", "stage"),
                     "late": Match("y", "stage")}  # fmt: skip


def test_without_maps_the_depth_decides_and_another_kind_of_gate_is_no_counterpart() -> None:
    first = named(*(layer(f"a.{k}", None) for k in range(3)))
    other = named(*(layer(f"b.{k}", None) for k in range(5)))
    assert [one.layer for one in correspond(first, other).values()] == ["b.0", "b.2", "b.4"]
    assert {one.way for one in correspond(first, other).values()} == {"depth"}
    assert correspond(first, named(layer("m", 8, None))) == dict.fromkeys(first)
    assert correspond(first, {}) == dict.fromkeys(first)


def test_a_choice_goes_before_the_rule_and_is_checked() -> None:
    first, other = named(layer("a"), layer("b")), named(layer("a"), layer("c"))
    found = correspond(first, other, {"a": "c"})
    assert (found["a"], found["b"].way) == (Match("c", "chosen"), "stage")
    with pytest.raises(MetricError, match="no attention layer 'z'"):
        correspond(first, other, {"a": "z"})


CELLS = Cells(8, 8, 4, 4)


def test_the_difference_of_two_maps_is_second_minus_first() -> None:
    first, second = np.full((8, 8), 0.25), np.full((8, 8), 0.75)
    second[2, 5] = 0.0
    geometry = Geometry.of_input((64, 64))
    found = difference(Mapped(first, CELLS, geometry), Mapped(second, CELLS, geometry))
    assert found.mean == pytest.approx((63 * 0.5 - 0.25) / 64)
    assert found.mean_absolute == pytest.approx((63 * 0.5 + 0.25) / 64)
    assert (found.largest, found.seen) == (pytest.approx(0.5), 1.0)
    back = difference(Mapped(second, CELLS, geometry), Mapped(first, CELLS, geometry))
    assert back.mean == pytest.approx(-found.mean)


def test_grids_of_different_size_meet_on_the_photo_and_are_not_stretched() -> None:
    geometry = Geometry.of_input((64, 64))
    # A ramp along x in pixels of the photo, seen by cells of 8 and, further in, of 16 pixels.
    fine = np.tile(np.arange(8) * 8 + 4.0, (8, 1)) / 64
    shifted = Cells(16, 16, 12, 12)  # centres at 12, 28, 44, 60: not those of an even division
    coarse = np.tile(np.arange(4) * 16 + 12.0, (4, 1)) / 64
    placed = difference_on(
        Mapped(fine, CELLS, geometry), Mapped(coarse, shifted, geometry), (64, 64)
    )
    inside = placed.values[:, 12:60]
    np.testing.assert_allclose(inside, 0, atol=1e-6)  # both are the same ramp there
    np.testing.assert_allclose(placed.values[:, 4], (12 - 4.5) / 64, atol=1e-6)


def test_what_only_one_network_saw_counts_nowhere() -> None:
    left = Geometry((64, 64), (64, 64), 1.0, 0.75, 0.0, 0.0)  # columns 0 to 48
    right = Geometry((64, 64), (64, 64), 1.0, 0.75, 0.0, 16.0)  # columns 16 to 64
    first = np.full((8, 8), 0.5)
    second = np.full((8, 8), 0.5)
    second[:, 6:] = 0.9  # what lies at columns 52 to 64 of the photo, which the first did not see
    found = difference(Mapped(first, CELLS, left), Mapped(second, CELLS, right))
    assert (found.mean, found.largest, found.seen) == (0.0, 0.0, 0.5)
    placed = difference_on(Mapped(first, CELLS, left), Mapped(second, CELLS, right), (64, 64))
    assert placed.seen.sum(1).tolist() == [32] * 64
    assert placed.seen[0, [15, 16, 47, 48]].tolist() == [False, True, True, False]


def test_networks_that_saw_nothing_in_common_are_refused() -> None:
    top = Geometry((64, 64), (64, 64), 0.25, 1.0, 0.0, 0.0)
    bottom = Geometry((64, 64), (64, 64), 0.25, 1.0, 48.0, 0.0)
    flat = np.full((8, 8), 0.5)
    with pytest.raises(MetricError, match="no place of the photo in common"):
        difference(Mapped(flat, CELLS, top), Mapped(flat, CELLS, bottom))
    with pytest.raises(MetricError, match="different sizes"):
        difference_on(
            Mapped(flat, CELLS, top), Mapped(flat, CELLS, Geometry.of_input((32, 32))), (8, 8)
        )


def test_a_side_without_gates_has_no_map_and_is_not_the_reference() -> None:
    found = compare_sides([side("plain"), side("one", layer("a")), side("two", layer("a"))])
    assert (found.reference, found.others, found.layers) == (1, (0, 2), ("a",))
    assert found.layer(0, "a") is None
    assert "plain has no gates" in found.no_difference(0, "a")
    assert found.compared(0, "a") is None
    assert found.compared(2, "a").difference.largest == 0
    assert [row["side"] for row in table(found) if row["gate"] == "spatial"] == [1, 2]


def test_different_photos_have_no_difference_unless_they_show_one_scene() -> None:
    sides = [side("p", layer("a", value=0.5)), side("q", layer("a", value=0.75), photo=OTHER)]
    found = compare_sides(sides, kin=of_one_network)
    one = found.compared(1, "a")
    assert (one.difference, one.no_difference) == (None, NOT_ONE_PHOTO)
    # Channels of one network are the same on every photo.
    assert one.channels.kinship.corresponds
    assert one.channels.pearson == pytest.approx(1)
    same = compare_sides(sides, kin=of_one_network, same_scene=True).compared(1, "a")
    assert same.difference.mean == pytest.approx(0.25)


def test_nothing_is_said_of_values_that_are_no_numbers() -> None:
    broken = torch.full((8, 8), 0.5)
    broken[3, 3] = torch.nan
    found = compare_sides([side("p", layer("a")), side("q", layer("a", value=broken))])
    assert found.compared(1, "a").difference is None
    assert "no finite numbers" in found.no_difference(1, "a")


def test_the_table_holds_numbers_and_their_differences() -> None:
    ramp = torch.linspace(0, 1, 64).reshape(8, 8)
    found = compare_sides(
        [side("p", layer("a", value=ramp)), side("q", layer("a", value=ramp / 2))]
    )
    first, second = (row for row in table(found) if row["gate"] == "spatial")
    assert first["mean"] == pytest.approx(0.5)
    assert second["mean"] == pytest.approx(0.25)
    assert second["mean_difference"] == pytest.approx(-0.25)
    assert second["spread_difference"] == pytest.approx(-float(ramp.double().std(correction=0)) / 2)
    assert second["opened_difference"] == pytest.approx(-float((ramp > 0.95).double().mean()))
    assert (second["pearson"], second["spearman"]) == (pytest.approx(1), pytest.approx(1))
    assert second["overlap"] == pytest.approx(1, abs=0.01)  # ties of rounding
    assert second["mean_absolute_difference"] == pytest.approx(0.25)
    head, *lines = csv_text(found).splitlines()
    assert head == ",".join(COLUMNS)
    assert len(lines) == 4
    told = as_json(found)
    assert [one["title"] for one in told["sides"]] == ["p", "q"]
    assert told["pairs"] == [{"layer": "a", "beside": [{"layer": "a", "way": "name"}] * 2}]


def test_too_few_or_too_many_are_refused() -> None:
    one = side("p", layer("a"))
    for sides in ([one], [one] * 5):
        with pytest.raises(MetricError, match="Two to four"):
            compare_sides(sides)
    with pytest.raises(MetricError, match="not 2 networks on 2 photos"):
        compare([None, None], [PHOTO, OTHER])  # type: ignore[list-item]
    with pytest.raises(MetricError, match="there are 2"):
        compare_sides([one, one], chosen={2: {"a": "a"}})


class Net(nn.Module):
    """Two convolutions of a block, with channel gates between that have weights of their own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.block = nn.ModuleDict({"conv": nn.Conv2d(16, 32, 3), "fc": nn.Linear(32, 32)})
        for weight in self.parameters():
            weight.data = torch.randn(weight.shape, generator=generator)


GATED = replace(layer("block.se", channels=32), block="block", weights=("block.fc.weight",))


def test_channels_correspond_where_networks_come_from_the_same_weights() -> None:
    first, tuned = Net(0), Net(0)
    for weight in tuned.block["conv"].parameters():
        weight.data += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(5))
    tuned.block["fc"] = nn.Linear(32, 32)  # new gates: what a channel is, the features say
    found = kinship(first, tuned, GATED, GATED)
    assert (found.corresponds, found.share) == (True, 1.0)
    assert "32 of 32 filters of block.conv.weight" in found.text


def test_channels_of_two_trainings_do_not_correspond_and_permuted_ones_do_not_either() -> None:
    found = kinship(Net(0), Net(1), GATED, GATED)
    assert not found.corresponds
    assert found.share < 0.3  # one in 32 by chance
    assert "trained separately" in found.text
    permuted = Net(0)
    weight = permuted.block["conv"].weight
    weight.data = weight.data.roll(1, 0)
    assert (kinship(Net(0), permuted, GATED, GATED).share) == 0


def test_channels_of_unequal_number_or_unknown_origin_do_not_correspond() -> None:
    few = replace(GATED, channel=torch.rand(1, 16))
    assert "32 and 16 channels" in kinship(Net(0), Net(0), GATED, few).text
    elsewhere = replace(GATED, block="nowhere")
    found = kinship(Net(0), Net(0), elsewhere, elsewhere)
    assert (found.corresponds, found.share) == (False, None)
    net = Net(0)
    assert kinship(net, net, GATED, GATED).corresponds
    other = replace(GATED, name="block.other")
    assert not kinship(net, net, GATED, other).corresponds


def test_networks_are_compared_from_their_photo_on() -> None:
    shape = {"channels": [8, 16, 32, 64], "zero_init_last": False}
    loaded = []
    for seed, attention in ((0, "cbam"), (1, "cbam"), (2, None)):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = cbam_viz.create_model("resnet10t", attention=attention, num_classes=5, **shape)
        loaded.append(cbam_viz.wrap_model(model.eval(), name=f"net {seed}"))
    found = cbam_viz.compare(loaded, PHOTO)
    name = found.layers[-1]
    maps = [cbam_viz.analyse(one, PHOTO).attention[name].spatial[0].numpy() for one in loaded[:2]]
    one = found.compared(1, name)
    geometry = found.sides[0].analysis.geometry
    cells = found.layer(0, name).cells
    exact = difference(Mapped(maps[0], cells, geometry), Mapped(maps[1], cells, geometry))
    assert one.difference.mean == pytest.approx(exact.mean, abs=1e-6)
    assert not one.channels.kinship.corresponds
    assert found.compared(2, name) is None
    assert len(found.sides[2].analysis.predictions) == 5
    again = cbam_viz.compare(loaded[0], [PHOTO, OTHER]).compared(1, name)
    assert again.channels.kinship.corresponds
