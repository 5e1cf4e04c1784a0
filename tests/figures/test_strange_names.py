"""Long names, names in other writings, marks that typesetters obey, and photos of odd shapes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from cbam_viz.attention import Attention
from cbam_viz.figures import FigureSpec, Study, build, columns_from_text, venues

from .conftest import make_analysis, make_photo
from .looks import faults

NETWORKS = ("ResNet-18 with CBAM, everyday photos", "ResNet-18 without CBAM, everyday photos")
NAMES = {
    "long": (
        "Staffordshire bull terrier mixed with a Labrador retriever",
        "backbone.stage{}.residual_block{}.convolutional_attention",
        "IMG_20240131_holiday_in_the_mountains_of_switzerland.jpeg",
    ),
    "Chinese": (
        "斯塔福郡斗牛梗与拉布拉多寻回犬的混种", "主干网络.阶段{}.残差块{}.注意力", "照片.png",
    ),
    "Arabic": ("كلب ستافوردشاير تيرير مختلط", "شبكة.مرحلة{}.كتلة{}", "صورة من الجبل.png"),
    "Cyrillic": (
        "Стаффордширский бультерьер с примесью лабрадора", "основа.стадия{}.блок{}", "фото.png",
    ),
    "typesetter's": (
        "$x_1^2$ \\frac{a}{b} 50 % & #1 ~ {c}", "$net^{}$.b_{}\\alpha", "$a_b$ 100% {x}.png",
    ),
}  # fmt: skip
"""Of classes, layers and photos."""
SHAPES = {
    "wide": ((12, 120),) * 3,
    "tall": ((120, 12),) * 3,
    "mixed": ((12, 120), (24, 32), (120, 12)),
}
LAYOUTS: dict[str, dict[str, object]] = {
    "grid": {"row_labels": "class"},
    "files": {"row_labels": "name", "scale": "per map", "letters": "cells"},
    "cells": {"layout": "channels", "by": "class"},
    "curves": {"layout": "channels", "plot": "curves"},
    "energy": {"columns": columns_from_text("input,energy:-1:before,map:-1,energy:-1:after")},
    "two networks": {},
    "without gates": {"columns": columns_from_text("input,map:-1,class,class@2,probability@2")},
    "epochs": {"layout": "epochs"},
    "numbers": {"layout": "training"},
}


@cache
def study(names: str, shape: str, networks: int = 1, photos: int = 3) -> Study:
    rows = []
    for seed in range(photos):
        label, layer, file = NAMES.get(names, ("tabby", "", f"photo{seed}.png"))
        size = SHAPES[shape][seed] if shape in SHAPES else (24, 32)
        photo = make_photo(*size, seed=seed, name=file)
        row = []
        for n in range(networks):
            analysis = make_analysis(
                photo, seed=seed + n, blocks=(2, 2, 2, 2), features=True, network=NETWORKS[n],
                view="whole" if shape in SHAPES else "crop",
            )  # fmt: skip
            attention = analysis.attention
            if layer:
                named = [
                    replace(one, name=name, module=name)
                    for k, one in enumerate(attention.values())
                    for name in [layer.format(k // 2, k % 2)]
                ]
                layers = {one.name: one for one in named}
                attention = Attention(layers, attention.output, attention.input_size)
            best = replace(analysis.predictions[0], label=f"{label} {seed}")
            row.append(replace(analysis, attention=attention, predictions=(best,)))
        rows.append(tuple(row))
    return Study(tuple(rows))


def drawn(layout: str, names: str, shape: str, venue: str, width: str) -> list[str]:
    settings = LAYOUTS[layout]
    two = layout in ("two networks", "without gates", "epochs", "numbers")
    spec = FigureSpec(venue=venue, width=width, **settings)  # type: ignore[arg-type]
    figure = build(spec, study(names, shape, 1 + two)).figure
    assert figure.get_figwidth() * 72 == pytest.approx(venues()[venue].width(width), abs=1e-9)
    return faults(figure, venues()[venue])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("names", NAMES)
def test_names_stay_whole_in_a_column(names: str, layout: str) -> None:
    assert drawn(layout, names, "usual", "cvpr", "column") == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_photos_of_odd_shapes_have_room(shape: str, layout: str) -> None:
    assert drawn(layout, "usual", shape, "springer", "column") == []


@pytest.mark.parametrize("layout", ["two networks", "without gates", "epochs", "numbers"])
def test_two_networks_go_on_half_a_slide(layout: str) -> None:
    assert drawn(layout, "usual", "usual", "slides", "column") == []


@pytest.mark.parametrize("letters", ["none", "cells"])
def test_ranges_without_room_are_left_out_and_said(letters: str) -> None:
    spec = FigureSpec(layout="depth", venue="slides", width="column", scale="per map",
                      letters=letters)  # type: ignore[arg-type]  # fmt: skip
    built = build(spec, make_analysis(blocks=(3, 8, 18, 3)))
    assert faults(built.figure, venues()["slides"]) == []
    assert built.fit.ranges_left_out
    assert "the table of values alone has it" in " ".join(built.content.sentences(built))
    roomy = build(spec.with_(venue="cvpr", width="text"), make_analysis(blocks=(1, 1)))
    assert not roomy.fit.ranges_left_out
