"""Means, intervals and who beats whom, by hand."""

from __future__ import annotations

import csv
import json

import pytest

from cbam_viz.evaluation import as_json, csv_text, latex_text, summarise
from cbam_viz.evaluation.measuring import GAUSSIAN

HOW = {"steps": 20, "score": "probability"}


def rows_of(found):
    return {(row.map, row.measure.name): row for row in found.rows}


def test_beating_goes_by_the_better_side() -> None:
    maps = {
        "m": {"drop": 0.2, "pointing": 1.0, "sparseness": 0.9},
        GAUSSIAN: {"drop": 0.3, "pointing": 1.0, "sparseness": 0.1},
        "random like m": {"drop": 0.1, "pointing": 0.5, "sparseness": 0.9},
    }
    found = rows_of(summarise([maps] * 6))
    drop, pointing = found["m", "drop"], found["m", "pointing"]
    assert drop.mean == pytest.approx(0.2)
    assert drop.interval == (pytest.approx(0.2), pytest.approx(0.2))
    assert drop.gaussian.difference == pytest.approx(-0.1)
    assert drop.gaussian.beats  # lower is better
    assert not drop.random.beats
    assert not pointing.gaussian.beats  # as good as is not better
    assert pointing.random.beats
    assert found["m", "sparseness"].gaussian is None  # neither side is better
    assert found[GAUSSIAN, "drop"].gaussian is None
    assert found["random like m", "drop"].gaussian is None


def test_few_photos_show_nothing() -> None:
    maps = {"m": {"pointing": 1.0}, GAUSSIAN: {"pointing": 0.0}}
    for count, beats in ((1, False), (5, False), (6, True)):
        row = rows_of(summarise([maps] * count))["m", "pointing"]
        assert row.gaussian.beats is beats
        assert (row.interval is None) is (count == 1)
    assert "fewer than 6 show nothing" in summarise([maps] * 5).sentences()[0]


def test_photos_without_a_number_count_for_nothing_else() -> None:
    with_it = {"m": {"pointing": 1.0}, GAUSSIAN: {"pointing": 0.5}}
    without = {"m": {"pointing": None, "drop": 0.5}, GAUSSIAN: {"drop": 0.5}}
    found = rows_of(summarise([with_it, with_it, without]))
    assert (found["m", "pointing"].photos, found["m", "pointing"].mean) == (2, 1.0)
    assert found["m", "drop"].photos == 1
    assert found["m", "pointing"].gaussian.difference == pytest.approx(0.5)


def test_sentences_name_what_does_not_beat_the_gaussian() -> None:
    maps = {"gate of a": {"pointing": 1.0, "drop": 0.9}, GAUSSIAN: {"pointing": 0.0, "drop": 0.1}}
    assert summarise([maps] * 8).sentences() == [
        "Gate of a does not beat a Gaussian in the middle of the picture on 8 photos by: drop.",
        "Gate of a beats it by: pointing.",
    ]


def test_a_map_without_a_number_is_told_and_not_dropped_in_silence() -> None:
    """Grad-CAM of which nothing speaks for the class is 0 everywhere, and has no sparseness."""
    zero = {
        "Grad-CAM of a": {"sparseness": None},
        "random like Grad-CAM of a": {"sparseness": None},
    }
    other = {"Grad-CAM of a": {"sparseness": 0.5}, "random like Grad-CAM of a": {"sparseness": 0.5}}
    for photos, told in (([zero], "1 of 1 photo"), ([zero, other, zero], "2 of 3 photos")):
        assert summarise(photos).sentences() == [
            f"Grad-CAM of a has no number by sparseness on {told}, where no value is above 0, or "
            "the score is 0."
        ]
    assert summarise([other]).sentences() == []


def test_tables_say_how_they_were_made_and_which_side_is_better() -> None:
    maps = {"gate of a_b": {"drop": 0.25}, GAUSSIAN: {"drop": 0.125}}
    found = summarise([maps] * 6)
    (first, _) = csv.DictReader(csv_text(found, HOW).splitlines())
    assert (first["map"], first["measure"], first["better"]) == ("gate of a_b", "drop", "lower")
    assert float(first["less_gaussian"]) == 0.125
    assert (first["beats_gaussian"], first["steps"], first["score"]) == ("no", "20", "probability")
    told = json.loads(json.dumps(as_json(found, HOW)))
    assert told["settings"] == HOW
    assert told["rows"][0]["beats_gaussian"] == "no"
    latex = latex_text(found, HOW)
    assert r"Map & Drop $\downarrow$ \\" in latex
    assert r"gate of a\_b & $0.250$$^\dagger$" in latex
    assert "% steps: 20" in latex
    assert latex.index("gate of") < latex.index(r"\midrule", latex.index("gate of"))
    assert latex.rstrip().endswith(r"\end{tabular}")
