"""Page Many photos against NumPy on the whole store, and what is no store in a sentence."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cbam_viz
from cbam_viz.attention import Cells
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Part, Settings
from cbam_viz.dataset import gate_summary, open_store
from cbam_viz.dataset.originals import original
from cbam_viz.dataset.showing import seen
from cbam_viz.dataset.telling import in_words
from cbam_viz.errors import StoreError
from cbam_viz.images import samples
from cbam_viz.ui.pages.many import job
from cbam_viz.ui.parts import stores as parts
from tests.app_checkpoint import NAME
from tests.cli.conftest import write_photo, write_tiny

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

LABELS = ("ant", "bee", "cat")
PHOTOS = 27


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        write_photo(folder / LABELS[number % 3] / f"{number:02}.png", seed=number)
    return folder


@pytest.fixture(scope="module")
def made(photos, tmp_path_factory) -> Path:
    """Two stores of different networks."""
    folder = tmp_path_factory.mktemp("stores")
    for name, seed in (("first", 0), ("second", 1)):
        path = write_tiny(tmp_path_factory.mktemp("networks") / "tiny.safetensors", seed=seed)
        settings = Settings(view="crop", precision="float32")
        run_batch(cbam_viz.load_model(path), [str(photos)], folder / name, settings, workers=1)
    return folder


@pytest.fixture
def stores(made, tmp_path, monkeypatch) -> Path:
    """The app's folder of stores: a copy, for tests to change."""
    folder = shutil.copytree(made, tmp_path / "stores")
    monkeypatch.setenv("CBAM_VIZ_STORES", str(folder))
    return folder


@pytest.fixture
def many(stores, open_app):
    def show(**params):
        app = open_app("many", **{f"many_{name}": value for name, value in params.items()})
        assert not app.exception
        return app

    return show


