"""Photos read for a network alone: the same input, to the bit, or decoded smaller where asked."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cbam_viz import ImageError
from cbam_viz.images import InputSpec, prepare, read_for_network, read_photo, resized_size
from tests.images.helpers import encoded, orientation_exif, scene, stored_as
from tests.images.test_profiles import ink_that_only_black_darkens, red_and_green_swapped

SWAPPED = red_and_green_swapped()


def opaque(mode: str) -> Image.Image:
    return Image.fromarray(scene(61, 83)).convert(mode)


def see_through() -> Image.Image:
    image = opaque("RGBA")
    image.putalpha(Image.fromarray(scene(61, 83)[..., 0]))
    return image


def sixteen_bits() -> Image.Image:
    return Image.fromarray(scene(61, 83)[..., 0].astype(np.uint16) * 257 + 3)


FILES: dict[str, bytes] = {
    "jpeg": encoded(opaque("RGB"), "JPEG"),
    "progressive": encoded(opaque("RGB"), "JPEG", progressive=True),
    "grey jpeg": encoded(opaque("L"), "JPEG"),
    "cmyk": encoded(opaque("CMYK"), "JPEG"),
    "mpo": encoded(opaque("RGB"), "MPO", save_all=True, append_images=[opaque("RGB")]),
    "png": encoded(opaque("RGB"), "PNG"),
    "see-through png": encoded(see_through(), "PNG"),
    "palette": encoded(opaque("P"), "PNG"),
    "16 bits": encoded(sixteen_bits(), "PNG"),
    "webp": encoded(opaque("RGB"), "WEBP", lossless=True),
    "tiff": encoded(opaque("RGB"), "TIFF", exif=orientation_exif(6)),
    "bmp": encoded(opaque("RGB"), "BMP"),
    "gif": encoded(opaque("P"), "GIF"),
    "profile": encoded(opaque("RGB"), "JPEG", icc_profile=SWAPPED),
    "png with profile": encoded(see_through(), "PNG", icc_profile=SWAPPED),
    "cmyk with profile": encoded(opaque("CMYK"), "TIFF", icc_profile=ink_that_only_black_darkens()),
    **{
        f"turned {n}": encoded(opaque("RGB"), "JPEG", exif=orientation_exif(n)) for n in range(2, 9)
    },
}
SPECS = {
    "crop": InputSpec(size=(32, 32)),
    "bgr": InputSpec(size=(32, 32), bgr=True, crop_pct=1.0),
    "grey": InputSpec(size=(32, 32), channels=1, mean=(0.5,), std=(0.5,), interpolation="bilinear"),
    "border": InputSpec(size=(24, 40), crop_mode="border"),
    "opencv": InputSpec(size=(32, 32), crop_mode="letterbox", interpolation="opencv"),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_same_input_to_the_bit(kind: str) -> None:
    one = read_photo(FILES[kind], name="a.x")
    other = read_for_network(FILES[kind], name="a.x")
    for key in ("sha256", "name", "format", "notes", "size", "window", "levels", "index"):
        assert getattr(one, key) == getattr(other, key), key
    for name, spec in SPECS.items():
        for view in ("crop", "whole"):
            wanted, found = prepare(one, spec, view), prepare(other, spec, view)
            assert torch.equal(wanted.tensor, found.tensor), (name, view)
            assert wanted.geometry == found.geometry


def test_no_colours_are_made_that_nobody_sees() -> None:
    assert read_photo(FILES["profile"]).in_srgb is not None
    photo = read_for_network(FILES["profile"])
    assert photo.in_srgb is None
    assert photo.buffered is not None
    assert photo.pixels.shape == (61, 83, 3)
    assert "colour profile" in photo.notes[-1]


def picture_of(data: bytes, least: Any) -> Image.Image:
    photo = read_for_network(data, least=least)
    assert photo.buffered is not None
    return photo.buffered.image


@pytest.mark.parametrize(
    ("least", "times"), [((50, 80), 8), ((51, 80), 4), ((100, 161), 2), ((201, 80), 1)]
)
def test_it_is_decoded_as_small_as_it_may_be(least: tuple[int, int], times: int) -> None:
    asked: list[tuple[int, int]] = []

    def needs(size: tuple[int, int]) -> tuple[int, int]:
        asked.append(size)
        return least

    for progressive in (False, True):
        data = encoded(scene(400, 640), "JPEG", progressive=progressive)
        assert picture_of(data, needs).size == (640 // times, 400 // times)
    # As a camera stores it that was held upright: what must be kept is meant as people see it.
    turned = encoded(stored_as(scene(400, 640), 6), "JPEG", exif=orientation_exif(6), subsampling=0)
    assert picture_of(turned, needs).size == (640 // times, 400 // times)
    assert asked == [(400, 640)] * 3
    grey = encoded(Image.fromarray(scene(400, 640)).convert("L"), "JPEG")
    assert picture_of(grey, needs).size == (640 // times, 400 // times)


@pytest.mark.parametrize(("format", "mode"), [("PNG", "RGB"), ("JPEG", "CMYK"), ("WEBP", "RGB")])
def test_others_are_decoded_whole(format: str, mode: str) -> None:
    data = encoded(Image.fromarray(scene(400, 640)).convert(mode), format)
    assert picture_of(data, lambda _: (1, 1)).size == (640, 400)
    spec = InputSpec(size=(16, 16))
    found = prepare(read_for_network(data, least=lambda _: (1, 1)), spec)
    assert torch.equal(found.tensor, prepare(read_photo(data), spec).tensor)


def ramps(height: int, width: int) -> Any:
    """Red rises to the right, green downwards, each by the place of a pixel's centre."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    rising = np.stack([255 * x / width, 255 * y / height, 0 * x + 128], axis=2)
    return rising.round().astype(np.uint8)


