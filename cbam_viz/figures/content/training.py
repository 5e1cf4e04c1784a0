"""Numbers of each layer's gates from one network to the next, or over the epochs of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cbam_viz._text import counted
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import find_layer, settled_layers
from cbam_viz.figures.content.sentences import axes_sentence
from cbam_viz.figures.content.values import Axis, Floats, Shown, Study, axis_of
from cbam_viz.layer_names import short_names
from cbam_viz.runs.findings import findings
from cbam_viz.runs.numbers import GateNumbers, Part, gates_of, numbers_of
from cbam_viz.statistics import SATURATED_HIGH, SATURATED_LOW

LINES: tuple[tuple[Part, str, str], ...] = (
    ("channel", "mean", "channel weights, mean"),
    ("spatial", "mean", "spatial map, mean"),
    ("channel", "saturated", "channel weights, saturated"),
    ("spatial", "saturated", "spatial map, saturated"),
)
"""Of each panel: gate, number, and what it is called; in the order of their colours."""


@dataclass(frozen=True)
class LayerNumbers:
    """One layer's numbers over all networks."""

    layer: str
    head: str
    lines: tuple[Floats | None, ...]
    """(networks,) of each of `LINES`; None for a gate that the layer has not."""


@dataclass(frozen=True)
class Training:
    """A panel for each layer, and what went wrong with gates."""

    panels: tuple[LayerNumbers, ...]
    numbers: tuple[int, ...]
    """Where each network lies on the axis: its epoch, or its place."""
    unit: str
    warnings: tuple[str, ...]
    """Sentences on gates that are collapsed, saturated or constant at the end."""

    map_scale = None
    predicted = ()

    @property
    def axis(self) -> Axis:
        """Of all panels."""
        return axis_of(line for panel in self.panels for line in panel.lines if line is not None)

    @property
    def named(self) -> tuple[int, ...]:
        """Which of `LINES` any panel has."""
        return tuple(
            n for n in range(len(LINES)) if any(one.lines[n] is not None for one in self.panels)
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return tuple(panel.layer for panel in self.panels)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return settled_layers(spec, self.layers)

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`."""
        photos = counted(len(study.analyses), "photo")
        for number, panel in enumerate(self.panels):
            for line, (_, _, called) in zip(panel.lines, LINES, strict=True):
                if line is None:
                    continue
                for network, value in zip(study.networks, line, strict=True):
                    yield Shown(f"panel {number + 1}", photos, network, called, panel.layer,
                                np.array([value], np.float32))  # fmt: skip

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        count = len(figure.study.analyses)
        photos = "one photo" if count == 1 else f"the same {count} photos"
        first, last = self.numbers[0], self.numbers[-1]
        span = f"{self.unit} {first}" if first == last else f"{self.unit}s {first} to {last}"
        by = f"{span} of a training"
        if not figure.study.at:
            by = f"{len(self.numbers)} networks: {'; '.join(figure.study.networks)}"
        return [
            f"Gates of {counted(len(self.panels), 'layer')} on {photos}, by {by}. Solid lines are "
            "means over photos of a gate's mean, broken ones the share of it that is saturated, "
            f"below {SATURATED_LOW:g} or above {SATURATED_HIGH:g}",
            axes_sentence(self.axis),
            *(sentence.rstrip(".") for sentence in self.warnings),
        ]


def content(spec: FigureSpec, study: Study) -> Training:
    """The numbers of all layers, or of those asked for.

    Raises:
        FigureError: for a layer that is not there, or networks of different layers.
    """
    first = study.analyses[0][0].attention
    names = [find_layer(first, name).name for name in spec.named_layers or first]
    if not names:
        raise FigureError("The first network has no gates, so there are no numbers of them.")
    epochs = []
    for n, number in enumerate(study.numbers):
        of_network = [row[n] for row in study.analyses]
        for one in of_network:
            for name in names:
                find_layer(one.attention, name)
        attentions = [one.attention for one in of_network]
        epochs.append((number, gates_of(attentions, [one.geometry for one in of_network])))
    numbers = list(numbers_of(iter(epochs[-1:]), iter(epochs)))
    known = {(one.layer, one.part, one.number): one for one in numbers}
    short = short_names(first)
    panels = tuple(
        LayerNumbers(name, short[name], tuple(
            _line(known, study.numbers, name, part, what) for part, what, _ in LINES
        ))
        for name in names
    )  # fmt: skip
    chosen = [one for one in numbers if one.layer in names]
    lasting = [one.sentence for one in findings(chosen, study.unit) if one.lasts and study.at]
    return Training(panels, study.numbers, study.unit, tuple(lasting))


def _line(
    known: Mapping[tuple[str, Part, int], GateNumbers],
    numbers: tuple[int, ...],
    name: str,
    part: Part,
    what: str,
) -> Floats | None:
    found = [known.get((name, part, number)) for number in numbers]
    if not any(found):
        return None
    return np.array([np.nan if one is None else getattr(one, what) for one in found], np.float32)