def whole(store: Path, column: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    table = pq.read_table(store / "gates")
    values = np.array(table[column].to_pylist(), np.float64)
    return values, np.array(table["label"].to_pylist()), table["name"].to_pylist()


def table(app, column: str, at: int = 0):
    """The table that has a column of this name, or the one behind it."""
    return [one.value for one in app.dataframe if column in one.value][at]


def test_without_own_stores_there_is_an_example_and_how_to_make_one(
    open_app, tmp_path, monkeypatch
):
    monkeypatch.setenv("CBAM_VIZ_STORES", str(tmp_path / "none"))
    app = open_app("many")
    assert not app.exception
    assert not app.error
    assert any("holds the gates of many photos" in one.value for one in app.markdown)
    assert app.code[0].value.startswith("cbam-viz batch photos/ --out")
    (box,) = [box for box in app.selectbox if box.label == "Store"]
    assert box.value == "sample:crops"
    assert box.options == ["crops (example)"]
    assert any("An example: 100 crops" in one.value for one in app.caption)
    assert len(table(app, "In words")) == 16
    assert not (tmp_path / "none").exists()


def test_the_example_has_every_view_with_its_pictures(open_app, tmp_path, monkeypatch):
    monkeypatch.setenv("CBAM_VIZ_STORES", str(tmp_path / "none"))
    for view in ("classes", "curves", "channel", "photo", "unusual"):
        app = open_app("many", many_view=view)
        assert not app.exception
        assert not app.error
        assert not any("no longer where" in one.value for one in app.caption)


def test_layers_are_those_of_numpy_and_told_in_words(many, stores):
    app = many()
    shown = table(app, "In words")
    opened = open_store(stores / "first")
    assert list(shown["Module"]) == [layer for layer, _ in opened.gates()]
    assert list(shown["Layer"])[:2] == ["stage 1, block 1"] * 2
    assert list(shown["Layer"]) == [
        f"stage {layer[5]}, block {int(layer[7]) + 1}" for layer, _ in opened.gates()
    ]
    for row, (layer, part) in enumerate(opened.gates()):
        if part != "channel":
            continue
        values, labels, _ = whole(stores / "first", f"{layer}/channel")
        line = shown.iloc[row]
        assert line["Mean"] == pytest.approx(values.mean())
        assert line["Spread"] == pytest.approx(values.std(1).mean(), abs=1e-6)
        outside = (values < 0.05) | (values > 0.95)
        assert line["Saturated"] == pytest.approx(100 * outside.mean(), abs=1e-6)
        total = ((values - values.mean()) ** 2).sum()
        same = ((values.mean(0) - values.mean()) ** 2).sum() * len(values)
        means = {label: values[labels == label].mean(0) for label in LABELS}
        apart = sum(((means[label] - values.mean(0)) ** 2).sum() for label in labels)
        assert line["Same for all"] == pytest.approx(100 * same / total, rel=1e-6)
        assert line["Between classes"] == pytest.approx(100 * apart / total, rel=1e-6)
        assert line["In words"] == in_words(gate_summary(opened, layer, part))


def test_selective_channels_and_the_heat_map(many, stores):
    app = many(view="classes", layer="layer3.0.se", top="16", show="difference")
    values, labels, _ = whole(stores / "first", "layer3.0.se/channel")
    means = np.stack([values[labels == label].mean(0) for label in LABELS])
    best = np.sort(means, 0)[-1]
    others = np.sort(means, 0)[:-1].mean(0)
    index = (best - others) / (best + others)
    order = np.argsort(-index, kind="stable")[:16]
    shown = table(app, "Index")
    assert shown["Channel"].tolist() == order.tolist()
    np.testing.assert_allclose(shown["Index"], index[order], atol=1e-9)
    assert shown["Highest for"].tolist() == [LABELS[n] for n in means.argmax(0)[order]]
    cells = values_of(app, 0)
    assert len(cells) == 3 * 16
    assert {int(cell["column"]) for cell in cells} == set(order.tolist())
    for cell in cells:
        channel, row = int(cell["column"]), LABELS.index(cell["row"])
        wanted = means[row, channel] - means[:, channel].mean()
        assert cell["value"] == pytest.approx(wanted, abs=1e-6)
    away = [cell for cell in values_of(app, 1) if cell["row"] != cell["column"]]
    for cell in away:
        a, b = (means[LABELS.index(cell[key])] for key in ("row", "column"))
        assert cell["value"] == pytest.approx(np.sqrt(((a - b) ** 2).mean()), abs=1e-6)


def test_curves_are_class_means_at_evenly_spaced_channels(many, stores):
    app = many(view="curves", layers="layer4.0.se", sampled="5", lines="ant,cat", spread="1")
    values, labels, _ = whole(stores / "first", "layer4.0.se/channel")
    wanted = np.rint(np.linspace(0, values.shape[1] - 1, 5)).astype(int)
    points = values_of(app, 0, layer=1)
    assert sorted({one["channel"] for one in points}) == wanted.tolist()
    mean = np.mean([values[labels == label].mean(0) for label in LABELS], 0)
    for one in points:
        known = mean if one["line"].startswith("mean") else values[labels == one["line"]].mean(0)
        assert one["value"] == pytest.approx(known[one["channel"]], abs=1e-6)
    assert {one["line"] for one in points} == {"ant", "cat", "mean of all classes"}
    for band in values_of(app, 0, layer=0):
        of = values[labels == band["line"]][:, band["channel"]]
        assert band["high"] - band["low"] == pytest.approx(2 * of.std(), abs=3e-6)


def values_of(app, chart: int, layer: int | None = None) -> list[dict]:
    """The data of a chart: of the whole, which Streamlit sends beside it, or of a layer."""
    proto = app.get("vega_lite_chart")[chart].proto
    if layer is None:
        return pa.ipc.open_stream(proto.data.data).read_all().to_pylist()
    return json.loads(proto.spec)["layer"][layer]["data"]["values"]


def test_photos_of_a_channel_nearest_and_unusual_ones(many, stores):
    values, _, names = whole(stores / "first", "layer2.0.se/channel")
    app = many(view="channel", layer="layer2.0.se", channel="3")
    order = np.argsort(values[:, 3], kind="stable")
    assert table(app, "Weight")["Photo"].tolist() == [names[n] for n in order[::-1][:8]]
    assert table(app, "Weight", 1)["Photo"].tolist() == [names[n] for n in order[:8]]
    np.testing.assert_allclose(table(app, "Weight", 1)["Weight"], values[order[:8], 3])

    app = many(view="photo", layer="layer2.0.se", photo="5")
    far = np.sqrt(((values - values[5]) ** 2).mean(1))
    near = table(app, "Distance")
    assert near["Photo"].tolist() == [names[n] for n in np.argsort(far)[1:9]]
    np.testing.assert_allclose(near["Distance"], np.sort(far)[1:9], atol=1e-9)

    app = many(view="unusual", layer="layer2.0.se")
    z = (values - values.mean(0)) / values.std(0)
    score = np.sqrt((z**2).mean(1))
    odd = table(app, "z")
    assert odd["Photo"].tolist() == [names[n] for n in np.argsort(-score)[:8]]
    np.testing.assert_allclose(odd["z"], np.sort(score)[::-1][:8], rtol=1e-6)


def test_a_photo_is_found_by_a_part_of_its_name(many):
    app = many(view="photo", find="cat/")
    assert len(app.selectbox(key="many_photo").options) == 9
    app.text_input(key="many_find").set_value("no such").run()
    assert "No photo of this store has" in app.info[0].value


def test_two_stores(many, stores):
    app = many(view="stores")
    shown = table(app, "Profile")
    layer = shown["Module"][0]
    one, other = (whole(stores / name, f"{layer}/channel")[0] for name in ("first", "second"))
    assert shown["Mean"][0] == pytest.approx(other.mean() - one.mean(), abs=1e-9)
    profile = np.sqrt(((other.mean(0) - one.mean(0)) ** 2).mean())
    assert shown["Profile"][0] == pytest.approx(profile, abs=1e-9)
    assert not [one for one in app.caption if "different photos" in one.value]


def test_the_store_is_in_the_link_and_one_that_climbs_is_refused(many, stores):
    assert many().query_params["many_store"] == "first"
    assert many(store="second").query_params["many_store"] == "second"
    shutil.copytree(stores / "first", stores.parent / "outside")
    for name in ("../outside", str(stores.parent / "outside"), "photos", "none"):
        app = many(store=name)
        assert app.selectbox(key="many_store").value == "first"
        assert "is not one of the choices" in app.info[0].value


def test_a_thumbnail_is_of_the_very_photo_that_the_store_knows(stores, photos):
    opened = open_store(stores / "first")
    name = opened.photos["name"][4].as_py()
    content = (photos / name).read_bytes()
    assert original(opened, 4) == content
    try:
        write_photo(photos / name, seed=99)
        assert original(opened, 4) is None
        (photos / name).unlink()
        assert original(opened, 4) is None
    finally:
        (photos / name).write_bytes(content)
    assert original(opened, 99) is None
    (stores / "first" / "plan.parquet").write_bytes(b"PAR1")
    assert original(opened, 4) is None


def _overlay_is_the_map(store):
    """The picture is the photo blended with the colours of the map that the store has."""
    from io import BytesIO

    from PIL import Image

    from cbam_viz.render import absolute_scale, fit_size, overlay, place, resize_photo
    from cbam_viz.ui.pages.many.photos import SIDE, _thumbnail

    picture = _thumbnail.__wrapped__("key", "layer4.0.se", 4, store)
    found = np.asarray(Image.open(BytesIO(picture)), float)
    values, _, names = whole(store.path, "layer4.0.se/spatial")
    loaded = cbam_viz.read_photo(original(store, 4), name=names[4])
    one = next(layer for layer in store.layers if layer["name"] == "layer4.0.se")
    size = fit_size(loaded.size, SIDE)
    side = round(len(values[4]) ** 0.5)
    geometry = seen(store, 4, ("layer4.0.se",)).analysis.geometry
    placed = place(values[4].reshape(side, side), Cells(**one["cells"]), geometry, size)
    small = resize_photo(loaded.shown, size)
    wanted = overlay(small, placed, scale=absolute_scale()).astype(float)
    assert np.abs(found - wanted).mean() < 8  # JPEG
    assert np.abs(found - small).mean() > 16


def test_pictures_where_files_are_there_and_a_sentence_where_not(many, stores, photos):
    app = many(view="channel")
    assert len(app.get("image")) == 16
    assert any("under the spatial map of layer4.0.se" in one.value for one in app.caption)
    _overlay_is_the_map(open_store(stores / "first"))
    hidden = photos.rename(photos.with_name("hidden"))
    try:
        shutil.rmtree(stores / "first" / "summaries")
        (stores / "first" / "store.json").touch()  # another version: nothing is remembered
        app = many(view="channel")
    finally:
        hidden.rename(photos)
    assert not app.get("image")
    assert len(table(app, "Weight")) == 8
    assert any("8 of 8 photos are no longer" in one.value for one in app.caption)


def broken_record(store: Path) -> None:
    (store / "store.json").write_text('{"schema": 1}')


def other_version(store: Path) -> None:
    document = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps({**document, "schema": 9}))


