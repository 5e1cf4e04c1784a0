"""The spatial gate: from features to one weight a place (CBAM, section 3.2)."""

from __future__ import annotations

import streamlit as st
from torch import nn

from cbam_viz.images import layer_shares, numbers_on_photo
from cbam_viz.render import absolute_scale
from cbam_viz.ui.pages.walk.steps import Lesson, pair, pair_before_and_after, picture, step
from cbam_viz.ui.parts import pictures
from cbam_viz.ui.words import highest_cell, number


def draw(lesson: Lesson) -> None:
    """All steps of this gate."""
    f = f"F{lesson.primes('spatial')}"
    _pooling(lesson, f)
    _map(lesson, f)
    _refined(lesson, f)


def _pooling(lesson: Lesson, f: str) -> None:
    descriptors = lesson.layer.descriptors
    equation = (
        rf"{f}^s_{{avg}} = \mathrm{{AvgPool}}({f}), \quad {f}^s_{{max}} = \mathrm{{MaxPool}}({f})"
    )
    with step(lesson, "Each place becomes two numbers", equation) as (left, right):
        left.markdown(
            "Now the mean and the maximum go over the channels, so that two maps are left: how "
            "much is there, and how strong the strongest pattern is."
        )
        if descriptors is None:
            left.info("This layer is built differently, so these maps cannot be shown.")
            return
        mean, maximum = descriptors.mean[0].numpy(), descriptors.maximum[0].numpy()
        row, column = strongest_place(lesson)
        left.markdown(
            f"In row {row}, column {column}, the place with the highest weight below: mean "
            f"**{number(float(mean[row, column]))}**, maximum "
            f"**{number(float(maximum[row, column]))}**."
        )
        with right:
            pair(lesson, ("Mean over channels", mean), ("Maximum over channels", maximum))
            st.caption("Colours: each map from its lowest to its highest value.")


def _map(lesson: Lesson, f: str) -> None:
    values = pictures.spatial_map(lesson.layer)
    side = kernel_size(lesson) or 7
    equation = (
        rf"M_s({f}) = \sigma\big(f^{{{side} \times {side}}}"
        rf"([{f}^s_{{avg}};\, {f}^s_{{max}}])\big)"
    )
    with step(lesson, "A convolution looks around each place", equation) as (left, right):
        left.markdown(
            "One filter slides over both maps and weighs each place with its neighbourhood; "
            "the sigmoid makes a weight between 0 and 1 of the result."
        )
        row, column = strongest_place(lesson)
        numbers = numbers_on_photo(values, layer_shares(lesson.layer, lesson.geometry))
        low, mean, high = (number(value) for value in numbers)
        left.markdown(
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


def _refined(lesson: Lesson, f: str) -> None:
    equation = rf"M_s({f}) \otimes {f}"
    if lesson.layer.composition != "parallel":
        equation = rf"{f}' = {equation}"
    with step(lesson, "Each place is multiplied by its weight", equation) as (left, right):
        left.markdown("All channels of a cell are multiplied by the weight of that cell.")
        with right:
            values = pictures.spatial_map(lesson.layer)
            pair_before_and_after(lesson, "spatial", values, "The same × spatial map")


def strongest_place(lesson: Lesson) -> tuple[int, int]:
    """Row and column of the cell with the highest weight on the photo."""
    shares = layer_shares(lesson.layer, lesson.geometry)
    return highest_cell(pictures.spatial_map(lesson.layer), shares)


def kernel_size(lesson: Lesson) -> int | None:
    """Side of the spatial convolution's filter; None if the layer has none from 2 to 1 channels."""
    module = lesson.scene.loaded.model.get_submodule(lesson.layer.module)
    for part in module.modules():
        if isinstance(part, nn.Conv2d) and (part.in_channels, part.out_channels) == (2, 1):
            return int(part.kernel_size[0])
    return None
