"""What a person asks of a network's input instead of what the network says, as values or as text.

The command line's option group, the app's sidebar and Python read the same words by these readers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from cbam_viz.errors import ModelError
from cbam_viz.images.spec import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    OF_NETWORK,
    CropMode,
    InputSpec,
    Interpolation,
    Range,
)

ASKED = "as asked"
"""The origin of what a person has chosen."""

FITS: dict[str, CropMode] = {
    "crop": "center",
    "squash": "squash",
    "border": "border",
    "letterbox": "letterbox",
    "rectangle": "rectangle",
}
"""How a photo is fitted into the input, in the words of the command line."""


@dataclass(frozen=True)
class InputOptions:
    """What is asked of an input; None: as the network has it. `changed` applies it."""

    size: tuple[int, int] | None = None
    """Height and width in pixels."""
    mean: tuple[float, ...] | None = None
    """Of each channel or one for all; empty: none, which is 0."""
    std: tuple[float, ...] | None = None
    """Of each channel or one for all; empty: none, which is 1."""
    range: Range | None = None
    interpolation: Interpolation | None = None
    crop_pct: float | None = None
    crop_mode: CropMode | None = None
    fill: int | None = None
    channels: int | None = None
    window: tuple[float, float] | None = None
    bgr: bool = False

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return self != InputOptions()


def changed(spec: InputSpec, options: InputOptions) -> InputSpec:
    """The input as asked; what is asked counts as stated.

    Another `range` than the network's leaves no mean and std, as those were of other values, and
    another fit than the centre crop shows the whole photo, unless these are given too. With `bgr`,
    the network's own mean and std go along with their colours, and are no more stated than they
    were. Raises ModelError for what cannot be, such as a mean without a std.
    """
    given = {field.name: getattr(options, field.name) for field in fields(InputOptions)}
    asked = {  # a fill of 0 is asked for, and equals False
        name: value for name, value in given.items() if value is not None and value is not False
    }
    if options.channels not in (None, spec.channels) and spec.origin.normalisation is None:
        asked |= {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}  # assumed again, for these channels
    count = options.channels or spec.channels
    asked |= {name: _tiled(values, count) for name, values in _normalised(spec, options).items()}
    if options.crop_mode not in (None, "center") and options.crop_pct is None:
        asked["crop_pct"] = 1.0
    normalises = options.range not in (None, spec.range) or any(
        one is not None for one in (options.mean, options.std)
    )
    origin = replace(
        spec.origin,
        size=ASKED if options.size else spec.origin.size,
        normalisation=ASKED if normalises else spec.origin.normalisation,
        crop=ASKED if options.crop_pct or options.crop_mode else spec.origin.crop,
    )
    try:
        return replace(spec, **asked, origin=origin) if options else spec
    except ModelError as error:
        raise ModelError(str(error).replace(OF_NETWORK, "What is asked of the input")) from error


def _tiled(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Values of one photo for several side by side, ImageNet's too."""
    return values * (channels // len(values)) if channels % len(values) == 0 else values


def _normalised(spec: InputSpec, options: InputOptions) -> dict[str, tuple[float, ...]]:
    """Mean and std as asked, none where that follows from what is asked."""
    mean, std = options.mean, options.std
    other_range = options.range not in (None, spec.range)
    if mean is None and std is None and not other_range:
        turned = options.bgr and not spec.bgr and options.channels in (None, spec.channels)
        return {"mean": spec.mean[::-1], "std": spec.std[::-1]} if turned else {}
    if (mean is None) != (std is None) and (mean or std):
        missing, given = ("std", "mean") if std is None else ("mean", "std")
        if spec.origin.normalisation is None or other_range:
            raise ModelError(
                f"A {given} alone is half of a normalisation: give --{missing} too, or 'none' for "
                "both."
            )
        return {given: mean or std or ()}
    return {"mean": mean or (0.0,), "std": std or (1.0,)}


def read_size(text: str) -> tuple[int, int]:
    """`640`, or height x width as `480x640`. Raises ModelError, as all readers here do."""
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() and int(side) > 0 for side in sides):
        raise ModelError(f"{text!r} is no size; write 640 or, height first, 480x640.")
    return int(sides[0]), int(sides[-1])


def read_values(text: str) -> tuple[float, ...]:
    """`0.485,0.456,0.406`, one number for all channels, or `none` (empty)."""
    if text.strip().lower() == "none":
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ModelError(
            f"{text!r} is no number; write a number for each channel as 0.5,0.5,0.5, one for "
            "all, or none."
        ) from None


def read_window(text: str) -> tuple[float, float]:
    """`LOW,HIGH`."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ModelError(f"{text!r} is not LOW,HIGH, such as 0,4095.") from None
    return low, high


def read_fit(text: str) -> tuple[CropMode, int | None]:
    """One of `FITS`; `letterbox:GREY` and `rectangle:GREY` with the grey level."""
    name, colon, grey = text.partition(":")
    known = name in FITS and (not colon or name in ("letterbox", "rectangle"))
    if not known or (colon and not (grey.isdecimal() and int(grey) <= 255)):
        raise ModelError(
            f"{text!r} is no way to fit a photo; choose one of {', '.join(FITS)}, or a letterbox "
            "of another grey as letterbox:0, up to letterbox:255."
        )
    return FITS[name], int(grey) if colon else None
