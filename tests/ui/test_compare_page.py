"""Page Compare: what stands beside each other, what is in the link, and whose channels meet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import cbam_viz
from cbam_viz.comparison import Mapped, difference
from cbam_viz.images import read_photo, samples
from cbam_viz.ui import scene
from cbam_viz.ui.sidebar.photos import UPLOADER
from tests.app_checkpoint import NAME, write_checkpoint, write_titled

PLAIN, TUNED, OTHER = "plain.safetensors", "tuned.safetensors", "other.safetensors"
LAYER = "layer3.0.se"


@pytest.fixture(scope="module")
def four(tmp_path_factory) -> Path:
    """The test network, one fine-tuned from it, another architecture, and its plain twin."""
    import torch

    from cbam_viz import load_model

    folder = tmp_path_factory.mktemp("four")
    first = load_model(write_checkpoint(folder)).model
    with torch.random.fork_rng():
        torch.manual_seed(5)
        tuned = {
            name: one + 0.02 * torch.randn_like(one) if one.ndim > 1 else one
            for name, one in first.state_dict().items()
        }
        write_titled(folder, TUNED, "resnet18", weights=tuned)
        write_titled(folder, OTHER, "efficientnet_b0")
        write_titled(folder, PLAIN, "resnet18", attention=None, compare_with=NAME)
    return folder


def sides(app: AppTest) -> list[dict]:
    assert not app.exception
    return json.loads(app.get_by_key("compare_frames").proto.json)["sides"]


def values(side: dict) -> np.ndarray:
    return np.array(side["cells"]["values"]).reshape(side["cells"]["rows"], -1)


def captions(app: AppTest) -> str:
    return "\n".join(one.value for one in app.caption)


def sample(name: str):
    return read_photo(next(one for one in samples() if one.name == name).path)


def charts(app: AppTest) -> list[str]:
    """What each chart is of, as a screen reader says it."""
    return [json.loads(one.proto.spec)["description"] for one in app.get("vega_lite_chart")]


def test_another_network_stands_there_at_first_and_a_link_reopens_four(open_app, four):
    app = open_app("compare", folder=four)
    assert len(sides(app)) == 2
    assert not any(name.startswith("compare") for name in app.query_params)
    app.multiselect(key="compare_with").set_value([TUNED, OTHER, PLAIN]).run()
    shown = sides(app)
    assert [one["title"] for one in shown[1:]] == [f"Titled {n}" for n in (TUNED, OTHER, PLAIN)]
    assert app.query_params["compare_with"] == [f"{TUNED},{OTHER},{PLAIN}"] or (
        app.query_params["compare_with"] == f"{TUNED},{OTHER},{PLAIN}"
    )
    again = open_app("compare", folder=four, compare_with=f"{TUNED},{OTHER},{PLAIN}")
    assert sides(again) == shown
    # The plain one has its photo and prediction, and no map.
    assert (shown[3]["cells"], shown[3]["difference"]) == (None, None)
    assert "has no gates" in shown[3]["reason"]
    rows = json.loads(again.get_by_key("compare_prediction_3").proto.json)["rows"]
    found = cbam_viz.analyse(cbam_viz.load_model(four / PLAIN), sample("cat"), gates=False)
    assert [row["label"] for row in rows] == [one.label for one in found.predictions]


def test_maps_and_their_difference_are_those_of_python_and_nothing_runs_again(
    open_app, four, monkeypatch
):
    app = open_app("compare", folder=four, layer=LAYER, compare_with=TUNED)
    runs: list[str] = []
    monkeypatch.setattr(scene, "analyse", lambda *a, **k: runs.append("run"))
    first, second = sides(app)
    photo = sample("cat")
    found = [cbam_viz.analyse(cbam_viz.load_model(four / n), photo) for n in (NAME, TUNED)]
    for side, analysis in zip((first, second), found, strict=True):
        captured = analysis.attention[LAYER].spatial[0].numpy()
        np.testing.assert_allclose(values(side), captured, atol=1e-5)
    one, other = (
        Mapped(a.attention[LAYER].spatial[0].numpy(), a.attention[LAYER].cells, a.geometry)
        for a in found
    )
    numbers = difference(one, other)
    assert f"{abs(numbers.mean_absolute):.3f}" in captions(app)
    for key, value in (("set_show", "map"), ("set_cells", "grid"), ("compare_range", "largest")):
        app.get_by_key(key).set_value(value).run()
        assert not app.exception
    app.selectbox(key="set_layer").select("layer1.0.se").run()
    assert sides(app)[1]["subtitle"].endswith("layer1.0.se")
    assert not runs
    assert app.query_params["compare_range"] in ("largest", ["largest"])


def test_the_colours_are_absolute_until_asked_and_centred_on_zero(open_app, four):
    app = open_app("compare", folder=four, layer=LAYER, compare_with=TUNED)
    bars = json.loads(app.get_by_key("compare_frames").proto.json)["bars"]
    assert bars[0]["label"] == "Scale: absolute, 0 to 1"
    assert bars[1]["label"].endswith("−1 to 1, 0 in the middle")
    assert bars[1]["colors"][8].startswith("rgb(221")  # the grey of the diverging map


def test_channels_are_scattered_where_they_correspond_alone(open_app, four):
    app = open_app("compare", folder=four, layer=LAYER, compare_with=TUNED)
    scatter, spread = charts(app)
    assert scatter.startswith("256 channels, each a point")
    assert spread.startswith("Shares of channels")
    assert "come from the same weights" in captions(app)
    app = open_app("compare", folder=four, layer=LAYER, compare_with=OTHER)
    assert [text[:18] for text in charts(app)] == ["Shares of channels"]
    assert "compared as distributions" in captions(app)


def test_layers_are_paired_by_hand_and_stay_so_in_the_link(open_app, four):
    app = open_app("compare", folder=four, layer=LAYER, compare_with=OTHER)
    box = app.selectbox(key="compare_beside_1")
    assert box.value != "blocks.0.0.se"
    box.select("blocks.0.0.se").run()
    assert sides(app)[1]["subtitle"].endswith("blocks.0.0.se")
    assert "chosen by hand" in captions(app)
    link = app.query_params["compare_pairs"]
    link = link[0] if isinstance(link, list) else link
    assert link == f"1:{LAYER}=blocks.0.0.se"
    again = open_app("compare", folder=four, layer=LAYER, compare_with=OTHER, compare_pairs=link)
    assert sides(again) == sides(app)
    # Another network has other layers: what was paired is forgotten.
    again.multiselect(key="compare_with").set_value([TUNED]).run()
    assert "compare_pairs" not in again.query_params
    bad = open_app("compare", folder=four, compare_with=OTHER, compare_pairs="1:a=b,nonsense")
    assert not bad.exception
    assert "pairs" in bad.info[0].value


def test_photos_of_one_network_have_the_same_channels_and_no_difference(open_app, four, png):
    app = open_app("compare", folder=four, compare_by="photos", compare_photos="coffee,raccoon")
    assert len(sides(app)) == 3
    assert [one["difference"] for one in sides(app)] == [None] * 3
    assert "different photos" in captions(app)
    assert "same network, so channel k" in captions(app)
    assert ["each a point" in text for text in charts(app)] == [True, True, False]
    captured = cbam_viz.analyse(cbam_viz.load_model(four / NAME), sample("raccoon"))
    name = sides(app)[2]["subtitle"].rpartition(" ")[2]
    np.testing.assert_allclose(
        values(sides(app)[2]), captured.attention[name].spatial[0], atol=1e-5
    )
    app.file_uploader(key=UPLOADER).upload("mine.png", png).run()
    assert sides(app)[0]["title"] == "Your photo: mine.png"


def test_a_link_says_what_it_cannot_carry(open_app, four):
    app = open_app("compare", folder=four, compare_by="photos", compare_photos="upload 1,coffee")
    assert any("does not carry uploaded photos" in one.value for one in app.info)
    assert len(sides(app)) == 2
    app = open_app("compare", folder=four, compare_with="upload")
    assert not app.exception
    assert "does not carry uploaded checkpoints" in captions(app)
    assert "Choose at least one more" in app.info[0].value
    app = open_app("compare", folder=four, compare_with="../../etc/passwd")
    assert not app.exception
    said = "The link's compare\\_with “..·..·etc·passwd” is not one of the choices."
    assert said in [one.value for one in app.info]


def test_other_methods_make_maps_of_networks_without_attention_too(open_app, four):
    app = open_app("compare", folder=four, layer=LAYER, compare_with=PLAIN, compare_made="eigencam")
    _, second = sides(app)
    assert second["cells"] is not None
    assert "EigenCAM of the output of layer3" in second["subtitle"]
    assert second["difference"] is None
    assert "no unit that two networks or photos share" in captions(app)
    from cbam_viz.methods import photo_maps

    (one,) = photo_maps(
        cbam_viz.load_model(four / PLAIN), sample("cat"), ("layer3",), ("eigencam",)
    )
    np.testing.assert_allclose(values(second), one.values, atol=1e-4)


def test_one_network_that_fails_leaves_the_others(open_app, four, monkeypatch):
    from cbam_viz.errors import ModelError
    from cbam_viz.ui.sidebar import networks

    real = networks.load

    def load(request):
        if request.path is not None and request.path.name == OTHER:
            raise ModelError("It fails. Try another one.")
        return real(request)

    monkeypatch.setattr(networks, "load", load)
    app = open_app("compare", folder=four, compare_with=f"{OTHER},{TUNED}")
    assert [one.value for one in app.error] == ["It fails. Try another one."]
    assert [one["title"] for one in sides(app)][1:] == [f"Titled {TUNED}"]
