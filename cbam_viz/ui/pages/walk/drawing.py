"""One step of the walk on the page: what happens on the left, pictures and charts on the right."""

from __future__ import annotations

import re
from dataclasses import dataclass

import streamlit as st

from cbam_viz.charts import branch_chart, sigmoid_chart, vector_chart
from cbam_viz.images import Geometry
from cbam_viz.render import Scale
from cbam_viz.steps import Picture, Step, Walk
from cbam_viz.ui import words
from cbam_viz.ui.pages.walk import pictures
from cbam_viz.ui.parts import channel_panel
from cbam_viz.ui.parts.layout import two_columns
from cbam_viz.ui.scene import Scene

SHOWN = 12
"""Channels in the chart of both branches."""

RESULT = re.compile(r"((?:=|gets) )(−?\d+(?:\.\d+)?(?: × 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?)")


@dataclass(frozen=True)
class Lesson:
    """One layer's walk on the page."""

    scene: Scene
    walk: Walk

    @property
    def geometry(self) -> Geometry:
        """Where the network's input lies on the photo."""
        return self.scene.analysis.geometry

    def before(self, step: Step) -> Step | None:
        """The step in front of this one."""
        place = self.walk.steps.index(step)
        return self.walk.steps[place - 1] if place else None


def draw(lesson: Lesson, number: int, step: Step) -> None:
    """A numbered step."""
    st.subheader(f"{number}. {words.plain(step.title)}", anchor=False)
    left, right = two_columns(f"step_{number}", (5, 6))
    with left:
        if step.equation:
            st.latex(step.equation)
        if step.words:
            st.markdown(words.plain(step.words))
        if step.sizes:
            st.caption(f"Size: {step.sizes}")
        for line in step.arithmetic:
            st.markdown(RESULT.sub(r"\1**\2**", words.plain(line)))
        if step.note:
            st.caption(words.plain(step.note))
        if step.reason:
            st.info(words.plain(step.reason))
    with right:
        _show(lesson, number, step)


def _show(lesson: Lesson, number: int, step: Step) -> None:
    if step.key == "features":
        _beside_the_photo(lesson, step)
        return
    if step.key == "pool places":
        _metrics(lesson, step)
    vectors = [one for one in step.pictures if one.kind in ("channels", "units")]
    if vectors:
        _vectors(lesson, number, step, vectors)
    _maps(lesson, [one for one in step.pictures if one.kind in ("map", "filter")])
    if step.key == "product" and step.gate == "channel":
        channel_panel.draw_bars(lesson.scene, lesson.walk.layer, lesson.walk.channel)


def _beside_the_photo(lesson: Lesson, step: Step) -> None:
    """The photo with the followed cell, and the followed channel of the features."""
    one, other = st.columns(2, wrap=False)
    walk = lesson.walk
    rows, columns = step.pictures[0].values.shape
    with one:
        st.image(
            pictures.photo_with_cell(
                lesson.scene.photo, lesson.geometry, walk.layer.cells, (rows, columns), walk.cell
            ),
            caption="The photo, and what the cell stands for",
            width="stretch",
            alt=lesson.scene.photo.name,
        )
    with other:
        _map(lesson, step.pictures[0])


def _metrics(lesson: Lesson, step: Step) -> None:
    """Both pooled numbers of the followed channel, large."""
    for column, picture in zip(st.columns(2, wrap=False), step.pictures, strict=False):
        value = float(picture.values[lesson.walk.channel])
        name = picture.title.split()[0]
        column.metric(f"{name} of channel {lesson.walk.channel}", words.number(value))


def _vectors(lesson: Lesson, number: int, step: Step, vectors: list[Picture]) -> None:
    """Vectors as points; where two become one and where a sigmoid acts, as what happens there."""
    before = lesson.before(step)
    given = [one for one in before.pictures if one.kind == "channels"] if before else []
    channel = lesson.walk.channel
    key = f"step_{number}_{lesson.walk.layer.name}"
    if step.key == "sum" and len(given) == 2 and vectors[0].kind == "channels":
        first, second = given[0].values, given[1].values
        order = (-(first + second)).argsort(kind="stable")[:SHOWN].tolist()
        shown = order if channel in order else [*order[:-1], channel]
        spec = branch_chart(first, second, channels=shown)
    elif step.key == "gate" and len(given) == 1 and step.title.startswith("Sigmoid"):
        spec = sigmoid_chart(given[0].values, vectors[0].values, selected=channel)
    else:
        spec = vector_chart(
            {one.title.rpartition(", ")[2]: one.values for one in vectors[:2]},
            selected=vectors[0].marked if isinstance(vectors[0].marked, int) else None,
            what="channel" if vectors[0].kind == "channels" else "unit",
        )
    st.vega_lite_chart(spec=spec, width="stretch", key=key)


def _maps(lesson: Lesson, shown: list[Picture]) -> None:
    """Two beside each other: a third would leave a phone by its edge."""
    for start in range(0, len(shown), 2):
        for column, one in zip(st.columns(2, wrap=False), shown[start : start + 2], strict=False):
            with column:
                _map(lesson, one)


def _map(lesson: Lesson, picture: Picture) -> None:
    """A map on the photo's frame, or a filter, with its range and a colour bar below it."""
    cells, geometry = lesson.walk.layer.cells, lesson.geometry
    scale = Scale("per map", picture.low, picture.high)
    colormap = "diverging" if picture.diverging else lesson.scene.settings.colormap
    on_photo = picture.kind == "map"
    text = f"{picture.title}: " + (
        words.range_on_photo(picture.values, cells, geometry)
        if on_photo
        else f"{words.number(float(picture.values.min()))} to "
        f"{words.number(float(picture.values.max()))}"
    )
    st.image(
        pictures.map_picture(picture, cells, geometry, scale, colormap),
        caption=text,
        width="stretch",
        alt=text,
    )
    st.html(pictures.bar_html(scale, colormap))
