"""Numbers of many photos: means, bootstrap intervals, and whether a map beats those of chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cbam_viz._text import counted
from cbam_viz.evaluation.measures import MEASURES, Measure
from cbam_viz.evaluation.measuring import GAUSSIAN, RANDOM, UNIFORM, Numbers
from cbam_viz.metrics import bootstrap_interval

Interval = tuple[float, float]
BASELINES = (UNIFORM, GAUSSIAN)
FEWEST = 6
"""Photos on which one map can beat another. On five, all differences have one sign by chance more
often than once in twenty times (2 / 2^5), and their bootstrap interval is then beyond 0."""


_NOTHING = "no value is above 0, or the score is 0"
"""Why the measures that need no boxes have no number of a map."""


@dataclass(frozen=True)
class Against:
    """A map beside one that knows nothing of the network, photo by photo."""

    difference: float
    """Mean of the map's measure less the other's."""
    interval: Interval | None
    """None for one photo."""
    beats: bool
    """True if the whole interval is on the better side of 0, of at least `FEWEST` photos."""


@dataclass(frozen=True)
class Row:
    """One measure of one map over all photos for which it says something."""

    map: str
    measure: Measure
    mean: float
    interval: Interval | None
    photos: int
    gaussian: Against | None
    """None for a baseline, and where no direction is better."""
    random: Against | None
    """Beside the map of chance that is as smooth."""


@dataclass(frozen=True)
class Summary:
    """All rows, and what they were made by."""

    rows: tuple[Row, ...]
    photos: int
    level: float
    seed: int
    unsaid: tuple[str, ...] = ()
    """Sentences: maps that some measure says nothing of, on how many photos, and why."""

    @property
    def matrix(self) -> tuple[list[Measure], list[tuple[str, list[Row | None]]]]:
        """Measures that have a short name, as columns, and maps as rows, those of chance last."""
        by_place = {(row.map, row.measure.name): row for row in self.rows}
        columns = [
            one
            for one in MEASURES.values()
            if one.short and any(name == one.name for _, name in by_place)
        ]
        names = sorted(dict.fromkeys(row.map for row in self.rows), key=is_baseline)
        return columns, [
            (name, [by_place.get((name, one.name)) for one in columns]) for name in names
        ]

    def sentences(self) -> list[str]:
        """For each map, where it does not beat a Gaussian in the middle of the picture.

        Then `unsaid`.
        """
        told = []
        for name in dict.fromkeys(row.map for row in self.rows if row.gaussian is not None):
            rows = [row for row in self.rows if row.map == name and row.gaussian is not None]
            lost = [row.measure.name for row in rows if row.gaussian and not row.gaussian.beats]
            won = [row.measure.name for row in rows if row.gaussian and row.gaussian.beats]
            photos = f"on {self.photos} photo{'' if self.photos == 1 else 's'}"
            photos += f" (fewer than {FEWEST} show nothing)" if self.photos < FEWEST else ""
            if lost:
                told.append(
                    f"{_capital(name)} does not beat a Gaussian in the middle of the picture "
                    f"{photos} by: {', '.join(lost)}."
                )
            if won:
                told.append(f"{_capital(name)} beats it by: {', '.join(won)}.")
        return [*told, *self.unsaid]


def summarise(
    photos: Sequence[Mapping[str, Numbers]], *, level: float = 0.95, seed: int = 0
) -> Summary:
    """Means over photos, each of which has numbers by map and measure."""
    rows = []
    names = dict.fromkeys(name for photo in photos for name in photo)
    for name in names:
        for measure in MEASURES.values():
            values = _values(photos, name, measure)
            known = values[np.isfinite(values)]
            if not known.size:
                continue
            compared = not is_baseline(name) and measure.sign != 0
            rows.append(
                Row(
                    name,
                    measure,
                    float(known.mean()),
                    _interval(known, level, seed),
                    int(known.size),
                    *(
                        _against(values, _values(photos, other, measure), measure, level, seed)
                        if compared
                        else None
                        for other in (GAUSSIAN, RANDOM + name)
                    ),
                )
            )
    unsaid = [text for name in names if not is_baseline(name) for text in _unsaid(photos, name)]
    return Summary(tuple(rows), len(photos), level, seed, tuple(unsaid))


def _unsaid(photos: Sequence[Mapping[str, Numbers]], name: str) -> Iterator[str]:
    """A sentence for the measures of a map that have no number on as many photos."""
    alike: dict[tuple[int, str], list[str]] = {}
    for measure in MEASURES.values():
        found = [photo[name].get(measure.name, math.nan) for photo in photos if name in photo]
        if missing := found.count(None):
            why = "some values are below 0" if measure.group == "boxes" else _NOTHING
            alike.setdefault((missing, why), []).append(measure.name)
    for (missing, why), measures in alike.items():
        yield (
            f"{_capital(name)} has no number by {', '.join(measures)} on {missing} of "
            f"{counted(len(photos), 'photo')}, where {why}."
        )


def is_baseline(name: str) -> bool:
    """Whether a map knows nothing of the network."""
    return name in BASELINES or name.startswith(RANDOM)


def _values(photos: Sequence[Mapping[str, Numbers]], name: str, measure: Measure) -> np.ndarray:
    """One number a photo; NaN where there is none."""
    found = [photo.get(name, {}).get(measure.name) for photo in photos]
    return np.array([np.nan if one is None else one for one in found], dtype=np.float64)


def _against(
    values: np.ndarray, others: np.ndarray, measure: Measure, level: float, seed: int
) -> Against | None:
    differences = values - others
    differences = differences[np.isfinite(differences)]
    if not differences.size:
        return None
    interval = _interval(differences, level, seed)
    ends = (0.0, 0.0) if interval is None else interval
    beats = differences.size >= FEWEST and min(measure.sign * end for end in ends) > 0
    return Against(float(differences.mean()), interval, beats)


def _interval(values: np.ndarray, level: float, seed: int) -> Interval | None:
    return None if values.size < 2 else bootstrap_interval(values, level=level, seed=seed)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
