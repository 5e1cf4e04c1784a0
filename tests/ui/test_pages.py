"""What the pages show equals what was captured, and nothing a visitor does breaks them."""

from __future__ import annotations

import base64
import io
import json
import logging
import re

import numpy as np
import pytest
import torch
from PIL import Image

import cbam_viz
from cbam_viz.images import read_photo, samples
from cbam_viz.statistics import layer_statistics, layer_to_show
from cbam_viz.ui import errors, scene, shell, words
from cbam_viz.ui.sidebar.photos import UPLOADER
from tests.app_checkpoint import NAME
from tests.images.helpers import encoded
from tests.images.test_profiles import red_and_green_swapped
from tests.ui.streamlits import memory


def component(app, key: str) -> dict:
    """What a drawn part was given."""
    return json.loads(app.get_by_key(key).proto.json)


def texts(app) -> str:
    kinds = ("markdown", "caption", "info", "error")
    found = "\n".join(element.value for kind in kinds for element in app.get(kind))
    return found.replace("\\", "")  # what is shown, without Markdown's escapes


@pytest.fixture(scope="module")
def own(checkpoint_folder):
    """The same by the Python API."""
    loaded = cbam_viz.load_model(checkpoint_folder / NAME)
    photo = read_photo(samples()[0].path)
    return cbam_viz.analyse(loaded, photo, branches=True, descriptors=True, features=True)


def test_explore_draws_the_captured_map_and_the_networks_prediction(open_app, own):
    app = open_app()
    assert not app.exception
    first = layer_to_show(own.layers, geometry=own.geometry)
    assert app.query_params == {"image": "cat", "model": NAME}  # nobody picked a layer
    assert app.selectbox(key="set_layer").value == first.name

    shown = component(app, "explore_viewer")
    captured = first.spatial[0]
    assert (shown["cells"]["rows"], shown["cells"]["columns"]) == tuple(captured.shape)
    np.testing.assert_allclose(
        shown["cells"]["values"], captured.flatten(), atol=5.1e-5
    )  # four decimals

    probabilities, order = own.attention.output[0].softmax(0).sort(descending=True)
    rows = component(app, "prediction")["rows"]
    assert [row["label"] for row in rows] == [own.classes[index] for index in order[:5]]
    np.testing.assert_allclose([row["share"] for row in rows], probabilities[:5], atol=1e-5)
    assert [row["text"] for row in rows] == [f"{100 * p:.1f} %" for p in probabilities[:5]]


def test_the_readout_of_a_cells_centre_is_its_value(open_app, own):
    """Pixel to cell as the browser does it, against the geometry written out here."""
    app = open_app(layer="layer3.1.se")
    cells, (height, width) = (component(app, "explore_viewer")[key] for key in ("cells", "size"))
    geometry, layer = own.geometry, own.attention["layer3.1.se"]
    for i, j in ((0, 0), (3, 5)):
        y_input = layer.cells.offset_y + i * layer.cells.stride_y
        x_input = layer.cells.offset_x + j * layer.cells.stride_x
        y, x = geometry.to_photo(y_input, x_input)
        y, x = y * height / own.photo.size[0], x * width / own.photo.size[1]
        assert cells["y"][0] + cells["y"][1] * y == pytest.approx(i, abs=1e-9)
        assert cells["x"][0] + cells["x"][1] * x == pytest.approx(j, abs=1e-9)


def test_the_chart_holds_the_captured_weights(open_app, own):
    app = open_app(layer="layer4.1.se")
    weights = component(app, "channel_bars")["weights"]
    np.testing.assert_allclose(weights, own.attention["layer4.1.se"].channel[0], atol=2e-6)


def test_a_chosen_channel_is_shown_before_and_after_its_gate(open_app, own):
    app = open_app(layer="layer2.1.se", channel="9")
    layer = own.attention["layer2.1.se"]
    weight = float(layer.channel[0, 9])
    rank = 1 + int((layer.channel[0] > weight).sum())
    assert f"**Channel 9** · weight {weight:.3f} · rank {rank} of 128" in texts(app)
    before = layer.features.before[0, 9]
    captions = [picture.caption for image in app.get("image") for picture in image.proto.imgs]
    for title, values in (
        ("Before weighting", before),
        (f"After × {weight:.3f}", before * weight),
    ):
        low, high = (f"{float(v):.3f}".replace("-", "−") for v in (values.min(), values.max()))
        assert f"{title}: {low} to {high}" in captions
    low, high = (f"{float(of(before)):.3f}".replace("-", "−") for of in (torch.min, torch.max))
    assert f"Colours, the same for both: {low} to {high}." in texts(app)


