"""What networks of ultralytics are fed, as their own `predict` feeds them."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from cbam_viz.images import InputOrigin, InputSpec
from cbam_viz.models.channels import input_channels
from cbam_viz.models.records import mapping_of
from cbam_viz.models.yolo.package import loaded_module

USUAL_SIZE = 640
"""ultralytics' default of `imgsz`; of classifiers 224."""
USUAL_SIZE_OF_CLASSIFIERS = 224
LEAST_STRIDE = 32
"""What `predict` takes for networks of a smaller step, such as those without a layer P5."""
_LARGEST = 4096
_STRIDES = range(LEAST_STRIDE, 257)
_SIDES = range(8, _LARGEST + 1)


def is_ultralytics(model: nn.Module) -> bool:
    """Whether it is a whole network of ultralytics, of their code or of one built on it."""
    tasks = loaded_module("nn.tasks")
    return tasks is not None and isinstance(model, tasks.BaseModel)


_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_lock = threading.Lock()


def alone_with(model: nn.Module) -> threading.RLock:
    """Return the lock of a network that no two threads may run at once."""
    with _lock:
        return _locks.setdefault(model, threading.RLock())


def feeding_of(model: nn.Module, said: Any = None) -> InputSpec:
    """Return what a network of ultralytics is fed.

    A letterbox of the least size, resized by OpenCV and filled with grey, values from 0 to 1;
    classifiers a crop, RT-DETR the whole photo squashed. `said` are a file's training arguments;
    without a size in them, the network's own.
    """
    task = task_of(model)
    stride = _stride(model)
    size, source = _size(said), "stated by the checkpoint"
    if size is None:
        size, source = _size(vars(model).get("args")), "stated by the network's args"
    origin = InputOrigin(
        size=None if size is None else source,
        normalisation="as ultralytics feeds it",
        crop="as ultralytics feeds it",
        assumption="ultralytics' default; the network does not say",
    )
    plain = InputSpec(
        mean=(0.0,), std=(1.0,), crop_pct=1.0, channels=input_channels(model), origin=origin
    )
    usual = USUAL_SIZE_OF_CLASSIFIERS if task == "classify" else USUAL_SIZE
    side = math.ceil((size or usual) / stride) * stride
    if task == "classify":
        return replace(plain, size=(side, side), interpolation="bilinear")
    return replace(
        plain,
        size=(side, side),
        interpolation="opencv",
        crop_mode="squash" if is_rtdetr(model) else "rectangle",
        multiple=stride,
    )


def task_of(model: nn.Module) -> str:
    """Return what a network of ultralytics is for: `detect`, `segment`, `classify`, `pose` ..."""
    tasks = loaded_module("nn.tasks")
    for name, task in (
        ("ClassificationModel", "classify"),
        ("SemanticSegmentationModel", "semantic"),
        ("SegmentationModel", "segment"),
        ("PoseModel", "pose"),
        ("OBBModel", "obb"),
        ("DepthModel", "depth"),
        ("DetectionModel", "detect"),
    ):
        kind = getattr(tasks, name, None)
        if kind is not None and isinstance(model, kind):
            return task
    return str(vars(model).get("task", "detect"))


def is_rtdetr(model: nn.Module) -> bool:
    """Whether it is an RT-DETR, which is fed and read in another way than YOLO."""
    kind = getattr(loaded_module("nn.tasks"), "RTDETRDetectionModel", None)
    return kind is not None and isinstance(model, kind)


def _stride(model: nn.Module) -> int:
    """Of what the input's sides are multiples: the largest step of its cells in pixels, or 32."""
    stride = vars(model).get("stride")
    if isinstance(stride, torch.Tensor) and stride.numel():
        stride = float(stride.max())
    if not isinstance(stride, (int, float)) or not math.isfinite(stride):
        return LEAST_STRIDE
    return int(stride) if int(stride) in _STRIDES else LEAST_STRIDE


def _size(arguments: Any) -> int | None:
    """`imgsz` of training arguments, if it is one that an input can have."""
    given = mapping_of(arguments)
    if given is None and hasattr(arguments, "imgsz"):
        given = {"imgsz": arguments.imgsz}
    side = given.get("imgsz") if isinstance(given, Mapping) else None
    if isinstance(side, (list, tuple)) and side:
        side = max((one for one in side if type(one) is int), default=None)
    return side if type(side) is int and side in _SIDES else None
