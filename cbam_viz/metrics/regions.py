"""Where the objects of a photo are: boxes and outlines as people store them.

Read are COCO JSON, Pascal VOC XML, YOLO text files (boxes and outlines) and masks as PNG; one file
of any kind, or a folder of them. Photos are found again by their file name without folder and
suffix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any
from xml.etree import ElementTree as ET  # expat limits what entities expand to

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from cbam_viz._text import shortened
from cbam_viz.errors import MetricError
from cbam_viz.metrics._checks import Mask
from cbam_viz.metrics.keypoints import keypoints_of, look_again
from cbam_viz.metrics.regions_by_photo import Regions

MAX_BYTES = 512 * 1024**2
"""Largest file that is read; COCO's own annotations have 450 MB."""
VOID = 255
"""In a mask with a palette: undecided, as Pascal VOC marks the rims of objects."""
NAMES = "classes.txt"
"""Beside YOLO's files: the names of their classes, in the order of their numbers."""
FARTHEST = 1.5
"""Shares of a photo's sides beyond this are no shares, but pixels."""
OUTLINES = (
    "Lines of more than a box in YOLO's files were read as outlines; if they are keypoints, put "
    "the data set's data.yaml with its kpt_shape beside or above them."
)
Points = npt.NDArray[np.float64]
"""(N, 2) of x and y."""


@dataclass(frozen=True, eq=False)
class Region:
    """One object on a photo: a box, an outline of one or more parts, or a mask."""

    label: str | None
    """Name of its class, or its number where the file gives no names."""
    outlines: tuple[Points, ...] = ()
    """Corners in pixels of a photo of `size`, or as shares of its sides if that is None."""
    mask: Mask | None = None
    """(H, W), where the object is stored as one."""
    size: tuple[int, int] | None = None
    """Height and width that the file says the photo has."""

    def on(self, size: tuple[int, int]) -> Mask:
        """Mark the object on a photo of height and width `size`; of a pixel, its centre counts.

        Raises:
            MetricError: the file says that the photo has another shape.
        """
        stated = self.size or (self.mask.shape if self.mask is not None else None)
        if stated is not None:
            _check_shape((stated[0], stated[1]), size)
        if self.mask is not None:
            if self.mask.shape == size:
                return self.mask
            scaled = cv2.resize(
                self.mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST
            )
            found: Mask = scaled.astype(bool)
            return found
        scale = np.array(size[::-1]) / (np.array(stated[::-1]) if stated else 1.0)
        found = np.zeros(size, bool)
        for outline in self.outlines:
            found |= _fill(outline * scale, size)
        return found


def box_mask(boxes: npt.ArrayLike, size: tuple[int, int]) -> Mask:
    """Mark the pixels of `size` whose centres lie in any box (x0, y0, x1, y1), in pixels."""
    y, x = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    mask = np.zeros(size, bool)
    for x0, y0, x1, y1 in np.asarray(boxes, float).reshape(-1, 4):
        mask |= np.outer((y >= y0) & (y < y1), (x >= x0) & (x < x1))
    return mask


def read_regions(path: str | Path) -> Regions:
    """The objects of each photo, by the photo's name without folder and suffix.

    Photos of one name in several folders keep their folders before it.

    `path`: a COCO JSON (`instances_*.json`), a Pascal VOC XML, a YOLO text file or a PNG mask, or a
    folder of such files, or of folders of them, named as the photos are. Coordinates of VOC count
    from 1, as its own do, and objects that it calls difficult are objects. Crowds of COCO are no
    objects, and are left out. Classes of YOLO are numbers, unless a `classes.txt` beside them has a
    name in each line; keypoints are told from outlines by `kpt_shape` in a data set's YAML beside
    or above them. `Regions.notes` says what was left out or assumed.

    Raises:
        MetricError: there is no such file, or it holds no objects in a known form.
    """
    path = Path(path)
    look_again()
    files = [path]
    if path.is_dir():
        files = _files(path.iterdir()) or _files(path.rglob("*"))
    found: dict[str, list[Region]] = {}
    notes: list[str] = []
    for file in files:
        folder = file.parent.relative_to(path).as_posix() + "/" if path.is_dir() else ""
        for name, regions in _read(file, notes):
            # A list of photos says itself in which folders they are.
            found.setdefault(f"{folder.removeprefix('./')}{name}", []).extend(regions)
    if not found:
        raise MetricError(
            f"{path} holds no objects. Give a COCO JSON, Pascal VOC XMLs, YOLO text files or PNG "
            "masks, or a folder of them."
        )
    return Regions.of({name: tuple(regions) for name, regions in found.items()}, notes)


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(one for one in paths if _reader(one) and one.name != NAMES)


