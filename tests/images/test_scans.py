"""Scans as other programs write them: frames, packed volumes, colours, and what cannot be read."""

from __future__ import annotations

import gzip
import io
import zlib

import numpy as np
import pytest

from cbam_viz import ImageError, read_photo
from cbam_viz.images import read_photo_apart
from tests.images.test_raw_values import RAW, dicom, fed

SCANS = np.stack([RAW, RAW + 100, RAW + 200])


def group(**sequences: dict[str, object]) -> object:
    """A functional group of an enhanced DICOM file."""
    Dataset = pytest.importorskip("pydicom", reason="needs pydicom").dataset.Dataset
    found = Dataset()
    for name, entries in sequences.items():
        item = Dataset()
        for entry, value in entries.items():
            setattr(item, entry, value)
        setattr(found, name, [item])
    return found


def test_frames_of_enhanced_dicom_are_rescaled_and_windowed_as_each_says() -> None:
    shared = group(
        PixelValueTransformationSequence={"RescaleSlope": 2, "RescaleIntercept": -1000},
        FrameVOILUTSequence={"WindowCenter": 1000.5, "WindowWidth": 2001},
    )
    data = dicom(SCANS, SharedFunctionalGroupsSequence=[shared])
    assert fed(data, index=0)[0, 0, 0].item() == pytest.approx((2 * 900 - 1000) / 2000)
    each = [
        group(
            PixelValueTransformationSequence={"RescaleSlope": n, "RescaleIntercept": 0},
            FrameVOILUTSequence={"WindowCenter": 2000.5, "WindowWidth": 4001},
        )
        for n in (1, 2, 3)
    ]
    data = dicom(
        SCANS,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=each,
        WindowCenter=1,
        WindowWidth=2,
    )
    found = [fed(data, index=n)[0, 0, 0].item() for n in range(3)]
    assert found == pytest.approx([900 / 4000, 2 * 1000 / 4000, 3 * 1100 / 4000])


def test_floats_of_dicom_have_no_white_by_their_bits() -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
    file = pydicom.dcmread(io.BytesIO(dicom(RAW, BitsAllocated=32, BitsStored=32, HighBit=31)))
    del file.PixelData
    file.FloatPixelData = RAW.astype("<f4").tobytes()
    buffer = io.BytesIO()
    file.save_as(buffer)
    with pytest.raises(ImageError, match="nothing says which one is white"):
        read_photo(buffer.getvalue())
    assert fed(buffer.getvalue(), window=(900, 915))[0, 3, 3].item() == pytest.approx(1)


