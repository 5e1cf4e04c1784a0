"""One photo through all layers: its maps in order of execution, by stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import find_layer, spatial_map
from cbam_viz.figures.content.grid import scales_of
from cbam_viz.figures.content.sentences import map_sentences, picture_sentences
from cbam_viz.figures.content.values import MapPicture, Picture, Shown, Study
from cbam_viz.layer_names import short_names
from cbam_viz.render import Scale


@dataclass(frozen=True)
class Strip:
    """One photo's maps in order of execution."""

    picture: Picture
    maps: tuple[MapPicture, ...]
    heads: tuple[str, ...]
    """Of each map."""
    groups: tuple[int, ...]
    """How many maps each stage has."""
    scale: Scale | None
    """None: each map has its own."""

    predicted = ()

    @property
    def map_scale(self) -> Scale | None:
        """See `Content`."""
        return self.scale

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return tuple(one.name for one in self.maps)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return spec.with_(layers=self.layers)

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`."""
        for number, place in enumerate(self.maps):
            yield from place.shown(f"picture {number + 2}")

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        return [
            f"Spatial attention of {len(self.maps)} layers of {figure.study.networks[0]}, in the "
            "order in which they run, after the input",
            *map_sentences(figure.spec, self.scale, self.maps),
            *picture_sentences(figure, [self.picture, *self.maps], 1),
        ]


def content(spec: FigureSpec, study: Study) -> Strip:
    """The maps of all layers, or of those named, that have a spatial map.

    Raises:
        FigureError: if no layer has a spatial map.
    """
    analysis = study.analyses[0][0]
    attention = analysis.attention
    chosen = [find_layer(attention, name) for name in spec.named_layers or attention]
    layers = [layer for layer in chosen if layer.spatial is not None]
    if not layers:
        raise FigureError(
            "None of these layers has a spatial map. Use the layout 'channels' to show their "
            "channel weights."
        )
    maps = [spatial_map(layer) for layer in layers]
    scales = scales_of(spec, [[values] for values, _ in maps])
    short = short_names(attention)
    groups: list[int] = []
    for index, layer in enumerate(layers):
        if index and layer.stage == layers[index - 1].stage:
            groups[-1] += 1
        else:
            groups.append(1)
    return Strip(
        Picture(analysis),
        tuple(
            MapPicture(analysis, layer.name, (found,), scale)
            for layer, found, scale in zip(layers, maps, scales, strict=True)
        ),
        tuple(short[layer.name] for layer in layers),
        tuple(groups),
        None if spec.scale == "per map" else scales[0],
    )
