"""The class score of one box of a detector, as the number that a map explains.

A box is chosen as it is listed. Its score is traced back to the raw number that made it, before
double boxes were suppressed (`squashed`): the logit of its class at its place of the output. Where
a method changes the input, that number is read again if it stands at one place of the output, as it
does in one-stage detectors; where boxes are proposed from the input anew, the score is that of the
box of the same class that overlaps the chosen one most, by half or more, and 0 where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cbam_viz._text import few, quoted, shortened
from cbam_viz.detections import Detections
from cbam_viz.detectors import read_detections, score_again
from cbam_viz.errors import MethodError, ModelError
from cbam_viz.gates.layout.inputs import tensors_in
from cbam_viz.methods.squashed import Raw, Squashings
from cbam_viz.models import LoadedModel

_BOX = re.compile(r"\s*(?:box|region)\s*(\d{1,6})\s*", re.IGNORECASE)
_TOLERANCE = 1e-3
FOLLOWED = "its class, and where it is"
"""How what stands at no one place of the output is found again; see `detectors.again`."""


@dataclass(frozen=True)
class Box:
    """A target: one of the boxes, or regions, that a network found on the photo."""

    number: int
    """From 1, as they are listed."""


def box_in(text: str) -> Box | None:
    """The box or region that `box 3`, `box3` and `region3` name; None for other texts."""
    found = _BOX.fullmatch(text)
    return None if found is None else Box(int(found[1]))


def place_of(wish: Box | int | str | None, found: Detections, name: str) -> int:
    """The place among the detections of what is wished for; of a class, its highest score.

    A class goes by its name, or by its number as text; None is the highest score of all.

    Raises:
        MethodError: nothing was found, or not that.
    """
    if not len(found):
        raise MethodError(f"{name} finds nothing on this photo, so there is no box to choose.")
    wish = (isinstance(wish, str) and box_in(wish)) or wish
    labels, one = found.labelled, called(found)
    listed = few([f"{one} {k + 1} ({label})" for k, label in enumerate(labels)])
    if isinstance(wish, Box):
        if 1 <= wish.number <= len(found):
            return wish.number - 1
        raise MethodError(f"There is no {one} {wish.number} on this photo, but {listed}.")
    if isinstance(wish, int):
        raise MethodError(
            f"{name} finds objects, so a target is a box by its number, such as 'box1', or the "
            f"name of a class, for its highest score: {listed}."
        )
    wanted = None if wish is None else wish.casefold()
    among = [k for k, label in enumerate(labels) if wanted in {None, label.casefold()}]
    if not among:  # nothing that was found is called so
        among = [k for k, number in enumerate(found.classes) if wanted == str(number)]
    if not among:
        raise MethodError(f"{name} finds no {quoted(str(wish))} on this photo, but {listed}.")
    return max(among, key=lambda k: found.scores[k])


def called(found: Detections) -> str:
    """What one of them is called."""
    return "box" if found.kind == "objects" else "region"


class BoxScore:
    """The score of one box, of outputs of one picture; made by `trace`."""

    def __init__(self, loaded: LoadedModel, size: tuple[int, int], found: Detections, place: int):
        self._loaded, self._size = loaded, size
        self._found, self._place = found, place
        self._raw: Raw | None = None
        self._why = ""
        self._seen = Squashings()

    @property
    def number(self) -> int:
        """From 1, as boxes are listed."""
        return self._place + 1

    @property
    def name(self) -> str:
        """Such as `box 2, dog`."""
        return f"{called(self._found)} {self.number}, {self._found.labelled[self._place]}"

    @property
    def share(self) -> float:
        """The score that the network says, 0 to 1."""
        return float(self._found.scores[self._place])

    @property
    def stays(self) -> bool:
        """Whether its number stands at one place of the output, for every input."""
        return self._raw is not None and self._raw.stays

    @property
    def kind(self) -> str:
        """What the number is that gradients come from: `logit`, or `score`."""
        return "score" if self._raw is None else "logit"

    def trace(self, network: nn.Module, x: Tensor) -> float:
        """Find out by one forward of a private copy where the score comes from; its raw number.

        Raises:
            MethodError: the network does not find again what it found.
        """
        self._seen = Squashings()
        with torch.enable_grad():
            with self._seen:
                output = network(x.detach().requires_grad_().clone())
                found, self._why = self._traceable(output)
            if found is None:
                return self.share
            score = found.traced[self._place]
            if abs(float(score.detach()) - self.share) > _TOLERANCE:
                raise MethodError(
                    f"The score of {self.name} is {self.share:g}, and {float(score.detach()):g} "
                    "when the network runs again: it draws random numbers. A map of it would not "
                    "be of this network."
                )
            self._raw = self._seen.origin(score)
        value = score
        if self._raw is not None:
            raw = self._seen.raw(self._raw.call, self._raw.index)
            value = score if raw is None else raw
        self._seen = Squashings()  # lets the graph of the forward go
        return float(value.detach())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A forward and what is made of it, from which the score is to be read."""
        call = -1 if self._raw is None else self._raw.call
        self._seen = Squashings(call)
        try:
            with self._seen:
                yield
        finally:
            self._seen = Squashings()

    def __call__(self, output: Any) -> Tensor:
        """The number (1,) for the very input that was traced; gradients go through it.

        Raises:
            MethodError: no gradient goes from the score to the output.
        """
        if torch.is_grad_enabled():
            found, why = self._traceable(output)
            if found is None:
                raise MethodError(why)
            score: Tensor = found.traced[self._place : self._place + 1]
        else:
            score = self._again(self._read(output))
        raw = None if self._raw is None else self._seen.raw(self._raw.call, self._raw.index)
        return score if raw is None else raw

    def swept(self, output: Any) -> Tensor:
        """The number (1,) for a changed input: the same number, or the score of what is there."""
        found = self._read(output)
        raw = None
        if self._raw is not None and self._raw.stays:
            raw = self._seen.raw(self._raw.call, self._raw.index)
        return self._again(found) if raw is None else raw

    def shares(self, output: Any) -> Tensor:
        """The same as a share of 1."""
        found = self._read(output)
        share = None
        if self._raw is not None and self._raw.stays:
            share = self._seen.share(self._raw.call, self._raw.index)
        return self._again(found) if share is None else share

    def _again(self, found: Detections) -> Tensor:
        score = score_again(self._found, self._place, found)
        return torch.tensor([score], dtype=torch.float32, device="cpu")

    def _read(self, output: Any) -> Detections:
        found = read_detections(self._loaded, output, self._size).detections
        return Detections() if found is None else found

    def _traceable(self, output: Any) -> tuple[Detections | None, str]:
        """What was found with gradients, or why there are none."""
        try:
            found = read_detections(self._loaded, output, self._size, gradients=True)
        except ModelError as error:
            return None, self._no_gradient(output, shortened(str(error), 200))
        one = found.detections
        if one is None or one.traced is None or len(one) != len(self._found):
            return None, self._no_gradient(output, found.note)
        return one, ""

    def _no_gradient(self, output: Any, said: str) -> str:
        """Why a gradient does not go from the box's score to the network."""
        whose = f"the decode function of {self._loaded.name}"
        if not any(one.requires_grad for one in tensors_in(output)):
            why = "the network's forward computes without gradients, so that none reaches a layer"
        elif self._loaded.decode is not None:
            why = (
                f"{whose} makes plain numbers or arrays of the scores; let it give them as "
                "tensors, without detach() and numpy()"
            )
        else:
            why = "the scores are made by code that has no gradient"
        said = f" ({said.rstrip('.')})" if said else ""
        return (
            f"No gradient goes through the score of {self.name}: {why}{said}. Occlusion, Score-CAM "
            "and EigenCAM need none."
        )
