"""By what endings checkpoints and photos are known: in folders, on the command line, in uploaders.

An ending opens no door: a file's real type is read from its first bytes (`files.py`).
"""

from __future__ import annotations

from pathlib import PurePath

CHECKPOINTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
"""In small letters; `.tar` for `.pth.tar`, which many training scripts write."""

INDEX = ".index.json"
"""Of the index of a checkpoint in shards, which lie beside it."""

DESCRIBED = ".safetensors"
"""The only kind of file that can carry our description."""

PICTURES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}
"""The format that each ending promises, as Pillow calls it."""

SCANS = (".npy", ".dcm", ".nii", ".nii.gz")
"""Arrays and scans, which are read as photos too."""


def is_photo_name(name: str) -> bool:
    """Whether a file of this name is taken for a photo or a scan, in a folder of many files."""
    return name.lower().endswith((*PICTURES, *SCANS))


def is_checkpoint_name(name: str) -> bool:
    """Whether a file of this name is taken for a checkpoint; capital letters do not matter."""
    return name.lower().endswith(CHECKPOINTS) and not name.startswith(".")


def bare_name(path: PurePath) -> str:
    """Return a file's name without its ending, and without both of `.pth.tar`.

    An index of shards loses the ending of these too; other endings belong to the name.
    """
    if path.name.lower().endswith(INDEX):
        return bare_name(path.with_name(path.name[: -len(INDEX)]))
    if not path.name.lower().endswith(CHECKPOINTS):
        return path.name
    stem = PurePath(path.stem)
    doubled = path.suffix.lower() == ".tar" and stem.suffix.lower() in CHECKPOINTS
    return stem.stem if doubled else str(stem)
