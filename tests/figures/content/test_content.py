from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbam_viz.attention import Attention
from cbam_viz.errors import FigureError
from cbam_viz.figures import FigureSpec, Row, Study, build, columns_from_text
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.content.called import Over, called
from cbam_viz.figures.content.classes import content as by_class
from cbam_viz.figures.content.find import find_layer
from cbam_viz.figures.content.gated import content as gated_content
from cbam_viz.figures.content.grid import content as grid_content
from cbam_viz.figures.content.grid import default_columns
from cbam_viz.figures.content.layers import content as by_layer
from cbam_viz.figures.content.values import (
    Bars,
    MapPicture,
    Words,
)
from cbam_viz.layer_names import short_names

from ..conftest import make_analysis


def spec(columns: str, **settings: object) -> FigureSpec:
    return FigureSpec(columns=columns_from_text(columns), **settings)  # type: ignore[arg-type]


def test_a_grid_holds_the_captured_values(two_networks: Study) -> None:
    text = "input,map:layer2.1.se,channels@2:layer1.0.se,map@2:-1,class@2,probability,prediction"
    grid = grid_content(spec(text), two_networks)
    assert len(grid.rows) == 2
    for places, (first, second) in zip(grid.rows, two_networks.analyses, strict=True):
        _, own, bars, other, label, share, both = places
        assert isinstance(own, MapPicture)
        assert isinstance(bars, Bars)
        assert isinstance(other, MapPicture)
        assert isinstance(label, Words)
        assert np.array_equal(own.values[0], first.attention["layer2.1.se"].spatial[0].numpy())
        assert np.array_equal(other.values[0], second.attention["layer2.1.se"].spatial[0].numpy())
        assert np.array_equal(bars.weights, second.attention["layer1.0.se"].channel[0].numpy())
        assert label.text == second.predictions[0].label
        assert share.text == f"{first.predictions[0].probability:.2f}"
        assert both.text == f"{first.predictions[0].label}\n{share.text}"
    assert grid.heads[1] == "layer2.1"
    assert grid.over == (
        (
            Over("ResNet-18", 1, 1),
            Over("Other", 2, 4),
            Over("ResNet-18", 5, 6),
        ),
    )


def test_a_stage_is_the_mean_of_its_layers(one) -> None:
    (row,) = grid_content(spec("stage:layer2"), Study(((one,),))).rows
    maps = [one.attention[f"layer2.{block}.se"].spatial[0].numpy() for block in (0, 1)]
    np.testing.assert_allclose(row[0].values[0], (maps[0] + maps[1]) / 2, atol=1e-7)


def test_scales_are_what_they_say(three: Study) -> None:
    columns = "map:layer1.0.se,map:-1"
    absolute = grid_content(spec(columns), three).scale
    assert (absolute.kind, absolute.low, absolute.high) == ("absolute", 0, 1)
    maps = [
        row[0].attention[name].spatial.numpy()
        for row in three.analyses
        for name in ("layer1.0.se", "layer2.1.se")
    ]
    shared = grid_content(spec(columns, scale="shared"), three)
    assert shared.scale.low == pytest.approx(min(values.min() for values in maps))
    assert shared.scale.high == pytest.approx(max(values.max() for values in maps))
    assert {place.scale for row in shared.rows for place in row} == {shared.scale}
    own = grid_content(spec(columns, scale="per map"), three)
    assert own.scale is None
    places = [place for row in own.rows for place in row]
    for place, values in zip(places, maps, strict=True):
        assert (place.scale.low, place.scale.high) == (
            pytest.approx(values.min()),
            pytest.approx(values.max()),
        )


def test_the_default_columns_are_the_stages_last_layers(one) -> None:
    columns = default_columns(Study(((one,),)))
    assert [column.name for column in columns] == [None, "layer1.0.se", "layer2.1.se", None]
    single = make_analysis(blocks=(6,))
    names = [column.name for column in default_columns(Study(((single,),)))[1:-1]]
    assert names == [f"layer1.{block}.se" for block in (2, 3, 4, 5)]
    without = make_analysis(classes=False)
    assert default_columns(Study(((without,),)))[-1].kind == "map"
    (row,) = grid_content(spec("prediction"), Study(((without,),))).rows
    assert row[0].text == "–"


def test_layers_go_by_name_and_by_place(one) -> None:
    assert find_layer(one.attention, "0").name == "layer1.0.se"
    assert find_layer(one.attention, "-1").name == "layer2.1.se"
    for wrong in ("3", "-4", "layer2.2.se", ""):
        with pytest.raises(FigureError, match=r"layer2\.1\.se"):
            find_layer(one.attention, wrong)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("map:layer9", "no attention layer 'layer9'"),
        ("stage:layer9", "no stage 'layer9'. It has layer1, layer2"),
        ("map@2:-1", "asks for network 2, and there is one"),
    ],
)
def test_what_is_not_there_is_named(one, columns: str, message: str) -> None:
    with pytest.raises(FigureError, match=message):
        build(spec(columns), one)


