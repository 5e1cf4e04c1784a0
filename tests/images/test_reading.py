"""Good pictures in every format and mode come out upright, opaque, RGB."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from cbam_viz.images import read_photo
from tests.images.helpers import Pixels, encoded, orientation_exif, scene, stored_as

LOSSLESS = [
    ("PNG", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_deflate"}),
    ("WEBP", {"lossless": True}),
]
LOSSY = ["JPEG", "WEBP", "MPO", "AVIF"]


def largest_difference(first: Pixels, second: Pixels) -> int:
    assert first.shape == second.shape
    return int(np.abs(first.astype(int) - second.astype(int)).max())


@pytest.mark.parametrize(("format", "options"), LOSSLESS)
def test_lossless_formats_give_the_very_pixels(format: str, options: dict[str, object]) -> None:
    photo = read_photo(encoded(scene(), format, **options))
    np.testing.assert_array_equal(photo.pixels, scene())
    assert photo.format == format
    assert photo.notes == ()


@pytest.mark.parametrize("format", LOSSY)
def test_lossy_formats_keep_colours_in_rgb_order(format: str) -> None:
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    photo = read_photo(encoded(scene(), format, quality=95))
    # Red grows to the right from 0 to 255 and blue stays below 101: a swap would be 150 off.
    assert largest_difference(photo.pixels, scene()) < 24
    assert photo.notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_exif_orientation_comes_out_upright(format: str, orientation: int) -> None:
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = encoded(
        stored_as(scene(), orientation), format, exif=orientation_exif(orientation), quality=95
    )
    photo = read_photo(data)
    assert photo.size == (48, 64)
    assert largest_difference(photo.pixels, scene()) < 24
    assert bool(photo.notes) == (orientation != 1)


@pytest.mark.parametrize("orientation", [3, 6])
def test_pillow_images_are_turned_and_left_alone(orientation: int) -> None:
    data = encoded(stored_as(scene(), orientation), "PNG", exif=orientation_exif(orientation))
    with Image.open(io.BytesIO(data)) as image:
        before = image.size
        photo = read_photo(image)
        assert image.size == before
    np.testing.assert_array_equal(photo.pixels, scene())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_damaged_exif_does_not_spoil_a_photo() -> None:
    photo = read_photo(encoded(scene(), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    np.testing.assert_array_equal(photo.pixels, scene())


def test_an_orientation_that_does_not_exist_is_ignored() -> None:
    photo = read_photo(encoded(scene(), "PNG", exif=orientation_exif(9)))
    np.testing.assert_array_equal(photo.pixels, scene())
    assert photo.notes == ()


def test_alpha_is_put_on_white() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = (255, 51, 0)  # opaque, one fifth, nothing
    photo = read_photo(encoded(rgba, "PNG"))
    # 0.2 * (200, 0, 0) + 0.8 * 255
    assert photo.pixels.tolist() == [[[200, 0, 0], [244, 204, 204], [255, 255, 255]]]
    assert photo.notes == ("Transparent parts are shown on white.",)


def test_opaque_alpha_changes_nothing_and_is_not_mentioned() -> None:
    rgba = np.dstack([scene(), np.full((48, 64), 255, np.uint8)])
    photo = read_photo(encoded(rgba, "PNG"))
    np.testing.assert_array_equal(photo.pixels, scene())
    assert photo.notes == ()


def test_grey_with_alpha() -> None:
    image = Image.fromarray(np.array([[[100, 0], [100, 255]]], np.uint8), "LA")
    assert read_photo(encoded(image, "PNG")).pixels.tolist() == [[[255] * 3, [100] * 3]]


def test_palette_with_a_transparent_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    photo = read_photo(encoded(image, "PNG", transparency=0))
    assert photo.pixels.tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_rgb_with_a_transparent_colour() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    photo = read_photo(encoded(image, "PNG", transparency=(1, 2, 3)))
    assert photo.pixels.tolist() == [[[255, 255, 255], [4, 5, 6]]]


def test_black_and_white_and_grey() -> None:
    bits = Image.fromarray(np.array([[True, False]]))
    assert read_photo(encoded(bits, "PNG")).pixels.tolist() == [[[255] * 3, [0] * 3]]
    grey = np.array([[7, 250]], np.uint8)
    assert read_photo(encoded(grey, "PNG")).pixels.tolist() == [[[7] * 3, [250] * 3]]


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
def test_cmyk_is_not_inverted(format: str) -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    photo = read_photo(encoded(cyan, format))
    assert largest_difference(photo.pixels, np.full((16, 16, 3), (0, 255, 255), np.uint8)) <= 3


def test_lab_tiff() -> None:
    lab = Image.new("LAB", (4, 4), (136, 208, 195))  # L* 53, a* 80, b* 67: sRGB red
    red = read_photo(encoded(lab, "TIFF")).pixels[0, 0]
    assert largest_difference(red, np.array([255, 0, 0], np.uint8)) < 12


def test_the_first_frame_is_taken() -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {} if format != "WEBP" else {"lossless": True}
        data = encoded(first, format, save_all=True, append_images=[second], **options)
        photo = read_photo(data)
        assert photo.pixels[0, 0].tolist() == [255, 0, 0], format
        assert photo.notes == ("Of several frames the first is shown.",), format


def test_phone_photos_of_several_pictures_say_nothing_about_frames() -> None:
    data = encoded(scene(), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    photo = read_photo(data)
    assert photo.size == (48, 64)
    assert photo.notes == ()


def test_a_wrong_extension_is_read_by_content_and_said() -> None:
    photo = read_photo(encoded(scene(), "PNG"), name="holiday.jpg")
    np.testing.assert_array_equal(photo.pixels, scene())
    assert photo.notes == ("It is named .jpg but its content is PNG, and was read so.",)
    assert read_photo(encoded(scene(), "MPO"), name="holiday.JPG").notes == ()


def test_source_kinds_agree(tmp_path: Path) -> None:
    data = encoded(scene(), "PNG")
    path = tmp_path / "a photo.png"
    path.write_bytes(data)
    photos = [read_photo(source) for source in (data, bytearray(data), path, str(path))]
    assert {photo.sha256 for photo in photos} == {hashlib.sha256(data).hexdigest()}
    for photo in [*photos, read_photo(scene()), read_photo(Image.fromarray(scene()))]:
        np.testing.assert_array_equal(photo.pixels, scene())
    assert photos[2].name == "a photo.png"
    assert photos[0].name == "photo"


def test_names_lose_folders_and_control_characters() -> None:
    data = encoded(scene(), "PNG")
    assert read_photo(data, name="../../etc/cat.png").name == "cat.png"
    assert read_photo(data, name="C:\\Users\\me\\cat.png").name == "cat.png"
    assert read_photo(data, name="c\x1b[31mat\n.png").name == "c[31mat.png"
    assert len(read_photo(data, name="x" * 5000 + ".png").name) < 100


def test_pixels_are_read_only_and_nobody_elses() -> None:
    array = scene()
    photo = read_photo(array)
    array[:] = 0
    np.testing.assert_array_equal(photo.pixels, scene())
    with pytest.raises(ValueError, match="read-only"):
        photo.pixels[0, 0, 0] = 1
    assert photo.pixels.flags.c_contiguous


def test_arrays_of_all_shapes() -> None:
    grey = scene()[..., 0]
    for array in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(read_photo(array).pixels[..., 1], grey)
    rgba = np.dstack([scene(), np.zeros((48, 64), np.uint8)])
    assert (read_photo(rgba).pixels == 255).all()
    assert read_photo(np.array([[True, False]])).pixels[0, :, 0].tolist() == [255, 0]
    np.testing.assert_array_equal(read_photo(scene() / 255).pixels, scene())


def test_equal_photos_are_equal_keys() -> None:
    data = encoded(scene(), "PNG")
    assert read_photo(data) == read_photo(data)
    assert len({read_photo(data), read_photo(data), read_photo(encoded(scene(), "BMP"))}) == 2
    assert read_photo(scene()).sha256 != read_photo(scene().astype(np.uint16)).sha256


def of_four_channels(stored: tuple[int, int, int, int], transform: int | None) -> bytes:
    """A JPEG whose channels hold these numbers, with Adobe's marker or, for None, without one."""
    inverted = tuple(255 - value for value in stored)  # as Pillow writes what it calls CMYK
    buffer = io.BytesIO()
    Image.new("CMYK", (16, 16), inverted).save(buffer, "JPEG", quality=100, subsampling=0)
    data = buffer.getvalue()
    at = data.index(b"\xff\xee")
    length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    assert data[at + 4 : at + 9] == b"Adobe"
    if transform is None:
        return data[:at] + data[at + length :]
    return data[: at + 15] + bytes([transform]) + data[at + 16 :]


@pytest.mark.parametrize("transform", [None, 0, 2])
@pytest.mark.parametrize("stored", [(255, 40, 200, 255), (200, 128, 128, 255), (90, 120, 160, 130)])
def test_four_channels_of_a_jpeg_are_shown_as_browsers_show_them(
    stored: tuple[int, int, int, int], transform: int | None
) -> None:
    """They hold paper white less ink, with Adobe's marker or without; YCCK holds that as YCbCr."""
    light = np.array(stored[:3], float)
    if transform == 2:
        y, cb, cr = stored[0], stored[1] - 128, stored[2] - 128
        turned = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
        light = 255 - np.clip(turned, 0, 255)
    photo = read_photo(of_four_channels(stored, transform), name="print.jpg")
    wanted = light * stored[3] / 255
    assert np.abs(photo.pixels.reshape(-1, 3) - wanted).max() <= 2.5
