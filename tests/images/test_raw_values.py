"""Scans: raw values reach the network through a window, as floats, whatever else the file holds."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from cbam_viz import ImageError, InputSpec, ModelError, prepare, read_photo
from cbam_viz.images import InputOptions, changed, read_photo_apart, seen_as
from tests.images.helpers import encoded, scene
from tests.images.test_depth import COLOURS, colours_file

AS_IS = InputSpec(size=(4, 4), mean=(0.0,), std=(1.0,), crop_pct=1.0, channels=1)
"""A network that takes 4 x 4 pixels of one channel, as they are."""


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def fed(source: object, spec: InputSpec = AS_IS, **options: object) -> torch.Tensor:
    return prepare(read_photo(source, **options), spec).tensor[0]  # type: ignore[arg-type]


RAW = np.arange(900, 916, dtype=np.uint16).reshape(4, 4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "npy"])
@pytest.mark.parametrize("hot", [915, 4_000, 65_535])
def test_a_value_is_the_same_whatever_else_the_file_holds(kind: str, hot: int) -> None:
    values = RAW.copy()
    values[3, 3] = hot
    data = npy(values) if kind == "npy" else encoded(Image.fromarray(values), kind)
    declared, stated = fed(data), fed(data, window=(800, 1000))
    assert declared[0, 0, 0].item() == pytest.approx(900 / 65_535, rel=1e-6)
    assert stated[0, 0, 0].item() == pytest.approx(0.5)
    assert stated[0, 1, 2].item() == pytest.approx(106 / 200)  # 906: not one of 256 levels
    assert stated[0, 3, 3].item() == pytest.approx(min(1.0, (hot - 800) / 200))


def test_the_networks_own_window_goes_first() -> None:
    spec = changed(AS_IS, InputOptions(window=(900, 915)))
    assert fed(RAW, spec, window=(0, 4095)).flatten().tolist() == pytest.approx(
        [n / 15 for n in range(16)]
    )
    assert torch.equal(fed(scene(), spec), fed(scene()))  # 8 bits have no other values


def test_values_from_0_to_255_and_holes() -> None:
    spec = InputSpec(size=(1, 3), mean=(0.0,), std=(1.0,), crop_pct=1.0, channels=1, range="0..255")
    assert fed(np.array([[0.0, np.nan, 0.25]]), spec).flatten().tolist() == [0, 0, 63.75]
    inverted = fed(np.array([[0, 128, 255]], np.uint8), spec).flatten().tolist()
    assert inverted == [0, 128, 255]


def test_a_grey_scan_for_three_channels_and_colours_for_one() -> None:
    three = InputSpec(size=(4, 4), mean=(0.0,), std=(1.0,), crop_pct=1.0)
    assert torch.equal(fed(RAW, three), fed(RAW).expand(3, 4, 4))
    colours = np.zeros((4, 4, 3), np.uint8)
    colours[..., 1] = 200
    assert fed(colours)[0, 0, 0].item() == pytest.approx(round(0.587 * 200) / 255)
    wide = np.zeros((4, 4, 3), np.uint16)
    wide[..., 1] = 60_000
    assert fed(wide)[0, 0, 0].item() == pytest.approx(0.587 * 60_000 / 65_535, rel=1e-5)


def test_all_sixteen_bits_of_colours_count() -> None:
    spec = InputSpec(size=(16, 16), mean=(0.0,), std=(1.0,), crop_pct=1.0)
    for kind in ("png", "tiff"):
        found = fed(colours_file(kind), spec).permute(1, 2, 0).numpy()
        np.testing.assert_allclose(found, COLOURS / 65_535, rtol=1e-6)


@pytest.mark.parametrize("channels", [2, 5, 12])
def test_pictures_of_other_counts_of_channels(channels: int) -> None:
    array = np.random.default_rng(0).random((6, 5, channels)).astype(np.float32)
    spec = InputSpec(size=(6, 5), crop_pct=1.0, channels=channels)
    assert (spec.mean, spec.std) == ((0.0,) * channels, (1.0,) * channels)
    photo = read_photo(npy(array), name="bands.npy")
    np.testing.assert_allclose(prepare(photo, spec).tensor[0].permute(1, 2, 0), array, rtol=1e-6)
    shown = array[..., :3] if channels > 3 else array[..., :1].repeat(3, 2)
    np.testing.assert_array_equal(photo.pixels, np.rint(shown * 255))
    assert f"It has {channels} channels" in " ".join(photo.notes)
    with pytest.raises(ImageError, match=rf"has {channels} channels, and the network takes 3"):
        prepare(photo, InputSpec())


def test_channels_that_come_first_are_not_taken_for_rows() -> None:
    with pytest.raises(ImageError, match=r"its channels seem to come first.*moveaxis"):
        read_photo(np.zeros((12, 64, 64), np.float32))


def test_bgr_and_a_letterbox() -> None:
    red = np.zeros((2, 4, 3), np.uint8)
    red[..., 0] = 255
    spec = InputSpec(
        size=(4, 4), mean=(1.0, 2.0, 3.0), std=(1.0,), crop_pct=1.0, range="0..255", bgr=True,
        crop_mode="letterbox", interpolation="nearest", fill=114,
    )  # fmt: skip
    made = prepare(read_photo(red), spec)
    assert made.tensor[0, :, 1, 0].tolist() == [-1, -2, 252]
    assert made.tensor[0, :, 0, 0].tolist() == [113, 112, 111]
    assert made.geometry.border == (114, 114, 114)
    assert made.geometry.seen == (0, 0, 2, 4)
    assert made.geometry.border_share == 0.5


def test_a_grey_network_sees_the_photo_in_grey() -> None:
    photo = seen_as(read_photo(scene()), AS_IS)
    grey = np.asarray(Image.fromarray(scene()).convert("L"))
    np.testing.assert_array_equal(photo.shown, grey[..., None].repeat(3, 2))
    assert seen_as(photo, InputSpec()) is photo


def test_an_upload_has_the_values_too() -> None:
    apart = read_photo_apart(encoded(Image.fromarray(RAW), "PNG"), name="scan.png")
    here = read_photo(encoded(Image.fromarray(RAW), "PNG"), name="scan.png")
    assert here.values is not None
    assert apart.values is not None
    np.testing.assert_array_equal(apart.values, here.values)
    assert apart.levels == here.levels == (0, 65_535)
    np.testing.assert_array_equal(apart.pixels, here.pixels)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_values_are_turned_as_the_picture_is(orientation: int) -> None:
    from cbam_viz.images.reading import _TURN

    values = np.arange(24).reshape(4, 6).astype(np.uint8)
    image = Image.fromarray(values)
    image.getexif()[0x0112] = orientation
    from PIL import ImageOps

    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(_TURN[orientation](values[..., None])[..., 0], expected)


def test_arrays_that_are_no_pictures_or_damaged() -> None:
    with pytest.raises(ImageError, match="array of type object"):
        read_photo(npy(np.array([[None, None]])), name="a.npy")
    with pytest.raises(ImageError, match="cannot be decoded as a NumPy array"):
        read_photo(npy(RAW)[:-3], name="a.npy")
    with pytest.raises(ImageError, match="cannot be decoded as a NumPy array"):
        read_photo(b"\x93NUMPY\x01\x00\xff", name="a.npy")


def dicom(values: np.ndarray, **entries: object) -> bytes:
    """An uncompressed DICOM file of one frame or several."""
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = Dataset()
    data.file_meta = meta
    data.Rows, data.Columns = values.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = int(values.dtype.kind == "i")
    if values.ndim == 3:
        data.NumberOfFrames = len(values)
    data.PixelData = values.tobytes()
    for name, value in entries.items():
        setattr(data, name, value)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


def test_dicom_is_rescaled_and_windowed_as_it_says() -> None:
    data = dicom(RAW, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=825.5, WindowWidth=51)
    assert fed(data).flatten().tolist() == pytest.approx([(2 * n) / 50 for n in range(16)])
    assert fed(data, window=(0, 1000))[0, 0, 0].item() == pytest.approx(0.8)
    photo = read_photo(data)
    assert photo.notes == (
        "Values from 800 to 850 are shown from black to white, as the file says.",
    )
    assert fed(dicom(RAW))[0, 0, 0].item() == pytest.approx(900 / 4095)  # twelve bits stored
    inverted = fed(dicom(RAW, PhotometricInterpretation="MONOCHROME1"))
    assert inverted[0, 0, 0].item() == pytest.approx(1 - 900 / 4095)
    with pytest.raises(ImageError, match="nothing says which one is white"):
        read_photo(dicom(RAW, RescaleIntercept=-1000))


def test_dicom_tables_are_applied_or_said_to_be_left_aside() -> None:
    Dataset = pytest.importorskip("pydicom", reason="needs pydicom").dataset.Dataset

    steps = np.tile(np.arange(4, dtype=np.uint16), (4, 1))
    table = Dataset()
    table.LUTDescriptor = [4, 0, 8]
    table.add_new(0x00283006, "US", [255, 51, 102, 0])
    data = dicom(steps, BitsStored=2, HighBit=1, ModalityLUTSequence=[table])
    assert fed(data)[0, 2].tolist() == pytest.approx([1, 0.2, 0.4, 0])
    contrast = read_photo(dicom(steps, BitsStored=2, HighBit=1, VOILUTSequence=[table]))
    assert contrast.notes[0] == "Its table of contrasts (VOI LUT) was left aside."
    curved = dicom(RAW, WindowCenter=825, WindowWidth=50, VOILUTFunction="SIGMOID")
    assert "Its window is curved (SIGMOID)" in read_photo(curved).notes[0]


def test_frames_of_a_dicom_file() -> None:
    data = dicom(np.stack([RAW, RAW + 100, RAW + 200]))
    assert fed(data)[0, 0, 0].item() == pytest.approx(1000 / 4095)
    last = read_photo(data, index=2)
    assert (last.index, last.notes[0]) == (2, "Frame 2 of 3 (from 0).")
    assert last != read_photo(data, index=1)
    with pytest.raises(ImageError, match="has no slice 3: there are 3"):
        read_photo(data, name="x.dcm", index=3)


@pytest.mark.parametrize("packed", [False, True])
def test_slices_of_nifti_volumes(packed: bool) -> None:
    import gzip

    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    volume = np.stack([RAW, RAW + 100, RAW + 200], 2).astype(np.int16)
    image = nibabel.Nifti1Image(volume, np.eye(4))
    data = image.to_bytes()
    data = gzip.compress(data) if packed else data
    with pytest.raises(ImageError, match="nothing says which one is white"):
        read_photo(data, name="v.nii")
    photo = read_photo(data, window=(1000, 1020))
    assert photo.index == 1
    assert photo.notes[0].startswith("Slice 1 of 3 along the third axis")
    found = prepare(photo, AS_IS).tensor.flatten().tolist()
    assert found == pytest.approx([n / 20 for n in range(16)])
    image.header["cal_min"], image.header["cal_max"] = 900, 915
    assert fed(image.to_bytes(), index=0)[0, 3, 3].item() == pytest.approx(1)


@pytest.mark.parametrize(("package", "kind"), [("pydicom", "DICOM"), ("nibabel", "NIfTI")])
def test_a_missing_package_is_named(
    package: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    head = bytearray(400)
    head[128:132] = b"DICM" if kind == "DICOM" else b"\0\0\0\0"
    head[344:348] = b"n+1\0" if kind == "NIfTI" else b"\0\0\0\0"
    with pytest.raises(ImageError, match=rf"a {kind} file, which needs the package {package}: pip"):
        read_photo(bytes(head), name="scan")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mean": (0.5,)}, "A mean alone is half"),
        ({"std": (0.5,)}, "A std alone is half"),
        ({"mean": (120.0,), "std": (60.0,)}, "the range is 0..255"),
        ({"mean": (0.5,), "std": (0.2,), "range": "0..255"}, "the range is 0..1"),
        ({"mean": (0.5, 0.4), "std": (1.0,)}, "2 values does not fit a network of 3 channels"),
        ({"mean": (), "std": (0.0,)}, "std must be positive"),
        ({"size": (0, 5)}, "size must be 1 to"),
        ({"window": (5.0, 5.0)}, "window must be two finite numbers"),
        ({"crop_pct": 90.0}, "crop_pct must be between"),
    ],
)
def test_inputs_that_cannot_be(options: dict[str, object], says: str) -> None:
    spec = InputSpec.from_pretrained_cfg({})  # nothing is stated
    with pytest.raises(ModelError, match=says):
        changed(spec, InputOptions(**options))  # type: ignore[arg-type]


def test_what_is_asked_counts_as_stated_and_the_rest_as_before() -> None:
    spec = InputSpec.from_pretrained_cfg({})
    assert changed(spec, InputOptions()) is spec
    sized = changed(spec, InputOptions(size=(64, 96)))
    assert sized.assumed == ("normalisation", "crop")
    assert sized.sentence(hint=True) == (
        "Input: 96 × 64 crop, ImageNet mean and std (size as asked; normalisation and crop "
        "assumed: the network does not say; change with --mean, --std)."
    )
    plain = changed(spec, InputOptions(mean=()))
    assert (plain.mean, plain.std, plain.assumed) == ((0.0,) * 3, (1.0,) * 3, ("size", "crop"))
    levels = changed(spec, InputOptions(range="0..255"))
    assert (levels.mean, levels.std) == ((0.0,) * 3, (1.0,) * 3)
    assert "values from 0 to 255" in levels.sentence()
    boxed = changed(spec, InputOptions(crop_mode="letterbox", fill=0))
    assert (boxed.crop_pct, boxed.fill, boxed.assumed) == (1.0, 0, ("size", "normalisation"))
    pair = changed(spec, InputOptions(channels=6, mean=(0.485, 0.456, 0.406), std=(0.2,)))
    assert pair.mean == (0.485, 0.456, 0.406) * 2
    grey = changed(spec, InputOptions(channels=1))
    assert (grey.mean, grey.std) == ((0.449,), (0.226,))
    assert changed(grey, InputOptions(channels=3)).mean == spec.mean


def test_a_description_goes_around() -> None:
    spec = InputSpec(
        size=(20, 30), mean=(1.0, 2.0), std=(3.0, 4.0), channels=2, range="0..255", bgr=True,
        crop_mode="letterbox", fill=0, window=(-160.0, 240.0), interpolation="box",
    )  # fmt: skip
    assert InputSpec.from_pretrained_cfg(spec.to_pretrained_cfg()) == spec
    assert InputSpec.from_pretrained_cfg({}).to_pretrained_cfg() == {}


def test_blue_first_takes_the_networks_own_values_along() -> None:
    """Blue's mean stays blue's, and is as little stated as before."""

    assumed = InputSpec.from_pretrained_cfg({})
    turned = changed(assumed, InputOptions(bgr=True))
    assert (turned.mean, turned.std) == (assumed.mean[::-1], assumed.std[::-1])
    assert "normalisation" in turned.assumed
    assert changed(turned, InputOptions(bgr=True)).mean == turned.mean
    given = changed(assumed, InputOptions(bgr=True, mean=(0.1, 0.2, 0.3), std=(1.0,)))
    assert given.mean == (0.1, 0.2, 0.3)
    assert "normalisation" not in given.assumed
    same = changed(assumed, InputOptions(range="0..1"))
    assert "normalisation" in same.assumed
    with pytest.raises(ModelError, match="What is asked of the input makes no sense: size"):
        changed(assumed, InputOptions(size=(0, 3)))
