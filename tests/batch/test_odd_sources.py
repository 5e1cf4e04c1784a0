"""Sources as strangers have them: links, shells' patterns, torn archives, tables of many kinds."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cbam_viz.batch.sources.item import Item
from cbam_viz.batch.sources.listing import photos_of
from cbam_viz.batch.sources.opening import Opener
from cbam_viz.batch.sources.tables import Columns
from cbam_viz.errors import ImageError
from tests.cli.conftest import write_photo

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
ANY = Columns()


def found(*sources: str | Path, labels: str | Path = "auto") -> list[Item]:
    return list(photos_of([str(one) for one in sources], str(labels)))


def told(*sources: str | Path, labels: str | Path = "auto") -> list[tuple[str, str | None]]:
    return [(item.name, item.label) for item in found(*sources, labels=labels)]


def content(item: Item) -> bytes:
    data = Opener(ANY).content(item)
    return data.read_bytes() if isinstance(data, Path) else data


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> bytes:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return path.read_bytes()


def test_links_that_lead_nowhere_are_told_of_and_end_nothing(tmp_path: Path) -> None:
    write_photo(tmp_path / "photos" / "cat" / "1.png")
    (tmp_path / "photos" / "cat" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "photos" / "cat" / "self.png").symlink_to("self.png")
    (tmp_path / "photos" / "self").symlink_to("self")
    write_photo(tmp_path / "more" / "2.png")
    names = ["cat/1.png", "cat/gone.png", "cat/self.png"]
    assert [name for name, _ in told(tmp_path / "photos")] == names
    both = [name for name, _ in told(tmp_path / "photos", tmp_path / "more")]
    assert both == [*(f"photos/{name}" for name in names), "more/2.png"]


def test_photos_of_a_pattern_that_the_shell_expands_are_called_as_the_pattern_calls_them(
    tmp_path: Path,
) -> None:
    files = [write_photo(tmp_path / name) for name in ("all/cat/1.png", "all/dog/1.png")]
    assert told(*files) == told(f"{tmp_path}/all/*/*.png")
    assert told(*files) == [("cat/1.png", "cat"), ("dog/1.png", "dog")]


def test_a_pattern_of_folders(tmp_path: Path) -> None:
    for name in ("all/cat/1.png", "all/dog/x/2.png"):
        write_photo(tmp_path / name)
    assert told(f"{tmp_path}/all/*") == [("cat/1.png", "cat"), ("dog/x/2.png", "x")]
    assert told(f"{tmp_path}/all/cat", f"{tmp_path}/all/dog") == told(f"{tmp_path}/all/*")


def test_sources_of_one_name_have_as_many_folders_as_tell_them_apart(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_photo(tmp_path / part / "images" / "1.png")
        write_tar(tmp_path / part / "x.tar", [("dog/1.png", b"")])
    names = [name for name, _ in told(*(tmp_path / part / "images" for part in ("train", "val")))]
    assert names == ["train/images/1.png", "val/images/1.png"]
    names = [name for name, _ in told(*(tmp_path / part / "x.tar" for part in ("train", "val")))]
    assert names == ["train/x.tar/dog/1.png", "val/x.tar/dog/1.png"]


@pytest.mark.parametrize("at", [1100, 1536 + 3])
def test_an_archive_that_is_torn_or_overwritten_is_not_taken_for_a_shorter_one(
    tmp_path: Path, at: int
) -> None:
    """`tarfile` ends without a word where no header follows, and the rest would be missing."""
    path = tmp_path / "x.tar"
    members = [(name, b"x" * 600) for name in ("1.png", "1.cls", "2.png", "2.cls")]
    whole = write_tar(path, members)
    path.write_bytes(whole[:at])
    with pytest.raises(ImageError, match="is cut off"):
        found(path)
    start = 512 + 1024  # of the second member's header
    path.write_bytes(whole[:start] + b"\x07" * 512 + whole[start + 512 :])
    with pytest.raises(ImageError, match="byte 1,536 begins no member"):
        found(path)
    path.write_bytes(whole[: 4 * (512 + 1024)])  # without the two empty blocks at the end
    assert [name for name, _ in told(path)] == ["x.tar/1.png", "x.tar/2.png"]


def test_labels_beside_photos_in_archives(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "x.tar",
        [
            ("1.png", b""), ("1.CLS", b" 3\n"),
            ("2.png", b""), ("2.cls.txt", b"cat"),
            ("3.png", b""), ("3.label", b"dog"),
            ("4.png", b""), ("4.json", json.dumps({"Label": "cow"}).encode()),
            ("5.png", b""), ("5.json", b"[" * 100_000),
        ],
    )  # fmt: skip
    labels = [label for _, label in told(tmp_path / "x.tar")]
    assert labels == ["3", "cat", "dog", "cow", None]


STRUCT = [("bytes", "binary"), ("path", "string")]


def column(rows: list[dict[str, Any]]) -> Any:
    return pa.array(rows, pa.struct([(name, getattr(pa, kind)()) for name, kind in STRUCT]))


def test_tables_whose_columns_are_called_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "x.pq"
    pq.write_table(pa.table({"Image": pa.array([b"a"], pa.binary_view()), "Label": [b"cat"]}), path)
    (item,) = found(path)
    assert (item.label, content(item)) == ("cat", b"a")
    pictures = column([{"bytes": b"p", "path": "x"}])
    pq.write_table(pa.table({"md5": [b"m"], "data": pictures, "label": [""]}), path)
    (item,) = found(path)
    assert (item.label, content(item)) == (None, b"p")


def test_a_class_that_hugging_face_does_not_know_is_no_label(tmp_path: Path) -> None:
    about = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": [b"a"] * 3, "label": [1, -1, 0]})
    path = tmp_path / "x.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), path)
    assert [label for _, label in told(path)] == ["dog", None, "cat"]
    arrow = tmp_path / "cache" / "set-test.arrow"
    arrow.parent.mkdir()
    with pa.OSFile(str(arrow), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    (arrow.parent / "cache-0123.arrow").write_bytes(arrow.read_bytes())
    (arrow.parent / "dataset_info.json").write_text(json.dumps(about["info"]))
    assert told(arrow.parent) == [
        ("set-test.arrow#0", "dog"), ("set-test.arrow#1", None), ("set-test.arrow#2", "cat"),
    ]  # fmt: skip
    assert [content(item) for item in found(arrow)] == [b"a"] * 3


def test_files_that_a_table_names_must_lie_below_its_folder(tmp_path: Path) -> None:
    write_photo(tmp_path / "set" / "1.png")
    outside = write_photo(tmp_path / "2.png")
    (tmp_path / "set" / "link.png").symlink_to(outside)
    paths = [
        "1.png",
        str(tmp_path / "set" / "1.png"),
        "3.png",
        "../2.png",
        str(outside),
        "link.png",
    ]
    path = tmp_path / "set" / "x.parquet"
    for images in (paths, column([{"bytes": None, "path": one} for one in paths])):
        pq.write_table(pa.table({"image": images}), path)
        items = found(path)
        inside = (tmp_path / "set" / "1.png").read_bytes()
        assert [content(item) for item in items[:2]] == [inside] * 2
        with pytest.raises(ImageError, match=r"names the file 3\.png, which is not there"):
            content(items[2])
        for item in items[3:]:
            with pytest.raises(ImageError, match="does not lie below the table's folder"):
                content(item)


def test_rows_behind_a_damaged_one_say_why(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"image": [bytes([n]) * 5000 for n in range(100)]})
    pq.write_table(table, path, use_dictionary=False, row_group_size=50, data_page_size=20_000)
    data = bytearray(path.read_bytes())
    data[60_000 // 250 : 60_000 // 250 + 400] = b"\xff" * 400
    path.write_bytes(data)
    items, opener, said = found(path), Opener(ANY), []
    for item in items:
        try:
            opener.content(item)
        except ImageError as error:
            said.append(str(error).partition(" cannot be read: ")[2])
    assert 0 < len(said) <= 50
    assert len(set(said)) == 1
    assert len(said[0]) > 5


def test_a_saved_dataset_whose_own_files_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    for wrong in ("{}", '{"_data_files": 3}', "[]", "[" * 100_000):
        (tmp_path / "state.json").write_text(wrong)
        with pytest.raises(ImageError, match="Save the dataset again"):
            found(tmp_path)
    (tmp_path / "state.json").write_text('{"_data_files": ["../x.arrow"]}')
    with pytest.raises(ImageError, match=r"x\.arrow cannot be read as a table"):
        found(tmp_path)


def test_files_of_labels_call_photos_by_any_path_that_is_theirs(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png"):
        write_photo(tmp_path / "all" / name)
    table = tmp_path / "labels.csv"
    for first, second in (
        (tmp_path / "all/cat/1.png", tmp_path / "all/dog/1.png"),
        ("all/cat/1.png", "all/dog/1.png"),
        ("cat/1", "dog/1"),
        ("all\\cat\\1.png", ".\\dog\\1.png"),
    ):
        for lines in (
            "file,label\n{},a\n{},b\n",
            "sep=;\nfile;label\n{};a\n{};b\n",
            "{}|a\n{}|b\n",
        ):
            table.write_text(lines.format(first, second))
            assert [label for _, label in told(tmp_path / "all", labels=table)] == ["a", "b"]


def test_a_name_without_folder_is_no_label_of_two_photos(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png", "dog/2.png"):
        write_photo(tmp_path / name)
    table = tmp_path / "labels.csv"
    table.write_text("2.png,a\n")
    assert [label for _, label in told(tmp_path, labels=table)] == [None, None, "a"]
    both = [label for _, label in told(tmp_path, tmp_path / "dog", labels=table)]
    assert both == [None, None, "a"]
    table.write_text("1.png,a\n")
    with pytest.raises(ImageError, match=r"1\.png without a folder.*dog/1\.png"):
        told(tmp_path, labels=table)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="not on Windows: it has no named pipes")
def test_pipes_are_called_so_and_never_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "folder" / "pipe.png"
    write_photo(tmp_path / "folder" / "a.png")
    os.mkfifo(pipe)
    assert [item.name for item in photos_of([str(tmp_path / "folder")])] == ["a.png"]
    with pytest.raises(ImageError, match=r"pipe\.png is a pipe or a device"):
        list(photos_of([str(pipe)]))
    (tmp_path / "list.txt").write_text("folder/pipe.png\n")
    with pytest.raises(ImageError, match=r"names folder/pipe\.png, which is a pipe"):
        list(photos_of([str(tmp_path / "list.txt")]))
