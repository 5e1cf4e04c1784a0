"""Detections of ultralytics' networks against ultralytics' own `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cbam_viz.analysis import OF_PARTS, Analysis, analyse
from cbam_viz.detections import Detections
from cbam_viz.images import read_photo
from cbam_viz.models import load_model
from tests.models.yolos import Make, maker, png, save
from tests.third_party.test_ultralytics import SEGMENT, YAML

pytestmark = pytest.mark.third_party


@pytest.fixture
def make(ultralytics: Any, monkeypatch: pytest.MonkeyPatch) -> Make:
    return maker(ultralytics, monkeypatch)


def decided(model: Any) -> nn.Module:
    """A head whose scores are near 0 for most cells and near 1 for some."""
    head = model.model[-1]
    branches = [getattr(head, name, None) for name in ("cv3", "one2one_cv3")]
    lasts = [branch[-1] for one in branches if one is not None for branch in one]
    seen: dict[nn.Module, torch.Tensor] = {}
    hooks = [
        last.register_forward_hook(lambda part, args, output: seen.__setitem__(part, output))
        for last in [*lasts, *([head.proto.cv3.conv] if hasattr(head, "proto") else [])]
    ]
    with torch.no_grad():
        model(torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0)))
        for last in lasts:
            spread = 3 / seen[last].std()
            last.weight *= spread
            last.bias.copy_((last.bias - seen[last].mean()) * spread - 6)
        for branch in head.cv4 if hasattr(head, "proto") else ():  # masks of about half a box
            branch[-1].weight.zero_()
            branch[-1].bias.zero_()[0] = 1
            norm = head.proto.cv3.bn
            norm.bias[0] = 0.3 * norm.weight[0].abs()
            norm.running_mean[0] = seen[head.proto.cv3.conv][0, 0].mean()
    for hook in hooks:
        hook.remove()
    return model  # type: ignore[no-any-return]


def both(
    ultralytics: Any, path: Path, name: str = "YOLO", size: tuple[int, int] = (120, 170)
) -> tuple[Analysis, Any]:
    """What we read and what ultralytics predicts on the same photo."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    photo = read_photo(png(pixels))
    found = analyse(load_model(path), photo, gates=False)
    model = getattr(ultralytics, name)(str(path))
    (wanted,) = model.predict(
        np.ascontiguousarray(pixels[..., ::-1]), verbose=False, save=False, imgsz=160
    )
    return found, wanted


@pytest.mark.parametrize("size", [(120, 170), (200, 90), (64, 300)])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("DetectionModel", ""),
        ("DetectionModel", "yolo11n.yaml"),
        ("DetectionModel", "yolov10n.yaml"),
        ("DetectionModel", "yolo26n.yaml"),
        ("PoseModel", "yolov8n-pose.yaml"),
        ("OBBModel", "yolov8n-obb.yaml"),
        ("OBBModel", "yolo26n-obb.yaml"),
    ],
)
def test_boxes_are_those_of_predict(
    ultralytics: Any,
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    config: str,
    size: tuple[int, int],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "best.pt", decided(make(kind, config)))
    found, wanted = both(ultralytics, path, size=size)
    boxes = wanted.boxes if wanted.obb is None else wanted.obb
    detections = found.detections
    assert detections is not None
    mine, theirs = pairs(detections, boxes, size)
    np.testing.assert_allclose(detections.scores[mine], boxes.conf[theirs], atol=5e-3)
    assert detections.labels[0] == wanted.names[int(detections.classes[0])]
    if wanted.keypoints is not None:
        assert detections.keypoints is not None
        ours = clipped(detections.keypoints[mine][..., :2], size)
        np.testing.assert_allclose(ours, wanted.keypoints.xy[theirs], atol=0.5)
    if wanted.obb is not None:
        assert detections.corners is not None
        ours, wanted_corners = detections.corners[mine], wanted.obb.xyxyxyxy.numpy()[theirs]
        away = np.abs(np.sort(ours, 1) - np.sort(wanted_corners, 1))
        assert np.quantile(away, 0.9) < 2  # cut at the photo's edges, several may look alike
    assert found.prediction_note == OF_PARTS
    assert found.predictions == ()


