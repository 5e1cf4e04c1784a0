"""Every method on networks whose maps can be written down."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cbam_viz.methods import METHODS, method_map, method_maps
from tests.methods.nets import WEIGHTS, Curved, InPlace, Linear, picture

OF_FEATURES = [name for name, one in METHODS.items() if not one.of_gates]


def close(found: np.ndarray, expected: Tensor) -> None:
    torch.testing.assert_close(torch.from_numpy(found).double(), expected.double())


@pytest.mark.parametrize("target", [0, 1])
def test_gradcam_of_a_linear_head_is_its_weighted_features(target: int) -> None:
    x = picture()
    found = method_map(Linear().eval(), x, "stage", "gradcam", target)
    # The gradient of a mean over 24 places is WEIGHTS / 24 everywhere.
    close(found.values, torch.einsum("c,chw->hw", WEIGHTS[target] / 24, x[0]).relu())
    assert found.score == pytest.approx(float((WEIGHTS[target] * x[0].mean((1, 2))).sum()))
    assert (found.target, found.target_name, found.score_kind) == (
        target,
        f"class {target}",
        "logit",
    )


@pytest.mark.parametrize("target", [0, 1])
def test_layercam_weighs_each_place_by_its_own_positive_gradient(target: int) -> None:
    x = picture()
    found = method_map(Curved().eval(), x, "stage", "layercam", target)
    gradient = 2 * WEIGHTS[target][:, None, None] * x[0]
    close(found.values, (gradient.relu() * x[0]).sum(0).relu())


@pytest.mark.parametrize("target", [0, 1])
def test_gradcam_pp_is_its_equation_19(target: int) -> None:
    x = picture().abs()
    found = method_map(Curved().eval(), x, "stage", "gradcam++", target)
    gradient = (2 * WEIGHTS[target][:, None, None] * x[0]).double()
    total = x[0].double().sum((1, 2), keepdim=True)
    alpha = gradient**2 / (2 * gradient**2 + total * gradient**3)
    weights = (alpha * gradient.relu()).sum((1, 2))
    close(found.values, torch.einsum("c,chw->hw", weights, x[0].double()).relu())


def test_gradcam_pp_of_equal_gradients_by_hand() -> None:
    # Features of ones on 4 x 6 places, gradient 1/24 in the first channel: alpha = 1 / (2 + 24/24)
    # at each of 24 places, so the weight is 24 * 1/3 * 1/24 = 1/3; the second channel's gradient is
    # negative. The third: 0.5/24, alpha = 1 / (2 + 0.5), the weight 0.5 / 2.5 = 1/5.
    found = method_map(Linear().eval(), torch.ones(1, 3, 4, 6), "stage", "gradcam++", 0)
    np.testing.assert_allclose(found.values, 1 / 3 + 1 / 5, rtol=1e-6)
    assert found.is_flat


def test_gradcam_pp_is_not_lost_to_small_gradients() -> None:
    class Faint(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 1e-20

    x = picture().abs()
    found = method_map(Faint().eval(), x, "stage", "gradcam++", 0)
    # alpha is 1/2 where gradients are next to nothing; weights are their sums times that.
    weights = WEIGHTS[0].relu() * 1e-20 / 2
    np.testing.assert_allclose(
        found.values, torch.einsum("c,chw->hw", weights, x[0]).numpy(), rtol=1e-5
    )


def test_scorecam_weighs_channels_by_the_softmax_of_masked_scores() -> None:
    x = picture()
    found = method_map(Linear().eval(), x, "stage", "scorecam", 0, chunk=2)
    low, high = x[0].amin((1, 2), keepdim=True), x[0].amax((1, 2), keepdim=True)
    masks = (x[0] - low) / (high - low)
    scores = [float((WEIGHTS[0] * (x[0] * mask).mean((1, 2))).sum()) for mask in masks]
    weights = torch.tensor(scores).softmax(0)
    close(found.values, torch.einsum("c,chw->hw", weights, x[0]).relu())


def test_eigencam_of_features_of_rank_one_is_their_pattern() -> None:
    pattern = torch.arange(24.0).view(4, 6) - 3
    x = torch.tensor([1.0, -2.0, 2.0])[None, :, None, None] * pattern
    # One singular vector, (1, -2, 2) / 3: the projection is 3 times the pattern, whose sum is > 0.
    found = method_map(Linear().eval(), x, "stage", "eigencam")
    close(found.values, 3 * pattern)
    close(method_map(Linear().eval(), -x, "stage", "eigencam").values, 3 * pattern)
    assert found.target is None
    assert found.score is None
    assert "for" not in found.title.split()


def test_eigencam_is_the_first_singular_vector_of_numpy() -> None:
    x = picture(5, 7).abs()
    matrix = x[0].flatten(1).T.double().numpy()
    first = matrix @ np.linalg.svd(matrix)[2][0]
    found = method_map(Linear().eval(), x, "stage", "eigencam").values
    np.testing.assert_allclose(found.ravel(), first * np.sign(first.sum()), rtol=1e-5)
    assert found.min() > 0  # of features above 0, as of Perron and Frobenius


def test_occlusion_is_the_fall_of_the_score_by_hand() -> None:
    x = picture(6, 7)
    found = method_map(Linear().eval(), x, "", "occlusion", 1, window=2, stride=2)
    assert found.values.shape == (3, 3)
    mean = x[0].mean((1, 2))
    for i in range(3):
        for j in range(3):
            covered = x[0].clone()
            covered[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = mean[:, None, None]
            fall = (WEIGHTS[1] * (mean - covered.mean((1, 2)))).sum()
            assert found.values[i, j] == pytest.approx(float(fall), abs=1e-6)
    # 7 columns hold three windows of 2 from the first on; each cell lies on its window's centre.
    cells = found.cells
    assert (cells.stride_y, cells.stride_x, cells.offset_y, cells.offset_x) == (2, 2, 1, 1)
    assert cells.exact
    assert found.settings["window"] == 2
    assert found.layer == ""


def test_occlusion_shares_what_is_left_over_by_both_ends() -> None:
    found = method_map(Linear().eval(), picture(9, 12), "", "occlusion", 0, window=4, stride=3)
    assert found.values.shape == (2, 3)
    assert (found.cells.offset_y, found.cells.offset_x) == (1 + 2, 1 + 2)


@pytest.mark.parametrize("method", OF_FEATURES)
def test_a_black_input_gives_a_flat_map_of_zeros(method: str) -> None:
    found = method_map(Linear().eval(), torch.zeros(1, 3, 4, 6), "stage", method, 0)
    assert np.all(found.values == 0)
    assert found.is_flat
    assert found.span == (0.0, 1.0)


@pytest.mark.parametrize("method", OF_FEATURES)
def test_what_overwrites_the_features_later_does_not_matter(method: str) -> None:
    x = picture()
    plain = method_map(Linear().eval(), x, "stage", method, 0)
    np.testing.assert_array_equal(
        method_map(InPlace().eval(), x, "stage", method, 0).values, plain.values
    )


def test_raw_values_are_not_brought_to_a_range() -> None:
    for factor in (1.0, 4.0):
        x = picture() * factor
        found = method_map(Linear().eval(), x, "stage", "gradcam", 0)
        expected = torch.einsum("c,chw->hw", WEIGHTS[0] / 24, x[0]).relu()
        assert found.span == (0.0, pytest.approx(float(expected.max())))


def test_a_function_of_the_output_is_a_target() -> None:
    x = picture()

    def margin(output: Tensor) -> Tensor:
        return output[:, 0] - output[:, 1]

    found = method_map(Linear().eval(), x, "stage", "gradcam", margin)
    weights = (WEIGHTS[0] - WEIGHTS[1]) / 24
    close(found.values, torch.einsum("c,chw->hw", weights, x[0]).relu())
    assert (found.target, found.target_name, found.score_kind) == (None, "margin", "score")
    for method in ("scorecam", "occlusion"):
        assert method_map(Linear().eval(), x, "stage", method, margin).values.any()


def test_of_several_layers_each_has_its_own_gradient() -> None:
    class Two(Linear):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.first(x) * 3)

    x = picture()
    found = method_maps(Two().eval(), x, ["stage", "first"], ["gradcam", "eigencam"], 0)
    assert [(one.method, one.layer) for one in found] == [
        ("gradcam", "stage"), ("gradcam", "first"), ("eigencam", "stage"), ("eigencam", "first"),
    ]  # fmt: skip
    expected = torch.einsum("c,chw->hw", 3 * WEIGHTS[0] / 24, x[0]).relu()
    close(found[0].values, expected)  # the stage's features are 3 x, its gradient WEIGHTS / 24
    close(found[1].values, expected)  # those of `first` are x, its gradient 3 WEIGHTS / 24
