"""What a picture may cost: refused by its header, or kept within the limit; and read apart."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, features

from cbam_viz import ImageError, read_photo
from cbam_viz.images import read_photo_apart
from cbam_viz.images.memory import check_memory
from tests.images.helpers import encoded, orientation_exif, png_claiming, scene

PEAK = """
import re, sys
from cbam_viz.errors import ImageError
from cbam_viz.images import read_photo
def peak():  # of this process alone; getrusage tells that of its parent, if that is more
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
data = sys.stdin.buffer.read()
from PIL import ImageCms  # what is imported is no part of a picture
before = peak()
try:
    read_photo(data)
except ImageError as error:
    print(error)
print(peak() - before)
"""


def huge(kind: str) -> bytes:
    """A small file of 63 megapixels, nearly the most that is read at all."""
    picture = Image.new("RGB", (7_900, 7_900), (200, 100, 50))
    exif = orientation_exif(6)
    if kind == "half transparent":
        picture.putalpha(128)
        return encoded(picture, "PNG", compress_level=1)
    if kind == "turned and transparent":
        picture.putalpha(128)
        return encoded(picture, "PNG", compress_level=1, exif=exif)
    if kind == "turned JPEG":
        return encoded(picture, "JPEG", exif=exif)
    if kind == "floats":
        values = np.zeros((7_900, 7_900), np.float32)
        return encoded(Image.fromarray(values), "TIFF", compression="tiff_deflate")
    if kind == "sixteen bits":
        return encoded(Image.fromarray(np.zeros((7_900, 7_900), np.uint16)), "PNG")
    if kind == "CMYK":
        return encoded(picture.convert("CMYK"), "JPEG")
    assert kind == "WebP"
    return encoded(picture, "WEBP", lossless=True, method=0)


def _swapped_profile() -> bytes:
    """sRGB with the colours of red and blue exchanged: unlike sRGB for sure."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = (profile.index(tag) for tag in (b"rXYZ", b"bXYZ"))
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it in /proc")


def peak_of(data: bytes) -> tuple[list[str], int]:
    """What is said of a picture in a process of its own, and the bytes it took at most."""
    done = subprocess.run([sys.executable, "-c", PEAK], input=data, capture_output=True, check=True)
    *said, peak = done.stdout.decode().splitlines()
    return said, int(peak)


def noisy(format: str, **options: object) -> bytes:
    """2000 x 2000 pixels that do not compress well: decoders need most for these."""
    draw = np.random.default_rng(0)
    channels = 4 if options.pop("transparent", False) else 3
    cells = draw.integers(0, 256, (200, 200, channels), dtype=np.uint8)
    picture = Image.fromarray(cells).resize((2_000, 2_000), Image.Resampling.BILINEAR)
    return encoded(picture, format, **options)


TURNED = {"exif": orientation_exif(6), "icc_profile": _swapped_profile()}
LOSSLESS = {"lossless": True, "method": 0}
NOISY = {
    "WebP": ("WEBP", {"method": 0}),
    "WebP, lossless": ("WEBP", LOSSLESS),
    "WebP, lossless and transparent": ("WEBP", {"transparent": True, **LOSSLESS}),
    "WebP, turned and with a profile": ("WEBP", {**TURNED, **LOSSLESS}),
    "JPEG, progressive": ("JPEG", {"progressive": True, "subsampling": 0, "quality": 95}),
    "JPEG, turned and with a profile": ("JPEG", {**TURNED}),
    "PNG, transparent, turned and with a profile": (
        "PNG", {"transparent": True, "compress_level": 1, **TURNED},
    ),
} | ({"AVIF": ("AVIF", {"speed": 10})} if features.check("avif") else {})  # fmt: skip


@LINUX
@pytest.mark.parametrize("kind", NOISY)
def test_the_estimate_is_not_below_what_a_picture_takes(kind: str) -> None:
    format, options = NOISY[kind]
    data = noisy(format, **options)
    with pytest.MonkeyPatch.context() as patch, Image.open(io.BytesIO(data)) as image:
        patch.setattr("cbam_viz.images.memory.MAX_MEMORY", 0)
        with pytest.raises(ImageError, match="GB to decode") as raised:
            check_memory(image, "it", turned="exif" in options)
    estimate = float(str(raised.value).partition("would take ")[2].partition(" GB")[0]) * 1e9
    said, peak = peak_of(data)
    assert not said
    assert 16e6 < peak < estimate + 8e6  # the estimate is told to 10 MB


@LINUX
@pytest.mark.parametrize(
    "kind",
    ["half transparent", "turned and transparent", "turned JPEG", "floats", "sixteen bits", "CMYK",
     "WebP"],
)  # fmt: skip
def test_no_picture_takes_more_than_a_gigabyte(kind: str) -> None:
    said, peak = peak_of(huge(kind))
    assert peak < 1e9
    if said:
        assert "which would take" in said[0]
        assert "the limit is 1 GB. Make it smaller, or save it as a JPEG." in said[0]
        assert peak < 1e8  # nothing was decoded


def test_tiles_larger_than_the_picture_are_counted() -> None:
    with pytest.raises(ImageError, match=r"which would take 17\.\d+ GB"):
        read_photo(tiled_tiff())


def tiled_tiff() -> bytes:
    """16 x 16 pixels in one tile of 65,536 x 65,536."""
    import struct

    tags = [
        (256, 4, 16), (257, 4, 16), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1),
        (322, 4, 65_536), (323, 4, 65_536), (324, 4, 8), (325, 4, 4),
    ]  # fmt: skip
    entries = b"".join(
        struct.pack("<HHI", tag, kind, 1)
        + (struct.pack("<I", value) if kind == 4 else struct.pack("<HH", value, 0))
        for tag, kind, value in tags
    )
    return (
        struct.pack("<2sHI", b"II", 42, 12)
        + b"\0" * 4
        + struct.pack("<H", len(tags))
        + entries
        + struct.pack("<I", 0)
    )


def test_apart_is_the_same_photo() -> None:
    for data in (
        encoded(scene(), "PNG"),
        encoded(scene(), "JPEG", exif=orientation_exif(6)),
        encoded(Image.fromarray(scene()).convert("CMYK"), "TIFF"),
        encoded(scene(), "PNG", icc_profile=_swapped_profile()),
    ):
        here, apart = read_photo(data, name="a.png"), read_photo_apart(data, name="a.png")
        assert apart == here
        assert (apart.notes, apart.format, apart.size) == (here.notes, here.format, here.size)
        np.testing.assert_array_equal(apart.pixels, here.pixels)
        np.testing.assert_array_equal(apart.shown, here.shown)
        assert not apart.pixels.flags.writeable


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", r"^a\.png is empty"),
        (b"%PDF-1.7", "begins like a PDF"),
        (png_claiming(100_000, 100_000), "the limit is 64 megapixels"),
        (encoded(scene(), "PNG")[:200], r"^a\.png is damaged or incomplete"),
    ],
)
def test_apart_says_the_same(data: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        read_photo_apart(data, name="a.png")


def test_apart_is_stopped_beyond_its_limits() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3_000, 3_000, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG", compress_level=1)
    with pytest.raises(ImageError, match=r"^a\.png was not read: it needs more than 20 MB of"):
        read_photo_apart(data.getvalue(), name="a.png", megabytes=20)
