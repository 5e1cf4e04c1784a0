"""Which class each pixel has, by segmenters of smp and torchvision."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cbam_viz.detections import Detections
from cbam_viz.detectors.found import Found

_CLASSES = (
    ("segmentation_models_pytorch.base.model", "SegmentationModel"),
    ("torchvision.models.segmentation._utils", "_SimpleSegmentationModel"),
    ("torchvision.models.segmentation.lraspp", "LRASPP"),
)
EXCLUSIVE = "The maps of the classes are taken as excluding each other."


def gives(model: nn.Module, output: Any) -> bool:
    """Whether the network is of smp's or torchvision's classes for segmentation."""
    kinds = (getattr(sys.modules.get(module), name, None) for module, name in _CLASSES)
    return any(kind is not None and isinstance(model, kind) for kind in kinds)


def read(model: Any, output: Any, size: tuple[int, int]) -> Found:
    """Return the region of each class that has one."""
    if isinstance(output, Mapping):
        output = output["out"]
    elif isinstance(output, (tuple, list)):  # smp's, with a classifier beside
        output = output[0]
    squashed = [part for part in _last_layers(model) if isinstance(part, (nn.Sigmoid, nn.Softmax))]
    single = any(isinstance(part, nn.Sigmoid) for part in squashed)
    return Found(regions(output, size, probabilities=bool(squashed), single=single))


def _last_layers(model: Any) -> list[nn.Module]:
    head = getattr(model, "segmentation_head", None)
    return list(head.modules()) if isinstance(head, nn.Module) else []


def regions(
    maps: Tensor, size: tuple[int, int], *, probabilities: bool = False, single: bool = False
) -> Detections:
    """Return what maps (1, K, h, w) take for each class, on an input of height and width `size`.

    One map is a probability by a sigmoid, from one half on; of several the greatest counts at each
    pixel, unless `single` says that each stands alone. The score is the mean probability within.
    """
    maps = maps.float()
    if tuple(maps.shape[2:]) != size:
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    alone = single or maps.shape[1] == 1
    if not probabilities:
        maps = maps.sigmoid() if alone else maps.softmax(1)
    shares = maps[0]
    best = None if alone else shares.argmax(0)
    boxes, scores, classes, masks = [], [], [], []
    for number, share in enumerate(shares):
        mask = share >= 0.5 if best is None else best == number
        if not bool(mask.any()):
            continue
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        boxes.append([int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1])
        scores.append(share[mask].mean())
        classes.append(number)
        masks.append(mask)
    return Detections(
        boxes,
        torch.stack(scores) if scores else (),
        classes,
        masks=torch.stack(masks) if masks else None,
        kind="regions",
        note="" if alone else EXCLUSIVE,
    )
