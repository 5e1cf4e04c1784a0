"""What `cbam-viz effects` measures on each photo: scores of a class, or of a detector's box."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbam_viz.cli.labels import class_of
from cbam_viz.errors import MetricError

if TYPE_CHECKING:
    from torch import Tensor

    from cbam_viz.evaluation import BoxFollowed
    from cbam_viz.models import LoadedModel

BOX = "box"


class Wanted:
    """What was asked for, and what that is for a network, once its output was seen."""

    def __init__(self, scores: Sequence[str], target: str | None, *, labelled: bool) -> None:
        self._asked, self._target, self._labelled = tuple(scores), target, labelled
        self._followed: BoxFollowed | None = None
        self._loaded: LoadedModel | None = None
        self._boxes: dict[str, str] = {}

    def scores_for(self, loaded: LoadedModel, x: Tensor) -> list[Any]:
        """The scores, by what the network gives for a photo's input.

        Raises:
            MetricError: it gives neither class scores nor objects, or not those that were asked.
            NoAttentionError: it has no gates either, which is what would have to change.
        """
        from cbam_viz.evaluation import BoxFollowed

        self._loaded = loaded
        named = [one for one in self._asked if one != BOX]
        if _finds(loaded, x):
            if named:
                raise MetricError(
                    f"{loaded.name} finds objects, which have no {named[0]}: take --score {BOX}."
                )
            self._followed = BoxFollowed(loaded)
            return [self._followed]
        if BOX in self._asked or self._box_asked:
            raise MetricError(
                f"{loaded.name} finds no objects, so there is no box. Take a class as --target, "
                "and another --score."
            )
        return named or ["accuracy" if self._labelled else "agreement", "probability"]

    def look(self, path: Path, x: Tensor, label: int | None) -> int | None:
        """The class whose score is measured on this photo, or None; a box is chosen.

        Raises:
            CbamVizError: there is no such class, or no such box on it.
        """
        assert self._loaded is not None
        names = self._loaded.classes
        if self._followed is not None:
            wish = self._target
            if label is not None:
                wish = names[label] if names and label < len(names) else f"class {label}"
            self._boxes[str(path)] = self._followed.look(x, wish)
            return None
        return label if self._target is None else class_of(self._target, names)

    @property
    def described(self) -> dict[str, Any]:
        """For JSON: the box that was chosen on each photo, where boxes are measured."""
        return {"boxes": self._boxes} if self._followed is not None else {}

    @property
    def sentence(self) -> str:
        """What the score is of, in words; empty for classes."""
        if self._followed is None:
            return ""
        chosen = set(self._boxes.values())
        if len(chosen) == 1:
            which = chosen.pop()
        elif self._box_asked:
            which = f"{self._target} on each photo"
        else:
            of = "the label" if self._labelled else self._target
            which = f"the box of the highest score{f' of {of}' if of else ''} on each photo"
        return (
            f"The score is that of {which}; with other gates, of the box of its class that "
            "overlaps it most, by half or more, and 0 where there is none."
        )

    @property
    def _box_asked(self) -> bool:
        from cbam_viz.methods.boxes import box_in

        return self._target is not None and box_in(self._target) is not None


def _finds(loaded: LoadedModel, x: Tensor) -> bool:
    """Whether the network finds objects, or regions; False for class scores.

    Raises:
        MetricError: its output is neither.
        NoAttentionError: the same, and it has no gates either.
    """
    import torch

    from cbam_viz.analysis import with_layers
    from cbam_viz.detectors import read_detections
    from cbam_viz.gates import capture
    from cbam_viz.predictions import read_output

    def run() -> Any:
        with torch.no_grad():
            return loaded.model(x)

    try:
        output = run()
    except Exception:  # told photo by photo, as the network may take others
        return False
    reading = read_output(output, loaded.classes, loaded.model, run=run)
    if reading.kind != "none":
        return False
    size = (int(x.shape[2]), int(x.shape[3]))
    if read_detections(loaded, output, size).detections is not None:
        return True
    with torch.no_grad():
        with_layers(capture(loaded.model, x))
    raise MetricError(
        f"{reading.note} Effects on other outputs are measured in Python: "
        "cbam_viz.effects(model, inputs, score=...)."
    )
