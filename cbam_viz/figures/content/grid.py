"""Photos as rows, what is shown of them as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np

from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.ask.registry import COLUMNS
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.called import Over, called, over_columns
from cbam_viz.figures.content.columns import answer
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import find_layer, stages, top_class
from cbam_viz.figures.content.found import found_sentences
from cbam_viz.figures.content.sentences import (
    bar_sentences,
    laid_sentence,
    map_sentences,
    other_sentences,
    picture_sentences,
)
from cbam_viz.figures.content.targets import (
    effect_sentences,
    method_sentences,
    target_sentences,
    titled,
)
from cbam_viz.figures.content.values import (
    Bars,
    EffectBars,
    Floats,
    FoundPicture,
    MapPicture,
    Picture,
    Place,
    Shown,
    Study,
)
from cbam_viz.layer_names import find_name
from cbam_viz.render import Scale, absolute_scale, map_scale, shared_scale

MAX_DEFAULT_MAPS = 4


@dataclass(frozen=True)
class Grid:
    """The places of a grid, row by row, and its headings."""

    columns: tuple[Column, ...]
    """With layers by name."""
    heads: tuple[str, ...]
    rows: tuple[tuple[Place, ...], ...]
    labels: tuple[str, ...]
    """One for each row; all empty if there are none."""
    scale: Scale | None
    """The one scale of all maps of gates; None if each has its own, or there are none."""
    notes: tuple[tuple[str, ...], ...] = ()
    """What stands below each place, row by row; empty if nothing does anywhere."""
    over: tuple[tuple[Over, ...], ...] = ()
    """Lines of headings above those of the columns, from the top: whose columns they are."""

    @property
    def places(self) -> list[Place]:
        """All places, row by row."""
        return [place for row in self.rows for place in row]

    @property
    def maps(self) -> list[MapPicture]:
        """All maps."""
        return [place for place in self.places if isinstance(place, MapPicture)]

    @property
    def gates(self) -> list[MapPicture]:
        """Maps of gates."""
        return [one for one in self.maps if not one.quantity]

    @property
    def others(self) -> list[MapPicture]:
        """Maps of other quantities, which have a scale in common."""
        return [one for one in self.maps if one.quantity and one.scale.kind != "per map"]

    @property
    def methods(self) -> list[MapPicture]:
        """Maps that other methods made, each on a scale of its own."""
        return [one for one in self.maps if one.quantity and one.scale.kind == "per map"]

    @property
    def effects(self) -> list[EffectBars]:
        """All charts of what gates do."""
        return [place for place in self.places if isinstance(place, EffectBars)]

    @property
    def pictures(self) -> list[Picture | MapPicture]:
        """All photos and maps."""
        return [place for place in self.places if isinstance(place, (Picture, MapPicture))]

    @property
    def found(self) -> list[FoundPicture]:
        """All photos with what was found on them."""
        return [place for place in self.places if isinstance(place, FoundPicture)]

    @property
    def bars(self) -> list[Bars]:
        """All charts of channel weights."""
        return [place for place in self.places if isinstance(place, Bars)]

    @property
    def map_scale(self) -> Scale | None:
        """See `Content`."""
        return self.scale

    @property
    def predicted(self) -> tuple[int, ...]:
        """See `Content`."""
        shown = {column.model for column in self.columns if COLUMNS[column.kind].predicted}
        return tuple(sorted(shown))

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        found = [one.name for one in self.places if isinstance(one, (MapPicture, Bars))]
        return tuple(name for name in dict.fromkeys(found) if name)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return spec.with_(columns=self.columns, layers=(), layer=None)

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`."""
        for r, row in enumerate(self.rows):
            for c, place in enumerate(row):
                yield from place.shown(f"row {r + 1} column {c + 1}")

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        return [
            _shown_sentence(self, figure.study),
            *map_sentences(figure.spec, self.scale, self.gates),
            *other_sentences(figure.spec, self.others, alone=not self.gates),
            laid_sentence(figure.spec) if self.methods and not (self.gates or self.others) else "",
            *target_sentences(self.columns, self.rows, figure.study),
            *method_sentences(self.methods, figure.spec.colormap),
            *effect_sentences(self.effects),
            *found_sentences(figure, self.found),
            *picture_sentences(figure, self.pictures, len(self.rows)),
            *bar_sentences(figure, self.bars),
        ]


