"""Columns `detections`, `boxes` and `mask`, and what is said of detectors where others predict."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import nn

from cbam_viz.analysis import Analysis
from cbam_viz.detections import Detections
from cbam_viz.errors import FigureError
from cbam_viz.figures import FigureSpec, build, columns_from_text
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.beside.tables import arrays_bytes, numbers_text
from cbam_viz.figures.content.found import COLOURS
from cbam_viz.figures.content.study import study
from cbam_viz.figures.draw.pictures import MASK
from cbam_viz.models import wrap_model

from .conftest import make_analysis, make_photo

BOXES = [[30.0, 20.0, 70.0, 60.0], [60.0, 30.0, 110.0, 90.0]]


def found(**more: Any) -> Detections:
    return Detections(BOXES, [0.934, 0.5], [2, 0], ["dog", "cat"], **more)


def mask(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (96, 128)) -> Any:
    masks = np.zeros((len(boxes), *size), bool)
    for number, (left, top, right, bottom) in enumerate(boxes):
        masks[number, top:bottom, left:right] = True
    return masks


def detector(what: Detections | None = None, **more: Any) -> Analysis:
    """An analysis of a photo of 96 x 128, seen whole."""
    plain = make_analysis(make_photo(), view="whole", **more)
    given = found() if what is None else what
    return replace(plain, predictions=(), prediction_note="", detections=given)


def built_of(columns: str, *analyses: Analysis, **more: Any) -> Any:
    return build(FigureSpec(columns=columns_from_text(columns), **more), list(analyses))


def patches(built: Any, gid: str) -> list[Any]:
    return [one for axes in built.figure.axes for one in axes.patches if one.get_gid() == gid]


def texts(built: Any) -> list[str]:
    return [one.get_text() for one in built.figure.texts]


def test_boxes_lie_where_they_were_found() -> None:
    built = built_of("boxes,detections", detector())
    for column in (1, 2):
        for number, (left, top, right, bottom) in enumerate(BOXES, 1):
            (outline,) = patches(built, f"row 1 column {column} found {number}")
            x, y = outline.get_xy()[:4].T
            assert (x.min(), y.min(), x.max(), y.max()) == (left, top, right, bottom)
    labels = [text for text in texts(built) if text in ("dog 0.93", "cat 0.50")]
    assert labels == ["dog 0.93", "cat 0.50"]  # of the column of detections alone


def test_turned_boxes_are_turned() -> None:
    corners = np.array([[[50, 10], [80, 40], [50, 70], [20, 40]]])
    turned = Detections([[20, 10, 80, 70]], [0.9], [0], ["ship"], corners=corners)
    built = built_of("boxes", detector(turned))
    (outline,) = patches(built, "row 1 column 1 found 1")
    assert np.array_equal(outline.get_xy()[:4], corners[0])


def test_keypoints_have_rings_that_the_caption_explains() -> None:
    points = [[[50, 30, 0.9], [40, 50, 0.1]], [[80, 50, 0.8], [90, 60, 0.7]]]
    built = built_of("boxes,detections", detector(found(keypoints=points)))
    lines = [patches(built, f"row 1 column 2 found {number}") for number in (1, 2)]
    assert [len(one) for one in lines] == [1 + 1, 1 + 2]  # the box and its rings
    np.testing.assert_allclose(lines[0][1].get_xy()[:-1].mean(0), [50, 30], atol=0.01)
    np.testing.assert_allclose(lines[1][2].get_xy()[:-1].mean(0), [90, 60], atol=0.01)
    assert len(patches(built, "row 1 column 1 found 1")) == 1  # boxes alone
    assert "Rings mark keypoints" in caption(built)
    assert "Rings" not in caption(built_of("detections", detector()))


def test_masks_colour_their_pixels_and_are_outlined() -> None:
    both = found(masks=mask((30, 20, 70, 60), (60, 30, 110, 90)))
    analysis = detector(both)
    built = built_of("input,mask,detections", analysis)
    pixels = analysis.photo.pixels.astype(float)
    painted = built.content.rows[0][1]
    image = {
        image.get_gid(): image.get_array() for axes in built.figure.axes for image in axes.images
    }["row 1 column 2"]
    wanted = pixels.copy()
    for (left, top, right, bottom), colour in zip(
        ((60, 30, 110, 90), (30, 20, 70, 60)), (COLOURS["light blue"], COLOURS["orange"]),
        strict=True,
    ):  # fmt: skip
        part = (slice(top, bottom), slice(left, right))
        wanted[part] = pixels[part] * (1 - MASK) + np.array(colour) * MASK
    assert np.abs(np.asarray(image, float) - wanted).max() <= 0.5
    assert painted.colours == (0, 1)
    (outline,) = patches(built, "row 1 column 3 found 1")
    x, y = outline.get_xy().T
    assert np.allclose((x.min(), y.min(), x.max(), y.max()), (30, 20, 70, 60), atol=1)
    assert "Colours of masks: orange, dog; light blue, cat." in caption(built)


def test_a_class_has_one_colour_on_all_photos() -> None:
    cat = Detections([BOXES[1]], [0.8], [0], ["cat"], masks=mask((60, 30, 110, 90)))
    first = detector(found(masks=mask((30, 20, 70, 60), (60, 30, 110, 90))))
    built = built_of("mask", first, detector(cat))
    assert [place.colours for (place,) in built.content.rows] == [(0, 1), (1,)]


def test_labels_keep_inside_the_picture_and_off_each_other() -> None:
    crowd = Detections(
        [[1.0 * n, 2.0 * n, 60.0 + n, 40.0 + n] for n in range(25)],
        np.linspace(0.99, 0.3, 25), np.arange(25), [f"a rather long class {n}" for n in range(25)],
    )  # fmt: skip
    built = built_of("input,detections", detector(crowd), letters="cells", width="column")
    canvas = FigureCanvasAgg(built.figure)
    canvas.draw()
    (axes,) = [one for one in built.figure.axes if one.get_gid() == "row 1 column 2 axes"]
    picture = axes.get_window_extent()
    renderer = canvas.get_renderer()
    tags = [
        text.get_window_extent(renderer)
        for text in built.figure.texts
        if (text.get_gid() or "").startswith("row 1 column 2")
    ]
    assert len(tags) > 2
    for number, tag in enumerate(tags):
        assert tag.x0 >= picture.x0 - 1
        assert tag.x1 <= picture.x1 + 1
        assert tag.y0 >= picture.y0 - 1
        assert not any(tag.overlaps(other) for other in tags[:number])
    assert "Labels that found no room are left out." in caption(built)
    assert "Labels" not in caption(built_of("detections", detector()))


def test_what_was_found_stands_in_tables_and_arrays() -> None:
    masks = mask((30, 20, 70, 60), (60, 30, 110, 90))
    built = built_of("detections,boxes", detector(found(masks=masks, note="A note.")))
    rows = list(csv.DictReader(io.StringIO(numbers_text(built))))
    assert [(row["place"][-1], row["shown"], row["name"]) for row in rows] == [
        ("1", "detection", "dog"), ("1", "detection", "cat"),
        ("2", "detection", "dog"), ("2", "detection", "cat"),
    ]  # fmt: skip
    assert rows[0]["text"] == "score 0.9340, left 30.0, top 20.0, right 70.0, bottom 60.0"
    with np.load(io.BytesIO(arrays_bytes(built))) as arrays:
        assert np.array_equal(arrays["0"], BOXES)
        assert np.allclose(arrays["1"], [0.934, 0.5])
        assert np.array_equal(arrays["2"], masks)
        assert sorted(arrays) == ["0", "1", "2", "3", "4", "cbam_viz"]
    assert "what it found, outlined, with classes and scores; boxes of what it found" in caption(
        built
    )
    assert caption(built).count("A note.") == 1


@pytest.mark.parametrize(
    ("what", "texts_wanted"),
    [
        (found(), ["dog, cat\n0.93, 0.50", "dog, cat", "0.93, 0.50"]),
        (Detections(), ["nothing found", "nothing found", "–"]),
        (
            Detections([BOXES[0]] * 6, [0.9] * 6, [0, 0, 1, 2, 3, 4], list("aabcde")),
            ["2 × a, b, c and 2 more\n0.90, 0.90, 0.90 and 3 more", "2 × a, b, c and 2 more",
             "0.90, 0.90, 0.90 and 3 more"],
        ),
        (Detections([BOXES[0]], [0.9], [7]), ["class 7\n0.90", "class 7", "0.90"]),
    ],
)  # fmt: skip
def test_columns_of_predictions_say_what_a_detector_found(
    what: Detections, texts_wanted: list[str]
) -> None:
    built = built_of("prediction,class,probability", detector(what))
    assert [place.text for place in built.content.rows[0]] == texts_wanted
    assert "what it found, with scores; what it found; the scores of what it found" in caption(
        built
    )


def test_without_columns_a_detector_shows_what_it_found() -> None:
    built = build(FigureSpec(), [detector()])
    assert [column.kind for column in built.spec.columns] == ["input", "map", "map", "detections"]
    again = build(FigureSpec.from_dict(built.spec.to_dict()), [detector()])
    assert again.render("pdf") == built.render("pdf")


def test_networks_that_find_nothing_are_refused_with_the_reason() -> None:
    for column in ("detections", "boxes", "mask"):
        with pytest.raises(FigureError, match="gives no boxes or masks"):
            built_of(column, make_analysis())
    with pytest.raises(FigureError, match="boxes and no masks: write detections or boxes"):
        built_of("mask", detector())
    unread = replace(detector(), detections=None, prediction_note="It cannot be read (why).")
    with pytest.raises(FigureError, match=r"It cannot be read \(why\)"):
        built_of("boxes", unread)
    assert built_of("mask", detector(Detections())).content.found


def test_a_detector_without_gates_needs_none_for_what_it_found() -> None:
    torch.manual_seed(0)
    plain = wrap_model(
        nn.Conv2d(3, 4, 3).eval(), decode=lambda _: Detections([[0, 0, 50, 50]], [0.9], [0])
    )
    spec = FigureSpec(columns=columns_from_text("input,detections,prediction"))
    made = study(spec, [plain], [make_photo()])
    assert not made.analyses[0][0].layers
    assert caption(build(spec, made)).startswith("Results of Conv2d.")
