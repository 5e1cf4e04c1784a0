"""Names that stay in their folder, and files that are whole or not there."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbam_viz import StoreError
from cbam_viz.store import safe_name, safe_names, write_atomic, write_image


@pytest.mark.parametrize(
    "name", ["cat.jpg", "layer1.0.se", "layer1.0.se#2", "größe", "猫.png", "a-b_c+d=e,f@2x"]
)
def test_harmless_names_stay_as_they_are(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("../../etc/passwd", "_.._etc_passwd-", ""),
        ("/root/.ssh", "_root_-", ".ssh"),
        ("C:\\Users\\me", "C__Users_me-", ""),
        ("my photo.jpg", "my_photo-", ".jpg"),
        ("CON", "_CON-", ""),
        ("nul.txt", "_nul-", ".txt"),
        ("com1.tar.gz", "_com1.tar-", ".gz"),
        (".hidden", "hidden-", ""),
        ("trailing. ", "trailing-", ""),
        ("-rf", "rf-", ""),
        ("", "_-", ""),
        ("...", "_-", ""),
        ("a\0b\nc", "a_b_c-", ""),
        ('x?<>|*":', "x_______-", ""),
        ("..", "_-", ""),
    ],
)
def test_dangerous_names(text: str, begins: str, ends: str) -> None:
    name = safe_name(text)
    assert name.startswith(begins)
    assert name.endswith(ends)
    digest = name[len(begins) : len(name) - len(ends)]
    assert len(digest) == 8
    int(digest, 16)


RESERVED = {"con", "prn", "aux", "nul", "com1", "lpt9"}


@given(st.text(max_size=120))
def test_every_text_gives_a_name_that_every_system_takes(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name.encode()) <= 100
    assert not set(name) & set('<>:"/\\|?*\0')
    assert name.isprintable()
    assert name not in (".", "..")
    assert name[0] not in ".- "
    assert name[-1] not in ". "
    assert name.split(".")[0].lower() not in RESERVED
    assert safe_name(text) == name


@given(st.lists(st.text(max_size=20), max_size=20))
def test_names_of_a_set_differ_in_more_than_case(texts: list[str]) -> None:
    names = safe_names(texts)
    assert set(names) == set(texts)
    assert len({name.casefold() for name in names.values()}) == len(set(texts))


def test_names_that_meet_on_some_system() -> None:
    decomposed = "e\u0301"
    texts = ["Layer", "layer", "LAYER", "\u00e9", decomposed, "a b", "a_b", "a/b"]
    names = safe_names(texts)
    assert names["Layer"] == "Layer"
    assert len({name.casefold() for name in names.values()}) == len(texts)
    # One that was made to collide with the hashed form of another.
    trap = safe_name("a b")
    assert safe_names([trap, "a b"])["a b"] != trap


def test_long_names_are_cut_between_characters_and_differ() -> None:
    first, second = safe_name("猫" * 200), safe_name("猫" * 201)
    assert first != second
    assert len(first.encode()) <= 100
    assert first.startswith("猫猫")
    assert safe_name("x" * 500 + ".png").endswith(".png")


def test_write_and_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    assert write_atomic(path, b"one") == path
    with pytest.raises(StoreError, match=r"result\.bin exists\. Choose another name"):
        write_atomic(path, b"two")
    assert path.read_bytes() == b"one"
    write_atomic(str(path), b"three", force=True)
    assert path.read_bytes() == b"three"
    assert [path.name for path in tmp_path.iterdir()] == ["result.bin"]


def test_overwriting_replaces_the_file_and_does_not_write_into_it(tmp_path: Path) -> None:
    path = write_atomic(tmp_path / "result.bin", b"old")
    with path.open("rb") as reader:
        write_atomic(path, b"new", force=True)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write_atomic(path, b"new", force=True)
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.bin"]


def test_of_many_writers_at_once_exactly_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    barrier = threading.Barrier(8)
    won: list[int] = []

    def write(number: int) -> None:
        barrier.wait()
        try:
            write_atomic(path, bytes([number]) * 10_000)
        except StoreError:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert path.read_bytes() == bytes(won) * 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["result.bin"]


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "result.bin"
    write_atomic(path, b"one")
    with pytest.raises(StoreError, match="exists"):
        write_atomic(path, b"two")
    assert path.read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["result.bin"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = write_atomic(tmp_path / "result.bin", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_broken_link_counts_as_there(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="exists"):
        write_atomic(link, b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no folder"):
        write_atomic(tmp_path / "missing" / "a.bin", b"x")
    with pytest.raises(StoreError, match="is a folder"):
        write_atomic(tmp_path, b"x")
    with pytest.raises(StoreError, match="cannot be written"):
        write_atomic(tmp_path / "a\0b", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        write_atomic(tmp_path / "file" / "a.bin", b"x")
    with pytest.raises(StoreError, match="cannot be written"):
        write_atomic(tmp_path / ("x" * 300), b"x")


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".jpeg", ".webp"])
def test_pictures_are_written_as_their_ending_says(tmp_path: Path, suffix: str) -> None:
    red = np.zeros((8, 9, 3), np.uint8)
    red[..., 0] = 240
    path = write_image(tmp_path / f"a{suffix}", red)
    head = path.read_bytes()[:12]
    kinds = {".png": b"\x89PNG", ".jpg": b"\xff\xd8", ".jpeg": b"\xff\xd8", ".webp": b"RIFF"}
    assert head.startswith(kinds[suffix.lower()])
    assert cv2.imread(str(path))[0, 0, 2] > 230  # OpenCV reads BGR


def test_pictures_of_other_endings(tmp_path: Path) -> None:
    for name in ("a.tiff", "a"):
        with pytest.raises(StoreError, match=r"one of \.png"):
            write_image(tmp_path / name, np.zeros((2, 2, 3), np.uint8))
