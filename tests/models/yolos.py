"""Small networks of ultralytics, and their checkpoints as its trainer writes them."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from tests.third_party.test_ultralytics import DETECT, YAML

TASKS = {
    "SegmentationModel": "segment",
    "PoseModel": "pose",
    "OBBModel": "obb",
    "ClassificationModel": "classify",
    "SemanticSegmentationModel": "semantic",
}

Make = Callable[..., nn.Module]


def maker(ultralytics: Any, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Networks of ultralytics with statistics that are not those of a fresh one."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    tasks, modules = ultralytics.nn.tasks, ultralytics.nn.modules
    monkeypatch.setattr(tasks, "CBAM", modules.CBAM, raising=False)

    def made(kind: str = "DetectionModel", config: str = "", size: int = 160) -> nn.Module:
        torch.manual_seed(0)
        described = config if config.endswith(".yaml") else yaml.safe_load(config or YAML + DETECT)
        model: nn.Module = getattr(tasks, kind)(described, ch=3, verbose=False)
        model.task = TASKS.get(kind, "detect")  # type: ignore[assignment]
        model.args = {"imgsz": size}  # type: ignore[assignment]
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.02 * torch.randn_like(weight))
            model.train()
            model(torch.rand(2, 3, 64, 96))
        return model.eval()

    return made


def save(path: Path, net: nn.Module, **other: Any) -> Path:
    """As ultralytics' trainer writes `best.pt`."""
    content = {"epoch": -1, "model": copy.deepcopy(net).half(), "ema": None, "optimizer": None}
    args = {"imgsz": net.args["imgsz"]}  # type: ignore[index]
    torch.save({**content, "train_args": args, "version": "8.4.0", **other}, path)
    return path


def png(pixels: Any) -> bytes:
    """A picture as a file's content."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()
