"""Page Training: a run with known gates by epoch, the one that comes along, and what is no run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from cbam_viz.runs import log_gates, open_run, run_numbers
from tests.runs.nets import LAYERS, network, set_gates

pa = pytest.importorskip("pyarrow")

EPOCHS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run of four epochs whose first map collapses at the third."""
    folder = tmp_path_factory.mktemp("runs")
    model = network()
    probes = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    set_gates(model, {LAYERS[1]: (0.5, 0.5)})
    for epoch in EPOCHS:
        set_gates(model, {LAYERS[0]: (0.1 * epoch, 0.01 if epoch >= 3 else 0.2 * epoch)})
        if epoch == 3:
            set_gates(model, {LAYERS[1]: (0.3, 0.96)})
        log_gates(model, epoch, probes, folder / "mine" / "gates", names=["one", "two"])
    (folder / "later").mkdir()
    torch.save({"epoch": 1}, folder / "later" / "epoch_1.pth")
    return folder


@pytest.fixture
def runs(made, tmp_path, monkeypatch) -> Path:
    folder = shutil.copytree(made, tmp_path / "runs")
    monkeypatch.setenv("CBAM_VIZ_RUNS", str(folder))
    return folder


@pytest.fixture
def training(runs, open_app):
    def show(**params):
        app = open_app("training", **{f"training_{name}": value for name, value in params.items()})
        assert not app.exception
        return app

    return show


def curves(app) -> dict[tuple[str, int], float]:
    (chart,) = app.get("vega_lite_chart")
    layers = json.loads(chart.proto.spec)["layer"]
    unit = layers[0]["encoding"]["x"]["field"]
    named = {f"stage {number}, block 1": f"layer{number}.0.se" for number in range(1, 5)}
    return {(named[one["layer"]], one[unit]): one["value"] for one in layers[0]["data"]["values"]}


def test_the_first_visit_shows_the_run_that_comes_along(open_app, tmp_path, monkeypatch):
    monkeypatch.setenv("CBAM_VIZ_RUNS", str(tmp_path / "none"))
    app = open_app("training")
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="training_run").value == "sample:shapes"
    run = open_run("sample:shapes")
    assert len(app.get("image")) == 1 + 1 + len(run.numbers)  # large, its colours, the strip
    wanted = {
        (one.layer, one.number): one.mean for one in run_numbers(run) if one.part == "spatial"
    }
    assert curves(app) == pytest.approx(wanted, abs=1e-5)
    assert app.query_params["training_run"] == "sample:shapes"
    assert not (tmp_path / "none").exists()


def test_warnings_say_which_gate_and_since_when(training):
    app = training()
    assert app.selectbox(key="training_run").value == "mine"
    told = [one.value.replace("\\", "") for one in app.markdown if ":material/flag:" in one.value]
    ours = [text for text in told if LAYERS[0] in text or LAYERS[1] in text]
    first, second = (f"stage {n + 1}, block 1 ({LAYERS[n]})" for n in range(2))
    assert len(ours) == 5  # the two below, and three gates of one number that are constant
    assert f"The spatial map of {first} is collapsed since epoch 3: 100 %" in told[0]
    assert f"The spatial map of {second} is saturated since epoch 3" in told[1]
    passed = " ".join(one.value.replace("\\", "") for one in app.caption)
    assert f"The spatial map of {first} was constant from epoch 1" in passed


def test_curves_and_numbers_are_those_of_the_gates(training):
    app = training(gate="channel", number="mean", layer=LAYERS[0], at="2")
    found = curves(app)
    for epoch in EPOCHS:
        assert found[LAYERS[0], epoch] == pytest.approx(0.1 * epoch, abs=1e-6)
    table = next(one.value for one in app.dataframe if "Channel weights" in one.value)
    row = dict(zip(table.iloc[:, 0], table["Spatial map"], strict=True))
    assert row["Mean"] == pytest.approx(0.4, abs=1e-6)
    assert row["Change from before"] == pytest.approx(0.2, abs=1e-6)
    assert row["Distance to the last"] == pytest.approx(0.39, abs=1e-6)
    app.selectbox(key="training_number").select("saturated").run()
    app.segmented_control(key="training_gate").select("spatial").run()
    found = curves(app)
    assert [found[LAYERS[0], epoch] for epoch in EPOCHS] == [0, 0, 1, 1]


def test_the_slider_photo_and_layer_are_in_the_link(training):
    app = training()
    slider = app.select_slider(key="training_at")
    assert slider.value == 4
    slider.set_value(2).run()
    app.selectbox(key="training_layer").select(LAYERS[0]).run()
    assert not app.exception
    assert app.query_params["training_at"] == "2"
    assert app.query_params["training_layer"] == LAYERS[0]
    app = training(at="77", run="../mine", layer="none")
    assert app.select_slider(key="training_at").value == 4
    assert app.selectbox(key="training_run").value == "mine"


def test_checkpoints_that_wait_are_named(training):
    text = " ".join(one.value.replace("\\", "") for one in training().caption)
    assert "Not measured yet: later. The command cbam-viz watch" in text


def no_schema(run: Path) -> None:
    (run / "run.json").write_text("{}")


def cut(run: Path) -> None:
    path = sorted((run / "epochs").iterdir())[1]
    path.write_bytes(path.read_bytes()[:300])


def empty(run: Path) -> None:
    shutil.rmtree(run / "epochs")


@pytest.mark.parametrize(
    ("harm", "said"),
    [(no_schema, "describes no run"), (cut, "is damaged"), (empty, "holds no epoch yet")],
)
def test_what_is_wrong_with_a_run_is_one_sentence(training, runs, harm, said):
    harm(runs / "mine" / "gates")
    app = training(run="mine")
    (error,) = app.error
    assert said in error.value.replace("\\", "")
    app.selectbox(key="training_run").select("sample:shapes").run()
    assert not app.error
    assert curves(app)


def test_a_picture_that_is_gone_is_grey_and_maps_are_there_still(training, runs):
    (runs / "mine" / "gates" / "photos" / "000.jpg").unlink()
    app = training(run="mine")
    assert not app.error
    assert curves(app)


def test_an_epoch_that_comes_while_the_page_is_open_is_shown(training, runs):
    app = training()
    source = runs / "mine" / "gates" / "epochs" / "000000004.parquet"
    assert {epoch for _, epoch in curves(app)} == set(EPOCHS)
    hidden = source.rename(runs / "hidden")
    app.run()
    assert {epoch for _, epoch in curves(app)} == {1, 2, 3}
    hidden.rename(source)
    app.run()
    assert {epoch for _, epoch in curves(app)} == set(EPOCHS)
