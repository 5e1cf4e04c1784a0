"""`export` when a photo, the process or the place fails, and going on afterwards."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cbam_viz

from .conftest import invoke, write_photo, write_tiny
from .test_own_network import CODE

TOUCHY = f"""
import os, time
{CODE}
class Touchy(Net):
    def forward(self, x):
        if (x.mean((1, 2, 3)) > 2).any():  # white, when normalised
            {{does}}
        return super().forward(x)

def make():
    torch.manual_seed(0)
    return Touchy()
"""
DOES = {
    "raises": ("raise ValueError('too bright')", "too bright"),
    "ends the program": ("raise SystemExit(7)", "ended the program (sys.exit(7))"),
    "leaves at once": ("os._exit(0)", "ended the program (os._exit(0))"),
    "has no memory": ("raise MemoryError", "MemoryError"),
    "gates nothing": ("return self.head(torch.ones(len(x), 6))", "gates no feature map"),
}


def rows_of(output: Path) -> list[dict[str, str]]:
    with (output / "index.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def photos(folder: Path) -> Path:
    """Ten photos, more than go through the network together; the third is white."""
    for number in range(10):
        write_photo(folder / "photos" / f"{number}.png", seed=number)
    Image.new("RGB", (90, 60), "white").save(folder / "photos" / "2.png")
    return folder


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("does", sorted(DOES))
def test_one_photo_that_fails_is_one_row(photos: Path, does: str, workers: str) -> None:
    code, sentence = DOES[does]
    (photos / "touchy.py").write_text(TOUCHY.format(does=code))
    command = ("export", "photos", "-o", "out", "--model", "touchy.py:make", "--json")
    ended = invoke(*command, "--workers", workers)
    assert ended.exit_code == 1, ended.output
    rows = rows_of(photos / "out")
    assert [row["source"] for row in rows] == [f"photos/{number}.png" for number in range(10)]
    assert [bool(row["error"]) for row in rows] == [number == 2 for number in range(10)]
    assert sentence in rows[2]["error"]
    assert rows[2]["folder"] == rows[2]["files"] == ""
    (failed,) = json.loads(ended.stdout)["failed"]
    assert failed == {"source": "photos/2.png", "error": rows[2]["error"]}
    assert not (photos / "out" / "2").exists()
    from cbam_viz.models.code import call_factory

    loaded = cbam_viz.wrap_model(call_factory("touchy.py:make").eval())
    for number in (1, 3, 9):  # in the batch of the failing one, and in another
        photo = cbam_viz.read_photo(photos / "photos" / f"{number}.png")
        wanted = cbam_viz.analyse(loaded, photo).attention["backbone.1"].spatial
        stored = cbam_viz.load_npz(photos / "out" / str(number) / "gates.npz").attention
        np.testing.assert_allclose(stored["backbone.1"].spatial, wanted, atol=1e-6)


def test_a_network_without_gates_ends_the_run(photos: Path) -> None:
    plain = "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 4, 3))\n"
    (photos / "plain.py").write_text(plain)
    ended = invoke("export", "photos", "-o", "out", "--model", "plain.py:make")
    assert ended.exit_code == 3, ended.output
    assert "The same command" not in ended.stderr
    assert all(row["error"] for row in rows_of(photos / "out"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("death", ["os.abort()", "os.kill(os.getpid(), 9)"])
def test_a_worker_that_dies_is_a_sentence_and_the_rest_is_kept(photos: Path, death: str) -> None:
    does = f"if not os.environ.get('HEALTHY'): time.sleep(3); {death}"
    (photos / "touchy.py").write_text(TOUCHY.format(does=does))
    command = [sys.executable, "-m", "cbam_viz", "export", "photos", "-o", "out", "--workers", "2"]
    command += ["--model", "touchy.py:make", "--json"]
    died = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert died.returncode == 3, died.stderr
    assert "A worker process ended without a word" in died.stderr
    assert "2 of 10 images are done" in died.stderr
    assert "Traceback" not in died.stderr
    assert died.stdout == ""
    rows = rows_of(photos / "out")
    assert [row["source"] for row in rows if not row["error"]] == ["photos/8.png", "photos/9.png"]
    assert {row["error"] for row in rows[:8]} == {"Not done yet."}
    assert sorted(path.name for path in (photos / "out").iterdir()) == ["8", "9", "index.csv"]
    healthy = {**os.environ, "HEALTHY": "1"}
    again = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=healthy
    )
    assert again.returncode == 0, again.stderr
    assert "2 of 10 images were done before." in again.stderr
    result = json.loads(again.stdout)
    assert [one["source"] for one in result["done_before"]] == ["photos/8.png", "photos/9.png"]
    assert all(Path(file).is_file() for one in result["done_before"] for file in one["files"])
    assert len(result["images"]) == 8


def interrupted(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Press Ctrl-C when the fourth photo has one of its files; return what is said."""
    from cbam_viz.cli import results

    write, count = results.write, 0

    def stopping(path: Path, data: bytes, *, force: bool) -> Path:
        nonlocal count
        count += path.name == "statistics.csv"
        if count == 4:
            raise KeyboardInterrupt
        return write(path, data, force=force)

    with monkeypatch.context() as patch:
        patch.setattr(results, "write", stopping)
        ended = invoke("export", "photos", "-o", "out", "--workers", "1", *arguments)
    assert ended.exit_code == 130, ended.output
    return ended.stderr


