"""What a detector or segmenter found on one photo: boxes, classes, scores, masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbam_viz.errors import ModelError

Numbers = npt.NDArray[np.float64]
Kind = Literal["objects", "regions"]

MOST = 1000
"""Objects of one photo; ultralytics keeps at most 300."""


def _none() -> Numbers:
    return np.zeros((0, 4))


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects or regions, best first. Tensors, arrays and lists are taken; arrays are kept.

    A function of your own, `decode(output) -> Detections`, makes them in pixels of the network's
    input, pixel `k` from `k` to `k + 1`; in an `Analysis` boxes, corners and keypoints are in
    pixels of the photo. Raises ModelError for what does not belong together.
    """

    boxes: Any = field(default_factory=_none)
    """(N, 4): left, top, right, bottom."""
    scores: Any = ()
    """(N,): how sure the network is, 0 to 1."""
    classes: Any = ()
    """(N,): positions among the network's classes."""
    labels: Sequence[str] = ()
    """Names of the classes, N; where empty, those that are known, else `class 7`."""
    masks: Any = None
    """(N, h, w) of truth values, on the pixels of the network's input, also in an `Analysis`."""
    corners: Any = None
    """(N, 4, 2) of x and y, where boxes are turned; `boxes` then holds them."""
    keypoints: Any = None
    """(N, K, 2 or 3) of x, y and how sure it is that the point is seen."""
    kind: Kind = "objects"
    """`regions`: each is all that the network takes for one class (semantic segmentation)."""
    note: str = ""
    """A sentence: what was assumed or left out."""
    traced: Any = field(default=None, repr=False)
    """(N,): the scores as a tensor through which gradients go, where they were given so."""

    def __post_init__(self) -> None:
        """Make arrays of everything; see the class."""
        boxes = _array("boxes", self.boxes, (4,))
        count = len(boxes)
        if self.traced is None and getattr(self.scores, "requires_grad", False):
            object.__setattr__(self, "traced", self.scores)

        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("boxes", boxes)
        put("scores", _array("scores", self.scores, (), count))
        put("classes", _array("classes", self.classes, (), count).astype(np.int64))
        put("labels", tuple(str(label) for label in self.labels))
        for name, last in (("corners", (4, 2)), ("keypoints", (None, None))):
            if getattr(self, name) is not None:
                put(name, _array(name, getattr(self, name), last, count))
        if self.masks is not None:
            masks = np.asarray(_plain(self.masks)).astype(bool)
            if masks.ndim != 3 or len(masks) != count:
                raise ModelError(
                    f"Detections take masks of shape ({count}, height, width), one for each box, "
                    f"not {masks.shape}."
                )
            put("masks", masks)
        if self.labels and len(self.labels) != count:
            raise ModelError(f"Detections have {count} boxes and {len(self.labels)} labels.")
        if count > MOST:
            raise ModelError(f"Detections of {count:,} boxes; at most {MOST:,} are taken.")

    def __len__(self) -> int:
        """How many."""
        return len(self.boxes)

    def chosen(self, keep: npt.NDArray[Any]) -> Detections:
        """Those that `keep`, truth values or positions, names; in its order."""
        places: list[int] = (np.flatnonzero(keep) if keep.dtype == bool else keep).tolist()
        cut: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[keep]
            for name in ("boxes", "scores", "classes", "masks", "corners", "keypoints")
        }
        if self.traced is not None:
            cut["traced"] = self.traced[places]
        labels = tuple(self.labels[place] for place in places) if self.labels else ()
        return replace(self, labels=labels, **cut)

    def named(self, names: Sequence[str] | None) -> Detections:
        """The same with labels, of the names of all classes where they have them."""
        if self.labels or not len(self):
            return self
        known = names or ()
        labels = [
            known[number] if 0 <= number < len(known) else f"class {number}"
            for number in self.classes.tolist()
        ]
        return replace(self, labels=labels)

    @property
    def told(self) -> str:
        """The best three with their scores, and how many more, in a line."""
        best = zip(self.labelled[:3], self.scores[:3].tolist(), strict=True)
        more = f" and {len(self) - 3} more" if len(self) > 3 else ""
        return ", ".join(f"{label} {score:.2f}" for label, score in best) + more or "nothing found"

    @property
    def labelled(self) -> tuple[str, ...]:
        """The label of each, `class 7` where no names are known."""
        return tuple(self.labels) or tuple(f"class {number}" for number in self.classes.tolist())

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Each as plain data for JSON, masks left out."""
        rows = []
        for place in range(len(self)):
            row: dict[str, Any] = {
                "label": self.labels[place] if self.labels else "",
                "class": int(self.classes[place]),
                "score": float(self.scores[place]),
                "box": self.boxes[place].tolist(),
            }
            for name in ("corners", "keypoints"):
                if getattr(self, name) is not None:
                    row[name] = getattr(self, name)[place].tolist()
            rows.append(row)
        return rows


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _array(
    name: str, value: Any, last: tuple[int | None, ...], count: int | None = None
) -> Numbers:
    """Finite numbers of shape (N, *last). Raises ModelError."""
    try:
        found = np.asarray(_plain(value), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"Detections take {name} as numbers ({error}).") from error
    if found.size == 0 and not count:
        found = np.zeros((0, *(side or 2 for side in last)))
    fits = found.ndim == 1 + len(last) and all(
        wanted in (None, side) for wanted, side in zip(last, found.shape[1:], strict=True)
    )
    if not fits or count not in (None, len(found)):
        shape = ", ".join(str(side or "any") for side in ("N" if count is None else count, *last))
        raise ModelError(f"Detections take {name} of shape ({shape}), not {found.shape}.")
    if not np.isfinite(found).all():
        raise ModelError(f"Detections take finite numbers; {name} has others.")
    return found
