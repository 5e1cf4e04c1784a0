"""Captions say what was drawn, and nothing that was not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from cbam_viz.analysis import Analysis
from cbam_viz.figures import FigureSpec, Row, Study, build, columns_from_text
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.draw.legend import ticks_of
from cbam_viz.render import Scale

from ..conftest import make_analysis


def with_gates(analysis: Analysis, **gates: torch.Tensor) -> Analysis:
    """The analysis with every layer's gates filled from these values, repeated."""
    layers = {
        name: replace(
            layer,
            **{
                gate: values.repeat(-(-old.numel() // values.numel()))[: old.numel()].view_as(old)
                for gate, values in gates.items()
                if (old := getattr(layer, gate)) is not None
            },
        )
        for name, layer in analysis.attention.items()
    }
    return replace(analysis, attention=replace(analysis.attention, layers=layers))


@pytest.mark.parametrize("layout", ["grid", "depth"])
def test_a_shared_scale_of_one_value_is_no_range(layout: str) -> None:
    constant = with_gates(make_analysis(), spatial=torch.tensor([2.0]))
    built = build(FigureSpec(layout=layout, scale="shared"), constant)  # type: ignore[arg-type]
    words = caption(built)
    assert "share one scale; every value is 2, in its middle colour." in words
    assert "from 2 to 2" not in words
    assert [text.get_text() for text in built.figure.texts].count("2") == 1


def test_ticks_of_a_scale_without_length() -> None:
    assert ticks_of(Scale("shared", 0.25, 0.25)) == (("0.25", 0.5),)
    assert ticks_of(Scale("absolute", 0.0, 1.0)) == (("0", 0.0), ("0.5", 0.5), ("1", 1.0))


@pytest.mark.parametrize("layout", ["grid", "channels"])
@pytest.mark.parametrize("photos", [1, 3])
def test_joined_bars_are_said_and_hold_all_weights(layout: str, photos: int) -> None:
    """512 channels on a column: every step spans its channels' lowest to highest weight."""
    weights = torch.rand(512, generator=torch.Generator().manual_seed(3))
    rows = []
    for seed in range(photos):
        one = make_analysis(seed=seed, blocks=(1,))
        layer = one.attention["layer1.0.se"]
        wide = replace(layer, channel=weights.roll(seed)[None])
        rows.append(replace(one, attention=replace(one.attention, layers={wide.name: wide})))
    columns = columns_from_text("input,channels:0")
    spec = FigureSpec(layout=layout, columns=columns, width="column")  # type: ignore[arg-type]
    built = build(spec, rows)
    joined = built.figure.channels_in_a_step
    assert joined > 1
    assert f"up to {joined} neighbours share a step" in caption(built)
    name = "panel 1" if layout == "channels" else "row 1 column 2"
    band = "band" if layout == "channels" and photos > 1 else "range"
    (steps,) = (a for a in built.figure.findobj() if a.get_gid() == f"{name} {band}")
    values, edges, low = steps.get_data()
    shown = rows if layout == "channels" else rows[:1]
    all_weights = torch.stack([row.attention["layer1.0.se"].channel[0] for row in shown]).numpy()
    for step, (start, stop) in enumerate(itertools.pairwise(edges)):
        part = all_weights[:, int(start) : int(stop)]
        assert (low[step], values[step]) == (part.min(), part.max())
    box = steps.axes.get_position()
    points = box.width * built.figure.get_figwidth() * 72 / len(values)
    assert points >= 1


def test_wide_bars_are_not_joined(one: Analysis) -> None:
    built = build(FigureSpec(layout="channels"), one)
    assert built.figure.channels_in_a_step == 1
    assert "neighbours" not in caption(built)


@pytest.mark.parametrize("layout", ["grid", "channels"])
@pytest.mark.parametrize("photos", [1, 3])
@pytest.mark.parametrize("order", ["index", "weight"])
@pytest.mark.parametrize("which", [slice(0, 1), slice(None)])
def test_weights_that_are_no_numbers_are_left_out_and_said(
    layout: str, photos: int, order: str, which: slice
) -> None:
    gates = torch.linspace(0.1, 0.9, 8)
    gates[which] = float("nan")
    rows = [with_gates(make_analysis(seed=seed, blocks=(1,)), channel=gates)
            for seed in range(photos)]  # fmt: skip
    columns = columns_from_text("input,channels:0")
    spec = FigureSpec(layout=layout, columns=columns, order=order)  # type: ignore[arg-type]
    built = build(spec, rows)
    share = 12 if which == slice(0, 1) else 100
    assert f"{share} % of the weights are no numbers and left out." in caption(built)
    for file_format in ("pdf", "svg", "png"):
        assert built.render(file_format)  # type: ignore[arg-type]


def test_classes_and_a_channel_with_values_that_are_no_numbers() -> None:
    gates = torch.tensor([float("nan"), 0.2, 0.7, 0.4])
    analysis = with_gates(make_analysis(features=True), channel=gates)
    by_class = build(FigureSpec(layout="channels", by="class"), analysis)
    assert "25 % of the values are no numbers, in magenta." in caption(by_class)
    for layer in analysis.attention.values():
        layer.features.before[:, 2, 0, 0] = float("nan")
    channel = build(FigureSpec(layout="channel", layer="0"), analysis)
    assert channel.content.channel == 2  # the highest that is a number
    assert "no numbers, in magenta" in caption(channel)


def test_what_is_not_drawn_is_not_said(three: Study) -> None:
    settings = {
        "contours": (0.5,), "mark_seen": True, "rows": (Row(), Row(), Row(), Row(zoom=(1, 1, 9, 9)))
    }  # fmt: skip
    for columns, said in (
        ("input", {"dashed"}),
        ("map:0", {"Contours"}),
        ("channels:0,prediction", set()),
    ):
        spec = FigureSpec(columns=columns_from_text(columns), **settings)  # type: ignore[arg-type]
        words = caption(build(spec, three))
        for mark in ("dashed", "Contours", "Insets"):
            assert (mark in words) == (mark in said), (columns, mark)
    assert "Photos are cut" not in words
    cropped = FigureSpec(rows=(Row(crop=(0, 0, 40, 40)),))
    assert "Some photos are cropped." in caption(build(cropped, three))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cells": "cells"}, "Each cell of a map is shown as it is, in one colour."),
        ({"cells": "grid"}, "shown as it is, in one colour, with lines between them."),
        ({"scale_bar": "photo"}, "Scale bars are in pixels of the photo."),
        ({"scale_bar": "input", "layout": "depth"}, "in pixels of the network's input."),
        ({"layout": "channel", "contours": (0.5,)}, "Contours: 0.5."),
        (
            {"layout": "channels", "by": "class", "order": "weight"},
            "from the channel of the highest mean weight to that of the lowest",
        ),
        (
            {"columns": columns_from_text("channels:0"), "order": "weight"},
            "Bars are channel weights, from the highest to the lowest, on an axis from 0 to 1.",
        ),
    ],
)
def test_more_settings_are_said(settings: dict[str, object], words: str) -> None:
    spec = FigureSpec(**settings)  # type: ignore[arg-type]
    assert words in caption(build(spec, make_analysis(features=True)))
    plain = FigureSpec(**{**settings, "cells": "smooth", "scale_bar": "none", "contours": (),
                          "order": "index"})  # type: ignore[arg-type]  # fmt: skip
    assert words not in caption(build(plain, make_analysis(features=True)))
