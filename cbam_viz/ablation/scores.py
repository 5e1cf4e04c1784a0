"""What a network's output is measured by, one number a photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cbam_viz._text import named, quoted
from cbam_viz.errors import MetricError, ModelError, NoClassScoresError
from cbam_viz.predictions import ClassScores, scores_in

ScoreName = Literal["logit", "probability", "loss", "accuracy", "agreement"]
Score = ScoreName | Callable[[Any], Any]
"""`logit` (of a network that gives logits) and `probability` of the target class, `loss` (its
cross-entropy), `accuracy` (1 where the target is the top class), `agreement` (the same, of what the
unchanged network says); or a function from the network's output to one number a photo, (B,)."""
Values = npt.NDArray[np.float64]

SHARES = ("probability", "accuracy", "agreement", "box")
"""Scores between 0 and 1, which are told in percent."""
NAMES: tuple[ScoreName, ...] = ("logit", "probability", "loss", "accuracy", "agreement")
_CLASS_OUTPUT = (
    "The network gives no row of class scores for each photo: {}. Measure its output by a "
    "function of your own: score=lambda output: ..., one number a photo."
)

_NO_NUMBERS = "The network gives scores that are no finite numbers."


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
    if not scores:
        raise MetricError(f"Say what is measured: {', '.join(NAMES)}, or a function of the output.")
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


def class_number(target: Any) -> int | None:
    """A class that a user gave; None stays None.

    Raises:
        MetricError: it is no whole number, or below 0.
    """
    if target is None:
        return None
    try:
        number = index(target)
    except TypeError:
        number = -1
    if number < 0:
        raise MetricError(f"There is no class {quoted(target)}: classes are numbered from 0.")
    return number


def class_scores(
    output: Any, count: int, scores: Sequence[Score], model: nn.Module, run: Callable[[], Any]
) -> ClassScores | None:
    """Where the class scores are in a network's own output of `count` photos; None if not asked.

    It holds for its outputs with other gates too, whatever those numbers look like: logits may then
    lie between 0 and 1 by chance. Who asks for the score of a class says that there is one; `run`
    is that of `predictions.read_output`.

    Raises:
        MetricError: there are none, or no logits where these are asked for.
    """
    if all(callable(one) for one in scores):
        return None
    try:
        found = scores_in(output, None, model, run=run, photos=count, vouched=True)
    except NoClassScoresError as error:
        raise MetricError(_CLASS_OUTPUT.format(error.reason)) from error
    if "logit" in scores and found.kind != "logits":
        raise MetricError(
            f"The network gives {found.kind}, so that no class has a logit. Take 'probability' or "
            "'loss'."
        )
    return found


def measured(
    output: Any,
    count: int,
    scores: Sequence[Score],
    targets: npt.NDArray[np.int64] | None,
    where: ClassScores | None,
) -> Measured:
    """The scores of an output of `count` photos, whose class scores are where `class_scores` said.

    `targets` are classes; where there are none (-1, or None for all), the class that the output
    itself puts on top counts, as it does for the unchanged network.

    Raises:
        MetricError: the output has no such score, or the network has no such class.
    """
    values: dict[str, Values] = {}
    if where is None:
        return Measured({name_of(one): _own(one, output, count) for one in scores}, None)  # type: ignore[arg-type]
    top = _rows(output, count, where).argmax(1).cpu().numpy()
    wanted = top if targets is None else np.where(targets < 0, top, targets)
    if wanted.max() >= where.count:
        raise MetricError(
            f"There is no class {wanted.max()}: the network has {where.count:,}, from 0 to "
            f"{where.count - 1}."
        )
    for score in scores:
        if callable(score):
            values[name_of(score)] = _own(score, output, count)
        else:
            values[score] = _of_class(score, output, where, wanted, top)
    return Measured(values, top)


def _rows(output: Any, count: int, where: ClassScores) -> Tensor:
    try:
        rows = where.of(output)
    except ModelError as error:
        raise MetricError(str(error)) from error
    if len(rows) != count:
        raise MetricError(f"The network gives {len(rows)} rows of class scores for {count} photos.")
    if bool((rows.isnan() | rows.isposinf()).any()):
        raise MetricError(_NO_NUMBERS)
    return rows


def _of_class(
    score: ScoreName,
    output: Any,
    where: ClassScores,
    wanted: npt.NDArray[np.int64],
    top: npt.NDArray[np.int64],
) -> Values:
    if score in ("accuracy", "agreement"):
        return np.asarray(top == wanted, dtype=np.float64)
    rows = where.of(output).detach().double().cpu()
    rows = rows if score == "logit" else where.as_probabilities(rows)
    found = rows[torch.arange(len(wanted), device="cpu"), torch.from_numpy(wanted)]
    values = (-found.clamp_min(1e-300).log() if score == "loss" else found).numpy()
    if not np.isfinite(values).all():
        raise MetricError(_NO_NUMBERS)
    return np.asarray(values, dtype=np.float64)


def _own(score: Callable[[Any], Any], output: Any, count: int) -> Values:
    try:
        given = score(output)
    except Exception as error:  # the user's own code
        why = named(error)
        raise MetricError(f"The score fails on the network's output: {why}.") from error
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
