"""Files of labels: one reader for `figure --group-by`, `evaluate`, `effects` and `batch`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cbam_viz.batch.sources.item import Item
from cbam_viz.batch.sources.labels import labels_by
from cbam_viz.cli.labels import Labels
from cbam_viz.errors import FigureError, LabelsError, MetricError
from cbam_viz.figures.ask.labels import classes_by_file
from cbam_viz.labels import names_alike, read_labels

COMPOSED, APART = "caf\u00e9.jpg", "cafe\u0301.jpg"


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a.jpg,cat\nb/a.jpg,school bus\n", "l.csv"),
        ("file;class\na.jpg;cat\nb/a.jpg;school bus\n", "l.csv"),
        ("a.jpg\tcat\rb/a.jpg\tschool bus\r", "l.tsv"),
        ("width,label,file\n9,cat,a.jpg\n9,school bus,b/a.jpg\n9,,c.jpg\n", "l.csv"),
        ("label,picture\ncat,a.jpg\nschool bus,b/a.jpg\n", "l.csv"),
        ("a.jpg cat\nb/a.jpg   school bus\n", "l.txt"),
        ('a.jpg,"cat"\n"b/a.jpg",school bus\n"x;y.jpg",z\n', "l.csv"),
        ('{"a.jpg": "cat", "./b\\\\a.jpg": "school bus"}', "l.json"),
        ('\ufeff {"a.jpg": "cat", "b/a.jpg": "school bus"}', "l.txt"),
        ("file,class\na.jpg,cat\nb/a.jpg,school bus\n".encode("utf-16"), "l.csv"),
    ],
)
def test_what_one_command_reads_all_of_them_read(
    tmp_path: Path, text: str | bytes, name: str
) -> None:
    file = table(tmp_path, text, name)
    photos = [tmp_path / "a.jpg", tmp_path / "b" / "a.jpg"]
    assert classes_by_file(photos, file) == ["cat", "school bus"]
    labels = Labels(str(file), photos)
    assert [labels.of(photo, ["School Bus", "cat"]) for photo in photos] == [1, 0]
    labelled = labels_by(str(file))
    items = [Item(one, "file", "p") for one in ("a.jpg", "b/a.jpg", "c.jpg")]
    assert [labelled(item).label for item in items] == ["cat", "school bus", None]


def test_a_semicolon_in_a_class_does_not_part_the_line(tmp_path: Path) -> None:
    file = table(tmp_path, "a.jpg,cat; tabby\nb.jpg,dog\n")
    assert classes_by_file([tmp_path / "a.jpg"], file) == ["cat; tabby"]


@pytest.mark.parametrize(("written", "stored"), [(COMPOSED, APART), (APART, COMPOSED)])
def test_signs_may_be_composed_or_not(tmp_path: Path, written: str, stored: str) -> None:
    file = table(tmp_path, f"{written},x\n")
    assert read_labels(file).of_photo(tmp_path / stored, elsewhere=False) == "x"


def test_a_name_in_another_folder_is_taken_only_where_one_photo_has_it(tmp_path: Path) -> None:
    """A table from another machine; `b/1.png` does not get the label of `a/1.png` beside it."""
    file = table(tmp_path, "C:\\data\\a\\1.png,cat\nD:\\2.png,dog\n")
    one, other, two = (tmp_path / name for name in ("a/1.png", "b/1.png", "2.png"))
    assert names_alike([one, other, two]) == {"1.png"}
    assert classes_by_file([other, two], file) == ["cat", "dog"]
    labels = Labels(str(file), [one, other, two])
    assert labels.of(two, ["cat", "dog"]) == 1
    for photo in (one, other):
        with pytest.raises(MetricError, match="it has no label"):
            labels.of(photo, ["cat", "dog"])


def test_by_as_much_of_the_path_as_one_likes(tmp_path: Path) -> None:
    photo = tmp_path / "data" / "train" / "1.png"
    (tmp_path / "lists").mkdir()
    file = table(tmp_path / "lists", "train/1.png,cat\n1.png,dog\n")
    assert classes_by_file([photo], file) == ["cat"]


@pytest.mark.parametrize(
    "text",
    ['{"a.jpg": "cat", "a.jpg": "dog"}', "a.jpg,cat\na.jpg,dog\n", "x/a.jpg,cat\ny/a.jpg,dog"],
)
def test_two_labels_are_said_to_who_asks_for_the_photo(tmp_path: Path, text: str) -> None:
    file = table(tmp_path, text, "l.json" if text[0] == "{" else "l.csv")
    photo = tmp_path / "a.jpg"
    with pytest.raises(FigureError, match=r"gives a\.jpg several classes: cat, dog"):
        classes_by_file([photo], file)
    with pytest.raises(MetricError, match="several classes"):
        Labels(str(file), [photo]).of(photo, ["cat", "dog"])


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("a.jpg,caf\u00e9\n".encode("latin-1"), "l.csv", "Save it as UTF-8"),
        ("\u732b\u72d7\u9ce5.jpg,cat\n".encode("gb18030"), "l.csv", "Save it as UTF-8"),
        (b"\xff\xfea", "l.csv", "Save it as UTF-8"),
        ("file,width,species\na.jpg,9,cat\n", "l.csv", "none of labels: call one of them label"),
        ('{"a.jpg": true}', "l.json", "no object of labels"),
        ('{"a.jpg": 1.5}', "l.json", "no object of labels"),
        ('{"a.jpg": {"b": "c"}}', "l.json", "no object of labels"),
        ('["a.jpg"]', "l.json", "no object of labels"),
        ('[{"a.jpg": "cat"}]', "l.json", "no object of labels"),
        ('{"a.jpg": ' + "9" * 6000 + "}", "l.json", "no JSON"),
        ("[" * 100_000, "l.json", "no JSON"),
        ("{}x", "l.json", "no JSON"),
        ("a.jpg," + "x" * 200_000, "l.csv", "no CSV"),
        ("a.jpg\n", "l.csv", "Line 1 of l.csv"),
        ("a.jpg,cat\n\n,dog\n", "l.csv", "Line 3 of l.csv"),
        ("name,label\n,dog\n", "l.csv", "Line 2 of l.csv"),
    ],
)
def test_what_is_no_table_is_said_in_one_sentence(
    tmp_path: Path, text: str | bytes, name: str, message: str
) -> None:
    with pytest.raises(LabelsError, match=message) as raised:
        read_labels(table(tmp_path, text, name))
    assert len(str(raised.value)) < 500


def test_a_folder_or_nothing_is_no_table(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(LabelsError, match="cannot be read as a table of labels"):
            read_labels(path)


def test_rows_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbam_viz.labels.MAX_ROWS", 3)
    assert read_labels(table(tmp_path, "a,1\nb,1\nc,1\n")).exact["c"] == ("1",)
    with pytest.raises(LabelsError, match="more than 3 rows"):
        read_labels(table(tmp_path, "a,1\nb,1\nc,1\nd,1\n"))


def test_a_table_of_many_rows_is_read_in_its_time(tmp_path: Path) -> None:
    file = table(tmp_path, "".join(f"a/{n}.jpg,{n % 9}\n" for n in range(50_000)))
    begun = time.process_time()
    read_labels(file)
    assert time.process_time() - begun < 2  # 1.5 million rows take 30 times as long
