"""Embedded colour profiles: a photo in Display P3 or Adobe RGB, or CMYK, as it is meant to look.

Networks are given the plain values: timm's and torchvision's loaders ignore profiles, and what a
network attends to must not depend on the tool that looks. People are shown the colours that the
profile says, as every viewer shows them.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Pixels = npt.NDArray[np.uint8]

SAME = 3
"""Levels by which a profile may differ from sRGB and still count as it: writers round differently,
and no eye sees it."""
MAX_PROFILE = 4 * 1024 * 1024
"""Bytes; printers' profiles have about two million."""


def as_meant(image: Image.Image, pixels: Pixels | None) -> tuple[Pixels | None, str]:
    """The picture in sRGB, and a note; (None, "") where it has no profile or one like sRGB.

    `pixels` are what was decoded from `image`, upright, on white, (H, W, 3); without them the note
    alone is made. A profile that cannot be used is ignored, as it is no reason to refuse a photo.
    """
    content = image.info.get("icc_profile")
    if not isinstance(content, bytes) or not 128 <= len(content) <= MAX_PROFILE:
        return None, ""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        space = profile.profile.xcolor_space.strip()
        if space == "CMYK" and image.mode == "CMYK":
            inks = image if pixels is not None else image.crop((0, 0, 1, 1))
            shown = np.asarray(_to_srgb(inks, profile))
        elif space == "RGB":
            if _like_srgb(profile):
                return None, ""
            colours = np.zeros((1, 1, 3), np.uint8) if pixels is None else pixels
            shown = np.asarray(_to_srgb(Image.fromarray(colours), profile))
        else:
            return None, ""
        name = ImageCms.getProfileDescription(profile).strip()[:60]
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None, ""
    if pixels is not None and shown.shape != pixels.shape:
        return None, ""
    named = f"the colour profile “{name}”" if name.isprintable() and name else "a colour profile"
    return None if pixels is None else shown, (
        f"It has {named} and is shown with it. The network gets the plain values, as in training."
    )


def _to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    if converted is None:
        raise ValueError("no conversion to sRGB")
    return converted


def _like_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Judge by what it does to colours over the whole range: names say little."""
    levels = np.linspace(0, 255, 7).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(1, -1, 3)
    changed = np.asarray(_to_srgb(Image.fromarray(cube), profile)).astype(int)
    return int(np.abs(changed - cube).max()) <= SAME