def cut_shard(store: Path) -> None:
    shard = sorted((store / "gates").iterdir())[0]
    shard.write_bytes(shard.read_bytes()[:500])


def shard_without_a_column(store: Path) -> None:
    shard = sorted((store / "gates").iterdir())[0]
    rows = pq.read_table(shard)
    pq.write_table(rows.drop_columns(["layer1.0.se/channel"]), shard)


def shard_of_other_sizes(store: Path) -> None:
    shard = sorted((store / "gates").iterdir())[0]
    rows = pq.read_table(shard)
    at = rows.column_names.index("layer1.0.se/channel")
    short = pa.array([one[:3] for one in rows.column(at).to_pylist()], pa.list_(pa.float32()))
    pq.write_table(rows.set_column(at, rows.column_names[at], short), shard)


def only_begun(store: Path) -> None:
    (store / "store.json").unlink()


def without_photos(store: Path) -> None:
    shutil.rmtree(store / "gates")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (broken_record, "describes no store, or is damaged"),
        (other_version, "another version of cbam-viz"),
        (cut_shard, "is damaged"),
        (shard_without_a_column, "has no column layer1.0.se/channel"),
        (shard_of_other_sizes, "is not of 8 values a photo"),
        (only_begun, "is being begun"),
        (without_photos, "holds no photos yet"),
    ],
)
def test_what_is_wrong_with_a_store_is_one_sentence(many, stores, harm, said):
    shutil.rmtree(stores / "first" / "summaries", ignore_errors=True)
    harm(stores / "first")
    app = many(store="first")
    (error,) = app.error
    assert said in error.value.replace("\\", "")
    app.selectbox(key="many_store").select("second").run()  # another one is a click away
    assert not app.error
    assert len(table(app, "In words"))


