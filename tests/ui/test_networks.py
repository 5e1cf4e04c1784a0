"""Networks of the visitor: other checkpoints, other attention, and files that do not fit."""

from __future__ import annotations

import io
import json
import pickle

import pytest
import safetensors.torch
import timm
import torch

from cbam_viz import create_model
from cbam_viz.statistics import layer_statistics
from cbam_viz.ui.sidebar.network_panel import UPLOADER
from tests.app_checkpoint import NAME, write_checkpoint
from tests.ui.streamlits import memory


@pytest.fixture
def folder(tmp_path):
    write_checkpoint(tmp_path)
    return tmp_path


def words(app) -> str:
    kinds = ("markdown", "caption", "info", "error", "warning", "text")
    found = "\n".join(element.value for kind in kinds for element in app.get(kind))
    return found.replace("\\", "")  # what is shown, without Markdown's escapes


def content_of(state) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def wrapped_state():
    """Three classes, no description, in the wrapping of a training loop."""
    model = create_model("resnet18", num_classes=3, zero_init_last=False)
    return {"state_dict": {f"module.{name}": value for name, value in model.state_dict().items()}}


def test_a_file_in_the_folder_is_inferred_and_reported_in_words(open_app, folder, wrapped_state):
    torch.save(wrapped_state, folder / "mine.pth")
    app = open_app(folder=folder, model="mine.pth")
    assert not app.exception
    assert not app.error
    assert "tensors of the checkpoint matched" in words(app)
    assert "the network is resnet18" in words(app)
    rows = json.loads(app.get_by_key("prediction").proto.json)["rows"]
    assert len(rows) == 3
    assert app.query_params["model"] == "mine.pth"


def test_an_upload_is_loaded_with_a_picked_architecture(open_app, wrapped_state):
    app = open_app()
    app.selectbox(key="set_model").select("upload").run()
    assert "Choose a checkpoint file" in words(app)
    app.file_uploader(key=UPLOADER).upload("my.pth", content_of(wrapped_state)).run()
    assert not app.error
    assert len(json.loads(app.get_by_key("prediction").proto.json)["rows"]) == 3
    app.selectbox(key="set_arch").select("resnet34").run()
    assert not app.exception
    assert "resnet34" in words(app)  # does not fit, and says so
    app.selectbox(key="set_arch").select("resnet18").run()
    assert not app.error


def test_an_uploaded_index_or_shard_says_where_shards_go(open_app):
    app = open_app()
    app.selectbox(key="set_model").select("upload").run()
    index = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}).encode()
    for name, content in (
        ("model.safetensors.index.json", index),
        ("model-00001-of-00002.safetensors", safetensors.torch.save({"a": torch.ones(1)})),
    ):
        app.file_uploader(key=UPLOADER).set_value(None).run()
        app.file_uploader(key=UPLOADER).upload(name, content).run()
        assert "An upload is one file" in words(app)
        assert not app.exception


