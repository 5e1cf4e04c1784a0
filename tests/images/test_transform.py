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


def test_whole_numbers_are_refused() -> None:
    """As they are they would be 0 to 255, where training had made them 0 to 1."""
    from torchvision.transforms import v2

    with pytest.raises(ModelError, match=r"whole numbers \(torch\.uint8\).*scale=True"):
        prepare_by(v2.Compose([v2.PILToTensor(), v2.Resize(64)]), noise((90, 80)))


def squashed(image: Any) -> Any:
    return T.functional.to_tensor(image.resize((48, 32)))


class Albumented:
    """Called as albumentations are: an array by name, and one in the result."""

    __module__ = "albumentations.core.composition"

    def __init__(self, *, last: bool) -> None:
        self.last = last

    def __call__(self, **data: Any) -> dict[str, Any]:
        made = squashed(T.functional.to_pil_image(data["image"]))
        return {"image": made.permute(1, 2, 0).numpy() if self.last else made}


@pytest.mark.parametrize(
    "transform",
    [
        lambda image: {"pixel_values": squashed(image)[None]},  # Hugging Face's
        lambda image: {"pixel_values": [squashed(image).numpy()]},
        lambda image: squashed(image).double().numpy(),
        Albumented(last=False),
        Albumented(last=True),
    ],
)
def test_pictures_are_taken_out_of_what_they_come_in(transform: Any) -> None:
    made = prepare_by(transform, noise((300, 451)))
    plain = prepare_by(squashed, noise((300, 451)))
    assert torch.equal(made.tensor, plain.tensor)
    assert made.geometry == plain.geometry
    assert (made.geometry.scale_y, made.geometry.scale_x) == (300 / 32, 451 / 48)


def test_where_it_lies_is_measured_once_and_again_when_the_transform_has_changed() -> None:
    calls = []

    class Cut:
        left = 10

        def __call__(self, image: Any) -> Any:
            calls.append(1)
            return T.functional.to_tensor(image.crop((self.left, 0, self.left + 60, 60)))

    cut = Cut()
    first = prepare_by(cut, noise((90, 80))).geometry
    assert first.offset_x == pytest.approx(10, abs=0.05)
    measured = len(calls)
    assert prepare_by(cut, noise((90, 80))).geometry == first
    assert len(calls) == measured + 3
    cut.left = 3
    assert prepare_by(cut, noise((90, 80))).geometry.offset_x == pytest.approx(3, abs=0.05)


def test_large_inputs_are_placed_from_some_of_their_pixels() -> None:
    geometry = prepare_by(
        T.Compose([T.Resize((600, 900)), T.CenterCrop(512), T.ToTensor()]), noise((300, 451))
    ).geometry
    assert geometry.scale_y == pytest.approx(300 / 600, rel=2e-4)
    assert geometry.scale_x == pytest.approx(451 / 900, rel=2e-4)
    assert geometry.offset_y == pytest.approx(44 * 300 / 600, abs=0.05)
    assert geometry.offset_x == pytest.approx(194 * 451 / 900, abs=0.05)
