"""What maps are worth: curves of insertion and deletion, and bars of each measure's mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cbam_viz.errors import FigureError
from cbam_viz.evaluation.curves import ORDERS
from cbam_viz.evaluation.measures import MEASURES, REPLACEMENTS
from cbam_viz.evaluation.measuring import RANDOM
from cbam_viz.evaluation.summary import is_baseline
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.evaluated import Evaluated, Measurement
from cbam_viz.figures.content.values import Floats, Shown

MOST_MAPS = 8
"""Lines of more cannot be told apart."""
ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}
_ORDERS = {"most": "most influential first", "least": "least influential first"}


@dataclass(frozen=True)
class CurvePanel:
    """The mean score as ever more of the picture is replaced, a line for each map."""

    head: str
    name: str
    """In tables."""
    lines: tuple[tuple[str, Floats], ...]
    """The map's name, and scores after equal steps from nothing to all."""


@dataclass(frozen=True)
class BarPanel:
    """One measure, a bar for each map."""

    head: str
    bars: tuple[Measurement, ...]


@dataclass(frozen=True)
class Evaluation:
    """All panels, and the maps in the order in which they are drawn."""

    maps: tuple[str, ...]
    """Maps of the network, then those that know nothing; without the random ones."""
    curves: tuple[CurvePanel, ...]
    bars: tuple[BarPanel, ...]

    map_scale = None
    predicted = ()
    layers = ()

    @property
    def own(self) -> int:
        """How many of the maps are the network's."""
        return sum(not is_baseline(name) for name in self.maps)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return spec

    def shown(self, study: Evaluated) -> Iterator[Shown]:
        """See `Content`."""
        network = study.networks[0]
        for number, panel in enumerate(self.curves, 1):
            for name, scores in panel.lines:
                yield Shown(f"panel {number}", study.counted, network, "curve", name, scores,
                            text=panel.name)  # fmt: skip
        for number, bars in enumerate(self.bars, len(self.curves) + 1):
            for one in bars.bars:
                interval = "" if one.low is None else f", interval {one.low:.9g} to {one.high:.9g}"
                start = f"panel {number}", f"{one.photos} photos", network, "mean", one.map
                mean = np.array(one.mean, np.float32)
                yield Shown(*start, mean, text=f"{one.measure}{interval}")

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        study = figure.study
        assert isinstance(study, Evaluated)
        document, settings = study.document, study.document.settings
        others = [f"{key} {settings[key]}" for key in ("ties", "seed", "view") if key in settings]
        curves = (
            f"Curves: the mean {settings.get('score', 'score')} as ever more of the picture is "
            f"replaced, in {settings.get('steps', len(self.curves[0].lines[0][1]) - 1)} steps, "
            "from the map's highest places down (left), from its lowest up (middle), and the "
            "second less the first (right), whose area is Combined: about 0 for chance, higher is "
            f"better. Replacements: blur ({settings.get('blurred_by', '')}); mean "
            f"({settings.get('mean_is', '')})"
            if self.curves
            else ""
        )
        return [
            f"Maps of {study.networks[0]}, measured on {study.counted}{_whose(settings)}, beside a "
            "uniform map, a Gaussian in the middle of the picture and, pale, one of chance that is "
            "as smooth as each",
            curves,
            "Bars: means, with intervals as lines"
            + (f" ({document.interval})" if document.interval else "")
            + "; arrows point to the better side"
            if self.bars
            else "",
            "; ".join(others).capitalize(),
            *(one.rstrip(".") for one in document.sentences),
        ]


def content(spec: FigureSpec, study: Evaluated) -> Evaluation:
    """Panels of what was measured.

    Raises:
        FigureError: there are more maps than lines that can be told apart.
    """
    document = study.document
    names = dict.fromkeys(one.map for one in document.rows if not one.map.startswith(RANDOM))
    maps = tuple(sorted(names, key=is_baseline))
    own = [name for name in maps if not is_baseline(name)]
    if len(own) > MOST_MAPS:
        raise FigureError(
            f"Lines of {len(own)} maps cannot be told apart; the most is {MOST_MAPS}. Evaluate "
            "fewer layers or methods at a time."
        )
    return Evaluation(maps, _curves(study, maps), _bars(study, maps))


def _whose(settings: Mapping[str, Any]) -> str:
    """Which class the maps are for."""
    told = {"the label": " for the labelled class", "the predicted one": " for the predicted class"}
    return told.get(str(settings.get("class")), "")


def _in_order(maps: Sequence[str]) -> list[str]:
    """Each map before the one of chance that is like it."""
    return [one for name in maps for one in (name, RANDOM + name)]


def _curves(study: Evaluated, maps: Sequence[str]) -> tuple[CurvePanel, ...]:
    known = {
        (one.map, one.replacement, one.order): np.array(one.scores, np.float32)
        for one in study.document.curves
    }
    panels: list[CurvePanel] = []
    for kind in REPLACEMENTS:
        names = [
            name
            for name in _in_order(maps)
            if all((name, kind, order) in known for order in ORDERS)
        ]
        lengths = {known[name, kind, order].size for name in names for order in ORDERS}
        if not names:
            continue
        if len(lengths) > 1 or min(lengths) < 2:
            raise FigureError("The table's curves differ in their number of steps.")
        for order in ORDERS:
            lines = tuple((name, known[name, kind, order]) for name in names)
            panels.append(
                CurvePanel(
                    f"{_ORDERS[order]} ({kind})".capitalize(), f"{kind}, {_ORDERS[order]}", lines
                )
            )
        differences = tuple(
            (name, known[name, kind, "least"] - known[name, kind, "most"]) for name in names
        )
        panels.append(CurvePanel(f"Difference ({kind})", f"{kind}, difference", differences))
    return tuple(panels)


def _bars(study: Evaluated, maps: Sequence[str]) -> tuple[BarPanel, ...]:
    known = {(one.map, one.measure): one for one in study.document.rows}
    panels = []
    for measure in MEASURES.values():
        bars = [
            known[name, measure.name] for name in _in_order(maps) if (name, measure.name) in known
        ]
        if measure.short and bars:
            panels.append(BarPanel(f"{measure.short}{ARROWS[measure.better]}", tuple(bars)))
    return tuple(panels)
