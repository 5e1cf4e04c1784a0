from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from cbam_viz.figures import FigureSpec, Study, build, columns_from_text
from cbam_viz.figures.tables import COLUMNS, arrays_bytes, numbers_text, shown_values

from .conftest import make_analysis

GRID = columns_from_text("input,map:0,stage:layer2,channels:-1,prediction")


def read(data: bytes) -> tuple[list[dict], list[np.ndarray]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        about = json.loads(str(file["cbam_viz"]))["arrays"]
        return about, [file[str(number)] for number in range(len(about))]


def test_arrays_are_what_the_figure_shows(three: Study) -> None:
    about, arrays = read(arrays_bytes(build(FigureSpec(columns=GRID), three)))
    assert len(arrays) == 9
    for number, row in enumerate(three.analyses):
        attention = row[0].attention
        one, mean, weights = arrays[3 * number : 3 * number + 3]
        assert np.array_equal(one, attention["layer1.0.se"].spatial[0].numpy())
        both = [attention[f"layer2.{block}.se"].spatial[0].numpy() for block in (0, 1)]
        np.testing.assert_allclose(mean, (both[0] + both[1]) / 2, atol=1e-7)
        assert np.array_equal(weights, attention["layer2.1.se"].channel[0].numpy())
    assert about[0]["place"] == "row 1 column 2"
    assert about[0]["photo"] == "photo0.png"
    assert about[0]["scale"] == [0.0, 1.0]
    assert about[0]["cells"][0]["stride_y"] == 4


def test_equal_figures_give_equal_files(one) -> None:
    first, second = (build(FigureSpec(columns=GRID), x) for x in (one, make_analysis()))
    assert arrays_bytes(first) == arrays_bytes(second)
    assert numbers_text(first) == numbers_text(second)


def test_the_table_has_the_numbers(one) -> None:
    lines = list(csv.DictReader(io.StringIO(numbers_text(build(FigureSpec(columns=GRID), one)))))
    assert tuple(lines[0]) == COLUMNS
    own = one.attention["layer1.0.se"].spatial[0].numpy()
    for name, value in (("minimum", own.min()), ("mean", own.mean()), ("maximum", own.max())):
        assert float(lines[0][name]) == pytest.approx(float(value), rel=1e-6)
    weights = one.attention["layer2.1.se"].channel[0].numpy()
    bars = [line for line in lines if line["shown"] == "channel weights"]
    assert [int(line["channel"]) for line in bars] == list(range(len(weights)))
    assert np.array_equal(np.array([float(b["mean"]) for b in bars], np.float32), weights)
    assert lines[-1]["text"] == "tabby 0.90"
    assert lines[-1]["photo"] == "photo0.png"


@pytest.mark.parametrize(
    ("layout", "count"), [("depth", 3), ("channels", 3), ("channel", 3), ("classes", 1)]
)
def test_every_layout_has_its_values(layout: str, count: int) -> None:
    analysis = make_analysis(features=True)
    spec = (
        FigureSpec(layout="channels", by="class")
        if layout == "classes"
        else FigureSpec(layout=layout)  # type: ignore[arg-type]
    )
    built = build(spec, analysis)
    values = [entry for entry in shown_values(built) if entry.values is not None]
    assert len(values) == count
    if layout == "depth":
        for entry in values:
            wanted = analysis.attention[entry.name].spatial[0].numpy()
            assert np.array_equal(entry.values, wanted)
