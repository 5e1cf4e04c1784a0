"""Maps for one box of a detector, where each box's evidence is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cbam_viz.detections import Detections
from cbam_viz.errors import MethodError
from cbam_viz.methods import METHODS, Box, MethodMap, method_map, method_maps
from cbam_viz.models import LoadedModel, wrap_model
from tests.methods.detectors import CLASSES, Grid, decode, of_arrays, picture

CELLS = {1: (0, 0), 2: (1, 2), 3: (2, 0)}
"""Where the evidence of each box of `picture` is, by its number; best first."""
OF_CLASS = [name for name, one in METHODS.items() if one.of_class]
BY_GRADIENT = [name for name in OF_CLASS if not METHODS[name].sweeps]


def grid(gain: float = 4.0, how: Any = decode, network: nn.Module | None = None) -> LoadedModel:
    return wrap_model((network or Grid(gain)).eval(), classes=CLASSES, decode=how)


def at(made: MethodMap) -> tuple[int, int]:
    """The cell that is highest."""
    row, column = np.unravel_index(made.values.argmax(), made.values.shape)
    return int(row), int(column)


def raw(number: int, gain: float = 4.0) -> float:
    return gain * {1: 1.5, 2: 1.0, 3: 0.5}[number]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_gradients_come_from_the_raw_number_that_made_the_box(number: int) -> None:
    """LayerCAM is relu(gradient) x features: the raw number at the box's cell, 0 elsewhere."""
    made = method_map(grid(), picture(), "stage", "layercam", Box(number))
    expected = np.zeros((3, 4), np.float32)
    expected[CELLS[number]] = raw(number)
    np.testing.assert_allclose(made.values, expected, rtol=1e-6)
    assert made.score == pytest.approx(raw(number))
    assert (made.box, made.target, made.score_kind) == (number, None, "logit")
    assert made.target_name == f"box {number}, {'cat' if number == 1 else 'dog'}"


def test_gradcam_of_a_box_weighs_its_class_alone() -> None:
    """The gradient is 4 at one of 12 places: channel 1 weighs 4 / 12 and the others 0."""
    made = method_map(grid(), picture(), "stage", "gradcam", "box2")
    cells = nn.AvgPool2d(8)(picture())[0, 1]
    np.testing.assert_allclose(made.values, (cells / 3).relu().numpy(), rtol=1e-6)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_occlusion_of_a_box_falls_where_its_evidence_is_covered(number: int) -> None:
    x = picture()
    made = method_map(grid(), x, "", "occlusion", Box(number), window=8, stride=8)
    channel = int(number > 1)
    cover = float(x[0, channel].mean())
    expected = np.zeros((3, 4), np.float32)
    expected[CELLS[number]] = raw(number) - 4 * cover
    np.testing.assert_allclose(made.values, expected, atol=1e-5)


def test_scorecam_of_a_box_is_its_formula() -> None:
    x = picture()
    made = method_map(grid(), x, "stage", "scorecam", Box(2))
    cells = nn.AvgPool2d(8)(x)[0]
    low, high = cells.amin((1, 2), True), cells.amax((1, 2), True)
    masks = (cells - low) / (high - low)
    spread = nn.functional.interpolate(masks[None], x.shape[2:], mode="bilinear")[0]
    scores = torch.stack([Grid()(x * one)[0, 1, 6] for one in spread.nan_to_num(0)])
    weights = scores.softmax(0)
    expected = torch.einsum("c,chw->hw", weights, cells).relu()
    assert made.score == pytest.approx(raw(2))
    np.testing.assert_allclose(made.values, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("method", BY_GRADIENT)
@pytest.mark.parametrize("number", [1, 2])
def test_saturated_scores_have_maps(method: str, number: int) -> None:
    """A sigmoid of 60 is 1 to the last digit, and has a gradient of 0."""
    made = method_map(grid(60.0), picture().relu(), "stage", method, Box(number))
    assert made.score == pytest.approx(raw(number, 60.0))
    assert at(made) == CELLS[number]


def test_the_highest_score_is_taken_and_a_class_by_its_highest() -> None:
    for target, number in ((None, 1), ("dog", 2), ("CAT", 1), ("Box 3", 3), ("box 3", 3)):
        assert method_map(grid(), picture(), "stage", target=target).box == number


def test_the_highest_is_not_the_first_of_a_list_in_another_order() -> None:
    def backwards(output: Tensor) -> Detections:
        return decode(output).chosen(np.array([2, 0, 1]))

    made = method_map(grid(how=backwards), picture(), "stage", "layercam")
    assert (made.box, at(made)) == (2, CELLS[1])


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (Box(4), r"There is no box 4 on this photo, but box 1 \(cat\), box 2"),
        (Box(0), "There is no box 0"),
        ("box9", "There is no box 9"),
        ("bird", "finds no 'bird' on this photo, but box 1"),
        (1, "a target is a box by its number, such as 'box1', or the name"),
    ],
)
def test_a_box_that_is_not_there_is_one_sentence(target: Any, says: str) -> None:
    with pytest.raises(MethodError, match=says) as error:
        method_map(grid(), picture(), "stage", target=target)
    assert "\n" not in str(error.value)


