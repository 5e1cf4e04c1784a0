"""Where photos come from: names, labels, bytes, and sources that are not what they seem."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cbam_viz.batch.plan import write_plan
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.batch.sources.item import Item
from cbam_viz.batch.sources.listing import photos_of
from cbam_viz.batch.sources.opening import Opener
from cbam_viz.batch.sources.tables import Columns
from cbam_viz.errors import ImageError, StoreError
from cbam_viz.models import LoadedModel
from tests.cli.conftest import write_photo

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
ANY = Columns()


def told(*sources: str | Path, labels: str = "auto") -> list[tuple[str, str | None]]:
    return [(item.name, item.label) for item in photos_of([str(one) for one in sources], labels)]


def content(item: Item, columns: Columns = ANY) -> bytes:
    found = Opener(columns).content(item)
    return found.read_bytes() if isinstance(found, Path) else found


@pytest.fixture
def pictures(tmp_path: Path) -> list[bytes]:
    """Seventy small PNGs, more than are read of a table at a time."""
    path = tmp_path / "one.png"
    found = [write_photo(path, size=(8, 9), seed=n).read_bytes() for n in range(70)]
    path.unlink()
    return found


def test_folders_in_the_order_of_paths(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.JPG", "a.png", "a/x/9.webp", ".hidden/0.png", "b/.0.png", "t.txt"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    folder = tmp_path / "photos"
    assert told(folder) == [
        ("a/x/9.webp", "x"), ("a.png", None), ("b/1.JPG", "b"), ("b/2.png", "b"),
    ]  # fmt: skip
    assert told(folder, labels="none") == [(name, None) for name, _ in told(folder)]
    assert [one for one, _ in told(f"{folder}/**/*.png")] == ["a.png", "b/2.png"]
    assert told(f"{folder}/b/*.png") == [("2.png", None)]
    assert told(f"{folder}/?/*") == [("b/1.JPG", "b"), ("b/2.png", "b")]


@pytest.mark.parametrize("up", [False, True], ids=["absolute", "parent"])
def test_a_list_of_paths_elsewhere_has_names_below_what_is_common(tmp_path: Path, up: bool) -> None:
    """No name is a path of this machine, and photos of one name in two folders stay apart."""
    start = Path("..") if up else tmp_path
    for name in ("all/cat/1.png", "all/dog/1.png", "all/dog/x/1.png"):
        write_photo(tmp_path / name)
    path = tmp_path / "lists" / "list.txt"
    path.parent.mkdir()

    def names(*files: str) -> list[tuple[str, str | None]]:
        path.write_text("".join(f"{start / file}\n" for file in files))
        return told(path)

    assert names("all/cat/1.png", "all/dog/1.png", "all/dog/x/1.png") == [
        ("cat/1.png", "cat"), ("dog/1.png", "dog"), ("dog/x/1.png", "x"),
    ]  # fmt: skip
    assert names("all/cat/1.png") == [("cat/1.png", "cat")]
    path.write_text(f"1.png\n{tmp_path / 'all/cat/1.png'}\n")
    write_photo(path.parent / "1.png")
    assert told(path) == [("lists/1.png", "lists"), ("all/cat/1.png", "cat")]


def test_several_sources_take_each_photo_once(tmp_path: Path) -> None:
    write_photo(tmp_path / "one" / "x.png")
    write_photo(tmp_path / "two" / "x.png")
    (tmp_path / "two" / "back").symlink_to(tmp_path / "two", target_is_directory=True)
    found = told(tmp_path / "one", tmp_path / "two", tmp_path / "two" / "x.png")
    assert [name for name, _ in found] == ["one/x.png", "two/x.png"]


def test_labels_of_a_csv_file(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", "b/2.png"):
        write_photo(tmp_path / "photos" / name)
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na/1.png,first\n2.png,second\n", encoding="utf-8-sig")
    assert told(tmp_path / "photos", labels=str(table)) == [
        ("a/1.png", "first"), ("b/1.png", None), ("b/2.png", "second"),
    ]  # fmt: skip
    table.write_text("a/1.png,first\n2.png,second\n")
    assert [label for _, label in told(tmp_path / "photos", labels=str(table))] == [
        "first", None, "second",
    ]  # fmt: skip
    for wrong in ("what,ever\nthis,that\n", "label,file\na/1.png,first\n", "first,a/1.png\n"):
        table.write_text(wrong)
        with pytest.raises(ImageError, match=r"labels\.csv has no label of any .* is a/1\.png"):
            told(tmp_path / "photos", labels=str(table))


def write_tar(path: Path, members: dict[str, bytes], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_samples_of_webdataset(tmp_path: Path, pictures: list[bytes]) -> None:
    first = write_tar(
        tmp_path / "val-000.tar",
        {
            "0001.cls": b"7\n", "0001.jpg": pictures[0],
            "0002.png": pictures[1], "0002.json": json.dumps({"label": "cat"}).encode(),
            "0003.txt": b"no photo",
            "dog/0004.png": pictures[2], "dog/.DS_Store": b"",
        },
    )  # fmt: skip
    second = write_tar(tmp_path / "val-001.tar", {"0005.left.png": pictures[3], "0005.cls": b"8"})
    items = [*photos_of([f"{tmp_path}/val-{{000..001}}.tar"])]
    assert [(item.name, item.label) for item in items] == [
        ("val-000.tar/0001.jpg", "7"), ("val-000.tar/0002.png", "cat"),
        ("val-000.tar/dog/0004.png", "dog"), ("val-001.tar/0005.left.png", "8"),
    ]  # fmt: skip
    assert [content(item) for item in items] == pictures[:4]
    assert told(tmp_path / "val-000.tar")[0] == ("val-000.tar/0001.jpg", "7")
    second.write_bytes(second.read_bytes()[:600])
    with pytest.raises(ImageError, match="shorter than it was"):
        content(items[-1])
    assert first.exists()


def test_archives_that_cannot_be_read(tmp_path: Path, pictures: list[bytes]) -> None:
    packed = write_tar(tmp_path / "a.tar.gz", {"1.png": pictures[0]}, "w:gz")
    with pytest.raises(ImageError, match="is compressed"):
        told(packed)
    (tmp_path / "b.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(ImageError, match="no tar archive"):
        told(tmp_path / "b.tar")


def hugging_face(names: list[str]) -> dict[str, str]:
    feature = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": feature}})}


@pytest.mark.parametrize("group", [7, 64, 100])
def test_parquet_of_hugging_face(tmp_path: Path, pictures: list[bytes], group: int) -> None:
    images = [{"bytes": data, "path": f"{n}.png"} for n, data in enumerate(pictures)]
    table = pa.table({"image": images, "label": [n % 2 for n in range(70)]})
    table = table.replace_schema_metadata(hugging_face(["ant", "bee"]))
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=group)
    items = [*photos_of([str(tmp_path)])]  # a folder of tables alone
    assert [item.name for item in items] == [f"train.parquet#{n}" for n in range(70)]
    assert [item.label for item in items] == ["ant", "bee"] * 35
    opener = Opener(ANY)
    assert [opener.content(item) for item in items] == pictures
    for n in (69, 3, 65, 64, 0, 8, 7):  # in any order
        assert opener.content(items[n]) == pictures[n]


def test_columns_of_tables(tmp_path: Path, pictures: list[bytes]) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": pictures[:2], "b": pictures[2:4], "kind": ["x", None]}), path)
    with pytest.raises(ImageError, match=r"several that could \(a, b\)"):
        told(path)
    columns = Columns("b", "kind")
    items = [*photos_of([str(path)], columns=columns)]
    assert [item.label for item in items] == ["x", None]
    assert [content(item, columns) for item in items] == pictures[2:4]
    with pytest.raises(ImageError, match="has no column 'c'"):
        [*photos_of([str(path)], columns=Columns("c"))]
    pq.write_table(pa.table({"image": [{"bytes": None, "path": "/etc/passwd"}]}), path)
    (item,) = photos_of([str(path)])
    with pytest.raises(ImageError, match="no bytes of an image"):
        content(item)
    path.write_bytes(b"PAR1 or not")
    with pytest.raises(ImageError, match="cannot be read as a table"):
        told(path)


@pytest.mark.parametrize("splits", [True, False])
def test_datasets_on_disk(tmp_path: Path, pictures: list[bytes], splits: bool) -> None:
    """As `datasets.Dataset.save_to_disk` writes them."""
    folder = tmp_path / "data" / "train" if splits else tmp_path / "data"
    folder.mkdir(parents=True)
    images = [{"bytes": data, "path": None} for data in pictures]
    table = pa.table({"image": images, "label": [0, 1] * 35})
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=16)
    features = {"label": {"names": ["ant", "bee"], "_type": "ClassLabel"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    files = [{"filename": "data-00000-of-00001.arrow"}]
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    if splits:
        (tmp_path / "data" / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    items = [*photos_of([str(tmp_path / "data")])]
    start = "train/" if splits else ""
    assert items[3].name == f"{start}data-00000-of-00001.arrow#3"
    assert [item.label for item in items] == ["ant", "bee"] * 35
    assert [content(item) for item in items] == pictures


@pytest.mark.parametrize("source", ["nothing", "no*.png", "x" * 5000, "empty"])
def test_sources_that_name_nothing(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError):
        told(tmp_path / source)


def test_a_plan_is_read_back_shard_by_shard(tmp_path: Path) -> None:
    strange = Item("bad\udce9.png", "file", "/x/bad\udce9.png", "a\nb")
    items = [strange, *(Item(f"{n}.png", "tar", "t.tar", None, n, n + 1) for n in range(700))]
    plan = write_plan(items, tmp_path / "plan.parquet")
    assert (plan.count, plan.shards(64)) == (701, 11)
    read = [item for shard in range(11) for item in plan.items(shard, 64)]
    assert read[0] == Item("bad\\udce9.png", "file", "/x/bad\udce9.png", "a\nb")
    assert read[1:] == items[1:]
    assert [*plan.all_items()] == read
    assert write_plan(items, tmp_path / "again.parquet").digest == plan.digest
    assert write_plan(items[::-1], tmp_path / "other.parquet").digest != plan.digest
    with pytest.raises(ImageError, match="no photo"):
        write_plan([], tmp_path / "plan.parquet")
    assert [*plan.all_items()] == read
    with pytest.raises(StoreError):
        write_plan(items, tmp_path / "nowhere" / "plan.parquet")


def test_a_store_of_a_table_is_that_of_the_files_in_it(loaded: LoadedModel, tmp_path: Path) -> None:
    names = [write_photo(tmp_path / "photos" / f"{n}.png", seed=n) for n in range(9)]
    pq.write_table(
        pa.table({"image": [name.read_bytes() for name in names]}), tmp_path / "t.parquet"
    )
    write_tar(tmp_path / "t.tar", {name.name: name.read_bytes() for name in names})
    gates = []
    for n, source in enumerate(("photos", "t.parquet", "t.tar")):
        store = tmp_path / f"store{n}"
        settings = Settings(view="crop", precision="float32")
        run_batch(loaded, [str(tmp_path / source)], store, settings, threads=2 if n else 0)
        table = pq.read_table(store / "gates")
        gates.append(table.drop_columns(["name"]))
        assert len(table) == 9
    assert gates[0].equals(gates[1])
    assert gates[0].equals(gates[2])


@pytest.mark.skipif(os.name == "nt", reason="Windows has other file names")
def test_a_store_among_the_photos_is_left_out(loaded: LoadedModel, tmp_path: Path) -> None:
    write_photo(tmp_path / "photos" / "1.png")
    store = tmp_path / "photos" / "store"
    for _ in range(2):
        summary = run_batch(loaded, [str(tmp_path / "photos")], store, Settings(view="crop"))
        assert summary.photos == 1


def test_a_list_names_files_from_where_it_lies_or_one_works(tmp_path, monkeypatch):
    for name in ("a/1.png", "b/2.png", "c/3.png"):
        write_photo(tmp_path / name)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "c")
    path = tmp_path / "list.txt"
    path.write_text(f"b/2.png\n\na/1.png\r\n3.png\n{tmp_path / 'a' / '1.png'}\n")
    found = list(photos_of([str(path)]))
    assert [one.name for one in found] == ["b/2.png", "a/1.png", "c/3.png", "a/1.png"]
    assert [one.label for one in found] == ["b", "a", "c", "a"]
    assert all(Path(one.path).is_file() for one in found)
    path.write_text("b/2.png\n3.png\n")  # none leads out: as they stand
    assert [(one.name, one.label) for one in photos_of([str(path)])] == [
        ("b/2.png", "b"), ("3.png", None),
    ]  # fmt: skip
    path.write_text("b/2.png\nnothing.png\n")
    with pytest.raises(ImageError, match=r"names nothing\.png, and there is no such file"):
        list(photos_of([str(path)]))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ImageError, match="cannot be read"):
        list(photos_of([str(path)]))
