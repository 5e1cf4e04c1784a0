"""What notebooks show of an `Attention`."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np

from cbam_viz.attention import Attention, Unsupported
from cbam_viz.images import InputSpec
from cbam_viz.notebook import strip
from cbam_viz.render import lookup_table

from .conftest import make_analysis

ROOT = Path(__file__).parents[2]


def images(html: str) -> list[np.ndarray]:
    """All embedded pictures as RGB; the first is the colour bar."""
    found = re.findall(r"base64,([^']+)'", html)
    return [
        cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        for data in found
    ]


def test_the_strip_shows_every_gate_in_the_colours_of_its_values() -> None:
    attention = make_analysis().attention
    html = attention._repr_html_()
    assert html == strip(attention)
    table = lookup_table("viridis")
    shown = images(html)[1:]
    for layer, (values, weights) in zip(
        attention.values(), zip(shown[::2], shown[1::2], strict=True), strict=True
    ):
        wanted = table[np.rint(layer.spatial[0].numpy() * 255).astype(int)]
        assert np.array_equal(values, wanted)
        assert np.array_equal(
            weights[0], table[np.rint(layer.channel[0].numpy() * 255).astype(int)]
        )
        assert layer.name in html


def test_an_analysis_tells_its_prediction_and_what_was_fed() -> None:
    analysis = make_analysis()
    html = analysis._repr_html_()
    assert strip(analysis.attention) in html
    assert "tabby 90.0%" in html
    none = replace(analysis, predictions=(), prediction_note="No prediction: <b>", spec=InputSpec())
    html = none._repr_html_()
    assert "No prediction: &lt;b&gt;" in html
    assert "Input: 224 × 224 crop, ImageNet mean and std (as given)." in html


def test_gates_beyond_one_get_a_stated_range() -> None:
    attention = make_analysis().attention
    (name, *_) = attention
    wide = replace(attention[name], spatial=attention[name].spatial * 2)
    html = strip(Attention({name: wide}, None, (64, 64)))
    assert f"{wide.spatial.max():.1f}"[:3] in html


def test_hostile_names_stay_text() -> None:
    layer = replace(
        make_analysis().attention["layer1.0.se"], name="<script>'\"", stage="<b onload=x>"
    )
    attention = Attention(
        {layer.name: layer}, None, (64, 64), (Unsupported("<i>", "why"),), ("<u>",)
    )
    tags: set[str] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.add(tag)
            assert not any(name.startswith("on") for name, _ in attrs)

    Tags().feed(strip(attention))
    assert tags <= {"div", "b", "img", "span"}


def test_single_gates_and_batches_are_shown() -> None:
    attention = make_analysis().attention
    first, second, third = attention.values()
    mixed = Attention(
        {
            first.name: replace(first, spatial=None, cells=None),
            second.name: replace(second, channel=None),
            third.name: replace(third, spatial=third.spatial.repeat(4, 1, 1)),
        },
        None,
        (64, 64),
    )
    html = strip(mixed)
    assert len(images(html)) == 1 + 1 + 1 + 2
    assert "first of 4 images" in html


def test_the_strip_is_small() -> None:
    assert len(strip(make_analysis(blocks=(3, 4, 6, 3)).attention)) < 60_000


def test_the_text_form_is_one_line() -> None:
    text = repr(make_analysis(blocks=(3, 4)).attention)
    assert text == (
        "<Attention of 7 layers (layer1.0.se, layer1.1.se, ..., layer2.3.se) "
        "on an input of 64 x 64>"
    )


def test_importing_the_package_still_imports_no_torch() -> None:
    code = (
        "import sys, cbam_viz, cbam_viz.attention\n"
        "assert not {'torch', 'matplotlib', 'cv2', 'numpy'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={**os.environ})
