"""Shards that somebody has edited, or written to do harm: one sentence, soon, and no traceback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cbam_viz.dataset import checking, gate_summary, open_store, unusual
from cbam_viz.dataset.reading import SAMPLES, Store
from cbam_viz.dataset.showing import seen
from cbam_viz.errors import StoreError
from tests.cli.conftest import invoke

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

Change = Callable[[Any], Any]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The store that comes along, as a visitor's own, without sums."""
    shutil.copytree(SAMPLES / "crops", tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "summaries", ignore_errors=True)
    return tmp_path / "store"


def edit(store: Path, change: Change) -> None:
    path = sorted((store / "gates").iterdir())[0]
    pq.write_table(change(pq.read_table(path)), path)


def column(name: str, value: Any, kind: Any = None) -> Change:
    """Every photo has that value there."""

    def change(table: Any) -> Any:
        name_there = _gate(table) if name == "gate" else name
        place = table.column_names.index(name_there)
        return table.set_column(place, name_there, pa.array([value] * table.num_rows, kind))

    return change


def _gate(table: Any) -> str:
    return str(next(name for name in table.column_names if name.endswith("/channel")))


def look(store: Store) -> None:
    """All that is read of a shard."""
    layer, part = store.gates()[0]
    gate_summary(store, layer, part)
    gate_summary(store, *store.gates("spatial")[0])
    unusual(store, layer)
    seen(store, 0, (layer,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (column("gate", "text"), "is no column of lists"),
        (column("gate", [[1.0]]), "has lists of list"),
        (column("gate", ["x"]), "has lists of string"),
        (column("gate", [None, 1.0]), "has gaps within its lists"),
        (column("gate", [0.5]), "values a photo"),
        (column("label", 1), "label is of int64"),
        (column("label", ["a"]), "label is of list"),
        (column("name", b"\xff"), "name is of binary"),
        (column("name", None, pa.string()), "name has gaps"),
        (column("photo", "x"), "photo is of string"),
        (column("photo", None, pa.int64()), "photo has gaps"),
        (column("photo", -1), "numbers that are none of a plan"),
        (column("photo", 2**62), "numbers that are none of a plan"),
        (column("photo_height", 0), "is no side of a photo"),
        (column("photo_width", -3), "is no side of a photo"),
        (column("photo_height", None, pa.int32()), "photo_height has gaps"),
        (column("input_height", 2**40), "is no side of a photo"),
        (column("scale_y", float("nan")), "scale_y has values that no photo has"),
        (column("scale_x", 0.0), "scale_x has values that no photo has"),
        (column("offset_y", float("inf")), "offset_y has values that no photo has"),
        (column("border", "#12"), "border has values"),
        (column("border", "#zzzzzz"), "border has values"),
        (column("view", "<b>"), "view has values"),
        (column("name", "n" * 2**23), "name is larger than that of any shard"),
        (lambda table: table.drop_columns([_gate(table)]), "has no column"),
        (lambda table: pa.concat_tables([table] * 40), "rows, and a shard 256 at most"),
    ],
)  # fmt: skip
def test_what_no_run_has_written_is_a_sentence(store: Path, change: Change, said: str) -> None:
    edit(store, change)
    with pytest.raises(StoreError, match=f"is damaged .*{said}"):
        look(open_store(store))


def test_a_column_that_would_fill_memory_is_not_unpacked(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few bytes of Parquet may stand for gigabytes."""
    edit(store, column("gate", [0.0] * 2**12))
    path = sorted((store / "gates").iterdir())[0]
    values = pq.read_metadata(path).num_rows * 2**12
    monkeypatch.setattr(checking, "MAX_VALUES", values - 1)
    with pytest.raises(StoreError, match="is larger than that of any shard"):
        open_store(store)
    monkeypatch.setattr(checking, "MAX_VALUES", values)
    assert open_store(store).photos.num_rows


@pytest.mark.parametrize(
    ("key", "value"),
    [("channels", -3), ("channels", 2**40), ("map_size", [0, 7]), ("map_size", [2**19, 2**19])],
)  # fmt: skip
def test_gates_of_no_network(store: Path, key: str, value: Any) -> None:
    path = store / "store.json"
    document = json.loads(path.read_text())
    document["layout"]["layers"][0][key] = value
    path.write_text(json.dumps(document))
    with pytest.raises(StoreError, match="describes no store, or is damaged"):
        open_store(store)


def test_files_of_other_names_are_no_shards(store: Path) -> None:
    before = open_store(store).files
    for name in ("9x.parquet", "²7.parquet", "000000 (copy).parquet"):
        (store / "gates" / name).write_bytes(b"")
    assert open_store(store).files == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="not on Windows: needs named pipes")
def test_a_pipe_is_not_waited_for(store: Path) -> None:
    path = sorted((store / "gates").iterdir())[0]
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match="is damaged"):
        open_store(store)


def test_columns_that_another_program_has_written_will_do(store: Path) -> None:
    """As pandas writes them again: large texts, 64-bit numbers, lists of any length."""

    def change(table: Any) -> Any:
        for name in table.column_names:
            kind = table[name].type
            if pa.types.is_string(kind):
                kind = pa.large_string()
            elif pa.types.is_integer(kind):
                kind = pa.int64()
            elif pa.types.is_fixed_size_list(kind):
                kind = pa.list_(pa.float32())
            place = table.column_names.index(name)
            table = table.set_column(place, name, table[name].cast(kind))
        return table

    before = gate_summary(open_store(store), *open_store(store).gates()[0])
    edit(store, change)
    opened = open_store(store)
    look(opened)
    after = gate_summary(opened, *opened.gates()[0])
    assert (after.mean == before.mean).all()
    assert (after.spread == before.spread).all()


def test_names_move_no_terminal(store: Path) -> None:
    edit(store, column("name", "\x1b[31mred\n\u202e" + "x" * 500))
    layer = open_store(store).gates()[0][0]
    said = invoke("stats", store, "--layer", layer)
    assert said.exit_code == 0
    assert "\\x1b[31mred\\n\\u202e" in said.stdout
    assert not {"\x1b", "\u202e"} & set(said.stdout)
    assert max(map(len, said.stdout.splitlines())) < 300
