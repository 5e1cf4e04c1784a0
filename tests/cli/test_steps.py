"""`cbam-viz steps`: one layer's numbers, printed, as JSON and drawn; for one's own code too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import cbam_viz
from cbam_viz.images import prepare, read_photo

from .conftest import CLASSES, invoke, write_photo

LAYER = "layer3.0.se"

OWN = """
import torch
from torch import nn

class Cbam(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(c, c // 4), nn.ReLU(), nn.Linear(c // 4, c))
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        m = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        x = x * m.sigmoid()[:, :, None, None]
        s = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.conv(s).sigmoid()

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3, 8), Cbam(16), nn.Conv2d(16, 16, 3),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
"""


@pytest.fixture
def photo(folder: Path) -> Path:
    return write_photo(folder / "photo.png")


def test_a_cell_is_chosen_as_it_is_printed(folder: Path, photo: Path, checkpoints: Path) -> None:
    start = ("steps", str(photo), "--layer", LAYER, "--cell", "2,1")
    found = json.loads(invoke(*start, "--json").stdout)
    assert found["cell"] == [1, 0]
    layer = cbam_viz.analyse(
        cbam_viz.load_model(checkpoints / "tiny.safetensors"), read_photo(photo)
    ).attention[LAYER]
    (value,) = (
        step["numbers"][0]["value"]
        for step in found["steps"]
        if (step["key"], step["gate"]) == ("gate", "spatial")
    )
    assert value == float(layer.spatial[0, 1, 0])
    assert "Row 2, column 1" in invoke(*start).stdout
    for cell, says in (("9999,1", "no cell"), ("2", "is no cell"), ("0,1", "is no cell")):
        failed = invoke(*start[:-1], cell)
        assert failed.exit_code
        assert says in failed.stderr
        assert "Traceback" not in failed.stderr


def test_numbers_are_the_networks(folder: Path, photo: Path, checkpoints: Path) -> None:
    found = json.loads(invoke("steps", str(photo), "--layer", LAYER, "--json").stdout)
    loaded = cbam_viz.load_model(checkpoints / "tiny.safetensors")
    read = read_photo(photo)
    layer = cbam_viz.analyse(loaded, read).attention[LAYER]
    gates = {step["gate"]: step["numbers"] for step in found["steps"] if step["key"] == "gate"}
    row, column = found["cell"]
    assert gates["channel"][0]["value"] == float(layer.channel[0, found["channel"]])
    assert gates["spatial"][0]["value"] == float(layer.spatial[0, row, column])
    assert [one["gates"] for one in found["without"]] == [["channel"], ["spatial"]]
    module = loaded.model.get_submodule(LAYER)
    handle = module.channel.register_forward_hook(lambda _m, args, _o: args[0])
    with torch.inference_mode():
        shares = loaded.model(prepare(read, loaded.spec).tensor)[0].softmax(0)
    handle.remove()
    best = found["without"][0]["predictions"][0]
    assert best["label"] == CLASSES[int(shares.argmax())]
    assert best["probability"] == pytest.approx(float(shares.max()), abs=1e-6)


def test_text_and_drawing(folder: Path, photo: Path) -> None:
    told = invoke("steps", str(photo), "-l", "-1", "--channel", "largest").stdout
    assert "layer4.0.se in Tiny, on photo.png" in told
    assert "the channel with the largest weight" in told
    assert "Mc(F) = σ(W1 ReLU(W0 F_avg) + W1 ReLU(W0 F_max))" in told
    assert "without the spatial map: " in told
    out = folder / "steps.pdf"
    assert f"Wrote {out}" in invoke("steps", str(photo), "-l", LAYER, "-o", str(out)).stdout
    assert out.read_bytes().startswith(b"%PDF")
    again = invoke("steps", str(photo), "-o", str(out))
    assert (again.exit_code, "exists already" in again.stderr) == (3, True)


def test_ones_own_forty_lines(folder: Path, photo: Path) -> None:
    (folder / "mycbam.py").write_text(OWN)
    result = invoke(
        "steps", str(photo), "--model", f"{folder / 'mycbam.py'}:net", "-l", "-1", "-o",
        str(folder / "own.svg"), "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [step["key"] for step in found["steps"]] == [
        "features", "pool places", "dense", "activation", "dense", "sum", "gate", "product",
        "pool channels", "concat", "convolution", "gate", "product", "after",
    ]  # fmt: skip
    assert found["steps"][2]["sizes"] == "16 → 4, twice"
    assert not any(step["reason"] for step in found["steps"])
    assert (folder / "own.svg").read_text().count("<svg") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--channel", "blue"), 2, "'blue' is no channel"),
        (("--channel", "99999"), 3, "There is no channel 99999"),
        (("--layer", "nowhere"), 2, "no attention layer 'nowhere'"),
        (("-o", "steps.txt"), 2, "must end in one of"),
        (("--width", "wide", "-o", "a.pdf"), 2, "--width is column"),
    ],
)
def test_mistakes_are_told(folder: Path, photo: Path, arguments, status, told) -> None:
    result = invoke("steps", str(photo), *arguments)
    assert result.exit_code == status
    assert told in result.output + result.stderr


def test_the_input_is_as_asked(folder: Path, photo: Path) -> None:
    """The walk's numbers are of the input that is asked for, as in every other command."""
    start = ("steps", str(photo), "--json")
    told = invoke(*start, "--input", "96", "--mean", "none", "--std", "none")
    assert told.exit_code == 0, told.output
    assert "Input: 96 × 96 crop" in told.stderr
    assert json.loads(told.stdout) != json.loads(invoke(*start).stdout)
