"""Crops of the sample photos as a tar archive, for the store that comes along.

    python -m training.data.crops crops.tar

Each is a square of a random size and place, half of them mirrored; its class is the photo that it
is from. The same archive, bit for bit, at every call with the same versions of NumPy and Pillow.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cbam_viz.images import samples

EACH = 25
SIDE = 176
SMALLEST, LARGEST = 0.45, 1.0
"""Side of the square, in parts of the photo's shorter one."""


def crop(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A square of the photo, SIDE pixels wide."""
    shorter = min(photo.size)
    side = int(rng.uniform(SMALLEST, LARGEST) * shorter)
    left, top = (int(rng.integers(0, whole - side + 1)) for whole in photo.size)
    part = photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
    return ImageOps.mirror(part) if rng.integers(2) else part


def write(path: Path, each: int = EACH, seed: int = 0) -> None:
    """Write so many crops of each sample photo as `cat/00.jpg`, ..."""
    with tarfile.open(path, "w") as archive:
        for sample in samples():
            rng = np.random.default_rng(seed)
            photo = Image.open(sample.path).convert("RGB")
            for number in range(each):
                content = io.BytesIO()
                crop(photo, rng).save(content, "JPEG", quality=85)
                member = tarfile.TarInfo(f"{sample.name}/{number:02}.jpg")
                member.size = content.tell()
                archive.addfile(member, io.BytesIO(content.getvalue()))


def main() -> None:
    """Write the archive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    write(parser.parse_args().path)


if __name__ == "__main__":
    main()
