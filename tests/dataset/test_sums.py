"""Views of all photos read sums that are kept, not gates; they are the same however they grew."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from cbam_viz.dataset import (
    GateSummary,
    Store,
    gate_summary,
    open_store,
    reading,
    sum_up,
)
from cbam_viz.dataset.sums import is_summed, telling
from tests.cli.conftest import invoke, write_photo, write_tiny

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SHARDS = 4


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of 32 photos, as the command leaves it: 4 shards of 3 classes each."""
    folder = tmp_path_factory.mktemp("sums")
    labels = ["file,label"]
    for number in range(32):
        write_photo(folder / "photos" / f"{number:02}.png", seed=number)
        labels.append(f"{number:02}.png,{'abc'[number % 3]}")
    (folder / "labels.csv").write_text("\n".join(labels) + "\n")
    write_tiny(folder / "tiny.safetensors")
    made = invoke("batch", folder / "photos", "--out", folder / "store", "--checkpoint",
                  folder / "tiny.safetensors", "--labels", folder / "labels.csv",
                  "--workers", "1")  # fmt: skip
    assert made.exit_code == 0, made.output
    assert len(list((folder / "store" / "gates").iterdir())) == SHARDS
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Shard and column of every gate that is read, as views open them."""
    found: list[tuple[str, str]] = []
    original = reading._read

    def noting(file: Path, columns: list[str]) -> object:
        found.extend((file.name, name) for name in columns if "/" in name)
        return original(file, columns)

    monkeypatch.setattr(reading, "_read", noting)
    return found


def last(store: Path) -> str:
    return open_store(store).gates("channel")[-1][0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("stats", "store"),
        ("stats", "store", "--json"),
        ("stats", "store", "--against", "store"),
        ("stats", "store", "--csv", "out.csv", "--force"),
        ("figure", "--store", "store", "--layout", "variance", "-o", "out.svg", "--force"),
        ("figure", "--store", "store", "--layout", "distances", "-o", "out.svg", "--force"),
        ("figure", "--store", "store", "-o", "out.svg", "--force"),
        ("figure", "--store", "store", "--plot", "curves", "--spread",
         "--per-class", "50", "-o", "out.svg", "--force"),
    ],
    ids=lambda arguments: " ".join(arguments[:6]),
)  # fmt: skip
def test_no_gate_is_read_for_what_sums_say(
    arguments: tuple[str, ...],
    stores: Path,
    read: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(stores)
    ended = invoke(*arguments)
    assert ended.exit_code == 0, ended.output
    assert read == []


def test_single_photos_take_one_column(stores: Path, read: list[tuple[str, str]]) -> None:
    layer = last(stores / "store")
    ended = invoke("stats", stores / "store", "--layer", layer)  # with the unusual ones
    assert ended.exit_code == 0, ended.output
    column = f"{layer}/channel"
    assert sorted(read) == [(f"{n:06}.parquet", column) for n in range(SHARDS)]


def test_few_photos_of_few_classes_take_their_shards_alone(
    stores: Path, tmp_path: Path, read: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paper's figure: the mean of all classes is of sums, and others' photos are not read."""
    shutil.copytree(stores / "store", tmp_path / "store")
    gates = tmp_path / "store" / "gates"
    for n, file in enumerate(sorted(gates.iterdir())):  # in the order of classes
        table = pq.read_table(file)
        labels = pa.array([["a"], ["a"], ["b"], ["c"]][n] * table.num_rows)
        at = table.schema.get_field_index("label")
        table = table.set_column(at, table.schema.field(at), labels)
        pq.write_table(table, file)
    store = open_store(tmp_path / "store")
    sum_up(store)
    read.clear()
    monkeypatch.chdir(tmp_path)
    ended = invoke("figure", "--store", "store", "--plot", "curves", "--per-class", "2",
                   "--class", "a", "--class", "c", "--layer", "-1", "-o", "out.svg")  # fmt: skip
    assert ended.exit_code == 0, ended.output
    layer = last(tmp_path / "store")
    wanted = [(f"{n:06}.parquet", f"{layer}/channel") for n in (0, 1, 3)]
    assert sorted(read) == wanted
    found = gate_summary(store, layer, "channel", 2, ("c",))
    values = np.stack(pq.read_table(gates / "000003.parquet")[f"{layer}/channel"].to_numpy())
    np.testing.assert_allclose(found.class_mean, values[[0, 7]].mean(0)[None], atol=1e-7)
    assert (found.classes, found.count.tolist()) == (("c",), [2])


