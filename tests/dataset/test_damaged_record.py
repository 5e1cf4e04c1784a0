"""`store.json` of other types, ranges or layers is refused in one sentence, whoever reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cbam_viz
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from tests.cli.conftest import invoke, write_photo, write_tiny

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for number in range(10):  # two parts
        write_photo(folder / "photos" / f"{number}.png", seed=number)
    loaded = cbam_viz.load_model(write_tiny(folder / "tiny.safetensors", default=True))
    run_batch(loaded, [str(folder / "photos")], folder / "store", Settings(view="crop"))
    return folder / "store"


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "layers": lambda told: told.update(layers="x"),
    "layers[0]": lambda told: told.update(layers=[1]),
    "nothing is said of": lambda told: told["layers"].pop(),
    "photos": lambda told: told.update(photos="16"),
    "shard_size": lambda told: told.update(shard_size=0),
    "classes": lambda told: told.update(classes=5),
    "model": lambda told: told.update(model=None),
    "view": lambda told: told.update(view="both"),
    "input": lambda told: told.update(input=[]),
    "made_with": lambda told: told.update(made_with={"network": 3}),
    "layout.precision": lambda told: told["layout"].update(precision="int8"),
    "layout.layers[0].map_size": lambda told: told["layout"]["layers"][0].update(map_size=[1]),
}


@pytest.mark.parametrize("place", DAMAGE)
def test_a_record_of_other_types_is_refused(store: Path, tmp_path: Path, place: str) -> None:
    shutil.copytree(store, tmp_path / "store")
    path = tmp_path / "store" / "store.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    DAMAGE[place](told)
    path.write_text(json.dumps(told), encoding="utf-8")
    out = tmp_path / "f.png"
    for words in (("stats", path.parent), ("figure", "--store", path.parent, "-o", out,
                                           "--layout", "unusual")):  # fmt: skip
        ended = invoke(*words)
        assert ended.exit_code == 3, ended.output
        assert "describes no store, or is damaged" in ended.stderr
        assert place in ended.stderr
        assert not out.exists()


def test_layers_that_cannot_be_put_together_are_an_error(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    path = tmp_path / "store" / "store.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    for one in told["layers"]:
        one["cells"] = 7
    path.write_text(json.dumps(told), encoding="utf-8")
    out = tmp_path / "f.png"
    ended = invoke("figure", "--store", path.parent, "-o", out, "--layout", "unusual")
    assert ended.exit_code == 3, ended.output
    assert "does not describe its layers" in ended.stderr
    assert not out.exists()


def test_stats_says_that_parts_are_missing(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    sorted((tmp_path / "store" / "gates").glob("*.parquet"))[-1].unlink()
    ended = invoke("stats", tmp_path / "store")
    assert ended.exit_code == 0
    assert "1 of the store's 2 parts is missing" in ended.stderr
    assert "missing" not in invoke("stats", store).stderr
