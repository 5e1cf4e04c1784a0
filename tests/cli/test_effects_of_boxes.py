"""`cbam-viz effects` on a detector: the score of one box, where it is known by hand."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from cbam_viz.errors import MethodError
from cbam_viz.evaluation import BoxFollowed
from cbam_viz.models import wrap_model
from tests.methods.detectors import Grid

from .conftest import invoke

CODE = """
import torch
from torch import nn
import cbam_viz
from cbam_viz.images import InputSpec
from cbam_viz.models import wrap_model
from tests.methods.detectors import CLASSES, Grid, decode

class SpatialGate(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 1, bias=False)
        nn.init.constant_(self.conv.weight, 0.5)
    def forward(self, x):
        both = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)
        return x * torch.sigmoid(self.conv(both))

class Gated(Grid):
    def __init__(self):
        super().__init__()
        self.stage = SpatialGate()

def make():
    spec = InputSpec(size=(24, 32), mean=(0.5,) * 3, std=(0.25,) * 3, crop_pct=1.0,
                     crop_mode="squash")
    return wrap_model(Gated().eval(), spec, CLASSES, decode=decode)

class Classifier(nn.Module):
    num_classes = 3
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.gate = SpatialGate()
        self.head = nn.Linear(4, 3)
    def forward(self, x):
        return self.head(self.gate(self.body(x)).mean((2, 3)))

class NanOfDark(Classifier):
    def forward(self, x):
        return super().forward(x) * torch.log(x.mean() + 0.1)
"""
CAT, DOG = (255 / 255 - 0.5) / 0.25, (192 / 255 - 0.5) / 0.25
REST = (128 / 255 - 0.5) / 0.25


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photos of a cat's cell and a dog's, and one on which nothing is found."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE)
    for name, cat in (("a", (0, 0)), ("b", (16, 24))):
        pixels = np.full((24, 32, 3), 128, np.uint8)
        pixels[cat[0] : cat[0] + 8, cat[1] : cat[1] + 8, 0] = 255
        pixels[8:16, 16:24, 1] = 192
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    Image.fromarray(np.full((24, 32, 3), 60, np.uint8)).save(tmp_path / "empty.png")
    return tmp_path


def told(status: int, *args: str) -> Result:
    ended = invoke("effects", *args, "--model", "mine.py:make")
    assert ended.exit_code == status, ended.output
    assert "Traceback" not in ended.output
    return ended


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def by_hand(value: float) -> tuple[float, float]:
    """The box's score with the gate, and without."""
    gate = sigmoid(0.5 * (value + 2 * REST) / 3 + 0.5 * value)
    return sigmoid(4 * value * gate), sigmoid(4 * value)


@pytest.mark.parametrize(
    ("target", "label", "value"),
    [((), "cat", CAT), (("--target", "box2"), "dog", DOG), (("--target", "Dog"), "dog", DOG)],
)
def test_the_score_of_a_box_without_the_gate(
    place: Path, target: tuple[str, ...], label: str, value: float
) -> None:
    found = json.loads(told(0, "a.png", "b.png", *target, "--json").stdout)
    number = 1 if label == "cat" else 2
    assert found["scores"] == ["box"]
    assert found["boxes"] == dict.fromkeys(("a.png", "b.png"), f"box {number}, {label}")
    row = next(one for one in found["effects"] if one["unit"] == "gate")
    assert row["gate"] == "spatial"
    before, after = by_hand(value)
    assert row["each_before"] == pytest.approx([before] * 2, abs=1e-5)
    assert row["each_after"] == pytest.approx([after] * 2, abs=1e-5)


def test_a_box_that_is_gone_scores_nothing(place: Path) -> None:
    found = json.loads(told(0, "a.png", "--by", "-1", "--score", "box", "--json").stdout)
    assert found["effects"][0]["each_after"] == [0.0]


def test_labels_choose_the_class_and_the_rest_goes_on(place: Path) -> None:
    (place / "labels.csv").write_text("a.png,dog\nb.png,cat\nempty.png,cat\n")
    ended = told(1, "a.png", "b.png", "empty.png", "--labels", "labels.csv", "--json")
    found = json.loads(ended.stdout)
    assert found["boxes"] == {"a.png": "box 2, dog", "b.png": "box 1, cat"}
    row = next(one for one in found["effects"] if one["unit"] == "gate")
    assert row["each_before"] == pytest.approx([by_hand(DOG)[0], by_hand(CAT)[0]], abs=1e-5)
    assert "finds nothing on this photo" in found["skipped"][0]["error"]


