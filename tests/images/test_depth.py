"""Values of more than 8 bits: one rule for all photos, whatever their own values are."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from cbam_viz import ImageError, read_photo
from tests.images.helpers import encoded, scene

LARGEST_VALUE = 281  # TIFF tag
PHOTOMETRIC = 262


def grey(values: list[float], dtype: type = np.uint16) -> Image.Image:
    return Image.fromarray(np.array([values], dtype))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 257, 32896, 65535], [0, 1, 128, 255]),
        ([0, 4095, 2048, 16], [0, 16, 8, 0]),  # 4095 / 257 = 15.93
        ([0, 1, 128, 255], [0, 0, 0, 1]),
    ],
)
def test_sixteen_bits_are_divided_by_their_range(
    format: str, values: list[int], expected: list[int]
) -> None:
    photo = read_photo(encoded(grey(values), format))
    assert photo.pixels[0, :, 0].tolist() == expected
    np.testing.assert_array_equal(photo.pixels[..., 0], photo.pixels[..., 2])
    assert photo.notes[0].startswith("Its values were brought to 8 bits: 65,535 is white.")


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_one_scene_is_one_picture_whatever_its_maximum(format: str) -> None:
    rng = np.random.default_rng(0)
    share = rng.random((32, 32))
    means = []
    for highest in (4_090, 4_100):
        values = np.rint(share / share.max() * highest).astype(np.uint16)
        means.append(read_photo(encoded(Image.fromarray(values), format)).pixels.mean())
        values[0, 0] = 65_535  # a hot pixel
        hot = read_photo(encoded(Image.fromarray(values), format)).pixels.astype(float)
        hot[0, 0] = 0
        means.append(hot.mean())
    assert max(means) - min(means) < 0.1


def test_a_tiff_that_states_its_largest_value_is_believed() -> None:
    data = encoded(grey([0, 4095, 2048]), "TIFF", tiffinfo={LARGEST_VALUE: 4095})
    photo = read_photo(data)
    assert photo.pixels[0, :, 0].tolist() == [0, 255, 128]
    assert photo.notes == ("Its values were brought to 8 bits: 4,095 is white.",)


def test_a_tiff_of_twelve_bits_says_so_itself() -> None:
    photo = read_photo(tiff_of_twelve_bits([0, 4095, 2048, 16]))
    assert photo.pixels[0, :, 0].tolist() == [0, 255, 128, 1]


def tiff_of_twelve_bits(values: list[int]) -> bytes:
    """A TIFF of one row, whose values are packed two into three bytes."""
    import struct

    pairs = zip(values[::2], values[1::2], strict=True)
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs)
    tags = [
        (256, 4, len(values)), (257, 4, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1),
        (273, 4, 8), (277, 3, 1), (278, 4, 1), (279, 4, len(packed)),
    ]  # fmt: skip
    entries = b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<I" if kind == 4 else "<HH", *(
            (value,) if kind == 4 else (value, 0)
        ))
        for tag, kind, value in tags
    )  # fmt: skip
    directory = 8 + len(packed)
    header = struct.pack("<2sHI", b"II", 42, directory)
    return header + packed + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


def test_a_tiff_whose_zero_is_white() -> None:
    image = grey([0, 65535, 13107])
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    data = bytearray(buffer.getvalue())
    entry = data.index((PHOTOMETRIC).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    data[entry + 8 : entry + 10] = b"\0\0"
    photo = read_photo(bytes(data))
    assert photo.pixels[0, :, 0].tolist() == [255, 0, 204]
    assert "0 is white in it, as the file says." in photo.notes


def test_a_window_goes_before_what_is_declared() -> None:
    photo = read_photo(encoded(grey([0, 1000, 3000, 60_000]), "PNG"), window=(1000, 3000))
    assert photo.pixels[0, :, 0].tolist() == [0, 0, 255, 255]
    assert photo.notes == ("Values from 1000 to 3000 are shown from black to white, as stated.",)


def test_a_window_leaves_photos_of_eight_bits_alone() -> None:
    photo = read_photo(encoded(scene(), "PNG"), window=(0, 4095))
    np.testing.assert_array_equal(photo.pixels, scene())


def test_a_dark_photo_is_told_how_to_be_brighter() -> None:
    (note,) = read_photo(encoded(grey([0, 900]), "PNG")).notes
    assert note.endswith("The brightest is 900, so it is dark; if that is not meant, state the "
                         "values that are black and white, as in --window 0,1023.")  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.2, 1.0], [0, 51, 255]),
        ([0.0, float("nan"), 1.0], [0, 0, 255]),
        ([0.25, float("inf"), 0.5], [64, 0, 128]),
        ([float("nan"), float("-inf")], [0, 0]),
    ],
)
def test_floats_from_0_to_1(values: list[float], expected: list[int]) -> None:
    for source in (encoded(grey(values, np.float32), "TIFF"), np.array([values])):
        assert read_photo(source).pixels[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    "values", [[0.0, 51.0, 255.0], [-1.0, 0.0, 1.0], [5000.0, 5000.0], [0.0, 1.02], [2.0, np.nan]]
)
def test_other_floats_need_a_window(values: list[float]) -> None:
    low, high = np.nanmin(values), np.nanmax(values)
    for source in (encoded(grey(values, np.float32), "TIFF"), np.array([values])):
        with pytest.raises(ImageError, match=r"nothing says which one is white.*--window 0,255"):
            read_photo(source, name="scan.tif")
        photo = read_photo(source, window=(low - 1, high + 1))
        expected = (np.array(values) - low + 1) / (high - low + 2) * 255
        np.testing.assert_array_equal(
            photo.pixels[0, :, 0], np.rint(np.where(np.isfinite(expected), expected, 0))
        )


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint32, np.int8])
def test_integers_of_no_agreed_range_need_a_window(dtype: type) -> None:
    values = np.array([[0, 60, 120]], dtype)
    with pytest.raises(ImageError, match="go from 0 to 120, and nothing says which one is white"):
        read_photo(values)
    assert read_photo(values, window=(0, 120)).pixels[0, :, 0].tolist() == [0, 128, 255]


def test_arrays_of_sixteen_bits_are_like_files() -> None:
    values = np.array([[0, 4095, 65535]], np.uint16)
    assert read_photo(values).pixels[0, :, 0].tolist() == [0, 16, 255]
    colour = np.repeat(values[..., None], 3, axis=2)
    assert read_photo(colour, window=(0, 4095)).pixels[0, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, 1e400)])
def test_windows_that_are_none(window: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="is none: give two numbers"):
        read_photo(scene(), window=window)


COLOURS = np.stack([np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)] * 3, 2)
COLOURS[..., 1] = COLOURS[::-1, :, 0]


def colours_file(format: str, *, alpha: bool = False) -> bytes:
    """A file of RGB values of 16 bits, which Pillow cannot write."""
    colours = COLOURS[..., ::-1]
    if alpha:
        colours = np.dstack([colours, np.full((16, 16), 65_535, np.uint16)])
    return bytes(cv2.imencode(f".{format}", colours)[1])


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_a_window_holds_for_colours_of_sixteen_bits(format: str, alpha: bool) -> None:
    photo = read_photo(colours_file(format, alpha=alpha), window=(0, 4095))
    assert np.array_equal(photo.pixels, np.rint(COLOURS / 4095 * 255))
    assert photo.notes == ("Values from 0 to 4095 are shown from black to white, as stated.",)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_colours_of_sixteen_bits_are_said_to_be_and_to_be_dark(format: str) -> None:
    photo = read_photo(colours_file(format))
    assert np.array_equal(photo.pixels, COLOURS // 256)
    assert "65,535 is white" in photo.notes[0]
    assert "at most 4,095" in photo.notes[0]
    assert "--window 0,4095" in photo.notes[0]


def tiff(values: np.ndarray, *, sample_format: int, photometric: int, planes: int = 1) -> bytes:
    """An uncompressed TIFF of one strip, or one for each plane (TIFF 6.0)."""
    height, width, channels = values.shape
    data = (values if planes == 1 else np.moveaxis(values, 2, 0)).tobytes()
    strips = 1 if planes == 1 else channels
    lengths = [len(data) // strips] * strips
    tags = [
        (256, [width]), (257, [height]), (258, [values.itemsize * 8] * channels), (259, [1]),
        (262, [photometric]), (273, [8 + sum(lengths[:i]) for i in range(strips)]),
        (277, [channels]), (278, [height]), (279, lengths), (284, [planes]),
        (339, [sample_format] * channels),
    ]  # fmt: skip
    beyond, entries, after = 8 + len(data) + 2 + 12 * len(tags) + 4, b"", b""
    for tag, numbers in tags:
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            packed, after = struct.pack("<I", beyond + len(after)), after + packed
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + packed
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return start + data + struct.pack("<H", len(tags)) + entries + bytes(4) + after


def test_signed_bytes_are_signed() -> None:
    values = np.array([[-128, -1], [0, 127]], np.int8)[..., None]
    file = tiff(values, sample_format=2, photometric=1)
    photo = read_photo(file, window=(-128, 127))
    assert photo.pixels[..., 0].tolist() == [[0, 127], [128, 255]]
    with pytest.raises(ImageError, match="from -128 to 127, and nothing says"):
        read_photo(file)


def test_separate_planes_of_sixteen_bits_are_refused() -> None:
    """Pillow takes their bytes for values: stripes, and without an error."""
    with pytest.raises(ImageError, match="in separate planes"):
        read_photo(tiff(COLOURS, sample_format=1, photometric=2, planes=2))
    assert read_photo(tiff(COLOURS, sample_format=1, photometric=2)).pixels.max() == 15


def test_values_that_no_decoder_takes_are_not_called_damage() -> None:
    values = np.zeros((2, 2, 1))
    with pytest.raises(ImageError, match="of a kind that no decoder here takes"):
        read_photo(tiff(values, sample_format=3, photometric=1))


def png_of(colour_type: int, rows: np.ndarray, chunks: bytes = b"") -> bytes:
    """A PNG of 16 bits by hand: Pillow writes none with transparency."""
    height, width = rows.shape[:2]

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    size = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", size) + chunks + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def transparent(*values: int) -> bytes:
    content = b"tRNS" + struct.pack(f">{len(values)}H", *values)
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))


def test_sixteen_bits_with_transparency_are_on_white_for_eyes_and_network_alike() -> None:
    grey, alpha = np.array([[1000, 30_001, 65_535]]), np.array([[65_535, 13_107, 0]])
    expected = [1000, round(30_001 * 0.2 + 65_535 * 0.8), 65_535]
    both = read_photo(png_of(4, np.stack([grey, alpha], -1)))
    assert both.values is not None
    assert both.values[0, :, 0].tolist() == expected
    assert both.pixels[0, :, 1].tolist() == pytest.approx([round(n / 257) for n in expected], abs=1)
    rgba = read_photo(png_of(6, np.stack([grey, grey, grey, alpha], -1)))
    assert rgba.values is not None
    assert rgba.values[0, :, 2].tolist() == expected
    for colours in (both, rgba):
        assert "Transparent parts are shown on white." in colours.notes
    dark = read_photo(png_of(4, np.stack([grey, alpha], -1)), window=(0, 2000))
    assert dark.pixels[0, :, 0].tolist() == [128, 255, 255]


def test_one_transparent_value_of_sixteen_bits() -> None:
    grey = np.array([[1000, 1001, 65_535]])
    photo = read_photo(png_of(0, grey, transparent(1000)))
    assert photo.values is not None
    assert photo.values[0, :, 0].tolist() == [65_535, 1001, 65_535]
    assert photo.pixels[0, :, 0].tolist() == [255, 4, 255]
    colours = read_photo(png_of(2, np.stack([grey] * 3, -1), transparent(1000, 1000, 1000)))
    assert colours.values is not None
    assert colours.values[0, :2, 1].tolist() == [65_535, 1001]


def test_pixels_of_sixteen_bits_are_no_channels_of_sixteen() -> None:
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x1F)
    head = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    content = head + masks + struct.pack("<HH", 0xF800, 0x07E0)
    photo = read_photo(b"BM" + struct.pack("<IHHI", 14 + len(content), 0, 0, 66) + content)
    assert (photo.pixels.tolist(), photo.notes) == ([[[255, 0, 0], [0, 255, 0]]], ())


@pytest.mark.parametrize(
    ("tag", "says"),
    [((254, 1), "begins with a reduced copy"), ((50706, b"\1\4\0\0"), "is a raw camera file")],
)
def test_a_preview_is_not_taken_for_the_photo(tag: tuple[int, object], says: str) -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[tag[0]] = tag[1]
    directory.tagtype[tag[0]] = 4 if isinstance(tag[1], int) else 1
    small = encoded(Image.new("RGB", (8, 6)), "TIFF", tiffinfo=directory)
    with pytest.raises(ImageError, match=says):
        read_photo(small, name="photo.dng")
