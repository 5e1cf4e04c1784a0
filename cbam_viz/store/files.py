"""Files that are either complete or not there, and never overwritten by accident."""

from __future__ import annotations

from pathlib import Path

from cbam_viz._whole import whole
from cbam_viz.errors import StoreError
from cbam_viz.render import ImageFormat, encode
from cbam_viz.render.overlay import Pixels

_FORMATS: dict[str, ImageFormat] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
}


def write_atomic(path: str | Path, data: bytes, *, force: bool = False) -> Path:
    """Write all of `data` or nothing; readers never see half a file.

    An existing file is kept unless `force` is given, also if it appears while writing. Raises
    StoreError; returns the path.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise StoreError(f"{target} is a folder. Give the name of a file in it.")
        with whole(target, force=force) as part:
            _write(part, data)
    except FileExistsError as error:
        raise StoreError(
            f"{target} exists. Choose another name, or overwrite it with force."
        ) from error
    except FileNotFoundError as error:
        raise StoreError(f"There is no folder {target.parent}. Make it first.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(
            f"{target} cannot be written: {reason}. Choose another place, or make room."
        ) from error
    return target


def _write(path: Path, data: bytes) -> None:
    # "x" with default permissions: the user's umask decides who may read the result.
    with path.open("xb") as stream:
        stream.write(data)


def write_image(
    path: str | Path, pixels: Pixels, *, quality: int = 90, force: bool = False
) -> Path:
    """Write RGB pixels as PNG, JPEG or WebP, as the ending of `path` says. Raises StoreError."""
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise StoreError(
            f"Pictures cannot be written as {suffix or 'a file without ending'}. Let the name end "
            f"in one of {', '.join(_FORMATS)}."
        )
    return write_atomic(path, encode(pixels, _FORMATS[suffix], quality), force=force)
