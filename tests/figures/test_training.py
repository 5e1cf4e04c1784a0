"""Figures of a training: maps and numbers by epoch, against the gates that they are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbam_viz.errors import FigureError
from cbam_viz.figures import FigureSpec, Study, build, venues
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.beside.tables import shown_values
from cbam_viz.figures.content.watched import study_of_run
from cbam_viz.runs import open_run

from .conftest import make_analysis, make_photo
from .looks import faults

EPOCHS = (3, 5, 20)


def study(photos: int = 2, epochs: tuple[int, ...] = EPOCHS) -> Study:
    """Each epoch's gates are others, drawn by its number."""
    rows = []
    for seed in range(photos):
        photo = make_photo(24, 32, seed=seed)
        rows.append(tuple(
            replace(make_analysis(photo, seed=100 * epoch + seed), model_name=f"epoch {epoch}")
            for epoch in epochs
        ))  # fmt: skip
    return Study(tuple(rows), epochs, "epoch")


@pytest.mark.parametrize("layout", ["epochs", "training"])
@pytest.mark.parametrize(("venue", "width"), [("cvpr", "column"), ("neurips", "text")])
@pytest.mark.parametrize("photos", [1, 3])
def test_nothing_is_cut_or_overlaps(layout: str, venue: str, width: str, photos: int) -> None:
    built = build(FigureSpec(layout=layout, venue=venue, width=width), study(photos))
    assert faults(built.figure, venues()[venue]) == []


def test_each_map_is_that_layers_at_that_epoch() -> None:
    made = study()
    layers = list(made.analyses[0][0].attention)
    spec = FigureSpec(layout="epochs", layers=("0", layers[-1]))
    built = build(spec, made)
    shown = {one.place: one for one in shown_values(built)}
    assert len(shown) == 2 * 2 * 3
    for row, (photo, name) in enumerate((p, n) for p in range(2) for n in (layers[0], layers[-1])):
        for column in range(3):
            one = shown[f"row {row + 1} column {column + 2}"]
            wanted = made.analyses[photo][column].attention[name].spatial
            np.testing.assert_array_equal(one.values, wanted[0].numpy())
            assert (one.name, one.network) == (name, f"epoch {EPOCHS[column]}")
    assert built.spec.layers == (layers[0], layers[-1])
    text = caption(built)
    assert "by epochs of a training" in text
    assert "epoch 3; epoch 5; epoch 20" in text
    again = build(built.spec, made)
    assert again.render("svg") == built.render("svg")


def test_lines_are_means_and_saturation_over_photos() -> None:
    made = study()
    name = next(iter(made.analyses[0][0].attention))
    built = build(FigureSpec(layout="training", layer=name), made)
    shown = {(one.network, one.shown): float(one.values[0]) for one in shown_values(built)}
    for n, epoch in enumerate(EPOCHS):
        weights = np.stack([row[n].attention[name].channel[0].numpy() for row in made.analyses])
        mean, outside = weights.mean(), ((weights < 0.05) | (weights > 0.95)).mean()
        assert shown[f"epoch {epoch}", "channel weights, mean"] == pytest.approx(mean, abs=1e-6)
        found = shown[f"epoch {epoch}", "channel weights, saturated"]
        assert found == pytest.approx(outside, abs=1e-6)
    line = next(one for one in built.figure.findobj() if one.get_gid() == "panel 1 line 1")
    assert list(line.get_xdata()) == list(EPOCHS)
    assert "epochs 3 to 20 of a training" in caption(built)


def test_networks_that_are_no_epochs_are_counted() -> None:
    made = Study(study().analyses)
    assert made.numbers == (1, 2, 3)
    assert "3 networks: epoch 3; epoch 5; epoch 20" in caption(
        build(FigureSpec(layout="training"), made)
    )
    with pytest.raises(FigureError, match="the number of its epoch"):
        Study(made.analyses, (1, 2))


def test_more_than_can_be_seen_is_refused() -> None:
    many = Study(tuple((row[0],) * 25 for row in study(1).analyses))
    with pytest.raises(FigureError, match="25 columns of maps"):
        build(FigureSpec(layout="epochs"), many)
    with pytest.raises(FigureError, match=r"none\.such"):
        build(FigureSpec(layout="epochs", layer="none.such"), study())


def test_a_run_is_a_study_of_its_epochs() -> None:
    run = open_run("sample:shapes")
    made = study_of_run(run, run.numbers[-2:])
    assert made.networks == ("step 350", "step 400")
    assert (made.at, made.unit) == ((350, 400), "step")
    assert made.photos == ("circle", "cross", "square", "triangle")
    wanted = run.epoch(400).attentions[1]["layer4.0.se"].spatial
    assert made.analyses[1][1].attention["layer4.0.se"].spatial.equal(wanted)