def test_gates_of_one_kind_are_told_apart(one) -> None:
    layers = dict(one.attention.layers)
    first, last = "layer1.0.se", "layer2.1.se"
    kept = {
        first: replace(layers[first], spatial=None, cells=None),
        last: replace(layers[last], channel=None),
    }
    mixed = replace(one, attention=Attention(kept, None, (64, 64)))
    with pytest.raises(FigureError, match="gates channels only"):
        build(spec(f"map:{first}"), mixed)
    with pytest.raises(FigureError, match="no channel weights"):
        build(spec(f"channels:{last}"), mixed)
    strip = build(FigureSpec(layout="depth"), mixed)
    assert [place.name for place in strip.content.maps] == [last]
    (panel,) = build(FigureSpec(layout="channels"), mixed).content.panels
    assert panel.layer == first
    (weights,) = build(FigureSpec(layout="channels", by="class"), mixed).content.matrices[0].classes
    assert np.array_equal(weights.weights, layers[first].channel[0].numpy())


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["layer1.0.se", "layer1.1.se"], ["layer1.0", "layer1.1"]),
        (["a.cbam", "a.cbam#2"], ["a", "a#2"]),
        (["a.se", "b.cbam"], ["a.se", "b.cbam"]),
        (["se", "x.se"], ["se", "x.se"]),
        (["layer1.0.se"], ["layer1.0"]),
        (["model.5"], ["model.5"]),
        (["model.5", "neck.5"], ["model.5", "neck.5"]),
    ],
)
def test_shared_endings_are_dropped(names: list[str], short: list[str]) -> None:
    assert list(short_names(names).values()) == short


def test_classes_are_means_over_their_photos(three: Study) -> None:
    settings = FigureSpec(
        layout="channels", by="class", layer="0", rows=(Row(group="a"), Row(), Row(group="a"))
    )
    content = by_class(settings, three).matrices[0]
    weights = [row[0].attention["layer1.0.se"].channel[0].numpy() for row in three.analyses]
    assert [(one.name, one.photos) for one in content.classes] == [("a", 2), ("school bus", 1)]
    np.testing.assert_allclose(content.classes[0].weights, (weights[0] + weights[2]) / 2, atol=1e-7)
    assert np.array_equal(content.classes[1].weights, weights[1])


def test_panels_hold_every_photo(three: Study) -> None:
    panels = by_layer(FigureSpec(layout="channels", layers=("-1",)), three).panels
    assert [panel.layer for panel in panels] == ["layer2.1.se"]
    wanted = [row[0].attention["layer2.1.se"].channel[0].numpy() for row in three.analyses]
    assert np.array_equal(panels[0].weights, np.stack(wanted))


def test_a_channel_is_shown_before_between_and_after() -> None:
    analysis = make_analysis(features=True)
    content = gated_content(FigureSpec(layout="channel", layer="0"), Study(((analysis,),)))
    layer = analysis.attention["layer1.0.se"]
    assert content.channel == int(layer.channel[0].argmax())
    shown = [place.values[0] for place in content.grid.rows[0][1:]]
    before = layer.features.before[0, content.channel].numpy()
    np.testing.assert_allclose(shown[0], before)
    np.testing.assert_allclose(shown[1], before * content.weights[0], rtol=1e-6)
    np.testing.assert_allclose(
        shown[2], before * content.weights[0] * layer.spatial[0].numpy(), rtol=1e-6
    )
    most = max(abs(values).max() for values in shown)
    assert (content.grid.scale.low, content.grid.scale.high) == pytest.approx((-most, most))


def test_one_channel_needs_its_features_and_a_channel_that_exists(one) -> None:
    with pytest.raises(FigureError, match=r"features=\['layer2.1.se'\]"):
        build(FigureSpec(layout="channel"), one)
    with pytest.raises(FigureError, match="0 to 7; there is no channel 8"):
        build(FigureSpec(layout="channel", layer="0", channel=8), make_analysis(features=True))


def test_figures_without_sense_are_refused(one, three: Study) -> None:
    with pytest.raises(FigureError, match="shows one photo; there are 3"):
        build(FigureSpec(layout="depth"), three)
    with pytest.raises(FigureError, match="at least one photo"):
        build(FigureSpec(), [])
    with pytest.raises(FigureError, match="the same networks"):
        build(FigureSpec(), [[one], [one, one]])
    with pytest.raises(FigureError, match="the most is 64"):
        build(FigureSpec(), [one] * 65)


@pytest.mark.parametrize(
    ("names", "own", "shared"),
    [
        (["Net, a", "Net, b"], ("a", "b"), "Net"),
        (["Net with CBAM, x, 1", "Net, x, 2"], ("Net with CBAM, 1", "Net, 2"), "x"),
        (["Net, a, x", "Net, b, x", "Net, a, y"], ("a, x", "b, x", "a, y"), "Net"),
        (["Net", "Net, b"], ("Net", "Net, b"), ""),
        (["One", "Two"], ("One", "Two"), ""),
        (["Net, a", "Net, a"], ("Net, a", "Net, a"), ""),
        (["Net, a"], ("Net, a",), ""),
    ],
)
def test_names_say_once_what_they_share(
    names: list[str], own: tuple[str, ...], shared: str
) -> None:
    found = called(names)
    assert (found.own, found.shared) == (own, shared)


def test_networks_of_one_name_are_told_apart() -> None:
    study = Study((tuple(make_analysis(seed=seed, network="Net, a") for seed in (0, 1)),))
    assert study.networks == ("Net, a", "Net, a (2)")
    grid = grid_content(spec("input,map:0,map@2:0"), study)
    assert grid.over == ((Over("Net", 1, 2),), (Over("a", 1, 1), Over("a (2)", 2, 2)))
    assert [one.network for one in grid.shown(study)] == ["Net, a", "Net, a (2)"]


def test_epochs_say_once_what_their_networks_share() -> None:
    names = "ResNet-18, epoch 1", "ResNet-18, epoch 2"
    study = Study((tuple(make_analysis(network=name) for name in names),))
    built = build(FigureSpec(layout="epochs"), study)
    assert built.content.heads == ("Input", "epoch 1", "epoch 2")
    assert built.content.over == ((Over("ResNet-18", 1, 2),),)
    assert "input; ResNet-18, epoch 1; ResNet-18, epoch 2" in caption(built)
