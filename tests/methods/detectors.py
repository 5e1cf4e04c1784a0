"""Detectors whose boxes' evidence is known: each box is made from a place of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cbam_viz.detections import Detections

BOXES = torch.tensor([[0.0, 0.0, 8.0, 8.0], [16.0, 8.0, 32.0, 24.0], [16.0, 9.0, 32.0, 25.0]])
"""In pixels of an input of 24 x 32; the third is the second's double."""
SHAPE = (24, 32)
CLASSES = ("cat", "dog")


class Grid(nn.Module):
    """Raw scores (B, 2, 3 x 4): a cell of 8 x 8 pixels has `gain` times its mean colour, class by
    class, from `stage`, which is the input in cells. Each cell is a candidate."""

    def __init__(self, gain: float = 4.0) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(8)
        self.stage = nn.Identity()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.stage(self.pool(x))[:, :2].flatten(2)


def picture() -> Tensor:
    """A cat at the cell (0, 0), a dog at (1, 2) and, less sure, another one at (2, 0)."""
    x = torch.full((1, 3, *SHAPE), -1.0)
    x[:, 0, :8, :8] = 1.5
    x[:, 1, 8:16, 16:24] = 1.0
    x[:, 1, 16:24, :8] = 0.5
    return x


def decode(output: Tensor) -> Detections:
    """Cells of which a class has 0.5 or more, best first, in any way that code likes."""
    scores, classes = output[0].sigmoid().max(0)
    keep = (scores > 0.5).nonzero()[:, 0]
    keep = keep[scores[keep].argsort(descending=True)]
    row, column = keep // 4, keep % 4
    corners = torch.stack((column, row, column + 1, row + 1), 1) * 8.0
    return Detections(corners, scores[keep], classes[keep])


def of_arrays(output: Any) -> Detections:
    """The same by arrays, through which no gradient goes."""
    plain = decode(output.detach())
    return Detections(plain.boxes.tolist(), plain.scores.tolist(), plain.classes.tolist())