def test_what_is_there_is_not_read_again(
    stores: Path, tmp_path: Path, read: list[tuple[str, str]]
) -> None:
    """A store that is looked at while it grows, with a gap too, and one summed up at once."""
    whole, growing = stores / "store", tmp_path / "growing"
    shutil.copytree(whole, growing)
    shutil.rmtree(growing / "summaries")
    files = sorted((growing / "gates").iterdir())
    for file in files[1:]:
        file.rename(tmp_path / file.name)
    gate = last(whole), "channel"

    def come(number: int) -> Store:
        (tmp_path / files[number].name).rename(files[number])
        read.clear()
        return open_store(growing)

    def looked_at() -> list[str]:
        return [name.partition(".")[0][-1] for name, _ in read]

    assert gate_summary(open_store(growing), *gate).photos == 8
    assert gate_summary(come(2), *gate).photos == 16
    assert looked_at() == ["2"]
    assert gate_summary(open_store(growing), *gate).photos == 16
    assert looked_at() == ["2"]  # by an earlier call
    assert gate_summary(come(1), *gate).photos == 24
    assert looked_at() == ["1", "2"]
    found = gate_summary(come(3), *gate)
    assert looked_at() == ["3"]
    wanted = gate_summary(open_store(whole), *gate)
    for field in fields(GateSummary):  # to the last bit
        np.testing.assert_equal(getattr(found, field.name), getattr(wanted, field.name))
    values = np.stack(pq.read_table(whole / "gates", columns=["/".join(gate)])[0].to_numpy())
    np.testing.assert_allclose(found.mean, values.astype(np.float64).mean(0), atol=1e-12)
    np.testing.assert_allclose(found.spread, values.astype(np.float64).std(0), atol=1e-12)


def test_a_shard_made_anew_counts_anew(
    stores: Path, tmp_path: Path, read: list[tuple[str, str]]
) -> None:
    shutil.copytree(stores / "store", tmp_path / "store")
    gate = last(tmp_path / "store"), "channel"
    sum_up(open_store(tmp_path / "store"))
    file = tmp_path / "store" / "gates" / "000001.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(0, 5).replace_schema_metadata(table.schema.metadata), file)
    read.clear()
    assert gate_summary(open_store(tmp_path / "store"), *gate).photos == 29
    assert len(read) == SHARDS


def test_a_store_without_sums_has_the_same(stores: Path, tmp_path: Path) -> None:
    shutil.copytree(stores / "store", tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "summaries")
    gates = open_store(stores / "store").gates()
    for gate in gates:
        old, new = (gate_summary(open_store(one / "store"), *gate) for one in (tmp_path, stores))
        np.testing.assert_equal(old.class_mean, new.class_mean)
        assert old.numbers == new.numbers
    assert len(list((tmp_path / "store" / "summaries").iterdir())) == len(gates)


def test_summing_up_is_told_of_once(
    stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cbam_viz.cli import summing

    monkeypatch.setattr(summing, "PATIENCE", 0)
    shutil.copytree(stores / "store", tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "summaries")
    first = invoke("stats", tmp_path / "store")
    assert "has no sums of all its photos yet. They are made now, once" in first.stderr
    again = invoke("stats", tmp_path / "store")
    assert (again.stdout, again.stderr) == (first.stdout, "")
    came_along = invoke("stats", "sample:crops")
    assert (
        "They are made now, and not kept: what comes along is left as it is." in came_along.stderr
    )


def test_what_listens_hears_every_shard(stores: Path, tmp_path: Path) -> None:
    shutil.copytree(stores / "store", tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "summaries")
    store = open_store(tmp_path / "store")
    gate = last(tmp_path / "store"), "channel"
    heard: list[tuple[str, int, int]] = []
    assert not is_summed(store, *gate)
    with telling(lambda *told: heard.append(told)):
        gate_summary(store, *gate)
        gate_summary(store, *gate)
    assert heard == [("/".join(gate), n, SHARDS) for n in range(SHARDS)]
    assert is_summed(store, *gate)


def test_where_nothing_can_be_kept_all_the_same(
    stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(stores / "store", tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "summaries")
    (tmp_path / "store" / "summaries").write_text("a file in the folder's place")
    gate = last(tmp_path / "store"), "channel"
    assert gate_summary(open_store(tmp_path / "store"), *gate).photos == 32


def test_distances_of_a_thousand_classes_take_little_memory() -> None:
    """All differences at once would be 512 MB here."""
    import tracemalloc

    from cbam_viz.dataset.gates import distances_between

    means = np.random.default_rng(0).random((1000, 64))
    tracemalloc.start()
    found = distances_between(means)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
    wanted = np.sqrt(np.square(means[[3, 998]] - means[[500, 7]]).mean(1))
    np.testing.assert_allclose(found[[3, 998], [500, 7]], wanted)
    np.testing.assert_array_equal(found, found.T)
