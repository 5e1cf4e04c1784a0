"""What a network's output says of classes: probabilities where it is class scores, else why not.

A wrong prediction looks like a right one, so none is given unless something establishes it:

- Numbers that are probabilities already (none negative, their sum is one) are taken as they are,
  and logarithms of such numbers are taken back. They are not squashed a second time.
- Any other numbers become probabilities by softmax only if somebody says that they are scores of
  classes that exclude each other: the output's name (`logits`), probabilities beside them that are
  their softmax, class names that are known and as many, or the network (`says_classes`).
- Numbers that all lie in [0, 1] stand for labels that may hold together; a row of length one is an
  embedding; a network whose classifier was taken off gives features.
- Numbers may look like any of these by chance, above all few of them. So the operation that made
  such a row is looked at: what a linear layer or a convolution gives are scores, sigmoids each
  stand alone even where they sum to one, and a choice (one 1 among zeros) is no probability.

Where several rows come (auxiliary classifiers, features beside logits), the one is taken that is
named or proven to be the logits, else the only one that has as many numbers as there are classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cbam_viz.errors import ModelError, NoClassScoresError
from cbam_viz.models.heads import (
    says_classes,
    says_headless,
    says_other_task,
    seems_headless,
)
from cbam_viz.models.makers import makers_of

Kind = Literal["logits", "probabilities", "log-probabilities", "none"]

TOP = 5
"""How many predictions are kept."""

NAMES_UNKNOWN = (
    "The names of the classes are not known. A checkpoint may carry them, as 'classes' in the "
    "order of the outputs or as 'class_to_idx'; else state them: --classes FILE, or "
    "Class names under Input in the app."
)

DENSE = (
    "What it says of each place can be shown if a function of your own, decode(output) -> "
    "cbam_viz.Detections, reads it: wrap_model(net, decode=decode) in Python; for the command line "
    "and the app, let the factory of --model FILE.py:FACTORY return that."
)
"""What to do where an output is maps or the like."""

_FEATURES = "the network gives features, as its classifier was taken off ({})"

_LOGITS = frozenset({"logits", "logit", "class_logits", "cls_logits"})
_OF_OTHERS = re.compile(r"box|mask|keypoint|landmark|embed|feature|hidden")
"""Names of parts of an output that are no scores of classes."""
_MOST_PARTS, _DEEPEST = 64, 4
_ROUNDING = 1e-5
"""How far a sum of float32 probabilities may be from one; networks sum thousands of them."""


@dataclass(frozen=True)
class Prediction:
    """One class that the network considers."""

    index: int
    """Position among the outputs."""
    label: str
    """The class's name; `class 7` where names are not known."""
    probability: float
    """In [0, 1]; those of all classes sum to one."""


@dataclass(frozen=True)
class Reading:
    """What was made of an output."""

    kind: Kind
    """What the numbers are; `none` where they are no scores of classes that exclude each other."""
    predictions: tuple[Prediction, ...] = ()
    """The most probable classes, best first; empty for `none`."""
    note: str = ""
    """A sentence: why there is no prediction, or what is not known of it."""


@dataclass(frozen=True)
class ClassScores:
    """Where a network's output has its class scores; it holds for other inputs too."""

    kind: Kind
    """What the numbers are; never `none`."""
    count: int
    """How many classes there are."""
    place: int
    """Of the row among the output's tensors."""

    def of(self, output: Any) -> Tensor:
        """The scores (B, K) in an output of B photos, as they are; gradients go through.

        Raises:
            ModelError: this output has none there.
        """
        tensors = _tensors(output)
        found = tensors[self.place].tensor if self.place < len(tensors) else None
        if found is None or found.ndim != 2 or found.shape[1] != self.count:
            raise ModelError("The network's output has its class scores elsewhere than before.")
        return found

    def probabilities(self, output: Any) -> Tensor:
        """The same as probabilities (B, K)."""
        return self.as_probabilities(self.of(output))

    def as_probabilities(self, scores: Tensor) -> Tensor:
        """Scores (B, K), of whatever precision, as probabilities."""
        if self.kind == "logits":
            return scores.softmax(1)
        return scores.exp() if self.kind == "log-probabilities" else scores


