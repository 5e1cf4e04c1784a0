"""Each command in a process of its own: nothing may depend on what another has imported."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .conftest import write_photo


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "cbam_viz", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )


def result(*arguments: str | Path) -> str:
    """What a command that succeeds prints."""
    ended = run(*arguments)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout


def test_layers(folder: Path) -> None:
    layers = json.loads(result("layers", "--json"))
    assert [layer["name"] for layer in layers] == [f"layer{stage}.0.se" for stage in (1, 2, 3, 4)]
    assert [layer["channels"] for layer in layers] == [8, 16, 32, 64]


def test_show_of_a_sample(folder: Path) -> None:
    shown = json.loads(result("show", "sample:cat", "-l", "-1", "-o", "cat.png", "--json"))
    assert shown["overlays"] == {"layer4.0.se": "cat.png"}
    assert (folder / "cat.png").read_bytes().startswith(b"\x89PNG")
    assert sum(one["probability"] for one in shown["predictions"]) == pytest.approx(1, abs=1e-5)


def test_export(folder: Path) -> None:
    write_photo(folder / "p.png")
    assert "1 of 1 images exported to out." in result("export", "p.png", "-o", "out")
    with (folder / "out" / "index.csv").open(newline="", encoding="utf-8") as lines:
        (row,) = csv.DictReader(lines)
    assert (row["source"], row["folder"], row["error"]) == ("p.png", "p", "")


def test_figure(folder: Path) -> None:
    made = json.loads(result("figure", "sample:cat", "-o", "cat.svg", "--width", "90", "--json"))
    assert made["width_pt"] == pytest.approx(90 / 25.4 * 72, abs=0.01)
    assert "<svg" in (folder / "cat.svg").read_text("utf-8")


def test_cost(folder: Path) -> None:
    counted = json.loads(result("cost", "-a", "resnet18", "--json"))
    assert counted["plain_parameters"] == 11_689_512  # torchvision's number
    assert len(counted["layers"]) == 8


def test_convert(folder: Path) -> None:
    from safetensors.torch import load_file

    from cbam_viz import create_model

    torch.save(create_model("resnet10t", num_classes=5).state_dict(), folder / "ten.pth")
    made = json.loads(
        result("convert", "ten.pth", "-o", "ten.safetensors", "-a", "resnet10t", "--json")
    )
    assert made == {"path": "ten.safetensors", "architecture": "resnet10t"}
    assert load_file(folder / "ten.safetensors")["fc.weight"].shape == (5, 512)


def test_checkpoints(folder: Path) -> None:
    listed = json.loads(result("checkpoints", "--json"))
    assert sorted(Path(entry["path"]).stem for entry in listed) == ["tiny", "zebra"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    assert "_CBAM_VIZ_COMPLETE" in result("completion", shell)


def test_app_says_what_it_does() -> None:
    assert "--no-browser" in result("app", "--help")
