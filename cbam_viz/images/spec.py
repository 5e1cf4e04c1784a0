"""What a network expects as its input."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import msgspec

from cbam_viz._schema import MismatchError, checked
from cbam_viz._text import quoted
from cbam_viz.errors import ModelError
from cbam_viz.images.geometry import View

CropMode = Literal["center", "squash", "border"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]

CROP_MODES: tuple[CropMode, ...] = ("center", "squash", "border")
INTERPOLATIONS: tuple[Interpolation, ...] = (
    "nearest",
    "bilinear",
    "bicubic",
    "box",
    "hamming",
    "lanczos",
)

# What timm falls back to where a network says nothing (timm.data.resolve_data_config).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEFAULT_SIZE = (224, 224)
DEFAULT_CROP_PCT = 0.875

MAX_SIDE = 16_384
"""Longest side of an input in pixels."""
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
    """Size and normalisation of a network's input, in timm's terms."""

    size: tuple[int, int] = DEFAULT_SIZE
    """Height and width in pixels."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Of RGB values in [0, 1]."""
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: Interpolation = "bicubic"
    crop_pct: float = DEFAULT_CROP_PCT
    """Side of the crop over the side of what it is cut from."""
    crop_mode: CropMode = "center"
    """`center`: shorter side resized, centre cut out. `squash`: both sides resized, aspect lost.
    `border`: longer side resized, the rest filled with the mean colour."""
    multiple: int = 32
    """Sides of the input are multiples of this in the view `whole`."""
    fixed_size: bool = False
    """True where the network takes inputs of `size` only; the view `whole` then adds borders."""
    origin: InputOrigin = field(default=GIVEN, compare=False)
    """Who says so; inputs are equal whoever states them."""

    def __post_init__(self) -> None:
        """Refuse what could not be prepared; raises ModelError."""
        low, high = CROP_PCTS
        for entry, fits, says in (
            ("size", all(1 <= side <= MAX_SIDE for side in self.size), f"1 to {MAX_SIDE:,} pixels"),
            ("multiple", 1 <= self.multiple <= MAX_SIDE, f"1 to {MAX_SIDE:,} pixels"),
            ("crop_pct", low <= self.crop_pct <= high, f"between {low} and {high:.0f}"),
            ("mean", all(map(math.isfinite, self.mean)), "finite"),
            ("std", all(0 < value < math.inf for value in self.std), "positive"),
        ):
            if not fits:
                raise ModelError(
                    f"The network's input description makes no sense: {entry} must be {says}."
                )
        if self.interpolation not in INTERPOLATIONS:
            raise ModelError(
                f"The network asks for the interpolation {quoted(self.interpolation)}. Known are "
                f"{', '.join(INTERPOLATIONS)}."
            )
        if self.crop_mode not in CROP_MODES:
            raise ModelError(
                f"The network asks for the crop mode {quoted(self.crop_mode)}. Known are "
                f"{', '.join(CROP_MODES)}."
            )

    @property
    def assumed(self) -> tuple[str, ...]:
        """The parts that nobody states, of `size`, `normalisation` and `crop`."""
        return tuple(part for part in PARTS if getattr(self.origin, part) is None)

    def sentence(self, view: View = "crop") -> str:
        """What the network is fed in this view, and who says so or that it was assumed."""
        height, width = self.size
        frame = f"{width} × {height} crop"
        if self.crop_mode != "center":
            frame += ", squashed" if self.crop_mode == "squash" else " with borders"
        if view == "whole":
            fitted = "fitted into" if self.fixed_size else "at the scale of a crop of"
            frame = f"whole photo {fitted} {width} × {height}"
        return f"Input: {frame}, {self._normalisation()} ({self._sources()})."

    def _normalisation(self) -> str:
        if (self.mean, self.std) == (IMAGENET_MEAN, IMAGENET_STD):
            return "ImageNet mean and std"
        if not any(self.mean) and all(value == 1 for value in self.std):
            return "values from 0 to 1"
        mean, std = (", ".join(f"{v:.4g}" for v in values) for values in (self.mean, self.std))
        return f"mean {mean} and std {std}"

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
        source: str = "stated by the pretrained_cfg",
    ) -> InputSpec:
        """Read a timm `pretrained_cfg` as `timm.data.resolve_data_config` reads it.

        Missing or empty entries get timm's defaults and count as assumed; `source` says who states
        the others. Raises ModelError for networks that do not take three colour channels, and for
        entries of other types than timm's.
        """
        given = _described(cfg)
        channels, height, width = given.input_size or (3, *DEFAULT_SIZE)
        if channels != 3:
            raise ModelError(
                f"This network takes {quoted(channels)} input channels; photos have 3. Choose a "
                "network with in_chans=3."
            )
        # "random" is for training only; timm cannot evaluate with it, bilinear is one of the two.
        name = (given.interpolation or "bicubic").replace("random", "bilinear")
        return cls(
            size=(height, width),
            mean=_triple(given.mean or IMAGENET_MEAN),
            std=_triple(given.std or IMAGENET_STD),
            interpolation=cast("Interpolation", name),
            crop_pct=given.crop_pct or DEFAULT_CROP_PCT,
            crop_mode=cast("CropMode", given.crop_mode or "center"),
            multiple=multiple,
            fixed_size=bool(given.fixed_input_size),
            origin=InputOrigin.of((source, msgspec.to_builtins(given))),
        )


def _described(cfg: Mapping[str, Any]) -> InputDescription:
    """Read a `pretrained_cfg` by its types; a network's own code may hold NumPy's numbers."""
    try:
        entries = {name: cfg.get(name) for name in InputDescription.__struct_fields__}
        plain = msgspec.to_builtins(entries, enc_hook=_from_numpy)
        stated = {name: value for name, value in plain.items() if value or value is False}
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


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    numbers = tuple(values)
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3:
        raise ModelError(f"A mean or std of {len(numbers)} values does not fit a colour photo.")
    return numbers[0], numbers[1], numbers[2]
