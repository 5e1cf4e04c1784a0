"""Gates below 0 or above 1: axes and captions say what is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cbam_viz.analysis import Analysis
from cbam_viz.figures import FigureSpec, build, columns_from_text
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.content.values import axis_of

from .conftest import make_analysis


def beyond(low: float, high: float) -> Analysis:
    """Every layer's gates stretched to go from `low` to `high`."""
    analysis = make_analysis()
    layers = {
        name: replace(
            layer,
            **{
                gate: torch.linspace(low, high, value.numel()).reshape(value.shape)
                for gate in ("channel", "spatial")
                if (value := getattr(layer, gate)) is not None
            },
        )
        for name, layer in analysis.attention.items()
    }
    return replace(analysis, attention=replace(analysis.attention, layers=layers))


def labels(built) -> set[str]:  # type: ignore[no-untyped-def]
    return {text.get_text() for text in built.figure.texts}


@pytest.mark.parametrize(
    ("weights", "axis"),
    [
        ([0.0, 1.0], (0.0, 1.0)),
        ([0.2, 1.3], (0.0, 2.0)),
        ([-0.4, 0.5], (-1.0, 1.0)),
        ([-2.0, 2.0], (-2.0, 2.0)),
        ([float("nan"), 0.5, float("inf")], (0.0, 1.0)),
        ([float("nan")], (0.0, 1.0)),
    ],
)
def test_axes_reach_the_whole_numbers_around(
    weights: list[float], axis: tuple[float, float]
) -> None:
    assert axis_of([np.array(weights, np.float32)]) == axis


@pytest.mark.parametrize("layout", ["grid", "channels"])
def test_the_axis_is_labelled_with_its_ends(layout: str) -> None:
    columns = columns_from_text("input,channels:-1")
    spec = FigureSpec(layout=layout, columns=columns)  # type: ignore[arg-type]
    built = build(spec, beyond(-0.4, 1.3))
    assert {"\u22121", "2"} <= labels(built)
    assert "from -1 to 2, as these gates go beyond 0 to 1" in caption(built)
    usual = build(spec, make_analysis())
    assert {"0", "1"} <= labels(usual)
    assert "go beyond" not in caption(usual)
    assert "from 0 to 1" in caption(usual)


@pytest.mark.parametrize("layout", ["grid", "depth"])
def test_values_beyond_the_colours_are_said(layout: str) -> None:
    spec = FigureSpec(layout=layout)  # type: ignore[arg-type]
    words = caption(build(spec, beyond(-0.5, 1.5)))
    assert "from 0 to 1" in words
    assert "Values go from -0.5 to 1.5; 50 % of them lie beyond the scale and have the" in words
    assert "beyond the scale" not in caption(build(spec, make_analysis()))
    shared = caption(build(spec.with_(scale="shared"), beyond(-0.5, 1.5)))
    assert "beyond the scale" not in shared


@pytest.mark.parametrize("scale", ["absolute", "shared", "per map"])
def test_maps_with_values_that_are_no_numbers_say_so(scale: str) -> None:
    analysis = make_analysis()
    assert "no numbers" not in caption(build(FigureSpec(layout="depth"), analysis))
    for layer in analysis.attention.values():
        assert layer.spatial is not None
        layer.spatial[...] = float("nan")
    words = caption(build(FigureSpec(layout="depth", scale=scale), analysis))  # type: ignore[arg-type]
    assert "100 % of the values are no numbers, in magenta." in words


def test_infinite_values_lie_beyond_the_colours() -> None:
    analysis = make_analysis()
    for layer in analysis.attention.values():
        assert layer.spatial is not None
        layer.spatial[...] = float("inf")
    words = caption(build(FigureSpec(layout="depth"), analysis))
    assert "Values go from inf to inf; 100 % of them lie beyond the scale" in words


def test_weights_that_are_no_numbers_are_left_out_of_the_bars() -> None:
    analysis = beyond(0.0, 1.0)
    for layer in analysis.attention.values():
        if layer.channel is not None:
            layer.channel[0, 0] = float("nan")
    for layout in ("grid", "channels"):
        columns = columns_from_text("input,channels:-1")
        built = build(FigureSpec(layout=layout, columns=columns), analysis)  # type: ignore[arg-type]
        assert built.render("pdf")
