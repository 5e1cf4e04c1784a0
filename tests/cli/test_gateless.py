"""A network without gates: each command says in its own words what it can be asked for."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from cbam_viz.cli.gateless import ADVICE, TO_GET
from cbam_viz.cli.group import COMMANDS
from cbam_viz.errors import NoAttentionError

from .conftest import invoke, write_photo

CODE = """
import torch
from torch import nn

class Plain(nn.Module):
    num_classes = 4
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 4)
    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))

class Maps(Plain):
    def forward(self, x):
        return self.body(x)

class Parts(Plain):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten())
    def forward(self, x):
        for part in self.model[:2]:
            x = part(x)
        self.model[2](x)
        return self.head(x.mean((2, 3)))

class Squeezed(Maps):
    def __init__(self):
        super().__init__()
        self.gate = nn.Conv2d(4, 4, 1)
    def forward(self, x):
        x = self.body(x)
        return x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_photo(tmp_path / "photo.png")
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "photo.png", "-l", "0"),
        ("show", "photo.png", "-o", "o.png"),
        ("layers", "--image", "photo.png"),
        ("export", "photo.png", "-o", "out"),
        ("figure", "photo.png", "-o", "f.pdf"),
        ("steps", "photo.png"),
        ("cost",),
        ("batch", "photo.png", "--out", "store"),
        ("effects", "photo.png"),
    ],
)
def test_what_to_do_is_said_in_the_commands_own_words(
    place: Path, arguments: tuple[str, ...]
) -> None:
    ended = invoke(*arguments, "--model", "mine.py:Plain")
    assert ended.exit_code == 3, ended.output
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert ADVICE[arguments[0]] in last
    assert last.endswith(TO_GET)
    for word in ("create_model", "insert_cbam", "capture("):
        assert word not in ended.stderr


def test_watch_says_it_of_all_checkpoints(place: Path) -> None:
    (place / "run").mkdir()
    (place / "few.py").write_text(
        CODE + "\nimport torch\nfor k in (1, 2):\n"
        "    torch.save(Plain().state_dict(), f'run/epoch_{k}.pth')\n"
    )
    runpy.run_path(str(place / "few.py"))
    ended = invoke("watch", "run", "--photos", "photo.png", "--model", "mine.py:Plain")
    assert ended.exit_code == 3, ended.output
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: None of 2 checkpoints can be shown. The first, epoch_1.pth: ")
    assert ADVICE["watch"] in last
    assert last.endswith(TO_GET)
    for word in ("create_model", "insert_cbam", "capture("):
        assert word not in ended.stderr


@pytest.mark.parametrize("factory", ["Plain", "Maps"])
def test_that_there_are_no_gates_comes_before_what_the_output_is(place: Path, factory: str) -> None:
    """Another output would not help."""
    ended = invoke("effects", "photo.png", "--model", f"mine.py:{factory}")
    assert ended.exit_code == 3, ended.output
    assert ADVICE["effects"] in ended.stderr


def test_what_is_advised_works(place: Path) -> None:
    model = ("--model", "mine.py:Plain")
    ended = invoke("figure", "photo.png", "-o", "f.svg", "--columns", "input,prediction", *model)
    assert ended.exit_code == 0, ended.output
    ended = invoke("show", "photo.png", *model)
    assert ended.exit_code == 0, ended.output
    assert TO_GET in ended.stdout
    assert "create_model" not in ended.stdout


def test_evaluate_names_modules_to_choose_from(place: Path) -> None:
    ended = invoke("evaluate", "photo.png", "--model", "mine.py:Plain")
    assert ended.exit_code == 2
    assert "such as body." in ended.stderr  # of its head no map can be made
    ended = invoke("evaluate", "photo.png", "--model", "mine.py:Plain", "--layer", "bdy")
    assert ended.exit_code == 2
    assert "no module 'bdy'; near names are body" in ended.stderr


def test_maps_are_no_prediction_and_how_to_read_them_is_said(place: Path) -> None:
    ended = invoke("show", "photo.png", "--model", "mine.py:Maps")
    assert ended.exit_code == 0, ended.output
    assert "decode(output)" in ended.stdout


def test_advice_is_for_commands_that_there_are() -> None:
    assert set(ADVICE) <= set(COMMANDS)


def test_the_reason_outlives_a_process() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(NoAttentionError("It has none.", "Do this.")))
    assert (str(error), error.reason) == ("It has none. Do this.", "It has none.")


def test_nothing_is_said_of_maps_where_there_are_none(place: Path) -> None:
    for name in ("Plain", "Squeezed"):
        ended = invoke("show", "photo.png", "--model", f"mine.py:{name}", "--fit", "letterbox")
        assert ended.exit_code == 0, ended.output
        assert "with a grey border" in ended.stdout
        assert "numbers of maps" not in ended.stdout


def test_modules_that_give_maps_are_named_where_one_has_to_be_chosen(place: Path) -> None:
    """Those of the outermost that do: neither a list of them nor what comes behind."""
    ended = invoke("evaluate", "photo.png", "--model", "mine.py:Parts")
    assert ended.exit_code == 2
    assert "has no gates" in ended.stderr
    assert "by --layer, such as model.1, model.0." in ended.stderr
    ended = invoke("evaluate", "photo.png", "--model", "mine.py:Squeezed")
    assert "has no layer with a spatial map" in ended.stderr
    assert "by --layer, such as body." in ended.stderr


def test_photos_of_a_network_without_classes_stand_together_and_that_is_said(place: Path) -> None:
    arguments = ("figure", "photo.png", "--model", "mine.py:Squeezed", "--by", "class")
    ended = invoke(*arguments, "-o", "one.png")
    assert ended.exit_code == 0, ended.output
    assert "as the network predicts no classes. Say theirs: --group-by folder" in ended.stderr
    ended = invoke(*arguments, "--group-by", "folder", "-o", "two.png")
    assert ended.exit_code == 0, ended.output
    assert "stand together" not in ended.stderr
