"""Explore and All layers with a store: means, spreads and z beside each weight; constants named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import cbam_viz
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.images import samples
from tests.app_checkpoint import NAME
from tests.cli.conftest import write_photo, write_tiny

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

LAYER = "layer2.0.se"


@pytest.fixture(scope="module")
def made(checkpoint_folder, tmp_path_factory) -> Path:
    """A store of the app's network with the sample photo in it, and one of another network."""
    folder = tmp_path_factory.mktemp("against")
    for number in range(6):
        write_photo(folder / "photos" / "ab"[number % 2] / f"{number}.png", seed=number)
    shutil.copy(samples()[0].path, folder / "photos" / "a" / "sample.jpg")
    settings = Settings(view="crop", precision="float32")
    for name, path in (
        ("ours", checkpoint_folder / NAME),
        ("others", write_tiny(folder / "tiny.safetensors")),
    ):
        loaded = cbam_viz.load_model(path)
        run_batch(loaded, [str(folder / "photos")], folder / "stores" / name, settings, workers=1)
    return folder / "stores"


@pytest.fixture
def stores(made, tmp_path, monkeypatch) -> Path:
    folder = shutil.copytree(made, tmp_path / "stores")
    monkeypatch.setenv("CBAM_VIZ_STORES", str(folder))
    return folder


def whole(store: Path, column: str) -> np.ndarray:
    return np.array(pq.read_table(store / "gates")[column].to_pylist(), np.float64)


def text(app) -> str:
    parts = (*app.caption, *app.markdown, *app.info)
    return " ".join(str(one.value) for one in parts)


def test_weights_stand_against_the_store(open_app, stores):
    app = open_app("explore", against="ours", layer=LAYER, view="crop")
    assert not app.exception
    values = whole(stores / "ours", f"{LAYER}/channel")
    names = pq.read_table(stores / "ours/gates")["name"].to_pylist()
    own = values[names.index("a/sample.jpg")]
    z = (own - values.mean(0)) / values.std(0)
    shown = next(one.value for one in app.dataframe if "Spread" in one.value and "z" in one.value)
    order = np.argsort(-np.abs(z), kind="stable")[:10]
    assert shown["Channel"].tolist() == order.tolist()
    np.testing.assert_allclose(shown["z"], z[order], atol=1e-4)
    np.testing.assert_allclose(shown["Mean"], values.mean(0)[order], atol=1e-6)
    told = text(app)
    assert f"z over all channels {np.sqrt((z**2).mean()):.2f}" in told
    assert "only 7 photos of the store" in told
    assert "This photo is in the store." in told


def test_the_bars_have_means_and_mark_what_is_special(open_app, stores, monkeypatch):
    from cbam_viz.ui.parts import components

    given: list[dict] = []
    monkeypatch.setattr(components, "bars", lambda data, **_: given.append(data))
    open_app("explore", against="ours", layer=LAYER, view="crop", top="5")
    values = whole(stores / "ours", f"{LAYER}/channel")
    around = given[-1]["around"]
    np.testing.assert_allclose(around["mean"], values.mean(0), atol=1e-6)
    np.testing.assert_allclose(around["spread"], values.std(0), atol=1e-6)
    names = pq.read_table(stores / "ours/gates")["name"].to_pylist()
    z = (values[names.index("a/sample.jpg")] - values.mean(0)) / values.std(0)
    assert given[-1]["marked"] == sorted(np.argsort(-np.abs(z), kind="stable")[:5].tolist())
    assert given[-1]["markedText"] == "5 furthest from the mean"
    assert json.dumps(given[-1])
    open_app("explore", layer=LAYER, view="crop")
    assert given[-1]["around"] is None


def test_another_network_is_refused_with_what_differs(open_app, stores):
    app = open_app("explore", against="others", view="crop")
    assert not app.exception
    assert "which was made with another network" in text(app)
    assert not [one for one in app.dataframe if "Spread" in one.value and "z" in one.value]
    whole_view = open_app("explore", against="ours", view="whole")
    assert "what the network sees" in text(whole_view)
    gone = open_app("explore", against="nobody", view="crop")
    assert not gone.exception
    assert "The store nobody is no longer there" in text(gone)


def test_without_stores_nothing_is_asked(open_app, tmp_path, monkeypatch):
    monkeypatch.setenv("CBAM_VIZ_STORES", str(tmp_path / "none"))
    app = open_app("explore", view="crop")
    assert not [box for box in app.selectbox if box.key == "set_against"]


def test_constants_are_flagged_in_all_layers(open_app, stores, monkeypatch):
    """One layer's weights are made the same for every photo."""
    for shard in (stores / "ours/gates").iterdir():
        rows = pq.read_table(shard)
        at = rows.column_names.index(f"{LAYER}/channel")
        first = whole(stores / "ours", f"{LAYER}/channel")[0].tolist()
        column = pa.array([first] * rows.num_rows, rows.schema.field(at).type)
        pq.write_table(rows.set_column(at, rows.schema.field(at), column), shard)
    shutil.rmtree(stores / "ours/summaries", ignore_errors=True)
    app = open_app("layers", against="ours", view="crop")
    assert not app.exception
    shown = [one.value for one in app.dataframe if "Remarks" in one.value]
    marked = [
        (row["Module"], "Channel weights" if n else "Spatial")
        for n, table in enumerate(shown)
        for _, row in table.iterrows()
        if "a constant" in row["Remarks"]
    ]
    assert marked == [(LAYER, "Channel weights")]
    plain = open_app("layers", view="crop")
    tables = [one.value for one in plain.dataframe if "Remarks" in one.value]
    assert not any("a constant" in text for table in tables for text in table["Remarks"])


def test_a_constant_of_the_store_is_one_only_if_it_is_the_same_on_this_photo(open_app, stores):
    """The store's photos are made the sample's equals, and then those of another photo."""
    names = pq.read_table(stores / "ours/gates")["name"].to_pylist()
    weights = whole(stores / "ours", f"{LAYER}/channel")
    own = names.index("a/sample.jpg")
    for row, remark in ((own, "a constant"), ((own + 1) % len(names), "a constant there")):
        for shard in (stores / "ours/gates").iterdir():
            rows = pq.read_table(shard)
            at = rows.column_names.index(f"{LAYER}/channel")
            field = rows.schema.field(at)
            column = pa.array([weights[row].tolist()] * rows.num_rows, field.type)
            pq.write_table(rows.set_column(at, field, column), shard)
        shutil.rmtree(stores / "ours/summaries", ignore_errors=True)
        app = open_app("layers", against="ours", view="crop")
        (told,) = [
            row["Remarks"]
            for table in (one.value for one in app.dataframe if "Remarks" in one.value)
            for _, row in table.iterrows()
            if "a constant" in row["Remarks"]
        ]
        assert told == remark
        app = open_app("explore", against="ours", layer=LAYER, view="crop")
        assert ("a constant, not attention" in text(app)) is (row == own)
        assert ("the photos of the store may be alike" in text(app)) is (row != own)


def test_a_figure_of_a_store_on_the_figure_page(open_app, stores):
    shutil.copytree(stores / "ours", stores / "same")
    said = {
        "curves": "Of each class 50 photos",
        "extremes": "has the highest weights",
        "against": "against 7 photos of a store",
        "stores": "What changed from the store ours to same",
    }
    for shows, words in said.items():
        given = {"fig_source": "store", "fig_store": "ours", "fig_shows": shows}
        app = open_app("figure", **given, fig_other="same", view="crop")
        assert not app.exception, shows
        assert not app.error, (shows, [one.value for one in app.error])
        assert words in app.code[-1].value
