"""Insertion and deletion: what becomes of a score as the places of a map are replaced in its order.

A picture is replaced place by place, the most influential first (deletion: the sooner the score
falls, the better the map) or the least influential first. The latter is insertion: to put the most
influential places back first into a replaced picture makes the same pictures, last to first. The
two orders rank maps in opposite ways where a network falls for any holes at all, and the difference
of their areas (`combined`) does not: Blücher et al., "Decoupling Pixel Flipping and Occlusion
Strategy", arXiv 2401.06654 (their symmetric relevance gain). Deletion and insertion: Petsiuk et
al., "RISE", BMVC 2018.

No replacement both removes what a place says and leaves a picture that the network knows (arXiv
2512.11433), so take two: `blurred` and `filled`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from cbam_viz._text import quoted
from cbam_viz.errors import MetricError
from cbam_viz.metrics._checks import Map, as_map, generator

Picture = npt.NDArray[np.float32]
"""(C, H, W), as the network takes it."""
Score = Callable[[Picture], npt.NDArray[Any]]
"""From pictures (B, C, H, W) to one number each, (B,)."""
Ties = Literal["shuffled", "reading order"]
"""How equal values are put in order: by chance (a seed), or from the top left to the bottom right.
A map of few cells, or of many zeros, leaves much to this rule."""

STEPS = 20
BATCH = 16
BLUR = 0.05
"""Standard deviation of `blurred`, as a share of the shorter side."""


@dataclass(frozen=True, eq=False)
class Removal:
    """The scores of a picture as a map's places are replaced, and how that was done."""

    shares: Map
    """(steps + 1,) share of the picture that is replaced, 0 to 1."""
    most_first: Map
    """(steps + 1,) scores where the most influential places go first."""
    least_first: Map
    """(steps + 1,) scores where the least influential places go first."""
    replacement: str
    score: str
    """What the score is: `probability` (after softmax), `logit` (before it) or another's name."""
    ties: Ties
    seed: int
    cut: int
    """At how many of the pictures equal values were parted, so that the rule for ties decided."""
    combined_otherwise: float
    """`combined` by the other rule for ties."""

    @property
    def steps(self) -> int:
        """How many times something is replaced, the same share of the picture each time."""
        return len(self.shares) - 1

    @property
    def deletion(self) -> float:
        """Area under `most_first`, over shares from 0 to 1; the lower, the better the map."""
        return _area(self.shares, self.most_first)

    @property
    def insertion(self) -> float:
        """Area under `least_first`; the higher, the better the map."""
        return _area(self.shares, self.least_first)

    @property
    def combined(self) -> float:
        """Insertion less deletion; the higher the better, and about 0 for a map of chance."""
        return self.insertion - self.deletion

    @property
    def tie_effect(self) -> float:
        """How much higher `combined` is by the other rule for ties."""
        return self.combined_otherwise - self.combined


