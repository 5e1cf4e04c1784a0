"""`Detections`, where they lie on the photo, and the share of a map on them, by closed forms."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

import cbam_viz
from cbam_viz import Detections
from cbam_viz._compat import suppressed
from cbam_viz.analysis import OF_PARTS, analyse
from cbam_viz.detectors import inside_mask, on_photo
from cbam_viz.detectors.segmenters import regions
from cbam_viz.errors import ModelError
from cbam_viz.images import Geometry, InputSpec, read_photo
from cbam_viz.models import wrap_model
from cbam_viz.shares import share_inside
from tests.models.yolos import png

BORDERED = Geometry((50, 100), (64, 64), 100 / 64, 100 / 64, -25.0, 0.0)
"""A photo of 50 x 100 in the middle of a square, with borders above and below."""


def photo_of(height: int, width: int) -> Any:
    return read_photo(png(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)))


def test_what_does_not_belong_together_is_refused() -> None:
    for given, says in (
        ({"boxes": [[0, 0, 1]], "scores": [1], "classes": [0]}, "boxes of shape (N, 4), not (1"),
        ({"boxes": [[0, 0, 1, 1]], "scores": [], "classes": [0]}, "scores of shape (1), not (0,)"),
        ({"boxes": [[0, 0, 1, np.nan]], "scores": [1], "classes": [0]}, "finite"),
        ({"boxes": "boxes"}, "boxes as numbers"),
        (
            {"boxes": [[0, 0, 1, 1]], "scores": [1], "classes": [0], "labels": ["a", "b"]},
            "1 boxes and 2 labels",
        ),
        (
            {"boxes": [[0, 0, 1, 1]], "scores": [1], "classes": [0], "masks": np.ones((4, 4))},
            "one for each box",
        ),
        ({"boxes": np.zeros((1001, 4)), "scores": np.zeros(1001), "classes": np.zeros(1001)},
         "at most 1,000"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=re.escape(says)):
            Detections(**given)  # type: ignore[arg-type]
    assert len(Detections()) == 0
    assert (
        Detections(
            torch.zeros(0, 4), torch.zeros(0), torch.zeros(0), keypoints=torch.zeros(0, 17, 3)
        ).rows
        == []
    )


def test_labels_are_those_that_are_known() -> None:
    found = Detections([[0, 0, 1, 1]] * 2, [0.9, 0.5], [1, 7])
    assert found.named(["cat", "dog"]).labels == ("dog", "class 7")
    assert found.named(None).labels == ("class 1", "class 7")
    own = Detections([[0, 0, 1, 1]], [1], [0], labels=["mine"])
    assert own.named(["cat"]).labels == ("mine",)


def test_places_on_the_photo() -> None:
    found = Detections(
        [[16, 16, 32, 32], [-5, 0, 100, 64]], [0.9, 0.8], [0, 0],
        corners=[[[16, 16], [32, 16], [32, 32], [16, 32]]] * 2, keypoints=[[[32, 32, 1]]] * 2,
    )  # fmt: skip
    placed = on_photo(found, BORDERED)
    np.testing.assert_allclose(placed.boxes, [[25, 0, 50, 25], [0, 0, 100, 50]])
    np.testing.assert_allclose(placed.corners[0], [[25, 0], [50, 0], [50, 25], [25, 25]])
    np.testing.assert_allclose(placed.keypoints[0], [[50, 25, 1]])


def test_masks_of_boxes_turned_boxes_and_masks_agree() -> None:
    """One square on the input, told in three ways, marks the same pixels of the photo."""
    mask = np.zeros((1, 64, 64), bool)
    mask[0, 16:32, 16:32] = True
    box = {"boxes": [[16, 16, 32, 32]], "scores": [1], "classes": [0]}
    corners = [[[16, 16], [32, 16], [32, 32], [16, 32]]]
    wanted = np.zeros((50, 100), bool)
    wanted[:25, 25:50] = True
    for more in ({}, {"masks": mask}, {"corners": corners}):
        placed = on_photo(Detections(**box, **more), BORDERED)  # type: ignore[arg-type]
        assert (inside_mask(placed, BORDERED, (50, 100)) == wanted).mean() > 0.985
        half = inside_mask(placed, BORDERED, (25, 50))
        assert half.mean() == pytest.approx(0.125, abs=0.025)


class Gated(nn.Module):
    """A spatial gate that is 1 in the left half of the photo and 0.5 in the right one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 4, stride=4)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x)
        pattern = torch.ones_like(features[:, :1])
        pattern[..., pattern.shape[-1] // 2 :] = 0.5
        gated: Tensor = features * (pattern + 0 * features.mean(1, keepdim=True))
        return gated


PLAIN = InputSpec(size=(64, 64), mean=(0.0,), std=(1.0,), crop_pct=1.0, crop_mode="squash")


def looked_at(boxes: Any, **more: Any) -> cbam_viz.Analysis:
    def decode(output: Any) -> Detections:
        count = len(boxes)
        return Detections(boxes, [0.9] * count, [1] * count, **more)

    loaded = wrap_model(Gated().eval(), PLAIN, ["cat", "dog"], decode=decode)
    return analyse(loaded, photo_of(96, 128))


def test_share_of_a_map_on_what_was_found() -> None:
    found = looked_at([[0, 0, 32, 64]])  # the left half
    (layer,) = found.layers
    share = share_inside(found, layer)
    assert share is not None
    assert share.area == pytest.approx(0.5)
    assert share.inside == pytest.approx(1 / 1.5)
    assert share.outside == pytest.approx(0.5 / 1.5)
    assert share.pattern == pytest.approx(1.0)
    quarter = share_inside(*with_layer(looked_at([[32, 0, 64, 32], [48, 0, 64, 32]])))
    assert quarter is not None
    assert quarter.area == pytest.approx(0.25)  # boxes that overlap count once
    assert quarter.inside == pytest.approx(0.25 * 0.5 / 0.75)
    assert quarter.pattern == pytest.approx(0.0)


def with_layer(found: cbam_viz.Analysis) -> Any:
    return found, found.layers[0]


def test_nothing_found_has_no_share() -> None:
    found = looked_at([])
    assert found.detections is not None
    assert len(found.detections) == 0
    assert share_inside(*with_layer(found)) is None


def test_own_decode_in_an_analysis() -> None:
    found = looked_at([[16, 16, 48, 64]])
    assert found.detections is not None
    assert found.detections.labels == ("dog",)
    np.testing.assert_allclose(found.detections.boxes, [[32, 24, 96, 96]])
    assert found.prediction_note == OF_PARTS

    def broken(output: Any) -> Any:
        raise KeyError("boxes")

    for decode, says in (
        (broken, "decode function of Gated fails: KeyError"),
        (lambda output: output, "returned Tensor; it should return cbam_viz.Detections"),
    ):
        loaded = wrap_model(Gated().eval(), PLAIN, decode=decode)  # type: ignore[arg-type]
        with pytest.raises(ModelError, match=says):
            analyse(loaded, photo_of(20, 20))


def test_regions_by_hand() -> None:
    maps = torch.full((1, 3, 4, 4), -1.0)
    maps[0, 0, :, :2], maps[0, 2, :, 2:] = 3.0, 1.0
    found = regions(maps, (4, 4))
    assert found.classes.tolist() == [0, 2]
    assert found.boxes.tolist() == [[0, 0, 2, 4], [2, 0, 4, 4]]
    e = np.exp
    np.testing.assert_allclose(
        found.scores, [e(3) / (e(3) + 2 * e(-1)), e(1) / (e(1) + 2 * e(-1))], rtol=1e-6
    )
    one = regions(torch.tensor([[[[-1.0, 2.0]]]]), (1, 2))
    assert one.masks.tolist() == [[[False, True]]]
    assert one.scores[0] == pytest.approx(1 / (1 + e(-2)))
    several = regions(
        torch.tensor([[[[0.9, 0.2]], [[0.8, 0.1]]]]), (1, 2), probabilities=True, single=True
    )
    assert several.masks.tolist() == [[[True, False]], [[True, False]]]
    assert len(regions(torch.full((1, 1, 2, 2), -5.0), (2, 2))) == 0


def test_the_replacement_of_nms_by_hand() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 5, 10, 15]]).float()
    scores = torch.tensor([0.8, 0.9, 0.3, 0.7])
    assert suppressed(boxes, scores, 0.5).tolist() == [1, 3, 2]
    assert suppressed(boxes, scores, 0.95).tolist() == [1, 0, 3, 2]
    assert suppressed(boxes, scores, 0.2).tolist() == [1, 2]
    assert suppressed(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def test_torchvisions_detectors_get_the_whole_photo() -> None:
    from torchvision.models import detection

    torch.manual_seed(0)
    model = detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=3, box_score_thresh=0.0
    ).eval()
    photo = photo_of(120, 200)
    loaded = wrap_model(model, classes=["background", "cat", "dog"])
    found = analyse(loaded, photo, gates=False)
    picture = torch.from_numpy(photo.pixels.copy()).permute(2, 0, 1).float() / 255
    with torch.no_grad():
        (wanted,) = model([picture])
    keep = wanted["scores"] >= 0.25
    assert found.detections is not None
    assert len(found.detections) == int(keep.sum()) > 0
    np.testing.assert_allclose(found.detections.boxes, wanted["boxes"][keep], atol=1e-3)
    assert found.detections.labels[0] == ("background", "cat", "dog")[int(wanted["labels"][0])]


