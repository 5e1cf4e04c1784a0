"""What a network expects as its input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import msgspec

from cbam_viz._schema import MismatchError, checked
from cbam_viz._text import quoted
from cbam_viz.errors import ModelError
from cbam_viz.images.geometry import DEFAULT_VIEW, View

CropMode = Literal["center", "squash", "border", "letterbox", "rectangle"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos", "opencv"]

Range = Literal["0..1", "0..255"]

CROP_MODES: tuple[CropMode, ...] = ("center", "squash", "border", "letterbox", "rectangle")
RANGES: tuple[Range, ...] = ("0..1", "0..255")
INTERPOLATIONS: tuple[Interpolation, ...] = (
    "nearest",
    "bilinear",
    "bicubic",
    "box",
    "hamming",
    "lanczos",
    "opencv",
)
"""Pillow's filters, and OpenCV's bilinear one, which skips pixels where a photo gets smaller."""

# What timm falls back to where a network says nothing (timm.data.resolve_data_config).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEFAULT_SIZE = (224, 224)
DEFAULT_CROP_PCT = 0.875

OF_NETWORK = "The network's input description"
"""Of which an error is, unless a person has asked for it."""

IMAGENET_GREY = (0.449, 0.226)
"""Mean and std of a picture in grey: the averages of ImageNet's three."""
LETTERBOX_GREY = 114
"""What YOLO fills a letterbox with, of 255."""

MAX_SIDE = 16_384
"""Longest side of an input in pixels."""
MAX_CHANNELS = 1024
CROP_PCTS = (0.05, 20.0)
"""Smallest and largest share; those of timm's networks lie between 0.875 and 1.15."""

_Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)]


class InputDescription(msgspec.Struct, kw_only=True):
    """What of a timm `pretrained_cfg` an `InputSpec` is made from, by type; None where not said."""

    input_size: tuple[_Count, _Count, _Count] | None = None
    """Channels, height and width."""
    mean: list[float] | None = None
    std: list[float] | None = None
    interpolation: str | None = None
    crop_pct: float | None = None
    crop_mode: str | None = None
    fixed_input_size: bool | None = None
    range: str | None = None
    """This and what follows are cbam-viz's own; timm has no words for them."""
    bgr: bool | None = None
    fill: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    window: tuple[float, float] | None = None


PARTS = {"size": ("input_size",), "normalisation": ("mean", "std"), "crop": ("crop_pct",)}
"""What may be stated of an input or not, with the entries of a `pretrained_cfg` that state it."""


@dataclass(frozen=True)
class InputOrigin:
    """Who states each part of an input, such as `stated by the checkpoint`; None: it is assumed."""

    size: str | None = None
    normalisation: str | None = None
    """Of `mean` and `std`."""
    crop: str | None = None
    """Of the crop's share of the photo."""
    assumption: str = "the network does not say"
    """Why what is None was assumed, or which default was taken."""

    @classmethod
    def of(cls, *sources: tuple[str, Mapping[str, Any]], assumption: str = "") -> InputOrigin:
        """Name for each part the first source that has all its entries."""
        found = {
            part: next((name for name, cfg in sources if all(cfg.get(key) for key in keys)), None)
            for part, keys in PARTS.items()
        }
        return cls(**found, assumption=assumption or cls.assumption)


GIVEN = InputOrigin("as given", "as given", "as given")
"""Of an `InputSpec` that somebody has written by hand."""


