"""A photo through somebody's own transform, and where what comes out lies on the photo.

A transform such as torchvision's takes a Pillow image and returns a tensor. Where each of its
pixels came from is measured: ramps over the photo's width and height go through the same transform,
and come out as coordinates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from PIL import Image

from cbam_viz._foreign import exit_call, kept_apart, place_of
from cbam_viz._text import few, said
from cbam_viz.errors import ModelError
from cbam_viz.images.geometry import Geometry
from cbam_viz.images.photo import Photo
from cbam_viz.images.views import ModelInput

if TYPE_CHECKING:
    from torch import Tensor

Transform = Callable[[Image.Image], Any]
"""Makes a (C, H, W) or (1, C, H, W) tensor of a Pillow image in RGB; also Hugging Face's image
processors, and albumentations."""

_GOLDEN = 0.6180339887
"""Shifts the rounding of a ramp from row to row, so that its mean is exact."""
_FINE = 16
"""Input pixels, and at least photo pixels, over which the finer wave rises: its 255 levels then lie
a sixteenth of an input pixel apart."""
_BEND = 0.2
"""Share of a rise on both sides of a bend that filters blur."""
_SNAP = 0.05
"""Input pixels."""
_QUANTILE = 0.9
_MOST = 1 << 15
"""Pixels of an input that are looked at to place it; of more, these are chosen evenly."""
_PICTURES = ("pixel_values", "image")
"""What Hugging Face's processors and albumentations call the picture in their results."""
_FEW = 4
"""Channels of an array whose axes are told apart by their lengths."""
_HOW = (
    "A transform takes a Pillow image in RGB and returns a (channels, height, width) tensor, as "
    "torchvision's do"
)


def prepare_by(transform: Transform, photo: Photo) -> ModelInput:
    """Make the network's input by its own transform.

    Raises:
        ModelError: the transform fails, draws at random, or does more than resize, cut, pad and
            normalise, so that a map could not be drawn where the network looked.
    """
    tensor = _applied(transform, photo.pixels)
    if not _equal(tensor, _applied(transform, photo.pixels)):
        raise ModelError(
            "The transform gives another input each time, so it draws at random. Return the one "
            "for evaluation with the network."
        )
    return ModelInput(tensor, _placed(transform, photo.size, tensor))


def _applied(transform: Transform, pixels: npt.NDArray[np.uint8]) -> Tensor:
    import torch

    try:
        with kept_apart():
            made = _result(transform, pixels)
    except (Exception, SystemExit) as error:
        cause = exit_call(error) if isinstance(error, SystemExit) else said(error)
        raise ModelError(
            f"The transform fails on the photo: {cause}.{place_of(error)} {_HOW}."
        ) from error
    if not isinstance(made, torch.Tensor) or made.ndim not in (3, 4):
        raise ModelError(f"The transform returned {_shape(made)}. {_HOW}.")
    if made.ndim == 4 and len(made) != 1:
        raise ModelError(f"The transform returned {len(made)} pictures of one photo. {_HOW}.")
    if not made.is_floating_point():
        raise ModelError(
            f"The transform returned whole numbers ({made.dtype}), and networks compute with "
            "others: end it with what training did to them, such as torchvision's "
            "ToDtype(torch.float32, scale=True), which makes 0 to 255 into 0 to 1, or with "
            ".float(), which leaves them."
        )
    return made.detach().float().cpu().reshape(1, *made.shape[-3:])


def _result(transform: Transform, pixels: npt.NDArray[np.uint8]) -> Any:
    """What a transform makes, out of what albumentations and Hugging Face's processors put it in.

    albumentations take an array by name and give one back, as Hugging Face's may do too.
    """
    import torch

    if any(kind.__module__.startswith("albumentations.") for kind in type(transform).__mro__):
        made: Any = transform(image=pixels.copy())  # type: ignore[call-arg]
    else:
        made = transform(Image.fromarray(pixels))
    if isinstance(made, Mapping):
        made = next((made[key] for key in _PICTURES if key in made), made)
    if isinstance(made, (list, tuple)) and len(made) == 1:
        made = made[0]
    if isinstance(made, np.ndarray) and made.ndim == 3 and made.dtype.kind == "f":
        few_first, few_last = (made.shape[axis] <= _FEW for axis in (0, 2))
        if few_first != few_last:  # otherwise nothing says which axis holds the channels
            return torch.from_numpy(
                np.ascontiguousarray(np.moveaxis(made, 2, 0) if few_last else made)
            )
    return made


def _shape(made: Any) -> str:
    shape = getattr(made, "shape", None)
    if isinstance(made, Mapping):
        return f"a {type(made).__name__} of {few([str(key) for key in made]) or 'nothing'}"
    return type(made).__name__ if shape is None else f"an array of shape {tuple(shape)}"


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one == other) | (one != one)).all())  # noqa: PLR0124


_known: WeakKeyDictionary[Any, dict[bytes, Geometry]] = WeakKeyDictionary()
"""What was measured, by transform and by what it makes of one pattern, which tells its changes."""