def removal(
    score: Score,
    picture: Picture,
    values: npt.ArrayLike,
    replaced: Picture,
    *,
    replacement: str,
    score_name: str,
    steps: int = STEPS,
    ties: Ties = "shuffled",
    seed: int = 0,
    batch: int = BATCH,
) -> Removal:
    """Measure a map (H, W) of a picture (C, H, W) by replacing its places with those of `replaced`.

    Takes 2 `steps` forwards, `batch` together, and as many again at most for the other rule.

    Raises:
        MetricError: shapes differ, values are no numbers, or the score gives none.
    """
    found = as_map(values)
    if picture.ndim != 3 or found.shape != picture.shape[1:] or replaced.shape != picture.shape:
        raise MetricError(
            f"The picture has shape {picture.shape}, its replacement {replaced.shape}, the map "
            f"{found.shape}: a map (H, W) goes with pictures (C, H, W)."
        )
    if not 1 <= steps <= found.size:
        raise MetricError(f"A picture of {found.size} pixels has no {steps} steps.")
    other: Ties = _other(ties)
    counts = [round(k * found.size / steps) for k in range(steps + 1)]
    orders = {rule: _order(found, rule, seed) for rule in (ties, other)}
    cut = [(most, k) for most in (True, False) for k in _cut(found, counts, most)]
    wanted = [
        (ties, most, k)
        for most in (True, False)
        for k in (range(steps + 1) if most else range(1, steps))
    ]
    wanted += [(other, most, k) for most, k in cut]

    def pictures() -> Iterator[Picture]:
        for rule, most, k in wanted:
            order = orders[rule] if most else orders[rule][::-1]
            mask = np.zeros(found.size, bool)
            mask[order[: counts[k]]] = True
            yield np.where(mask.reshape(found.shape), replaced, picture)

    scores = dict(zip(wanted, _scores(score, pictures(), batch), strict=True))
    for k in (0, steps):  # nothing and everything is replaced whatever goes first
        scores[ties, False, k] = scores[ties, True, k]

    def curve(rule: Ties, most: bool) -> Map:
        plain = [scores[ties, most, k] for k in range(steps + 1)]
        return np.array([scores.get((rule, most, k), same) for k, same in enumerate(plain)])

    shares = np.array(counts) / found.size
    most, least = curve(ties, True), curve(ties, False)
    otherwise = _area(shares, curve(other, False)) - _area(shares, curve(other, True))
    return Removal(shares, most, least, replacement, score_name, ties, seed, len(cut), otherwise)


def blurred(picture: Picture, share: float = BLUR) -> Picture:
    """The picture (C, H, W) under a Gaussian blur, `share` of its shorter side wide."""
    sigma = share * min(picture.shape[1:])
    planes = [cv2.GaussianBlur(plane, (0, 0), sigma) for plane in picture]
    return np.stack(planes).astype(np.float32, copy=False)


def filled(picture: Picture, colour: npt.ArrayLike) -> Picture:
    """A picture of the same shape that has one colour (C,) everywhere."""
    found = np.asarray(colour, dtype=np.float32).reshape(-1, 1, 1)
    return np.array(np.broadcast_to(found, picture.shape))


def _other(ties: Ties) -> Ties:
    if ties not in ("shuffled", "reading order"):
        raise MetricError(f"Ties are 'shuffled' or in 'reading order', not {quoted(ties)}.")
    return "reading order" if ties == "shuffled" else "shuffled"


def _order(values: Map, ties: Ties, seed: int) -> npt.NDArray[np.intp]:
    """Places from the highest value to the lowest."""
    flat = -values.ravel()
    if ties == "reading order":
        return np.argsort(flat, kind="stable")
    by_chance = generator(seed).permutation(flat.size)
    found: npt.NDArray[np.intp] = by_chance[np.argsort(flat[by_chance], kind="stable")]
    return found


def _cut(values: Map, counts: list[int], most: bool) -> list[int]:
    """The steps that part equal values."""
    ranked = np.sort(values, axis=None)
    ranked = ranked[::-1] if most else ranked
    inner = range(1, len(counts) - 1)
    return [k for k in inner if ranked[counts[k] - 1] == ranked[counts[k]]]


def _scores(score: Score, pictures: Iterator[Picture], batch: int) -> list[float]:
    """The scores of pictures that come one by one, `batch` of them in a forward."""
    found: list[float] = []
    waiting: list[Picture] = []

    def measure() -> None:
        given = np.asarray(score(np.stack(waiting)), dtype=np.float64).ravel()
        if given.size != len(waiting) or not np.isfinite(given).all():
            raise MetricError(
                f"The score gave {given.size} numbers for {len(waiting)} pictures, "
                f"{int(np.isfinite(given).sum())} of them finite; it must give one for each."
            )
        found.extend(map(float, given))
        waiting.clear()

    for one in pictures:
        waiting.append(one)
        if len(waiting) == batch:
            measure()
    if waiting:
        measure()
    return found


def _area(shares: Map, scores: Map) -> float:
    """By trapezia."""
    return float(np.diff(shares) @ (scores[1:] + scores[:-1]) / 2)
