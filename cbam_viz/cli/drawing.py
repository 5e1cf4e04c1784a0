"""Overlays as the command line writes them, on the photo's own pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from cbam_viz.analysis import Analysis
    from cbam_viz.attention import LayerAttention
    from cbam_viz.render import ImageFormat, Scale


@dataclass(frozen=True)
class Style:
    """How overlays look."""

    scale: Literal["absolute", "shared", "per-map"]
    colormap: str
    opacity: float
    max_side: int | None = None
    """Longer side at most, in pixels; None: the photo's own."""


@dataclass(frozen=True)
class Picture:
    """One layer's overlay."""

    data: bytes
    """Of the encoded file."""
    scale: Scale


def overlays(
    analysis: Analysis,
    layers: Sequence[LayerAttention],
    style: Style,
    image_format: ImageFormat = "png",
) -> dict[str, Picture]:
    """Return the overlays by layer name; layers without a map are left out.

    The shared scale covers all layers of the image, not only `layers`.
    """
    from cbam_viz.render import encode, fit_size, make_scale, overlay, place, resize_photo

    photo = analysis.photo
    size = photo.size if style.max_side is None else fit_size(photo.size, style.max_side)
    pixels = resize_photo(photo.shown, size)
    maps = [
        spatial_map(layer) for layer in analysis.attention.values() if layer.spatial is not None
    ]
    pictures = {}
    for layer in layers:
        if layer.spatial is None or layer.cells is None:
            continue
        values = spatial_map(layer)
        scale = make_scale("per map" if style.scale == "per-map" else style.scale, values, maps)
        placed = place(values, layer.cells, analysis.geometry, size)
        picture = overlay(
            pixels, placed, scale=scale, colormap=style.colormap, opacity=style.opacity
        )
        pictures[layer.name] = Picture(encode(picture, image_format), scale)
    return pictures


def spatial_map(layer: LayerAttention) -> npt.NDArray[np.float32]:
    """Return the layer's map (h, w)."""
    assert layer.spatial is not None
    values: npt.NDArray[np.float32] = layer.spatial[0].numpy()
    return values
