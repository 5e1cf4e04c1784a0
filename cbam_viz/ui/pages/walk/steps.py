"""What the steps of the walk have in common: the numbers they follow, and how a step looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import streamlit as st

from cbam_viz.attention import LayerAttention, LayerFeatures
from cbam_viz.images import Geometry
from cbam_viz.render import Scale, map_scale, shared_scale
from cbam_viz.ui import session, words
from cbam_viz.ui.parts import pictures
from cbam_viz.ui.parts.layout import two_columns
from cbam_viz.ui.scene import Scene

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

Map = npt.NDArray[np.float32]
Gate = Literal["channel", "spatial"]


@dataclass(frozen=True)
class Lesson:
    """One layer on one photo, and the channel whose numbers are followed."""

    scene: Scene
    layer: LayerAttention
    features: LayerFeatures
    channel: int
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    """Of the steps, which differ from layer to layer."""

    @property
    def geometry(self) -> Geometry:
        """Where the network's input lies on the photo."""
        return self.scene.analysis.geometry

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The layer's gates in the order in which they act."""
        present: dict[Gate, bool] = {
            "channel": self.layer.channel is not None,
            "spatial": self.layer.spatial is not None,
        }
        order: tuple[Gate, ...] = ("channel", "spatial")
        if self.layer.composition == "spatial then channel":
            order = ("spatial", "channel")
        return tuple(gate for gate in order if present[gate])

    def primes(self, gate: Gate) -> str:
        """The marks behind F for what this gate sees: none for the layer's own input."""
        second = self.gates.index(gate) == 1 and self.layer.composition != "parallel"
        return "'" if second else ""

    def seen_by(self, gate: Gate) -> npt.NDArray[np.float32]:
        """The features (C, h, w) that this gate looks at and multiplies."""
        between = self.features.between
        behind = between if self.primes(gate) and between is not None else self.features.before
        values: npt.NDArray[np.float32] = behind[0].numpy()
        return values

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """Channel weights (C,)."""
        assert self.layer.channel is not None
        values: npt.NDArray[np.float32] = self.layer.channel[0].numpy()
        return values


@contextmanager
def step(lesson: Lesson, title: str, equation: str) -> Iterator[tuple[DeltaGenerator, ...]]:
    """A numbered step: what happens on the left, the network's own numbers on the right."""
    number = next(lesson.numbers)
    st.subheader(f"{number}. {title}", anchor=False)
    left, right = two_columns(f"step_{number}", (5, 6))
    left.latex(equation)
    yield left, right


def pair(
    lesson: Lesson, first: tuple[str, Map], second: tuple[str, Map], scale: Scale | None = None
) -> None:
    """Two maps of the layer side by side, on one scale if it is given."""
    for column, (title, values) in zip(st.columns(2, wrap=False), (first, second), strict=True):
        with column:
            picture(lesson, title, values, scale=scale)


def pair_before_and_after(lesson: Lesson, gate: Gate, factor: Map | np.float32, told: str) -> None:
    """The followed channel before and after it was multiplied by `factor`, on one scale."""
    primes = lesson.primes(gate).replace("'", "′")
    before = lesson.seen_by(gate)[lesson.channel]
    after = before * factor
    scale = shared_scale((before, after))
    pair(lesson, (f"Channel {lesson.channel} of F{primes}", before), (told, after), scale)
    low, high = words.number(scale.low), words.number(scale.high)
    st.caption(f"Colours: {low} to {high}, the same for both.")


def picture(lesson: Lesson, title: str, values: Map, *, scale: Scale | None = None) -> None:
    """A map of the layer on the photo's frame, with its range stated below."""
    cells, geometry = lesson.layer.cells, lesson.geometry
    text = f"{title}: {words.range_on_photo(values, cells, geometry)}"
    st.image(
        pictures.field_picture(
            values,
            cells,
            geometry,
            scale=scale or map_scale(values),
            colormap=session.settings().colormap,
        ),
        caption=text,
        width="stretch",
        alt=text,
    )
