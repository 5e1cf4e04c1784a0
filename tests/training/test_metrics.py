from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from training.measure.gradcam import gradcam
from training.measure.metrics import (
    above_minimum,
    box_mask,
    centre_gaussian,
    energy_inside,
    paired_interval,
    pointing_hit,
)

MASK = box_mask(np.array([[2.0, 1.0, 6.0, 4.0]]), (8, 10))  # 4 x 3 of 80 pixels


def test_box_mask_counts_pixel_centres() -> None:
    assert MASK.sum() == 12
    assert MASK[1:4, 2:6].all()
    assert box_mask(np.array([[0.6, 0.4, 2.4, 1.6]]), (3, 3)).tolist() == [
        [False, True, False],
        [False, True, False],
        [False, False, False],
    ]


def test_boxes_that_overlap_count_once() -> None:
    both = box_mask(np.array([[0, 0, 4, 4], [2, 2, 6, 6]], float), (8, 8))
    assert both.sum() == 16 + 16 - 4


@pytest.mark.parametrize(
    ("values", "energy", "hit"),
    [
        (MASK.astype(np.float32), 1.0, 1.0),
        ((~MASK).astype(np.float32), 0.0, 0.0),
        (np.full((8, 10), 0.5, np.float32), 12 / 80, 12 / 80),
        (np.zeros((8, 10), np.float32), 12 / 80, 12 / 80),
        (1 + MASK.astype(np.float32), 24 / 92, 1.0),
    ],
)
def test_maps_of_closed_form(values: np.ndarray, energy: float, hit: float) -> None:
    assert energy_inside(values, MASK) == pytest.approx(energy)
    assert pointing_hit(values, MASK) == pytest.approx(hit)


def test_removing_the_minimum_leaves_the_pattern() -> None:
    weak = 0.49 + 0.02 * MASK.astype(np.float32)
    assert energy_inside(weak, MASK) < 0.16
    assert energy_inside(above_minimum(weak), MASK) == pytest.approx(1.0)


def test_a_gate_and_its_complement_share_the_whole() -> None:
    gate = np.random.default_rng(0).random((8, 10)).astype(np.float32)
    inside, outside = gate[MASK].sum(), (1 - gate)[MASK].sum()
    assert inside + outside == pytest.approx(12, rel=1e-5)
    assert energy_inside(1 - gate, MASK) == pytest.approx(outside / (1 - gate).sum(), rel=1e-5)


def test_centre_gaussian_is_symmetric_with_its_peak_in_the_middle() -> None:
    values = centre_gaussian((40, 60))
    np.testing.assert_allclose(values, values[::-1, ::-1], rtol=1e-6)
    assert values[19, 29] == values.max()
    assert values[19, 29 + 15] / values[19, 29] == pytest.approx(np.exp(-0.5), rel=0.05)


def test_interval_of_a_constant_difference_is_a_point() -> None:
    assert paired_interval(np.full(50, 0.25)) == (0.25, 0.25)


def test_gradcam_of_a_linear_network_is_its_weighted_feature_map() -> None:
    class Linear(nn.Module):
        """Logit c is the mean over pixels of channel c, times c + 1."""

        def __init__(self) -> None:
            super().__init__()
            self.stage = nn.Identity()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.stage(images * 1).mean((2, 3)) * torch.tensor([1.0, 2.0, 3.0])

    images = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    network = Linear()
    maps = gradcam(network, network.stage, images.clone(), torch.tensor([0, 2]))
    torch.testing.assert_close(maps[0], torch.relu(images[0, 0] / 20))
    torch.testing.assert_close(maps[1], torch.relu(images[1, 2] * 3 / 20))
