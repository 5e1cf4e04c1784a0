"""Layers, networks and numbers in words. Nothing here knows Streamlit."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cbam_viz.attention import Attention, LayerAttention
from cbam_viz.images import Photo

if TYPE_CHECKING:
    from cbam_viz.costs import ModelCost


RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(text: str) -> str:
    """Text that holds names of files or layers, safe where Streamlit reads Markdown."""
    return re.sub(r"([\\`*_\[\]<>$~#|])", r"\\\1", text)


def distinct(titles: Mapping[str, str]) -> dict[str, str]:
    """The same titles with a number behind those that came before: lists take titles for keys."""
    seen: Counter[str] = Counter()
    result = {}
    for key, title in titles.items():
        seen[title] += 1
        result[key] = title if seen[title] == 1 else f"{title} ({seen[title]})"
    return result


def layer_option(layer: LayerAttention) -> str:
    """A layer in a list to choose from."""
    return f"{layer.name}  ({size_of(layer)})"


def size_of(layer: LayerAttention) -> str:
    """How large a layer's gates are."""
    parts = []
    if layer.spatial is not None:
        rows, columns = layer.spatial.shape[1:]
        parts.append(f"{rows} × {columns} cells")
    if layer.channel is not None:
        parts.append(f"{layer.channel.shape[1]} channels")
    return ", ".join(parts)


def composition(layer: LayerAttention) -> str:
    """Which gates a layer has and how they act."""
    texts = {
        "channel then spatial": "channel weights, then the spatial map",
        "spatial then channel": "the spatial map, then channel weights",
        "parallel": "channel weights and spatial map in parallel",
        "channel": "channel weights only",
        "spatial": "a spatial map only",
    }
    return texts[layer.composition]


def proof(layer: LayerAttention) -> str:
    """How far the captured gates can be trusted."""
    if layer.verified:
        return "verified: input × gates = output"
    return "not verified: input × gates ≠ output"


def picture_alt(photo: Photo, layer: LayerAttention) -> str:
    """What a reader who cannot see the picture should know."""
    assert layer.spatial is not None
    values = layer.spatial[0]
    rows, columns = values.shape
    if not bool(values.isfinite().all()):
        return f"{photo.name} with the spatial map of {layer.name}, which holds no finite numbers"
    peak = int(values.argmax())
    down = _third(peak // columns, rows, "top", "bottom")
    across = _third(peak % columns, columns, "left", "right")
    where = f"{down} {across}".replace("centre centre", "centre")
    return (
        f"{photo.name} with the spatial map of {layer.name}: values from {values.min():.3f} to "
        f"{values.max():.3f}, highest at the {where} of what the network saw"
    )


def strip_alt(layer: LayerAttention) -> str:
    """The channel weights of a layer for a reader who cannot see them."""
    assert layer.channel is not None
    weights = layer.channel[0]
    return (
        f"{len(weights)} channel weights from {weights.min():.3f} to {weights.max():.3f}, "
        f"mean {weights.mean():.3f}"
    )


def missing(attention: Attention) -> list[str]:
    """What of the network's attention could not be shown, a sentence each."""
    lines = [f"{item.module}: {item.reason}." for item in attention.unsupported]
    lines += [
        f"{name} is part of the network but did not run on this photo."
        for name in attention.not_called
    ]
    return lines


def about(metadata: Mapping[str, Any]) -> list[str]:
    """What a checkpoint says about itself, a paragraph each."""
    lines = [str(metadata["description"])] if metadata.get("description") else []
    if metadata.get("training_data"):
        lines.append(f"Trained on: {metadata['training_data']}")
    accuracy = metadata.get("accuracy") or {}
    if accuracy:
        lines.append("Accuracy: " + ", ".join(f"{k} {_value(v)}" for k, v in accuracy.items()))
    if metadata.get("license"):
        lines.append(f"Licence: {metadata['license']}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, float):
        return percent(value) if 0 <= value <= 1 else f"{value:g}"
    return str(value)


def cost_table(cost: ModelCost) -> dict[str, list[str]]:
    """Parameters and FLOPs without and with CBAM, by column."""
    rows = (
        ("Parameters", cost.plain_parameters, cost.parameters),
        ("FLOPs", cost.plain_flops, cost.flops),
    )
    return {
        "": [name for name, _, _ in rows],
        "Without CBAM": [quantity(plain) for _, plain, _ in rows],
        "With CBAM": [quantity(full) for _, _, full in rows],
        "Added": [percent((full - plain) / plain) if plain else "" for _, plain, full in rows],
    }


def cost_note(cost: ModelCost) -> str:
    """What was counted, and how."""
    height, width = cost.input_size
    return (
        f"For one picture of {height} × {width} pixels. A multiplication and an addition count "
        "as two FLOPs."
    )


def quantity(count: int) -> str:
    """A large number with its unit."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return str(count)


def number(value: float) -> str:
    """A gate's value, or any other, with as many digits as one can compare."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if value == 0 or 0.001 <= abs(value) < 1000:
        text = f"{value:.3f}"
    elif 0.0001 <= abs(value) < 0.001:
        text = f"{value:.5f}"
    else:
        digits, _, exponent = f"{value:.1e}".partition("e")
        text = f"{digits} × 10{str(int(exponent)).translate(RAISED)}"
    return text.replace("-", "−")


def percent(share: float) -> str:
    """A probability or share."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def _third(index: int, count: int, first: str, last: str) -> str:
    position = (index + 0.5) / count
    return first if position < 1 / 3 else last if position > 2 / 3 else "centre"
