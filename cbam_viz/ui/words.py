"""Layers, networks and numbers in words. Nothing here knows Streamlit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cbam_viz import _numbers, _text
from cbam_viz.attention import Attention, Cells, LayerAttention
from cbam_viz.images import (
    Geometry,
    Photo,
    border_note,
    cells_on_photo,
    layer_shares,
    numbers_on_photo,
    photo_shares,
)
from cbam_viz.layer_names import both_names

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.costs import ModelCost
    from cbam_viz.evaluation.agreement import Agreement
    from cbam_viz.statistics import GateStatistics

number = _numbers.number


def plain(text: str) -> str:
    """Text that holds names of files or layers, safe where Streamlit reads Markdown."""
    return re.sub(r"([\\`*_\[\]<>$~#|])", r"\\\1", text)


def distinct(titles: Mapping[str, str]) -> dict[str, str]:
    """The same titles with a number behind those that came before: lists take titles for keys."""
    return dict(zip(titles, _text.distinct(list(titles.values())), strict=True))


def layer_option(layer: LayerAttention, title: str) -> str:
    """A layer in a list to choose from."""
    return f"{layer_beside(layer.name, title)}  ({size_of(layer)})"


def layer_beside(name: str, title: str) -> str:
    """A layer in a list to choose from where nothing else is known of it."""
    return name if title == name else f"{title} · {name}"


def heading(title: str, path: str) -> str:
    """A title where a sentence would begin; a path stays as it is."""
    return title if title == path else title[:1].upper() + title[1:]


def size_of(layer: LayerAttention) -> str:
    """How large a layer's gates are."""
    parts = []
    if layer.spatial is not None:
        rows, columns = layer.spatial.shape[1:]
        parts.append(f"{rows} × {columns} cells")
    if layer.channel is not None:
        parts.append(f"{layer.channel.shape[1]} channels")
    return ", ".join(parts)


def are_numbers(*maps: npt.NDArray[Any]) -> bool:
    """Whether all values of all maps are finite numbers."""
    return all(bool(np.isfinite(one).all()) for one in maps)


def of_cells(layer: LayerAttention, geometry: Geometry) -> list[str]:
    """How many of a map's cells lie on the photo; nothing to say if all do, or there is no map."""
    if layer.spatial is None:
        return []
    some, every = cells_on_photo(layer, geometry), layer.spatial[0].numel()
    return [f"{some} of {every} cells on the photo"] if some < every else []


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
    """How far the captured gates can be trusted; `VERIFIED` explains it."""
    return "verified" if layer.verified else "not verified"


def picture_alt(photo: Photo, layer: LayerAttention, geometry: Geometry, title: str = "") -> str:
    """What a reader who cannot see the picture should know; `title` is what the layer is called."""
    assert layer.spatial is not None
    values, shares = layer.spatial[0].numpy(), layer_shares(layer, geometry)
    whose = f"{photo.name} with the spatial map of {both_names(layer.name, title or layer.name)}"
    if not np.isfinite(values[shares > 0]).all():
        return f"{whose}, which holds no finite numbers"
    low, _, high = numbers_on_photo(values, shares)
    if low == high:
        return f"{whose}: {span(low, high)}"
    row, column = highest_cell(values, shares)
    down = _third(shares.sum(1), row, "top", "bottom")
    across = _third(shares.sum(0), column, "left", "right")
    where = f"{down} {across}".replace("centre centre", "centre")
    return (
        f"{whose}: values from {number(low)} to {number(high)}, highest at the {where} of what the "
        "network saw"
    )


def highest_cell(values: npt.NDArray[Any], shares: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Row and column of the highest value among the cells on the photo."""
    row, column = divmod(int(np.where(shares > 0, values, -np.inf).argmax()), values.shape[1])
    return row, column


def range_on_photo(values: npt.NDArray[Any], cells: Cells | None, geometry: Geometry) -> str:
    """From the lowest to the highest value of a map (h, w) on the photo."""
    shares = photo_shares((values.shape[0], values.shape[1]), cells, geometry)
    low, _, high = numbers_on_photo(values, shares)
    return span(low, high)


def span(low: float, high: float) -> str:
    """From the lowest to the highest of a map's values, or the one that they all have."""
    if low == high:
        return f"{number(low)} everywhere"
    if number(low) == number(high):
        return f"{number(low)} everywhere, but for differences of {number(high - low)}"
    return f"{number(low)} to {number(high)}"


def mean_and_spread(numbers: GateStatistics) -> str:
    """Mean and standard deviation of a gate."""
    if numbers.not_finite == numbers.count:
        return "no finite numbers"
    if numbers.minimum == numbers.maximum:
        return f"{number(numbers.mean)} everywhere"
    return f"mean {number(numbers.mean)}, spread {number(numbers.spread)}"


def agreement(found: Agreement) -> str:
    """How far two maps agree, and how far chance would, in Markdown."""
    if found.pearson is None:
        return "One of the two maps is the same everywhere, so there is nothing to agree on."
    parts = []
    for name, value, title in (
        ("pearson", found.pearson, "Pearson"),
        ("spearman", found.spearman, "Spearman"),
        ("overlap", found.overlap, "overlap of the highest fifth (IoU)"),
    ):
        chance = found.chance[name]
        if value is not None and chance is not None:
            low, high = (f"{end:.2f}".replace("-", "−") for end in chance)
            said = f"{value:.2f}".replace("-", "−")
            parts.append(f"{title} **{said}** (chance: {low} to {high})")
    return (
        f"Agreement: {', '.join(parts)}. Chance is the middle 95 % of random maps with the second "
        "one's values, as smooth as it is."
    )


def what_was_assumed(analysis: Analysis) -> str:
    """What the network was fed, where some of it is a guess; else the sidebar's word is enough."""
    return analysis.fed if analysis.input.get("assumed") else ""


def what_was_seen(geometry: Geometry) -> list[str]:
    """What of the photo the network was not shown, and what it was shown besides; sentences."""
    texts = []
    if geometry.seen_share < 0.999:
        share = percent(geometry.seen_share)
        texts.append(f"The network saw {share} of the photo; the rest is hatched.")
    if border := border_note(geometry):
        texts.append(
            f"The photo is {border}. A map's numbers are of the photo alone; a stretched colour "
            "scale spans the border too."
        )
    return texts


def strip_alt(layer: LayerAttention) -> str:
    """The channel weights of a layer for a reader who cannot see them."""
    assert layer.channel is not None
    weights = layer.channel[0].numpy()
    finite = weights[np.isfinite(weights)]
    if not finite.size:
        return f"{len(weights)} channel weights, none of them a finite number"
    if finite.min() == finite.max():
        every = "all" if finite.size == len(weights) else "all finite ones"
        return f"{len(weights)} channel weights, {every} {number(float(finite.min()))}"
    low, mean, high = (number(float(of(finite))) for of in (np.min, np.mean, np.max))
    return f"{len(weights)} channel weights from {low} to {high}, mean {mean}"


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


def percent(share: float) -> str:
    """A probability or share."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def _third(shares: npt.NDArray[np.float64], index: int, first: str, last: str) -> str:
    """Where the middle of a row or column lies, given what of the photo each of them covers."""
    position = shares[:index].sum() + shares[index] / 2
    return first if position < 1 / 3 else last if position > 2 / 3 else "centre"
