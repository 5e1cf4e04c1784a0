"""What the visitor can take away: the current picture, and the gates as numbers.

Files are made when a button is clicked, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import PurePath

import streamlit as st

from cbam_viz.attention import LayerAttention
from cbam_viz.store import Provenance, csv_text, npz_bytes, safe_name
from cbam_viz.ui import session
from cbam_viz.ui.parts import pictures
from cbam_viz.ui.scene import Scene

MIME_TYPES = {"png": "image/png", "npz": "application/zip", "csv": "text/csv"}


def button(scene: Scene, layer: LayerAttention) -> None:
    """One button that opens the choices."""
    stem = safe_name(PurePath(scene.photo.name).stem)
    with st.popover("Download", icon=":material/download:"):
        if layer.spatial is not None:
            _picture(scene, layer, stem)
        _offer("Gates of all layers (NPZ)", partial(gates_npz, scene), f"{stem}_gates.npz")
        _offer("Gates of all layers (CSV)", partial(gates_csv, scene), f"{stem}_gates.csv")


def _offer(label: str, make: Callable[[], bytes], name: str) -> None:
    ending = PurePath(name).suffix[1:]
    st.download_button(
        label,
        make,
        file_name=name,
        mime=MIME_TYPES[ending],
        on_click="ignore",
        key=f"download_{ending}",
        width="stretch",
    )


def _picture(scene: Scene, layer: LayerAttention, stem: str) -> None:
    chosen = session.settings()
    height, width = scene.photo.size
    make = partial(
        pictures.full_overlay,
        scene.photo,
        scene.analysis.geometry,
        layer,
        show=chosen.show,
        scale=scene.scale(layer),
        colormap=chosen.colormap,
        opacity=chosen.opacity,
    )
    name = f"{stem}_{safe_name(layer.name)}.png"
    _offer(f"This picture, {width} × {height} (PNG)", make, name)


def gates_npz(scene: Scene) -> bytes:
    """All gates, with where their cells lie and what they were made from."""
    origin = Provenance.of_analysis(scene.analysis, scene.loaded.sha256)
    return npz_bytes(scene.analysis.attention, origin)


def gates_csv(scene: Scene) -> bytes:
    """All gates, a row a value."""
    return csv_text(scene.analysis.attention, geometry=scene.analysis.geometry).encode()
