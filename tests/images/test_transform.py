"""A transform of one's own: its tensor as it is, and where it lies on the photo, measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cbam_viz import InputSpec, ModelError, prepare, read_photo
from cbam_viz._compat import ensure_torchvision
from cbam_viz.images import prepare_by

ensure_torchvision()
from torchvision import transforms as T  # noqa: E402

SIZES = [(300, 451), (1000, 700), (40, 60), (500, 100)]


def noise(size: tuple[int, int]) -> Any:
    return read_photo(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))


@pytest.mark.parametrize("size", SIZES)
def test_the_usual_transform_lies_where_ours_does(size: tuple[int, int]) -> None:
    transform = T.Compose(
        [T.Resize(256), T.CenterCrop(224), T.ToTensor(),
         T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )  # fmt: skip
    own, ours = prepare_by(transform, noise(size)), prepare(
        noise(size), InputSpec(interpolation="bilinear")
    )  # fmt: skip
    assert torch.equal(own.tensor, ours.tensor)
    for y, x in ((0, 0), (112, 112), (224, 224)):
        at, expected = own.geometry.to_photo(y, x), ours.geometry.to_photo(y, x)
        assert at[0] == pytest.approx(expected[0], abs=0.03 * ours.geometry.scale_y)
        assert at[1] == pytest.approx(expected[1], abs=0.03 * ours.geometry.scale_x)


@pytest.mark.parametrize(
    ("transform", "offset", "scale"),
    [
        (T.Resize((64, 96)), (0, 0), (300 / 64, 451 / 96)),  # squashed: all of the photo, exactly
        (T.Compose([T.Grayscale(), T.Resize((64, 96))]), (0, 0), (300 / 64, 451 / 96)),
        (T.Pad(10), (-10, -10), (1, 1)),
        (T.Lambda(lambda image: image.crop((31, 12, 331, 212))), (12, 31), (1, 1)),
        (T.Lambda(lambda image: image.convert("L").convert("RGB")), (0, 0), (1, 1)),
    ],
)
def test_other_transforms(
    transform: Any, offset: tuple[float, float], scale: tuple[float, float]
) -> None:
    geometry = prepare_by(T.Compose([transform, T.ToTensor()]), noise((300, 451))).geometry
    found = (geometry.offset_y, geometry.offset_x, geometry.scale_y, geometry.scale_x)
    assert found == pytest.approx((*offset, *scale), abs=0.05, rel=2e-4)


@pytest.mark.parametrize(
    ("transform", "says"),
    [
        (T.RandomHorizontalFlip(1.0), "does more than resize, cut, pad and normalise"),
        (T.RandomRotation((30, 30)), "does more than resize"),
        (T.RandomCrop(20), "draws at random"),
        (T.Lambda(lambda image: image.transpose(2)), "does more than resize"),  # by 90 degrees
    ],
)
def test_what_cannot_be_placed_is_refused(transform: Any, says: str) -> None:
    whole = T.Compose([T.Resize((64, 64)), transform, T.ToTensor()])
    with pytest.raises(ModelError, match=says):
        prepare_by(whole, noise((300, 451)))


def broken(image: Any) -> Any:
    raise ValueError("no picture")


@pytest.mark.parametrize(
    ("transform", "says"),
    [
        (broken, "fails on the photo: no picture"),
        (np.asarray, r"returned an array of shape \(20, 30, 3\)"),
        (lambda image: torch.zeros(2, 3, 8, 8), "returned 2 pictures of one photo"),
        (lambda image: torch.zeros(3, 8, 8), "the same for a black and a white photo"),
    ],
)
def test_transforms_that_are_none(transform: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        prepare_by(transform, noise((20, 30)))
