"""Maps of one network beside those of the next, or of a training's epochs: a strip for each layer.

It is a grid: a row for each layer of each photo, and a column for each network.
"""

from __future__ import annotations

from dataclasses import dataclass

from cbam_viz.attention import LayerAttention
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.called import called, shared_over
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import find_layer, spatial_map, stages
from cbam_viz.figures.content.grid import Grid, scales_of
from cbam_viz.figures.content.sentences import map_sentences, picture_sentences
from cbam_viz.figures.content.values import MapPicture, Picture, Place, Study
from cbam_viz.layer_names import short_names

MOST_NETWORKS = 24
"""Columns; pictures of more could not be seen at the width of a page."""
MOST_ROWS = 64


@dataclass(frozen=True)
class Epochs(Grid):
    """The grid, and which photo each row is of."""

    photos: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    """Layers, in the order of rows of one photo."""

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return spec.with_(layers=self.names, layer=None)

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        study, spec = figure.study, figure.spec
        of = f"{self.names[0]}" if len(self.names) == 1 else f"{len(self.names)} layers"
        by = f"{study.unit}s of a training" if study.at else "networks"
        return [
            f"Spatial attention of {of} on the same photos by {by}. Columns, from left to right: "
            f"input; {'; '.join(study.networks)}",
            f"Rows: {'; '.join(self._rows(study))}",
            *map_sentences(spec, self.scale, self.gates),
            *picture_sentences(figure, self.pictures, len(study.analyses)),
        ]

    def _rows(self, study: Study) -> list[str]:
        layers = self.names * len(study.analyses)
        if len(study.analyses) == 1:
            return list(layers)
        photos = [study.photos[n] for n in self.photos]
        if len(self.names) == 1:
            return photos
        return [f"{layer} on {photo}" for layer, photo in zip(layers, photos, strict=True)]


def content(spec: FigureSpec, study: Study) -> Epochs:
    """Every network's maps of the layers asked for.

    Without them those of the last layer with a map of each stage, at most four, on one photo; of
    several photos, the last layer with a map.

    Raises:
        FigureError: for a layer that is not there or has no map, or more than can be seen.
    """
    networks = study.analyses[0]
    if len(networks) > MOST_NETWORKS:
        raise FigureError(
            f"{len(networks)} columns of maps cannot be seen on a page; the most is "
            f"{MOST_NETWORKS}. Choose some of the networks or epochs."
        )
    names = tuple(layer.name for layer in _layers(spec, study))
    if len(names) * len(study.analyses) > MOST_ROWS:
        raise FigureError(
            f"{len(names)} layers of {len(study.analyses)} photos are more than {MOST_ROWS} rows. "
            "Choose fewer."
        )
    places: list[tuple[int, str]] = [
        (p, name) for p in range(len(study.analyses)) for name in names
    ]
    found = [
        [(one, spatial_map(find_layer(one.attention, name))) for one in study.analyses[p]]
        for p, name in places
    ]
    scales = iter(scales_of(spec, [[values] for row in found for _, (values, _) in row]))
    rows: list[tuple[Place, ...]] = []
    for (p, name), row in zip(places, found, strict=True):
        maps = [MapPicture(one, name, (part,), next(scales)) for one, part in row]
        rows.append((Picture(study.analyses[p][0]), *maps))
    first = next(place for place in rows[0] if isinstance(place, MapPicture))
    columns = (Column("input"), *(Column("map", names[0], n) for n in range(len(networks))))
    labels = _labels(spec, study, names)
    names_apart = called(study.networks)
    return Epochs(
        columns,
        ("Input", *names_apart.own),
        tuple(rows),
        labels,
        None if spec.scale == "per map" else first.scale,
        over=shared_over(names_apart, 1, len(networks)),
        photos=tuple(p for p, _ in places),
        names=names,
    )


def _layers(spec: FigureSpec, study: Study) -> list[LayerAttention]:
    attention = study.analyses[0][0].attention
    if spec.named_layers:
        return [find_layer(attention, name) for name in spec.named_layers]
    mapped = [
        [layer for layer in of_stage if layer.spatial is not None]
        for of_stage in stages(attention).values()
    ]
    lasts = [of_stage[-1] for of_stage in mapped if of_stage]
    if not lasts:
        raise FigureError("No layer has a spatial map, so there is none to follow.")
    return lasts[-1:] if len(study.analyses) > 1 else lasts[-4:]


def _labels(spec: FigureSpec, study: Study, names: tuple[str, ...]) -> tuple[str, ...]:
    """At the left of each row: the layer where there are several, and what was asked for."""
    short = short_names(study.analyses[0][0].attention)
    labels = []
    for index, row in enumerate(study.analyses):
        own = spec.row(index).label
        if own is None and spec.row_labels != "none":
            own = row[0].photo.name.rpartition(".")[0] or row[0].photo.name
        for name in names:
            layer = short[name] if len(names) > 1 else ""
            labels.append(" · ".join(filter(None, (own, layer))))
    return tuple(labels)
