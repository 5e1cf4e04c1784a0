from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from cbam_viz.analysis import Analysis
from cbam_viz.figures import FigureSpec, Study, build, columns_from_text
from cbam_viz.figures.beside.tables import COLUMNS, arrays_bytes, numbers_text, shown_values
from cbam_viz.render import place

from ..conftest import make_analysis

GRID = columns_from_text("input,map:0,stage:layer2,channels:-1,prediction")


def read(data: bytes) -> tuple[list[dict], list[np.ndarray]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        about = json.loads(str(file["cbam_viz"]))["arrays"]
        return about, [file[str(number)] for number in range(len(about))]


def drawn(analysis: Analysis, name: str) -> np.ndarray:
    """A layer's map as rectangles, on a copy of the photo whose pixels no cell cuts through."""
    layer = analysis.attention[name]
    size = (32 * analysis.photo.size[0], 32 * analysis.photo.size[1])
    placed = place(layer.spatial[0].numpy(), layer.cells, analysis.geometry, size, method="nearest")
    return placed.values[placed.seen].astype(float)


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
    own = drawn(one, "layer1.0.se")
    for name, value in (("minimum", own.min()), ("mean", own.mean()), ("maximum", own.max())):
        assert float(lines[0][name]) == pytest.approx(float(value), rel=1e-6)
    weights = one.attention["layer2.1.se"].channel[0].numpy()
    bars = [line for line in lines if line["shown"] == "channel weights"]
    assert [int(line["channel"]) for line in bars] == list(range(len(weights)))
    assert np.array_equal(np.array([float(b["mean"]) for b in bars], np.float32), weights)
    assert lines[-1]["text"] == "tabby 0.90"
    assert lines[-1]["photo"] == "photo0.png"


def test_numbers_and_shares_are_of_the_photo_and_not_of_its_border() -> None:
    """96 x 128 pixels in 64 x 64: rows 8 to 56; cells of 4 rows end at 2.5, 6.5, ... 54.5."""
    fitted = make_analysis(view="fitted")
    built = build(FigureSpec(columns=GRID), fitted)
    line, stage, *_ = csv.DictReader(io.StringIO(numbers_text(built)))
    expected = drawn(fitted, "layer1.0.se")
    assert float(line["mean"]) == pytest.approx(expected.mean(), rel=1e-6)
    assert float(line["minimum"]) == pytest.approx(expected.min(), rel=1e-6)
    assert float(line["maximum"]) == pytest.approx(expected.max(), rel=1e-6)
    assert (line["cells"], line["cells_on_photo"]) == ("256", str(13 * 16))
    assert (stage["cells"], stage["cells_on_photo"]) == ("64", str(7 * 8))
    with np.load(io.BytesIO(arrays_bytes(built)), allow_pickle=False) as file:
        shares, values = file["0 photo_share"], file["0"]
    rows = np.array([0, 0, 2.5, *[4] * 11, 1.5, 0]) / 48
    np.testing.assert_allclose(shares.sum(1), rows, atol=1e-7)
    assert (shares * values).sum() == pytest.approx(expected.mean(), rel=1e-6)


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
