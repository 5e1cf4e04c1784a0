"""One photo's numbers, on networks whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cbam_viz.errors import MethodError
from cbam_viz.evaluation import Plan, measure_photo
from cbam_viz.images import InputSpec, read_photo
from cbam_viz.metrics import Region, box_mask
from cbam_viz.models import LoadedModel, wrap_model

SIDE = 32
PLAN = Plan((), ("stage",), ("gradcam",), steps=4)
PIXELS = InputSpec((SIDE, SIDE), (0.5,) * 3, (1.0,) * 3, crop_pct=1.0)


class Corner(nn.Module):
    """Class 0 is bright in the upper left quarter; the other class has no evidence.

    `stage` is red alone there: its Grad-CAM is red over 256 pixels there and 0 elsewhere.
    """

    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        corner = torch.zeros(SIDE, SIDE)
        corner[:16, :16] = 1
        red = self.stage(x[:, :1] * corner).mean((2, 3)) * 4
        return torch.cat([red * 4, red * 0], 1)


def white(tmp_path, name: str = "white.png") -> object:
    path = tmp_path / name
    Image.new("RGB", (SIDE, SIDE), (255, 255, 255)).save(path)
    return read_photo(path)


def loaded(network: nn.Module | None = None) -> LoadedModel:
    return wrap_model((network or Corner()).eval(), PIXELS, ("bright", "dark"))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_removal_of_a_white_photo_is_in_closed_form(tmp_path) -> None:
    found = measure_photo(loaded(), white(tmp_path), PLAN)
    assert (found.target, found.target_name) == (0, "bright")
    # White is 0.5 above the mean colour: the logit is 4 * 0.5 where all of the corner is there.
    assert found.probability == pytest.approx(sigmoid(2))
    numbers = found.maps["Grad-CAM of stage"]
    # The corner is a quarter of the picture: gone after the first of four steps (the most
    # influential first), or the last to go.
    gone, there = sigmoid(0), sigmoid(2)
    assert numbers["deletion (mean)"] == pytest.approx(0.25 * ((there + gone) / 2 + 3 * gone))
    assert numbers["insertion (mean)"] == pytest.approx(0.25 * (3 * there + (there + gone) / 2))
    assert numbers["combined (mean)"] == pytest.approx(0.75 * (there - gone))
    # A white photo under a blur is white: nothing is removed.
    assert numbers["combined (blur)"] == pytest.approx(0, abs=1e-6)
    assert numbers["drop"] == pytest.approx(0)
    assert numbers["increase"] == 0
    assert numbers["sparseness"] == pytest.approx(0.75)


def test_the_rule_for_ties_is_measured(tmp_path) -> None:
    # Steps of an eighth part the corner, which is one value: half of it in any order is the same.
    plan = Plan((), ("stage",), ("gradcam",), ("removal",), steps=8)
    numbers = measure_photo(loaded(), white(tmp_path), plan).maps["Grad-CAM of stage"]
    assert numbers["tie effect (mean)"] == pytest.approx(0, abs=1e-7)
    flat = measure_photo(loaded(), white(tmp_path), plan).maps["uniform"]
    # In reading order the upper half goes first, and with it the corner.
    assert flat["tie effect (mean)"] > 0.1


def test_boxes_and_the_maps_of_chance(tmp_path) -> None:
    mask = box_mask([(0, 0, 16, 16)], (SIDE, SIDE))
    found = measure_photo(loaded(), white(tmp_path), PLAN, regions=(Region(None, mask=mask),))
    numbers = found.maps["Grad-CAM of stage"]
    for name in ("energy inside", "energy above minimum", "pointing", "IoU at equal area"):
        assert numbers[name] == pytest.approx(1)
        assert numbers[f"{name} (1 - map)"] == pytest.approx(0)
    assert found.maps["uniform"]["energy inside"] == pytest.approx(0.25)
    assert found.maps["uniform"]["pointing"] == pytest.approx(0.25)
    assert {*found.maps} == {
        "Grad-CAM of stage",
        "random like Grad-CAM of stage",
        "uniform",
        "centre Gaussian",
    }


def test_objects_of_the_class_go_before_others(tmp_path) -> None:
    left = box_mask([(0, 0, 16, 16)], (SIDE, SIDE))
    regions = (Region("Bright", mask=left), Region("other", mask=~left))
    found = measure_photo(loaded(), white(tmp_path), PLAN, regions=regions)
    assert found.maps["Grad-CAM of stage"]["energy inside"] == pytest.approx(1)
    none_named = (Region("cat", mask=left), Region("other", mask=~left))
    found = measure_photo(loaded(), white(tmp_path), PLAN, regions=none_named)
    assert found.maps["uniform"]["energy inside"] == pytest.approx(1)


def test_a_photo_without_its_objects_says_so_and_has_the_rest(tmp_path) -> None:
    found = measure_photo(loaded(), white(tmp_path), PLAN)
    assert "energy inside" not in found.maps["uniform"]
    assert found.notes
    assert found.maps["uniform"]["drop"] == 0


def test_another_class_is_measured_by_its_own_score(tmp_path) -> None:
    found = measure_photo(loaded(), white(tmp_path), PLAN, target=1)
    assert found.probability == pytest.approx(sigmoid(-2))
    # Nothing speaks for it: Grad-CAM is 0 everywhere, lets nothing through, and has no sparseness.
    numbers = found.maps["Grad-CAM of stage"]
    assert (numbers["drop"], numbers["increase"], numbers["sparseness"]) == (None, None, None)
    with pytest.raises(MethodError, match="no class 2"):
        measure_photo(loaded(), white(tmp_path), PLAN, target=2)


def test_a_network_without_class_scores_is_a_sentence(tmp_path) -> None:
    class Maps(Corner):
        def forward(self, x: Tensor) -> Tensor:
            return self.stage(x)

    with pytest.raises(MethodError, match="not scores of classes"):
        measure_photo(loaded(Maps()), white(tmp_path), PLAN)


def test_a_layer_without_a_map_is_a_sentence(tmp_path) -> None:
    with pytest.raises(MethodError, match="stage has no spatial map"):
        measure_photo(loaded(), white(tmp_path), Plan(("stage",), ()))


def test_an_object_that_is_nowhere_is_a_sentence(tmp_path) -> None:
    nothing = np.zeros((SIDE, SIDE), bool)
    found = measure_photo(loaded(), white(tmp_path), PLAN, regions=(Region(None, mask=nothing),))
    assert "where the network looked" in found.notes[0]
    assert "energy inside" not in found.maps["uniform"]
    assert found.maps["uniform"]["drop"] == 0
    other_shape = Region(None, mask=np.ones((SIDE, 2 * SIDE), bool))
    found = measure_photo(loaded(), white(tmp_path), PLAN, regions=(other_shape,))
    assert "those of a photo of 64 x 32" in found.notes[0]
