"""The channel gate: from features to one weight a channel (CBAM, section 3.1)."""

from __future__ import annotations

import streamlit as st

from cbam_viz.charts import branch_chart, sigmoid_chart
from cbam_viz.ui.pages.walk.steps import Lesson, pair_before_and_after, step
from cbam_viz.ui.parts import channel_panel
from cbam_viz.ui.words import number

SHOWN = 12
"""Channels in the chart of both branches."""


def draw(lesson: Lesson) -> None:
    """All steps of this gate."""
    f = f"F{lesson.primes('channel')}"
    _pooling(lesson, f)
    _mlp(lesson, f)
    _weights(lesson, f)
    _refined(lesson, f)


def _pooling(lesson: Lesson, f: str) -> None:
    chosen = lesson.seen_by("channel")[lesson.channel]
    equation = (
        rf"{f}^c_{{avg}} = \mathrm{{AvgPool}}({f}), \quad {f}^c_{{max}} = \mathrm{{MaxPool}}({f})"
    )
    with step(lesson, "Each channel becomes two numbers", equation) as (left, right):
        left.markdown(
            "The mean over all cells says how present a pattern is in the whole photo, the "
            "maximum how strongly it occurs anywhere."
        )
        if lesson.geometry.border_share:
            left.caption("For the network all cells count here, those in the border too.")
        with right:
            one, other = st.columns(2, wrap=False)
            one.metric(f"Mean of channel {lesson.channel}", number(float(chosen.mean())))
            other.metric(f"Maximum of channel {lesson.channel}", number(float(chosen.max())))


def _mlp(lesson: Lesson, f: str) -> None:
    branches = lesson.layer.branches
    equation = rf"W_1\big(W_0({f}^c_{{avg}})\big), \quad W_1\big(W_0({f}^c_{{max}})\big)"
    with step(lesson, "One small network looks at both", equation) as (left, right):
        left.markdown(
            "The same two layers of weights, with a ReLU between, turn both vectors into one "
            "logit a channel. The two are added."
        )
        if branches is None:
            left.info("This layer is built differently, so these two cannot be told apart.")
            return
        average, maximum = branches.average[0].numpy(), branches.maximum[0].numpy()
        first, second = float(average[lesson.channel]), float(maximum[lesson.channel])
        left.markdown(
            f"Channel {lesson.channel}: {number(first)} + {number(second)} = "
            f"**{number(first + second)}**"
        )
        order = (-(average + maximum)).argsort(kind="stable")[:SHOWN].tolist()
        shown = order if lesson.channel in order else [*order[:-1], lesson.channel]
        with right:
            spec = branch_chart(average, maximum, channels=shown)
            st.vega_lite_chart(spec=spec, width="stretch", key="step_mlp")


def _weights(lesson: Lesson, f: str) -> None:
    weight = float(lesson.weights[lesson.channel])
    branches = lesson.layer.branches
    equation = (
        rf"\begin{{aligned}} M_c({f}) = \sigma\big(&\mathrm{{MLP}}(\mathrm{{AvgPool}}({f})) \\"
        rf" {{}} + {{}} &\mathrm{{MLP}}(\mathrm{{MaxPool}}({f}))\big) \end{{aligned}}"
    )
    with step(lesson, "A sigmoid makes weights of it", equation) as (left, right):
        left.markdown(
            "A weight near 1 lets a channel pass, one near 0 holds it back. "
            f"Channel {lesson.channel} gets **{number(weight)}**."
        )
        with right:
            if branches is None:
                st.metric(f"Weight of channel {lesson.channel}", number(weight))
                return
            logits = (branches.average + branches.maximum)[0].numpy()
            curve = sigmoid_chart(logits, lesson.weights, selected=lesson.channel)
            st.vega_lite_chart(spec=curve, width="stretch", key="step_sigmoid")


def _refined(lesson: Lesson, f: str) -> None:
    weight = lesson.weights[lesson.channel]
    equation = rf"M_c({f}) \otimes {f}"
    if lesson.layer.composition != "parallel":
        equation = rf"{f}' = {equation}"
    with step(lesson, "Each channel is multiplied by its weight", equation) as (left, right):
        with left:
            channel_panel.draw_bars(lesson.weights, lesson.channel)
        with right:
            pair_before_and_after(lesson, "channel", weight, f"The same × {number(float(weight))}")
