"""A store of one photo says nothing of what varies between photos: no share, no constant."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import cbam_viz
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.dataset import gate_summary, open_store
from cbam_viz.dataset.against import against
from tests.cli.conftest import invoke, write_photo, write_tiny

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    write_photo(folder / "photos" / "only.png", seed=3)
    loaded = cbam_viz.load_model(write_tiny(folder / "tiny.safetensors", default=True))
    run_batch(loaded, [str(folder / "photos")], folder / "store", Settings(view="crop"))
    return folder / "store"


def test_variance_of_one_photo_has_no_shares(store: Path, tmp_path: Path) -> None:
    opened = open_store(store)
    for gate in opened.gates():
        assert all(np.isnan(share) for share in gate_summary(opened, *gate).shares.values())
    ended = invoke("stats", store, "--csv", tmp_path / "t.csv")
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.startswith("1 photo of 0 classes")
    lines = [line for line in ended.stdout.splitlines() if " channel " in line]
    assert len(lines) == len(opened.gates("channel"))
    assert all(line.split()[-3:] == ["–"] * 3 for line in lines)
    for row in csv.DictReader((tmp_path / "t.csv").open(encoding="utf-8")):
        assert {row[f"variance_{one}"] for one in ("pattern", "classes", "photos")} == {"nan"}
    told = json.loads(invoke("stats", store, "--json").stdout)
    assert {value for one in told["gates"] for value in one["variance"].values()} == {None}


def test_a_figure_of_one_photo_does_not_call_its_gates_constant(
    store: Path, tmp_path: Path
) -> None:
    for layout, said in (
        ("variance", "shares out variance between photos, and the store has 1"),
        ("unusual", "has 1 photo with gates of"),
    ):
        out = tmp_path / f"{layout}.png"
        ended = invoke("figure", "--store", store, "--layout", layout, "-o", out)
        assert ended.exit_code == 3, ended.output
        assert said in ended.stderr
        assert "same for every photo" not in ended.stderr
        assert not out.exists()


def test_no_channel_is_constant_over_one_photo(store: Path) -> None:
    opened = open_store(store)
    summary = gate_summary(opened, opened.gates("channel")[0][0], "channel")
    found = against(summary, summary.mean + 0.1)
    assert not found.constant.any()
    assert not found.moved.any()
    assert np.isnan(found.whole)
    assert found.store.note


def test_stats_takes_a_layer_by_its_place(store: Path) -> None:
    names = [layer for layer, _ in open_store(store).gates("channel")]
    for place, name in (("-1", names[-1]), ("0", names[0])):
        told = json.loads(invoke("stats", store, "--layer", place, "--json").stdout)
        assert {one["layer"] for one in told["gates"]} == {name}
    ended = invoke("stats", store, "--layer", "99")
    assert ended.exit_code == 3
    assert "no attention layer '99'" in ended.stderr


def test_the_export_is_called_parquet_and_its_folder_is_made(store: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "atlas.csv"
    ended = invoke("stats", store, "--export", wrong)
    assert ended.exit_code == 2
    assert ".parquet" in ended.stderr
    assert not wrong.exists()
    out = tmp_path / "new" / "atlas.parquet"
    ended = invoke("stats", store, "--export", out, "--layer", "-1")
    assert ended.exit_code == 0, ended.output
    assert out.read_bytes()[:4] == b"PAR1"
