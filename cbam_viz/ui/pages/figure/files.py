"""The figure's files on the page Figure: made once, shown and downloaded as they are."""

from __future__ import annotations

import io
import json
from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from cbam_viz.figures import Built, FigureSpec, FileFormat, build
from cbam_viz.figures.ask.formats import DEFAULT_DPI
from cbam_viz.figures.beside.bundle import EXTRAS, Sources, extra_files
from cbam_viz.figures.beside.manifest import NetworkSource, PhotoSource, network_source
from cbam_viz.figures.beside.preview import grey_print, pdf_to_png
from cbam_viz.figures.beside.stores import store_sources
from cbam_viz.render import encode
from cbam_viz.store import safe_name, zip_bytes
from cbam_viz.ui.pages.figure.sources import Chosen, Material, Network, key_of, study_of
from cbam_viz.ui.pages.figure.state import kept
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.sidebar.networks import FALLBACK, folder

STEM = "figure"


@dataclass(frozen=True)
class Made:
    """A finished figure."""

    built: Built
    file_format: FileFormat
    dpi: int
    data: bytes

    @property
    def name(self) -> str:
        """File name."""
        return f"{STEM}.{self.file_format}"


def make(
    spec: FigureSpec,
    material: Material,
    scene: Scene,
    *,
    file_format: FileFormat,
    dpi: int = DEFAULT_DPI,
) -> Made:
    """The figure's file, from memory where nothing has changed. Raises CbamVizError."""

    def draw() -> Made:
        built = build(spec, study_of(spec, material, scene))
        return Made(built, file_format, dpi, built.render(file_format, dpi=dpi))

    key: Hashable = (
        json.dumps(spec.to_dict()), key_of(material, scene), file_format, dpi,
    )  # fmt: skip
    return kept().files.get_or_make(key, draw)


def preview(made: Made, *, grey: bool) -> bytes | str:
    """What that very file looks like: PNG, or the SVG itself."""
    if made.file_format == "svg" and not grey:
        return made.data.decode()
    if made.file_format == "pdf":
        png = pdf_to_png(made.data)
    elif made.file_format == "tiff":
        pixels = np.asarray(Image.open(io.BytesIO(made.data)))
        png = encode(np.ascontiguousarray(pixels))
    elif made.file_format == "svg":
        # The browser draws SVG; its grey print is that of the same figure as pixels.
        png = made.built.render("png", dpi=160)
    else:
        png = made.data
    return grey_print(png) if grey else png


def extras(made: Made, material: Material) -> dict[str, bytes]:
    """Arrays, numbers, LaTeX and manifest, by file name."""
    sources = Sources(
        tuple(
            PhotoSource(_file(number, one), one.photo.name, one.photo.sha256, one.photo.size)
            for number, one in enumerate(material.photos, 1)
        ),
        tuple(_network_source(network) for network in material.networks),
        tuple(network.loaded for network in material.networks),
        ("cbam-viz", "app"),
        # By their names: where they lie on this machine is nobody's business.
        stores=tuple(
            replace(source, file=Path(source.file).name)
            for source in store_sources(made.built, Path())
        ),
    )
    return extra_files(
        made.built, STEM, EXTRAS, sources, rendered={made.name: made.data}, dpi=made.dpi
    )


def bundle(made: Made, material: Material) -> bytes:
    """Everything in one ZIP, the visitor's own photos included, so that it can be made again."""
    files = {made.name: made.data, **extras(made, material)}
    for number, one in enumerate(material.photos, 1):
        if one.content is not None:
            files[_file(number, one)] = one.content
    return zip_bytes(files)


def _file(number: int, one: Chosen) -> str:
    return one.file if one.content is None else f"photos/{number}-{safe_name(one.photo.name)}"


def _network_source(network: Network) -> NetworkSource:
    """As the command line opens it: a checkpoint by its file's name, or the seeded random one."""
    request = network.request
    untrained = request.path is None and request.sha256 is None
    source = network_source(
        network.loaded,
        None,
        folder(),
        architecture=(request.architecture or FALLBACK) if untrained else request.architecture,
        attention=request.attention,
        allow_missing_attention=request.insist,
    )
    name = request.path.name if request.path is not None else request.name
    return source if untrained else replace(source, checkpoint=name)