def test_after_an_interruption_the_same_command_does_the_rest(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = invoke("export", "photos", "-o", "whole", "--workers", "1")
    assert whole.exit_code == 0
    said = interrupted(monkeypatch)
    assert "3 of 10 images are done, and out/index.csv lists them. The same command" in said
    assert [row["error"] for row in rows_of(photos / "out")] == [""] * 3 + ["Not done yet."] * 7
    assert sorted(p.name for p in (photos / "out").iterdir()) == ["0", "1", "2", "index.csv"]
    times = {path: path.stat().st_mtime_ns for path in (photos / "out").rglob("*.npz")}
    again = invoke("export", "photos", "-o", "out", "--workers", "1")
    assert again.exit_code == 0, again.output
    assert "3 of 10 images were done before." in again.stderr
    assert "7 of 7 images exported to out; 3 were done before." in again.stdout
    assert {path: path.stat().st_mtime_ns for path in times} == times
    one, other = contents(photos / "whole"), contents(photos / "out")
    assert one.keys() == other.keys()
    for name in one.keys() - {"index.csv"}:  # batches of other sizes differ by rounding
        if name.endswith(".npz"):
            with np.load(photos / "whole" / name) as a, np.load(photos / "out" / name) as b:
                for key in a.files:
                    if a[key].dtype.kind == "f":
                        np.testing.assert_allclose(a[key], b[key], atol=1e-5)
    third = invoke("export", "photos", "-o", "out")
    assert third.exit_code == 0
    assert "10 were done before" in third.stdout
    assert contents(photos / "out") == other


def test_an_interruption_with_force_does_not_do_everything_again(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("export", "photos", "-o", "out", "--format", "png").exit_code == 0
    assert "The same command without --force does" in interrupted(monkeypatch, "--force")
    names = [sorted(p.name for p in (photos / "out" / str(n)).glob("*")) for n in range(10)]
    assert names[:3] == [["gates.npz", "statistics.csv"]] * 3  # nothing of the other run
    assert names[3] == []
    assert all(len(files) == 1 and files[0].startswith("overlay_") for files in names[4:])
    again = invoke("export", "photos", "-o", "out")
    assert again.exit_code == 0, again.output
    assert "7 of 7 images exported to out; 3 were done before." in again.stdout
    assert all(
        sorted(p.name for p in (photos / "out" / str(n)).iterdir()) == names[0] for n in range(10)
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_export_goes_on(folder: Path) -> None:
    for number in range(60):
        write_photo(folder / "photos" / f"{number}.png", seed=number)
    command = [sys.executable, "-m", "cbam_viz", "export", "photos", "-o", "out", "--workers", "1"]
    command += ["--format", "png", "--format", "csv", "-l", "all"]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not list((folder / "out").glob("*/*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    rows = rows_of(folder / "out")
    done = [row for row in rows if not row["error"]]
    assert len(rows) == 60
    assert len(done) < len(rows)
    for row in done:
        assert all(
            (folder / "out" / row["folder"] / name).is_file() for name in row["files"].split()
        )
    (folder / "out" / rows[-1]["folder"]).mkdir(exist_ok=True)
    part = folder / "out" / rows[-1]["folder"] / ".gates.csv.0123456789abcdef.part"
    part.write_text("cut off")  # where the moment of the kill was another
    again = invoke("export", "photos", "-o", "out", *command[-6:])
    assert again.exit_code == 0, again.output
    assert all(
        len(row["files"].split()) == 5 and not row["error"] for row in rows_of(folder / "out")
    )
    assert not list((folder / "out").rglob("*/.*.part"))


OTHERS = [
    ["--format", "csv"], ["--view", "whole"], ["--layer", "0"], ["--window", "0,200"],
    ["--colormap", "magma"], ["--opacity", "0.4"], ["--max-side", "50"], ["--scale", "shared"],
    ["-c", "zebra"], ["-a", "resnet10t"],
]  # fmt: skip


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: other[0])
def test_other_settings_are_refused(folder: Path, other: list[str]) -> None:
    write_photo(folder / "p.png")
    write_photo(folder / "q.png", seed=1)
    assert invoke("export", "p.png", "-o", "out").exit_code == 0
    before = contents(folder / "out")
    ended = invoke("export", "p.png", "q.png", "-o", "out", *other)
    assert ended.exit_code == 3, ended.output
    assert "give --force to do all of them again" in ended.stderr
    assert contents(folder / "out") == before
    assert invoke("export", "p.png", "q.png", "-o", "out", *other, "--force").exit_code == 0
    assert [row["error"] for row in rows_of(folder / "out")] == ["", ""]


def test_other_code_or_weights_are_another_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(folder / "p.png")
    (folder / "mine.py").write_text(CODE)
    command = ("export", "p.png", "-o", "out", "--model", "mine.py:make")
    assert invoke(*command).exit_code == 0
    assert "1 were done before" in invoke(*command).stdout
    (folder / "mine.py").write_text(
        CODE.replace("return x * torch.sig", "return x * 0.5 * torch.sig")
    )
    assert "made with another network" in invoke(*command).stderr
    assert invoke("export", "p.png", "-o", "tiny").exit_code == 0
    monkeypatch.setenv("CBAM_VIZ_CHECKPOINTS", str(folder))
    write_tiny(folder / "tiny.safetensors", seed=5, default=True)
    assert "made with another network" in invoke("export", "p.png", "-o", "tiny").stderr


def test_a_photo_that_changed_or_results_that_are_gone(folder: Path) -> None:
    for name in "ab":
        write_photo(folder / "photos" / f"{name}.png", seed=ord(name))
    assert invoke("export", "photos", "-o", "out").exit_code == 0
    (folder / "out" / "a" / "statistics.csv").unlink()
    again = invoke("export", "photos", "-o", "out")
    assert "1 of 1 images exported to out; 1 were done before." in again.stdout
    assert (folder / "out" / "a" / "statistics.csv").is_file()
    write_photo(folder / "photos" / "b.png", seed=9)
    changed = invoke("export", "photos", "-o", "out")
    assert changed.exit_code == 3
    assert "photos/b.png has changed" in changed.stderr


def test_more_photos_join_and_what_lies_there_stays(folder: Path) -> None:
    write_photo(folder / "x" / "a.png", seed=1)
    assert invoke("export", "x", "-o", "out").exit_code == 0
    write_photo(folder / "y" / "a.png", seed=2)
    clash = invoke("export", "y/a.png", "-o", "out")  # would be out/a too
    assert clash.exit_code == 3
    assert "out/a exists already" in clash.stderr
    both = invoke("export", "x", "y", "-o", "out")
    assert both.exit_code == 0, both.output
    rows = rows_of(folder / "out")
    assert [(row["source"], row["folder"]) for row in rows] == [
        ("x/a.png", "a"),
        ("y/a.png", "y_a"),
    ]


def test_an_index_of_others_is_not_overwritten(folder: Path) -> None:
    write_photo(folder / "p.png")
    (folder / "out").mkdir()
    for text in ("source,folder\np.png,p\n", "", "\0\0", 'a,"b\n', "x" * 200_000):
        (folder / "out" / "index.csv").write_text(text)
        ended = invoke("export", "p.png", "-o", "out")
        assert ended.exit_code == 3, ended.output
        assert "is no index that this version of cbam-viz wrote" in ended.stderr
        assert (folder / "out" / "index.csv").read_text() == text


def test_force_leaves_no_old_file_beside_a_failure(folder: Path) -> None:
    write_photo(folder / "p.png")
    write_photo(folder / "q.png", seed=1)
    formats = [
        part for kind in ("npz", "csv", "statistics", "png", "jpg") for part in ("--format", kind)
    ]
    assert invoke("export", "p.png", "q.png", "-o", "out", *formats, "-l", "all").exit_code == 0
    (folder / "out" / "p" / "notes.txt").write_text("mine")
    (folder / "p.png").write_bytes(b"no picture")
    ended = invoke("export", "p.png", "q.png", "-o", "out", "--force")
    assert ended.exit_code == 1
    assert [path.name for path in (folder / "out" / "p").iterdir()] == ["notes.txt"]
    assert sorted(path.name for path in (folder / "out" / "q").iterdir()) == [
        "gates.npz", "statistics.csv",
    ]  # fmt: skip
    assert rows_of(folder / "out")[0]["error"]
    assert rows_of(folder / "out")[1]["files"] == "gates.npz statistics.csv"


def test_a_wrong_layer_is_put_right_by_the_next_command(folder: Path) -> None:
    write_photo(folder / "p.png")
    assert invoke("export", "p.png", "-o", "out", "--format", "png", "-l", "x").exit_code == 2
    assert invoke("export", "p.png", "-o", "out", "--format", "png", "-l", "0").exit_code == 0


def test_the_output_may_lie_among_the_photos(folder: Path) -> None:
    write_photo(folder / "photos" / "p.png")
    command = ("export", "photos", "-o", "photos/out", "--format", "png", "-l", "all")
    assert invoke(*command).exit_code == 0
    assert "0 of 0 images exported to photos/out; 1 were done before." in invoke(*command).stdout
    assert len(rows_of(folder / "photos" / "out")) == 1


PLACES = ["file/out", "file", "/proc/nowhere/out", "n" * 300, "/".join(["n" * 200] * 22)]
WRITING = [
    "export p.png -o {}",
    "figure p.png -o {}/f.pdf",
    "show p.png -o {}/o.png",
    "convert t.pth -o {}/t.safetensors",
]


@pytest.mark.skipif(sys.platform != "linux", reason="places as Linux has them")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("command", WRITING)
def test_a_place_that_takes_no_files_is_noticed_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: str, force: tuple[str, ...], command: str
) -> None:
    write_photo(folder / "p.png")
    (folder / "file").write_text("in the way")
    for module in ("export", "figure", "show"):
        monkeypatch.setattr(f"cbam_viz.cli.{module}.open_network", None)
    ended = invoke(*command.format(place).split(), *force)
    assert ended.exit_code in (2, 3), ended.output  # click itself knows some
    assert "Internal error" not in ended.stderr
    assert len(ended.stderr) < 5_500
    assert (folder / "file").read_text() == "in the way"


def test_a_folder_for_a_photo_that_takes_no_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(folder / "p.png")
    (folder / "out").mkdir()
    (folder / "out" / "p").write_text("in the way")
    monkeypatch.setattr("cbam_viz.cli.export.open_network", None)
    ended = invoke("export", "p.png", "-o", "out", "--force")
    assert ended.exit_code == 3
    assert "out/p is a file" in ended.stderr
