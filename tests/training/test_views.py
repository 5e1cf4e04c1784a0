from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cbam_viz import capture
from cbam_viz.attention import LayerAttention
from cbam_viz.images import InputSpec, prepare, read_photo
from training.data.folder import Listing, list_split
from training.measure.views import (
    accuracy_in_views,
    all_views,
    gate_changes,
    map_change,
    measure_views,
)
from training.run.model import create_network

SPEC = InputSpec.from_pretrained_cfg(
    {"input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 1.0}
)
ARGUMENTS = {"layers": [1, 1, 1, 1], "channels": [16, 16, 32, 32], "zero_init_last": False}


@pytest.fixture
def wide(tmp_path: Path) -> Listing:
    """Two photos of 60 x 120: one with a red middle, one with red ends only."""
    for name, columns in (("a_middle", slice(40, 80)), ("b_ends", [*range(20), *range(100, 120)])):
        image = np.full((60, 120, 3), 128, np.uint8)
        image[:, columns] = (250, 20, 20)
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "photo.png")
    return list_split(tmp_path)


class SeesRedEnds(nn.Module):
    """Class 1 if the first or last column of the photo in the input is red."""

    def forward(self, images: Tensor) -> Tensor:
        red = images[:, 0] - images[:, 1]
        columns = (red > 0.5).float().mean(1)
        ends = columns[:, :4].amax(1) + columns[:, -4:].amax(1)
        return torch.stack([0.25 - ends, ends], 1)


def test_views_show_what_they_say(wide: Listing) -> None:
    made = all_views(read_photo(wide.files[1]), SPEC)
    sizes = {name: tuple(one.tensor.shape[2:]) for name, one in made.items()}
    assert sizes["crop"] == sizes["tighter crop"] == sizes["border"] == (64, 64)
    assert sizes["rectangle"][1] == 2 * sizes["rectangle"][0]
    top, left, bottom, right = made["crop"].geometry.seen
    assert (bottom - top, right - left) == pytest.approx((60, 60), abs=1)
    top, left, bottom, right = made["tighter crop"].geometry.seen
    assert (bottom - top, right - left) == pytest.approx((48, 48), abs=2)


def test_accuracy_is_that_of_each_view(wide: Listing) -> None:
    # The red ends lie outside the crops, and beside a border of the same grey as the middle.
    found = accuracy_in_views(SeesRedEnds(), SPEC, wide)
    assert found["rectangle"] == 1.0
    assert found["crop"] == found["tighter crop"] == 0.5


def test_maps_differ_by_their_values_where_both_saw_the_photo(wide: Listing) -> None:
    photo = read_photo(wide.files[0])
    crop = prepare(photo, SPEC, "crop").geometry

    def layer(value: float) -> LayerAttention:
        network = create_network("resnet18", "cbam", 3, ARGUMENTS).eval()
        first = next(iter(capture(network, torch.zeros(1, 3, 64, 64)).values()))
        assert first.spatial is not None
        first.spatial.fill_(value)
        return first

    low, high = layer(0.25), layer(0.75)
    assert map_change((low, crop), (high, crop)) == pytest.approx(0.5)
    assert map_change((low, crop), (low, crop)) == 0
    border = all_views(photo, SPEC)["border"].geometry
    assert map_change((low, crop), (high, border)) == pytest.approx(0.5)


def test_gates_that_never_change_do_not_change_in_views(wide: Listing) -> None:
    torch.manual_seed(0)
    network = create_network("resnet18", "cbam", 3, ARGUMENTS).eval()
    moved = gate_changes(network, SPEC, wide)
    assert moved.keys() == {"tighter crop", "border", "rectangle"}
    assert all(change > 1e-4 for row in moved.values() for change in row.values())
    for name, parameter in network.named_parameters():
        if ".se." in name:
            nn.init.zeros_(parameter)
    still = gate_changes(network, SPEC, wide)
    assert all(change == 0 for row in still.values() for change in row.values())


def test_a_network_without_gates_has_accuracies_alone(wide: Listing) -> None:
    network = create_network("resnet18", None, 2, ARGUMENTS).eval()
    numbers = measure_views(network, SPEC, wide)
    assert numbers["gate_changes"] == {}
    assert numbers["top1"].keys() == {"crop", "tighter crop", "border", "rectangle"}
