"""Figures that are known by name: columns that belong together, and what they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cbam_viz.figures.ask.columns import Column, columns_from_text


@dataclass(frozen=True)
class Preset:
    """Columns of a grid."""

    title: str
    """In the app."""
    about: str
    """On the command line, after its name."""
    columns: str
    pair: bool = False
    """Whether it takes a second network: the same one without CBAM, where it is known."""


PRESETS: Mapping[str, Preset] = {
    "gradcam-pair": Preset(
        "Grad-CAM without and with CBAM",
        "Grad-CAM of the network without CBAM (the second one) and with it, for the class that the "
        "first predicts, with its probability by each",
        "input,gradcam@2,gradcam",
        pair=True,
    ),
}
"""`gradcam-pair` is the comparison of the CBAM paper (Woo et al., ECCV 2018, section 4.5)."""


def preset_columns(name: str, layer: str | None = None) -> tuple[Column, ...]:
    """The columns of a preset; where they are of a layer, of this one."""
    columns = columns_from_text(PRESETS[name].columns)
    return tuple(
        one if one.kind == "input" or layer is None else replace(one, name=layer) for one in columns
    )
