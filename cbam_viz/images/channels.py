"""A photo in the channels that a network takes: colours, grey, or the raw channels of a scan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbam_viz.errors import ImageError, ModelError
from cbam_viz.images.photo import Photo
from cbam_viz.images.spec import InputSpec

Picture = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""(H, W, C): 8-bit levels, or floats from 0 (black) to 1 (white)."""

_LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue in grey (ITU-R BT.601), as Pillow's mode L has it."""


def picture_for(photo: Photo, spec: InputSpec) -> Picture | Image.Image:
    """The photo in `spec.channels` channels, of 8 bits where it has no more.

    An image of Pillow's where it is in that form already. Raises ImageError for a photo of other
    channels than the network takes.
    """
    raw = photo.values
    if photo.buffered is not None:
        image = photo.buffered.image
        if spec.channels == 3 and not spec.bgr:
            return image
        picture: Picture = np.asarray(image)
    elif raw is None or (raw.dtype == np.uint8 and spec.channels in (1, 3) and raw.shape[2] == 4):
        picture = photo.pixels  # colours of 8 bits; transparency is on white there
    elif raw.dtype == np.uint8:
        picture = raw
    else:
        picture = _in_window(photo, spec)
    picture = _in_channels(picture, spec.channels, photo.name)
    return picture[..., ::-1] if spec.bgr else picture


def seen_as(photo: Photo, spec: InputSpec) -> Photo:
    """The photo as a network sees it: in grey for one channel, else as it is."""
    if spec.channels != 1:
        return photo
    grey = np.repeat(_grey_levels(photo.pixels), 3, axis=2)
    grey.flags.writeable = False
    return replace(photo, pixels=grey, in_srgb=None)


def part_of(spec: InputSpec, count: int) -> InputSpec:
    """What one of `count` photos is, that lie beside each other in the channels of an input.

    Raises ModelError where each has a mean and std of its own.
    """
    channels = spec.channels // count
    mean, std = spec.mean[:channels], spec.std[:channels]
    if (mean * count, std * count) != (spec.mean, spec.std):
        raise ModelError(
            "Each photo of the input has a mean and std of its own, which is not supported. Make "
            "the input yourself: cbam_viz.analyse_tensor(model, x, photo)."
        )
    return replace(spec, channels=channels, mean=mean, std=std)


def _in_window(photo: Photo, spec: InputSpec) -> npt.NDArray[np.float32]:
    """Raw values as shares of the window from black to white, clipped; holes are black."""
    assert photo.values is not None
    assert photo.levels is not None
    black, white = photo.levels
    if spec.window is not None:
        black, white = spec.window if black < white else spec.window[::-1]
    # Halves, as the difference of two doubles may overflow.
    values = photo.values.astype(np.float64) / 2
    share = (values - black / 2) / (white / 2 - black / 2)
    share = np.where(np.isfinite(values), share, 0)
    return share.clip(0, 1).astype(np.float32)


def _in_channels(picture: Any, channels: int, name: str) -> Picture:
    has = picture.shape[2]
    if has == channels:
        return picture  # type: ignore[no-any-return]
    if has == 3 and channels == 1:
        return _grey(picture)
    if has == 1 and channels == 3:
        return np.repeat(picture, 3, axis=2)
    noun = "channel" if has == 1 else "channels"
    raise ImageError(
        f"{name} has {has} {noun}, and the network takes {channels}. Give a picture of {channels} "
        "channels, such as a .npy file, or further photos to be put beside it (--also); if the "
        "network takes another number, say so (--channels)."
    )


def _grey(picture: Picture) -> Picture:
    if picture.dtype == np.uint8:
        return _grey_levels(picture)
    return (picture @ np.array(_LUMA, np.float32))[..., None]


def _grey_levels(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