def test_a_store_that_is_not_complete_says_of_what_its_numbers_are(many, stores):
    sorted((stores / "first" / "gates").iterdir())[-1].unlink()
    app = many()
    assert any("1 of 4 parts is still missing" in one.value for one in app.caption)
    assert any(one.value.startswith("24 photos of 3 classes") for one in app.caption)
    assert table(app, "In words")["Mean"][0] == pytest.approx(
        whole(stores / "first", "layer1.0.se/channel")[0].mean()
    )


def test_photos_without_classes_have_every_view_but_those_of_classes(open_app, tmp_path, photos,
                                                                     monkeypatch):  # fmt: skip
    path = write_tiny(tmp_path / "tiny.safetensors")
    settings = Settings(view="crop", labels="none")
    run_batch(cbam_viz.load_model(path), [str(photos)], tmp_path / "stores" / "one", settings,
              part=Part(1, 2), workers=1)  # fmt: skip
    monkeypatch.setenv("CBAM_VIZ_STORES", str(tmp_path / "stores"))
    for view in ("layers", "classes", "curves", "channel", "photo", "unusual", "stores"):
        app = open_app("many", many_view=view)
        assert not app.exception
        assert not app.error
        if view in ("classes", "curves"):
            assert "have no classes" in app.info[0].value
        if view == "layers":
            assert "Between classes" not in table(app, "In words").columns


def test_a_figure_of_a_store_without_classes_opens_with_one_that_can_be_drawn(
    open_app, tmp_path, photos, monkeypatch
):
    path = write_tiny(tmp_path / "tiny.safetensors")
    loaded = cbam_viz.load_model(path)
    monkeypatch.setenv("CBAM_VIZ_STORES", str(tmp_path / "stores"))
    one = shutil.copytree(photos / "ant", tmp_path / "photos" / "ant").parent
    for labels, kinds in (
        ("none", {"Shares of variance", "Photos of a channel", "Unusual photos"}),
        ("folder", {"Curves of classes"}),  # of one class: there is nothing to compare
    ):
        store, settings = tmp_path / "stores" / labels, Settings(view="crop", labels=labels)
        run_batch(loaded, [str(one)], store, settings, workers=1)
        app = open_app("figure", fig_source="store", fig_store=labels)
        assert not app.exception
        assert not app.error
        shown = app.selectbox(key="figure_shows").options
        assert kinds <= set(shown)
        assert not {"Classes", "Distances"} & set(shown)
    assert "Two stores" in shown  # there are two by now


