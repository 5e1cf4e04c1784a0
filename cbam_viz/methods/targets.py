"""What a map is for: the score of a class, or any number that the network's output has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from cbam_viz._text import few, quoted
from cbam_viz.errors import MethodError, ModelError
from cbam_viz.methods.boxes import Box, BoxScore
from cbam_viz.predictions import scores_in

Wish = int | str | Box | Callable[[Any], Tensor] | None
"""A class by its number or its name; None for the predicted one. Of a detector a `Box`, or its name
`box3`, or the name of a class, for its highest score; None for the highest of all. Or a function
from the network's output to one number a picture, (B,), through which gradients can go."""


@dataclass(frozen=True, eq=False)
class Target:
    """One number of the output that a map explains."""

    index: int | None
    """The class; None for a box, or a function of the user's own."""
    name: str
    kind: str
    """What the number is: `logit`, `probability`, `log-probability` or `score`."""
    score: Callable[[Any], Tensor]
    """From the network's output to (B,); gradients go through it."""
    box: BoxScore | None = None
    """Of a detector's box."""


def target_of(
    wish: Wish,
    output: Any,
    classes: Sequence[str] | None,
    model: nn.Module,
    run: Callable[[], Any] | None = None,
) -> Target:
    """Find out what is wished for in the output of one picture. `run` as in `read_output`.

    Raises:
        MethodError: the network has no such class, or its output is no class scores.
    """
    if callable(wish):
        name = getattr(wish, "__name__", type(wish).__name__)
        name = "a function of the output" if name == "<lambda>" else name
        return Target(None, name, "score", _checked(wish))
    if isinstance(wish, Box):
        raise MethodError(
            f"The network finds no objects, so there is no box {wish.number}. Choose a class by "
            "its number or name."
        )
    try:
        found = scores_in(output, classes, model, run=run)
    except ModelError as error:
        raise MethodError(
            f"{error} So there is no class to make a map for: give a function of the output as "
            "the target."
        ) from error
    row = found.of(output)[0]
    index = int(row.argmax()) if wish is None else index_of(wish, classes, len(row))
    known = classes is not None and len(classes) == len(row)
    name = classes[index] if known and classes is not None else f"class {index}"
    kind = {"logits": "logit", "probabilities": "probability"}.get(found.kind, "log-probability")
    return Target(index, name, kind, lambda later: found.of(later)[:, index])


def index_of(wish: int | str, classes: Sequence[str] | None, count: int) -> int:
    """The number of the class, of so many, that is wished for by its number or name.

    Raises:
        MethodError: there is no such class.
    """
    if isinstance(wish, str) and classes is not None and len(classes) == count:
        folded = [name.casefold() for name in classes]
        if wish.casefold() in folded:
            return folded.index(wish.casefold())
    # Classes without names are called `class 3` in results, and may be asked for so.
    number = wish if isinstance(wish, int) else wish.casefold().removeprefix("class ")
    index = (
        int(number) if isinstance(number, int) or (number.isdecimal() and len(number) < 9) else -1
    )
    if 0 <= index < count:
        return index
    names = f": {few(classes)}" if classes is not None and len(classes) == count else ""
    raise MethodError(
        f"The network has no class {quoted(wish)}. It has {count:,}, numbered from 0{names}."
    )


def _checked(wish: Callable[[Any], Tensor]) -> Callable[[Any], Tensor]:
    def score(output: Any) -> Tensor:
        found = wish(output)
        if not isinstance(found, Tensor) or found.ndim > 1 or not found.is_floating_point():
            what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise MethodError(
                f"The target function gave {what}; it must give a tensor with one number a "
                "picture, (B,)."
            )
        return found.reshape(-1)

    return score
