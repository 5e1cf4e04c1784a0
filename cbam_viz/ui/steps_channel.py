"""Steps 1 to 5: from the features to the channel weights (CBAM, section 3.1)."""

from __future__ import annotations

import streamlit as st

from cbam_viz.charts import branch_chart, channel_chart, sigmoid_chart
from cbam_viz.ui import pictures
from cbam_viz.ui.steps import Lesson, bar, common_scale, picture, step
from cbam_viz.ui.words import number

SIGMOID = (
    r"\begin{aligned} M_c(F) = \sigma\big(&\mathrm{MLP}(\mathrm{AvgPool}(F)) \\"
    r" {} + {} &\mathrm{MLP}(\mathrm{MaxPool}(F))\big) \end{aligned}"
)


def draw(lesson: Lesson) -> None:
    """The steps that this layer has; a layer without channel weights has only its features."""
    _features(lesson)
    if lesson.layer.channel is None:
        st.info("This layer has no channel weights, so the walk goes on with the spatial map.")
        return
    _pooling(lesson)
    _mlp(lesson)
    _weights(lesson)
    _refined(lesson)


def _features(lesson: Lesson) -> None:
    before = lesson.features.before[0]
    channels, rows, columns = before.shape
    with step(1, "What the layer receives") as (left, right):
        with left:
            st.latex(rf"F \in \mathbb{{R}}^{{{channels} \times {rows} \times {columns}}}")
            st.markdown(
                f"{channels} feature maps of {rows} × {columns} cells. Each map answers to one "
                f"kind of pattern. Beside the photo is channel {lesson.channel}."
            )
        with right:
            one, other = st.columns(2, wrap=False)
            one.image(
                pictures.preview(lesson.scene.photo, pictures.CARD_SIDE),
                caption="The photo",
                width="stretch",
                alt=lesson.scene.photo.name,
            )
            with other:
                picture(lesson, f"Channel {lesson.channel}", before[lesson.channel].numpy())


def _pooling(lesson: Lesson) -> None:
    chosen = lesson.features.before[0, lesson.channel]
    with step(2, "Each channel becomes two numbers") as (left, right):
        with left:
            st.latex(r"F^c_{avg} = \mathrm{AvgPool}(F), \quad F^c_{max} = \mathrm{MaxPool}(F)")
            st.markdown(
                "The mean over all cells says how present a pattern is in the whole photo, the "
                "maximum how strongly it occurs anywhere."
            )
        with right:
            one, other = st.columns(2, wrap=False)
            one.metric(f"Mean of channel {lesson.channel}", number(float(chosen.mean())))
            other.metric(f"Maximum of channel {lesson.channel}", number(float(chosen.max())))


def _mlp(lesson: Lesson) -> None:
    branches = lesson.layer.branches
    with step(3, "One small network looks at both") as (left, right):
        with left:
            st.latex(r"W_1\big(W_0(F^c_{avg})\big), \quad W_1\big(W_0(F^c_{max})\big)")
            st.markdown(
                "The same two layers of weights, with a ReLU between, turn both vectors into one "
                "logit a channel. The two are added."
            )
            if branches is None:
                st.info("This layer is built differently, so these two cannot be told apart.")
        if branches is None:
            return
        average, maximum = branches.average[0].numpy(), branches.maximum[0].numpy()
        first, second = float(average[lesson.channel]), float(maximum[lesson.channel])
        with left:
            st.markdown(
                f"Channel {lesson.channel}: {number(first)} + {number(second)} = "
                f"**{number(first + second)}**"
            )
        with right:
            order = (-(average + maximum)).argsort(kind="stable")[:12].tolist()
            shown = order if lesson.channel in order else [*order[:-1], lesson.channel]
            spec = branch_chart(average, maximum, channels=shown)
            st.vega_lite_chart(spec=spec, width="stretch", key="step_mlp")


def _weights(lesson: Lesson) -> None:
    weight = float(lesson.weights[lesson.channel])
    branches = lesson.layer.branches
    with step(4, "A sigmoid makes weights of it") as (left, right):
        with left:
            st.latex(SIGMOID)
            st.markdown(
                "A weight near 1 lets a channel pass, one near 0 holds it back. "
                f"Channel {lesson.channel} gets **{number(weight)}**."
            )
        with right:
            if branches is None:
                st.metric(f"Weight of channel {lesson.channel}", number(weight))
            else:
                logits = (branches.average + branches.maximum)[0].numpy()
                curve = sigmoid_chart(logits, lesson.weights)
                st.vega_lite_chart(spec=curve, width="stretch", key="step_sigmoid")


def _refined(lesson: Lesson) -> None:
    weight = lesson.weights[lesson.channel]
    before = lesson.features.before[0, lesson.channel].numpy()
    after = before * weight
    scale = common_scale(before, after)
    with step(5, "Each channel is multiplied by its weight") as (left, right):
        with left:
            st.latex(r"F' = M_c(F) \otimes F")
            spec = channel_chart(lesson.weights, top_k=10, selected=lesson.channel)
            st.vega_lite_chart(spec=spec, width="stretch", key="step_weights")
        with right:
            one, other = st.columns(2, wrap=False)
            with one:
                picture(lesson, f"Channel {lesson.channel} of F", before, scale=scale)
            with other:
                picture(lesson, f"The same × {number(float(weight))}", after, scale=scale)
            bar(scale, ", the same for both")
