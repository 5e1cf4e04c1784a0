"""A scene is made of its arguments: it needs no session, and changes none."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import streamlit as st

import cbam_viz
from cbam_viz import ui
from cbam_viz.images import read_photo, samples
from cbam_viz.statistics import layer_to_show
from cbam_viz.ui import scene as scenes
from cbam_viz.ui.request import Request
from cbam_viz.ui.session import Results
from cbam_viz.ui.session.link import UPLOAD, Settings
from tests.app_checkpoint import NAME

FOLDER = Path(ui.__file__).parent


@pytest.fixture(scope="module")
def loaded(checkpoint_folder):
    return cbam_viz.load_model(checkpoint_folder / NAME)


@pytest.fixture(scope="module")
def photo():
    return read_photo(samples()[0].path)


def scene_with(photo, loaded, results=None, **settings):
    settings = Settings(image=UPLOAD, **settings)
    return scenes.make_scene(photo, loaded, Request(), settings, results or Results())


def test_a_scene_is_what_its_arguments_say_and_touches_no_session(photo, loaded):
    scene = scene_with(photo, loaded, layer="layer2.0.se", scale="shared")
    layer = scene.layer()
    assert layer.name == "layer2.0.se"
    maps = [one.spatial.numpy() for one in scene.layers.values() if one.spatial is not None]
    scale = scene.scale(layer)
    assert (scale.low, scale.high) == (
        pytest.approx(min(one.min() for one in maps)),
        pytest.approx(max(one.max() for one in maps)),
    )
    own = scene.on_photo(layer).field
    np.testing.assert_array_equal(own.values, layer.spatial[0].numpy())
    assert not st.session_state.keys()


def test_a_layer_that_the_network_lacks_gives_the_one_to_look_at_first_and_stays_the_pick(
    photo, loaded
):
    scene = scene_with(photo, loaded, layer="gone")
    first = layer_to_show(scene.layers.values(), geometry=scene.analysis.geometry)
    assert scene.layer() is first
    assert scene.settings.layer == "gone"


def test_what_was_computed_is_found_again_in_the_results(photo, loaded, monkeypatch):
    runs: list[int] = []
    analyse = scenes.analyse
    monkeypatch.setattr(scenes, "analyse", lambda *a, **k: runs.append(1) or analyse(*a, **k))
    results = Results()
    first = scene_with(photo, loaded, results)
    again = scene_with(photo, loaded, results, colormap="grey")
    assert len(runs) == 1
    assert again.analysis is first.analysis
    name = first.layer().name
    assert first.card_picture(first.layer()) == first.card_picture(first.layer())
    assert first.card_picture(first.layer()) != again.card_picture(again.layer())  # other colours
    assert again.details(name) is first.details(name)
    results.clear()
    scene_with(photo, loaded, results)
    assert len(runs) == 3  # both forwards above, and this one


def test_only_the_shell_writes_the_address_and_makes_pages_fragments():
    """A page that did either would do it twice, and a fragment of its own would leave the link."""
    for path in FOLDER.rglob("*.py"):
        place = path.relative_to(FOLDER).as_posix()
        tree = ast.parse(path.read_text("utf-8"))
        named = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if place not in ("shell.py", "session/current.py"):
            assert not named & {"session.write_url", "st.query_params"}, place
        # Progress is drawn alone every two seconds; it has no settings, so nothing of the link.
        if place.startswith("pages/") and place != "pages/many/making.py":
            assert "st.fragment" not in named, place