Reader = Callable[[Path, list[str]], Iterator[tuple[str, list[Region]]]]
"""From a file to photos, by name, and their objects; adds sentences on what it assumed."""


def _reader(path: Path) -> Reader | None:
    return {".json": _coco, ".xml": _voc, ".txt": _yolo, ".png": _png}.get(path.suffix.lower())


def _read(path: Path, notes: list[str]) -> list[tuple[str, list[Region]]]:
    reader = _reader(path)
    if reader is None:
        raise MetricError(
            f"{path.name}: objects are read from .json (COCO), .xml (Pascal VOC), .txt (YOLO) and "
            ".png (masks)."
        )
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MetricError(f"{path.name} has more than {MAX_BYTES // 2**20} MB.")
        return list(reader(path, notes))
    except OSError as error:
        raise MetricError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, ET.ParseError, msgspec.DecodeError, cv2.error) as error:
        raise MetricError(
            f"{path.name} holds no objects in the form of its suffix: {shortened(str(error))}"
        ) from error


class _CocoImage(msgspec.Struct):
    id: int
    file_name: str
    height: int
    width: int


class _CocoObject(msgspec.Struct):
    image_id: int
    category_id: int = 0
    bbox: tuple[float, float, float, float] | None = None
    segmentation: Any = None
    iscrowd: int | bool = 0


class _CocoCategory(msgspec.Struct):
    id: int
    name: str


class _Coco(msgspec.Struct):
    images: list[_CocoImage]
    annotations: list[_CocoObject]
    categories: list[_CocoCategory] = []


def _coco(path: Path, notes: list[str]) -> Iterator[tuple[str, list[Region]]]:
    stored = msgspec.json.decode(path.read_bytes(), type=_Coco)
    names = {one.id: one.name for one in stored.categories}
    images = {one.id: one for one in stored.images}
    crowds = 0
    for found in stored.annotations:
        image = images.get(found.image_id)
        if image is None:
            raise ValueError(f"an object is on image {found.image_id}, which is not listed")
        if found.iscrowd:
            crowds += 1
            yield image.file_name, []
            continue
        size = (image.height, image.width)
        label = names.get(found.category_id, str(found.category_id))
        outlines: tuple[Points, ...] = ()
        mask = None
        if isinstance(found.segmentation, list) and found.segmentation:
            outlines = tuple(_points(part) for part in found.segmentation)
        elif isinstance(found.segmentation, dict):
            mask = _run_lengths(found.segmentation, size)
        elif found.bbox is not None:
            x, y, width, height = found.bbox
            outlines = (_box(x, y, x + width, y + height),)
        if outlines or mask is not None:
            yield image.file_name, [Region(label, outlines, mask, size)]
    if crowds:
        many = "1 crowd was" if crowds == 1 else f"{crowds:,} crowds were"
        notes.append(f"{path.name}: {many} left out, as a crowd is no single object.")


