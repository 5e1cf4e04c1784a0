"""The store that comes along: of the network that opens first, with all of its photos."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import cbam_viz
from cbam_viz._places import checkpoints_folder
from cbam_viz.dataset import gate_summary, open_store, sample_stores
from cbam_viz.dataset.against import differing
from cbam_viz.dataset.originals import original
from cbam_viz.errors import StoreError
from cbam_viz.images import DEFAULT_VIEW, samples
from cbam_viz.models import LoadedModel
from cbam_viz.models.metadata import default_checkpoint
from tests.cli.conftest import invoke

pytest.importorskip("pyarrow.parquet")


def opens_first() -> LoadedModel:
    entry = default_checkpoint(checkpoints_folder())
    assert entry is not None
    return cbam_viz.load_model(entry.path)


def test_it_is_of_the_network_that_opens_first() -> None:
    store = open_store("sample:crops")
    assert differing(store, opens_first(), DEFAULT_VIEW) == ""
    assert store.classes == tuple(sorted(sample.name for sample in samples()))
    assert [list(store.groups).count(n) for n in range(4)] == [25] * 4


def test_its_photos_are_there_wherever_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sample:crops")
    for photo in store.photos.to_pylist():
        content = original(store, photo["photo"])
        assert content is not None
        assert hashlib.sha256(content).hexdigest() == photo["sha256"]


def test_its_gates_are_those_of_the_network() -> None:
    """One photo captured again."""
    store = open_store("sample:crops")
    loaded = opens_first()
    content = original(store, 60)
    assert content is not None
    analysis = cbam_viz.analyse(loaded, cbam_viz.read_photo(content))
    layer, _ = store.gates("channel")[-1]
    told = store.columns_of(store.row_of(60), [f"{layer}/channel", "prediction"])
    gates = analysis.attention[layer].channel[0].numpy()
    np.testing.assert_allclose(told[f"{layer}/channel"], gates, atol=1e-3)  # of float16
    assert told["prediction"] == analysis.predictions[0].label


def test_nothing_is_written_into_the_package() -> None:
    store = open_store("sample:crops")
    assert gate_summary(store, *store.gates()[0]).photos == 100
    assert not (store.path / "summaries").exists()


def test_the_command_line_takes_it_by_its_name(tmp_path: Path) -> None:
    ended = invoke("stats", "sample:crops", "--json")
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout)["photos"] == 100
    target = tmp_path / "f.svg"
    made = invoke("figure", "--store", "sample:crops", "--layout", "distances", "-o", target,
                  "--with", "manifest")  # fmt: skip
    assert made.exit_code == 0, made.output
    again = invoke("figure", "--from", tmp_path / "f.manifest.json", "-o", tmp_path / "g.svg")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "g.svg").read_bytes() == target.read_bytes()
    assert sample_stores() == ("crops",)
    with pytest.raises(StoreError, match="is no store"):
        open_store("sample:other")
