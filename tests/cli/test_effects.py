"""`cbam-viz effects`: the table, what is skipped, and what cannot be."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

import cbam_viz
from cbam_viz.images import prepare, read_photo

from .conftest import invoke

ARCHITECTURE = ("--architecture", "resnet18", "--num-classes", "3", "--input", "64")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photos of noise in two folders, named after classes 0 and 2."""
    for k, label in enumerate("0202"):
        (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(k).integers(0, 255, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / label / f"p{k}.png")
    return tmp_path / "photos"


def told(*args: object) -> dict:
    return json.loads(invoked(0, *args, *ARCHITECTURE, "--json").stdout)


def invoked(status: int, *args: object) -> Result:
    result = invoke("effects", *map(str, args))
    assert result.exit_code == status, result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_agreement_and_probability_of_the_networks_own_class(folder: Path) -> None:
    found = told(folder)
    assert found["scores"] == ["agreement", "probability"]
    assert len(found["photos"]) == 4
    rows = {(r["unit"], r["layer"], r["gate"], r["score"]): r for r in found["effects"]}
    assert len([key for key in rows if key[0] == "gate"]) == 2 * 16
    torch.manual_seed(0)
    loaded = cbam_viz.load_model(None, architecture="resnet18", num_classes=3)
    key = ("gate", "layer4.1.se", "spatial", "probability")
    for k, name in enumerate(found["photos"]):
        spec = replace(loaded.spec, size=(64, 64))
        x = prepare(read_photo(name), spec).tensor
        with torch.no_grad():
            plain = loaded.model(x).softmax(1)
            with cbam_viz.ablate(loaded.model, {"layer4.1.se": {"spatial": "one"}}):
                after = loaded.model(x).softmax(1)
        top = int(plain.argmax())
        assert found["targets"][k] == top
        assert rows[key]["each_before"][k] == pytest.approx(float(plain[0, top]), abs=1e-5)
        assert rows[key]["each_after"][k] == pytest.approx(float(after[0, top]), abs=1e-5)


def test_accuracy_with_labels_of_folders_and_of_a_file(folder: Path, tmp_path: Path) -> None:
    found = told(folder, "--labels", "folders", "--layer", "layer4.1.se")
    assert found["scores"] == ["accuracy", "probability"]
    assert sorted(found["targets"]) == [0, 0, 2, 2]
    table = tmp_path / "labels.csv"
    table.write_text("file,label\np0.png,0\np1.png,2\np2.png,0\np3.png,2\n")
    again = told(folder, "--labels", table, "--layer", "layer4.1.se")
    assert again["effects"] == found["effects"]
    names = tmp_path / "labels.json"
    names.write_text(json.dumps({"p0": 0, "p1": 2, "p2": 0, "p3": 2}))
    assert told(folder, "--labels", names, "--layer", "layer4.1.se")["effects"] == found["effects"]


def test_bad_photos_and_labels_are_named_and_the_rest_goes_on(folder: Path, tmp_path: Path) -> None:
    (folder / "0" / "broken.png").write_bytes(b"no picture")
    table = tmp_path / "labels.csv"
    table.write_text("p0.png,0\np1.png,zebra\np2.png,0\nbroken.png,1\n")
    result = invoked(1, folder, "--labels", table, "--layer", "layer4", *ARCHITECTURE, "--json")
    found = json.loads(result.stdout)
    assert len(found["photos"]) == 2
    why = {Path(one["source"]).name: one["error"] for one in found["skipped"]}
    assert set(why) == {"broken.png", "p1.png", "p3.png"}
    assert "'zebra' is no class of the network" in why["p1.png"]
    assert why["p3.png"] == "it has no label"
    assert "Traceback" not in result.stderr


def test_files(folder: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"effects.{ending}" for ending in ("csv", "json", "tex")]
    outputs = [part for file in files for part in ("-o", file)]
    result = invoked(0, folder, "--layer", "layer4", *outputs, *ARCHITECTURE)
    rows = list(csv.DictReader(files[0].open()))
    assert len(rows) == 2 * (4 + 3)
    assert len(json.loads(files[1].read_text())["effects"]) == 14
    assert r"\begin{tabular}" in files[2].read_text()
    assert "the spatial map of layer4.1.se" in result.stdout
    again = invoked(3, folder, "-o", files[0], *ARCHITECTURE)
    assert "exists already" in again.stderr


REFUSED = {
    "no such layer": (("--layer", "nowhere"), 3, "There is no layer 'nowhere'"),
    "no such word": (("--by", "nothing"), 2, "none of one, zero"),
    "accuracy of nothing": (("--score", "accuracy"), 2, "give --labels"),
    "another ending": (("-o", "effects.xlsx"), 2, "must end in one of"),
    "no table": (("--labels", "nowhere.csv"), 2, "cannot be read as a table of labels"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_one_sentence(what: str, folder: Path) -> None:
    options, code, text = REFUSED[what]
    result = invoked(code, folder, *options, *ARCHITECTURE)
    assert text in result.stderr
    assert "Traceback" not in result.stderr


BY = {
    "mean": "its mean",
    "shuffled": "its values shuffled",
    "dataset_mean": "its mean over 4 photos",
    "0.3": "0.3",
}


@pytest.mark.parametrize("by", BY)
def test_other_replacements(folder: Path, by: str) -> None:
    found = told(folder, "--by", by, "--layer", "layer4.1.se", "--unit", "gate")
    assert len(found["effects"]) == 4
    assert BY[by] in found["replaced_by"]


def test_a_network_without_class_scores(folder: Path, tmp_path: Path) -> None:
    code = tmp_path / "maps.py"
    code.write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.stem, self.gate = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 1, 1)\n"
        "    def forward(self, x):\n"
        "        x = self.stem(x)\n"
        "        return x * torch.sigmoid(self.gate(x))\n"
    )
    result = invoked(3, folder, "--model", f"{code}:Net", "--input", "64")
    assert "cbam_viz.effects(model, inputs, score=...)" in result.stderr