def content(spec: FigureSpec, study: Study) -> Grid:
    """Everything that a grid shows.

    Raises:
        FigureError: for a layer, stage or network that is not there.
    """
    columns = tuple(
        answer(column).settled(column, study.network(column.model))
        for column in spec.columns or default_columns(study, spec.named_layers)
    )
    shown = [
        answer(column).places(column, [row[column.model] for row in study.analyses])
        for column in columns
    ]
    rows = list(zip(*shown, strict=True))
    maps = [place for row in rows for place in row if _is_gate(place)]
    scales = scales_of(spec, [one.values for one in maps])
    supply = iter(scales)
    scaled = tuple(tuple(_scaled(place, supply) for place in row) for row in rows)
    common = scales[0] if scales and spec.scale != "per map" else None
    titles = [
        titled(column, _head(column, study), places, heads=spec.heads)
        for column, places in zip(columns, shown, strict=True)
    ]
    heads = tuple(head for head, _ in titles)
    notes = tuple(zip(*(notes for _, notes in titles), strict=True))
    over = over_columns(_owners(columns, study), called(study.networks))
    return Grid(columns, heads, scaled, row_labels(spec, study), common, notes, over)


def _scaled(place: Place, scales: Iterator[Scale]) -> Place:
    return replace(place, scale=next(scales)) if _is_gate(place) else place


def _is_gate(place: Place) -> TypeGuard[MapPicture]:
    return isinstance(place, MapPicture) and not place.quantity


def scales_of(spec: FigureSpec, maps: Sequence[Sequence[Floats]]) -> list[Scale]:
    """A scale for each place, which may show several maps averaged."""
    if spec.scale == "absolute":
        return [absolute_scale()] * len(maps)
    if spec.scale == "per map":
        return [map_scale(np.concatenate([m.ravel() for m in place])[None]) for place in maps]
    everything = [values for place in maps for values in place]
    return [shared_scale(everything)] * len(maps) if everything else []


def row_labels(spec: FigureSpec, study: Study) -> tuple[str, ...]:
    """What stands at the left of each photo's row."""
    labels = []
    for index, row in enumerate(study.analyses):
        own = spec.row(index).label
        if own is None and spec.row_labels == "name":
            own = row[0].photo.name.rpartition(".")[0] or row[0].photo.name
        elif own is None and spec.row_labels == "class":
            own = top_class(row[0])
        labels.append(own or "")
    return tuple(labels)


def default_columns(study: Study, layers: Sequence[str] = ()) -> tuple[Column, ...]:
    """Input, the maps of `layers`, the prediction or what was found.

    Of a layer without a map its channel weights. Without `layers`, the last map of each stage (all
    maps where there is one stage), at most the last four maps in all. Maps and prediction of every
    network, where it has them.

    Raises:
        FigureError: for a layer that the first network has not.
    """
    most = max(1, MAX_DEFAULT_MAPS // len(study.networks))
    columns = [Column("input")]
    for model, analysis in enumerate(study.analyses[0]):
        attention = analysis.attention
        if layers:
            known = layers if model == 0 else [one for one in layers if find_name(attention, one)]
            chosen = [find_layer(attention, name) for name in known]
        else:
            mapped = [
                [layer for layer in of_stage if layer.spatial is not None]
                for of_stage in stages(attention).values()
            ]
            mapped = [of_stage for of_stage in mapped if of_stage]
            lasts = mapped[0] if len(mapped) == 1 else [of_stage[-1] for of_stage in mapped]
            chosen = lasts[-most:]
        for layer in chosen:
            kind = "channels" if layer.spatial is None else "map"
            columns.append(Column(kind, layer.name, model))
        if analysis.predictions:
            columns.append(Column("prediction", model=model))
        elif analysis.detections is not None:
            columns.append(Column("detections", model=model))
    return tuple(columns)


def _head(column: Column, study: Study) -> str:
    if column.head is not None:
        return column.head
    return answer(column).head(column, study.network(column.model))


def _owners(columns: Sequence[Column], study: Study) -> list[int | None]:
    """Whose each column is, where there are several networks and the heading is not one's own."""
    return [
        column.model if column.head is None and _is_named(column, study) else None
        for column in columns
    ]


def _is_named(column: Column, study: Study) -> bool:
    """Whether it has to be said whose a column is."""
    return answer(column).of_a_network and len(study.networks) > 1


def _shown_sentence(grid: Grid, study: Study) -> str:
    shown = "; ".join(_column_words(column, study) for column in grid.columns)
    networks = study.networks
    of = " and ".join(dict.fromkeys(networks[column.model] for column in grid.columns))
    what = "Attention of" if grid.gates or grid.others or grid.bars else "Results of"
    what = "Maps of" if grid.methods and what == "Results of" else what
    return f"{what} {of}. Columns, from left to right: {shown}"


def _column_words(column: Column, study: Study) -> str:
    analysis = study.network(column.model)
    of = f" of {analysis.model_name}" if _is_named(column, study) else ""
    return answer(column).words(column, analysis) + of
