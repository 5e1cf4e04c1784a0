"""What the steps of the walk have in common: the numbers they follow, and how a step looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import streamlit as st

from cbam_viz.attention import LayerAttention, LayerFeatures
from cbam_viz.render import Scale, map_scale
from cbam_viz.ui import pictures, session, words
from cbam_viz.ui.scene import Scene

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


@dataclass(frozen=True)
class Lesson:
    """One layer on one photo, and the channel whose numbers are followed."""

    scene: Scene
    layer: LayerAttention
    features: LayerFeatures
    channel: int

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """Channel weights (C,)."""
        assert self.layer.channel is not None
        values: npt.NDArray[np.float32] = self.layer.channel[0].numpy()
        return values


@contextmanager
def step(number: int, title: str) -> Iterator[tuple[DeltaGenerator, DeltaGenerator]]:
    """A numbered step: what happens on the left, the network's own numbers on the right."""
    st.markdown(f"#### {number}. {title}")
    left, right = st.columns([5, 6], gap="large")
    yield left, right


def picture(
    lesson: Lesson,
    title: str,
    values: npt.NDArray[np.float32],
    *,
    scale: Scale | None = None,
) -> None:
    """A map of the layer on the photo's frame, with its range stated below."""
    own = scale or map_scale(values)
    low, high = float(values.min()), float(values.max())
    text = f"{title}: {words.number(low)} to {words.number(high)}"
    st.image(
        pictures.field_picture(
            values,
            lesson.layer.cells,
            lesson.scene.analysis.geometry,
            scale=own,
            colormap=session.settings().colormap,
        ),
        caption=text,
        width="stretch",
        alt=text,
    )


def bar(scale: Scale, note: str = "") -> None:
    """What the colours of the pictures above stand for."""
    st.caption(f"Colours: {words.range_of(scale)}{note}.")


def common_scale(*maps: npt.NDArray[np.float32]) -> Scale:
    """One scale for several maps, so that they can be compared."""
    return Scale("shared", float(min(m.min() for m in maps)), float(max(m.max() for m in maps)))