@pytest.mark.parametrize("size", [(321, 321), (321, 430), (327, 322), (499, 325), (320, 328)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_smaller_picture_lies_where_the_photo_lies(
    size: tuple[int, int], orientation: int
) -> None:
    """Sides that 8 does not divide: the last column is of one pixel, wherever turning takes it."""
    stored = Image.fromarray(stored_as(ramps(*size), orientation))
    exif = orientation_exif(orientation)
    data = encoded(stored, "JPEG", quality=100, subsampling=0, exif=exif)
    spec = InputSpec(size=(8, 8), crop_pct=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    photo = read_for_network(data, least=lambda one: (40, 40))
    exact = read_photo(data)
    assert photo.buffered is not None
    assert sorted(photo.buffered.image.size) == sorted(-(-side // 8) for side in size)
    assert photo.size == exact.size == size
    assert (photo.sha256, photo.notes) == (exact.sha256, exact.notes)
    for view in ("crop", "whole"):
        made = prepare(photo, spec, view)
        assert made.geometry == prepare(exact, spec, view).geometry
        levels = made.tensor[0].numpy() * 255
        y, x = np.mgrid[0 : levels.shape[1], 0 : levels.shape[2]] + 0.5
        top, left = made.geometry.to_photo(y, x)  # type: ignore[arg-type]
        # Near the photo's edges filters have less to average. A column too many moves 3 levels.
        height, width = size
        inside = (top > 0.26 * height) & (top < 0.74 * height)
        inside &= (left > 0.26 * width) & (left < 0.74 * width)
        assert inside.sum() >= 9
        assert np.abs(levels[0] - 255 * left / width)[inside].max() < 1.2
        assert np.abs(levels[1] - 255 * top / height)[inside].max() < 1.2


def test_a_smaller_picture_is_nearly_the_same() -> None:
    rng = np.random.default_rng(0)
    fine = scene(700, 900).astype(int) + rng.integers(-20, 21, (700, 900, 1))
    data = encoded(fine.clip(0, 255).astype(np.uint8), "JPEG", quality=95)
    spec = InputSpec(size=(64, 64), mean=(0.0,) * 3, std=(1.0,) * 3)
    assert resized_size((700, 900), spec, "crop") == (73, 93)
    photo = read_for_network(data, least=lambda _: (5 * 70, 5 * 70))
    assert photo.buffered is not None
    assert photo.buffered.image.size == (450, 350)
    apart = prepare(photo, spec).tensor - prepare(read_photo(data), spec).tensor
    assert 0 < apart.abs().max() < 3 / 255


def test_limits_hold_as_ever() -> None:
    def tiny(_: tuple[int, int]) -> tuple[int, int]:
        return 1, 1

    whole = encoded(scene(400, 640), "JPEG", progressive=True)
    says: dict[bytes, str] = {
        whole[: len(whole) // 2]: "damaged or incomplete",
        whole + b"\xff\xda" * 200: "more than 100 scans",
        b"": "empty",
        b"no photo": "not a picture",
    }
    # A header that promises more pixels than are allowed, of which an eighth would be few.
    place = whole.index(b"\xff\xc2") + 5
    says[whole[:place] + b"\x80\x00\x80\x00" + whole[place + 4 :]] = "megapixels"
    for data, words in says.items():
        with pytest.raises(ImageError, match=words) as exact:
            read_photo(data, name="a.jpg")
        with pytest.raises(ImageError) as found:
            read_for_network(data, name="a.jpg", least=tiny)
        assert str(found.value) == str(exact.value)


def test_files_of_disk_and_volumes(tmp_path: Any) -> None:
    path = tmp_path / "volume.npy"
    np.save(path, np.arange(5 * 40 * 50, dtype=np.uint16).reshape(5, 40, 50)[2])
    one, other = read_photo(path), read_for_network(path)
    assert other.buffered is None
    assert np.array_equal(one.pixels, other.pixels)
    buffer = io.BytesIO(FILES["jpeg"]).getvalue()
    (tmp_path / "a.jpg").write_bytes(buffer)
    assert read_for_network(tmp_path / "a.jpg").name == "a.jpg"
