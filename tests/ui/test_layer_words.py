"""What is said of layers and drawn of their weights, also where all values are alike."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cbam_viz.attention import Cells
from cbam_viz.images import Geometry, read_photo
from cbam_viz.render import absolute_scale, colorize, map_scale
from cbam_viz.statistics import gate_statistics, remarks
from cbam_viz.ui import words
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.glossary import GLOSSARY, hint
from tests.figures.conftest import make_layer

GEOMETRY = Geometry((224, 224), (224, 224), 1.0, 1.0, 0.0, 0.0)


def layer_of(values: torch.Tensor):
    made = make_layer("layer4.1.se", 4, seed=0, input_size=(224, 224))
    return replace(made, spatial=values[None], cells=Cells(32, 32, 16, 16))


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (2, 2, "2.000 everywhere"),
        (-0.25, 1.5, "−0.250 to 1.500"),
        (0.5, 0.5000001, "0.500 everywhere, but for differences of 1.0 × 10⁻⁷"),
    ],
)
def test_a_range_is_one_only_where_there_are_two_ends(low, high, says) -> None:
    assert words.span(low, high) == says
    values = np.array([[low, high]])
    assert words.range_on_photo(values, Cells(224, 112, 112, 56), GEOMETRY) == says


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0.2, 0.4], "mean 0.300, spread 0.100"),
        ([2.0, 2.0], "2.000 everywhere"),
        ([math.nan, math.inf], "no finite numbers"),
    ],
)
def test_mean_and_spread_are_said_in_words(values, says) -> None:
    assert words.mean_and_spread(gate_statistics(np.array(values))) == says


def test_alternative_texts_call_layers_by_title_and_path() -> None:
    photo = read_photo(np.zeros((224, 224, 3), np.uint8), name="p.png")
    flat = layer_of(torch.full((7, 7), 2.0))
    told = words.picture_alt(photo, flat, GEOMETRY, "stage 4, block 2")
    assert told == (
        "p.png with the spatial map of stage 4, block 2 (layer4.1.se): 2.000 everywhere"
    )
    peak = torch.full((7, 7), 0.25)
    peak[0, 6] = 0.75
    told = words.picture_alt(photo, layer_of(peak), GEOMETRY)
    assert told == (
        "p.png with the spatial map of layer4.1.se: values from 0.250 to 0.750, highest at the top "
        "right of what the network saw"
    )


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ([0.5, 0.5], "2 channel weights, all 0.500"),
        ([0.25, 0.75], "2 channel weights from 0.250 to 0.750, mean 0.500"),
        ([0.25, math.nan], "2 channel weights, all finite ones 0.250"),
        ([math.nan, math.nan], "2 channel weights, none of them a finite number"),
    ],
)
def test_a_strip_in_words(weights, says) -> None:
    layer = replace(layer_of(torch.zeros(7, 7)), channel=torch.tensor([weights]))
    assert words.strip_alt(layer) == says


def test_remarks_are_of_one_gate() -> None:
    assert remarks(gate_statistics(np.full(4, 0.5))) == ("untrained",)
    assert remarks(gate_statistics(np.array([0.99, 0.99, 0.2]))) == ("saturated",)
    assert remarks(gate_statistics(np.array([0.01, 0.99, 0.2]))) == ("nearly binary",)
    assert remarks(gate_statistics(np.array([0.2, 0.8]))) == ()


@pytest.mark.parametrize(("count", "shape"), [(64, (1, 64)), (512, (4, 128)), (300, (3, 100))])
def test_a_strip_has_a_pixel_for_each_channel(count, shape) -> None:
    weights = np.random.default_rng(0).random(count).astype(np.float32)
    url = pictures.strip_picture(weights, "viridis")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
    assert drawn.shape == (*shape, 3)
    expected = colorize(weights[None], absolute_scale(), "viridis")[0]
    np.testing.assert_array_equal(drawn.reshape(-1, 3), expected)


def test_what_a_strip_has_too_much_is_grey() -> None:
    url = pictures.strip_picture(np.ones(131, np.float32), "viridis")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
    assert drawn.shape == (2, 66, 3)
    assert (drawn.reshape(-1, 3)[131:] == 128).all()


def test_the_scale_of_a_constant_map_is_one_number() -> None:
    bar = pictures.colour_bar(map_scale(np.full((7, 7), 2.0)), "viridis")
    assert (bar["label"], bar["ticks"]) == ("Scale: this map alone, 2 everywhere", ["2"])
    bar = pictures.colour_bar(map_scale(np.array([[0.0, 2.0]])), "viridis")
    assert (bar["label"], bar["ticks"]) == ("Scale: this map alone, 0 to 2", ["0", "2"])


def test_chart_and_list_call_the_layer_by_its_title(open_app) -> None:
    app = open_app(layer="layer2.1.se")
    bars = json.loads(app.get_by_key("channel_bars").proto.json)
    assert bars["label"].startswith("Bars of 128 channel weights of stage 2, block 2 from ")
    options = app.selectbox(key="set_layer").options
    assert options[3] == "stage 2, block 2 · layer2.1.se  (28 × 28 cells, 128 channels)"
    viewer = json.loads(app.get_by_key("explore_viewer").proto.json)
    assert "the spatial map of stage 2, block 2 (layer2.1.se): values from" in viewer["alt"]
    told = "\n".join(caption.value for caption in app.caption)
    assert "Channel weights, then the spatial map · verified" in told


def test_words_are_explained_where_they_stand(open_app) -> None:
    app = open_app(layer="layer2.1.se")
    assert app.selectbox(key="set_layer").help == hint("gate", "channel weight", "spatial map")
    (fact,) = [caption for caption in app.caption if "verified" in caption.value]
    assert GLOSSARY["verified"] in fact.help
    assert "0 holds" in GLOSSARY["gate"]
    assert "1 lets" in GLOSSARY["gate"]
    for word, letter in (("channel weight", "M_c"), ("spatial map", "M_s")):
        assert f"{letter} in the paper" in GLOSSARY[word]
