"""The spatial maps of layers that correspond in one frame, and what they differ by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.comparison import Compared, Comparison, MapDifference
from cbam_viz.comparison.comparing import NOT_ONE_PHOTO
from cbam_viz.layer_names import titles
from cbam_viz.render import Scale, gate_scale
from cbam_viz.ui import session, words
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.drawing.on_photo import Field, OnPhoto
from cbam_viz.ui.pages.compare import frame
from cbam_viz.ui.pages.compare.sides import Look
from cbam_viz.ui.parts import components, display_controls
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control
from cbam_viz.ui.session.link import CELLS, SHOWS

DRAWS = 100
RANGES = {"absolute": "−1 to 1", "largest": "to the largest difference"}


@dataclass(frozen=True, eq=False)
class _Frame:
    """What all columns of the frame are drawn from."""

    scene: Scene
    found: Comparison
    name: str
    """The reference's layer."""
    sides: tuple[OnPhoto, ...]
    each: tuple[Compared | None, ...]
    most: float
    """Where the colours of differences end, on both sides of 0."""

    def title(self, number: int) -> str:
        return self.found.sides[number].title

    @property
    def differs(self) -> bool:
        """Whether any side has a difference."""
        return any(one and one.difference for one in self.each)

    @property
    def first(self) -> str:
        """What all others are compared with."""
        return self.title(self.found.reference)


def draw(scene: Scene, looks: Sequence[Look], found: Comparison, name: str) -> None:
    """All sides on one scale, differences to the first on another, and what that is in words."""
    numbers = range(len(looks))
    layers = [found.layer(number, name) for number in numbers]
    maps = [pictures.spatial_map(one) for one in layers if one and one.spatial is not None]
    scale = gate_scale(maps)
    each = tuple(_compared(scene, looks, found, number, name) for number in numbers)
    shown = _Frame(
        scene,
        found,
        name,
        tuple(_on_photo(look, one, scale) for look, one in zip(looks, layers, strict=True)),
        each,
        _most(each, scale),
    )
    components.frames(
        {
            "linked": frame.linked(found, shown.sides),
            "bars": _bars(shown, scale) if maps else [],
            "sides": [_column(shown, number) for number in numbers],
        },
        key="compare_frames",
    )
    _controls(differs=shown.differs)
    if NOT_ONE_PHOTO in (found.no_difference(number, name) for number in found.others):
        st.caption(NOT_ONE_PHOTO)
    for number, one in enumerate(each):
        if one is not None and one.difference is not None:
            st.caption(_in_words(shown, number, one.difference))


def _column(shown: _Frame, number: int) -> dict[str, Any]:
    """One side: its map, and below it the difference to the first side's."""
    found, side, one = shown.found, shown.sides[number], shown.each[number]
    told = ""
    if side.field is not None:
        told = words.range_on_photo(side.field.values, side.field.cells, side.geometry)
    reference = number == found.reference
    column = frame.column(shown.scene, side, shown.title(number), told) | {
        "isReference": reference,
        "reason": _below(shown, number),
    }
    maps = None if reference else found.maps(number, shown.name)
    if one is None or one.difference is None or maps is None:
        return column
    numbers = one.difference
    told = "none anywhere"
    if numbers.largest:
        told = f"on average {_signed(numbers.mean)}, the largest {_signed(numbers.largest)}"
    column["difference"] = frame.difference_picture(shown.scene, side.photo, maps, shown.most) | {
        "told": f"Difference: {told}",
        "alt": f"{shown.title(number)} minus {shown.first}, {side.title}: {told}",
    }
    return column


def _below(shown: _Frame, number: int) -> str:
    """What stands in the place of a difference."""
    if number != shown.found.reference:
        reason = shown.found.no_difference(number, shown.name)
        return "" if reason == NOT_ONE_PHOTO else reason  # said once, below the frame
    return "Differences are measured from this map." if shown.differs else ""


