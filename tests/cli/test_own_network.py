"""`--model`: the user's own Python network, with and without a checkpoint."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cbam_viz import load_npz
from cbam_viz.cli import workers
from cbam_viz.models.code import call_factory

from .conftest import invoke, write_photo

CODE = """
import torch
from torch import nn

class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Linear(channels, channels)
        self.place = nn.Conv2d(channels, 1, 1)
    def forward(self, x):
        x = x * torch.sigmoid(self.weight(x.mean((2, 3))))[:, :, None, None]
        return x * torch.sigmoid(self.place(x))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), Gate(6))
        self.head = nn.Linear(6, 2)
    def forward(self, x):
        return self.head(self.backbone(x).mean((2, 3)))

def make():
    torch.manual_seed(0)
    return Net()

class Classifier(Net):
    def __init__(self, num_classes=2):
        super().__init__()

def classifier():
    torch.manual_seed(0)
    return Classifier()

def saturated():
    net = make()
    torch.nn.init.zeros_(net.backbone[1].weight.weight)
    torch.nn.init.constant_(net.backbone[1].weight.bias, -9.0)
    return net

def wrong():
    return 7

def broken():
    raise RuntimeError("no weights on this machine")
"""


@pytest.fixture
def own(folder: Path) -> Path:
    """A folder with the user's module and a photo."""
    (folder / "mine.py").write_text(CODE)
    write_photo(folder / "photo.png")
    return folder


@pytest.mark.parametrize("reference", ["mine.py:make"])
def test_gates_of_own_code_are_shown(own: Path, reference: str) -> None:
    ended = invoke("layers", "--model", reference, "--json")
    assert ended.exit_code == 0, ended.output
    (layer,) = json.loads(ended.stdout)
    assert layer["name"] == "backbone.1"
    assert layer["channels"] == 6
    assert layer["map_size"] == [56, 56]
    assert layer["verified"]


def test_a_checkpoint_goes_into_own_code(own: Path) -> None:
    space: dict[str, object] = {}
    exec(CODE, space)
    net = space["Net"]()  # type: ignore[operator]
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    torch.save({"state_dict": net.state_dict()}, own / "zeros.pth")
    ended = invoke("show", "photo.png", "--model", "mine.py:make", "-c", "zeros.pth", "--json")
    assert ended.exit_code == 0, ended.output
    (layer,) = json.loads(ended.stdout)["layers"]
    assert layer["statistics"]["channel"]["mean"] == 0.5
    assert layer["statistics"]["spatial"]["maximum"] == 0.5
    assert "taken from 'state_dict'" in ended.stderr


def test_a_checkpoint_of_another_network_is_refused(own: Path) -> None:
    torch.save({"head.weight": torch.zeros(2, 6)}, own / "part.pth")
    ended = invoke("show", "photo.png", "--model", "mine.py:make", "-c", "part.pth")
    assert ended.exit_code == 3
    assert "has no values for 7 of the network's tensors" in ended.stderr


ASSUMED = "Input: 224 × 224 crop, ImageNet mean and std (assumed: the network does not say)."
SAID = ASSUMED.replace(").", "; change with --input, --mean, --std).")
"""On standard error, where a person can do something about it."""


def test_what_is_no_prediction_is_not_printed_as_one(own: Path) -> None:
    """Two numbers of a layer called head: two classes, or two values of a regression."""
    ended = invoke("show", "photo.png", "--model", "mine.py:make", "--json")
    shown = json.loads(ended.stdout)
    assert shown["predictions"] == []
    assert "nothing says that the network's 2 outputs" in shown["prediction_note"]
    text = invoke("show", "photo.png", "--model", "mine.py:make").stdout
    assert "No prediction: nothing says" in text
    assert "%  " not in text.partition("layer ")[0]
    told = json.loads(invoke("show", "photo.png", "--model", "mine.py:classifier", "--json").stdout)
    assert {one["label"] for one in told["predictions"]} == {"class 0", "class 1"}
    assert sum(one["probability"] for one in told["predictions"]) == pytest.approx(1)
    assert "names of the classes are not known" in told["prediction_note"]


def test_an_input_that_was_assumed_is_called_so_beside_every_number(own: Path) -> None:
    ended = invoke("show", "photo.png", "--model", "mine.py:saturated")
    assert ended.stderr.count(SAID) == 1
    flag = (
        "saturated: 100 % of the channel weights are nearly closed (below 0.05), so it holds most "
        "channels back"
    )
    assert f"backbone.1: {flag}; the input's normalisation was assumed" in ended.stdout
    shown = json.loads(invoke("show", "photo.png", "--model", "mine.py:make", "--json").stdout)
    assert shown["input"]["sentence"] == ASSUMED
    assert shown["input"]["assumed"] == ["size", "normalisation", "crop"]
    assert shown["input"]["mean"] == [0.485, 0.456, 0.406]
    assert SAID in invoke("layers", "--model", "mine.py:make").stderr
    figure = invoke("figure", "photo.png", "--model", "mine.py:make", "-o", "f.svg", "--json")
    assert json.loads(figure.stdout)["caption"].endswith(ASSUMED)
    assert SAID in figure.stderr


