"""A run that ends at any moment goes on, and the store is the same in the end."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbam_viz.batch.lock import locked
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Part, Settings
from cbam_viz.batch.sources.tables import Columns
from cbam_viz.dataset import open_store, sum_up
from cbam_viz.errors import StoreError
from cbam_viz.models import LoadedModel
from cbam_viz.store import files
from tests.cli.conftest import write_photo, write_tiny

CROP = Settings(view="crop")


def contents(store: Path) -> dict[str, bytes]:
    """All files but locks, by path."""
    found = (path for path in store.rglob("*") if path.is_file())
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in found
        if not path.name.startswith(".lock")
    }


@pytest.fixture
def whole(loaded: LoadedModel, photos: Path, tmp_path: Path) -> dict[str, bytes]:
    """The store of a run that nothing disturbed."""
    run_batch(loaded, [str(photos)], tmp_path / "whole", CROP, workers=1)
    return contents(tmp_path / "whole")


def _slowly(path: Path, data: bytes) -> None:
    """Write a file in pieces, so that it is often half there."""
    with path.open("xb") as stream:
        for start in range(0, len(data), 1 + len(data) // 5):
            stream.write(data[start : start + 1 + len(data) // 5])
            stream.flush()
            time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="not on Windows or macOS: needs fork")
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_twenty_moments(
    loaded: LoadedModel,
    whole: dict[str, bytes],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    """At random moments of runs that go on with each other, until a store is whole; then anew."""
    monkeypatch.setattr(files, "_write", _slowly)
    fork = multiprocessing.get_context("fork")
    moments, stores, kills, halves = random.Random(workers), 0, 0, 0
    while kills < 20:
        store = tmp_path / f"killed{stores}"
        arguments = (loaded, [str(photos)], store, CROP)
        run = fork.Process(target=run_batch, args=arguments, kwargs={"workers": workers})
        run.start()
        run.join(moments.random() * 0.8)
        run.kill()
        run.join()
        if run.exitcode == 0:
            assert contents(store) == whole
            stores += 1
            continue
        assert run.exitcode == -signal.SIGKILL
        kills += 1
        halves += len(list(store.rglob("*.part"))) > 0
        there = contents(store)
        assert all(there[name] == whole[name] for name in there if not name.endswith(".part"))
    assert halves > 0  # files were cut off
    assert run_batch(loaded, [str(photos)], store, CROP, workers=workers).complete
    assert contents(store) == whole


def test_part_by_part(
    loaded: LoadedModel, whole: dict[str, bytes], photos: Path, tmp_path: Path
) -> None:
    store = tmp_path / "parts"
    summaries = [
        run_batch(loaded, [str(photos)], store, CROP, part=Part(number, 2), workers=1)
        for number in (2, 1)
    ]
    assert [one.complete for one in summaries] == [False, True]
    assert sum(one.done for one in summaries) == 20
    assert contents(store) == whole
    again = run_batch(loaded, [str(photos)], store, CROP, part=Part(2, 3))
    assert (again.done, again.done_before) == (0, 8)
    assert contents(store) == whole


def test_stores_of_parts_are_put_together_by_copying(
    loaded: LoadedModel, whole: dict[str, bytes], photos: Path, tmp_path: Path
) -> None:
    """Machines without a common disk."""
    for number in (1, 2, 3):
        run_batch(loaded, [str(photos)], tmp_path / str(number), CROP, part=Part(number, 3))
    for number in (2, 3):
        for path in (tmp_path / str(number) / "gates").iterdir():
            path.rename(tmp_path / "1" / "gates" / path.name)
    assert run_batch(loaded, [str(photos)], tmp_path / "1", CROP).done == 0
    assert contents(tmp_path / "1") == whole


def test_a_full_disk_is_a_sentence_and_the_rest_is_done_later(
    loaded: LoadedModel,
    whole: dict[str, bytes],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, written = files._write, 0

    def full(path: Path, data: bytes) -> None:
        nonlocal written
        written += 1
        if written == 3:
            path.write_bytes(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, data)

    store = tmp_path / "full"
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write", full)
        with pytest.raises(StoreError, match="No space left on device"):
            run_batch(loaded, [str(photos)], store, CROP, workers=1)
    assert not list(store.rglob("*.part"))
    assert len(list((store / "gates").iterdir())) == 1
    summary = run_batch(loaded, [str(photos)], store, CROP, workers=1)
    assert (summary.done_before, summary.done) == (8, 12)
    assert contents(store) == whole


def test_a_damaged_shard_is_made_again(
    loaded: LoadedModel, whole: dict[str, bytes], photos: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    run_batch(loaded, [str(photos)], store, CROP)
    path = store / "gates" / "000001.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    (store / "gates" / "000002.parquet").write_bytes(b"")
    assert run_batch(loaded, [str(photos)], store, CROP).done == 12
    assert contents(store) == whole


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "view": ({"view": "whole"}, r"view \(crop there, whole now\)"),
    "precision": ({"precision": "float32"}, r"precision \(float16 there, float32 now\)"),
    "labels": ({"labels": "none"}, "the photos, their order or their labels"),
    "batch": ({"batch": 4}, r"batch size \(8 there, 4 now\)"),
    "slice": ({"index": 2}, "slice"),
    "window": ({"window": (0.0, 9.0)}, "window"),
}


@pytest.mark.parametrize("what", sorted(OTHERS))
def test_other_settings_are_refused(
    loaded: LoadedModel, photos: Path, tmp_path: Path, what: str
) -> None:
    store = tmp_path / "store"
    run_batch(loaded, [str(photos)], store, CROP)
    before = contents(store)
    changes, sentence = OTHERS[what]
    with pytest.raises(StoreError, match=sentence):
        run_batch(loaded, [str(photos)], store, replace(CROP, **changes))
    assert contents(store) == before


def test_other_networks_photos_and_versions_are_refused(
    loaded: LoadedModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cbam_viz

    store = tmp_path / "store"
    run_batch(loaded, [str(photos)], store, CROP)
    before = contents(store)
    other = cbam_viz.load_model(write_tiny(tmp_path / "tiny.safetensors", seed=1))
    with pytest.raises(StoreError, match="weights"):
        run_batch(other, [str(photos)], store, CROP)
    fed = replace(loaded, spec=replace(loaded.spec, interpolation="nearest"))
    with pytest.raises(StoreError, match="What differs: input"):
        run_batch(fed, [str(photos)], store, CROP)
    with monkeypatch.context() as patch:
        patch.setattr(cbam_viz, "__version__", "9.9")
        with pytest.raises(StoreError, match=r"version of cbam_viz \(0.1.0 there, 9.9 now\)"):
            run_batch(loaded, [str(photos)], store, CROP)
    write_photo(photos / "bee" / "new.png")
    with pytest.raises(StoreError, match="the photos"):
        run_batch(loaded, [str(photos)], store, CROP)
    assert contents(store) == before


def test_two_runs_on_one_store_are_refused(
    loaded: LoadedModel, photos: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with locked(store, ""), pytest.raises(StoreError, match="Another run is writing"):
        run_batch(loaded, [str(photos)], store, CROP)
    with locked(store, "1-of-2"):
        with pytest.raises(StoreError, match="Another run is writing"):
            run_batch(loaded, [str(photos)], store, CROP)
        with pytest.raises(StoreError, match="Another run is writing"):
            run_batch(loaded, [str(photos)], store, CROP, part=Part(1, 2))
        assert run_batch(loaded, [str(photos)], store, CROP, part=Part(2, 2)).done == 8
    assert run_batch(loaded, [str(photos)], store, CROP).done == 12


def test_a_folder_of_other_things_is_no_store(
    loaded: LoadedModel, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="holds other things"):
        run_batch(loaded, [str(photos)], photos, CROP)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        run_batch(loaded, [str(photos)], tmp_path / "file", CROP)


def test_a_store_that_lost_its_description_gets_it_again(
    loaded: LoadedModel, photos: Path, tmp_path: Path
) -> None:
    """Its shards are right, and so are the sums that statistics have left there."""
    store = tmp_path / "store"
    run_batch(loaded, [str(photos)], store, CROP)
    sum_up(open_store(store))
    assert (store / "summaries").is_dir()
    told = (store / "store.json").read_bytes()
    (store / "store.json").unlink()
    assert run_batch(loaded, [str(photos)], store, CROP).done_before == 20
    assert (store / "store.json").read_bytes() == told


def test_failed_photos_can_be_tried_again(
    loaded: LoadedModel, whole: dict[str, bytes], photos: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    run_batch(loaded, [str(photos)], store, CROP)
    write_photo(photos / "bee" / "10.png", seed=10)
    assert run_batch(loaded, [str(photos)], store, CROP).failed == 1
    summary = run_batch(loaded, [str(photos)], store, CROP, retry=True)
    assert (summary.done, summary.failed) == (8, 0)
    changed = {name for name, data in contents(store).items() if data != whole[name]}
    assert changed == {"failed.csv", "gates/000001.parquet"}


def test_another_column_of_images_is_refused(loaded: LoadedModel, tmp_path: Path) -> None:
    """Names and labels of the photos are the same, and their pictures are not."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pictures = [write_photo(tmp_path / f"{n}.png", seed=n).read_bytes() for n in range(2)]
    pq.write_table(pa.table({"a": pictures[:1], "b": pictures[1:]}), tmp_path / "x.parquet")
    source = [str(tmp_path / "x.parquet")]
    first, second = (replace(CROP, columns=Columns(name)) for name in "ab")
    assert run_batch(loaded, source, tmp_path / "store", first).done == 1
    assert run_batch(loaded, source, tmp_path / "store", first).done == 0
    with pytest.raises(StoreError, match=r"image column \(a there, b now\)"):
        run_batch(loaded, source, tmp_path / "store", second)


@pytest.mark.skipif(sys.platform != "linux", reason="not on Windows or macOS: needs fork")
@pytest.mark.parametrize("refused", ["ProcessPoolExecutor", "wait"])
def test_a_system_that_gives_workers_no_files_is_a_sentence(
    loaded: LoadedModel,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: str,
) -> None:
    from cbam_viz.batch import workers
    from cbam_viz.errors import CbamVizError

    def full(*_: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(workers, refused, full)
        with pytest.raises(CbamVizError, match=r"Too many open files\. Fewer --workers"):
            run_batch(loaded, [str(photos)], tmp_path / "store", CROP, workers=2)
    assert multiprocessing.active_children() == []
    assert run_batch(loaded, [str(photos)], tmp_path / "store", CROP, workers=2).complete
