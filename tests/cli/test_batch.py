"""`batch` from the command line: what it prints, how it ends, and what it says of bad options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import invoke, write_photo

pandas = pytest.importorskip("pandas")


@pytest.fixture
def photos(folder: Path) -> Path:
    for number in range(12):
        write_photo(folder / "photos" / "ant" / f"{number:02}.png", seed=number)
    return folder


def test_a_store_and_a_summary(photos: Path) -> None:
    ended = invoke("batch", "photos", "--out", "store", "--workers", "2")
    assert ended.exit_code == 0, ended.output
    assert "12 photos, 8 to a shard, 8 in a forward; 2 processes." in ended.stderr
    assert "12 photos are in store" in ended.stdout
    assert "photos a second" in ended.stdout
    again = invoke("batch", "photos", "--out", "store", "--json")
    assert again.exit_code == 0, again.output
    told = json.loads(again.stdout)
    assert (told["stored"], told["done_before"], told["photos_a_second"]) == (12, 12, None)
    assert list(pandas.read_parquet("store/gates").label) == ["ant"] * 12


def test_photos_that_cannot_be_read(photos: Path) -> None:
    (photos / "photos" / "bad.png").write_bytes(b"x")
    ended = invoke("batch", "photos", "--out", "store")
    assert ended.exit_code == 1, ended.output
    assert "Skipped bad.png: bad.png is" in ended.stderr
    assert "1 could not be read or shown; failed.csv there says why." in ended.stdout


def test_parts(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = invoke("batch", "photos", "--out", "store", "--shard", "2/2")
    assert "4 photos, part 2 of 2" in first.stderr
    assert "Other parts are still to be done." in first.stdout
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    second = invoke("batch", "photos", "--out", "store")
    assert "8 photos, part 1 of 2" in second.stderr
    assert "Other parts" not in second.stdout
    for wrong in ("0/2", "3/2", "x", "1/0"):
        ended = invoke("batch", "photos", "--out", "store", "--shard", wrong)
        assert ended.exit_code == 2
        assert "is no part such as 3/16" in ended.stderr


def test_what_cannot_go_on(photos: Path) -> None:
    assert invoke("batch", "photos", "--out", "store").exit_code == 0
    other = invoke("batch", "photos", "--out", "store", "--view", "whole")
    assert other.exit_code == 3
    assert "view (crop there, whole now)" in other.stderr
    nothing = invoke("batch", "nowhere", "--out", "other")
    assert nothing.exit_code == 3
    assert "There is no file, folder or match" in nothing.stderr


def test_a_place_that_takes_no_store_is_told_before_the_network_is_opened(photos: Path) -> None:
    Path("taken").touch()
    ended = invoke("batch", "photos", "--out", "taken/store", "--checkpoint", "nowhere.pth")
    assert ended.exit_code == 3
    assert "taken is a file; nothing can be written to taken/store" in ended.stderr


def test_own_code(photos: Path) -> None:
    from .test_own_network import CODE

    Path("own.py").write_text(CODE + "\ndef make():\n    torch.manual_seed(0)\n    return Net()\n")
    command = ("batch", "photos", "--out", "store", "--model", "own.py:make", "--workers", "2")
    ended = invoke(*command)
    assert ended.exit_code == 0, ended.output
    assert len(pandas.read_parquet("store/gates")) == 12
    Path("own.py").write_text(Path("own.py").read_text() + "\n# changed\n")
    import sys

    for name in [name for name in sys.modules if name.startswith("_cbam_viz_user_own")]:
        del sys.modules[name]
    again = invoke(*command)
    assert again.exit_code == 3
    assert "structure and code" in again.stderr


def test_torchrun_is_not_told_of_photos_that_cannot_be_read(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end the processes of all other parts."""
    (photos / "photos" / "bad.png").write_bytes(b"x")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        ended = invoke("batch", "photos", "--out", "store")
        assert ended.exit_code == 0, ended.output
    assert "4 photos of part 2 of 2 are in store" in ended.stdout
    assert "1 could not be read" in ended.stdout
    assert len(pandas.read_parquet("store/gates")) == 12
