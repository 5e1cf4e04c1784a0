"""What a network expects as its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

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
        if min(self.size) < 1 or self.multiple < 1 or not self.crop_pct > 0 or min(self.std) <= 0:
            raise ModelError(
                f"The network's input description makes no sense: {self}. Sizes, crop share and "
                "standard deviations must be positive."
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ModelError(
                f"The network asks for the interpolation {self.interpolation!r}. Known are "
                f"{', '.join(INTERPOLATIONS)}."
            )
        if self.crop_mode not in CROP_MODES:
            raise ModelError(
                f"The network asks for the crop mode {self.crop_mode!r}. Known are "
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
            frame = f"whole photo at the scale of a {width} × {height} crop"
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
        the others. Raises ModelError for networks that do not take three colour channels.
        """
        channels, height, width = cfg.get("input_size") or (3, *DEFAULT_SIZE)
        if channels != 3:
            raise ModelError(
                f"This network takes {channels} input channels; photos have 3. Choose a network "
                "with in_chans=3."
            )
        # "random" is for training only; timm cannot evaluate with it, bilinear is one of the two.
        name = str(cfg.get("interpolation") or "bicubic").replace("random", "bilinear")
        return cls(
            size=(int(height), int(width)),
            mean=_triple(cfg.get("mean") or IMAGENET_MEAN),
            std=_triple(cfg.get("std") or IMAGENET_STD),
            interpolation=cast("Interpolation", name),
            crop_pct=float(cfg.get("crop_pct") or DEFAULT_CROP_PCT),
            crop_mode=cfg.get("crop_mode") or "center",
            multiple=multiple,
            fixed_size=bool(cfg.get("fixed_input_size", False)),
            origin=InputOrigin.of((source, cfg)),
        )


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3:
        raise ModelError(f"A mean or std of {len(numbers)} values does not fit a colour photo.")
    return numbers[0], numbers[1], numbers[2]
