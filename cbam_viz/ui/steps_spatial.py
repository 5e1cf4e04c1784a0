"""Steps 6 to 8: from the refined features to the spatial map (CBAM, section 3.2)."""

from __future__ import annotations

import streamlit as st
from torch import nn

from cbam_viz.render import absolute_scale
from cbam_viz.ui import pictures
from cbam_viz.ui.steps import Lesson, bar, common_scale, picture, step
from cbam_viz.ui.words import number


def draw(lesson: Lesson) -> None:
    """The steps that this layer has."""
    if lesson.layer.spatial is None:
        st.info("This layer has no spatial map: its walk ends here.")
        return
    _pooling(lesson)
    _map(lesson)
    _result(lesson)


def _pooling(lesson: Lesson) -> None:
    descriptors = lesson.layer.descriptors
    with step(6, "Each place becomes two numbers") as (left, right):
        with left:
            st.latex(r"F'^s_{avg} = \mathrm{AvgPool}(F'), \quad F'^s_{max} = \mathrm{MaxPool}(F')")
            st.markdown(
                "Now the mean and the maximum go over the channels, so that two maps are left: how "
                "much is there, and how strong the strongest pattern is."
            )
            if descriptors is None:
                st.info("This layer is built differently, so these maps cannot be shown.")
            else:
                row, column = strongest_place(lesson)
                mean = number(float(descriptors.mean[0, row, column]))
                maximum = number(float(descriptors.maximum[0, row, column]))
                st.markdown(
                    f"In row {row}, column {column}, the place with the highest weight below: mean "
                    f"**{mean}**, maximum **{maximum}**."
                )
        if descriptors is None:
            return
        with right:
            one, other = st.columns(2, wrap=False)
            with one:
                picture(lesson, "Mean over channels", descriptors.mean[0].numpy())
            with other:
                picture(lesson, "Maximum over channels", descriptors.maximum[0].numpy())
            st.caption("Colours: each map from its lowest to its highest value.")


def _map(lesson: Lesson) -> None:
    values = pictures.spatial_map(lesson.layer)
    side = kernel_size(lesson)
    size = rf"{side} \times {side}" if side else r"7 \times 7"
    with step(7, "A convolution looks around each place") as (left, right):
        with left:
            st.latex(rf"M_s(F') = \sigma\big(f^{{{size}}}([F'^s_{{avg}};\, F'^s_{{max}}])\big)")
            st.markdown(
                "One filter slides over both maps and weighs each place with its neighbourhood; "
                "the sigmoid makes a weight between 0 and 1 of the result."
            )
            row, column = strongest_place(lesson)
            low, mean, high = (
                number(float(v)) for v in (values.min(), values.mean(), values.max())
            )
            st.markdown(
                f"Row {row}, column {column} gets **{high}**; the lowest weight is {low}, their "
                f"mean {mean}."
            )
        with right:
            one, other = st.columns(2, wrap=False)
            with one:
                picture(lesson, "Spatial map, absolute", values, scale=absolute_scale())
            with other:
                picture(lesson, "The same, stretched", values)
            st.caption(
                "Colours: left 0 to 1, so that layers compare; right from the lowest to the "
                "highest value, so that differences show."
            )


def _result(lesson: Lesson) -> None:
    features = lesson.features
    first = features.between if features.between is not None else features.before
    before = first[0, lesson.channel].numpy()
    after = features.after[0, lesson.channel].numpy()
    scale = common_scale(before, after)
    with step(8, "Both gates act on the features") as (left, right):
        with left:
            st.latex(r"F'' = M_s(F') \otimes F'")
            st.markdown(
                "What comes out goes on through the network; in a residual block, the block's "
                "input is added to it."
            )
        with right:
            one, other = st.columns(2, wrap=False)
            with one:
                picture(lesson, f"Channel {lesson.channel} of F′", before, scale=scale)
            with other:
                picture(lesson, f"Channel {lesson.channel} of F″", after, scale=scale)
            bar(scale, ", the same for both")


def strongest_place(lesson: Lesson) -> tuple[int, int]:
    """Row and column of the cell with the highest weight."""
    values = pictures.spatial_map(lesson.layer)
    row, column = divmod(int(values.argmax()), values.shape[1])
    return row, column


def kernel_size(lesson: Lesson) -> int | None:
    """Side of the spatial convolution's filter; None if the layer has none from 2 to 1 channels."""
    module = lesson.scene.loaded.model.get_submodule(lesson.layer.module)
    for part in module.modules():
        if isinstance(part, nn.Conv2d) and (part.in_channels, part.out_channels) == (2, 1):
            return int(part.kernel_size[0])
    return None
