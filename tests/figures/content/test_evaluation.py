"""The figure of an evaluation: its values, its manifest, and bad files."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cbam_viz.errors import FigureError
from cbam_viz.evaluation import as_json, mean_curves, summarise
from cbam_viz.figures import FigureSpec, Study, build, evaluated
from cbam_viz.figures.beside.bundle import Sources, extra_files
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.beside.manifest import FileMade, read_manifest, sha256
from cbam_viz.figures.beside.tables import numbers_text
from cbam_viz.figures.remake import remake

SPEC = FigureSpec(layout="evaluation")
SETTINGS = {"model": "Net", "class": "the predicted one", "steps": 2, "seed": 0,
            "score": "probability", "blurred_by": "a Gaussian", "mean_is": "grey"}  # fmt: skip
GATE, CHANCE, GAUSSIAN = "gate of a", "random like gate of a", "centre Gaussian"


def photo(most: list[float], least: list[float], drop: float) -> tuple[dict, dict]:
    """Numbers and points of one photo, by map."""
    above, below = (0.5 * sum((a + b) / 2 for a, b in pairwise(line)) for line in (least, most))
    combined = above - below
    points = {"blur": {"most": most, "least": least}}
    names = (GATE, CHANCE, GAUSSIAN)
    return (
        {
            name: {"combined (blur)": combined, "drop": drop, "insertion (blur)": 0.5}
            for name in names
        },
        dict.fromkeys(names, points),
    )


def document(**changes: object) -> dict:
    photos = [
        photo([0.9, 0.3, 0.1], [0.9, 0.7, 0.1], 0.2),
        photo([0.5, 0.1, 0.1], [0.5, 0.5, 0.1], 0.4),
    ]
    numbers, points = zip(*photos, strict=True)
    made = as_json(summarise(numbers), SETTINGS, mean_curves(points))
    return {**json.loads(json.dumps(made)), **changes}


def test_curves_are_means_over_photos_in_both_orders_and_their_difference() -> None:
    figure = build(SPEC, evaluated(document()))
    most, least, apart = figure.content.curves
    assert [panel.head for panel in figure.content.curves] == [
        "Most influential first (blur)", "Least influential first (blur)", "Difference (blur)",
    ]  # fmt: skip
    np.testing.assert_allclose(dict(most.lines)[GATE], [0.7, 0.2, 0.1], rtol=1e-6)
    np.testing.assert_allclose(dict(least.lines)[GATE], [0.7, 0.6, 0.1], rtol=1e-6)
    np.testing.assert_allclose(dict(apart.lines)[GATE], [0, 0.4, 0], atol=1e-6)
    # Its area is the mean of `combined`.
    combined = next(panel for panel in figure.content.bars if panel.head.startswith("Combined"))
    assert combined.bars[0].mean == pytest.approx(0.5 * (0.2 + 0.2))
    assert [one.map for one in combined.bars] == [GATE, CHANCE, GAUSSIAN]
    # Two photos: each drawn twice, one of each, or the other twice.
    (drop,) = [panel for panel in figure.content.bars if panel.head == "Drop ↓"]
    assert (drop.bars[0].mean, drop.bars[0].low, drop.bars[0].high) == (
        pytest.approx(0.3), pytest.approx(0.2), pytest.approx(0.4),
    )  # fmt: skip
    assert {"Combined (blur) ↑", "Drop ↓"} == {panel.head for panel in figure.content.bars}
    assert figure.content.maps == (GATE, GAUSSIAN)


def test_it_is_told_in_caption_and_table() -> None:
    figure = build(SPEC, evaluated(document()))
    words = caption(figure)
    assert words.startswith("Maps of Net, measured on 2 photos for the predicted class, beside")
    assert "in 2 steps" in words
    assert "95%" in words
    assert "does not beat a Gaussian in the middle of the picture on 2 photos" in words
    lines = numbers_text(figure).splitlines()
    assert (
        f'panel 1,2 photos,Net,curve,{GATE},,0.2,0.2,0.2,,,,,"0.5 replaced; blur, most influential '
        'first"'
    ) in [line.replace("0.200000003", "0.2") for line in lines]
    assert any(line.startswith(f"panel 5,2 photos,Net,mean,{GATE},,0.3") for line in lines)


def test_it_is_made_again_from_table_and_manifest(tmp_path: Path) -> None:
    table = json.dumps(document()).encode()
    (tmp_path / "table.json").write_bytes(table)
    figure = build(SPEC, evaluated(tmp_path / "table.json"))
    files = {"figure.pdf": figure.render("pdf"), "figure.svg": figure.render("svg")}
    origin = Sources((), (), evaluation=FileMade("table.json", sha256(table)))
    beside = extra_files(figure, "figure", ("numbers", "latex", "manifest"), origin, rendered=files)
    assert r"\caption{Maps of Net" in beside["figure.tex"].decode()
    manifest = read_manifest(beside["figure.manifest.json"])
    again = remake(manifest, tmp_path)
    assert again.files == files
    assert again.differences == ()
    (tmp_path / "table.json").write_bytes(table + b" ")
    with pytest.raises(FigureError, match=r"table\.json has changed"):
        remake(manifest, tmp_path)
    (tmp_path / "table.json").unlink()
    with pytest.raises(FigureError, match="cannot be read"):
        remake(manifest, tmp_path)


def test_without_curves_or_intervals_there_are_bars() -> None:
    alone = summarise([photo([0.9, 0.1], [0.9, 0.1], 0.2)[0]])
    figure = build(SPEC, evaluated(as_json(alone, {"model": "Net"})))
    assert figure.content.curves == ()
    assert figure.content.bars[0].bars[0].low is None
    assert "Curves" not in caption(figure)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"no json", "it is no JSON"),
        (b"[1]", "no table.json of cbam-viz evaluate"),
        (b'{"rows": [], "settings": {}}', "no table.json of cbam-viz evaluate"),
        (document(rows=[]), "no measurement"),
        (document(rows=[{"map": "a"}]), "Missing in rows of the table"),
        (document(photos="many"), "photos of the table"),
        (document(more=1), "Unknown in the table"),
    ],
)
def test_what_is_no_table_is_one_sentence(source: object, message: str) -> None:
    with pytest.raises(FigureError, match=message):
        evaluated(source)


def test_curves_of_different_lengths_and_too_many_maps_are_refused() -> None:
    bad = document()
    bad["curves"][0]["scores"] = [1.0, 0.5]
    with pytest.raises(FigureError, match="number of steps"):
        build(SPEC, evaluated(bad))
    row = document()["rows"][0]
    many = document(rows=[{**row, "map": f"gate of {k}"} for k in range(9)], curves=[])
    with pytest.raises(FigureError, match="9 maps cannot be told apart"):
        build(SPEC, evaluated(many))


def test_photos_and_evaluations_are_not_mixed_up(one) -> None:
    with pytest.raises(FigureError, match="cbam-viz evaluate measured"):
        build(SPEC, Study(((one,),)))
    with pytest.raises(FigureError, match="cbam-viz evaluate measured"):
        build(FigureSpec(), evaluated(document()))