def test_shards_in_the_folder_are_one_network(open_app, wrapped_state, tmp_path):
    state = {name.removeprefix("module."): one for name, one in wrapped_state["state_dict"].items()}
    (tmp_path / "mine").mkdir()
    said = {}
    for number, names in enumerate((sorted(state)[::2], sorted(state)[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        part = {name: state[name].clone() for name in names}
        safetensors.torch.save_file(part, tmp_path / "mine" / file)
        said |= dict.fromkeys(part, file)
    (tmp_path / "mine" / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": said})
    )
    app = open_app(folder=tmp_path)
    assert not app.exception
    assert not app.error
    box = app.selectbox(key="set_model")
    assert box.value == "mine"
    assert len(json.loads(app.get_by_key("prediction").proto.json)["rows"]) == 3


def test_a_booby_trapped_file_runs_nothing_and_is_refused(open_app, tmp_path):
    touched = tmp_path / "touched"

    class Trap:
        def __reduce__(self):
            return (touched.write_text, ("ran",))

    app = open_app()
    app.selectbox(key="set_model").select("upload").run()
    for content in (pickle.dumps(Trap()), content_of({"a": Trap()}), b"", b"PK\x03\x04zip"):
        app.file_uploader(key=UPLOADER).set_value(None).run()
        app.file_uploader(key=UPLOADER).upload("trap.pth", content).run()
        assert not app.exception
        assert len(app.error) == 1
        assert "Something went wrong" not in words(app)
    assert not touched.exists()
    app.selectbox(key="set_model").select(NAME).run()
    assert not app.error


def test_missing_attention_is_an_error_unless_the_visitor_insists(open_app, folder):
    plain = timm.create_model("resnet18", num_classes=4)
    torch.save(plain.state_dict(), folder / "plain.pth")
    app = open_app(folder=folder, model="plain.pth")
    assert "In this app: “Architecture” and “Show it even without trained attention”" in words(app)
    app.checkbox(key="insist").check().run()
    assert not app.exception
    assert not app.error
    assert "random" in words(app)


def test_channel_only_layers_are_explained_on_every_page(open_app, folder):
    squeeze = timm.create_model("seresnet18" if timm.is_model("seresnet18") else "seresnet33ts")
    torch.save(squeeze.state_dict(), folder / "squeeze.pth")
    app = open_app(folder=folder, model="squeeze.pth", arch="seresnet18")
    assert not app.exception
    assert not app.error
    assert "channel weights only" in words(app)
    assert "there is no map to draw" in words(app)
    assert app.get_by_key("channel_bars") is not None
    app = open_app("layers", folder=folder, model="squeeze.pth", arch="seresnet18")
    assert not app.exception
    assert [heading.value for heading in app.subheader] == ["Channel weights (M_c)"]
    assert len(app.dataframe) == 1
    assert app.dataframe[0].value["Mean"].between(0, 1).all()
    app = open_app("how", folder=folder, model="squeeze.pth", arch="seresnet18")
    assert not app.exception
    assert not app.error
    assert "no spatial map" in words(app)


def test_the_untrained_network_is_named_so_and_flagged(open_app):
    app = open_app("layers", model="untrained", arch="resnet18")
    assert not app.error
    assert "Random weights" in words(app)
    for table in app.dataframe:
        assert set(table.value["Remarks"]) == {"untrained"}
        assert (table.value["Mean"] == 0.5).all()
    stages = json.loads(app.get_by_key("layers_gallery").proto.json)["stages"]
    for card in (card for stage in stages for card in stage["cards"]):
        assert card["facts"][1:] == [
            "Spatial map: 0.500 everywhere",
            "Channel weights: 0.500 everywhere",
        ]


def test_an_architecture_without_attention_says_what_to_choose(open_app):
    app = open_app(model="untrained", arch="vit_tiny_patch16_224")
    assert not app.exception
    assert "vit_tiny_patch16_224" in words(app)


def test_no_link_opens_a_file_elsewhere(open_app, folder, tmp_path_factory, wrapped_state):
    outside = tmp_path_factory.mktemp("outside") / "secret.pth"
    torch.save(wrapped_state, outside)
    (folder / "link.pth").symlink_to(outside)
    for name in (str(outside), f"../{outside.parent.name}/secret.pth", "link.pth"):
        app = open_app(folder=folder, model=name)
        assert app.query_params["model"] == NAME
        assert any("names a network that is not here" in info.value for info in app.info)


def test_what_the_network_costs_is_shown_when_asked_for(open_app):
    app = open_app()
    assert "parameters" not in words(app).lower()
    app.session_state["about"] = True
    app.run()
    assert not app.exception
    table = app.get("table")[0].value
    with_cbam = create_model("resnet18", num_classes=5)
    count = sum(parameter.numel() for parameter in with_cbam.parameters()) / 1e6
    assert f"{count:.2f}" in table.to_string()


def test_a_network_without_a_default_checkpoint_starts_with_one_that_is_there(open_app, tmp_path):
    app = open_app(folder=tmp_path)
    assert not app.exception
    assert app.query_params["model"] in ("upload", "untrained")


def test_flags_of_the_gallery_are_those_of_the_statistics(open_app):
    app = open_app("layers", model="untrained", arch="resnet18")
    stages = json.loads(app.get_by_key("layers_gallery").proto.json)["stages"]
    flags = {card["name"]: tuple(card["flags"]) for stage in stages for card in stage["cards"]}
    scene = memory(app).scene
    geometry = scene.analysis.geometry
    expected = {
        name: layer_statistics(layer, geometry=geometry).flags
        for name, layer in scene.layers.items()
    }
    assert flags == expected


def test_a_flagged_layer_says_so_in_explore(open_app):
    app = open_app(model="untrained", arch="resnet18")
    assert "This layer is untrained: every gate is exactly 0.5." in words(app)


def test_a_place_that_is_not_exact_is_said_wherever_the_map_is(open_app):
    sentence = "place not exact: what reaches a cell is centred up to 6 px of the input beside it"
    for page in ("", "how"):
        app = open_app(page, model="untrained", arch="resnet10t", layer="layer4.0.se")
        assert sentence in words(app)
    app = open_app("layers", model="untrained", arch="resnet10t")
    stages = json.loads(app.get_by_key("layers_gallery").proto.json)["stages"]
    flags = [flag for stage in stages for card in stage["cards"] for flag in card["flags"]]
    assert sum(flag.startswith("place not exact") for flag in flags) == 2
    remarks = app.dataframe[0].value["Remarks"].tolist()
    assert [("place not exact" in one) for one in remarks] == [False, False, True, True]


def test_a_twin_without_attention_is_not_offered(open_app, folder):
    from safetensors.torch import save_file

    plain = timm.create_model("resnet18", num_classes=5)
    about = {"schema": 1, "title": "A twin", "architecture": "resnet18", "attention": None}
    about |= {"inserted_cbam": None, "compare_with": NAME, "default": True}
    save_file(plain.state_dict(), folder / "a_twin.safetensors", {"cbam_viz": json.dumps(about)})
    app = open_app(folder=folder)
    assert not app.error
    assert app.query_params["model"] == NAME
    assert "A twin" not in app.selectbox(key="set_model").options


def test_a_file_that_is_deleted_or_spoilt_meanwhile_gets_a_sentence(open_app, folder):
    second = folder / "second.safetensors"
    second.write_bytes((folder / NAME).read_bytes())
    app = open_app(folder=folder, model="second.safetensors")
    assert app.query_params["model"] == "second.safetensors"
    second.unlink()
    app.run()
    assert not app.exception
    assert app.query_params["model"] == NAME
    assert "second.safetensors is gone from the server, so this is another network." in words(app)

    second.write_bytes((folder / NAME).read_bytes()[:200_000])  # header whole, tensors cut
    app = open_app(folder=folder, model="second.safetensors")
    assert not app.exception
    assert len(app.error) == 1
    assert "damaged or cut off" in words(app)

    second.write_bytes(b"no network at all")
    app = open_app(folder=folder)
    assert not app.error
    assert "Not on offer: second.safetensors is no whole safetensors file" in words(app)


def test_a_file_that_vanishes_between_listing_and_loading_gets_a_sentence(
    open_app, folder, monkeypatch
):
    from cbam_viz.ui.sidebar import networks

    entries = networks.entries()
    app = open_app(folder=folder)
    monkeypatch.setattr(networks, "entries", lambda: entries)
    assert not app.error
    (folder / NAME).unlink()
    app.run()
    assert not app.exception
    assert "Something went wrong" not in words(app)


def test_two_files_of_one_title_are_told_apart(open_app, folder):
    (folder / "copy.safetensors").write_bytes((folder / NAME).read_bytes())
    app = open_app(folder=folder)
    options = app.selectbox(key="set_model").options
    assert options[:2] == ["Test network (copy.safetensors)", f"Test network ({NAME})"]
    app.selectbox(key="set_model").select(NAME).run()
    assert app.query_params["model"] == NAME


def write_spoilt(path, factor):
    """A network whose filters are multiplied by `factor`."""
    state = create_model("resnet18", num_classes=3, zero_init_last=False).state_dict()
    spoilt = {
        k: v * factor if "conv" in k and v.is_floating_point() else v for k, v in state.items()
    }
    torch.save(spoilt, path)


def test_weights_that_are_not_finite_get_a_sentence(open_app, folder):
    write_spoilt(folder / "diverged.pth", float("nan"))
    app = open_app(folder=folder, model="diverged.pth")
    assert not app.exception
    assert len(app.error) == 1
    assert "finite" in app.error[0].value


@pytest.mark.parametrize("page", ["", "layers", "how", "whatif", "figure"])
def test_a_network_that_has_diverged_is_shown_as_what_it_is(open_app, folder, page):
    """Its gates are NaN: nothing may fail over them, and the layer says so."""
    write_spoilt(folder / "diverged.pth", 1e30)
    app = open_app(page, folder=folder, model="diverged.pth", channel="3", scale="shared")
    assert not app.exception
    assert not app.error
    parts = {"": ("explore_viewer", "channel_bars"), "layers": ("layers_gallery",)}
    for key in parts.get(page, ()):
        given = json.loads(app.get_by_key(key).proto.json)
        json.dumps(given, allow_nan=False)  # browsers refuse NaN
    if page in ("", "how"):
        assert "are not finite numbers" in words(app)


FED = "Input: 224 × 224 crop, ImageNet mean and std"


@pytest.mark.parametrize("page", ["", "layers", "how", "whatif", "figure"])
def test_every_page_says_what_the_network_was_fed(open_app, folder, wrapped_state, page):
    torch.save(wrapped_state, folder / "mine.pth")
    app = open_app(page, folder=folder, model="mine.pth", view="crop")
    assert not app.exception
    sentence = f"{FED} (assumed: timm's default for resnet18; the file does not say)."
    captions = [caption.value.replace("\\", "") for caption in app.caption]
    # In the sidebar, and again beside numbers and flags.
    assert captions.count(sentence) == (2 if page in ("", "layers", "whatif") else 1)
    if page == "figure":
        assert any(sentence in code.value for code in app.get("code"))


def test_flags_are_doubted_where_the_normalisation_was_assumed(open_app, folder):
    torch.manual_seed(0)  # some random weights give 0.5 exactly, which no input is to blame for
    state = create_model("resnet18", num_classes=3, zero_init_last=False).state_dict()
    closed = {k: v - 9 if k.endswith("spatial.conv.bn.bias") else v for k, v in state.items()}
    torch.save(closed, folder / "closed.pth")
    app = open_app(folder=folder, model="closed.pth")
    assert "so it prefers no place; the input's normalisation was assumed." in words(app)
    app = open_app("layers", folder=folder, model="closed.pth")
    stages = json.loads(app.get_by_key("layers_gallery").proto.json)["stages"]
    flags = [flag for stage in stages for card in stage["cards"] for flag in card["flags"]]
    assert flags
    assert all(flag.endswith("the input's normalisation was assumed") for flag in flags)


def test_a_headless_network_predicts_nothing_and_says_why(open_app, folder):
    from safetensors.torch import save_file

    model = create_model("resnet18", num_classes=0, zero_init_last=False)
    about = {"schema": 1, "title": "Headless", "architecture": "resnet18", "attention": "cbam"}
    about |= {"num_classes": 0, "default": False}
    save_file(model.state_dict(), folder / "headless.safetensors", {"cbam_viz": json.dumps(about)})
    reason = "No prediction: the network gives features, as its classifier was taken off"
    app = open_app(folder=folder, model="headless.safetensors")
    assert not app.exception
    assert not app.error
    with pytest.raises(KeyError):
        app.get_by_key("prediction")
    assert any(reason in info.value.replace("\\", "") for info in app.info)
    app = open_app("layers", folder=folder, model="headless.safetensors")
    assert reason in words(app)
    app = open_app("figure", folder=folder, model="headless.safetensors")
    assert not app.error


def test_names_that_are_not_known_are_not_guessed(open_app, folder):
    state = create_model("resnet18", zero_init_last=False).state_dict()
    torch.save(state, folder / "thousand.pth")
    app = open_app(folder=folder, model="thousand.pth")
    rows = json.loads(app.get_by_key("prediction").proto.json)["rows"]
    assert all(row["label"] == f"class {row['label'].split()[1]}" for row in rows)
    assert "The names of the classes are not known." in words(app)
    torch.save({"state_dict": state, "classes": [f"own {n}" for n in range(1000)]},
               folder / "named.pth")  # fmt: skip
    app = open_app(folder=folder, model="named.pth")
    rows = json.loads(app.get_by_key("prediction").proto.json)["rows"]
    assert all(row["label"].startswith("own ") for row in rows)


def test_a_config_beside_the_file_that_changes_is_read_again(open_app, folder, wrapped_state):
    torch.save(wrapped_state, folder / "mine.pth")
    assert "does not say" in words(open_app(folder=folder, model="mine.pth"))
    config = {"architecture": "resnet18", "num_classes": 3, "label_names": ["one", "two", "six"]}
    (folder / "config.json").write_text(json.dumps(config))
    app = open_app(folder=folder, model="mine.pth")
    rows = json.loads(app.get_by_key("prediction").proto.json)["rows"]
    assert {row["label"] for row in rows} == {"one", "two", "six"}