def test_a_dicom_palette_is_looked_up() -> None:
    numbers = np.arange(256, dtype=np.uint16) * 257
    tables = {
        f"{name}PaletteColorLookupTable{what}": value
        for name, factor in (("Red", 1), ("Green", 0), ("Blue", 2))
        for what, value in (
            ("Descriptor", [256, 0, 16]),
            ("Data", (numbers // max(factor, 1) * bool(factor)).astype("<u2").tobytes()),
        )
    }
    data = dicom(RAW % 256, PhotometricInterpretation="PALETTE COLOR", **tables)
    photo = read_photo(data)
    assert photo.values is not None
    first = numbers[900 % 256]
    assert photo.values[0, 0].tolist() == [first, 0, first // 2]
    assert photo.pixels[0, 0].tolist() == [900 % 256, 0, round((first // 2) / 257)]


def test_dicom_that_is_deflated_or_lacks_its_preamble() -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
    file = pydicom.dcmread(io.BytesIO(dicom(RAW)))
    file.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    file.save_as(buffer)
    assert fed(buffer.getvalue())[0, 0, 0].item() == pytest.approx(900 / 4095)
    assert fed(dicom(RAW)[132:])[0, 0, 0].item() == pytest.approx(900 / 4095)


@pytest.mark.parametrize(
    ("syntax", "says"),
    [
        ("1.2.840.10008.1.2.4.102", "cannot be decoded .MPEG-4"),
        ("1.2.3.4", "cannot be decoded .1.2.3.4.. Save"),
    ],
)
def test_dicom_in_a_compression_that_nobody_decodes(syntax: str, says: str) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
    file = pydicom.dcmread(io.BytesIO(dicom(RAW)))
    file.file_meta.TransferSyntaxUID = syntax
    file.PixelData = pydicom.encaps.encapsulate([b"\0" * 30])
    file["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, file, implicit_vr=False, little_endian=True, enforce_file_format=False)
    with pytest.raises(ImageError, match=says):
        read_photo(buffer.getvalue())


def nifti(values: np.ndarray, **entries: object) -> bytes:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    image = nibabel.Nifti1Image(values, np.eye(4))
    for name, value in entries.items():
        image.header[name] = value
    content: bytes = image.to_bytes()
    return content


VOLUME = np.moveaxis(SCANS, 0, 2).astype(np.int16)


def test_more_is_never_unpacked_than_the_slice_that_is_meant() -> None:
    whole = nifti(VOLUME, cal_min=900, cal_max=1100)
    packer = zlib.compressobj(1, wbits=31)
    zeros = bytes(1 << 24)
    bomb = packer.compress(whole) + b"".join(packer.compress(zeros) for _ in range(16))
    cut = gzip.compress(whole)[:-9]
    members = gzip.compress(whole[:300]) + gzip.compress(whole[300:])
    for data in (bomb + packer.flush(), bomb, cut, members):
        assert fed(data)[0, 0, 0].item() == pytest.approx(0.5)


def test_several_volumes_scaling_and_colours() -> None:
    four = np.stack([VOLUME, VOLUME * 0], 3)
    photo = read_photo(nifti(four, cal_min=900, cal_max=1100), index=2)
    assert photo.notes[0].endswith("of the first of 2 volumes.")
    assert photo.values is not None
    assert photo.values[0, 0, 0] == 1100
    scaled = bytearray(nifti(VOLUME))
    scaled[112:120] = np.array([2, 5], "<f4").tobytes()
    assert fed(bytes(scaled), index=0, window=(0, 3000))[0, 0, 0].item() == pytest.approx(
        1805 / 3000
    )
    colours = np.zeros((4, 4, 1), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"], colours["B"] = 200, 50
    assert read_photo(nifti(colours)).pixels[1, 2].tolist() == [200, 0, 50]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: b[:400], "is cut off: its header tells of a slice that ends at byte 416"),
        (lambda b: b[:344] + b"ni1\0" + b[348:], "numbers lie in a file beside it"),
        (lambda b: b[:70] + b"\x0f\x27" + b[72:], "a type that is not read .NIfTI's code 9999"),
        (lambda b: b[:42] + b"\xfc\xff" + b[44:], r"no volume of slices: its shape is \(-4, 4, 3"),
        (lambda b: b[:108] + b"\0\0\xa0\xc0" + b[112:], "numbers would begin before it"),
    ],
)
def test_volumes_that_are_damaged(change, says: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageError, match=says):
        read_photo(change(nifti(VOLUME)), name="v.nii", window=(0, 1))
    assert capfd.readouterr().err == ""


def test_complex_volumes() -> None:
    with pytest.raises(ImageError, match=r"complex numbers.*magnitude"):
        read_photo(nifti(VOLUME.astype(np.complex64)), name="v.nii")


def header(text: str, body: bytes = b"", version: bytes = b"\2\0") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(4, "little") + text.encode() + body


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-2, -5)}", bytes(80)), "shape"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (True, 1)}", bytes(8)), "shape"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (9, 9)}", bytes(80)), "81 num"),
        (header("__import__('os').getcwd()"), "header is damaged"),
        (header("{'descr':" + "-" * 9000 + "1}"), "header is damaged"),
        (header(" " * 100_000), "header is damaged"),
    ],
)
def test_headers_of_arrays_that_lie(data: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=says) as caught:
        read_photo(data, name="a.npy")
    assert "allow_pickle" not in str(caught.value)


def test_an_archive_of_arrays_says_what_to_save() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, picture=RAW)
    with pytest.raises(ImageError, match=r"an archive of NumPy arrays .*numpy\.save\("):
        read_photo(buffer.getvalue(), name="a.npz")


def test_a_stated_window_reaches_the_other_process() -> None:
    data = nifti(VOLUME)
    with pytest.raises(ImageError, match="“Window of scans” under “Input”"):
        read_photo_apart(data, name="v.nii")
    here, there = (one(data, window=(900, 1100)) for one in (read_photo, read_photo_apart))
    assert here.window == there.window == (900, 1100)
    np.testing.assert_array_equal(here.pixels, there.pixels)
    assert here.levels == there.levels
