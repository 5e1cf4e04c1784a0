"""The recipe of a run: plain numbers, stored with each checkpoint, and the schedule they give."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any

from cbam_viz.errors import TrainingError


@dataclass(frozen=True)
class Phase:
    """Train `images` images at `side` pixels."""

    side: int
    images: int


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run's outcome, besides the data and the teacher."""

    architecture: str = "resnet18"
    arguments: dict[str, Any] = field(default_factory=dict)
    """Further arguments of timm.create_model."""
    attention: str | None = "cbam"
    phases: tuple[Phase, ...] = (Phase(128, 500_000),)
    cooldown: int = 200_000
    """Images over which the learning rate falls linearly to nothing at the end."""
    warmup: int = 10_000
    batch: int = 64
    scale: tuple[float, float] = (0.25, 1.0)
    """Share of an image's area that a view covers (the teacher's setting wins, if there is one)."""
    views: int = 4
    optimizer: str = "muon"
    lr: float = 2e-3
    """Peak learning rate of AdamW, for the parameters that Muon does not take."""
    muon_lr: float = 0.02
    weight_decay: float = 0.05
    label_weight: float = 0.3
    probe_weight: float = 0.7
    own_weight: float = 1.0
    temperature: float = 2.0
    smoothing: float = 0.1
    gate_decay: float = 0.01
    """Weight of the mean squared input of the channel gates. Without it they open until nearly all
    are 1 for every image, as nothing else holds them back; near 0.5 they can tell images apart."""
    gate_decay_after: int = 0
    """Images before the first use of `gate_decay`."""
    open_spatial: float = 0.0
    """Weight of the mean over layers of the spatial maps' means: what an open place costs."""
    open_spatial_after: int = 0
    """Images before the first use of `open_spatial`. A branch that is closed before it has learnt
    anything never does."""
    flip: float = 0.5
    degrade: float = 0.4
    colour: float = 0.3
    ema: float = 0.998
    seed: int = 0

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
