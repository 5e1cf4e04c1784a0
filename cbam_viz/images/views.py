"""Photos as network inputs: timm's own crop, or the whole picture.

`crop` follows `timm.data.create_transform(..., is_training=False)` operation by operation on the
same Pillow calls, so that the tensors, and with them the logits, are equal bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbam_viz._compat import load_cv2
from cbam_viz.errors import ImageError
from cbam_viz.images.channels import Picture, picture_for
from cbam_viz.images.geometry import DEFAULT_VIEW, VIEWS, Geometry, View
from cbam_viz.images.photo import Box, Photo
from cbam_viz.images.spec import InputSpec

if TYPE_CHECKING:
    from torch import Tensor

MAX_RESIZED_PIXELS = 16_000_000
"""Beyond this the crop is cut while resizing. Pillow's filters then differ from timm's in the last
bit of a pixel, but a panorama of 2 x 60,000 pixels does not become one of 256 x 7,680,000."""

WHOLE_BUDGET = 8.0
"""The view `whole` has at most this many times the pixels of the square that the view `crop` is cut
from; aspect ratios up to 8 : 1 keep the scale of `crop`, longer ones are made smaller."""

MAX_WHOLE_PIXELS = 2_500_000
"""Nor has `whole` more pixels than these, unless the input of `crop` has more: networks with inputs
of 600 pixels and beyond would else take minutes and gigabytes for a panorama."""

MAX_STRETCH = 0.125
"""Rounding a side to a multiple may change it by this share; beyond that a border is added."""


@dataclass(frozen=True)
class ModelInput:
    """One photo, ready for the network."""

    tensor: Tensor
    """(1, C, H, W) float32, normalised."""
    geometry: Geometry


@dataclass(frozen=True)
class _Plan:
    """Resize to `resized`, then cut `size` from (`top`, `left`); a negative corner is a border."""

    resized: tuple[int, int]
    top: int
    left: int
    size: tuple[int, int]


def prepare(photo: Photo, spec: InputSpec, view: View = DEFAULT_VIEW) -> ModelInput:
    """Make the network's input of a photo, and keep where each of its pixels came from.

    In `crop` the logits equal those on timm's evaluation transform. In `whole` the aspect is kept,
    sides are multiples of `spec.multiple` and nothing is cut off; the scale is that of `crop` as
    long as the aspect ratio is below 8 : 1. Values of more than 8 bits are brought to the spec's
    window, or the file's own, as floats. Raises ImageError for an unknown view, and for a photo of
    another number of channels than the network takes.
    """
    plan = _plan(photo.size, spec, view)
    border = _border_colour(spec, view)
    picture = picture_for(photo, spec)
    box = None if photo.buffered is None else photo.buffered.box
    pixels = _apply(picture, box, plan, spec, border)
    scale_y = photo.size[0] / plan.resized[0]
    scale_x = photo.size[1] / plan.resized[1]
    geometry = Geometry(
        photo_size=photo.size,
        input_size=plan.size,
        scale_y=scale_y,
        scale_x=scale_x,
        offset_y=plan.top * scale_y,
        offset_x=plan.left * scale_x,
        view=view,
        border=_shown_colour(border, bgr=spec.bgr) if _has_border(plan) else None,
    )
    return ModelInput(_normalise(pixels, spec), geometry)


def resized_size(photo: tuple[int, int], spec: InputSpec, view: View) -> tuple[int, int]:
    """Height and width to which a whole photo of this size is resized before anything is cut."""
    return _plan(photo, spec, view).resized


def _plan(photo: tuple[int, int], spec: InputSpec, view: View) -> _Plan:
    if view not in VIEWS:
        raise ImageError(f"There is no view {view!r}. Choose one of {', '.join(VIEWS)}.")
    if view == "crop" or spec.crop_mode == "rectangle":  # which shows the whole photo as it is
        return _plan_crop(photo, spec)
    return _plan_whole(photo, spec)


def _plan_crop(photo: tuple[int, int], spec: InputSpec) -> _Plan:
    target = (math.floor(spec.size[0] / spec.crop_pct), math.floor(spec.size[1] / spec.crop_pct))
    size = spec.size
    if spec.crop_mode == "squash":
        resized = target
    elif spec.crop_mode == "rectangle":
        target = (_least(target[0], spec.multiple), _least(target[1], spec.multiple))
        scale = min(target[0] / photo[0], target[1] / photo[1])  # rounded as ultralytics does
        resized = (round(photo[0] * scale), round(photo[1] * scale))
        size = (_least(resized[0], spec.multiple), _least(resized[1], spec.multiple))
    elif spec.crop_mode in ("border", "letterbox"):
        ratio = max(photo[0] / target[0], photo[1] / target[1])
        resized = (round(photo[0] / ratio), round(photo[1] / ratio))
    elif target[0] == target[1]:
        resized = _shorter_side_to(photo, target[0])
    else:
        ratio = min(photo[0] / target[0], photo[1] / target[1])
        resized = (round(photo[0] / ratio), round(photo[1] / ratio))
    # timm would fail on a side that rounds to nothing.
    resized = (max(1, resized[0]), max(1, resized[1]))
    return _around(resized, size)


def _least(length: int, multiple: int) -> int:
    """The least multiple that holds a side."""
    return math.ceil(max(1, length) / multiple) * multiple


def _around(resized: tuple[int, int], size: tuple[int, int]) -> _Plan:
    """Cut from, or pad, all sides alike."""
    return _Plan(resized, _centred(resized[0], size[0]), _centred(resized[1], size[1]), size)


def _shorter_side_to(photo: tuple[int, int], length: int) -> tuple[int, int]:
    """As torchvision's Resize with one number: the longer side is cut, not rounded."""
    height, width = photo
    if width <= height:
        return int(length * height / width), length
    return length, int(length * width / height)


