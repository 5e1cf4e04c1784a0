"""Decode each image once into one flat file, so that an epoch costs no JPEG decoding.

A cache is a folder: `pixels.u8` (all images' RGB bytes, one after the other) and `index.npz`
(where each begins, its height, width and label, and the class names). It is a memory map, so
several training processes share one copy in memory.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from training.data.folder import Listing, list_data
from training.errors import TrainingError

MAX_ASPECT = 2.0  # panoramas are cut to this, as no crop of the recipe would use more


@dataclass(frozen=True)
class ImageCache:
    """Decoded images of one split.

    `pixels` is flat uint8; image i is (heights[i], widths[i], 3) RGB from `offsets[i]`.
    """

    pixels: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    heights: NDArray[np.int32]
    widths: NDArray[np.int32]
    labels: NDArray[np.int64]
    keys: tuple[str, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Image `index` as a view (H, W, 3) of RGB bytes."""
        height, width = int(self.heights[index]), int(self.widths[index])
        start = int(self.offsets[index])
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)

    def chances(self) -> NDArray[np.float64]:
        """How likely each image is to be drawn (N,), in sum 1.

        Classes are drawn in proportion to the square root of their size.
        """
        sizes = np.bincount(self.labels, minlength=len(self.classes))
        weight = 1 / np.sqrt(sizes[self.labels])
        return np.asarray(weight / weight.sum(), dtype=np.float64)

    def only(self, kept: NDArray[np.int64]) -> ImageCache:
        """The images of some indices, in their order; pixels are shared."""
        return replace(
            self,
            offsets=self.offsets[kept],
            heights=self.heights[kept],
            widths=self.widths[kept],
            labels=self.labels[kept],
            keys=tuple(self.keys[i] for i in kept),
        )


def read_image(path: Path, short_side: int) -> NDArray[np.uint8]:
    """Decode to RGB (H, W, 3), reduced to `short_side` pixels if larger, cut to MAX_ASPECT.

    Raises:
        TrainingError: the file, which the text names, is no readable image.
    """
    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (short_side * 2, short_side * 2))
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
        raise TrainingError(f"Cannot read the image {path}: {error}. Mend or remove it.") from error
    scale = short_side / min(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    limit = round(min(image.size) * MAX_ASPECT)
    if max(image.size) > limit:
        left, top = max(0, image.width - limit) // 2, max(0, image.height - limit) // 2
        image = image.crop((left, top, image.width - left, image.height - top))
    return np.asarray(image, dtype=np.uint8)


def _digest(listing: Listing, short_side: int) -> str:
    """A short hash of what the cache must hold, so that changed data makes a new cache."""
    text = "\n".join(
        f"{key} {file.stat().st_size}"
        for key, file in zip(listing.keys(), listing.files, strict=True)
    )
    return hashlib.sha256(f"{short_side}\n{text}".encode()).hexdigest()[:16]


def _decoded(files: Sequence[Path], short_side: int) -> Iterator[NDArray[np.uint8]]:
    """The images of all files, in order, decoded a few at a time on all cores."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files), 256):
            yield from pool.map(read_image, files[start : start + 256], repeat(short_side))


def build_cache(listing: Listing, folder: Path, short_side: int) -> ImageCache:
    """Open the cache of `listing` below `folder`, decoding all images first if it is not there."""
    target = folder / f"{listing.root.name}-{_digest(listing, short_side)}"
    if not (target / "index.npz").exists():
        target.mkdir(parents=True, exist_ok=True)
        heights, widths, offsets, end = [], [], [], 0
        with (target / "pixels.u8").open("wb") as stream:
            decoded = _decoded(listing.files, short_side)
            bar = tqdm(
                decoded, total=len(listing.files), desc=f"decode {listing.root.name}", unit="img"
            )
            for image in bar:
                stream.write(image.tobytes())
                offsets.append(end)
                heights.append(image.shape[0])
                widths.append(image.shape[1])
                end += image.size
        np.savez(  # written last: its presence says that the pixels are complete
            target / "index.npz",
            offsets=np.asarray(offsets, np.int64),
            heights=np.asarray(heights, np.int32),
            widths=np.asarray(widths, np.int32),
            labels=np.asarray(listing.labels, np.int64),
            keys=np.asarray(listing.keys()),
            classes=np.asarray(listing.classes),
        )
    return open_cache(target)


def open_cache(target: Path) -> ImageCache:
    """Memory-map a finished cache."""
    with np.load(target / "index.npz") as index:
        return ImageCache(
            pixels=np.memmap(target / "pixels.u8", dtype=np.uint8, mode="r"),
            offsets=index["offsets"],
            heights=index["heights"],
            widths=index["widths"],
            labels=index["labels"],
            keys=tuple(index["keys"].tolist()),
            classes=tuple(index["classes"].tolist()),
        )


def open_data(data: Path, folder: Path, short_side: int) -> tuple[ImageCache, ImageCache]:
    """The training and the validation cache of a data folder."""
    train, val = list_data(data)
    return build_cache(train, folder, short_side), build_cache(val, folder, short_side)


def main() -> None:
    """Command line: decode a data folder ahead of training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train/CLASS/* and val/CLASS/*")
    parser.add_argument("--cache", type=Path, required=True, help="where the decoded images go")
    parser.add_argument("--short-side", type=int, default=160, help="reduce larger images to this")
    options = parser.parse_args()
    try:
        train, val = open_data(options.data, options.cache, options.short_side)
    except TrainingError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{len(train)} training and {len(val)} validation images, {len(train.classes)} classes")


if __name__ == "__main__":
    main()