def test_words_for_the_shares_of_variance(stores):
    known = gate_summary(open_store(stores / "first"), "layer1.0.se", "channel")

    def told(*parts: float, **other) -> str:
        shares = dict(zip(("pattern", "classes", "photos"), parts, strict=True))
        return in_words(replace(known, shares=shares, **other))

    assert told(1.0, 0.0, 0.0, spread=np.zeros(8)).startswith("the same for every photo: a const")
    assert told(0.97, 0.01, 0.02).startswith("nearly the same for every photo")
    assert told(0.1, 0.2, 0.7) == "differs most between photos of a class"
    assert told(0.1, 0.0, 0.9, classes=()) == "differs most between photos"
    assert told(0.1, 0.6, 0.3) == "differs most between classes"
    assert "17 % differs" in told(0.83, 0.07, 0.10)
    assert told(1.0, 0.0, 0.0, photos=1) == "one photo: nothing to compare"


def begun(open_app, photos, folder, monkeypatch):
    """The page, with a store of these photos being made in an empty folder of stores."""
    shutil.copytree(photos, folder / "photos" / "mine")
    monkeypatch.setenv("CBAM_VIZ_STORES", str(folder))
    monkeypatch.setattr(job, "_last", [])
    app = open_app("many")
    app.button(key="many_make").click().run()
    return app


def test_a_store_is_made_stopped_and_gone_on_with(open_app, checkpoint_folder, photos, tmp_path,
                                                  monkeypatch):  # fmt: skip
    folder = tmp_path / "stores"
    app = begun(open_app, photos, folder, monkeypatch)
    running = job.current()
    assert running is not None
    assert running.store == folder / "mine-test"
    with pytest.raises(StoreError, match="is being made, and the app makes one at a time"):
        job.start(folder / "other", [])
    app.run()
    app.button(key="many_stop").click().run()
    assert not running.running
    assert "was stopped" in job.outcome(running)[1]
    app.run()
    app.button(key="many_make").click().run()
    running = job.current()
    deadline = time.monotonic() + 120
    while running.running and time.monotonic() < deadline:
        time.sleep(0.2)
    assert job.outcome(running) == (True, "The store mine-test is there.")
    assert job.progress(running.store) == job.Progress(PHOTOS, PHOTOS)
    assert open_app("many").selectbox(key="many_store").value == "mine-test"
    loaded = cbam_viz.load_model(checkpoint_folder / NAME)
    run_batch(loaded, [str(photos)], tmp_path / "same", Settings(view="crop"), workers=1)
    for shard in (tmp_path / "same" / "gates").iterdir():
        assert shard.read_bytes() == (running.store / "gates" / shard.name).read_bytes()


def test_a_figure_of_a_store_without_sums_says_that_they_are_made(open_app, stores, monkeypatch):
    """As one has that was made by an earlier version, or whose folder could not be written."""
    shutil.rmtree(stores / "first" / "summaries", ignore_errors=True)
    told = []

    @contextmanager
    def progress(words):
        yield lambda share, more="": told.append((words, share, more))

    monkeypatch.setattr(parts, "progress", progress)
    link = {"fig_source": "store", "fig_store": "first", "fig_shows": "variance"}
    app = open_app("figure", **link)
    assert not app.exception
    layers = [one["name"] for one in open_store(stores / "first").layers]
    assert {more for _, _, more in told} == {
        f"{layer}/{part}" for layer in layers for part in ("channel", "spatial")
    }
    assert {words for words, _, _ in told} == {"This store has no sums yet. They are made once:"}
    told.clear()
    open_app("figure", **link)
    assert not told


