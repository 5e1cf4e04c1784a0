"""A bright spot on the photo is found on the input where the geometry says."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from cbam_viz.images import VIEWS, Geometry, InputSpec, Photo, prepare, read_photo
from tests.images.helpers import orientation_exif, stored_as

SIZES = [(300, 451), (451, 300), (256, 256), (123, 1111), (1111, 123), (97, 101), (640, 427)]

SPECS = [
    InputSpec(size=(224, 224), interpolation="bilinear"),
    InputSpec(size=(224, 224), crop_pct=0.95, interpolation="bicubic"),
    InputSpec(size=(160, 224), crop_pct=0.9, interpolation="bilinear"),
    InputSpec(size=(224, 224), crop_mode="squash", interpolation="bilinear"),
    InputSpec(size=(224, 224), crop_mode="border", crop_pct=1.0, interpolation="bilinear"),
    InputSpec(size=(100, 100), crop_pct=1.2, interpolation="bilinear"),  # adds a border
    InputSpec(size=(224, 224), interpolation="bilinear", fixed_size=True),
]


def blob(size: tuple[int, int], y: float, x: float, sigma: float) -> npt.NDArray[np.uint8]:
    """A bell curve around photo coordinates (y, x); pixel centres lie at k + 0.5."""
    rows = np.exp(-(((np.arange(size[0]) + 0.5 - y) / sigma) ** 2) / 2)
    columns = np.exp(-(((np.arange(size[1]) + 0.5 - x) / sigma) ** 2) / 2)
    grey = (255 * np.outer(rows, columns)).round().astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def found(tensor: torch.Tensor, spec: InputSpec) -> tuple[float, float]:
    """Centre of mass of the blob on the network's input, in input coordinates."""
    mass = (tensor[0, 0] * spec.std[0] + spec.mean[0]).double().clamp(min=0.02) - 0.02
    y = torch.arange(mass.shape[0]) + 0.5
    x = torch.arange(mass.shape[1]) + 0.5
    return (
        float((mass.sum(1) * y).sum() / mass.sum()),
        float((mass.sum(0) * x).sum() / mass.sum()),
    )


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", VIEWS)
def test_a_spot_is_where_the_geometry_says(
    size: tuple[int, int], spec: InputSpec, view: str
) -> None:
    centre = size[0] / 2 + 7.3, size[1] / 2 - 5.8
    sigma = min(size) / 40
    photo = read_photo(blob(size, *centre, sigma))
    # Borders would count as mass if they held the mean colour: black, they do not.
    spec = InputSpec(**{**spec.__dict__, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)})
    made = prepare(photo, spec, view)  # type: ignore[arg-type]
    expected = made.geometry.to_input(*centre)
    assert found(made.tensor, spec) == pytest.approx(expected, abs=0.1)


def test_closed_form_of_a_centre_crop() -> None:
    # 300 x 450 -> 256 x 384 -> rows 16 to 240, columns 80 to 304.
    geometry = prepare(_black(300, 450), InputSpec(), "crop").geometry
    step = 300 / 256
    assert geometry == Geometry(
        photo_size=(300, 450),
        input_size=(224, 224),
        scale_y=step,
        scale_x=450 / 384,
        offset_y=16 * step,
        offset_x=80 * 450 / 384,
        view="crop",
    )
    assert geometry.seen == pytest.approx((18.75, 93.75, 281.25, 356.25))
    assert geometry.seen_share == pytest.approx(262.5**2 / (300 * 450))


def test_rounded_sizes_give_two_scales() -> None:
    # 451 * 256 / 300 = 384.85, which torchvision cuts to 384.
    geometry = prepare(_black(300, 451), InputSpec(), "crop").geometry
    assert geometry.scale_y == pytest.approx(300 / 256, abs=0)
    assert geometry.scale_x == pytest.approx(451 / 384, abs=0)


def test_a_crop_larger_than_the_picture_begins_outside() -> None:
    # 100 -> floor(100 / 1.25) = 80, so ten rows and columns of border at each side.
    spec = InputSpec(size=(100, 100), crop_pct=1.25)
    geometry = prepare(_black(100, 100), spec, "crop").geometry
    assert (geometry.offset_y, geometry.offset_x) == pytest.approx((-12.5, -12.5))
    assert geometry.seen == (0, 0, 100, 100)
    assert geometry.seen_share == 1


def test_there_and_back() -> None:
    geometry = prepare(_black(123, 457), InputSpec(), "crop").geometry
    for point in ((0.0, 0.0), (3.7, 200.1), (224.0, 224.0)):
        assert geometry.to_input(*geometry.to_photo(*point)) == pytest.approx(point)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_positions_are_those_of_the_upright_photo(orientation: int) -> None:
    size, centre = (300, 451), (120.0, 240.0)
    stored = np.ascontiguousarray(stored_as(blob(size, *centre, 8), orientation))
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "PNG", exif=orientation_exif(orientation))
    photo = read_photo(buffer.getvalue())
    spec = InputSpec(mean=(0.0,) * 3, std=(1.0,) * 3)
    made = prepare(photo, spec, "crop")
    assert made.geometry.photo_size == size
    assert found(made.tensor, spec) == pytest.approx(made.geometry.to_input(*centre), abs=0.1)


def _black(height: int, width: int) -> Photo:
    return read_photo(np.zeros((height, width, 3), np.uint8))
