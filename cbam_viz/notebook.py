"""An `Attention` or `Analysis` in a notebook: a strip of layers, small enough for every cell.

Maps come as PNG of one pixel a cell and are enlarged by the browser, so that 16 layers take a few
kilobytes.
"""

from __future__ import annotations

import base64
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from cbam_viz.attention import Attention, LayerAttention
from cbam_viz.render import Scale, absolute_scale, colorbar, colorize, encode, shared_scale
from cbam_viz.render import strip as weight_strip

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis

WIDTH = 84
"""Of a map, in CSS pixels."""

_BOX = "display:inline-block;vertical-align:top;margin:0 6px 8px 0;font-size:11px"
_PIXELS = "display:block;image-rendering:pixelated"


def html(result: Attention | Analysis) -> str:
    """HTML of a result; of an `Analysis` with its prediction and what the network was fed."""
    if isinstance(result, Attention):
        return strip(result)
    best = ", ".join(f"{one.label} {one.probability:.1%}" for one in result.predictions)
    title = f"{result.photo.name} in {result.model_name}"
    lines = filter(None, (title, best, result.prediction_note, result.fed))
    head = "".join(f"<div>{escape(line)}</div>" for line in lines)
    return f"<div>{head}{strip(result.attention)}</div>"


def strip(attention: Attention) -> str:
    """HTML of all layers by stage: the map of the first image, below it its channel weights."""
    scale = _scale(attention)
    low, high = scale.range_label
    height, width = attention.input_size
    count = len(attention)
    head = (
        f"<b>{count} attention layer{'' if count == 1 else 's'}</b>, input {height} × {width}"
        f"{_batch(attention)} &nbsp; {low} {_image(colorbar(scale, width=96, height=8), 96, 8)} "
        f"{high} <span style='opacity:.7'>above: spatial maps, below: channel weights by index"
        "</span>"
    )
    stages = "".join(
        f"<div><div style='opacity:.7;font-size:11px'>{escape(stage)}</div>"
        + "".join(_card(layer, scale) for layer in layers)
        + "</div>"
        for stage, layers in groupby(attention.values(), key=lambda layer: layer.stage)
    )
    missing = "".join(
        f"<div style='font-size:11px'>Not shown: {escape(text)}</div>"
        for text in _left_out(attention)
    )
    return f"<div><div style='margin-bottom:6px'>{head}</div>{stages}{missing}</div>"


def _scale(attention: Attention) -> Scale:
    """0 to 1 where all gates lie there, as after a sigmoid; else one range for all of them."""
    gates = [
        gate[0].numpy()
        for layer in attention.values()
        for gate in (layer.channel, layer.spatial)
        if gate is not None
    ]
    whole = shared_scale(gates)
    return absolute_scale() if whole.low >= 0 and whole.high <= 1 else whole


def _batch(attention: Attention) -> str:
    gates = (
        layer.channel if layer.spatial is None else layer.spatial for layer in attention.values()
    )
    sizes = {len(gate) for gate in gates if gate is not None}
    return f", first of {max(sizes)} images" if sizes and max(sizes) > 1 else ""


def _card(layer: LayerAttention, scale: Scale) -> str:
    parts = []
    if layer.spatial is not None:
        values = layer.spatial[0].numpy()
        height = max(4, round(WIDTH * values.shape[0] / values.shape[1]))
        parts.append(_image(colorize(values, scale), WIDTH, min(height, 3 * WIDTH)))
    if layer.channel is not None:
        weights = layer.channel[0].numpy()
        parts.append(_image(weight_strip(weights, scale, height=1), WIDTH, 9, "margin-top:2px"))
    title = escape(f"{layer.name}: {layer.composition}", quote=True)
    name = escape(layer.name)
    return (
        f"<div style='{_BOX};width:{WIDTH}px' title=\"{title}\">{''.join(parts)}"
        f"<div style='overflow-wrap:anywhere'>{name}</div></div>"
    )


def _image(pixels: object, width: int, height: int, style: str = "") -> str:
    data = base64.b64encode(encode(pixels)).decode()  # type: ignore[arg-type]
    shape = "vertical-align:middle" if height == 8 else _PIXELS
    return (
        f"<img alt='' style='{shape};{style}' width={width} height={height} "
        f"src='data:image/png;base64,{data}'>"
    )


def _left_out(attention: Attention) -> list[str]:
    lines = [f"{item.module}: {item.reason}" for item in attention.unsupported]
    return lines + [f"{name} did not run" for name in attention.not_called]
