"""What the visitor can take away: the current picture, and the gates as numbers.

Files are made when a button is clicked, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import PurePath

import streamlit as st

from cbam_viz.store import Provenance, csv_text, npz_bytes, safe_name
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.drawing.on_photo import OnPhoto
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session.link import Settings

MIME_TYPES = {"png": "image/png", "npz": "application/zip", "csv": "text/csv"}


def button(scene: Scene, *sides: OnPhoto) -> None:
    """One button that opens the choices: each picture that is shown, and the gates of the scene."""
    stem = safe_name(PurePath(scene.photo.name).stem)
    with st.popover("Download", icon=":material/download:"):
        for position, side in enumerate(sides):
            if side.field is not None:
                _picture(side, position, scene.settings)
        _offer("Gates of all layers (NPZ)", partial(gates_npz, scene), f"{stem}_gates.npz")
        _offer("Gates of all layers (CSV)", partial(gates_csv, scene), f"{stem}_gates.csv")


def _offer(label: str, make: Callable[[], bytes], name: str, key: str = "") -> None:
    ending = PurePath(name).suffix[1:]
    st.download_button(
        label,
        make,
        file_name=name,
        mime=MIME_TYPES[ending],
        on_click="ignore",
        key=f"download_{ending}{key}",
        width="stretch",
    )


def _picture(side: OnPhoto, position: int, chosen: Settings) -> None:
    assert side.field is not None
    height, width = side.photo.size
    make = partial(
        pictures.full_picture,
        side,
        show=chosen.show,
        style=chosen.cells,
        colormap=chosen.colormap,
        opacity=chosen.opacity,
        outlined=chosen.found,
    )
    which = "The picture beside it" if position else "This picture"
    name = f"{safe_name(PurePath(side.photo.name).stem)}_{safe_name(side.name)}.png"
    _offer(f"{which}, {width} × {height} (PNG)", make, name, f"_{position}" if position else "")
    if chosen.show == "contours":
        st.caption(f"{pictures.lines_at(side.field.scale).capitalize()}; the file says so too.")


def gates_npz(scene: Scene) -> bytes:
    """All gates, with where their cells lie and what they were made from."""
    origin = Provenance.of_analysis(scene.analysis, scene.loaded.sha256)
    return npz_bytes(scene.analysis.attention, origin)


def gates_csv(scene: Scene) -> bytes:
    """All gates, a row a value."""
    return csv_text(scene.analysis.attention, geometry=scene.analysis.geometry).encode()
