"""What is kept with a figure is what was drawn: nothing is left open, and the same comes out."""

from __future__ import annotations

import pytest

from cbam_viz.figures import FigureSpec, Study, build, columns_from_text, format_column

from .conftest import make_analysis

SPECS = {
    "grid": FigureSpec(),
    "by place": FigureSpec(columns=columns_from_text("input,map:-1,channels:0,stage:layer2")),
    "depth": FigureSpec(layout="depth"),
    "channels": FigureSpec(layout="channels", scale="per map"),
    "classes": FigureSpec(layout="channels", by="class", scale="per map"),
    "channel": FigureSpec(layout="channel", layer="0"),
}


@pytest.fixture
def featured() -> Study:
    return Study(((make_analysis(features=True),),))


@pytest.mark.parametrize("name", SPECS)
def test_the_kept_specification_makes_the_same_figure(name: str, featured: Study) -> None:
    built = build(SPECS[name], featured)
    again = build(FigureSpec.from_dict(built.spec.to_dict()), featured)
    assert again.spec == built.spec
    assert again.render("pdf") == built.render("pdf")


def test_what_was_left_open_is_filled_in(featured: Study) -> None:
    specs = {name: build(spec, featured).spec for name, spec in SPECS.items()}
    assert all(spec.font != "auto" for spec in specs.values())
    assert [format_column(column) for column in specs["grid"].columns] == [
        "input", "map:layer1.0.se", "map:layer2.1.se", "prediction",
    ]  # fmt: skip
    assert [format_column(column) for column in specs["by place"].columns] == [
        "input", "map:layer2.1.se", "channels:layer1.0.se", "stage:layer2",
    ]  # fmt: skip
    everything = ("layer1.0.se", "layer2.0.se", "layer2.1.se")
    assert specs["depth"].layers == specs["channels"].layers == everything
    assert specs["classes"].layer == "layer2.1.se"
    assert specs["classes"].scale == "shared"
    channel = specs["channel"]
    weights = featured.analyses[0][0].attention["layer1.0.se"].channel[0]
    assert (channel.layer, channel.channel) == ("layer1.0.se", int(weights.argmax()))
    assert (channel.style, channel.colormap, channel.scale) == ("map", "diverging", "shared")
