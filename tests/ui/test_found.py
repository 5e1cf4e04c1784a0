"""Outlines and sentences of what a detector found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cbam_viz.detections import Detections
from cbam_viz.detectors import MOST_DRAWN, on_photo, rings
from cbam_viz.images import Geometry
from cbam_viz.shares import Share
from cbam_viz.ui.parts.found import drawn, in_words, marks, share_in_words

PLAIN = Geometry((100, 200), (50, 100), 2.0, 2.0, 0.0, 0.0)
BOX = {"boxes": [[10, 10, 30, 40]], "scores": [0.875], "classes": [1], "labels": ["dog"]}


def found(**more: object) -> Detections:
    return on_photo(Detections(**{**BOX, **more}), PLAIN)  # type: ignore[arg-type]


def test_boxes_lie_on_the_pixels_of_the_picture() -> None:
    """On the photo 20, 20, 60, 80; on a picture of half its size half of that."""
    (mark,) = marks(found(), PLAIN, (50, 100))
    assert mark == {
        "path": "M10.0 10.0L30.0 10.0L30.0 40.0L10.0 40.0Z",
        "label": "dog 87.5 %",
        "at": [10.0, 10.0],
    }


def test_turned_boxes_and_masks_are_outlined_themselves() -> None:
    corners = [[[20, 10], [30, 25], [20, 40], [10, 25]]]
    (mark,) = marks(found(corners=corners), PLAIN, (100, 200))
    assert mark["path"] == "M40.0 20.0L60.0 50.0L40.0 80.0L20.0 50.0Z"
    mask = np.zeros((1, 50, 100), bool)
    mask[0, 10:40, 10:30] = True
    (mark,) = marks(found(masks=mask), PLAIN, (50, 100))
    numbers = [float(text) for text in mark["path"].strip("MZ").replace("L", " ").split()]
    assert (min(numbers[::2]), max(numbers[::2])) == (10.5, 29.5)
    assert (min(numbers[1::2]), max(numbers[1::2])) == (10.5, 39.5)


def test_many_are_drawn_up_to_a_limit_and_an_empty_mask_not_at_all() -> None:
    many = Detections(np.tile([[0, 0, 9, 9]], (200, 1)), np.ones(200), np.zeros(200))
    assert len(marks(many, PLAIN, (50, 100))) == MOST_DRAWN
    assert marks(found(masks=np.zeros((1, 50, 100), bool)), PLAIN, (50, 100)) == []


def test_a_saved_picture_has_the_outline_and_is_else_as_it_was() -> None:
    grey = np.full((100, 200, 3), 128, np.uint8)
    picture = drawn(grey, found(), PLAIN)
    assert (grey == 128).all()
    changed = (picture != 128).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert abs(rows[0] - 20) <= 3
    assert abs(rows[-1] - 80) <= 3
    assert abs(columns[0] - 20) <= 3
    assert abs(columns[-1] - 60) <= 3
    assert not changed[30:70, 30:50].any()


def test_sentences() -> None:
    assert in_words(Detections()) == "Nothing was found on this photo."
    assert in_words(found()) == "Found: dog 87.5 %"
    share = Share("layer", inside=0.5, area=0.25, pattern=0.75)
    assert share_in_words(share, found()) == (
        "50.0 % of this layer's map lies in the boxes, which are 25.0 % of what the network "
        "saw; of its pattern (the map less its lowest value), 75.0 %."
    )


def test_keypoints_have_rings_where_the_network_is_sure_of_them() -> None:
    points = [[[50, 20, 0.9], [60, 30, 0.1]]]
    person = Detections([[40, 10, 70, 40]], [0.8], [0], keypoints=points)
    (around,) = rings(person, PLAIN, (100, 200))
    (ring,) = around
    np.testing.assert_allclose(ring.mean(0), [50, 20], atol=1e-9)
    np.testing.assert_allclose(np.hypot(*(ring - [50, 20]).T), 2.0)
    (mark,) = marks(person, PLAIN, (100, 200))
    assert mark["path"].count("M") == 2
    assert mark["at"] == [40, 10]  # the label stands at the box
    pixels = np.zeros((100, 200, 3), np.uint8)
    picture = drawn(pixels, person, PLAIN)
    assert picture[20, 47:54].any()
    assert not picture[27:34, 57:64].any()
    without = replace(person, keypoints=[[[50, 20], [60, 30]]])  # nothing says how sure it is
    assert len(rings(without, PLAIN, (100, 200))[0]) == 2