@dataclass(frozen=True)
class _Row:
    """A tensor in an output, with the name that it goes by there; empty if it has none."""

    name: str
    tensor: Tensor
    place: int
    """Its position among the output's tensors."""
    photos: int
    """How many photos the output is of."""

    @property
    def count(self) -> int:
        """How many numbers the row has."""
        return self.tensor.shape[1]

    @property
    def fits(self) -> bool:
        """Whether these could be scores, a row for each photo: (B, K), K at least 2."""
        shape, floating = self.tensor.shape, self.tensor.is_floating_point()
        return len(shape) == 2 and shape[0] == self.photos and shape[1] > 1 and floating


def read_output(
    output: Any,
    classes: Sequence[str] | None,
    model: nn.Module | None = None,
    *,
    run: Callable[[], Any] | None = None,
    top: int = TOP,
) -> Reading:
    """Find out what a network gave for one photo; see the module's docstring for the rules.

    `model` is the network; without one, the caller vouches that the output is class scores.
    `run` runs the network on the photo once more. That is done once for a network, and only where
    the numbers look like probabilities, labels or an embedding, to see whether that is chance.
    """
    try:
        row, kind, probabilities = _found(output, classes, model, run)
    except NoClassScoresError as error:
        more = f" {DENSE}" if error.dense else ""
        return Reading("none", note=f"No prediction: {error.reason}.{more}")
    probabilities = probabilities[0]
    names = classes if classes is not None and len(classes) == row.count else None
    best = probabilities.topk(min(top, row.count))
    note = "" if names else NAMES_UNKNOWN
    if classes and names is None:
        note = f"{len(classes):,} class names are known, of {row.count:,} classes; none is used."
    found = tuple(
        Prediction(int(i), names[int(i)] if names else f"class {int(i)}", float(share))
        for share, i in zip(best.values, best.indices, strict=True)
    )
    return Reading(kind, found, note)


def scores_in(
    output: Any,
    classes: Sequence[str] | None,
    model: nn.Module | None = None,
    *,
    run: Callable[[], Any] | None = None,
    photos: int = 1,
    vouched: bool = False,
) -> ClassScores:
    """Find where the output of so many photos has class scores, by the rules of `read_output`.

    What holds for a row is then held against the rows of all photos. With `vouched`, the caller
    says that there are class scores, as whoever asks for the probability of a class does: then
    nothing else need say so, but what speaks against it still does.

    Raises:
        NoClassScoresError: it has none; the text says why.
    """
    row, kind, _ = _found(output, classes, model, run, photos=photos, vouched=vouched)
    return ClassScores(kind, row.count, row.place)


def _found(
    output: Any,
    classes: Sequence[str] | None,
    model: nn.Module | None,
    run: Callable[[], Any] | None,
    *,
    photos: int = 1,
    vouched: bool = False,
) -> tuple[_Row, Kind, Tensor]:
    """Return the row of class scores, what it is, and the probabilities (B, K)."""
    if model is not None:
        _check_task(model)
    row, is_said = _choose(_tensors(output, photos), classes, model, vouched=vouched)
    return row, *_probabilities(row, is_said, model, run)


def _check_task(model: nn.Module) -> None:
    headless = says_headless(model)
    if headless is not None:
        raise NoClassScoresError(_FEATURES.format(headless))
    task = says_other_task(model)
    if task is not None:
        raise NoClassScoresError(f"the network's config says {task.replace('_', ' ')}")


def _tensors(output: Any, photos: int = 1) -> list[_Row]:
    """Return every tensor in nested outputs."""
    return [_Row(name, tensor, n, photos) for n, (name, tensor) in enumerate(_walk(output, "", 0))]