def _on_photo(look: Look, layer: LayerAttention | None, scale: Scale) -> OnPhoto:
    """A side's map on its photo; the photo alone where it has none."""
    analysis = look.analysis
    title, name, alt, field = _no_layer(look), "", analysis.photo.name, None
    if layer is not None:
        name = layer.name
        called = titles(look.side.layers.values()).layers[name]
        title = name if called == name else f"{words.heading(called, name)} · {name}"
        if layer.spatial is not None and layer.cells is not None:
            alt = words.picture_alt(analysis.photo, layer, analysis.geometry, called)
            field = Field(pictures.spatial_map(layer), layer.cells, scale)
        else:
            title += ": no spatial map"
    return OnPhoto(
        name=name,
        title=title,
        provenance=analysis.model_name,
        alt=alt,
        photo=analysis.photo,
        geometry=analysis.geometry,
        field=field,
        key=(look.key, name),
        found=analysis.detections,
    )


def _no_layer(look: Look) -> str:
    return "No layer of this kind" if look.side.layers else "No attention, so no map"


def _compared(
    scene: Scene, looks: Sequence[Look], found: Comparison, number: int, name: str
) -> Compared | None:
    """A side beside the first, with what agreement chance would give; computed once."""
    if number == found.reference:
        return None
    partner = found.pairs[number][name]
    key = (
        "compared layer",
        looks[found.reference].key,
        looks[number].key,
        name,
        partner,
        found.same_scene,
    )
    return scene.results.pictures.get_or_make(
        key, lambda: found.compared(number, name, draws=DRAWS)
    )


def _most(each: Sequence[Compared | None], scale: Scale) -> float:
    """Where the colours of differences end: at the largest there can be, or the largest here."""
    whole = scale.high - scale.low
    if st.session_state[control("range", "absolute", among=RANGES)["key"]] == "absolute":
        return whole
    found = [abs(one.difference.largest) for one in each if one and one.difference]
    return max(found, default=0.0) or whole


def _bars(shown: _Frame, scale: Scale) -> list[dict[str, Any]]:
    """What the colours stand for: of the maps, and of the differences if there are any."""
    settings = shown.scene.settings
    bars = [pictures.colour_bar(scale, settings.colormap, lines=settings.show == "contours")]
    if not shown.differs:
        return bars
    ends = Scale("shared", -shown.most, shown.most)
    high = words.number(shown.most) if shown.most != 1 else "1"
    low = f"−{high}"
    bars.append(
        pictures.colour_bar(ends, frame.DIVERGING)
        | {
            "label": f"Difference to {shown.first}: {low} to {high}, 0 in the middle",
            "ticks": [f"{low}, lower", "0", f"{high}, higher"],
            "hint": "How much less of a place is let through than by the first, or how much more.",
        }
    )
    return bars


def _controls(*, differs: bool) -> None:
    with st.container(horizontal=True, gap="medium"):
        for label, name, options in (("Show", "show", SHOWS), ("Cells", "cells", CELLS)):
            st.segmented_control(
                label,
                list(options),
                format_func=options.__getitem__,
                required=True,
                **session.control(name),
            )
        display_controls.colours(150)
        if differs:
            st.segmented_control(
                "Colours of differences",
                list(RANGES),
                format_func=RANGES.__getitem__,
                required=True,
                **control("range", "absolute", among=RANGES),
            )
        st.slider("Opacity", 0.0, 1.0, step=0.05, width=150, **session.control("opacity"))


def _in_words(shown: _Frame, number: int, numbers: MapDifference) -> str:
    """By how much a side's map differs, and how far both agree."""
    title = shown.title(number)
    if not numbers.largest:
        return words.plain(f"{title}: the map is that of {shown.first} in every place.")
    text = words.plain(
        f"{title} minus {shown.first}, over the {words.percent(numbers.seen)} of the photo that "
        f"both saw: on average {_signed(numbers.mean)} (regardless of sign "
        f"{words.number(numbers.mean_absolute)}), the largest {_signed(numbers.largest)}."
    )
    return f"{text} {words.agreement(numbers.agreement)}"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + words.number(value)