def test_the_table_holds_the_statistics_of_every_layer(open_app, own):
    app = open_app("layers")
    assert not app.exception
    called = [f"stage {at}, block {block}" for at in (1, 2, 3, 4) for block in (1, 2)]
    assert [heading.value for heading in app.subheader] == [
        "Spatial maps (M_s)",
        "Channel weights (M_c)",
    ]
    for kind, shown in zip(("spatial", "channel"), app.dataframe, strict=True):
        table = shown.value
        assert list(table["Layer"]) == called
        assert list(table["Module"]) == list(own.attention)
        for index, layer in enumerate(own.attention.values()):
            gate = getattr(layer_statistics(layer, geometry=own.geometry), kind)
            expected = (gate.mean, gate.spread, gate.minimum, gate.maximum, 100 * gate.saturated)
            got = table.iloc[index][["Mean", "Spread", "Lowest", "Highest", "Saturated"]]
            np.testing.assert_allclose(got.astype(float), expected, atol=1e-6)
            assert table.iloc[index]["Entropy"] == pytest.approx(gate.entropy, abs=1e-6)
    stages = component(app, "layers_gallery")["stages"]
    assert [stage["title"] for stage in stages] == ["Stage 1", "Stage 2", "Stage 3", "Stage 4"]
    cards = [card for stage in stages for card in stage["cards"]]
    assert [card["name"] for card in cards] == list(own.attention)
    assert [card["title"] for card in cards] == called
    for card, layer in zip(cards, own.attention.values(), strict=True):
        numbers = layer_statistics(layer, geometry=own.geometry)
        mean, spread = numbers.spatial.mean, numbers.spatial.spread
        assert f"Spatial map: mean {mean:.3f}, spread {spread:.3f}" in card["facts"]
        assert f"{card['title']} ({card['name']}): values from " in card["alt"]


def test_how_it_works_follows_one_channel_with_the_networks_own_numbers(open_app, own):
    app = open_app("how", layer="layer1.1.se", channel="5")
    assert not app.exception
    layer = own.attention["layer1.1.se"]
    features = layer.features.before[0, 5]
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Mean of channel 5"] == f"{features.mean():.3f}".replace("-", "−")
    assert shown["Maximum of channel 5"] == f"{features.max():.3f}".replace("-", "−")

    average, maximum = layer.branches.average[0, 5], layer.branches.maximum[0, 5]
    parts = (f"{v:.3f}".replace("-", "−") for v in (average, maximum, average + maximum))
    assert "Channel 5: {} + {} = **{}**".format(*parts) in texts(app)
    assert torch.sigmoid(average + maximum) == pytest.approx(float(layer.channel[0, 5]), abs=1e-6)
    assert f"Channel 5 gets **{layer.channel[0, 5]:.3f}**" in texts(app)

    peak = int(layer.spatial[0].argmax())
    row, column = divmod(peak, layer.spatial.shape[2])
    assert f"Row {row + 1}, column {column + 1} gets **{layer.spatial.max():.3f}**" in texts(app)
    equations = " ".join(element.value for element in app.get("latex"))
    assert r"f^{7 \times 7}" in equations
    assert r"F'' = M_s(F') \otimes F'" in equations


def test_no_display_control_runs_the_network(open_app, monkeypatch):
    runs = []
    analyse = scene.analyse
    monkeypatch.setattr(scene, "analyse", lambda *a, **k: runs.append(1) or analyse(*a, **k))
    app = open_app()
    assert len(runs) == 1
    app.selectbox(key="set_layer").select("layer1.0.se").run()
    app.selectbox(key="set_colormap").select("grey").run()
    app.selectbox(key="set_scale").select("per map").run()
    app.selectbox(key="set_top").select(5).run()
    app.get_by_key("set_show").set_value("contours").run()
    app.get_by_key("set_order").set_value("sorted").run()
    assert not app.exception
    assert len(runs) == 1
    app.get_by_key("set_view").set_value("whole").run()
    assert len(runs) == 2


