"""Ways to compute the same gates faster, each with what it may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effect:
    """What the ways did on the first photos."""

    ways: tuple[str, ...]
    speed: float
    gates: float
    output: float
    allowed: float
    photos: int


def fast_forward(*_: object) -> tuple[None, Effect]:
    raise NotImplementedError
