"""People see a photo's colour profile; networks are given what timm gives them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from cbam_viz.images import prepare, read_photo
from cbam_viz.images.spec import InputSpec
from tests.images.helpers import encoded, orientation_exif, scene, stored_as


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def red_and_green_swapped() -> bytes:
    """sRGB whose table of contents names the red primary green, and the other way round."""
    profile = srgb()
    count = int.from_bytes(profile[128:132], "big")
    tags = bytearray(profile)
    for start in range(132, 132 + 12 * count, 12):
        name = bytes(tags[start : start + 4])
        swapped = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
        tags[start : start + 4] = swapped
    return bytes(tags)


def ink_that_only_black_darkens() -> bytes:
    """A CMYK profile of one table: paper white unless there is black ink."""
    white, black = bytes([255, 128, 128]), bytes([0, 128, 128])  # L*a*b* in 8 bits
    straight = bytes(range(256))
    identity = b"".join(struct.pack(">i", 65536 * (i % 4 == 0)) for i in range(9))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity
    table += 4 * straight + 8 * (white + black) + 3 * straight
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
    rest = struct.pack(">4sI4s4s4s", b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    date_and_magic = bytes(12) + b"acsp" + bytes(28)
    illuminant = struct.pack(">iii", 63190, 65536, 54061)
    body = tags + table
    header = struct.pack(">I", 128 + len(body)) + rest + date_and_magic + illuminant
    return header.ljust(128, b"\0") + body


def test_cmyk_is_shown_by_its_profile() -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    cyan.paste((0, 0, 0, 255), (0, 0, 8, 4))
    photo = read_photo(encoded(cyan, "TIFF", icc_profile=ink_that_only_black_darkens()))
    assert photo.pixels[6, 4].tolist() == [0, 255, 255]
    assert photo.shown[6, 4].tolist() == [255, 255, 255]
    assert photo.shown[1, 4].max() <= 5


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_a_profile_changes_what_is_shown_and_not_what_the_network_gets(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {"quality": 100}
    plain = read_photo(encoded(scene(), format, **options))
    photo = read_photo(encoded(scene(), format, icc_profile=red_and_green_swapped(), **options))
    np.testing.assert_array_equal(photo.pixels, plain.pixels)
    swapped = plain.pixels[:, :, [1, 0, 2]].astype(int)
    assert np.abs(photo.shown.astype(int) - swapped).max() <= 3
    assert "is shown with it" in photo.notes[-1]
    spec = InputSpec()
    assert prepare(photo, spec, "crop").tensor.equal(prepare(plain, spec, "crop").tensor)


def test_srgb_and_no_profile_cost_nothing_and_are_not_mentioned() -> None:
    for options in ({}, {"icc_profile": srgb()}):
        photo = read_photo(encoded(scene(), "PNG", **options))
        assert photo.in_srgb is None
        assert photo.shown is photo.pixels
        assert photo.notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_and_profile_go_together(orientation: int) -> None:
    stored = np.ascontiguousarray(stored_as(scene(), orientation))
    data = encoded(
        stored, "PNG", exif=orientation_exif(orientation), icc_profile=red_and_green_swapped()
    )
    photo = read_photo(data)
    swapped = scene()[:, :, [1, 0, 2]].astype(int)
    assert np.abs(photo.shown.astype(int) - swapped).max() <= 3
    assert not photo.shown.flags.writeable


def test_transparent_parts_stay_white() -> None:
    rgba = np.dstack([scene(), np.zeros((48, 64), np.uint8)])
    photo = read_photo(encoded(rgba, "PNG", icc_profile=red_and_green_swapped()))
    assert photo.shown.min() >= 252


@pytest.mark.parametrize(
    "profile", [b"", b"no profile", b"\0" * 4000, srgb()[:300], srgb()[:128] + b"\xff" * 600]
)
def test_a_profile_that_is_none_is_ignored(profile: bytes) -> None:
    photo = read_photo(encoded(scene(), "PNG", icc_profile=profile))
    np.testing.assert_array_equal(photo.shown, scene())


def test_a_profile_of_another_colour_space_is_ignored() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    photo = read_photo(encoded(scene(), "PNG", icc_profile=lab))
    assert photo.in_srgb is None
    grey = Image.new("L", (8, 8), 77)
    buffer = io.BytesIO()
    grey.save(buffer, "PNG", icc_profile=red_and_green_swapped())
    assert read_photo(buffer.getvalue()).size == (8, 8)
