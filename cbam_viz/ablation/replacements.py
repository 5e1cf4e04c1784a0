"""What can be put in the place of a gate, each a function from the gate to another of its shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from cbam_viz._text import named
from cbam_viz.computation import GateKind
from cbam_viz.errors import CaptureError, MetricError
from cbam_viz.metrics import generator

Over = Literal["channels", "positions", "photos"]


class Replacement(Protocol):
    """Makes a gate out of the one that the network computed: (B, C), or (B, h, w), floating."""

    def __call__(self, gate: Tensor) -> Tensor:
        """Return a gate that can be expanded to that shape."""

    @property
    def text(self) -> str:
        """What it is, as in `replaced by ...`."""


@dataclass(frozen=True)
class Constant:
    """One number everywhere. With 1 the gate is off: features pass as they are."""

    value: float

    def __call__(self, gate: Tensor) -> Tensor:
        """The number."""
        return torch.full_like(gate, self.value)

    @property
    def text(self) -> str:
        """The number in words."""
        return {1.0: "one", 0.0: "zero"}.get(self.value, f"{self.value:g}")


@dataclass(frozen=True)
class Mean:
    """Each photo's own mean: the gate's level is kept, its pattern gone."""

    text: str = "its mean"

    def __call__(self, gate: Tensor) -> Tensor:
        """The mean over all but the batch."""
        return gate.flatten(1).mean(1).view(-1, *(1 for _ in gate.shape[1:])).expand_as(gate)


@dataclass(frozen=True)
class Shuffled:
    """The gate's own values in other places.

    Over channels or positions, in one order for all photos; or across the photos of a batch, by a
    cycle, so that no photo keeps its own.
    """

    over: Over | None = None
    """None: channel weights over channels, maps over positions."""
    seed: int = 0

    def __call__(self, gate: Tensor) -> Tensor:
        """Raises CaptureError for channels of a map, positions of channels, or a batch of one."""
        over = self.over or ("channels" if gate.ndim == 2 else "positions")
        if (over == "channels") != (gate.ndim == 2) and over != "photos":
            kind = (
                "channel weights have no positions" if gate.ndim == 2 else "a map has no channels"
            )
            raise CaptureError(f"A gate cannot be shuffled over {over} here: {kind}.")
        try:
            rng = generator(self.seed)
        except MetricError as error:
            raise CaptureError(str(error)) from error
        if over == "photos":
            if len(gate) < 2:
                raise CaptureError(
                    "Shuffling across photos takes a batch of two photos or more; there is one."
                )
            cycle = rng.permutation(len(gate))
            of = np.empty(len(gate), dtype=np.int64)
            of[cycle] = np.roll(cycle, 1)
            return gate[torch.from_numpy(of).to(gate.device)]
        flat = gate.flatten(1)
        order = torch.from_numpy(rng.permutation(flat.shape[1])).to(gate.device)
        return flat[:, order].view_as(gate)

    @property
    def text(self) -> str:
        """What is shuffled."""
        return f"its values shuffled{f' over {self.over}' if self.over else ''} (seed {self.seed})"


@dataclass(frozen=True, eq=False)
class Given:
    """A gate of the user's: (C,) or (h, w) for every photo, (B, C) or (B, h, w) for each."""

    values: Tensor
    text: str = "values that were given"

    def __call__(self, gate: Tensor) -> Tensor:
        """Raises CaptureError if it is of another shape."""
        values = self.values
        if values.ndim == gate.ndim - 1:
            values = values[None]
        fits = values.ndim == gate.ndim and values.shape[1:] == gate.shape[1:]
        if not fits or len(values) not in (1, len(gate)):
            raise _shape(self.values.shape, gate, "The values")
        values = values.to(gate.device).expand_as(gate)
        # A network may have a gate that is no number, and it may be given back.
        if bool((~values.isfinite() & gate.isfinite()).any()):
            bad = int((~self.values.isfinite()).sum())
            raise CaptureError(
                f"{bad:,} of {self.values.numel():,} values for a gate are no finite numbers, and "
                "the network would give none behind it. Fill them, with 1 where the gate is to be "
                "off."
            )
        return values


@dataclass(frozen=True, eq=False)
class Painted:
    """A number where something was painted, the gate's own values elsewhere.

    `on_cells` makes such a mask of one on the photo.
    """

    mask: Any
    """An array or tensor, (h, w), or (C,) of channels: true or 1 where it was painted, shares in
    between."""
    value: Any
    """A number, or an array of the mask's shape: one for each place."""

    def __call__(self, gate: Tensor) -> Tensor:
        """Raises CaptureError if the mask is no mask of this gate, or a value is no number."""
        mask, value = as_tensor(self.mask).to(gate.device), as_tensor(self.value).to(gate.device)
        if mask.shape != gate.shape[1:]:
            raise _shape(mask.shape, gate, "The painted mask")
        if value.ndim and value.shape != mask.shape:
            raise _shape(value.shape, gate, "The painted values")
        if not bool(((mask >= 0) & (mask <= 1)).all()):
            raise CaptureError(
                "A painted mask is between 0, where nothing is painted, and 1; this one has other "
                "values. What is painted is its second argument: Painted(mask, 0.9)."
            )
        share = mask.to(gate.dtype).expand_as(gate)
        if not bool((value.isfinite() | (mask == 0)).all()):
            raise CaptureError("What is painted must be finite numbers.")
        mixed = gate * (1 - share) + value.to(gate.dtype) * share
        return torch.where(share == 0, gate, mixed)

    @property
    def text(self) -> str:
        """The number painted."""
        value = as_tensor(self.value)
        return f"{float(value):g} where painted" if value.ndim == 0 else "what was painted"


