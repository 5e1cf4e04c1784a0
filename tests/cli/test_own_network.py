"""`--model`: the user's own Python network, with and without a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

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
