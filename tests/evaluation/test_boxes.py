"""Maps measured by the score of a detector's box, where the box's evidence is known."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from cbam_viz.detections import Detections
from cbam_viz.errors import MethodError
from cbam_viz.evaluation import Plan, measure_photo
from cbam_viz.images import InputSpec, read_photo
from cbam_viz.metrics import Region
from cbam_viz.models import LoadedModel, wrap_model
from tests.methods.detectors import CLASSES, Grid, decode, of_arrays
from tests.models.yolos import png

SPEC = InputSpec(size=(24, 32), mean=(0.5,) * 3, std=(0.25,) * 3, crop_pct=1.0, crop_mode="squash")
PLAN = Plan((), ("stage",), ("layercam",), steps=12)
NAME = "LayerCAM of stage"


def photo() -> object:
    """Grey, which the network takes for 0, a cat's colour in a cell and a dog's in another."""
    pixels = np.full((24, 32, 3), 128, np.uint8)
    pixels[:8, :8, 0] = 255
    pixels[8:16, 16:24, 1] = 192
    return read_photo(png(pixels))


def loaded(how: object = decode) -> LoadedModel:
    return wrap_model(Grid().eval(), SPEC, CLASSES, decode=how)  # type: ignore[arg-type]


def sigmoid(value: float) -> float:
    return 1 / (1 + np.exp(-value))


RAW = 4 * (255 / 255 - 0.5) / 0.25, 4 * (192 / 255 - 0.5) / 0.25


@pytest.mark.parametrize("target", [None, 0, 1])
def test_the_score_falls_from_the_boxs_own_to_that_of_the_mean_colour(target: int | None) -> None:
    raw = RAW[target or 0]
    found = measure_photo(loaded(), photo(), PLAN, target)  # type: ignore[arg-type]
    assert found.probability == pytest.approx(sigmoid(raw), abs=1e-6)
    assert (found.target, found.target_name) == (target or 0, CLASSES[target or 0])
    curve = found.curves[NAME]["mean"]
    # A twelfth is one cell: the map is high on the box's own, which goes first, and last.
    most, least = (
        next(value for key, value in curve.items() if "most" in key),
        next(value for key, value in curve.items() if "least" in key),
    )
    assert most[0] == pytest.approx(sigmoid(raw), abs=1e-6)
    assert most[-1] == pytest.approx(0.5, abs=1e-6)
    assert least[0] == pytest.approx(sigmoid(raw), abs=1e-6)
    assert found.maps[NAME]["combined (mean)"] > found.maps["centre Gaussian"]["combined (mean)"]


def test_where_maps_lie_is_measured_on_objects_of_the_boxs_class() -> None:
    corners = np.array([[16.0, 8], [24, 8], [24, 16], [16, 16]])
    elsewhere = np.array([[0.0, 16], [8, 16], [8, 24], [0, 24]])
    regions = [Region("Dog", (corners,), size=(24, 32)), Region("cat", (elsewhere,), size=(24, 32))]
    plan = Plan((), ("stage",), ("layercam",), groups=("boxes",))
    dog = measure_photo(loaded(), photo(), plan, 1, regions).maps[NAME]  # type: ignore[arg-type]
    cat = measure_photo(loaded(), photo(), plan, 0, regions).maps[NAME]  # type: ignore[arg-type]
    assert (dog["pointing"], cat["pointing"]) == (1.0, 0.0)
    assert dog["IoU at equal area"] > 0.5
    assert cat["energy inside"] < 0.02


def test_boxes_of_code_without_gradients_are_followed_by_where_they_are() -> None:
    plan = Plan((), (), ("occlusion",), steps=12)
    found = measure_photo(loaded(of_arrays), photo(), plan)  # type: ignore[arg-type]
    curve = found.curves["Occlusion"]["mean"]
    most = next(value for key, value in curve.items() if "most" in key)
    # The mean colour has a raw score of 0, from which on `decode` finds an object.
    assert most[0] == pytest.approx(sigmoid(RAW[0]), abs=1e-6)
    assert most[-1] == 0.0


def test_nothing_found_and_a_class_that_is_not_there_are_said() -> None:
    def nothing(output: Tensor) -> Detections:
        return Detections()

    with pytest.raises(MethodError, match="finds nothing on this photo"):
        measure_photo(loaded(nothing), photo(), PLAN)  # type: ignore[arg-type]

    def cats(output: Tensor) -> Detections:
        found = decode(output)
        return found.chosen(np.flatnonzero(found.classes == 0))

    with pytest.raises(MethodError, match="finds no 'dog' on this photo, but box 1"):
        measure_photo(loaded(cats), photo(), PLAN, 1)  # type: ignore[arg-type]
