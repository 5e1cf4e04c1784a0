"""Whatever is wrong with a file becomes one ImageError that says so; nothing global changes."""

from __future__ import annotations

import os
import random
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, features

from cbam_viz import ImageError
from cbam_viz.images import read_photo
from tests.images.helpers import (
    bmp_claiming,
    encoded,
    gif_claiming,
    orientation_exif,
    png_chunk,
    png_claiming,
    scene,
)

# Pillow warns of damaged tags before it fails, or not, because of them.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"] + ["AVIF"] * features.check("avif")


@pytest.fixture(autouse=True)
def _pillow_stays_as_it_was() -> object:
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    yield
    after = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    assert after == before


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_truncated_files(format: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(noise, format)
    with pytest.raises(ImageError, match=r"^cut\.x is damaged or incomplete: its \w+ content"):
        read_photo(data[: int(len(data) * kept)], name="cut.x")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", r"^a\.jpg is empty \(0 bytes\)"),
        (b"%PDF-1.7 ...", "begins like a PDF"),
        (b"<!DOCTYPE html><html>", "begins like a web page"),
        (b"<?xml version='1.0'?><svg></svg>", "an SVG drawing"),
        (b"name,value\n1,2\n", "begins like text"),
        ("Größe\n".encode() * 300, "begins like text"),
        (b"PK\x03\x04" + b"\0" * 40, "a ZIP archive"),
        (b"RIFF\0\0\0\0AVI LIST", "sound or video"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "begins like a video"),
        (b"8BPS\0\x01", "a Photoshop document"),
        (b"\xff\xd8\xff\xe0", "is damaged or incomplete: its JPEG content"),
        (b"\x00\x01\x02\x03" * 50, "is not a picture that can be read. Use JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        read_photo(data, name="a.jpg")


@pytest.mark.parametrize("format", ["PPM", "TGA", "SGI", "ICO", "PCX", "EPS"])
def test_formats_off_the_list_are_never_decoded(format: str) -> None:
    with pytest.raises(ImageError, match="is not a picture that can be read"):
        read_photo(encoded(scene(), format))


@pytest.mark.parametrize(
    "data",
    [
        png_claiming(100_000, 100_000),
        png_claiming(2**31 - 1, 2**31 - 1),
        gif_claiming(65_535, 65_535),
        bmp_claiming(100_000, 100_000),
    ],
    ids=["png", "png of the largest size", "gif frame", "bmp"],
)
def test_bombs_are_refused_before_decoding(data: bytes) -> None:
    start = time.perf_counter()
    with pytest.raises(
        ImageError, match=r"pixels; the limit is 64 megapixels\. Make the picture smaller"
    ):
        read_photo(data)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("format", FORMATS)
def test_the_limit_is_in_megapixels_and_exact(format: str) -> None:
    data = encoded(np.zeros((100, 200, 3), np.uint8), format)
    assert read_photo(data, max_megapixels=0.02).size == (100, 200)
    with pytest.raises(ImageError, match=r"^The file has 0\.0 megapixels; the limit is 0\.0199"):
        read_photo(data, max_megapixels=0.0199)
    for source in (np.zeros((100, 200), np.uint8), Image.new("L", (200, 100))):
        with pytest.raises(ImageError, match="megapixels"):
            read_photo(source, max_megapixels=0.0199)


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"zTXt", b"key\0\0" + zlib.compress(b"\0" * 2**26)),
        png_chunk(b"iCCP", b"key\0\0" + zlib.compress(b"\0" * 2**26)),
        b"".join(
            png_chunk(b"iTXt", b"key\0\1\0\0\0" + zlib.compress(b"a" * 900_000)) for _ in range(90)
        ),
    ],
    ids=["text", "profile", "many texts"],
)
def test_png_text_bombs(chunk: bytes) -> None:
    with pytest.raises(ImageError, match="text or a colour profile beside its picture that takes"):
        read_photo(png_claiming(10, 10, chunk))
    whole = encoded(scene(), "PNG")
    behind = whole[:-12] + chunk + whole[-12:]
    if not chunk[4:].startswith(b"iCCP"):  # which nobody reads there
        assert "What stands behind its picture takes too much memory" in read_photo(behind).notes[0]


