"""By what endings a checkpoint file is known: in folders, on the command line, in the uploader.

An ending opens no door: a file's real type is read from its first bytes (`files.py`).
"""

from __future__ import annotations

from pathlib import PurePath

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
"""In small letters; `.tar` for `.pth.tar`, which many training scripts write."""

DESCRIBED = ".safetensors"
"""The only kind of file that can carry our description."""


def is_checkpoint_name(name: str) -> bool:
    """Whether a file of this name is taken for a checkpoint; capital letters do not matter."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def bare_name(path: PurePath) -> str:
    """Return a file's name without its ending, and without both of `.pth.tar`."""
    stem = PurePath(path.stem)
    doubled = path.suffix.lower() == ".tar" and stem.suffix.lower() in SUFFIXES
    return stem.stem if doubled else str(stem)
