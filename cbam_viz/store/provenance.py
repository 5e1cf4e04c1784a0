"""Where stored gates come from: network, photo, placement and versions."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cbam_viz.errors import StoreError
from cbam_viz.images import VIEWS, Geometry, Photo

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis

PACKAGES = ("torch", "timm", "numpy")


@dataclass(frozen=True)
class Provenance:
    """What it takes to make the same gates again; leave out what is not known."""

    model: str = ""
    checkpoint_sha256: str = ""
    photo: str = ""
    """File name."""
    photo_sha256: str = ""
    geometry: Geometry | None = None
    """Where the network's input lies on the photo."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else should be kept; strings, numbers, lists and dicts of them."""

    @classmethod
    def of(
        cls,
        photo: Photo,
        geometry: Geometry,
        model: str,
        checkpoint_sha256: str | None = None,
        **extra: Any,
    ) -> Provenance:
        """Collect it from a photo and a network's name."""
        return cls(model, checkpoint_sha256 or "", photo.name, photo.sha256, geometry, extra)

    @classmethod
    def of_analysis(
        cls, analysis: Analysis, checkpoint_sha256: str | None = None, **extra: Any
    ) -> Provenance:
        """Collect it from a result, with what the network was fed and what of that was assumed."""
        return cls.of(
            analysis.photo,
            analysis.geometry,
            analysis.model_name,
            checkpoint_sha256,
            input=analysis.input,
            prediction_note=analysis.prediction_note,
            **extra,
        )


def versions() -> dict[str, str]:
    """Version of cbam-viz and of what computed the gates."""
    from cbam_viz import __version__

    return {"cbam_viz": __version__, **{package: _version(package) for package in PACKAGES}}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def to_document(provenance: Provenance) -> dict[str, Any]:
    """Plain data for JSON."""
    return asdict(provenance)


def from_document(document: Mapping[str, Any]) -> Provenance:
    """Read it back; raises StoreError if it is not what `to_document` makes."""
    known = {name: document[name] for name in Provenance.__dataclass_fields__ if name in document}
    geometry = known.get("geometry")
    try:
        known["geometry"] = None if geometry is None else _geometry(geometry)
        return Provenance(**known)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"The file's provenance is damaged: {error}. Make it again.") from error


def _geometry(document: Mapping[str, Any]) -> Geometry:
    if document["view"] not in VIEWS:
        raise ValueError(f"no view {document['view']!r}")
    numbers = {
        name: float(document[name]) for name in ("scale_y", "scale_x", "offset_y", "offset_x")
    }
    return Geometry(
        photo_size=_pair(document["photo_size"]),
        input_size=_pair(document["input_size"]),
        view=document["view"],
        border=None if document.get("border") is None else _colour(document["border"]),
        **numbers,
    )


def _colour(values: Any) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _pair(values: Any) -> tuple[int, int]:
    height, width = (int(value) for value in values)
    return height, width