def test_a_jpeg_of_a_thousand_scans() -> None:
    data = encoded(scene(), "JPEG", progressive=True)
    start = data.index(b"\xff\xda")
    end = data.index(b"\xff\xda", start + 2)
    bomb = data[:start] + data[start:end] * 1000 + data[start:]
    with pytest.raises(ImageError, match="more than 100 scans"):
        read_photo(bomb)
    assert read_photo(data).size == (48, 64)


def test_oversize_files(tmp_path: Path) -> None:
    data = encoded(scene(), "BMP")
    path = tmp_path / "big.bmp"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(ImageError, match=r"MB; the limit is .* as a JPEG"):
            read_photo(source, max_bytes=len(data) - 1)
        assert read_photo(source, max_bytes=len(data)).size == (48, 64)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    cases: list[tuple[Path | str, str]] = [
        (tmp_path / "missing.png", r"^There is no file missing\.png"),
        (tmp_path, "is a folder"),
        ("", "is a folder|no file"),
        ("with\0null.png", "cannot be opened"),
        ("https://example.org/cat.png", "Web addresses are not fetched"),
    ]
    for source, says in cases:
        with pytest.raises(ImageError, match=says):
            read_photo(source)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="Windows has no devices as files")
def test_devices_and_pipes_do_not_hang(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path in (Path("/dev/zero"), pipe):
        with pytest.raises(ImageError, match="not a regular file"):
            read_photo(path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, np.uint8),
        np.zeros((2, 2, 2000), np.uint8),
        np.zeros((3, 20, 20), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((4, 4), np.complex64),
        np.array([["a"]]),
        np.array([[object()]]),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="is no picture"):
        read_photo(array)


def test_other_objects() -> None:
    for source in (None, 3, ["a.png"], object()):
        with pytest.raises(ImageError, match="is no picture"):
            read_photo(source)  # type: ignore[arg-type]


def test_a_closed_pillow_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(scene(), "PNG"))
    with Image.open(path) as image:
        pass
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_photo(image)


def _seeds() -> list[bytes]:
    small = scene(12, 17)
    second = Image.fromarray(small[::-1].copy())
    palette = Image.fromarray(small).convert("P")
    return [
        *(
            encoded(small, format, exif=orientation_exif(6))
            for format in FORMATS
            if format != "GIF"
        ),
        encoded(palette, "GIF", save_all=True, append_images=[second]),
        encoded(palette, "PNG", transparency=0),
        encoded(Image.fromarray(small).convert("CMYK"), "TIFF", compression="tiff_deflate"),
        encoded(Image.fromarray(small).convert("1"), "TIFF", compression="group4"),
        encoded(small, "TIFF", compression="jpeg"),
        encoded(small, "JPEG", progressive=True),
        encoded(small, "MPO", save_all=True, append_images=[second]),
        encoded(small, "WEBP", save_all=True, append_images=[second]),
        encoded(np.full((9, 9), 40_000, np.uint16), "PNG"),
    ]


SEEDS = _seeds()


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(range(len(SEEDS))), st.integers(0, 2**32 - 1))
def test_damaged_files_give_a_photo_or_an_image_error(seed: int, damage: int) -> None:
    dice = random.Random(damage)
    data = bytearray(SEEDS[seed])
    reach = len(data) if dice.random() < 0.5 else min(len(data), 120)
    for _ in range(dice.choice([1, 2, 4, 16])):
        data[dice.randrange(reach)] = dice.choice([0, 1, 127, 128, 255, dice.randrange(256)])
    if dice.random() < 0.2:
        del data[dice.randrange(len(data)) :]
    try:
        photo = read_photo(bytes(data))
    except ImageError as error:
        assert str(error).endswith(".")  # noqa: PT017
    else:
        assert photo.pixels.dtype == np.uint8
        assert photo.pixels.shape == (*photo.size, 3)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_photo(data)
