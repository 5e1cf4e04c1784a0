"""Images of more than 8 bits: one rule in a run, a window that can be stated, and notes printed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import invoke, write_photo


def deep(path: Path, highest: int, hot: int | None = None) -> Path:
    """The same scene of 16 bits, scaled to a maximum; one pixel of another value if `hot`."""
    share = np.random.default_rng(0).random((60, 90))
    values = np.rint(share / share.max() * highest).astype(np.uint16)
    if hot is not None:
        values[0, 0] = hot
    Image.fromarray(values).save(path)
    return path


def predictions(*arguments: str | Path) -> dict[str, float]:
    shown = json.loads(invoke("show", "--json", *arguments).stdout)
    return {one["label"]: one["probability"] for one in shown["predictions"]}


def test_a_hot_pixel_or_a_brighter_one_changes_no_prediction(folder: Path) -> None:
    shown = [
        predictions(deep(folder / "a.png", 4_090)),
        predictions(deep(folder / "b.png", 4_100)),
        predictions(deep(folder / "c.png", 4_090, hot=65_535)),
    ]
    for other in shown[1:]:
        assert other == pytest.approx(shown[0], abs=0.01)


def test_a_stated_window_gives_what_eight_bits_would(folder: Path) -> None:
    wide = deep(folder / "a.png", 4_095)
    pixels = np.rint(np.asarray(Image.open(wide)).astype(float) / 4095 * 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "b.png")
    shown = predictions(wide, "--window", "0,4095")
    rounded = predictions(folder / "b.png")
    assert shown == pytest.approx(rounded, abs=2e-4)  # not through 8 bits: not quite the same
    assert shown != rounded
    assert predictions(wide) != predictions(folder / "b.png")


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "a.png"),
        ("layers", "--image", "a.png"),
        ("figure", "a.png", "-o", "a.pdf"),
        ("export", "a.png", "-o", "out"),
    ],
)
def test_every_command_says_what_was_done(folder: Path, arguments: tuple[str, ...]) -> None:
    deep(folder / "a.png", 4_095)
    run = invoke(*arguments)
    assert run.exit_code == 0, run.stderr
    assert (
        "a.png: Its values were brought to 8 bits: 65,535 is white. The brightest is" in run.stderr
    )
    stated = invoke(*arguments, "--window", "0,4095", *(["--force"] if "-o" in arguments else []))
    assert stated.exit_code == 0, stated.stderr
    assert "a.png: Values from 0 to 4095 are shown from black to white, as stated." in stated.stderr


def test_notes_are_in_the_json(folder: Path) -> None:
    deep(folder / "a.png", 60_000)
    note = "Its values were brought to 8 bits: 65,535 is white."
    assert json.loads(invoke("show", "a.png", "--json").stdout)["image"]["notes"] == [note]
    exported = json.loads(invoke("export", "a.png", "-o", "out", "--json").stdout)
    assert exported["images"][0]["notes"] == [note]


def test_a_figure_is_made_again_with_its_window(folder: Path) -> None:
    deep(folder / "a.png", 4_095)
    made = invoke("figure", "a.png", "-o", "a.png.pdf", "--window", "0,4095", "--with", "manifest")
    assert made.exit_code == 0, made.stderr
    (manifest,) = folder.glob("*.manifest.json")
    assert json.loads(manifest.read_text())["photos"][0]["window"] == [0.0, 4095.0]
    again = invoke("figure", "--from", manifest, "-o", "b.pdf")
    assert again.exit_code == 0, again.stderr
    assert (folder / "b.pdf").read_bytes() == (folder / "a.png.pdf").read_bytes()


def test_values_of_no_agreed_range_ask_for_a_window(folder: Path) -> None:
    Image.fromarray(np.linspace(0, 300, 5400, dtype=np.float32).reshape(60, 90)).save("f.tif")
    write_photo(folder / "good.png")
    run = invoke("export", "f.tif", "good.png", "-o", "out")
    assert run.exit_code == 1
    assert "f.tif: its values go from 0 to 300, and nothing says which one is white" in run.stderr
    rows = list(csv.DictReader((folder / "out" / "index.csv").open()))
    assert [bool(row["error"]) for row in rows] == [True, False]
    assert invoke("export", "f.tif", "-o", "two", "--window", "0,300").exit_code == 0


@pytest.mark.parametrize("text", ["5", "a,b", "1,2,3", ""])
def test_windows_that_cannot_be_read(folder: Path, text: str) -> None:
    write_photo(folder / "a.png")
    run = invoke("show", "a.png", "--window", text)
    assert run.exit_code == 2
    assert "is not LOW,HIGH, such as 0,4095" in run.stderr
