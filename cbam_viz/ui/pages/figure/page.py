"""Page Figure: a figure for a paper, at the venue's width, with what belongs beside it."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from cbam_viz._numbers import file_size
from cbam_viz.figures import DEFAULT_DPI, FORMATS, MIME_TYPES, FigureSpec, FileFormat
from cbam_viz.figures.beside.caption import caption
from cbam_viz.ui.errors import boundary
from cbam_viz.ui.pages.figure import by_method, controls, of_store
from cbam_viz.ui.pages.figure import files as figure_files
from cbam_viz.ui.pages.figure import sources as figure_sources
from cbam_viz.ui.pages.figure.files import Made
from cbam_viz.ui.pages.figure.sources import Material, current
from cbam_viz.ui.parts.layout import two_columns
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.session import control
from cbam_viz.ui.words import plain

LARGE = 10_000_000
"""Bytes from which on a smaller file is suggested."""


def page(scene: Scene) -> None:
    """The file itself at the left, its controls at the right."""
    shown, beside = two_columns("figure")
    with beside:
        if of_store.is_wanted():
            with boundary():
                spec, material = _of_store(scene)
                with shown:
                    _figure(spec, material, scene)
            return
        spec, material = _settings(scene)
    with shown, boundary():
        _figure(spec, material, scene)


def _of_store(scene: Scene) -> tuple[FigureSpec, Material]:
    values, opened = of_store.choose()
    photo = values.get("layout") == "against"
    size = controls.page_size()
    material = Material(
        [figure_sources.current_photo(scene)] if photo else [],
        [current(scene)] if photo else [],
        opened,
    )
    return FigureSpec(**values, **size), material


def _settings(scene: Scene) -> tuple[FigureSpec, Material]:
    kind = controls.layout()
    photos = figure_sources.choose_photos(scene, several=kind != "depth")
    if kind == "grid":
        by_method.offer_presets(scene)
    # The other layouts show one network.
    networks = figure_sources.choose_networks(scene) if kind == "grid" else [current(scene)]
    values: dict[str, Any] = {"layout": kind}
    values |= controls.what(kind, scene, networks)
    values |= controls.page_size()
    has = controls.parts(kind, values)
    with st.expander("Look"):
        values |= controls.look(has, scene.view)
        if kind == "grid":
            if any(column.kind == "channels" for column in values["columns"]):
                values["order"] = controls.order()
            values["blocks"] = controls.blocks(len(photos))
    values["rows"] = controls.rows(photos, has)
    return FigureSpec(**values), Material(photos, networks)


def _figure(spec: FigureSpec, material: Material, scene: Scene) -> None:
    file_format, dpi, grey = _file_controls()
    if not material.photos and not material.stores:
        st.info("Choose at least one photo.", icon=":material/add_photo_alternate:")
        return
    with st.spinner("Drawing the figure …"):
        made = figure_files.make(spec, material, scene, file_format=file_format, dpi=dpi)
        picture = figure_files.preview(made, grey=grey)
    words = caption(made.built)
    with st.container(border=True):
        st.image(picture, alt=words, output_format="PNG")
    for note in made.built.notes:
        st.warning(plain(note), icon=":material/font_download_off:")
    _facts(made)
    _downloads(made, material)
    st.caption("Caption")
    st.code(words, language=None, wrap_lines=True)


def _file_controls() -> tuple[FileFormat, int, bool]:
    left, middle, right = st.columns((9, 5, 5), vertical_alignment="bottom")
    file_format: FileFormat = left.segmented_control(
        "File",
        list(FORMATS),
        format_func=str.upper,
        required=True,
        **control("format", "pdf", list(FORMATS)),
    )
    dpi = DEFAULT_DPI
    if file_format in ("png", "tiff"):
        dpi = middle.selectbox(
            "Resolution",
            [150, 300, 600],
            format_func="{} dpi".format,
            **control("dpi", DEFAULT_DPI, [150, 300, 600]),
        )
    grey = right.toggle(
        "Grey print", help="The preview as a grey printer sets it.", **control("grey", False)
    )
    return file_format, dpi, grey


def _facts(made: Made) -> None:
    width, height = (float(side) * 72 for side in made.built.figure.get_size_inches())
    st.caption(
        f"{width:.1f} × {height:.1f} points ({width / 72 * 25.4:.0f} × {height / 72 * 25.4:.0f} "
        f"mm), set in {made.built.spec.font}, {file_size(len(made.data))}. "
        "The preview is this very file."
    )
    if len(made.data) > LARGE and made.file_format in ("pdf", "svg"):
        st.caption("For a smaller file, lower the resolution of photos under Look.")


def _downloads(made: Made, material: Material) -> None:
    left, right = st.columns(2)
    left.download_button(
        f"Figure ({made.file_format.upper()})",
        made.data,
        file_name=made.name,
        mime=MIME_TYPES[made.file_format],
        icon=":material/download:",
        on_click="ignore",
        type="primary",
        width="stretch",
        key="figure_download",
    )
    right.download_button(
        "Everything (ZIP)",
        partial(figure_files.bundle, made, material),
        file_name=f"{figure_files.STEM}.zip",
        mime="application/zip",
        icon=":material/folder_zip:",
        on_click="ignore",
        width="stretch",
        help="The figure, its arrays (NPZ) and numbers (CSV), LaTeX, your photos, and a manifest "
        "from which cbam-viz figure --from makes it again.",
        key="figure_bundle",
    )
    with st.popover("Its numbers, LaTeX, manifest", icon=":material/attach_file:"):
        _extras(made, material)


def _extras(made: Made, material: Material) -> None:
    titles = {
        ".npz": "Arrays (NPZ)",
        ".csv": "Numbers (CSV)",
        ".tex": "LaTeX",
        ".manifest.json": "Manifest (JSON)",
    }
    for ending, title in titles.items():
        name = f"{figure_files.STEM}{ending}"
        st.download_button(
            title,
            partial(_extra, made, material, name),
            file_name=name,
            on_click="ignore",
            width="stretch",
            key=f"figure_extra{ending}",
        )


def _extra(made: Made, material: Material, name: str) -> bytes:
    return figure_files.extras(made, material)[name]