def pairs(found: Detections, boxes: Any, size: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Positions of the same boxes in both; nearly all are there.

    `predict` fuses the network, so that scores differ in the last digits, and where two boxes are
    equally good another one may be suppressed.
    """
    wanted = (clipped(boxes.xyxy.numpy(), size), 100 * boxes.cls.numpy(), 100 * boxes.conf.numpy())
    theirs = np.column_stack(wanted)
    mine = np.column_stack((found.boxes, 100 * found.classes, 100 * found.scores))
    away = np.abs(mine[:, None] - theirs[None]).max(2)
    same = [(int(i), int(row.argmin())) for i, row in enumerate(away) if row.min() < 0.5]
    assert len(same) >= 0.85 * max(len(mine), len(theirs)) > 0
    return [i for i, _ in same], [j for _, j in same]


def clipped(points: Any, size: tuple[int, int]) -> Any:
    """x and y, one after the other, kept on the photo."""
    limits = np.array([size[1], size[0]] * (points.shape[-1] // 2))
    return points.clip(0, limits)


def test_masks_are_those_of_predict(
    ultralytics: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "best.pt", decided(make("SegmentationModel", "yolov8n-seg.yaml")))
    found, wanted = both(ultralytics, path)
    detections = found.detections
    assert detections is not None
    assert detections.masks is not None
    mine, theirs = pairs(detections, wanted.boxes, (120, 170))
    same = detections.masks[mine] == (wanted.masks.data.numpy() > 0)[theirs]
    assert same.mean() > 0.999
    assert 0.01 < detections.masks.mean() < 0.99


def test_a_segmenter_with_cbam_is_read(make: Make, tmp_path: Path) -> None:
    """The head's class counts are the head's, whatever the names say."""
    path = save(tmp_path / "best.pt", decided(make("SegmentationModel", YAML + SEGMENT)))
    photo = read_photo(png(np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8)))
    found = analyse(load_model(path), photo)
    assert found.detections is not None
    assert found.detections.masks is not None
    assert len(found.detections) > 0
    assert found.detections.masks.shape[1:] == found.geometry.input_size


def test_a_classifier_has_a_prediction(
    ultralytics: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = make("ClassificationModel", "yolov8n-cls.yaml", 64)
    path = save(tmp_path / "best.pt", model)
    found = analyse(
        load_model(path), read_photo(png(np.full((80, 100, 3), 90, np.uint8))), gates=False
    )
    assert found.detections is None
    pixels = np.full((80, 100, 3), 90, np.uint8)
    (wanted,) = ultralytics.YOLO(str(path)).predict(pixels, verbose=False, save=False, imgsz=64)
    assert found.predictions[0].index == wanted.probs.top1
    assert found.predictions[0].probability == pytest.approx(float(wanted.probs.top1conf), abs=1e-5)


def test_regions_of_a_semantic_segmenter(make: Make, tmp_path: Path) -> None:
    path = save(tmp_path / "best.pt", make("SemanticSegmentationModel", "yolo26n-sem.yaml"))
    photo = read_photo(png(np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8)))
    detections = analyse(load_model(path), photo, gates=False).detections
    assert detections is not None
    assert detections.kind == "regions"
    assert (detections.masks.sum(0) == 1).all()  # each pixel has one class


def test_queries_of_rtdetr(
    ultralytics: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model: Any = make("RTDETRDetectionModel", "rtdetr-l.yaml")
    with torch.no_grad():
        for layer in model.model[-1].dec_score_head:
            layer.weight.copy_(torch.randn_like(layer.weight) * 0.5)
            layer.bias.fill_(-2)
    found, wanted = both(ultralytics, save(tmp_path / "best.pt", model), "RTDETR")
    detections = found.detections
    assert detections is not None
    mine, theirs = pairs(detections, wanted.boxes, (120, 170))
    np.testing.assert_allclose(detections.scores[mine], wanted.boxes.conf[theirs], atol=5e-3)