def test_exports_carry_what_was_assumed(own: Path) -> None:
    ended = invoke("export", "photo.png", "--model", "mine.py:saturated", "-o", "out", "--json")
    assert SAID in ended.stderr
    (image,) = json.loads(ended.stdout)["images"]
    assert image["input"] == ASSUMED
    assert image["prediction_note"].startswith("No prediction: ")
    index = (own / "out" / "index.csv").read_text("utf-8")
    assert ASSUMED in index
    assert "No prediction: " in index
    assert "normalisation was assumed" in (own / "out/photo/statistics.csv").read_text()
    stored = load_npz(own / "out" / "photo" / "gates.npz").provenance.extra
    assert stored["input"]["sentence"] == ASSUMED
    assert stored["input"]["origin"]["normalisation"] is None
    assert stored["prediction_note"].startswith("No prediction: ")


def test_names_in_the_checkpoint_of_own_code_are_used(own: Path) -> None:
    state = {"head.weight": torch.zeros(2, 6), "head.bias": torch.tensor([0.0, 1.0])}
    whole = call_factory("mine.py:make").state_dict()
    torch.save({"state_dict": {**whole, **state},
                "class_to_idx": {"yes": 1, "no": 0}}, own / "named.pth")  # fmt: skip
    arguments = ("--model", "mine.py:make", "-c", "named.pth", "--json")
    best, other = json.loads(invoke("show", "photo.png", *arguments).stdout)["predictions"]
    assert (best["label"], other["label"]) == ("yes", "no")
    assert best["probability"] == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("mine.py:wrong", "returned int"),
        ("mine.py:broken", "RuntimeError: no weights on this machine"),
        ("mine.py:absent", "has no function absent"),
        ("absent.py:make", "cannot be imported"),
    ],
)
def test_what_is_wrong_with_own_code_is_said(own: Path, reference: str, message: str) -> None:
    ended = invoke("layers", "--model", reference)
    assert ended.exit_code == 3
    assert message in ended.stderr
    assert "Traceback" not in ended.output


RANDOM = """
import os, secrets
import torch
from torch import nn

TABLE = torch.randn(1, generator=torch.Generator().manual_seed(secrets.randbits(40)))

def make():
    class Net(nn.Module):  # of no name that another process could import
        def __init__(self):
            super().__init__()
            drawn = torch.Generator().manual_seed(secrets.randbits(40))
            self.stem = nn.Conv2d(3, 6, 3, stride=8)
            self.stem.weight = nn.Parameter(torch.randn(6, 3, 3, 3, generator=drawn))
            self.register_buffer("scale", torch.rand(6, generator=drawn), persistent=False)
            self.gate = nn.Linear(6, 6)
            self.squash = lambda x: torch.sigmoid(x + TABLE)
        def forward(self, x):
            with open("processes.txt", "a") as file:
                file.write(f"{os.getpid()}\\n")
            x = self.stem(x)
            return x * self.squash(self.gate((x.mean((2, 3)) * self.scale)))[:, :, None, None]
    return Net()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one process does the work")
def test_one_export_is_of_one_network(folder: Path) -> None:
    """Whatever the factory draws, in its module too, is drawn once: workers share the network."""
    (folder / "drawn.py").write_text(RANDOM)
    (folder / "photos").mkdir()
    for number in range(32):
        write_photo(folder / "photos" / f"{number:02}.png")
    command = [sys.executable, "-m", "cbam_viz", "export", "photos", "-o", "out"]
    command += ["--model", "drawn.py:make", "--workers", "2"]
    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    assert len(set((folder / "processes.txt").read_text().split())) == 2
    files = [folder / "out" / f"{number:02}" / "gates.npz" for number in range(32)]
    gates = [load_npz(file).attention["model"].channel for file in files]
    assert gates[0] is not None
    assert all(np.allclose(one, gates[0], atol=1e-6) for one in gates)  # rounding within a batch


def test_a_network_that_cannot_be_shared_is_run_in_one_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "drawn.py").write_text(RANDOM)
    (folder / "photos").mkdir()
    for number in range(16):
        write_photo(folder / "photos" / f"{number:02}.png")
    monkeypatch.setattr(workers, "can_fork", lambda: False)
    options = ("--model", "drawn.py:make", "--workers", "2")
    ended = invoke("export", "photos", "-o", "out", *options)
    assert ended.exit_code == 0, ended.output
    assert len(set((folder / "processes.txt").read_text().split())) == 1
    assert "one process does all the work" in ended.stderr


def test_what_a_factory_draws_is_the_same_at_every_run(folder: Path) -> None:
    """As for a network by --architecture; both commands of a comparison see one network."""
    (folder / "free.py").write_text(CODE.replace("    torch.manual_seed(0)\n", ""))
    write_photo(folder / "photo.png")
    first, second = (
        invoke("show", "photo.png", "--model", "free.py:make", "--json") for _ in range(2)
    )
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["layers"] == json.loads(second.stdout)["layers"]
    assert "no checkpoint" in first.stderr
    assert "same at every run" in first.stderr