@dataclass(frozen=True)
class InputSpec:
    """What a network is fed: size, channels and normalisation, in timm's terms.

    A `mean` or `std` of one value holds for all channels; ImageNet's three become one for a network
    of one channel (`IMAGENET_GREY`), and none (0 and 1) for other counts.
    """

    size: tuple[int, int] = DEFAULT_SIZE
    """Height and width in pixels."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """Of each channel, of values in `range`."""
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: Interpolation = "bicubic"
    crop_pct: float = DEFAULT_CROP_PCT
    """Side of the crop over the side of what it is cut from."""
    crop_mode: CropMode = "center"
    """`center`: shorter side resized, centre cut out. `squash`: both sides resized, aspect lost.
    `border`: longer side resized, the rest filled with the mean colour. `letterbox`: the same,
    filled with `fill`. `rectangle`: a letterbox no larger than the photo needs, its sides the least
    multiples of `multiple`, as ultralytics makes it."""
    multiple: int = 32
    """Sides of the input are multiples of this in the view `whole`, and in a `rectangle`."""
    fixed_size: bool = False
    """True where the network takes inputs of `size` only; the view `whole` then adds borders."""
    channels: int = 3
    """1: photos are given in grey. Other counts than 1 and 3 need pictures of as many channels, or
    several photos."""
    range: Range = "0..1"
    """Values before `mean` and `std`: black is 0, white is 1 or 255."""
    bgr: bool = False
    """Blue comes first; `mean` and `std` are in this order too."""
    fill: int = LETTERBOX_GREY
    """Grey level of a letterbox or rectangle, 0 to 255."""
    window: tuple[float, float] | None = None
    """The raw values of scans that are black and white to this network, beyond which they are
    clipped. None: what the file declares. Photos of 8 bits have no other values."""
    origin: InputOrigin = field(default=GIVEN, compare=False)
    """Who says so; inputs are equal whoever states them."""

    def __post_init__(self) -> None:
        """Fit mean and std to the channels; refuse what could not be prepared by a ModelError."""
        self._check_types()
        low, high = CROP_PCTS
        count, top = self.channels, 255 if self.range == "0..255" else 1
        within = self.window is None or (
            all(map(math.isfinite, self.window)) and self.window[0] < self.window[1]
        )
        for entry, fits, says in (
            ("size", all(1 <= side <= MAX_SIDE for side in self.size), f"1 to {MAX_SIDE:,} pixels"),
            ("channels", 1 <= count <= MAX_CHANNELS, f"1 to {MAX_CHANNELS:,}"),
            ("multiple", 1 <= self.multiple <= MAX_SIDE, f"1 to {MAX_SIDE:,} pixels"),
            ("crop_pct", low <= self.crop_pct <= high, f"between {low} and {high:.0f}"),
            ("mean", all(map(math.isfinite, self.mean)), "finite"),
            ("std", all(0 < value < math.inf for value in self.std), "positive"),
            ("fill", 0 <= self.fill <= 255, "a grey level from 0 to 255"),
            ("window", within, "two finite numbers, black and a greater white"),
            ("mean", max(self.mean, default=0) <= 2 * top,
             "that of values from 0 to 1; for one of values from 0 to 255, the range is 0..255"),
            ("mean", top == 1 or not 0 < max(self.mean, default=0) <= 1,
             "that of values from 0 to 255; for one of values from 0 to 1, the range is 0..1"),
        ):  # fmt: skip
            if not fits:
                raise ModelError(f"{OF_NETWORK} makes no sense: {entry} must be {says}.")
        for entry, chosen, known in (
            ("interpolation", self.interpolation, INTERPOLATIONS),
            ("crop mode", self.crop_mode, CROP_MODES),
            ("range", self.range, RANGES),
        ):
            if chosen not in known:
                raise ModelError(
                    f"The network asks for the {entry} {quoted(chosen)}. Known are "
                    f"{', '.join(known)}."
                )
        for name, usual, grey in zip(
            ("mean", "std"), (IMAGENET_MEAN, IMAGENET_STD), IMAGENET_GREY, strict=True
        ):
            values = for_channels(getattr(self, name), count, name, usual, grey)
            object.__setattr__(self, name, values)

    def _check_types(self) -> None:
        """Take a side for both and lists for tuples; raises ModelError for other kinds of value."""
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        entries = {"size": size, "mean": self.mean, "std": self.std, "window": self.window}
        for name, value in entries.items():
            numbers = None if value is None and name == "window" else _numbers(name, value)
            object.__setattr__(self, name, numbers)
        for name in ("size", "window"):
            if getattr(self, name) is not None and len(getattr(self, name)) != 2:
                raise ModelError(f"{OF_NETWORK} makes no sense: {name} must be two numbers.")

    @property
    def assumed(self) -> tuple[str, ...]:
        """The parts that nobody states, of `size`, `normalisation` and `crop`."""
        return tuple(part for part in PARTS if getattr(self.origin, part) is None)

    def varies(self, view: View = DEFAULT_VIEW) -> bool:
        """Whether inputs, and with them the maps, differ in size from photo to photo."""
        return self.crop_mode == "rectangle" or (view == "whole" and not self.fixed_size)

    def sentence(self, view: View = DEFAULT_VIEW, *, hint: bool = False) -> str:
        """What the network is fed in this view, and who says so or that it was assumed.

        With `hint`, the options of the command line that change what was assumed.
        """
        sources = self._sources()
        if hint and self.assumed:
            options = ", ".join(OPTIONS[part] for part in self.assumed if part in OPTIONS)
            sources += f"; change with {options or '--crop-pct'}"
        kind = ", ".join((self._frame(view) + self._channels(), self._normalisation()))
        return f"Input: {kind} ({sources})."

    def _frame(self, view: View) -> str:
        height, width = self.size
        if self.crop_mode == "rectangle":
            return f"letterbox within {width} × {height} (filled with {self.fill})"
        if view == "whole":
            fitted = "fitted into" if self.fixed_size else "at the scale of a crop of"
            return f"whole photo {fitted} {width} × {height}"
        how = {
            "center": "crop",
            "squash": "crop, squashed",
            "border": "crop with borders",
            "letterbox": f"letterbox (filled with {self.fill})",
        }
        return f"{width} × {height} {how[self.crop_mode]}"

    def _channels(self) -> str:
        if self.channels == 1:
            return " in grey"
        if self.channels == 3:
            return " in BGR" if self.bgr else ""
        return f" of {self.channels} channels"

    def _normalisation(self) -> str:
        window = "" if self.window is None else "window {:g} to {:g}, ".format(*self.window)
        top = self.range.removeprefix("0..")
        if self.range == "0..1" and not self.bgr:
            if (self.mean, self.std) == (IMAGENET_MEAN, IMAGENET_STD):
                return f"{window}ImageNet mean and std"
            if (self.mean, self.std) == tuple((value,) for value in IMAGENET_GREY):
                return f"{window}ImageNet mean and std of grey"
        if not any(self.mean) and all(value == 1 for value in self.std):
            return f"{window}values from 0 to {top}"
        mean, std = (_listed(values) for values in (self.mean, self.std))
        of = "" if self.range == "0..1" else f" of values from 0 to {top}"
        return f"{window}mean {mean} and std {std}{of}"

    def _sources(self) -> str:
        """Who states what: one phrase where all parts have one source."""
        groups: dict[str, list[str]] = {}
        for part in PARTS:
            source = getattr(self.origin, part) or f"assumed: {self.origin.assumption}"
            groups.setdefault(source, []).append(part)
        if len(groups) == 1:
            return next(iter(groups))
        return "; ".join(f"{' and '.join(names)} {source}" for source, names in groups.items())

    @classmethod
    def from_pretrained_cfg(
        cls,
        cfg: Mapping[str, Any],
        *,
        multiple: int = 32,
        channels: int | None = None,
        source: str = "stated by the pretrained_cfg",
    ) -> InputSpec:
        """Read a timm `pretrained_cfg` as `timm.data.resolve_data_config` reads it.

        Missing or empty entries get timm's defaults and count as assumed; `source` says who states
        the others. `channels` are those that the network takes, whatever stands there: timm leaves
        3 in the description of a network made with `in_chans=1`. Raises ModelError for entries of
        other types than timm's.
        """
        given = _described(cfg)
        stated, height, width = given.input_size or (3, *DEFAULT_SIZE)
        count = channels or stated
        for values in (given.mean or (), given.std or ()):
            if count != stated and count % max(1, len(values)) and (len(values), count) != (3, 1):
                given.mean = given.std = None  # of another number of channels, it says nothing here
        # "random" is for training only; timm cannot evaluate with it, bilinear is one of the two.
        name = (given.interpolation or "bicubic").replace("random", "bilinear")
        return cls(
            size=(height, width),
            mean=tuple(given.mean or IMAGENET_MEAN),
            std=tuple(given.std or IMAGENET_STD),
            interpolation=cast("Interpolation", name),
            crop_pct=given.crop_pct or DEFAULT_CROP_PCT,
            crop_mode=cast("CropMode", given.crop_mode or "center"),
            multiple=multiple,
            fixed_size=bool(given.fixed_input_size),
            channels=count,
            range=cast("Range", given.range or "0..1"),
            bgr=bool(given.bgr),
            fill=LETTERBOX_GREY if given.fill is None else given.fill,
            window=given.window,
            origin=InputOrigin.of((source, msgspec.to_builtins(given))),
        )

    def to_pretrained_cfg(self) -> dict[str, Any]:
        """The entries that `from_pretrained_cfg` reads back, of what somebody has stated.

        What was assumed is left out: written down, it would pass for stated.
        """
        entries: dict[str, dict[str, Any]] = {
            "size": {"input_size": [self.channels, *self.size]},
            "normalisation": {
                "mean": list(self.mean),
                "std": list(self.std),
                "range": self.range,
                "bgr": self.bgr,
                "window": None if self.window is None else list(self.window),
            },
            "crop": {
                "interpolation": self.interpolation,
                "crop_pct": self.crop_pct,
                "crop_mode": self.crop_mode,
                "fill": self.fill,
            },
        }
        default = {"range": "0..1", "bgr": False, "window": None, "fill": LETTERBOX_GREY}
        return {
            key: value
            for part, stated in entries.items()
            if part not in self.assumed
            for key, value in stated.items()
            if key not in default or value != default[key]
        }


OPTIONS = {"size": "--input", "normalisation": "--mean, --std"}
"""Of the command line, by the parts of an input that they change."""


def _listed(values: tuple[float, ...]) -> str:
    """Values of all channels, one if they are equal and many."""
    few = values[:1] if len(values) > 3 and len(set(values)) == 1 else values
    return ", ".join(f"{value:.4g}" for value in few)


def _numbers(name: str, values: Any) -> tuple[Any, ...]:
    whole = name == "size"
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if not numbers or (whole and not all(map(float.is_integer, numbers))):
        kind = "whole numbers" if whole else "numbers"
        raise ModelError(f"{OF_NETWORK} makes no sense: {name} must be {kind}.")
    return tuple(map(int, numbers)) if whole else numbers


def for_channels(
    values: tuple[float, ...], channels: int, name: str, usual: tuple[float, ...], grey: float
) -> tuple[float, ...]:
    """A mean or std for so many channels; `usual` are ImageNet's, `grey` what they are in grey.

    Raises ModelError where it has other values than one for each channel.
    """
    if len(values) == channels:
        return values
    if values == usual:
        neutral = 0.0 if name == "mean" else 1.0
        return (grey if channels == 1 else neutral,) * channels
    if values and channels % len(values) == 0:  # one for all, or several photos side by side
        return values * (channels // len(values))
    if len(set(values)) == 1:
        return values[:1] * channels
    if channels == 1 and len(values) == 3:
        return (round(sum(values) / 3, 6),)
    raise ModelError(
        f"A {name} of {len(values)} values does not fit a network of {channels} channels: give one "
        "for each, or one for all."
    )


def _described(cfg: Mapping[str, Any]) -> InputDescription:
    """Read a `pretrained_cfg` by its types; a network's own code may hold NumPy's numbers."""
    try:
        entries = {name: cfg.get(name) for name in InputDescription.__struct_fields__}
        plain = msgspec.to_builtins(entries, enc_hook=_from_numpy)
        stated = {
            name: value
            for name, value in plain.items()
            if value or value is False or (name == "fill" and value == 0)
        }
        return checked(stated, InputDescription)
    except (MismatchError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            f"The network's input description (pretrained_cfg) makes no sense: {error}."
        ) from error


def _from_numpy(value: Any) -> Any:
    """Return an array's or a NumPy number's plain values."""
    if not hasattr(value, "tolist"):
        raise TypeError(f"it holds a {type(value).__name__}")
    return value.tolist()