@pytest.mark.third_party
def test_segmenters_of_smp() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch", reason="needs smp")
    torch.manual_seed(0)
    model = smp.Unet("resnet18", encoder_weights=None, classes=3).eval()
    spec = InputSpec(size=(64, 64), mean=(0.0,), std=(1.0,), crop_pct=1.0)
    photo = photo_of(64, 64)
    found = analyse(wrap_model(model, spec, ["a", "b", "c"]), photo, gates=False)
    with torch.no_grad():
        logits = model(torch.from_numpy(photo.pixels.copy()).permute(2, 0, 1)[None].float() / 255)
    assert found.detections is not None
    best = logits[0].argmax(0).numpy()
    for row, number in enumerate(found.detections.classes):
        np.testing.assert_array_equal(found.detections.masks[row], best == number)
    assert found.detections.masks.sum(0).min() == 1
    assert "excluding each other" in found.detections.note


CODE = """
import torch
from cbam_viz import Detections, InputSpec, wrap_model
from tests.detectors.test_detections import Gated, PLAIN

def decode(output):
    return Detections([[0, 0, 32, 64]], [0.75], [1])

def make():
    return wrap_model(Gated().eval(), PLAIN, ["cat", "dog"], decode=decode)
"""


def test_show_prints_and_json_has_them(tmp_path: Path) -> None:
    from cbam_viz.cli import cli

    (tmp_path / "own_detector.py").write_text(CODE)
    photo_path = tmp_path / "photo.png"
    photo_path.write_bytes(png(np.full((96, 128, 3), 100, np.uint8)))
    command = ["show", str(photo_path), "--model", f"{tmp_path / 'own_detector.py'}:make"]
    text = CliRunner().invoke(cli, command, catch_exceptions=False).stdout
    assert re.search(r"75\.0%\s+dog\s+0, 0, 64, 96", text)
    assert re.search(r"66\.7%\s+100\.0%\s+50\.0%", text)
    said = CliRunner().invoke(cli, [*command, "--json"], catch_exceptions=False).stdout
    data = json.loads(said)
    assert data["detections"] == [
        {"label": "dog", "class": 1, "score": 0.75, "box": [0.0, 0.0, 64.0, 96.0]}
    ]
    (share,) = data["shares"].values()
    assert share["inside"] == pytest.approx(2 / 3)
