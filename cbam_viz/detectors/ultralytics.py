"""What ultralytics' heads found, decoded by their own code with the settings of `predict`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cbam_viz.detections import Detections
from cbam_viz.detectors.found import MIN_SCORE, Found
from cbam_viz.detectors.segmenters import regions
from cbam_viz.models.yolo.feeding import is_rtdetr, is_ultralytics, task_of
from cbam_viz.models.yolo.package import ultralytics_module

IOU = 0.7
MOST = 300
"""ultralytics' `iou` and `max_det` when it predicts."""


def gives(model: nn.Module, output: Any) -> bool:
    """Whether the network is ultralytics' and no classifier, whose output is a prediction."""
    return is_ultralytics(model) and task_of(model) != "classify"


def read(model: Any, output: Any, size: tuple[int, int]) -> Found:
    """Return what the head found on an input of height and width `size`."""
    task = task_of(model)
    if task == "semantic":
        logits = output[0] if isinstance(output, (tuple, list)) else output
        return Found(regions(logits, size))
    if task == "depth":
        return Found(note="The network gives a map of depths, and no objects.")
    if is_rtdetr(model):
        return Found(_of_queries(output, size))
    proto = None
    if task == "segment":
        # Since 8.4 ((rows, prototypes), raw); before, (rows, (..., prototypes)).
        output, proto = output[0] if isinstance(output[0], tuple) else (output, output[1])
        proto = proto[-1] if isinstance(proto, tuple) else proto
    rows = _suppressed(model, output, rotated=task == "obb")
    if task == "obb":
        return Found(_turned(rows))
    masks = None
    if proto is not None:
        ops = ultralytics_module("utils.ops")
        masks = ops.process_mask(proto[0], rows[:, 6:], rows[:, :4], size, upsample=True)
        keep = masks.flatten(1).amax(1) > 0 if len(rows) else rows.new_ones(0, dtype=torch.bool)
        rows, masks = rows[keep], masks[keep]
    points = rows[:, 6:].reshape(len(rows), *model.kpt_shape) if task == "pose" else None
    return Found(Detections(rows[:, :4], rows[:, 4], rows[:, 5], masks=masks, keypoints=points))


def _suppressed(model: Any, output: Any, *, rotated: bool) -> Tensor:
    """(N, 6 and more): box, score, class and what belongs to the task, after ultralytics' NMS."""
    try:
        suppress = ultralytics_module("utils.nms").non_max_suppression
    except Exception:  # of versions that have it elsewhere
        suppress = ultralytics_module("utils.ops").non_max_suppression
    found: Tensor = suppress(
        output,
        MIN_SCORE,
        IOU,
        max_det=MOST,
        nc=model.model[-1].nc,
        end2end=getattr(model, "end2end", False),
        rotated=rotated,
    )[0]
    return found


def _turned(rows: Tensor) -> Detections:
    """Boxes that are turned: centre, width, height, and the angle as the last number."""
    x, y, width, height = rows[:, :4].unbind(1)
    angle = rows[:, -1]
    along = torch.stack((angle.cos(), angle.sin()), 1) * width[:, None] / 2
    across = torch.stack((-angle.sin(), angle.cos()), 1) * height[:, None] / 2
    centre = torch.stack((x, y), 1)
    corners = torch.stack(
        (centre + along + across, centre + along - across,
         centre - along - across, centre - along + across), 1
    )  # fmt: skip
    boxes = torch.cat((corners.amin(1), corners.amax(1)), 1)
    return Detections(boxes, rows[:, 4], rows[:, 5], corners=corners)


def _of_queries(output: Any, size: tuple[int, int]) -> Detections:
    """RT-DETR's: centre, width and height as shares of the input, then a score for each class.

    Newer versions give the score of the best class and its number.
    """
    rows = (output[0] if isinstance(output, (tuple, list)) else output)[0]
    (x, y, width, height), rest = rows[:, :4].unbind(1), rows[:, 4:]
    chosen = rest.shape[1] == 2 and bool((rest[:, 1] == rest[:, 1].round()).all())
    score, number = (rest[:, 0], rest[:, 1]) if chosen else rest.max(1)
    boxes = torch.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), 1)
    boxes = boxes * boxes.new_tensor([size[1], size[0], size[1], size[0]])
    order = score.argsort(descending=True)[:MOST]
    order = order[score[order] > MIN_SCORE]
    return Detections(boxes[order], score[order], number[order])
