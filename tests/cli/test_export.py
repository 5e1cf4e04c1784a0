"""`export`: files equal to what the library computes, for one image and for many."""

from __future__ import annotations

import csv
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image

import cbam_viz

from .conftest import invoke, write_photo


@pytest.fixture
def photos(folder: Path) -> list[Path]:
    """Photos of two shapes, two of which have the same stem."""
    return [
        write_photo(folder / "photos" / "a.png", seed=1),
        write_photo(folder / "photos" / "b.jpg", seed=2, size=(90, 60)),
        write_photo(folder / "photos" / "deep" / "a.png", seed=3),
    ]


def index_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("view", ["crop", "whole"])
def test_gates_are_those_of_the_library(
    folder: Path, photos: list[Path], checkpoints: Path, view: cbam_viz.images.View
) -> None:
    ended = invoke("export", "photos", "-o", "out", "--view", view, "--workers", "1")
    assert ended.exit_code == 0, ended.output
    assert "3 of 3 images exported to out." in ended.stdout
    loaded = cbam_viz.load_model(checkpoints / "tiny.safetensors")
    rows = index_of(folder / "out")
    assert [Path(row["source"]) for row in rows] == [p.relative_to(folder) for p in photos]
    for row, photo in zip(rows, photos, strict=True):
        analysis = cbam_viz.analyse(loaded, cbam_viz.read_photo(photo), view)
        stored = cbam_viz.load_npz(folder / "out" / row["folder"] / "gates.npz")
        assert list(stored.attention) == list(analysis.attention)
        for name, layer in analysis.attention.items():
            for gate in ("channel", "spatial"):
                wanted, found = getattr(layer, gate), getattr(stored.attention[name], gate)
                torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
        assert stored.provenance.photo_sha256 == row["sha256"] == analysis.photo.sha256
        assert stored.provenance.checkpoint_sha256 == loaded.sha256
        assert stored.provenance.geometry == analysis.geometry
        assert row["prediction"] == analysis.predictions[0].label
        assert float(row["probability"]) == pytest.approx(
            analysis.predictions[0].probability, abs=1e-5
        )


