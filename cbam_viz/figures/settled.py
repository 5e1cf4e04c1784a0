"""A figure's specification as it was drawn: what it left open is filled in.

The app, manifests and captions read this one, so that none of them can say something else than
what the figure shows. Settling a settled specification changes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from cbam_viz.figures.ask.spec import Column, FigureSpec
from cbam_viz.figures.content.gated import SIGNED_COLORMAP, GatedChannel
from cbam_viz.figures.content.values import Bars, Grid, MapPicture, Place
from cbam_viz.figures.draw.channels import ByClass, LayerWeights
from cbam_viz.figures.draw.depth import Strip
from cbam_viz.figures.paper.sheet import style_of

Content = Grid | Strip | GatedChannel | tuple[LayerWeights, ...] | ByClass


def settled(spec: FigureSpec, content: Content) -> FigureSpec:
    """The specification with the font, columns, layers, channel and colours that `content` has.

    Raises:
        FigureError: if the font cannot be used.
    """
    spec = spec.with_(font=style_of(spec).font)
    if isinstance(content, Grid):
        named = zip(content.columns, content.rows[0], strict=True)
        return spec.with_(columns=tuple(_named(column, place) for column, place in named))
    if isinstance(content, Strip):
        return spec.with_(layers=tuple(one.name for one in content.maps))
    if isinstance(content, GatedChannel):
        signed = content.grid.scale is not None and content.grid.scale.low < 0
        return spec.with_(
            layer=content.layer,
            channel=content.channel,
            scale="shared",
            style="map",
            colormap=SIGNED_COLORMAP if signed else spec.colormap,
        )
    if isinstance(content, ByClass):
        return spec.with_(layer=content.layer, scale=content.scale.kind)
    return spec.with_(layers=tuple(one.layer for one in content))


def _named(column: Column, place: Place) -> Column:
    """The column with its layer by name, where it was given by its place in the order."""
    if isinstance(place, (MapPicture, Bars)):
        return replace(column, name=place.name)
    return column