def _run_lengths(stored: dict[str, Any], size: tuple[int, int]) -> Mask:
    """COCO's runs of zeros and ones, down the columns: a list of numbers, or its text for them."""
    counts = stored.get("counts")
    if isinstance(counts, str):
        counts = _unpacked(counts)
    if not isinstance(counts, list) or tuple(stored.get("size", ())) != size:
        raise ValueError("run lengths do not belong to the photo's size")
    runs = np.asarray(counts, dtype=np.int64)
    if (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise ValueError("run lengths do not cover the photo")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask: Mask = values.reshape(size[::-1]).T
    return mask


def _unpacked(text: str) -> list[int]:
    """COCO's text for run lengths: 5 bits a letter, from the third run on as differences."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if shift > 60:
            raise ValueError("a run length is absurdly long")
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def _voc(path: Path, _notes: list[str]) -> Iterator[tuple[str, list[Region]]]:
    root = ET.parse(path).getroot()
    sides = [root.findtext(f"size/{side}") for side in ("height", "width")]
    size = (int(sides[0]), int(sides[1])) if sides[0] and sides[1] else None
    if size is None or min(size) < 1:
        raise ValueError("it does not say how large the photo is")
    regions = []
    for found in root.iter("object"):
        ends = [found.findtext(f"bndbox/{end}") for end in ("xmin", "ymin", "xmax", "ymax")]
        x0, y0, x1, y1 = (float(end or "nan") for end in ends)
        regions.append(Region(found.findtext("name"), (_box(x0 - 1, y0 - 1, x1, y1),), None, size))
    yield PureWindowsPath(root.findtext("filename") or path.name).name, regions


def _yolo(path: Path, notes: list[str]) -> Iterator[tuple[str, list[Region]]]:
    regions = []
    names = _names(path.with_name(NAMES))
    keypoints = keypoints_of(path)
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        values = [float(word) for word in words[1:]]
        # One value more is the score of a prediction.
        if len(values) in (4, 5, 4 + keypoints, 5 + keypoints):
            x, y, width, height = values[:4]
            outline = _box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        elif len(values) >= 6 and len(values) % 2 == 0:
            outline = _points(values)
            if not keypoints and OUTLINES not in notes:
                notes.append(OUTLINES)
        else:
            raise ValueError(
                f"line {number} is neither a box nor an outline, and no keypoints as the kpt_shape "
                "of a YAML beside it says"
            )
        if np.abs(outline).max() > FARTHEST:
            raise ValueError(f"line {number} is not in shares of the photo's sides, 0 to 1")
        regions.append(Region(names.get(words[0], words[0]), (outline,)))
    yield path.name, regions


def _names(path: Path) -> dict[str, str]:
    """Names by number; none where there is no such file."""
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return {}
    lines = path.read_text("utf-8").splitlines()
    return {str(number): name.strip() for number, name in enumerate(lines) if name.strip()}


def _png(path: Path, _notes: list[str]) -> Iterator[tuple[str, list[Region]]]:
    from PIL import Image

    with Image.open(path) as image:
        palette = image.mode == "P"
        bands = len(image.getbands())
        pixels = np.asarray(image).reshape(image.height, image.width, bands)
    mask: Mask = np.any(pixels > 0, axis=2)
    if palette:
        mask &= pixels[..., 0] != VOID
    if bands in (2, 4):  # the last is how far it can be seen
        colours, seen = pixels[..., :-1], pixels[..., -1] > 0
        plain = bool((colours == colours[:1, :1]).all())
        mask = seen if plain and not seen.all() else (colours > 0).any(2) & seen
    yield path.name, [Region(None, (), mask)] if mask.any() else []


def _box(x0: float, y0: float, x1: float, y1: float) -> Points:
    return _points([x0, y0, x1, y0, x1, y1, x0, y1])


def _points(values: Any) -> Points:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or found.size < 6 or found.size % 2 or not np.isfinite(found).all():
        raise ValueError("an outline is no list of x and y of at least three corners")
    return found.reshape(-1, 2)


def _fill(outline: Points, size: tuple[int, int]) -> Mask:
    """Pixels whose centres lie within an outline, by counting its crossings to the left of them."""
    y = np.arange(size[0]) + 0.5
    x = np.arange(size[1]) + 0.5
    inside = np.zeros(size, bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        rows = (y >= min(y0, y1)) & (y < max(y0, y1))
        crossing = x0 + (y[rows] - y0) / (y1 - y0) * (x1 - x0)
        inside[rows] ^= x[None, :] >= crossing[:, None]
    return inside


def _check_shape(stated: Sequence[int], size: tuple[int, int]) -> None:
    """Photos that were made smaller keep their shape, to a pixel; others are not the same photo."""
    scale = max(size) / max(stated)
    off = max(abs(scale * one - other) for one, other in zip(stated, size, strict=True))
    if off > max(1.0, scale):
        raise MetricError(
            f"The objects are those of a photo of {stated[1]} x {stated[0]} pixels, and this one "
            f"has {size[1]} x {size[0]}."
        )