def test_two_workers_write_the_same_bytes_as_one(folder: Path, photos: list[Path]) -> None:
    formats = [part for kind in ("npz", "csv", "statistics", "png") for part in ("--format", kind)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what workers have; with other counts gates differ by rounding
    try:
        one = invoke("export", "photos", "-o", "one", "--workers", "1", *formats)
        two = invoke("export", "photos", "-o", "two", "--workers", "2", *formats)
    finally:
        torch.set_num_threads(threads)
    assert one.exit_code == two.exit_code == 0, one.output + two.output
    files = sorted(
        p.relative_to(folder / "one") for p in (folder / "one").rglob("*") if p.is_file()
    )
    assert len(files) == 1 + 3 * 4
    for file in files:
        assert (folder / "two" / file).read_bytes() == (folder / "one" / file).read_bytes(), file


def test_csv_has_every_value_and_statistics_their_mean(folder: Path) -> None:
    write_photo(folder / "p.png")
    formats = ("--format", "npz", "--format", "csv", "--format", "statistics")
    assert invoke("export", "p.png", "-o", "out", *formats).exit_code == 0
    with np.load(folder / "out" / "p" / "gates.npz") as file:
        weights = file["layer3.0.se/channel"][0]
    with (folder / "out" / "p" / "gates.csv").open(newline="") as lines:
        rows = [r for r in csv.DictReader(lines) if r["layer"] == "layer3.0.se" and r["channel"]]
    assert np.array_equal(np.array([r["value"] for r in rows], np.float32), weights)
    with (folder / "out" / "p" / "statistics.csv").open(newline="") as lines:
        (row,) = [r for r in csv.DictReader(lines) if r["layer"] == "layer3.0.se"]
    assert float(row["channel_mean"]) == pytest.approx(weights.astype(float).mean())


def test_unreadable_images_are_named_and_the_others_done(folder: Path) -> None:
    write_photo(folder / "good.png")
    (folder / "bad.jpg").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    ended = invoke("export", "bad.jpg", "good.png", "text.png", "-o", "out", "--json")
    assert ended.exit_code == 1
    result = json.loads(ended.stdout)
    assert [image["source"] for image in result["images"]] == ["good.png"]
    assert [failure["source"] for failure in result["failed"]] == ["bad.jpg", "text.png"]
    assert "Skipped bad.jpg: " in ended.stderr
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["good", "index.csv"]
    rows = index_of(folder / "out")
    assert rows[0]["error"]
    assert rows[1]["error"] == ""
    assert rows[1]["folder"] == "good"


def test_pictures_of_all_layers(folder: Path) -> None:
    write_photo(folder / "p.png")
    ended = invoke("export", "p.png", "-o", "out", "--format", "png", "-l", "all")
    assert ended.exit_code == 0, ended.output
    names = sorted(p.name for p in (folder / "out" / "p").iterdir())
    assert names == [f"overlay_layer{stage}.0.se.png" for stage in (1, 2, 3, 4)]
    assert Image.open(folder / "out" / "p" / names[0]).size == (90, 60)


def test_jpeg_overlays_look_like_the_png_ones(folder: Path) -> None:
    write_photo(folder / "p.png")
    formats = ("--format", "png", "--format", "jpg")
    assert invoke("export", "p.png", "-o", "out", *formats, "-l", "0").exit_code == 0
    exact, small = (
        Image.open(folder / "out" / "p" / f"overlay_layer1.0.se.{ending}").convert("RGB")
        for ending in ("png", "jpg")
    )
    difference = np.abs(np.asarray(exact).astype(int) - np.asarray(small).astype(int))
    assert 0 < difference.mean() < 8


def test_nothing_is_overwritten_and_nothing_is_computed_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(folder / "p.png")
    assert invoke("export", "p.png", "-o", "out").exit_code == 0
    before = (folder / "out" / "p" / "gates.npz").stat().st_mtime_ns
    monkeypatch.setattr("cbam_viz.cli.export.open_network", None)
    ended = invoke("export", "p.png", "-o", "out", "--format", "csv")
    assert ended.exit_code == 3
    assert "exist already" in ended.stderr
    monkeypatch.undo()
    assert (folder / "out" / "p" / "gates.npz").stat().st_mtime_ns == before


def test_force_overwrites(folder: Path) -> None:
    write_photo(folder / "p.png")
    target = folder / "out" / "p" / "gates.npz"
    target.parent.mkdir(parents=True)
    target.write_text("old")
    assert invoke("export", str(folder / "p.png"), "-o", str(folder / "out"), "-f").exit_code == 0
    assert len(cbam_viz.load_npz(target).attention) == 4


def test_a_file_name_that_is_no_unicode_does_not_stop_the_others(folder: Path) -> None:
    write_photo(folder / "photos" / "a.png")
    odd = folder / "photos" / os.fsdecode(b"odd\xff.png")
    try:
        odd.write_bytes((folder / "photos" / "a.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    ended = invoke("export", "photos", "-o", "out")
    assert ended.exit_code == 0, ended.output
    assert [row["source"] for row in index_of(folder / "out")] == [
        "photos/a.png", r"photos/odd\udcff.png",
    ]  # fmt: skip


def test_a_wrong_layer_is_wrong_usage_and_can_come_from_a_worker(folder: Path) -> None:
    write_photo(folder / "p.png")
    ended = invoke("export", "p.png", "-o", "out", "--format", "png", "-l", "layer9")
    assert ended.exit_code == 2, ended.output
    assert "no attention layer 'layer9'" in ended.stderr
    error = pickle.loads(pickle.dumps(click.UsageError("no layer 'layer9'")))
    assert isinstance(error, click.UsageError)
    assert error.message == "no layer 'layer9'"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_interrupting_ends_all_processes_and_says_so(folder: Path) -> None:
    for number in range(200):
        write_photo(folder / "photos" / f"{number}.png", seed=number)
    command = [sys.executable, "-m", "cbam_viz", "export", "photos", "-o", "out", "--workers", "2"]
    formats = ["--format", "png", "--format", "csv", "-l", "all"]
    running = subprocess.Popen(
        command + formats,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts its background jobs with the signal ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 90
    while not (folder / "out").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all processes
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "Interrupted." in errors
    assert "Traceback" not in errors
    assert not list((folder / "out").rglob("*.part"))
    assert living_in_group(running.pid, patience=20) == []


def living_in_group(group: int, patience: float) -> list[str]:
    """Processes of a group that are neither gone nor waiting to be reaped, after some patience."""
    listing = ["ps", "-A", "-o", "pgid=,stat=,args="]
    deadline = time.monotonic() + patience
    while True:
        lines = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
        mine = [line.split(None, 2) for line in lines.splitlines()]
        alive = [row[2] for row in mine if row[0] == str(group) and not row[1].startswith("Z")]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.2)


@pytest.mark.parametrize("format", ["npz", "png"])
def test_a_layer_that_is_not_there_is_said_whatever_is_written(
    folder: Path, photos: list[Path], format: str
) -> None:
    ended = invoke("export", "photos", "-o", "out", "--format", format, "--layer", "layer9")
    assert ended.exit_code == 2, ended.output
    assert "no attention layer 'layer9'" in ended.stderr
    assert ("chooses the layers of overlays" in ended.stderr) == (format == "npz")