def test_the_photo_of_the_sidebar_against_a_store(open_app, checkpoint_folder, photos, tmp_path,
                                                  monkeypatch):  # fmt: skip
    loaded = cbam_viz.load_model(checkpoint_folder / NAME)
    for view in ("crop", "whole"):
        settings = Settings(view=view, precision="float32")
        run_batch(loaded, [str(photos)], tmp_path / "stores" / view, settings, workers=1)
    monkeypatch.setenv("CBAM_VIZ_STORES", str(tmp_path / "stores"))
    app = open_app("many", many_store="crop", many_view="this", many_layer="layer2.0.se")
    assert not app.exception
    values, _, _ = whole(tmp_path / "stores" / "crop", "layer2.0.se/channel")
    own = cbam_viz.analyse(loaded, cbam_viz.read_photo(samples()[0].path))
    z = (own.attention["layer2.0.se"].channel[0].numpy() - values.mean(0)) / values.std(0)
    shown = table(app, "z")
    assert len(shown) == 20
    np.testing.assert_allclose(np.abs(shown["z"]), np.sort(np.abs(z))[::-1][:20], rtol=1e-3)
    np.testing.assert_allclose(shown["z"], z[shown["Channel"]], rtol=1e-3)
    assert f"z over all channels {np.sqrt((z**2).mean()):.2f}" in app.markdown[-1].value
    app = open_app("many", many_store="whole", many_view="this")
    assert "what the network sees" in app.info[0].value


def test_a_photo_is_not_compared_with_a_store_of_another_network(many):
    assert "another network" in many(view="this").info[0].value


def test_a_run_that_cannot_be_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "_last", [])
    job.start(tmp_path / "store", [str(tmp_path / "none"), "--out", str(tmp_path / "store")])
    running = job.current()
    running.process.wait(60)
    good, text = job.outcome(running)
    assert not good
    assert text.startswith("The store store could not be made.")
    assert "none" in text


@pytest.fixture
def without_channels(stores) -> Path:
    """A store whose network has maps alone."""
    document = json.loads((stores / "first" / "store.json").read_text())
    for layer in document["layout"]["layers"]:
        layer["channels"] = None
    (stores / "first" / "store.json").write_text(json.dumps(document))
    return stores / "first"


def test_curves_of_a_network_without_channel_weights(many, without_channels):
    app = many(view="curves")
    assert "the network of this store has none" in app.info[0].value


def test_a_store_that_is_gone_is_not_silently_another_one(many, stores):
    app = many(store="second", view="channel")
    shutil.rmtree(stores / "second")
    app.run()
    assert app.selectbox(key="many_store").value == "first"
    (note,) = app.info
    assert note.value == "The store second is no longer there, so this is first."
    app.run()
    assert not app.info


def test_the_other_store_that_is_gone_is_said(many, stores):
    shutil.copytree(stores / "second", stores / "third")
    app = many(view="stores", other="third")
    assert not app.info
    shutil.rmtree(stores / "third")
    app.run()
    assert app.info[0].value == "The store third is no longer there, so this is second."
    app.selectbox(key="many_store").select("second").run()  # then the other one is the first
    assert app.selectbox(key="many_other").value == "first"
    assert not app.info


def test_stores_without_a_common_gate(many, stores):
    """The first that can be compared is offered; of one that cannot, it is said, and no error."""
    shutil.copytree(stores / "first", stores / "another")
    record = stores / "another" / "store.json"
    record.write_text(record.read_text().replace('"layer', '"other'))
    app = many(store="first", view="stores")
    assert app.selectbox(key="many_other").options == ["another", "second"]
    assert app.selectbox(key="many_other").value == "second"
    assert len(table(app, "Profile"))


@pytest.mark.parametrize("alike", [True, False])
def test_classes_are_compared_where_both_stores_have_them(many, stores, alike):
    if not alike:
        for shard in (stores / "second" / "gates").iterdir():
            rows = pq.read_table(shard)
            at = rows.column_names.index("label")
            names = pa.array([f"no {one}" for one in rows["label"].to_pylist()])
            field = rows.schema.field(at).with_type(names.type)
            pq.write_table(rows.set_column(at, field, names), shard)
        shutil.rmtree(stores / "second" / "summaries", ignore_errors=True)
    app = many(view="stores")
    shown = table(app, "Profile")
    assert ("Most changed class" in shown) is alike
    assert ("Its profile" in shown) is alike
    said = [one.value for one in app.caption if "no class in common" in one.value]
    assert bool(said) is not alike
    if alike:
        layer = shown["Module"][0]
        (one, labels, _), (other, _, _) = (
            whole(stores / name, f"{layer}/channel") for name in ("first", "second")
        )
        far = {
            label: np.sqrt(
                ((one[labels == label].mean(0) - other[labels == label].mean(0)) ** 2).mean()
            )
            for label in LABELS
        }
        assert shown["Most changed class"][0] == max(far, key=far.__getitem__)
        assert shown["Its profile"][0] == pytest.approx(max(far.values()), abs=1e-9)


