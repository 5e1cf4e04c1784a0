"""What is chosen anew for each photo and what is kept; numbers of the photo alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cbam_viz
from cbam_viz.images import photo_shares, read_photo, samples
from cbam_viz.statistics import layer_to_show
from cbam_viz.ui import words
from cbam_viz.ui.sidebar.photos import UPLOADER
from tests.app_checkpoint import NAME, write_checkpoint
from tests.ui.streamlits import go_to
from tests.ui.test_steps import cell_maps


def shown_layer(app) -> str:
    return app.selectbox(key="set_layer").value


def captions(app) -> str:
    return "\n".join(element.value for element in app.caption)


@pytest.fixture(scope="module")
def first_layers(checkpoint_folder) -> dict[str, str]:
    """By the Python API: the layer that suits each sample."""
    loaded = cbam_viz.load_model(checkpoint_folder / NAME)
    found = {}
    for sample in samples():
        analysis = cbam_viz.analyse(loaded, read_photo(sample.path))
        found[sample.name] = layer_to_show(analysis.layers, geometry=analysis.geometry).name
    assert len(set(found.values())) > 1  # or nothing below says anything
    return found


def test_every_photo_gets_the_layer_that_suits_it(open_app, first_layers):
    app = open_app()
    for name in ("coffee", "cat", "coffee"):
        app.selectbox(key="set_image").select(name).run()
        assert shown_layer(app) == first_layers[name]
        assert "layer" not in app.query_params
    go_to(app, "how")
    assert shown_layer(app) == first_layers["coffee"]
    go_to(app, "layers")
    stages = json.loads(app.get_by_key("layers_gallery").proto.json)["stages"]
    current = [
        card["name"] for stage in stages for card in stage["cards"] if card["current"] == "true"
    ]
    assert current == [first_layers["coffee"]]


def test_an_uploaded_photo_gets_its_own_layer_too(open_app, png, checkpoint_folder):
    app = open_app()
    app.file_uploader(key=UPLOADER).upload("mine.png", png).run()
    loaded = cbam_viz.load_model(checkpoint_folder / NAME)
    own = cbam_viz.analyse(loaded, read_photo(png))
    assert shown_layer(app) == layer_to_show(own.layers, geometry=own.geometry).name


def test_a_pick_is_kept_from_photo_to_photo_and_page_to_page_and_in_the_link(open_app):
    app = open_app()
    app.selectbox(key="set_layer").select("layer2.0.se").run()
    assert app.query_params["layer"] == "layer2.0.se"
    for name in ("coffee", "raccoon"):
        app.selectbox(key="set_image").select(name).run()
        assert (shown_layer(app), app.query_params["layer"]) == ("layer2.0.se",) * 2
    app.get_by_key("set_view").set_value("whole").run()
    go_to(app, "how")
    assert shown_layer(app) == "layer2.0.se"
    assert open_app(**app.query_params).selectbox(key="set_layer").value == "layer2.0.se"


def test_a_step_to_the_next_layer_is_a_pick(open_app, first_layers):
    app = open_app()
    app.button(key="layer_next").click().run()
    picked = shown_layer(app)
    assert picked != first_layers["cat"]
    app.selectbox(key="set_image").select("coffee").run()
    assert (shown_layer(app), app.query_params["layer"]) == (picked, picked)


def test_a_pick_waits_for_a_network_that_has_the_layer(open_app):
    app = open_app()
    app.selectbox(key="set_layer").select("layer3.0.se").run()
    app.selectbox(key="set_model").select("untrained").run()
    app.selectbox(key="set_arch").select("efficientnet_b0").run()
    assert shown_layer(app).startswith("blocks.")
    assert "layer" not in app.query_params  # a link to what is shown opens what is shown
    assert not app.info
    app.selectbox(key="set_model").select(NAME).run()
    assert (shown_layer(app), app.query_params["layer"]) == ("layer3.0.se",) * 2


def test_choosing_a_channel_picks_its_layer(open_app, first_layers):
    app = open_app()
    app.number_input(key="set_channel").set_value(3).run()
    app.selectbox(key="set_image").select("coffee").run()
    assert first_layers["coffee"] != first_layers["cat"]
    assert shown_layer(app) == first_layers["cat"]
    assert app.query_params["layer"] == first_layers["cat"]
    assert app.query_params["channel"] == "3"


def test_the_channel_that_the_walk_follows_is_not_the_visitors_choice(open_app):
    app = open_app("how", layer="layer4.0.se")
    followed = {app.number_input(key="set_channel").value}
    for name in ("coffee", "raccoon", "portrait"):
        app.selectbox(key="set_image").select(name).run()
        assert "channel" not in app.query_params
        followed.add(app.number_input(key="set_channel").value)
    assert len(followed) > 1
    go_to(app, "explore")
    assert app.number_input(key="set_channel").value is None
    go_to(app, "how")
    app.number_input(key="set_channel").set_value(5).run()
    app.selectbox(key="set_image").select("cat").run()
    assert app.number_input(key="set_channel").value == 5
    assert app.query_params["channel"] == "5"


def test_app_and_python_show_the_network_the_same(open_app, checkpoint_folder):
    app = open_app()
    loaded = cbam_viz.load_model(checkpoint_folder / NAME)
    best = cbam_viz.analyse(loaded, read_photo(samples()[0].path)).predictions[0]
    (first, *_) = json.loads(app.get_by_key("prediction").proto.json)["rows"]
    assert first["label"] == best.label
    assert first["share"] == pytest.approx(best.probability, abs=1e-6)


BORDER = "The photo is fitted into 224 × 224 with a grey border: 33 % of the input is border."


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """A folder with a network of one input size, and the whole cat: rows 37 to 186."""
    folder = tmp_path_factory.mktemp("fixed")
    loaded = cbam_viz.load_model(write_checkpoint(folder, fixed_size=True))
    cat = read_photo(samples()[0].path)
    options = {"descriptors": True, "features": True}
    return folder, cbam_viz.analyse(loaded, cat, "whole", **options)


def test_a_border_is_said_below_the_picture_and_beside_the_numbers(open_app, fixed):
    folder, own = fixed
    for page in ("", "layers", "how"):
        app = open_app(page, folder=folder, view="whole", layer="layer4.1.se")
        assert f"{BORDER} A map's numbers are of the photo alone; " in captions(app)
        assert BORDER not in captions(open_app(page, folder=folder, layer="layer4.1.se"))
    app = open_app(folder=folder, view="whole", layer="layer4.1.se")
    # Cells of 32 rows end at 16.5, 48.5, ... 176.5: the first of seven is all border.
    options = app.selectbox(key="set_layer").options
    assert options[-1] == "stage 4, block 2 · layer4.1.se  (7 × 7 cells, 512 channels)"
    assert " · 42 of 49 cells on the photo" in captions(app)
    stages = json.loads(
        open_app("layers", folder=folder, view="whole").get_by_key("layers_gallery").proto.json
    )["stages"]
    assert stages[-1]["cards"][-1]["facts"][1] == "42 of 49 cells on the photo"
    assert own.geometry.border_share == pytest.approx(1 - 149 / 224)


def test_ranges_places_and_means_are_of_the_photo(open_app, fixed):
    folder, own = fixed
    app = open_app("how", folder=folder, view="whole", layer="layer1.0.se", channel="7")
    layer = own.attention["layer1.0.se"]
    values = layer.spatial[0].numpy()
    # Cells of 4 rows end at 2.5, 6.5, ...: rows 9 (34.5 to 38.5) to 46 (182.5 to 186.5).
    on_photo = values[9:47]
    rows = np.array([38.5 - 37, *[4] * 36, 186 - 182.5])
    columns = np.array([2.5, *[4] * 54, 224 - 218.5])
    mean = (np.outer(rows, columns) * on_photo).sum() / (149 * 224)
    row, column = divmod(int(on_photo.argmax()), 56)
    text = "\n".join(element.value for element in app.markdown)
    assert (
        f"Row {row + 10}, column {column + 1} gets **{on_photo.max():.3f}**; the lowest weight is "
        f"{on_photo.min():.3f}, the mean over the photo {mean:.3f}."
    ) in text
    pictures = [one["caption"] for one in cell_maps(app).values()]
    low, high = (words.number(float(of(on_photo))) for of in (np.min, np.max))
    assert f"Spatial map, absolute: {low} to {high}" in pictures
    before = layer.features.before[0, 7].numpy()
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Mean of channel 7"] == words.number(float(before.mean()))  # the network's own
    assert "all cells count here, those in the border too" in captions(app)


def test_the_place_of_the_peak_is_told_within_the_photo():
    """Half of the input is border, below the photo: its lowest row is the map's third of seven."""
    from dataclasses import replace

    import torch

    from cbam_viz.attention import Cells
    from cbam_viz.images import Geometry
    from tests.figures.conftest import make_layer

    geometry = Geometry((112, 224), (224, 224), 1.0, 1.0, 0.0, 0.0)
    values = torch.full((1, 7, 7), 0.5)
    values[0, 2, 0], values[0, 6, 3] = 0.9, 1.0
    made = make_layer("layer4.0.se", 4, seed=0, input_size=(224, 224))
    layer = replace(made, spatial=values, cells=Cells(32, 32, 16, 16))
    photo = read_photo(np.zeros((112, 224, 3), np.uint8), name="p.png")
    told = words.picture_alt(photo, layer, geometry)
    assert "values from 0.500 to 0.900, highest at the bottom left" in told
    shares = photo_shares((7, 7), layer.cells, geometry)
    assert words.highest_cell(values[0].numpy(), shares) == (2, 0)
    assert words.of_cells(layer, geometry) == ["28 of 49 cells on the photo"]
