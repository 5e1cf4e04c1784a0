"""Other methods, effects of gates and evaluations at every venue and width: nothing is cut."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from functools import cache

import numpy as np
import pytest

from cbam_viz.ablation import Effect, Effects
from cbam_viz.analysis import Analysis
from cbam_viz.attention import Cells
from cbam_viz.errors import FigureError
from cbam_viz.evaluation import as_json, mean_curves, summarise
from cbam_viz.figures import (
    Evaluated,
    FigureSpec,
    Study,
    Venue,
    build,
    columns_from_text,
    evaluated,
)
from cbam_viz.figures.content.made import Made, Studied
from cbam_viz.figures.content.values import Target
from cbam_viz.methods import METHODS, MethodMap

from .conftest import make_analysis, make_photo
from .looks import faults
from .test_everywhere import BLOCKS, PLACES, SIZES

NAMES = ("tabby", "Staffordshire bull terrier", "school bus")
CASES = {
    "maps": "input,map:-1,gradcam,eigencam,whole",
    "a class": "input,gradcam:layer4@tabby,occlusion:@tabby,effect:@tabby",
    "bare": "gradcam,effect",
}


def made(kind: str, number: int, *, named: bool) -> Made:
    target = Target("tabby" if named else NAMES[number], 0.9 - 0.3 * number)
    if kind == "effect":
        one = np.array([0.8])
        rows = tuple(
            Effect("gate", f"layer{k}", gate, "share", one, one + 0.1 * (k - 5) * number, None)
            for k in range(8)
            for gate in ("channel", "spatial")
        )
        return Made(None, target, Effects(rows, "one", ("1",), ("share",), None, 0.95, 0, ""))
    method, layer = METHODS[kind], "layer4" if METHODS[kind].of_layer else None
    values = np.random.default_rng(number).random((7, 7), np.float32) * 10.0 ** -(2 * number)
    if not method.nonnegative:
        values -= values.mean()
    found = MethodMap(kind, layer or "", f"the output of {layer}", values, Cells(8, 8, 0.5, 0.5))
    return Made(layer, target if method.of_class else None, found)


@cache
def study(photos: int, case: str) -> Study:
    rows = []
    for number in range(photos):
        photo = make_photo(*SIZES[number], seed=number)
        analysis = make_analysis(photo, seed=number, blocks=BLOCKS[8])
        known = {one.name: getattr(analysis, one.name) for one in fields(Analysis)}
        found = {}
        for column in columns_from_text(CASES[case]):
            if column.kind not in ("input", "map"):
                one = made(column.kind, number, named=column.target is not None)
                for name in (column.name, one.layer):
                    found[column.kind, name, column.target] = one
        rows.append((Studied(**known, made=found),))
    return Study(tuple(rows))


def room_for(venue: Venue, width: str, case: str, photos: int) -> bool:
    """Three rows with texts below do not go into a slide's half, unless columns are few."""
    return (venue.key, width, photos) != ("slides", "column", 3) or case == "bare"


FIGURES = [
    (venue, width, case, photos)
    for venue, width in PLACES
    for case in CASES
    for photos in (1, 3)
    if room_for(venue, width, case, photos)
]


@pytest.mark.parametrize(
    ("venue", "width", "case", "photos"),
    FIGURES,
    ids=[f"{venue.key}-{width}-{case}-{photos}" for venue, width, case, photos in FIGURES],
)
def test_methods_look_as_they_should(venue: Venue, width: str, case: str, photos: int) -> None:
    spec = FigureSpec(columns=columns_from_text(CASES[case]), venue=venue.key, width=width)
    figure = build(spec, study(photos, case)).figure
    assert faults(figure, venue) == []


@cache
def measured(maps: int, photos: int = 3) -> Evaluated:
    """Numbers of no network, in the form of those of one."""
    own = [f"Grad-CAM of layer{k}.1.se" for k in range(maps)]
    names = [n for one in own for n in (one, f"random like {one}")] + ["uniform", "centre Gaussian"]
    rng = np.random.default_rng(0)
    measures = ("combined (blur)", "combined (mean)", "drop", "increase", "pointing", "sparseness")
    numbers = [
        {name: {one: float(rng.random() - 0.3) for one in measures} for name in names}
        for _ in range(photos)
    ]
    points = [
        {
            name: {
                kind: {order: rng.random(5).tolist() for order in ("most", "least")}
                for kind in ("blur", "mean")
            }
            for name in names
        }
        for _ in range(photos)
    ]
    return evaluated(as_json(summarise(numbers), {"model": "ResNet-18"}, mean_curves(points)))


def has_room(venue: Venue, width: str) -> bool:
    """A slide's half is too low for twelve panels with their headings."""
    return (venue.key, width) != ("slides", "column")


@pytest.mark.parametrize("maps", [1, 4])
@pytest.mark.parametrize(
    ("venue", "width"),
    [place for place in PLACES if has_room(place[0], place[1])],
    ids=[f"{venue.key}-{width}" for venue, width in PLACES if has_room(venue, width)],
)
def test_evaluations_look_as_they_should(venue: Venue, width: str, maps: int) -> None:
    spec = FigureSpec(layout="evaluation", venue=venue.key, width=width, letters="cells")
    assert faults(build(spec, measured(maps)).figure, venue) == []


def test_the_narrowest_evaluation_is_drawn_or_refused() -> None:
    for width in (20.0, 30.0, 45.0, 1000.0):
        with contextlib.suppress(FigureError):
            build(FigureSpec(layout="evaluation", venue="slides", width=width), measured(1))
    with pytest.raises(FigureError, match="12 panels have no room"):
        build(FigureSpec(layout="evaluation", venue="slides", width="column"), measured(1))