def test_nothing_found_is_said() -> None:
    with pytest.raises(MethodError, match="finds nothing on this photo"):
        method_map(grid(), -torch.ones(1, 3, 24, 32), "stage")


def test_a_classifier_has_no_box() -> None:
    from tests.methods.nets import Linear

    with pytest.raises(MethodError, match="finds no objects, so there is no box 1"):
        method_map(Linear().eval(), torch.ones(1, 3, 4, 4), "stage", target=Box(1))


@pytest.mark.parametrize("method", BY_GRADIENT)
def test_arrays_let_no_gradient_through_and_that_is_the_reason(method: str) -> None:
    with pytest.raises(MethodError, match="decode function of Grid makes plain numbers or arrays"):
        method_map(grid(how=of_arrays), picture(), "stage", method)


def test_without_gradients_boxes_are_followed_by_where_they_are() -> None:
    """What is covered is no longer found: the score falls to 0 from the sigmoid."""
    made = method_map(grid(how=of_arrays), picture(), "", "occlusion", Box(2), window=8, stride=8)
    share = torch.tensor(raw(2)).sigmoid().item()
    expected = np.zeros((3, 4), np.float32)
    expected[CELLS[2]] = share
    np.testing.assert_allclose(made.values, expected, atol=1e-6)
    assert (made.score_kind, made.score) == ("score", pytest.approx(share))


def test_a_forward_without_gradients_is_the_reason() -> None:
    class Closed(Grid):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                return super().forward(x)

    with pytest.raises(MethodError, match="forward computes without gradients"):
        method_map(grid(network=Closed()), picture(), "stage")
    assert method_map(grid(network=Closed()), picture(), "", "occlusion").values.max() > 0


class Proposing(Grid):
    """Candidates in the order of their strength, as proposals are: places of the output mean
    nothing. Gives boxes, labels and scores as torchvision's detectors do."""

    def forward(self, x: Tensor) -> Any:
        raw = super().forward(x)[0]
        order = raw.amax(0).argsort(descending=True)
        scores = torch.cat((raw[:, order], raw.new_zeros(1, 12)), 0).T.softmax(1)[:, :2]
        best, label = scores.max(1)
        corners = torch.stack((order % 4, order // 4, order % 4 + 1, order // 4 + 1), 1) * 8.0
        keep = best > 0.5
        return [{"boxes": corners[keep], "labels": label[keep], "scores": best[keep]}]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_proposals_are_followed_by_where_they_are(number: int) -> None:
    loaded = wrap_model(Proposing().eval(), classes=CLASSES)
    made = method_map(loaded, picture(), "stage", "layercam", Box(number))
    expected = np.zeros((3, 4), np.float32)
    expected[CELLS[number]] = raw(number)
    np.testing.assert_allclose(made.values, expected, rtol=1e-5)
    seen = method_map(loaded, picture(), "", "occlusion", Box(number), window=8, stride=8)
    raws = torch.stack((torch.tensor(raw(number)), torch.tensor(-4.0), torch.zeros(())))
    share = float(raws.softmax(0)[0])
    expected[CELLS[number]] = share
    np.testing.assert_allclose(seen.values, expected, atol=1e-6)
    assert (seen.score_kind, seen.score) == ("score", pytest.approx(share, abs=1e-6))
    assert made.score_kind == "logit"


def test_scores_that_are_products_have_their_own_gradient() -> None:
    """YOLOv5 multiplies the class by how sure an object is there at all."""

    def product(output: Tensor) -> Detections:
        found = decode(output)
        assert found is not None
        shares = output[0].sigmoid()
        best = (shares[0] * shares[0], shares[1] * shares[1])
        places = torch.tensor([0, 6])
        scores = torch.stack((best[0][0], best[1][6]))
        corners = torch.stack((places % 4, places // 4, places % 4 + 1, places // 4 + 1), 1) * 8.0
        return Detections(corners, scores, [0, 1])

    made = method_map(grid(how=product), picture(), "stage", "layercam", Box(2))
    share = torch.tensor(raw(2)).sigmoid().item()
    expected = np.zeros((3, 4), np.float32)
    expected[CELLS[2]] = 2 * share * share * (1 - share) * 4 * 1.0
    np.testing.assert_allclose(made.values, expected, rtol=1e-4)
    assert (made.score_kind, made.score) == ("score", pytest.approx(share**2))


def test_several_methods_at_once_and_no_trace_left() -> None:
    loaded = grid()
    before = loaded.model(picture())
    made = method_maps(loaded, picture(), ["stage"], ["eigencam", "gradcam", "occlusion"], Box(3))
    assert [one.box for one in made] == [None, 3, 3]
    assert torch.equal(loaded.model(picture()), before)
    assert not loaded.model.stage._forward_hooks
