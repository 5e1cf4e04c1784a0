"""Pixels as the bytes of a file."""

from __future__ import annotations

import struct
import zlib
from typing import Literal

import numpy as np

from cbam_viz.errors import RenderError
from cbam_viz.render.opencv import cv2
from cbam_viz.render.overlay import Pixels

ImageFormat = Literal["png", "jpeg", "webp"]

MIME_TYPES: dict[ImageFormat, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}

DEFAULT_QUALITY = 90

_PNG_HEADER = 33
"""Bytes of a PNG's signature and of its first chunk, which says how large the picture is."""


def encode(pixels: Pixels, format: ImageFormat = "png", quality: int = DEFAULT_QUALITY) -> bytes:
    """Encode RGB (H, W, 3), RGBA (H, W, 4) or grey (H, W) uint8 pixels; the same bytes every time.

    PNG is lossless; `quality`, 1 to 100, is for JPEG and WebP. Raises RenderError for other arrays
    and formats, for alpha in a JPEG, and for sides that the format cannot hold.
    """
    if format not in MIME_TYPES:
        raise RenderError(f"There is no format {format!r}. Choose one of {', '.join(MIME_TYPES)}.")
    if not 1 <= quality <= 100:
        raise RenderError(f"A quality of {quality} is not possible. Choose one from 1 to 100.")
    try:
        done, data = cv2.imencode(
            f".{format}", _to_opencv(pixels, format), _options(format, quality)
        )
    except cv2.error as error:
        raise _cannot_encode(pixels, format) from error
    if not done:
        raise _cannot_encode(pixels, format)
    return bytes(np.asarray(data).tobytes())


def describe_png(png: bytes, text: str) -> bytes:
    """The same PNG with `text` as its Description, for whoever finds the picture alone."""
    body = b"iTXtDescription\0\0\0\0\0" + text.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_PNG_HEADER] + chunk + png[_PNG_HEADER:]


def _to_opencv(pixels: Pixels, image_format: ImageFormat) -> Pixels:
    channels = pixels.shape[2:]
    if pixels.dtype != np.uint8 or pixels.size == 0 or channels not in ((), (3,), (4,)):
        raise _cannot_encode(pixels, image_format)
    if channels == (4,) and image_format == "jpeg":
        raise RenderError("JPEG has no transparency. Choose PNG or WebP, or give RGB pixels.")
    if pixels.ndim == 2:
        return pixels
    code = cv2.COLOR_RGB2BGR if channels == (3,) else cv2.COLOR_RGBA2BGRA
    bgr: Pixels = cv2.cvtColor(pixels, code)
    return bgr


def _options(image_format: ImageFormat, quality: int) -> list[int]:
    # PNG keeps OpenCV's default compression: level 1 is slower there.
    if image_format == "jpeg":
        return [cv2.IMWRITE_JPEG_QUALITY, quality]
    return [cv2.IMWRITE_WEBP_QUALITY, quality] if image_format == "webp" else []


def _cannot_encode(pixels: Pixels, image_format: ImageFormat) -> RenderError:
    return RenderError(
        f"Pixels of shape {pixels.shape} and type {pixels.dtype} cannot be written as "
        f"{image_format}. Give 8-bit grey, RGB or RGBA of at most 16,383 pixels a side, or as PNG "
        "if it is larger."
    )
