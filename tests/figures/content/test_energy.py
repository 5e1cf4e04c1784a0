"""Columns `energy:LAYER:before` and `:after`, and several layers where one was the rule."""

from __future__ import annotations

import numpy as np
import pytest

from cbam_viz.analysis import Analysis
from cbam_viz.errors import FigureError
from cbam_viz.figures import FigureSpec, Study, build, columns_from_text, format_column
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.beside.tables import shown_values

from ..conftest import make_analysis

COLUMNS = "input,energy:0:before,energy:layer1.0.se:after,map:0"


@pytest.fixture
def two() -> Study:
    return Study(tuple((make_analysis(seed=seed, features=True),) for seed in range(2)))


def test_energy_is_the_mean_absolute_feature(two: Study) -> None:
    built = build(FigureSpec(columns=columns_from_text(COLUMNS)), two)
    highest = []
    for row, (analysis,) in zip(built.content.rows, two.analyses, strict=True):
        layer = analysis.attention["layer1.0.se"]
        before, after = layer.features.before[0].numpy(), layer.features.after[0].numpy()
        gate = layer.channel[0, :, None, None] * layer.spatial[0]
        np.testing.assert_allclose(after, before * gate.numpy(), rtol=1e-5)
        np.testing.assert_allclose(row[1].values[0], np.abs(before).mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(row[2].values[0], np.abs(after).mean(axis=0), rtol=1e-6)
        assert np.array_equal(row[3].values[0], layer.spatial[0].numpy())
        highest += [row[1].values[0].max(), row[2].values[0].max()]
    energies = [place for row in built.content.rows for place in row[1:3]]
    assert {(one.scale.low, one.scale.high) for one in energies} == {(0.0, max(highest))}
    assert built.content.scale.kind == "absolute"  # that of the gates
    assert [format_column(one) for one in built.spec.columns[1:3]] == [
        "energy:layer1.0.se:before", "energy:layer1.0.se:after",
    ]  # fmt: skip


def test_its_scale_is_printed_and_said(two: Study) -> None:
    built = build(FigureSpec(columns=columns_from_text(COLUMNS)), two)
    high = built.content.rows[0][1].scale.high
    texts = [text.get_text() for text in built.figure.texts]
    assert texts.count(f"0.00 to {high:.2f}") == 4
    words = caption(built)
    assert "mean absolute feature of layer1.0.se before its gates; mean absolute" in words
    assert "of the mean absolute feature of layer1.0.se of ResNet-18 (viridis) go" in words
    assert f"go from 0.00 to {high:.2f}, as printed on each map." in words
    assert "Colours (viridis) share one absolute scale from 0 to 1." in words
    shown = [one.shown for one in shown_values(built) if one.photo == "photo0.png"]
    assert shown == ["mean absolute feature", "mean absolute feature", "map"]
    alone = build(FigureSpec(columns=columns_from_text("energy:0:after")), two)
    assert "legend" not in {axes.get_gid().split()[0] for axes in alone.figure.axes}
    assert "Maps lie over the photo at 55% opacity." in caption(alone)


def test_features_that_are_nothing_have_no_range(two: Study) -> None:
    for row in two.analyses:
        features = row[0].attention["layer1.0.se"].features
        for values in (features.before, features.between, features.after):
            values.zero_()
    built = build(FigureSpec(columns=columns_from_text("energy:0:before")), two)
    assert "The mean absolute feature of layer1.0.se of ResNet-18 is 0 everywhere." in caption(
        built
    )
    assert built.render("png")


def test_energy_needs_a_place_and_features(one: Analysis) -> None:
    for wrong in ("energy:0", "energy", "energy:0:between", "energy::before"):
        with pytest.raises(FigureError, match="energy:NAME"):
            columns_from_text(wrong)
    with pytest.raises(FigureError, match=r"features=\['layer1.0.se'\]"):
        build(FigureSpec(columns=columns_from_text("energy:0:before")), one)


def test_a_channel_of_each_of_several_layers(two: Study) -> None:
    built = build(FigureSpec(layout="channel", layers=("0", "-1")), two)
    first, last = built.content.gated
    assert (first.layer, last.layer) == ("layer1.0.se", "layer2.1.se")
    weights = two.analyses[0][0].attention["layer2.1.se"].channel[0]
    assert last.channel == int(weights.argmax())
    shown = built.content.grid.rows[1][4].values[0]
    features = two.analyses[1][0].attention["layer2.1.se"].features.before
    assert np.array_equal(shown, features[0, last.channel].numpy())
    assert f"channel {last.channel} of layer layer2.1.se likewise" in caption(built)
    again = build(FigureSpec.from_dict(built.spec.to_dict()), two)
    assert again.spec == built.spec
    assert again.render("pdf") == built.render("pdf")


def test_layers_choose_the_maps_of_a_grid(one: Analysis) -> None:
    built = build(FigureSpec(layers=("-1", "0")), one)
    assert [format_column(column) for column in built.spec.columns] == [
        "input", "map:layer2.1.se", "map:layer1.0.se", "prediction",
    ]  # fmt: skip
    with pytest.raises(FigureError, match="no attention layer 'x'"):
        build(FigureSpec(layers=("x",)), one)


def test_layers_beside_columns_are_not_passed_over(one: Analysis) -> None:
    columns = columns_from_text("input,map:0")
    for layers in ({"layers": ("0", "-1")}, {"layer": "-1"}):
        with pytest.raises(FigureError, match="Columns name their layers themselves"):
            FigureSpec(columns=columns, **layers)
    with pytest.raises(FigureError, match="of the layout 'channel'"):
        FigureSpec(channel=3)
    built = build(FigureSpec(layers=("-1",)), one)  # as drawn, columns alone
    assert built.spec.named_layers == ()
    assert FigureSpec.from_dict(built.spec.to_dict()) == built.spec
