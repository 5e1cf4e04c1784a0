"""`figure --run`: the figures of a watched training from the command that makes all others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cbam_viz.figures import FigureSpec, build
from cbam_viz.figures.content.watched import study_of_run
from cbam_viz.runs import open_run
from tests.cli.conftest import invoke

RUN = "sample:shapes"
LAYER = "layer4.0.se"


@pytest.mark.parametrize(
    ("options", "spec", "steps", "photos"),
    [
        ((), FigureSpec(layout="training"), None, None),
        (("--layout", "epochs", "--layer", LAYER, "--epoch", "400", "--epoch", "50"),
         FigureSpec(layout="epochs", layers=(LAYER,)), (50, 400), None),
        (("--layout", "epochs", "--epoch", "400"), FigureSpec(layout="epochs"), (400,), 1),
    ],
    ids=["training", "one layer", "layers as rows"],
)  # fmt: skip
def test_it_is_the_figure_of_the_run_and_made_again(
    options: tuple[str, ...],
    spec: FigureSpec,
    steps: tuple[int, ...] | None,
    photos: int | None,
    tmp_path: Path,
) -> None:
    out = tmp_path / "one.svg"
    made = invoke("figure", "--run", RUN, *options, "-o", out, "--with", "all", "--json")
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert {Path(name).suffix for name in told["files"]} == {
        ".svg",
        ".csv",
        ".npz",
        ".tex",
        ".json",
    }
    wanted = build(spec, study_of_run(open_run(RUN), steps, photos))
    assert out.read_bytes() == wanted.render("svg")
    assert "of a training" in told["caption"]
    again = invoke("figure", "--from", tmp_path / "one.manifest.json", "-o", tmp_path / "two.svg")
    assert again.exit_code == 0, again.output
    assert "Byte for byte the same" in again.stdout
    assert (tmp_path / "two.svg").read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--run", RUN, "sample:cat"), "leave images, --store and --compare out"),
        (("--run", RUN, "--layout", "grid"), "layouts training and epochs"),
        (("--run", RUN, "--epoch", "3"), "has no step 3; it has"),
        (("--run", "none"), "holds no run.json"),
        (("sample:cat", "--epoch", "3"), "--epoch is of a --run"),
    ],
)
def test_what_cannot_be_is_said(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ended = invoke("figure", *arguments, "-o", tmp_path / "a.svg")
    assert ended.exit_code
    assert said in " ".join(ended.output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())
