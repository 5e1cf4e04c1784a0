"""What a detector finds without a gate is compared with what it found, everywhere it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cbam_viz.ablation import analyse_with
from cbam_viz.ablation.found import found_again
from cbam_viz.analysis import analyse
from cbam_viz.detections import Detections
from cbam_viz.images import InputSpec, prepare, read_photo
from cbam_viz.models import create_model, wrap_model


def test_the_same_object_has_its_class_and_half_of_the_place() -> None:
    before = Detections(
        [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]], [0.9] * 4, [0, 0, 1, 1]
    )
    after = Detections(
        # a third of its union; two thirds; the other class; the same twice
        [[0, 0, 5, 20], [20, 0, 30, 15], [40, 0, 50, 10], [60, 0, 70, 10], [60, 0, 70, 11]],
        [0.9] * 5, [0, 0, 0, 1, 1],
    )  # fmt: skip
    assert found_again(before, after) == [(1, 1), (3, 3)]
    assert found_again(before, before) == [(n, n) for n in range(4)]
    assert found_again(before, Detections()) == found_again(Detections(), before) == []


def test_masks_are_compared_rather_than_their_boxes() -> None:
    ring, disc = np.ones((1, 10, 10), bool), np.zeros((1, 10, 10), bool)
    ring[0, 2:8, 2:8], disc[0, 2:8, 2:8] = False, True
    box: dict[str, Any] = {"boxes": [[0, 0, 10, 10]], "scores": [1], "classes": [0]}
    one, other = Detections(**box, masks=ring), Detections(**box, masks=disc)
    assert found_again(one, other) == []
    assert found_again(one, one) == [(0, 0)]
    assert found_again(one, Detections(**box)) == [(0, 0)]


class Detector(nn.Module):
    """Boxes as large as a gated feature is strong, by a rule that the test computes by hand."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = create_model(
            "resnet10t", num_classes=2, channels=[8, 16, 32, 64], zero_init_last=False
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body.forward_features(x).abs().mean((1, 2, 3))


def decode(output: torch.Tensor) -> Detections:
    side = 10 + 20 * float(output[0])
    return Detections([[0, 0, side, side]], [0.8], [1])


def test_a_gate_taken_away_gives_other_boxes_on_the_photo() -> None:
    net = Detector().eval()
    loaded = wrap_model(net, InputSpec(size=(64, 64)), ("cat", "dog"), decode=decode)
    photo = read_photo(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8))
    analysis = analyse(loaded, photo, "whole")
    layer = analysis.layers[-1]
    outcome = analyse_with(loaded, analysis, {layer.name: {"channel": "one"}})
    module = net.get_submodule(layer.module)
    handle = module.channel.register_forward_hook(lambda _module, args, _out: args[0])
    with torch.no_grad():
        by_hand = decode(net(prepare(photo, loaded.spec, "whole").tensor))
    handle.remove()
    assert outcome.detections is not None
    assert outcome.detections.labels == ("dog",)
    assert np.allclose(outcome.detections.boxes, 2 * by_hand.boxes, rtol=1e-5)
    assert not np.allclose(outcome.detections.boxes, analysis.detections.boxes, rtol=1e-4)
    assert outcome.detections.told == "dog 0.80"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Detections(), "nothing found"),
        (Detections([[0, 0, 1, 1]] * 5, [0.91, 0.8, 0.7, 0.6, 0.5], range(5)),
         "class 0 0.91, class 1 0.80, class 2 0.70 and 2 more"),
    ],
)  # fmt: skip
def test_what_was_found_in_a_line(found: Detections, told: str) -> None:
    assert found.told == told