def test_words_and_tables_say_whose_score_it_is(place: Path) -> None:
    ended = told(0, "a.png", "--target", "box2", "-o", "o.csv")
    assert "The score is that of box 2, dog; with other gates" in ended.stdout
    assert {one["score"] for one in csv.DictReader((place / "o.csv").open())} == {"box"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--target", "box99"), "There is no box 99 on this photo"),
        (("--target", "bird"), "finds no 'bird' on this photo"),
        (("--score", "probability"), "finds objects, which have no probability: take --score box"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    place: Path, options: tuple[str, ...], says: str
) -> None:
    assert says in told(3, "a.png", *options).stderr


def test_a_classifier_has_no_box_and_takes_a_class(place: Path) -> None:
    model = ("--model", "mine.py:Classifier", "--classes", "names.txt")
    (place / "names.txt").write_text("ant\nbee\ncat\n")
    for options in (("--target", "box2"), ("--score", "box")):
        ended = invoke("effects", "a.png", *options, *model)
        assert ended.exit_code == 3
        assert "finds no objects, so there is no box" in ended.stderr
    ended = invoke("effects", "a.png", "--target", "bee", "--json", *model)
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout)["targets"] == [1]
    ended = invoke("effects", "a.png", "--target", "cow", *model)
    assert "The network has no class 'cow': the classes are ant, bee, cat." in ended.stderr


def test_a_first_photo_without_finite_numbers_is_left_out(place: Path) -> None:
    bright = np.full((24, 32, 3), 250, np.uint8)
    Image.fromarray(bright).save(place / "z.png")
    model = ("--model", "mine.py:NanOfDark")
    ended = invoke("effects", "empty.png", "z.png", "--json", *model)
    assert ended.exit_code == 1, ended.output
    found = json.loads(ended.stdout)
    assert found["photos"] == ["z.png"]
    assert "are not finite numbers" in found["skipped"][0]["error"]
    assert invoke("effects", "empty.png", *model).exit_code == 3


def test_in_python_a_box_is_chosen_first() -> None:
    loaded = wrap_model(Grid().eval(), decode=lambda output: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(MethodError, match=r"call look\(x\)"):
        BoxFollowed(loaded)(None)


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [(None, "cat", CAT), ("box2", "dog", DOG), ("dog", "dog", DOG), ("1", "dog", DOG)],
)
def test_evaluate_takes_the_same_targets(
    place: Path, target: str | None, name: str, value: float
) -> None:
    asked = [] if target is None else ["--target", target]
    quick = ("--steps", "2", "--measure", "confidence", "-o", "out", "--json")
    ended = invoke("evaluate", "a.png", "--model", "mine.py:make", *asked, *quick)
    assert ended.exit_code == 0, ended.output
    whose = target or "the box of the highest score"
    assert json.loads(ended.stdout)["settings"]["class"] == whose
    (line,) = [one for one in journal_lines(place / "out") if "target_name" in one]
    assert line["target_name"] == name
    assert line["probability"] == pytest.approx(by_hand(value)[0], abs=1e-5)


def journal_lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "photos.jsonl").read_text().splitlines()]


def test_targets_that_there_are_not_are_sentences(place: Path) -> None:
    quick = ("--steps", "2", "--measure", "confidence")
    ended = invoke("evaluate", "a.png", "--model", "mine.py:make", "--target", "box99", *quick)
    assert ended.exit_code == 3
    assert "There is no box 99 on this photo, but box 1 (cat), box 2 (dog)" in ended.stderr
    ended = invoke("evaluate", "a.png", "--model", "mine.py:Classifier", "--target", "box1", *quick)
    assert "finds no objects, so there is no box. Name a class." in ended.stderr
    both = ("--target", "cat", "--labels", "folders")
    ended = invoke("evaluate", "a.png", "--model", "mine.py:make", *both)
    assert ended.exit_code == 2
    assert "give --labels or --target" in ended.stderr