def _centred(length: int, window: int) -> int:
    """Where torchvision's CenterCrop begins; negative for the border it adds when too small."""
    if window > length:
        return -((window - length) // 2)
    return round((length - window) / 2.0)


def _plan_whole(photo: tuple[int, int], spec: InputSpec) -> _Plan:
    if spec.fixed_size:
        ratio = max(photo[0] / spec.size[0], photo[1] / spec.size[1])
        sides = (max(1, round(photo[0] / ratio)), max(1, round(photo[1] / ratio)))
        return _around(sides, spec.size)
    target = (spec.size[0] / spec.crop_pct, spec.size[1] / spec.crop_pct)
    ratio = min(photo[0] / target[0], photo[1] / target[1])
    pixels = photo[0] * photo[1] / ratio**2
    most = min(WHOLE_BUDGET * target[0] * target[1], max(math.prod(spec.size), MAX_WHOLE_PIXELS))
    ratio *= math.sqrt(max(1.0, pixels / most))
    height, padded_height = _to_multiple(photo[0] / ratio, spec.multiple)
    width, padded_width = _to_multiple(photo[1] / ratio, spec.multiple)
    return _around((height, width), (padded_height, padded_width))


def _to_multiple(length: float, multiple: int) -> tuple[int, int]:
    """Length to resize to, and length of the input: equal unless that would stretch too much."""
    nearest = max(1, round(length / multiple)) * multiple
    if abs(nearest - length) <= MAX_STRETCH * length:
        return nearest, nearest
    resized = max(1, round(length))
    return resized, _least(resized, multiple)


def _has_border(plan: _Plan) -> bool:
    return any(side > length for side, length in zip(plan.size, plan.resized, strict=True))


def _border_colour(spec: InputSpec, view: View) -> tuple[int, ...]:
    """8-bit levels of what surrounds the photo, in the network's order of channels."""
    if spec.crop_mode in ("letterbox", "rectangle"):
        return (spec.fill,) * spec.channels
    if view == "whole" or spec.crop_mode == "border":
        top = 255 if spec.range == "0..1" else 1
        return tuple(min(255, max(0, round(top * value))) for value in spec.mean)
    return (0,) * spec.channels


def _shown_colour(levels: tuple[int, ...], *, bgr: bool = False) -> tuple[int, int, int]:
    """What a border looks like as RGB."""
    red, green, blue = levels if len(levels) == 3 else levels[:1] * 3
    return (blue, green, red) if bgr else (red, green, blue)


def _apply(
    picture: Picture | Image.Image,
    box: Box | None,
    plan: _Plan,
    spec: InputSpec,
    border: tuple[int, ...],
) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Resize, crop and pad; (H, W, C) of the plan's size, uint8 or float32 as the picture.

    `box` is where the photo lies in the picture; None: all of it.
    """
    if isinstance(picture, Image.Image):
        return np.asarray(_apply_plane(picture, box, plan, spec, border))
    if picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        return np.asarray(_apply_plane(Image.fromarray(picture), box, plan, spec, border))
    levels = border if picture.dtype == np.uint8 else tuple(level / 255 for level in border)
    planes = [
        np.asarray(_apply_plane(Image.fromarray(plane), box, plan, spec, level))
        for plane, level in zip(np.moveaxis(picture, 2, 0), levels, strict=True)
    ]
    result = np.stack(planes, 2)
    # Cubic filters overshoot; in 8 bits Pillow cuts that off.
    return result if result.dtype == np.uint8 else result.clip(0, 1)


def _apply_plane(
    image: Image.Image, box: Box | None, plan: _Plan, spec: InputSpec, border: Any
) -> Image.Image:
    """The same for a picture of Pillow's, of three channels or one."""
    if spec.interpolation == "opencv" and image.size != plan.resized[::-1]:
        image = _resized_by_opencv(image, plan.resized)
    by_opencv = spec.interpolation == "opencv"  # and then there is nothing left for a filter
    resample = Image.Resampling["BILINEAR" if by_opencv else spec.interpolation.upper()]
    top, left = max(0, plan.top), max(0, plan.left)
    bottom = min(plan.resized[0], plan.top + plan.size[0])
    right = min(plan.resized[1], plan.left + plan.size[1])
    if plan.resized[0] * plan.resized[1] > MAX_RESIZED_PIXELS:
        scale_y = image.height / plan.resized[0]
        scale_x = image.width / plan.resized[1]
        cut = (left * scale_x, top * scale_y, right * scale_x, bottom * scale_y)
        image = image.resize((right - left, bottom - top), resample, cut)
    else:
        # One after the other, as timm does: Pillow chooses by sizes which side it resizes first, so
        # that cutting while resizing gives other pixels even where no number is rounded.
        if image.size != plan.resized[::-1]:
            image = image.resize(plan.resized[::-1], resample, box)
        image = image.crop((left, top, right, bottom))
    if image.size != plan.size[::-1]:
        canvas = Image.new(image.mode, plan.size[::-1], border)
        canvas.paste(image, (max(0, -plan.left), max(0, -plan.top)))
        image = canvas
    return image


def _resized_by_opencv(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """As detectors resize: bilinear between the nearest pixels, without averaging the others."""
    cv2 = load_cv2()
    if math.prod(size) > MAX_RESIZED_PIXELS:
        raise ImageError(
            f"A photo of {image.width} x {image.height} pixels would become one of {size[1]} x "
            f"{size[0]} before the network's crop. Cut it first, or take --fit rectangle."
        )
    made: npt.NDArray[Any] = cv2.resize(
        np.asarray(image), size[::-1], interpolation=cv2.INTER_LINEAR
    )
    return Image.fromarray(made)


def _normalise(pixels: npt.NDArray[Any], spec: InputSpec) -> Tensor:
    """As torchvision's ToTensor and Normalize, in their order of operations."""
    import torch

    tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float()
    if pixels.dtype == np.uint8 and spec.range == "0..1":
        tensor.div_(255)
    elif pixels.dtype != np.uint8 and spec.range == "0..255":
        tensor.mul_(255)
    mean, std = (_column(values) for values in (spec.mean, spec.std))
    return tensor.sub_(mean).div_(std).unsqueeze_(0)


def _column(values: tuple[float, ...]) -> Any:
    import torch

    # Whatever the defaults are: onto another device, in-place arithmetic does nothing at all.
    return torch.tensor(values, dtype=torch.float32, device="cpu").view(-1, 1, 1)
