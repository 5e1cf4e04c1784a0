"""The page "CBAM in YOLO" is true: its network trains, its commands and its Python run in order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cbam_viz
from cbam_viz.cli.group import cli
from cbam_viz.detections import Detections

pytestmark = pytest.mark.third_party

PAGE = (Path(__file__).parents[1] / "docs" / "yolo.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


COMMANDS = [
    line.removeprefix("$ cbam-viz ")
    for block in blocks("console")
    for line in block.splitlines()
    if line.startswith("$ cbam-viz ")
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, ultralytics: Any) -> tuple[Path, str]:
    """A folder in which the page's files are, and what the training printed last."""
    pytest.importorskip("yaml", reason="needs PyYAML")
    folder = tmp_path_factory.mktemp("yolo_page")
    train, _, own, _ = blocks("python")
    (folder / "yolo-cbam.yaml").write_text(blocks("yaml")[0])
    (folder / "train.py").write_text("import cbam_viz.models\n" + train)  # torchvision may need it
    (folder / "yolo.py").write_text(own)
    environment = {
        **os.environ,
        "YOLO_CONFIG_DIR": str(folder),
        "YOLO_AUTOINSTALL": "false",
        "YOLO_OFFLINE": "true",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, done.stdout.strip().splitlines()[-1]


def run(command: str) -> Result:
    done = CliRunner().invoke(cli, shlex.split(command))
    assert done.exit_code == 0, done.output
    return done


def drawn(said: str) -> tuple[str, list[float]]:
    """The class and the box that the training script printed: left, top, right, bottom."""
    name, numbers = said.split(" ", 1)
    x, y, width, height = (int(number) for number in re.findall(r"\d+", numbers))
    return name, [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def test_the_network_finds_what_was_drawn(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said = trained
    monkeypatch.chdir(folder)
    name, box = drawn(said)
    space: dict[str, Any] = {}
    exec(blocks("python")[1], space)
    found = space["analysis"].detections
    assert found.labels[0] == name
    np.testing.assert_allclose(found.boxes[0], box, atol=6)
    share = space["share"]
    assert 0 < share.inside < 1
    assert list(space["analysis"].attention) == ["model.3", "model.6"]
    text = run(COMMANDS[0]).stdout
    assert re.search(rf"%\s+{name}\s", text)
    assert "inside the boxes" in text


def test_its_commands_run(
    trained: tuple[Path, str], ultralytics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said = trained
    # The page's own code sets this; here it is undone.
    monkeypatch.setattr(ultralytics.nn.tasks, "CBAM", ultralytics.nn.modules.CBAM, raising=False)
    monkeypatch.chdir(folder)
    show, figure, app, own = COMMANDS
    assert app == "app --checkpoint best.pt"
    run(figure)
    assert (folder / "figure.pdf").read_bytes().startswith(b"%PDF")
    ours, theirs = run(f"{show} --json").stdout, run(f"{own} --json").stdout
    assert '"detections": [' in ours
    assert drawn(said)[0] in theirs


def test_a_decode_function_as_the_page_has_it() -> None:
    space: dict[str, Any] = {}
    exec(blocks("python")[3], space)
    found = space["decode"](
        {"boxes": np.array([[0, 0, 4, 4]]), "scores": np.array([0.5]), "labels": np.array([1])}
    )
    assert isinstance(found, Detections)
    import torch

    assert space["describe"](torch.nn.Conv2d(3, 4, 1)).decode is space["decode"]


def test_what_the_page_says_of_ultralytics(ultralytics: Any) -> None:
    """Its reader of YAMLs does not know CBAM; once it does, this sentence goes."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    with pytest.raises(KeyError, match="CBAM"):
        ultralytics.nn.tasks.DetectionModel(yaml.safe_load(blocks("yaml")[0]), verbose=False)
    assert cbam_viz.Detections is Detections
