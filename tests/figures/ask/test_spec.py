from __future__ import annotations

import json

import pytest

from cbam_viz.errors import FigureError
from cbam_viz.figures import Column, FigureSpec, Row, columns_from_text, format_column, parse_column

FULL = FigureSpec(
    layout="grid",
    columns=columns_from_text("input,map:layer1.0.se,map@2:-1=Ours,stage:layer2,prediction"),
    rows=(Row(label="A", zoom=(1, 2, 30.5, 40), boxes=((0, 0, 9, 9), (1, 1, 5, 5))), Row()),
    width=88,
    contours=(0.25, 0.5),
    scale="per map",
    letters="cells",
)


def test_a_spec_comes_back_from_json_unchanged() -> None:
    text = json.dumps(FULL.to_dict())
    assert FigureSpec.from_dict(json.loads(text)) == FULL
    assert FigureSpec.from_dict({}) == FigureSpec()


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("input", Column("input")),
        ("map:layer4.1.se", Column("map", "layer4.1.se")),
        ("channels@3:-1", Column("channels", "-1", model=2)),
        ("map:a.b=Ours: 50 %", Column("map", "a.b", head="Ours: 50 %")),
    ],
)
def test_columns_are_written_as_they_are_read(text: str, column: Column) -> None:
    assert parse_column(text) == column
    assert parse_column(format_column(column)) == column


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("input,map:stage 4, block 2,class", [None, "stage 4, block 2", None]),
        ("map:stage 4,block 2, stage:stage 4", ["stage 4,block 2", "stage 4"]),
        ("map:encoder, stage 1, block 2, attn.cbam,effect", [
            "encoder, stage 1, block 2, attn.cbam", None,
        ]),
        ("input, map:-1, probability", [None, "-1", None]),
        ("input , map:-1 , class = What it is, map:0", [None, "-1", None, "0"]),
        (r"map:a\,b,map:c", ["a,b", "c"]),
        ("map:dense block 3, dense block 1, call 2, gradcam++", [
            "dense block 3, dense block 1, call 2", None,
        ]),
    ],
)  # fmt: skip
def test_a_comma_may_stand_in_a_title(text: str, names: list[str | None]) -> None:
    assert [one.name for one in columns_from_text(text)] == names


def test_a_comma_may_stand_in_a_class_or_a_heading() -> None:
    text = "input,gradcam:layer4@tench, Tinca tinca=Grad-CAM, of a fish,occlusion:@hen,map:-1"
    assert columns_from_text(text) == (
        Column("input"),
        Column("gradcam", "layer4", target="tench, Tinca tinca", head="Grad-CAM, of a fish"),
        Column("occlusion", target="hen"),
        Column("map", "-1"),
    )


@pytest.mark.parametrize("text", ["input, picture", "map:-1,picture", "map:-1, picture:2"])
def test_what_is_no_column_is_named_alone(text: str) -> None:
    with pytest.raises(FigureError, match="There is no column 'picture'"):
        columns_from_text(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture", "There is no column 'picture'"),
        ("map", "needs a layer"),
        ("stage", "needs a stage"),
        ("input:layer1", "takes no layer"),
        ("map@x:layer1", "is no network"),
        ("map@0:layer1", "counted from 1"),
    ],
)
def test_a_bad_column_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(FigureError, match=message):
        parse_column(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "pie"}, "layout of the figure"),
        ({"scale": "minmax"}, "scale of the figure"),
        ({"opacity": 1.5}, "Opacity is 0 to 1"),
        ({"opacity": "0.5"}, "opacity of the figure"),
        ({"opacity": True}, "opacity of the figure"),
        ({"blocks": 0}, "Blocks is 1 to 8"),
        ({"colour": "red"}, "Unknown in the figure: colour"),
        ({"columns": "input"}, "a list is wanted"),
        ({"columns": [{"kind": "map"}]}, "needs a layer"),
        ({"rows": [{"zoom": [1, 2, 3]}]}, "zoom of rows of the figure"),
        ({"rows": [{"crop": [9, 0, 3, 5]}]}, "is empty"),
        ({"rows": [3]}, "no object"),
        ({"venue": "cvrp"}, "Did you mean cvpr"),
        ({"width": None}, "width of the figure"),
    ],
)
def test_bad_json_is_refused_and_the_field_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(FigureError, match=message):
        FigureSpec.from_dict({**FULL.to_dict(), **change})


@pytest.mark.parametrize("change", [{"layout": "pie"}, {"letters": "all"}, {"channel": -1}])
def test_a_spec_made_in_python_is_checked_too(change: dict[str, object]) -> None:
    with pytest.raises(FigureError):
        FigureSpec(**change)  # type: ignore[arg-type]
