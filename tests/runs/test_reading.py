"""Runs that somebody has edited, mixed up, or made to fill memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbam_viz.errors import StoreError
from cbam_viz.runs import log_gates, open_run, run_numbers
from tests.runs.nets import Gated
from tests.runs.test_log import probes

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

KEY = b"cbam_viz"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("runs") / "whole"
    for epoch in (0, 1, 2):
        log_gates(Gated(), epoch, probes(), folder)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def file_of(run: Path, number: int = 1) -> Path:
    return run / "epochs" / f"{number:09}.parquet"


def rewritten(run: Path, change: Callable[[Any], Any]) -> None:
    table = parquet.read_table(file_of(run))
    changed = change(table)
    told = changed.schema.metadata or table.schema.metadata
    parquet.write_table(changed.replace_schema_metadata(told), file_of(run), compression="zstd")


def column(name: str, values: Any) -> Callable[[Any], Any]:
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values))


def described(change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
    def changed(table: Any) -> Any:
        document = json.loads(table.schema.metadata[KEY])
        change(document)
        return table.replace_schema_metadata({KEY: json.dumps(document).encode()})

    return changed


def first_layer(document: dict[str, Any]) -> dict[str, Any]:
    layer: dict[str, Any] = next(iter(document["layers"].values()))
    return layer


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (column("scale_y", [np.inf, 1.0]), "scale_y has values that no photo has"),
        (column("scale_y", [None, 1.0]), "scale_y has gaps"),
        (column("photo_height", [2**31 - 1, 16]), "no side of a photo"),
        (column("border", ["zz", None]), "border has values that are no colours"),
        (lambda table: table.drop_columns(["offset_x"]), "it has no column offset_x"),
        (described(lambda told: told.update(layers={})), "it is of other layers"),
        (described(lambda told: told.update(layers=[1, 2])), "it is of other layers"),
        (described(lambda told: first_layer(told).update(key="x")), "it mixes up its layers"),
        (described(lambda told: first_layer(told).update(cells=[1])), "damaged"),
        (described(lambda told: told.update(epoch=2)), "it is of epoch 2"),
        (described(lambda told: told.pop("source")), "damaged"),
    ],
)
def test_an_edited_file_is_said(change: Callable[[Any], Any], said: str, run: Path) -> None:
    rewritten(run, change)
    with pytest.raises(StoreError, match=said) as raised:
        run_numbers(open_run(run))
    assert str(raised.value).endswith("Remove it: the run is then shown without this epoch.")
    file_of(run).unlink()
    assert {one.number for one in run_numbers(open_run(run))} == {0, 2}


def test_the_file_of_another_epoch_does_not_stand_for_this_one(run: Path) -> None:
    shutil.copy(file_of(run, 2), file_of(run, 1))
    with pytest.raises(StoreError, match="it is of epoch 2"):
        open_run(run).epoch(1)


@pytest.mark.parametrize("name", [None, "more"])
def test_a_small_file_that_would_fill_memory_is_not_read(
    name: str | None, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a million zeros for each photo in some kilobytes, in a gate's column and beside it."""
    monkeypatch.setattr("cbam_viz.dataset.checking.MAX_VALUES", 2**19)
    values = np.zeros(2**20, np.float32)
    bomb = pa.FixedSizeListArray.from_arrays(pa.array(values), len(values) // 2)

    def swollen(table: Any) -> Any:
        gate = next(one for one in table.column_names if one.endswith("/channel"))
        kept = table.drop_columns([gate]) if name is None else table
        return kept.append_column(name or gate, bomb)

    rewritten(run, swollen)
    assert file_of(run).stat().st_size < 100_000
    with pytest.raises(StoreError, match="is larger than that of any shard"):
        open_run(run).epoch(1)


@pytest.mark.parametrize("name", ["1", "9" * 200, "1²"])
def test_files_by_other_names_are_no_epochs(name: str, run: Path) -> None:
    shutil.copy(file_of(run), run / "epochs" / f"{name}.parquet")
    assert open_run(run).numbers == (0, 1, 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["layout"].update(layers=[]),
        lambda record: record["layout"]["layers"].append(record["layout"]["layers"][0]),
        lambda record: record.update(probes=[]),
    ],
)
def test_a_description_without_layers_or_photos(
    change: Callable[[dict[str, Any]], Any], run: Path
) -> None:
    record = json.loads((run / "run.json").read_text())
    change(record)
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match="describes no run: it has no layers"):
        open_run(run)
