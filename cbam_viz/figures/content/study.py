"""Photos through networks, for a figure: one forward each, features only where they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from cbam_viz.analysis import Analysis, analyse
from cbam_viz.figures.ask.registry import COLUMNS, LAYOUTS
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.compose import content_of
from cbam_viz.figures.content.find import find_layer
from cbam_viz.figures.content.made import made_columns, with_made
from cbam_viz.figures.content.values import Study
from cbam_viz.images import DEFAULT_VIEW, Photo, View
from cbam_viz.models import LoadedModel

Tick = Callable[[], object]


def study(
    spec: FigureSpec,
    networks: Sequence[LoadedModel],
    photos: Iterable[Photo],
    view: View = DEFAULT_VIEW,
    *,
    tick: Tick = lambda: None,
) -> Study:
    """Analyse every photo by every network; `tick` is called after each forward.

    Where photos are averaged and not shown, their pixels are not kept. What the figure asks of the
    networks is tried on the first photo, before the others are waited for.

    Raises:
        CbamVizError: if a network has no attention, or not what the figure shows.
    """
    rows: list[tuple[Analysis, ...]] = []
    for photo in photos:
        row: list[Analysis] = []
        for model, network in enumerate(networks):
            first = row[0] if row else None
            row.append(analyse_for(spec, network, photo, view, model=model, first=first))
            tick()
        if not rows:
            # One photo is of one class, and what tells classes apart cannot be told of it.
            content_of(spec.with_(rank="weight"), Study((tuple(row),)))
        rows.append(tuple(map(_without_pixels, row)) if averages(spec) else tuple(row))
    return Study(tuple(rows))


def analyse_for(
    spec: FigureSpec,
    network: LoadedModel,
    photo: Photo,
    view: View,
    *,
    model: int = 0,
    first: Analysis | None = None,
) -> Analysis:
    """One photo by network number `model`, with the features that the figure shows of it.

    And with what other columns ask for, for the class that the `first` network predicts; see
    `made.with_made`. A network beside the first one may have no attention: it shows what it
    predicts. So may the first where only predictions and detections are asked for.
    """
    analysis = analyse(network, photo, view, gates=model == 0 and _shows_gates(spec))
    wanted = feature_layers(spec, model)
    if wanted and not analysis.no_gates:
        names = [find_layer(analysis.attention, name).name for name in wanted]
        analysis = analyse(network, photo, view, features=list(dict.fromkeys(names)))
    return with_made(analysis, network, made_columns(spec, model), first)


def feature_layers(spec: FigureSpec, model: int = 0) -> tuple[str, ...]:
    """Layers, by name or place, whose features the figure shows of network number `model`."""
    if spec.layout == "channel":
        return (spec.named_layers or ("-1",)) if model == 0 else ()
    if spec.layout != "grid":
        return ()
    return tuple(
        column.layer
        for column in spec.columns
        if column.model == model and COLUMNS[column.kind].features
    )


def _shows_gates(spec: FigureSpec) -> bool:
    """Whether gates are shown of the first network, as far as the specification says."""
    if spec.layout != "grid" or not spec.columns:
        return True
    return any(COLUMNS[column.kind].needs_gates for column in spec.columns if column.model == 0)


def averages(spec: FigureSpec) -> bool:
    """Whether photos are averaged and none is shown."""
    return LAYOUTS[spec.layout].most_photos is None


def without_pixels(photo: Photo) -> Photo:
    """The photo with its size and origin, black, in no memory to speak of."""
    black = np.broadcast_to(np.zeros((), np.uint8), (*photo.size, 3))
    return replace(photo, pixels=black, in_srgb=None, values=None)


def _without_pixels(analysis: Analysis) -> Analysis:
    return replace(analysis, photo=without_pixels(analysis.photo))
