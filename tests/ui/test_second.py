"""Two pictures beside each other: what stands there, on one scale, in the link, without reruns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import cbam_viz
from cbam_viz.attention import Cells
from cbam_viz.images import Geometry, read_photo, samples
from cbam_viz.render import Scale, absolute_scale
from cbam_viz.statistics import layer_to_show
from cbam_viz.ui import scene
from cbam_viz.ui.drawing.on_photo import Field, OnPhoto, on_one_scale
from cbam_viz.ui.sidebar.photos import UPLOADER
from tests.app_checkpoint import CLASSES, NAME, write_checkpoint, write_titled

TWIN, OTHER = "twin.safetensors", "other.safetensors"


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    """The test network, its twin without attention, and a network of another kind."""
    import torch

    folder = tmp_path_factory.mktemp("three")
    write_checkpoint(folder)
    for name, architecture, about in (
        (TWIN, "resnet18", {"attention": None, "compare_with": NAME}),
        (OTHER, "efficientnet_b0", {}),
    ):
        with torch.random.fork_rng():
            torch.manual_seed(5)
            write_titled(folder, name, architecture, **about)
    return folder


def shown(app: AppTest) -> dict:
    return json.loads(app.get_by_key("explore_viewer").proto.json)


def of(folder: Path, model: str, image: str):
    """The same by the Python API."""
    sample = next(sample for sample in samples() if sample.name == image)
    loaded = cbam_viz.load_model(folder / model)
    return cbam_viz.analyse(loaded, read_photo(sample.path))


def values(side: dict) -> np.ndarray:
    return np.array(side["cells"]["values"]).reshape(side["cells"]["rows"], -1)


def runs_of(monkeypatch) -> list[str]:
    """One entry for each time that a network is run."""
    runs: list[str] = []
    analyse = scene.analyse
    monkeypatch.setattr(scene, "analyse", lambda *a, **k: runs.append("run") or analyse(*a, **k))
    return runs


def test_nothing_stands_beside_the_first_picture_until_it_is_wanted(open_app, three):
    app = open_app(folder=three)
    assert shown(app)["second"] is None
    assert not any(name.endswith("2") for name in app.query_params)


def test_another_layer_is_one_click_away_and_runs_nothing(open_app, three, monkeypatch):
    runs = runs_of(monkeypatch)
    app = open_app(folder=three, layer="layer3.0.se")
    app.get_by_key("compare").set_value("layer").run()
    assert not app.exception
    second = shown(app)["second"]
    assert (second["name"], app.query_params["layer2"]) == ("layer3.1.se",) * 2
    captured = of(three, NAME, "cat").attention["layer3.1.se"].spatial[0]
    np.testing.assert_allclose(values(second), captured, atol=1e-6)
    app.selectbox(key="set_layer2").select("layer1.0.se").run()
    assert shown(app)["second"]["name"] == "layer1.0.se"
    assert shown(app)["name"] == "layer3.0.se"
    assert len(runs) == 1
    app.get_by_key("compare").set_value(None).run()
    assert shown(app)["second"] is None
    assert "layer2" not in app.query_params


def test_the_twin_shows_the_photo_and_its_own_prediction(open_app, three, monkeypatch):
    runs = runs_of(monkeypatch)
    app = open_app(folder=three)
    options = app.get_by_key("compare").options
    assert options[1] == "The same network without CBAM"
    app.get_by_key("compare").set_value(TWIN).run()
    assert not app.exception
    second = shown(app)["second"]
    assert (second["cells"], second["layer"]) == (None, None)
    assert second["photo"] == shown(app)["photo"]
    rows = json.loads(app.get_by_key("prediction_beside").proto.json)["rows"]

    loaded = cbam_viz.load_model(three / TWIN)
    from cbam_viz.images import prepare

    tensor = prepare(read_photo(samples()[0].path), loaded.spec).tensor
    probabilities, order = loaded.model(tensor)[0].softmax(0).sort(descending=True)
    assert [row["label"] for row in rows] == [CLASSES[index] for index in order]
    np.testing.assert_allclose([row["share"] for row in rows], probabilities.detach(), atol=1e-5)
    before = list(runs)
    app.selectbox(key="set_colormap").select("grey").run()
    app.selectbox(key="set_layer").select("layer1.0.se").run()
    app.get_by_key("set_cells").set_value("grid").run()
    assert runs == before  # a slider never runs a network, the twin's neither
    assert app.query_params["model2"] == TWIN


def test_another_network_and_another_photo_from_a_link(open_app, three):
    app = open_app(folder=three, model2=OTHER, image2="coffee", layer="layer2.0.se")
    assert not app.exception
    assert not app.info
    second, own = shown(app)["second"], of(three, OTHER, "coffee")
    layer = layer_to_show(own.layers, geometry=own.geometry)
    assert second["name"] == layer.name
    np.testing.assert_allclose(values(second), layer.spatial[0], atol=1e-5)
    assert second["alt"].startswith("coffee.jpg with the spatial map")
    assert "Titled other.safetensors" in second["subtitle"]
    assert shown(app)["alt"].startswith("cat.jpg")
    assert (app.query_params["model2"], app.query_params["image2"]) == (OTHER, "coffee")


def test_the_same_layer_of_another_photo_follows_the_first(open_app, three):
    app = open_app(folder=three, image2="coffee", layer="layer2.0.se")
    assert shown(app)["second"]["name"] == "layer2.0.se"
    app.button(key="layer_next").click().run()
    assert [shown(app)["name"], shown(app)["second"]["name"]] == ["layer2.1.se"] * 2
    captured = of(three, NAME, "coffee").attention["layer2.1.se"].spatial[0]
    np.testing.assert_allclose(values(shown(app)["second"]), captured, atol=1e-5)


def lowest(*maps):
    return min(one.min() for one in maps)


def highest(*maps):
    return max(one.max() for one in maps)


def test_both_are_drawn_on_one_scale(open_app, three):
    first, second = (of(three, NAME, "cat").attention[f"layer{n}.0.se"].spatial for n in (1, 4))
    low, high = (float(end(first, second)) for end in (lowest, highest))
    app = open_app(folder=three, layer="layer1.0.se", layer2="layer4.0.se", scale="per map")
    bar = shown(app)["bar"]
    assert bar["label"].startswith("Scale: shared by both maps, ")
    assert [float(tick) for tick in bar["ticks"]] == pytest.approx([low, high], abs=0.006)
    cat, coffee = (of(three, NAME, name).layers for name in ("cat", "coffee"))
    every = [layer.spatial for layer in (*cat, *coffee)]
    ends = [float(lowest(*every)), float(highest(*every))]
    bar = shown(open_app(folder=three, image2="coffee", scale="shared"))["bar"]
    assert bar["label"].startswith("Scale: shared by all layers")
    assert [float(tick) for tick in bar["ticks"]] == pytest.approx(ends, abs=0.006)


def test_one_scale_holds_all_that_are_not_equal():
    def side(scale: Scale | None) -> OnPhoto:
        photo = read_photo(np.zeros((8, 8, 3), np.uint8))
        cells = Cells(8, 8, 4, 4)
        field = None if scale is None else Field(np.zeros((1, 1), np.float32), cells, scale)
        return OnPhoto("n", "a", "b", "c", photo, Geometry((8, 8), (8, 8), 1, 1, 0, 0), field, "k")

    def scales(*given: Scale | None) -> list[Scale | None]:
        return [one.field and one.field.scale for one in on_one_scale(*map(side, given))]

    absolute = absolute_scale()
    assert scales(absolute, absolute) == [absolute, absolute]
    assert scales(Scale("per map", 0.2, 0.5), None) == [Scale("per map", 0.2, 0.5), None]
    both = Scale("shared", 0.25, 0.75, "both maps")
    assert scales(Scale("per map", 0.25, 0.5), Scale("per map", 0.375, 0.75)) == [both, both]
    shared = Scale("shared", 0.25, 0.75, "all layers of both")
    assert scales(Scale("shared", 0.25, 0.5), Scale("shared", 0.5, 0.75)) == [shared, shared]


def test_a_link_that_names_what_is_not_here_says_so(open_app, three):
    app = open_app(folder=three, model2="../../etc/passwd", image2="nobody", layer2="layer9")
    assert not app.exception
    assert len(app.info) == 3
    assert not {"model2", "image2"} & set(app.query_params)
    app = open_app(folder=three, image2="upload")
    assert ["does not carry uploaded photos" in note.value for note in app.info] == [True]
    assert shown(app)["second"] is None or "cat" in shown(app)["second"]["alt"]


def test_an_own_photo_can_stand_beside_a_sample(open_app, three, png):
    app = open_app(folder=three)
    app.file_uploader(key=UPLOADER).upload("mine.png", png).run()
    app.get_by_key("compare").set_value("photo").run()
    assert not app.exception
    assert shown(app)["alt"].startswith("mine.png")
    assert shown(app)["second"]["alt"].startswith("cat.jpg")
    app.selectbox(key="set_image").select("coffee").run()
    app.selectbox(key="set_image2").select("upload 1").run()
    assert not app.exception
    assert shown(app)["second"]["alt"].startswith("mine.png")
    own = cbam_viz.analyse(cbam_viz.load_model(three / NAME), read_photo(png))
    title = shown(app)["second"]["name"]
    np.testing.assert_allclose(
        values(shown(app)["second"]), own.attention[title].spatial[0], atol=1e-5
    )


def test_a_network_that_cannot_be_loaded_leaves_the_first_picture(open_app, three, monkeypatch):
    from cbam_viz.errors import ModelError

    def fail(*_args, **_options):
        raise ModelError("It fails. Try another one.")

    app = open_app(folder=three)
    monkeypatch.setattr(scene, "analyse", fail)
    app.get_by_key("compare").set_value(TWIN).run()
    assert not app.exception
    assert [error.value for error in app.error] == ["It fails. Try another one."]
    assert shown(app)["second"] is None
    assert shown(app)["alt"].startswith("cat.jpg")


def test_cells_are_a_setting_of_the_link_and_contours_state_their_levels(open_app, three):
    app = open_app(folder=three)
    assert shown(app)["style"] == "smooth"
    app.get_by_key("set_cells").set_value("grid").run()
    assert (shown(app)["style"], app.query_params["cells"]) == ("grid", "grid")
    app.get_by_key("set_show").set_value("contours").run()
    bar = shown(app)["bar"]
    assert bar["lines"] == "Lines at 0.17, 0.33, 0.50, 0.67, 0.83"
    np.testing.assert_allclose(bar["levels"], np.arange(1, 6) / 6)
    assert shown(app)["style"] == "smooth"  # lines run through interpolated values
    app.get_by_key("set_show").set_value("map").run()
    assert (shown(app)["bar"]["lines"], shown(app)["bar"]["levels"]) == ("", [])
    assert "wrong" not in open_app(folder=three, cells="wrong").query_params.values()