@dataclass(frozen=True)
class Channels:
    """Some channels alone, by index; all others keep their weights."""

    indices: tuple[int, ...]
    by: Replacement
    """Or whatever else can replace a gate, such as `one`."""

    def __post_init__(self) -> None:
        """Raises CaptureError for indices that are no whole numbers, and for no replacement."""
        try:
            indices = tuple(index(one) for one in self.indices)
        except TypeError as error:
            raise CaptureError(
                f"Channels are chosen by their numbers, such as (3, 17): {error}."
            ) from error
        object.__setattr__(self, "indices", indices)
        object.__setattr__(self, "by", replacement(self.by, "these channels", "channel"))

    def __call__(self, gate: Tensor) -> Tensor:
        """Raises CaptureError for a map, and for a channel that is not there."""
        if gate.ndim != 2:
            raise CaptureError("Single channels can be replaced of channel weights, not of a map.")
        count = gate.shape[1]
        wrong = [one for one in self.indices if not -count <= one < count]
        if wrong:
            raise CaptureError(
                f"There is no channel {wrong[0]}: the gate has {count}, from 0 to {count - 1}."
            )
        result, chosen = gate.clone(), list(self.indices)
        result[:, chosen] = self.by(gate).expand_as(gate)[:, chosen]
        return result

    @property
    def text(self) -> str:
        """Which channels."""
        few = ", ".join(map(str, self.indices[:4])) + (", …" if len(self.indices) > 4 else "")
        return f"channel{'' if len(self.indices) == 1 else 's'} {few}: {self.by.text}"


@dataclass(frozen=True)
class Made:
    """Whatever a function of the user's makes of the gate."""

    function: Callable[[Tensor], Any]
    text: str = "a function of it"

    def __call__(self, gate: Tensor) -> Tensor:
        """Raises CaptureError if it gives another shape."""
        try:
            made = self.function(gate.clone())
        except Exception as error:  # the user's own code
            why = named(error)
            raise CaptureError(f"The function that replaces a gate fails: {why}.") from error
        return Given(as_tensor(made))(gate)


@dataclass(frozen=True, eq=False)
class GateMeans:
    """The mean gate of each layer over many photos: what is left if no photo has a say."""

    means: Mapping[tuple[str, GateKind], Tensor]
    """(C,) or (h, w), by layer and kind."""
    photos: int

    def of(self, layer: str, kind: GateKind) -> Replacement:
        """Raises CaptureError if there is none of this layer."""
        mean = self.means.get((layer, kind))
        if mean is None:
            raise CaptureError(
                f"No mean over a data set is known of the {kind} gate of {layer}. Average over "
                "photos on which this layer runs (`gate_means`)."
            )
        return Given(mean, f"its mean over {self.photos} photos")


Wish = Any
"""A word (`one`, `zero`, `mean`, `shuffled`), a number, an array, a `Replacement`, `GateMeans`, or
a function."""

WORDS: dict[str, Replacement] = {
    "one": Constant(1.0),
    "zero": Constant(0.0),
    "mean": Mean(),
    "shuffled": Shuffled(),
}


def replacement(wish: Wish, layer: str, kind: GateKind) -> Replacement:
    """What a wish means for one gate.

    Raises:
        CaptureError: it means nothing.
    """
    if isinstance(wish, str):
        if wish in WORDS:
            return WORDS[wish]
        if wish == "dataset_mean":
            raise CaptureError(
                "For the mean over a data set, give the averages themselves: "
                "gate_means(model, photos)."
            )
        raise CaptureError(
            f"{wish!r} is nothing that a gate can be replaced by. Say {', '.join(WORDS)}, give a "
            "number, an array of the gate's shape, or one of cbam_viz.ablation's replacements."
        )
    if isinstance(wish, GateMeans):
        return wish.of(layer, kind)
    if isinstance(wish, (int, float, np.number)) and not isinstance(wish, bool):
        if not math.isfinite(wish):
            raise CaptureError(f"A gate cannot be replaced by {wish}: give a finite number.")
        return Constant(float(wish))
    if isinstance(wish, (Tensor, np.ndarray, Sequence)):
        return Given(as_tensor(wish))
    if callable(wish):
        return wish if hasattr(wish, "text") else Made(wish)
    raise CaptureError(f"A gate cannot be replaced by a {type(wish).__name__}.")


def as_tensor(values: Any) -> Tensor:
    """Floating values as a tensor.

    Raises:
        CaptureError: they are no real numbers.
    """
    try:
        found = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError) as error:
        raise CaptureError(f"The values of a gate are no numbers: {error}.") from error
    if found.is_complex():
        raise CaptureError("The values of a gate are real numbers, not complex ones.")
    found = found.detach()
    return found if found.is_floating_point() else found.to(torch.float32)


def _shape(given: Sequence[int], gate: Tensor, what: str) -> CaptureError:
    one = " × ".join(map(str, given)) or "one number"
    whole = " × ".join(map(str, gate.shape[1:]))
    meaning = "channels" if gate.ndim == 2 else "rows and columns"
    verb = "is" if what.endswith("mask") else "are"
    return CaptureError(f"{what} {verb} {one}, and this gate has {whole} {meaning}.")