def test_a_scale_per_map_is_stated_with_its_range(open_app, own):
    app = open_app(scale="per map", layer="layer2.0.se")
    values = own.attention["layer2.0.se"].spatial
    bar = component(app, "explore_viewer")["bar"]
    assert bar["label"].startswith("Scale: this map alone, ")
    assert [float(tick) for tick in bar["ticks"]] == pytest.approx(
        [float(values.min()), float(values.max())], rel=0.1
    )


def test_an_upload_is_shown_and_a_bad_one_is_named(open_app, png):
    app = open_app()
    app.file_uploader(key=UPLOADER).upload("mine.png", png).run()
    assert component(app, "explore_viewer")["alt"].startswith("mine.png with the spatial map")
    assert app.query_params["image"] == "upload"
    app.file_uploader(key=f"{UPLOADER}_1").upload("bad.png", b"no picture").run()
    assert not app.exception
    assert len(app.error) == 1
    assert component(app, "explore_viewer")["alt"].startswith("mine.png")
    app.selectbox(key="set_image").select("cat").run()
    assert not app.error
    assert component(app, "explore_viewer")["alt"].startswith("cat.jpg")


def test_an_unexpected_error_becomes_one_sentence_and_a_log_entry(open_app, monkeypatch, caplog):
    def fail(*_args, **_options):
        raise RuntimeError("secret path /srv/models")

    monkeypatch.setattr(scene, "analyse", fail)
    with caplog.at_level(logging.ERROR, "cbam_viz.app"):
        app = open_app()
    assert not app.exception
    assert [element.value for element in app.error] == [errors.UNEXPECTED]
    assert "secret path" not in texts(app)
    assert "secret path" in caplog.text


def test_a_package_that_is_not_installed_is_named_with_what_to_do(open_app, monkeypatch):
    def without_matplotlib(_folder):
        with errors.boundary():
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib.figure")

    monkeypatch.setattr(shell, "_draw", without_matplotlib)
    app = open_app()
    (said,) = (element.value.replace("\\", "") for element in app.error)
    assert said.startswith("This page needs matplotlib, which is not installed")
    assert 'pip install "cbam-viz[app]"' in said


def test_a_link_with_names_that_do_not_exist_falls_back_and_says_so(open_app, own):
    app = open_app(image="../../etc/passwd", model="/etc/passwd", layer="layer9", channel="99999")
    assert not app.exception
    assert len(app.info) == 4
    assert app.query_params == {"image": "cat", "model": NAME}
    first = layer_to_show(own.layers, geometry=own.geometry).name
    assert app.selectbox(key="set_layer").value == first


def test_links_do_not_carry_uploads(open_app):
    app = open_app(image="upload", model="upload")
    assert len(app.info) == 2
    assert app.query_params["image"] == "cat"
    assert app.query_params["model"] == NAME


def test_a_channel_can_be_entered_without_a_mouse(open_app):
    app = open_app(layer="layer2.1.se")
    assert app.number_input(key="set_channel").value is None
    app.number_input(key="set_channel").set_value(3).run()
    assert "**Channel 3** · weight" in texts(app)
    assert app.query_params["channel"] == "3"
    app.selectbox(key="set_layer").select("layer1.0.se").run()
    assert "**Channel" not in texts(app)  # another layer's channel 3 is another channel


@pytest.mark.parametrize("text", ["a_b_c.png", "**x** [y](z) <b> $1$ `q` #1 ~~s~~ |", "\\_"])
def test_names_are_shown_as_they_are_and_not_as_markdown(text):
    escaped = words.plain(text)
    assert re.sub(r"\\(.)", r"\1", escaped) == text
    assert not re.search(r"(?<!\\)[`*_\[\]<>$~#|]", escaped)


def test_a_photo_is_drawn_in_the_colours_of_its_profile(open_app):
    pixels = np.full((60, 80, 3), (200, 40, 40), np.uint8)
    app = open_app(show="overlay", opacity="0")
    data = encoded(pixels, "PNG", icc_profile=red_and_green_swapped())
    app.file_uploader(key=UPLOADER).upload("wide.png", data).run()
    url = component(app, "explore_viewer")["photo"]
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
    assert np.abs(drawn[30, 40].astype(int) - (40, 200, 40)).max() <= 4
    scene_of = memory(app).scene
    assert scene_of.photo.pixels[30, 40].tolist() == [200, 40, 40]
    assert "is shown with it" in texts(app)
