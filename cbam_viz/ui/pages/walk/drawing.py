"""One step of the walk on the page: what happens on the left, pictures and charts on the right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from cbam_viz.charts import branch_chart, sigmoid_chart, vector_chart
from cbam_viz.images import Geometry
from cbam_viz.render import Scale
from cbam_viz.steps import Picture, Step, Walk
from cbam_viz.ui import words
from cbam_viz.ui.pages.walk import pictures
from cbam_viz.ui.pages.walk.following import follow_cell
from cbam_viz.ui.parts import channel_panel, components
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
    style: str
    """How the cells of maps are drawn, as in `session.link.CELLS`."""

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
        _beside_the_photo(lesson, number, step)
        return
    if step.key == "pool places":
        _metrics(lesson, step)
    vectors = [one for one in step.pictures if one.kind in ("channels", "units")]
    if vectors:
        _vectors(lesson, number, step, vectors)
    _maps(lesson, number, [one for one in step.pictures if one.kind in ("map", "filter")])
    if step.key == "product" and step.gate == "channel":
        channel_panel.draw_bars(lesson.scene, lesson.walk.layer, lesson.walk.channel)


def _beside_the_photo(lesson: Lesson, number: int, step: Step) -> None:
    """The photo with the followed cell, and the followed channel of the features."""
    photo, features = lesson.scene.photo, step.pictures[0]
    one, other = st.columns(2, wrap=False)
    with one:
        frame = _frame(lesson, features)
        picture = pictures.photo_picture(photo, frame)
        caption = "The photo, and what the cell stands for"
        _to_choose(lesson, f"photo_{number}", frame.to_choose(picture, caption, photo.name))
    with other:
        _map(lesson, features, f"map_{number}")


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


def _maps(lesson: Lesson, number: int, shown: list[Picture]) -> None:
    """Two beside each other: a third would leave a phone by its edge."""
    for start in range(0, len(shown), 2):
        pair = shown[start : start + 2]
        for at, (column, one) in enumerate(zip(st.columns(2, wrap=False), pair, strict=False)):
            with column:
                _map(lesson, one, f"map_{number}_{start + at}")


def _map(lesson: Lesson, picture: Picture, key: str) -> None:
    """A map on the photo's frame, or a filter, with its range and a colour bar below it."""
    scale = Scale("per map", picture.low, picture.high)
    colormap = "diverging" if picture.diverging else lesson.scene.settings.colormap
    if picture.kind == "map":
        frame, values = _frame(lesson, picture), picture.values
        reach = words.range_on_photo(values, frame.cells, frame.geometry)
        text = f"{picture.title}: {reach}"
        drawn = pictures.map_picture(values, frame, scale, colormap, lesson.style)
        _to_choose(lesson, key, frame.to_choose(drawn, text, text, values))
    else:
        ends = float(picture.values.min()), float(picture.values.max())
        text = f"{picture.title}: {words.number(ends[0])} to {words.number(ends[1])}"
        drawn = pictures.filter_picture(picture.values, scale, colormap)
        st.image(drawn, caption=text, width="stretch", alt=text)
    st.html(pictures.bar_html(scale, colormap))


def _frame(lesson: Lesson, picture: Picture) -> pictures.Frame:
    rows, columns = picture.values.shape
    marked = picture.marked if isinstance(picture.marked, tuple) else None
    return pictures.Frame((rows, columns), lesson.walk.layer.cells, lesson.geometry, marked)


def _to_choose(lesson: Lesson, key: str, data: dict[str, Any]) -> None:
    """A picture whose cells can be clicked: what is chosen is followed from then on."""
    # Each layer has its own: a click on one layer's picture says nothing of another's.
    key = f"{key}_{lesson.walk.layer.name}"
    components.cell_map(data, key=key, on_cell_change=partial(_take, key))


def _take(key: str) -> None:
    picked = st.session_state[key].get("cell")
    if isinstance(picked, list) and len(picked) == 2 and all(type(one) is int for one in picked):
        follow_cell(picked[0], picked[1])
