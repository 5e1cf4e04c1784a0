"""`cbam-viz evaluate`: tables, going on, and bad input."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cbam_viz.cli.group import cli
from cbam_viz.images import samples

QUICK = ["--steps", "2", "--measure", "confidence", "--measure", "sparseness"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("photos")
    for sample in samples()[:2]:
        shutil.copy(sample.path, made / sample.path.name)
    return made


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])


def test_tables_of_two_photos(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(folder, *QUICK, "-o", out, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["photos"] == 2
    assert {one.name for one in out.iterdir()} == {
        "table.csv", "table.json", "table.tex", "photos.jsonl",
        "figure.pdf", "figure.csv", "figure.tex", "figure.manifest.json",
    }  # fmt: skip
    names = {row["map"] for row in told["rows"]}
    assert {"uniform", "centre Gaussian"} < names
    assert any(name.startswith("gate of") for name in names)
    assert any(name.startswith("random like Grad-CAM") for name in names)
    assert json.loads((out / "table.json").read_text())["rows"] == told["rows"]


def test_the_figure_shows_the_table_and_is_made_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [folder, "--steps", "2", "--measure", "removal", "--method", "gate", "-o", out]
    result = run(*arguments, "--figure", "svg", "--width", "column")
    assert result.exit_code == 0, result.output
    told = json.loads((out / "table.json").read_text())
    gate = next(row for row in told["rows"] if row["measure"] == "combined (blur)")
    scores = {
        (one["map"], one["order"]): one["scores"]
        for one in told["curves"]
        if one["replacement"] == "blur"
    }
    areas = [
        0.25 * sum(a + b for a, b in pairwise(line))
        for line in (scores[gate["map"], "least"], scores[gate["map"], "most"])
    ]
    assert areas[0] - areas[1] == pytest.approx(gate["mean"], abs=1e-6)
    made = CliRunner().invoke(
        cli, ["figure", "--from", str(out / "figure.manifest.json"), "-o", str(tmp_path / "g.svg")]
    )
    assert "Byte for byte the same" in made.stdout, made.output
    assert (tmp_path / "g.svg").read_bytes() == (out / "figure.svg").read_bytes()
    # Lines of a journal from before there were curves are measured again.
    journal = out / "photos.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text(
        "".join(
            json.dumps({key: value for key, value in line.items() if key != "curves"}) + "\n"
            for line in lines
        )
    )
    assert run(*arguments, "--figure", "svg").exit_code == 0
    assert json.loads((out / "table.json").read_text())["curves"] == told["curves"]


def test_the_same_command_does_the_rest(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(folder, *QUICK, "-o", out).exit_code == 0
    journal = out / "photos.jsonl"
    lines = journal.read_text().splitlines()
    whole = (out / "table.csv").read_text()
    # As after a kill: the second photo's line is torn; the first has a mark to know it again.
    first = json.loads(lines[1])
    first["maps"]["uniform"]["drop"] = 0.625
    journal.write_text("\n".join([lines[0], json.dumps(first), lines[2][:40]]))
    result = run(folder, *QUICK, "-o", out)
    assert result.exit_code == 0, result.output
    after = journal.read_text().splitlines()
    assert json.loads(after[1])["maps"]["uniform"]["drop"] == 0.625
    assert after[2] == lines[2]
    assert (out / "table.csv").read_text() != whole
    assert run(folder, *QUICK, "-o", out, "--force").exit_code == 0
    assert (out / "table.csv").read_text() == whole


def test_other_options_are_not_mixed_in(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(folder, *QUICK, "-o", out).exit_code == 0
    result = run(folder, *QUICK, "--seed", "1", "-o", out)
    assert result.exit_code == 3
    assert "with other options" in result.stderr


def test_photos_without_boxes_or_labels_are_named_and_the_rest_goes_on(
    folder: Path, tmp_path: Path
) -> None:
    one, two = sorted(folder.iterdir())
    boxes = tmp_path / "boxes"
    boxes.mkdir()
    (boxes / f"{one.stem}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    result = run(folder, "--measure", "boxes", "--boxes", boxes, "--method", "gate", "--json")
    assert result.exit_code == 0, result.output
    assert f"{two.name}: No objects are known of it" in result.stderr
    rows = {(r["map"], r["measure"]): r for r in json.loads(result.stdout)["rows"]}
    assert rows["uniform", "energy inside"]["photos"] == 1
    labels = tmp_path / "labels.csv"
    labels.write_text(f"{one.name},cat\n{two.name},unicorn\n")
    result = run(folder, *QUICK, "--labels", labels, "--json")
    assert result.exit_code == 1
    assert f"Skipped {two}: its label 'unicorn' is no class of the network" in result.stderr
    assert json.loads(result.stdout)["photos"] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--layer", "layer9"], 2, "layer9"),
        (["--measure", "boxes"], 2, "say where they are"),
        (["--method", "gate", "--layer", "layer4"], 2, "has a spatial map"),
        (["--boxes", "nowhere.json"], 3, "nowhere.json"),
        (["--width", "wide"], 2, "--width is column, text"),
        (["--venue", "cvrp"], 3, "Did you mean cvpr"),
        (["--labels", "nowhere.csv"], 2, "nowhere.csv"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    folder: Path, arguments: list[str], status: int, message: str
) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == status
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_photo_that_is_none_is_named(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        shutil.copy(path, tmp_path / path.name)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    result = run(tmp_path, *QUICK, "--json")
    assert result.exit_code == 1
    assert "broken.jpg" in result.stderr
    assert json.loads(result.stdout)["photos"] == 2


def test_a_network_without_gates_is_measured_by_methods(folder: Path) -> None:
    twin = "everyday23_resnet18.safetensors"
    result = run(folder, *QUICK, "--checkpoint", twin, "--attention", "none", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["settings"]["layers"] == "layer4"
    assert any(row["map"] == "Grad-CAM of layer4" for row in told["rows"])
