"""YOLOv8n with ultralytics' own CBAM blocks, as people write it into a model's YAML."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cbam_viz.attention import Cells
from cbam_viz.gates import Capture, capture
from tests.gates.perturbation import assert_answered_in_place, averaging

YAML = """
nc: 7
scale: n
scales: {n: [0.33, 0.25, 1024]}
backbone:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 3, C2f, [128, True]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [-1, 6, C2f, [256, True]]
  - [-1, 1, CBAM, [64]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [-1, 6, C2f, [512, True]]
  - [-1, 1, CBAM, [128, 3]]
  - [-1, 1, Conv, [1024, 3, 2]]
  - [-1, 3, C2f, [1024, True]]
  - [-1, 1, SPPF, [1024, 5]]
  - [-1, 1, CBAM, [256]]
head:
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 8], 1, Concat, [1]]
  - [-1, 3, C2f, [512]]
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 5], 1, Concat, [1]]
  - [-1, 3, C2f, [256]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [[-1, 15], 1, Concat, [1]]
  - [-1, 3, C2f, [512]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [[-1, 12], 1, Concat, [1]]
  - [-1, 3, C2f, [1024]]
"""
DETECT = "  - [[18, 21, 24], 1, Detect, [nc]]\n"
SEGMENT = "  - [[18, 21, 24], 1, Segment, [nc, 32, 64]]\n"
BLOCKS = ["model.5", "model.8", "model.12"]


@pytest.fixture(params=["DetectionModel", "SegmentationModel"])
def yolo(
    request: pytest.FixtureRequest, ultralytics: Any, monkeypatch: pytest.MonkeyPatch
) -> nn.Module:
    """The network with three CBAM blocks; its parser does not know CBAM by itself."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    tasks, modules = ultralytics.nn.tasks, ultralytics.nn.modules
    monkeypatch.setattr(tasks, "CBAM", modules.CBAM, raising=False)
    torch.manual_seed(0)
    head = DETECT if request.param == "DetectionModel" else SEGMENT
    model = getattr(tasks, request.param)(yaml.safe_load(YAML + head), ch=3, verbose=False)
    return model.eval()


def is_gate(name: str, module: nn.Module) -> bool:
    """ultralytics' two halves each own a Sigmoid called `act` and multiply by its output."""
    return name.endswith(("channel_attention.act", "spatial_attention.act"))


def flat(output: Any) -> list[Tensor]:
    """All tensors of a nested output."""
    if isinstance(output, Tensor):
        return [output]
    items = output.values() if isinstance(output, dict) else output
    return [tensor for item in items for tensor in flat(item)]


def test_gates_of_a_yolo(yolo: nn.Module, photo: Tensor, outputs_of: Any) -> None:
    seen = outputs_of(yolo, is_gate)
    with torch.inference_mode():
        attention = capture(yolo, photo)
    assert list(attention) == BLOCKS
    assert len(seen) == 6
    for i, layer in enumerate(attention.values()):
        assert layer.composition == "channel then spatial"
        assert layer.verified
        assert torch.equal(layer.channel, seen[2 * i][1].flatten(1))
        assert torch.equal(layer.spatial, seen[2 * i + 1][1].squeeze(1))
    assert [tuple(layer.spatial.shape) for layer in attention.values()] == [
        (1, 24, 32),
        (1, 12, 16),
        (1, 6, 8),
    ]
    assert attention.unsupported == ()


def test_output_of_a_yolo_is_kept(yolo: nn.Module, photo: Tensor) -> None:
    with torch.inference_mode():
        plain, captured = flat(yolo(photo)), flat(capture(yolo, photo).output)
    assert len(plain) == len(captured) >= 4
    assert all(torch.equal(a, b) for a, b in zip(plain, captured, strict=True))


def test_yolo_in_half_precision(yolo: nn.Module, photo: Tensor, outputs_of: Any) -> None:
    seen = outputs_of(yolo, is_gate)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        attention = capture(yolo, photo)
    assert list(attention) == BLOCKS
    for i, layer in enumerate(attention.values()):
        assert layer.dtype == torch.bfloat16
        assert torch.equal(layer.channel, seen[2 * i][1].flatten(1).float())


def test_capturing_a_prediction(
    ultralytics: Any, photo: Tensor, outputs_of: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """`predict` runs a fused copy, which exists after the first prediction."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ultralytics.nn.tasks, "CBAM", ultralytics.nn.modules.CBAM, raising=False)
    (tmp_path / "yolov8n-cbam.yaml").write_text(YAML + DETECT)
    yolo = ultralytics.YOLO("yolov8n-cbam.yaml")
    pixels = (photo[0].permute(1, 2, 0) * 255).byte().numpy()[..., ::-1].copy()
    predict = partial(yolo.predict, pixels, imgsz=256, verbose=False, save=False)
    plain = predict()[0].boxes.data
    network = yolo.predictor.model.model
    seen = outputs_of(network, is_gate)
    with Capture(network) as recorder:
        boxes = predict()[0].boxes.data
    (attention,) = recorder.results
    assert torch.equal(boxes, plain)
    assert list(attention) == BLOCKS
    assert attention.input_size == (192, 256)
    for i, layer in enumerate(attention.values()):
        assert torch.equal(layer.channel, seen[2 * i][1].flatten(1))
        assert torch.equal(layer.spatial, seen[2 * i + 1][1].squeeze(1))


def test_the_package_leaves_the_process_alone(ultralytics: Any) -> None:
    """Guards the fixture: what ultralytics patches at import is undone."""
    import PIL.Image

    assert PIL.Image.open.__module__ == "PIL.Image"
    assert torch.save.__module__ == "torch.serialization"


def test_maps_of_the_head_lie_where_the_finest_path_puts_them(
    ultralytics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CBAM behind P3, P4 and P5: their enlarged paths are centred up to 12 px beside them."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    tasks, cbam = ultralytics.nn.tasks, ultralytics.nn.modules.CBAM
    monkeypatch.setattr(tasks, "CBAM", cbam, raising=False)
    config = yaml.safe_load(YAML)
    head = config["head"]
    config["head"] = [
        *head[:6], [-1, 1, "CBAM", [64]], head[6], [[-1, 15], *head[7][1:]], head[8],
        [-1, 1, "CBAM", [128]], head[9], head[10], head[11], [-1, 1, "CBAM", [256]],
        [[19, 23, 27], 1, "Detect", ["nc"]],
    ]  # fmt: skip
    model = averaging(tasks.DetectionModel(config, ch=3, verbose=False))
    gates = [module for module in model.modules() if isinstance(module, cbam)]
    size = (128, 160)
    with torch.no_grad():
        attention = capture(model, torch.rand(1, 3, *size, dtype=torch.double))
    cells = [layer.cells for layer in attention.values()]
    steps = (8, 16, 32, 8, 16, 32)
    assert cells == [
        Cells(step, step, 0.5, 0.5, exact=not away, within=away)
        for step, away in zip(steps, (0, 0, 0, 12, 12, 12), strict=True)
    ]
    for gate, where in zip(gates, cells, strict=True):
        assert_answered_in_place(model, gate, gates, where, size)
