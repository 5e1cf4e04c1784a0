"""Every layout at every venue and width: nothing fails, is cut, overlaps, or is set too small."""

from __future__ import annotations

import contextlib
from functools import cache

import pytest

from cbam_viz.errors import FigureError
from cbam_viz.figures import FigureSpec, Study, Venue, build, columns_from_text, venues

from .conftest import make_analysis, make_photo
from .looks import faults, height_of, share_of_pictures

SIZES = ((24, 32), (32, 24), (12, 40))
BLOCKS = {8: (2, 2, 2, 2), 16: (3, 4, 6, 3)}
"""ResNet-18 and ResNet-50."""
PLACES = [
    (venue, width)
    for venue in venues().values()
    for width in ("column", "text")
    if width == "text" or venue.column_width != venue.text_width
]
CASES: dict[str, tuple[dict[str, object], int, float]] = {
    "grid": ({}, 8, 0.27),
    "marked grid": ({"scale": "per map", "letters": "cells", "row_labels": "class"}, 8, 0.25),
    "all layers": ({"layout": "depth"}, 8, 0.4),
    "all of 16 layers": ({"layout": "depth"}, 16, 0.34),
    "channel weights": ({"layout": "channels"}, 8, 0.35),
    "of 16 layers": ({"layout": "channels"}, 16, 0.3),
    "by class": ({"layout": "channels", "by": "class"}, 8, 0.27),
    "curves": ({"layout": "channels", "plot": "curves"}, 8, 0.3),
    "curves of chosen channels": (
        {"layout": "channels", "plot": "curves", "layers": ("0", "-1"), "top": 9},
        8,
        0.3,
    ),
    "by class in two layers": (
        {"layout": "channels", "by": "class", "layers": ("0", "-1")},
        8,
        0.27,
    ),
    "one channel": ({"layout": "channel"}, 8, 0.35),
}
"""Settings, layers, and the share of the figure that pictures fill at least."""


@cache
def study(photos: int, layers: int, features: bool) -> Study:
    return Study(
        tuple(
            (
                make_analysis(
                    make_photo(*SIZES[seed % 3], seed=seed), seed=seed, blocks=BLOCKS[layers],
                    features=features,
                ),
            )
            for seed in range(photos)
        )
    )  # fmt: skip


def has_room(venue: Venue, width: str, case: str) -> bool:
    """On a picture of 25 points there is no place for a letter beside a range."""
    return (venue.key, width, case) != ("slides", "column", "marked grid")


@pytest.mark.parametrize("photos", [1, 3])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("venue", "width"), PLACES, ids=[f"{venue.key}-{width}" for venue, width in PLACES]
)
def test_it_looks_as_it_should(venue: Venue, width: str, case: str, photos: int) -> None:
    settings, layers, share = CASES[case]
    if settings.get("layout") == "depth" and photos > 1:
        photos = 1  # a strip shows one photo; it is marked instead
        settings = {**settings, "frame": "photo", "letters": "columns", "contours": (0.5,)}
    spec = FigureSpec(venue=venue.key, width=width, **settings)  # type: ignore[arg-type]
    figure = build(spec, study(photos, layers, case == "one channel")).figure
    if has_room(venue, width, case):
        assert faults(figure, venue) == []
    assert share_of_pictures(figure) > share


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("venue", "width"), [("slides", "column"), ("cvpr", "column")])
def test_long_names_and_labels_stay_whole(venue: str, width: str, case: str) -> None:
    """Names of layers inside another module, a class of three words, letters, labels."""
    settings, layers, _ = CASES[case]
    long = make_analysis(blocks=BLOCKS[layers], features=True)
    named = {}
    for number, layer in enumerate(long.attention.values()):
        name = f"backbone.stage{number // 4}.block{number % 4}.attention"
        object.__setattr__(layer, "name", name)
        named[name] = layer
    object.__setattr__(long.attention, "layers", named)
    prediction = long.predictions[0]
    object.__setattr__(prediction, "label", "Staffordshire bull terrier")
    settings = {**settings, "row_labels": "class"}
    spec = FigureSpec(venue=venue, width=width, **settings)  # type: ignore[arg-type]
    figure = build(spec, long).figure
    if has_room(venues()[venue], width, case):
        assert faults(figure, venues()[venue]) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"columns": columns_from_text(",".join(["input", "map:0"] * 32))}, "64 pictures"),
        ({"layout": "depth"}, "201 pictures"),
        ({"layout": "channels"}, "200 panels"),
    ],
)
def test_what_has_no_room_is_said(settings: dict[str, object], words: str) -> None:
    many = make_analysis(blocks=(50, 50, 50, 50))
    spec = FigureSpec(venue="slides", width="column", **settings)  # type: ignore[arg-type]
    with pytest.raises(FigureError, match=f"{words} have no room in a figure of 190 × 180 points"):
        build(spec, many)


@pytest.mark.parametrize("case", CASES)
def test_the_narrowest_figure_is_drawn_or_refused(case: str) -> None:
    settings, layers, _ = CASES[case]
    for width in (20.0, 30.0, 45.0, 1000.0):
        spec = FigureSpec(venue="slides", width=width, **settings)  # type: ignore[arg-type]
        with contextlib.suppress(FigureError):  # of 20 mm no grid of six columns has room
            figure = build(spec, study(1, layers, case == "one channel")).figure
            assert height_of(figure) > 0
            assert not [text for text in faults(figure, venues()["slides"]) if "outside" in text]
