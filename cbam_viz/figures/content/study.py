"""Photos through networks, for a figure: one forward each, features only where they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cbam_viz.analysis import Analysis, analyse
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.values import Study, find_layer
from cbam_viz.images import DEFAULT_VIEW, Photo, View
from cbam_viz.models import LoadedModel

Tick = Callable[[], object]


def study(
    spec: FigureSpec,
    networks: Sequence[LoadedModel],
    photos: Sequence[Photo],
    view: View = DEFAULT_VIEW,
    *,
    tick: Tick = lambda: None,
) -> Study:
    """Analyse every photo by every network; `tick` is called after each forward.

    Raises:
        CbamVizError: if a network has no attention, or not the layer that the figure shows.
    """
    rows = []
    for photo in photos:
        row: list[Analysis] = []
        for network in networks:
            row.append(analyse_for(spec, network, photo, view, beside=bool(row)))
            tick()
        rows.append(tuple(row))
    return Study(tuple(rows))


def analyse_for(
    spec: FigureSpec, network: LoadedModel, photo: Photo, view: View, *, beside: bool = False
) -> Analysis:
    """One photo; for one channel before and after its gates, with that layer's features.

    A network that stands `beside` another one may have no attention: it shows what it predicts.
    """
    analysis = analyse(network, photo, view, gates=not beside)
    if analysis.no_gates:
        return analysis
    if spec.layout != "channel":
        return analysis
    layer = find_layer(analysis.attention, spec.layer or "-1")
    return analyse(network, photo, view, features=[layer.name])
