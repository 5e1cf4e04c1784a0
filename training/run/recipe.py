"""The recipe of a run: plain numbers, stored with each checkpoint, and the schedule they give."""

from __future__ import annotations

import argparse
import json
from dataclasses import Field, asdict, dataclass, field, fields
from itertools import accumulate
from typing import Any

from training.errors import TrainingError


@dataclass(frozen=True)
class Phase:
    """Train `images` images at `side` pixels."""

    side: int
    images: int


def option(default: Any, text: str) -> Any:
    """A field of a recipe that the command line offers under its own name; `text` is its help."""
    return field(default=default, metadata={"help": text})


def options_of(kind: type[Any]) -> list[Field[Any]]:
    """The fields of a recipe that are options of their own name."""
    return [one for one in fields(kind) if "help" in one.metadata]


def add_options(parser: argparse._ActionsContainer, kind: type[Any]) -> None:
    """Offer them on a command line."""
    for one in options_of(kind):
        name = f"--{one.name.replace('_', '-')}"
        parser.add_argument(
            name, type=type(one.default), default=one.default, help=one.metadata["help"]
        )


def given(options: argparse.Namespace, kind: type[Any]) -> dict[str, Any]:
    """What the command line says of them, by name."""
    return {one.name: getattr(options, one.name) for one in options_of(kind)}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run's outcome, besides the data and the teacher."""

    architecture: str = option("resnet18", "a ResNet of timm")
    arguments: dict[str, Any] = field(default_factory=dict)
    """Further arguments of timm.create_model."""
    attention: str | None = "cbam"
    phases: tuple[Phase, ...] = (Phase(128, 500_000),)
    scale: tuple[float, float] = (0.25, 1.0)
    """Share of an image's area that a view covers (the teacher's setting wins, if there is one)."""
    cooldown: int = option(
        200_000, "images over which the learning rate falls linearly to nothing at the end"
    )
    warmup: int = option(10_000, "images over which the learning rate rises at the beginning")
    batch: int = option(64, "images a step")
    views: int = option(4, "different crops of an image (the teacher's setting wins)")
    lr: float = option(2e-3, "peak learning rate of AdamW, for what Muon does not take")
    muon_lr: float = option(0.02, "peak learning rate of Muon, for convolutions")
    weight_decay: float = option(0.05, "of filters and matrices")
    label_weight: float = option(0.3, "weight of the labels, beside a teacher")
    probe_weight: float = option(0.7, "weight of the probe on the teacher's features")
    own_weight: float = option(1.0, "weight of the teacher's own classes")
    temperature: float = option(2.0, "by which the teacher's own logits are softened")
    smoothing: float = option(0.1, "share of a label that is spread over all classes")
    # Without it the channel gates open until nearly all are 1 for every image, as nothing else
    # holds them back; near 0.5 they can tell images apart.
    gate_decay: float = option(0.01, "weight of the mean squared input of the channel gates")
    gate_decay_after: int = option(0, "images before the first use of --gate-decay")
    open_spatial: float = option(
        0.0, "weight of the spatial maps' mean: what a place costs that stays open"
    )
    # A branch that is closed before it has learnt anything never does.
    open_spatial_after: int = option(0, "images before the first use of --open-spatial")
    flip: float = option(0.5, "probability of a mirrored view")
    degrade: float = option(0.4, "probability that a sharp view is made soft")
    colour: float = option(0.3, "largest relative change of brightness, contrast, saturation")
    ema: float = option(0.998, "share of the averaged weights that a step keeps")
    optimizer: str = "muon"
    seed: int = option(0, "of weights, order and views")

    @property
    def images(self) -> int:
        """Images of the whole run."""
        return sum(phase.images for phase in self.phases)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.images // self.batch

    def side_at(self, step: int) -> int:
        """Resolution in pixels at a step."""
        ends = accumulate(phase.images for phase in self.phases)
        done = step * self.batch
        return next(
            (p.side for p, end in zip(self.phases, ends, strict=True) if done < end),
            self.phases[-1].side,
        )

    def rate_at(self, step: int) -> float:
        """Learning rate as a share of its peak: a rise, a plateau, and a linear fall.

        A plateau needs no end fixed in advance: phases may be changed on resuming until the fall
        begins, and the run is the same as if they had been given so at the start.
        """
        done = step * self.batch
        rise = (done + self.batch) / max(self.warmup, self.batch)
        fall = (self.images - done) / max(self.cooldown, 1)
        return max(0.0, min(1.0, rise, fall))

    def gate_decay_at(self, step: int) -> float:
        """Weight of the channel gates' squared inputs at a step."""
        used = self.attention is not None and step * self.batch >= self.gate_decay_after
        return self.gate_decay if used else 0.0

    def open_spatial_at(self, step: int) -> float:
        """Weight of the spatial maps' mean at a step."""
        used = self.attention is not None and step * self.batch >= self.open_spatial_after
        return self.open_spatial if used else 0.0

    def to_json(self) -> str:
        """The recipe as JSON text."""
        return json.dumps(asdict(self), indent=1)


def parse_phases(text: str) -> tuple[Phase, ...]:
    """Read "96:200000,128:300000": side in pixels and number of images of each phase.

    Raises:
        TrainingError: the text is not of that form.
    """
    try:
        pairs = [part.split(":") for part in text.split(",")]
        phases = tuple(Phase(int(side), int(images)) for side, images in pairs)
    except ValueError as error:
        raise TrainingError(
            f"Cannot read the phases {text!r}; write SIDE:IMAGES,..., as in 96:200000,128:300000."
        ) from error
    if any(phase.side < 32 or phase.images < 1 for phase in phases):
        raise TrainingError(f"The phases {text!r} need sides of at least 32 px and images above 0.")
    return phases