def _walk(output: Any, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(output, Tensor):
        yield name, output
        return
    if depth == _DEEPEST or output is None:
        return
    if isinstance(output, Mapping):
        parts = [(str(key).lower(), value) for key, value in output.items()]
    elif isinstance(output, (tuple, list)):
        names = [key.lower() for key in getattr(output, "_fields", [name] * len(output))]
        parts = list(zip(names, output, strict=True))
    else:
        parts = [(key, getattr(output, key)) for key in sorted(_LOGITS) if hasattr(output, key)]
    for key, value in parts[:_MOST_PARTS]:
        yield from _walk(value, key, depth + 1)


def _choose(
    tensors: list[_Row], classes: Sequence[str] | None, model: nn.Module | None, *, vouched: bool
) -> tuple[_Row, bool]:
    """Return the row that holds class scores, and whether something says that it does."""
    rows = [row for row in tensors if row.fits and not _OF_OTHERS.search(row.name)]
    rows = [row for row in rows if "aux" not in row.name] or rows
    named = [row for row in tensors if row.name in _LOGITS]
    if named:
        rows = [row for row in named if row.fits]
    if not rows:
        odd = named or tensors
        dense = any(row.tensor.ndim > 2 and row.tensor.shape[-1] > 1 for row in odd)
        raise NoClassScoresError(_why_no_row(odd), dense=dense)
    proven = _proven(rows)
    if proven is not None:
        return proven, True
    said = [row for row in rows if named or _is_said(row.count, classes, model)]
    if len(said) == 1:
        return said[0], True
    if len(rows) == 1 and (vouched or len(tensors) == 1):
        return rows[0], vouched
    numbers = " and ".join(f"{row.count:,}" for row in rows[:3])
    raise NoClassScoresError(
        f"the network gives {len(tensors)} tensors, with rows of {numbers} numbers among them, "
        "and nothing says which are scores of classes"
    )


def _is_said(count: int, classes: Sequence[str] | None, model: nn.Module | None) -> bool:
    known = classes is not None and len(classes) == count
    return known or model is None or says_classes(model, count)


def _proven(rows: Sequence[_Row]) -> _Row | None:
    """Return the one row whose softmax, or the logarithm of it, stands beside it."""
    plain = [row for row in rows if not _impossible(row.tensor)]
    spread = [(row, _as_distribution(row.tensor)) for row in plain]
    logits = [
        row
        for row, own in spread
        if own is None and any(found and _is_softmax(found[1], one, row) for one, found in spread)
    ]
    return logits[0] if len(logits) == 1 else None


def _is_softmax(probabilities: Tensor, of: _Row, row: _Row) -> bool:
    if of.count != row.count:
        return False
    softmax = _values(row.tensor).softmax(1)
    return float((softmax - probabilities).abs().max()) <= _epsilon(of.tensor) + _ROUNDING


def _why_no_row(tensors: Sequence[_Row]) -> str:
    """Say what the output is instead of scores of one photo."""
    if not tensors:
        return "no tensor was found in what the network gives"
    tensor = tensors[0].tensor
    shape = " × ".join(map(str, tensor.shape))
    if len(tensors) > 1:
        return f"the network gives {len(tensors)} tensors, none of them a row of class scores"
    if not tensor.is_floating_point():
        kind = "complex" if tensor.is_complex() else "whole"
        return f"the network gives {kind} numbers ({shape}), no scores of classes"
    if tensor.numel() == 1:
        return "the network gives one number, and a class is chosen among several"
    if tensor.ndim == 4:
        return f"the network gives maps ({shape}), not scores of classes"
    return f"the network gives a tensor of {shape}, not a row of class scores"


def _probabilities(
    row: _Row, is_said: bool, model: nn.Module | None, run: Callable[[], Any] | None
) -> tuple[Kind, Tensor]:
    """Return what the row is and the probabilities (B, K) in double precision."""
    tensor = row.tensor
    bad = _impossible(tensor)
    if bad:
        raise NoClassScoresError(
            f"{bad:,} of the network's {row.count:,} outputs are not finite numbers"
        )
    found = _as_distribution(tensor)
    headless = seems_headless(model) if model is not None and not is_said else None
    other = _FEATURES.format(headless) if headless else _other_meaning(tensor)
    if found is not None or other:
        maker = _maker(row, model, run)
        if found is not None and maker in _ALONE:
            raise NoClassScoresError(
                f"the network's {row.count:,} outputs are made each by a sigmoid of its own, and "
                "sum to one by chance: labels that may hold together, or other values"
            )
        if found is not None and maker in _CHOICES:
            raise NoClassScoresError(
                "the network gives its choice, one 1 among zeros, and no shares"
            )
        if found is not None and maker not in _LINEAR:
            return found
        if maker not in _LINEAR:
            raise NoClassScoresError(other)
    if not is_said:
        raise NoClassScoresError(
            f"nothing says that the network's {row.count:,} outputs are scores of classes, and "
            "not features or other values. Say it by an attribute of the network (num_classes = "
            f"{row.count}), by naming the output 'logits', or by class names, in the "
            "checkpoint or stated (--classes FILE, or Class names under Input in the app)"
        )
    return "logits", _values(tensor).softmax(1)


def _other_meaning(tensor: Tensor) -> str:
    """Say what the values look like if not like scores; empty where they could be scores."""
    values = _values(tensor)
    count = values.shape[1]
    if _is_one(values.square().sum(1), 4 * _epsilon(tensor) + _ROUNDING):
        return f"the network's {count:,} outputs are a vector of length one, an embedding"
    if bool(((values >= 0) & (values <= 1)).all()):
        return (
            f"the network's {count:,} outputs lie between 0 and 1 and sum to "
            f"{float(values[0].sum()):.4g}, not to one: labels that may hold together, or other "
            "values, but no probabilities of classes that exclude each other"
        )
    return ""


_LINEAR = frozenset({"linear", "addmm", "convolution", "conv2d"})
"""Layers after which numbers may be anything, so that a sum of one or a range of [0, 1] is chance.
A product of matrices is none of them: it may mix distributions."""

_ALONE = frozenset({"sigmoid", "hardsigmoid"})
"""Operations on each number alone, so that a sum of one is chance."""
_CHOICES = frozenset({"scatter", "one_hot", "eq"})
"""Operations that put a 1 at the largest number."""


def _maker(row: _Row, model: nn.Module | None, run: Callable[[], Any] | None) -> str:
    """Return the operation that gives the row, such as `linear`; empty if not known."""
    if model is None or run is None:
        return ""
    made = makers_of(model, lambda: [one.tensor for one in _tensors(run())])
    return made.get(row.place, "").rstrip("_")  # those that work in place end in one


def _as_distribution(tensor: Tensor) -> tuple[Kind, Tensor] | None:
    """Return probabilities that the numbers are, or are the logarithms of; None if neither.

    Of several photos, the rows of all must be that.
    """
    values = _values(tensor)
    slack = _epsilon(tensor) + _ROUNDING
    if bool((values >= 0).all()) and _is_one(values.sum(1), slack):
        return "probabilities", values
    powers = values.exp()
    # Logarithms are rounded in proportion to themselves, on average by the entropy at most.
    slack += _epsilon(tensor) * math.log(values.shape[1])
    if bool((values <= slack).all()) and _is_one(powers.sum(1), slack):
        return "log-probabilities", powers / powers.sum(1, keepdim=True)
    return None


def _values(tensor: Tensor) -> Tensor:
    return tensor.detach().double().cpu()


def _is_one(sums: Tensor, slack: float) -> bool:
    """Whether every photo's sum is one."""
    return float((sums - 1).abs().max()) <= slack


def _epsilon(tensor: Tensor) -> float:
    """Return the rounding of the coarsest type in which these numbers are what they are.

    A network that runs in half precision may widen its result at last.
    """
    for dtype in (torch.bfloat16, torch.float16):
        if torch.equal(tensor.to(dtype).to(tensor.dtype), tensor):
            return torch.finfo(dtype).eps
    return torch.finfo(tensor.dtype).eps


def _impossible(tensor: Tensor) -> int:
    """Return how many scores are none: minus infinity rules a class out, but not all of them."""
    finite = tensor.isfinite()
    possible = (finite | tensor.isneginf()) & finite.any(1, keepdim=True)
    return int((~possible).sum(1).max())
