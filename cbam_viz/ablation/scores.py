"""What a network's output is measured by, one number a photo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from cbam_viz.errors import MetricError

ScoreName = Literal["logit", "probability", "loss", "accuracy", "agreement"]
Score = ScoreName | Callable[[Any], Any]
"""`logit` and `probability` of the target class, `loss` (its cross-entropy), `accuracy` (1 where
the target is the top class), `agreement` (the same, of what the unchanged network says); or a
function from the network's output to one number a photo, (B,)."""
Values = npt.NDArray[np.float64]

SHARES = ("probability", "accuracy", "agreement")
"""Scores between 0 and 1, which are told in percent."""
NAMES: tuple[ScoreName, ...] = ("logit", "probability", "loss", "accuracy", "agreement")
_CLASS_OUTPUT = (
    "The network gives no row of class scores for each photo ({}). Measure its output by a "
    "function of your own: score=lambda output: ..., one number a photo."
)


@dataclass(frozen=True)
class Measured:
    """The scores of one batch; every array (B,)."""

    values: dict[str, Values]
    top: npt.NDArray[np.int64] | None
    """The top class of each photo; None where no score asks for classes."""


def name_of(score: Score) -> str:
    """What a score is called in tables."""
    if isinstance(score, str):
        return score
    name = getattr(score, "__name__", type(score).__name__)
    return "score" if name == "<lambda>" else name


def check(scores: Sequence[Score], *, labelled: bool) -> None:
    """Raises MetricError for a score that there is not, or that needs labels."""
    for score in scores:
        if not callable(score) and score not in NAMES:
            raise MetricError(
                f"There is no score {score!r}: take {', '.join(NAMES)}, or a function of "
                "the output."
            )
        if score == "accuracy" and not labelled:
            raise MetricError(
                "Accuracy needs the photos' true classes (targets); without them, 'agreement' "
                "counts how often the network still says what it said."
            )


def measured(
    output: Any, count: int, scores: Sequence[Score], targets: npt.NDArray[np.int64] | None
) -> Measured:
    """The scores of an output of `count` photos.

    `targets` are classes; where there are none (-1, or None for all), the class that the output
    itself puts on top counts, as it does for the unchanged network.

    Raises:
        MetricError: the output has no such score, or the network has no such class.
    """
    rows = class_scores(output, count) if any(isinstance(one, str) for one in scores) else None
    values: dict[str, Values] = {}
    top = None
    for score in scores:
        if callable(score):
            values[name_of(score)] = _own(score, output, count)
            continue
        assert rows is not None
        if top is None:
            top = rows.argmax(1).numpy()
            wanted = top if targets is None else np.where(targets < 0, top, targets)
            if wanted.max() >= rows.shape[1]:
                raise MetricError(
                    f"There is no class {wanted.max()}: the network has {rows.shape[1]}, from 0 to "
                    f"{rows.shape[1] - 1}."
                )
        values[score] = _of_class(score, rows, wanted, top)
    return Measured(values, top)


def class_scores(output: Any, count: int) -> Tensor:
    """The (B, K) class scores in an output, double precision on the CPU.

    Raises:
        MetricError: there are none, or several rows that could be.
    """
    found = _rows(output, count)
    if len(found) != 1:
        kind = f"a tensor of {tuple(output.shape)}" if isinstance(output, Tensor) else (
            f"a {type(output).__name__} with {len(found)} of them" if found else
            f"a {type(output).__name__}"
        )  # fmt: skip
        raise MetricError(_CLASS_OUTPUT.format(kind))
    rows = found[0].detach().double().cpu()
    if not bool(rows.isfinite().all()):
        raise MetricError("The network gives scores that are no finite numbers.")
    return rows


def _rows(output: Any, count: int) -> list[Tensor]:
    if isinstance(output, Tensor):
        fits = output.ndim == 2 and len(output) == count and output.shape[1] > 1
        return [output] if fits and output.is_floating_point() else []
    if isinstance(output, Mapping):
        named = output.get("logits")
        return _rows(named, count) if named is not None else _all(output.values(), count)
    if isinstance(getattr(output, "logits", None), Tensor):
        return _rows(output.logits, count)
    return _all(output, count) if isinstance(output, (tuple, list)) else []


def _all(parts: Any, count: int) -> list[Tensor]:
    return [row for part in parts if isinstance(part, Tensor) for row in _rows(part, count)]


def _of_class(
    score: str, rows: Tensor, wanted: npt.NDArray[np.int64], top: npt.NDArray[np.int64]
) -> Values:
    index = torch.from_numpy(wanted)
    if score in ("accuracy", "agreement"):
        return np.asarray(top == wanted, dtype=np.float64)
    if score == "logit":
        found = rows.gather(1, index[:, None])[:, 0]
    elif score == "probability":
        found = probabilities(rows).gather(1, index[:, None])[:, 0]
    else:
        found = F.nll_loss(probabilities(rows).clamp_min(1e-300).log(), index, reduction="none")
    return np.asarray(found.numpy(), dtype=np.float64)


def probabilities(rows: Tensor) -> Tensor:
    """Class scores (B, K) as probabilities: as they are where each row already is of such."""
    sums = (rows.sum(1) - 1).abs().max()
    if bool((rows >= 0).all()) and float(sums) < 1e-4:
        return rows
    return rows.softmax(1)


def _own(score: Callable[[Any], Any], output: Any, count: int) -> Values:
    given = score(output)
    given = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
    try:
        found = np.asarray(given, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise MetricError(f"The score gave no numbers: {error}.") from error
    if found.size != count:
        raise MetricError(
            f"The score gave {found.size} numbers for {count} photo{'' if count == 1 else 's'}; it "
            "must give one for each."
        )
    if not np.isfinite(found).all():
        raise MetricError("The score gave values that are no finite numbers.")
    return found