def test_photos_that_could_not_be_read_are_counted(many, stores):
    """The first shard ought to hold eight."""
    shard = min((stores / "first" / "gates").iterdir())
    rows = pq.read_table(shard)
    pq.write_table(rows.slice(3), shard)
    assert open_store(stores / "first").unread == 3
    app = many()
    text = next(one.value for one in app.caption if one.value.startswith("24 photos"))
    assert "3 photos more could not be read or shown" in text
    assert "failed.csv" in text
    assert open_store(stores / "second").unread == 0


def test_of_many_classes_it_is_said_how_many_are_shown(many, monkeypatch):
    assert not any("classes are shown" in one.value for one in many(view="classes").caption)
    app = many(view="classes", classes="ant,cat")
    assert any("2 of 3 classes are shown" in one.value for one in app.caption)


def test_a_photo_stands_beside_those_that_are_nearest(many):
    app = many(view="photo", photo="5")
    assert len(app.get("image")) == 9  # it and eight others


def test_what_became_of_a_run_is_told_where_it_is_seen(open_app, checkpoint_folder, tmp_path,
                                                       monkeypatch):  # fmt: skip
    """A run that fails ends in an open box, with the reason, and its folder is still chosen."""
    folder = tmp_path / "stores"
    (folder / "photos" / "a").mkdir(parents=True)
    (folder / "photos" / "b").mkdir()
    monkeypatch.setenv("CBAM_VIZ_STORES", str(folder))
    monkeypatch.setattr(job, "_last", [])
    app = open_app("many", many_folder="b")
    assert not box_of(app).expanded
    app.button(key="many_make").click().run()
    job.current().process.wait(60)
    app.run()
    assert box_of(app).expanded
    assert "holds no images" in app.warning[0].value
    other = open_app("many")  # of another visitor, who looks for it
    assert not box_of(other).expanded
    assert other.selectbox(key="many_folder").value == "b"


def box_of(app):
    return next(one for one in app.expander if one.label == "Make a store").proto


def test_a_store_that_is_there_is_shown_by_a_button_and_said_what_it_is_of(
    open_app, checkpoint_folder, photos, tmp_path, monkeypatch
):
    folder = tmp_path / "stores"
    app = begun(open_app, photos, folder, monkeypatch)
    job.current().process.wait(120)
    app.run()
    assert app.success[0].value == "The store mine-test is there."
    assert app.selectbox(key="many_store").value == "sample:crops"  # what they looked at stays
    app.button(key="many_show").click().run()
    assert app.selectbox(key="many_store").value == "mine-test"
    assert not [one for one in app.button if one.key == "many_show"]
    assert any("was put into the folder or changed there since is not in it" in one.value
               for one in app.caption)  # fmt: skip
    record = folder / "mine-test" / "store.json"
    document = json.loads(record.read_text())
    document["made_with"]["checkpoint"] = "0" * 64
    record.write_text(json.dumps(document))
    app.run()
    assert any("was made with other weights of that network" in one.value for one in app.caption)
    shutil.rmtree(folder / "mine-test")
    app.run()
    assert "have been taken away since" in app.warning[0].value


def test_a_process_that_fails_with_the_status_of_some_photos_has_made_nothing(tmp_path):
    """Python's own status for an error is 1."""

    class Ended:
        def poll(self) -> int:
            return job.SOME_FAILED

    with (tmp_path / "said").open("w+b") as said:
        said.write(b"Error: no module\n")
        good, text = job.outcome(job.Job(tmp_path / "store", Ended(), said, 0.0, 0))
    assert not good
    assert text == "The store store could not be made. no module"


def test_a_photo_that_is_alone_has_no_nearest(many, stores):
    gates = sorted((stores / "first" / "gates").iterdir())
    for shard in gates[1:]:
        shard.unlink()
    pq.write_table(pq.read_table(gates[0]).slice(0, 1), gates[0])
    shutil.rmtree(stores / "first" / "summaries", ignore_errors=True)
    app = many(view="photo")
    assert app.info[0].value.startswith("No other photo of this store")
    assert not [one for one in app.dataframe if "Distance" in one.value]
