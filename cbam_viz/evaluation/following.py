"""The score of one box while gates change: a score for `effects`, photo after photo."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cbam_viz.detections import Detections
from cbam_viz.detectors import read_detections, score_again
from cbam_viz.errors import MethodError
from cbam_viz.methods import Box
from cbam_viz.methods.boxes import called, place_of
from cbam_viz.models import LoadedModel


class BoxFollowed:
    """From a detector's output of one photo to the score, 0 to 1, of a box that was chosen on it.

    With other gates it is that of the box of the same class that overlaps the chosen one most, by
    half or more (intersection over union), and 0 where there is none any more; of a region, that of
    its class. Choose with `look` before each photo is measured.
    """

    __name__ = "box"

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._before: Detections | None = None
        self._place, self._size = 0, (0, 0)

    def look(self, x: Tensor, wish: Box | str | None = None) -> str:
        """Choose what is followed on an input (1, C, H, W); its name, such as `box 2, dog`.

        `wish` is a `Box`, `box2`, or the name of a class for its highest score; None is the highest
        score of all.

        Raises:
            MethodError: the network finds nothing there, or not that.
        """
        self._size = (int(x.shape[2]), int(x.shape[3]))
        with torch.no_grad():
            output = self._loaded.model(x)
        found = self._read(output)
        if found is None:
            raise MethodError(f"{self._loaded.name} finds no objects, so there is no box.")
        self._place = place_of(wish, found, self._loaded.name)
        self._before = found
        return f"{called(found)} {self._place + 1}, {found.labelled[self._place]}"

    def __call__(self, output: Any) -> list[float]:
        """The score, as one number for the one photo.

        Raises:
            MethodError: nothing was chosen yet.
        """
        if self._before is None:
            raise MethodError("No box was chosen: call look(x) with the photo's input first.")
        after = self._read(output)
        if after is None or not len(after):
            return [0.0]
        return [score_again(self._before, self._place, after)]

    def _read(self, output: Any) -> Detections | None:
        return read_detections(self._loaded, output, self._size).detections
