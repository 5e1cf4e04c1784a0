"""The file for embedding-atlas, read by pandas and DuckDB."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cbam_viz
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.dataset import open_store
from cbam_viz.dataset.atlas import SIDE, export_atlas
from cbam_viz.errors import StoreError
from tests.cli.conftest import invoke, write_photo, write_tiny

pd = pytest.importorskip("pandas")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atlas")
    for number in range(10):
        write_photo(folder / "photos" / "ab"[number % 2] / f"{number}.png", seed=number)
    loaded = cbam_viz.load_model(write_tiny(folder / "tiny.safetensors"))
    settings = Settings(view="crop", precision="float32")
    run_batch(loaded, [str(folder / "photos")], folder / "store", settings)
    (folder / "photos" / "a" / "4.png").unlink()
    write_photo(folder / "photos" / "b" / "5.png", seed=99)  # another photo in its place
    return folder / "store"


def test_vectors_thumbnails_and_labels(store: Path, tmp_path: Path) -> None:
    ended = invoke("stats", store, "--export", tmp_path / "atlas.parquet", "--json")
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    frame = pd.read_parquet(tmp_path / "atlas.parquet")
    known = pq.read_table(store / "gates")
    layers = [layer for layer, _ in open_store(store).gates("channel")]
    assert told["vectors"] == [f"{layer}/channel" for layer in layers]
    words = shlex.split(told["command"])
    assert words[:2] == ["embedding-atlas", str(tmp_path / "atlas.parquet")]
    assert words[2:] == ["--vector", f"{layers[-1]}/channel", "--image", "image"]
    for name in ("photo", "name", "sha256", "label", "prediction", "probability"):
        assert frame[name].tolist() == known[name].to_pylist()
    for name in told["vectors"]:
        wanted = np.array(known[name].to_pylist(), np.float32)
        np.testing.assert_array_equal(np.stack(frame[name].to_list()), wanted)
    gone = {"a/4.png", "b/5.png"}
    for name, image in zip(frame["name"], frame["image"], strict=True):
        assert (image is None) == (name in gone)
        if image is not None:
            with Image.open(io.BytesIO(image["bytes"])) as shown:
                assert max(shown.size) <= SIDE
            assert image["path"] == name


def test_duckdb_reads_it(store: Path, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    (vector,) = export_atlas(open_store(store), tmp_path / "a.parquet", ["layer1.0.se"])
    rows = duckdb.sql(
        f"SELECT label, avg(\"{vector}\"[1]), count(image.bytes) FROM '{tmp_path}/a.parquet' "
        "GROUP BY label ORDER BY label"
    ).fetchall()
    known = pq.read_table(store / "gates")
    values = np.array(known[vector].to_pylist())[:, 0]
    labels = np.array(known["label"].to_pylist())
    assert [row[0] for row in rows] == ["a", "b"]
    assert [row[2] for row in rows] == [4, 4]
    for label, mean, _ in rows:
        assert mean == pytest.approx(values[labels == label].mean(), rel=1e-6)


def test_without_thumbnails_and_of_what_is_not_there(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    ended = invoke("stats", store, "--export", path, "--no-thumbnails", "--layer", "layer4.0.se")
    assert ended.exit_code == 0, ended.output
    assert "--image" not in ended.stdout
    assert set(pd.read_parquet(path)) == {
        "photo", "name", "sha256", "label", "prediction", "probability", "layer4.0.se/channel",
    }  # fmt: skip
    assert invoke("stats", store, "--export", path).exit_code == 3  # is there already
    with pytest.raises(StoreError, match="has no layer 'nothing'"):
        export_atlas(open_store(store), tmp_path / "b.parquet", ["nothing"])
    with pytest.raises(StoreError, match="cannot be written"):
        export_atlas(open_store(store), tmp_path / "none" / "b.parquet")
    assert not (tmp_path / "b.parquet").exists()