def _placed(transform: Transform, size: tuple[int, int], like: Tensor) -> Geometry:
    """The same as `_measured`, from memory where nothing has changed since."""
    try:
        known = _known.setdefault(transform, {})
    except TypeError:  # of a class that cannot be remembered
        return _measured(transform, size, like)
    rows, columns = (_wave(size, axis, size[axis]) for axis in (0, 1))
    made = _applied(transform, np.stack((rows, columns, rows // 2 + columns // 2), 2))
    digest = hashlib.sha256(repr((size, tuple(made.shape), tuple(like.shape))).encode())
    digest.update(np.ascontiguousarray(made.numpy()).data)
    key = digest.digest()
    if key not in known:
        known[key] = _measured(transform, size, like)
    return known[key]


def _measured(transform: Transform, size: tuple[int, int], like: Tensor) -> Geometry:
    """Where the input lies on a photo of this height and width."""
    height, width = size
    black, white = (
        _values(transform, np.full((height, width), level, np.uint8), like) for level in (0, 255)
    )
    gain = white - black
    channel = int(np.abs(gain).sum((1, 2)).argmax())
    inside = np.abs(gain[channel]) > 1e-6 * np.abs(gain[channel]).max(initial=1e-12)
    if not inside.any():
        raise _unplaced(
            "gives the same for a black and a white photo, as one does that normalises each photo "
            "by its own values"
        )
    seen = _evenly(np.flatnonzero(inside), inside.shape)
    black, white = (values[channel][seen].astype(np.float64) for values in (black, white))
    lines = []
    for axis, length in enumerate(size):
        places, across = seen[axis] + 0.5, seen[1 - axis] + 0.5

        def shares(period: float, axis: int = axis) -> Any:
            values = _values(transform, _wave(size, axis, period), like)[channel]
            return (values[seen] - black) / (white - black)

        coarse = _line(places, across, shares(length) * length, length)
        period = max(_FINE * coarse[0], _FINE)
        if period < length / 2:
            coordinates, clear = _unfolded(shares(period), places, coarse, period)
            coarse = _line(places[clear], across[clear], coordinates[clear], length, period)
        lines.append(_snapped(*coarse, like.shape[2 + axis], length))
    (scale_y, offset_y), (scale_x, offset_x) = lines
    return Geometry(
        photo_size=size,
        input_size=(like.shape[2], like.shape[3]),
        scale_y=scale_y,
        scale_x=scale_x,
        offset_y=offset_y,
        offset_x=offset_x,
    )


def _evenly(places: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
    """Rows and columns of these pixels, of many of them some from everywhere, always the same."""
    if len(places) > _MOST:
        places = places[np.sort(np.random.default_rng(0).choice(len(places), _MOST, replace=False))]
    rows, columns = np.unravel_index(places, shape)
    return rows, columns


def _values(transform: Transform, grey: npt.NDArray[np.uint8], like: Tensor) -> Any:
    """What comes out for a grey picture, (C, H, W)."""
    made = _applied(transform, np.repeat(grey[..., None], 3, axis=2))
    if made.shape != like.shape:
        raise _unplaced("gives inputs of several sizes for photos of one size")
    return made[0].numpy()


def _wave(size: tuple[int, int], axis: int, period: float) -> npt.NDArray[np.uint8]:
    """Grey levels that rise and fall evenly along an axis, each photo pixel's at its centre.

    They rise over one `period`, in photo pixels, and fall over the next.
    """
    along, across = (np.arange(length) for length in (size[axis], size[1 - axis]))
    phase = ((along + 0.5) / period) % 2
    level = 255 * np.where(phase < 1, phase, 2 - phase)
    shift = (across * _GOLDEN) % 1
    grid = np.floor(level[:, None] + shift[None, :]).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(grid if axis == 0 else grid.T)


def _unfolded(
    share: Any, places: Any, coarse: tuple[float, float], period: float
) -> tuple[Any, Any]:
    """Photo coordinates of a wave's values, and which are clear of its bends."""
    turns = (coarse[0] * places + coarse[1]) / period
    number = np.floor(turns)
    coordinates = period * np.where(number % 2 == 0, number + share, number + 1 - share)
    return coordinates, np.abs(turns - np.rint(turns)) > _BEND


def _line(
    places: Any, across: Any, coordinates: Any, length: int, period: float | None = None
) -> tuple[float, float]:
    """Photo pixels per input pixel, and where the input begins on the photo, along one axis."""
    # The outermost pixels hold less of the ramp, as filters end at the photo's edge.
    step = (period or length) / 255
    margin = 2 * length / 255
    inner = (coordinates > margin) & (coordinates < length - margin)
    if len(np.unique(places[inner])) < 3:
        inner = np.ones(len(places), bool)
    if len(np.unique(places[inner])) < 2:
        raise _unplaced("leaves too few pixels to tell")
    terms = np.stack([places[inner], np.ones(int(inner.sum())), across[inner]], 1)
    (scale, _, drift), *_ = np.linalg.lstsq(terms, coordinates[inner], rcond=None)
    (scale, offset), *_ = np.linalg.lstsq(terms[:, :2], coordinates[inner], rcond=None)
    missed = np.abs(scale * places[inner] + offset - coordinates[inner])
    allowed = max(abs(scale), 2 * step)
    turned = abs(drift) * np.ptp(across) > allowed
    if scale <= 0 or turned or np.quantile(missed, _QUANTILE) > allowed:
        raise _unplaced("does more than resize, cut, pad and normalise")
    return float(scale), float(offset)


def _snapped(scale: float, offset: float, count: int, length: int) -> tuple[float, float]:
    """A line that begins and ends with the photo but for the error of measuring does so."""
    beyond = offset + count * scale - length
    return (
        (length / count, 0.0) if max(abs(offset), abs(beyond)) < _SNAP * scale else (scale, offset)
    )


def _unplaced(why: str) -> ModelError:
    return ModelError(
        f"Where the network looks cannot be told: its transform {why}. Prepare the input yourself "
        "and say where it lies on the photo: cbam_viz.analyse_tensor(model, x, photo, geometry)."
    )
