"""Figures as the bytes of a file: the same bytes whenever the same figure is drawn.

No dates and no versions are written. Text stays text: PDF embeds TrueType fonts (Type 42)
and SVG keeps letters, with the fonts that draw them. The size is the figure's own: nothing is
trimmed.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfFile, RendererPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image
from PIL.TiffImagePlugin import STRIPBYTECOUNTS, STRIPOFFSETS, TiffImageFile

from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.formats import (
    DEFAULT_DPI,
    FORMATS,
    MAX_DPI,
    MIN_DPI,
    FileFormat,
    format_of,
)
from cbam_viz.figures.paper.pdf_fonts import only_truetype
from cbam_viz.figures.paper.settings import pinned_settings
from cbam_viz.figures.paper.svg_fonts import with_fonts
from cbam_viz.render import encode
from cbam_viz.store import write_atomic

Pixels = npt.NDArray[np.uint8]


def render(figure: Figure, file_format: FileFormat, *, dpi: float = DEFAULT_DPI) -> bytes:
    """The figure as a file. `dpi` is for PNG and TIFF.

    Raises:
        FigureError: for another format, or a resolution outside 36 to 1200.
    """
    if file_format not in FORMATS:
        raise FigureError(
            f"A figure cannot be written as {file_format!r}. Choose {', '.join(FORMATS)}."
        )
    if not MIN_DPI <= dpi <= MAX_DPI:
        raise FigureError(f"Choose a resolution from {MIN_DPI} to {MAX_DPI} dpi, not {dpi:g}.")
    with pinned_settings(), _restored(figure):
        if file_format == "pdf":
            return _pdf(figure)
        if file_format == "svg":
            return _svg(figure)
        pixels = _rasterised(figure, dpi)
    return _png(pixels, dpi) if file_format == "png" else _tiff(pixels, dpi)


def save(
    figure: Figure, path: str | Path, *, dpi: float = DEFAULT_DPI, force: bool = False
) -> Path:
    """Write the figure to a file whose name ends in .pdf, .svg, .png or .tiff.

    Raises:
        FigureError: if the name says no format.
        StoreError: if the file exists and `force` is not given, or cannot be written.
    """
    file_format = format_of(Path(path).name)
    return write_atomic(path, render(figure, file_format, dpi=dpi), force=force)


@contextmanager
def _restored(figure: Figure) -> Iterator[None]:
    """Writers change the figure's resolution and canvas."""
    dpi, canvas = figure.dpi, figure.canvas
    try:
        yield
    finally:
        figure.set_canvas(canvas)
        figure.set_dpi(dpi)


class _Pdf(PdfFile):  # type: ignore[misc]
    """matplotlib's PDF with pictures compressed by OpenCV: lossless too, four times as fast."""

    def _writePng(self, img: Image.Image) -> tuple[bytes, int | None, bytes | None]:  # noqa: N802
        if img.mode != "RGB":
            result: tuple[bytes, int | None, bytes | None] = super()._writePng(img)
            return result
        return _idat(encode(np.asarray(img))), 8, None


def _pdf(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Creator": "cbam-viz", "Producer": None, "CreationDate": None}
    FigureCanvasPdf(figure)
    figure.set_dpi(72)
    width, height = figure.get_size_inches()
    file = _Pdf(buffer, metadata=metadata)
    file.newPage(width, height)
    renderer: RendererBase = MixedModeRenderer(
        figure, width, height, 72, RendererPdf(file, 72, height, width), bbox_inches_restore=None
    )
    with only_truetype(figure):
        figure.draw(renderer)
        renderer.finalize()  # type: ignore[attr-defined]
        file.finalize()
    file.close()
    return buffer.getvalue()


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.set_dpi(72)
    metadata = {"Creator": "cbam-viz", "Date": None}
    FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)
    return with_fonts(buffer.getvalue(), figure)


def _rasterised(figure: Figure, dpi: float) -> Pixels:
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    rgba = np.asarray(canvas.buffer_rgba())
    return np.ascontiguousarray(rgba[:, :, :3])


def _png(pixels: Pixels, dpi: float) -> bytes:
    """OpenCV's PNG with the resolution added, which it does not write."""
    data = encode(pixels)
    per_metre = round(dpi / 0.0254)
    body = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]  # after the signature and IHDR


def _tiff(pixels: Pixels, dpi: float) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", compression="tiff_lzw", dpi=(dpi, dpi))
    # libtiff pads to an even place with whatever its buffer held: one picture, other bytes.
    buffer.seek(0)
    with TiffImageFile(buffer) as written:
        end = written.tag_v2[STRIPOFFSETS][-1] + written.tag_v2[STRIPBYTECOUNTS][-1]
    if end % 2:
        buffer.getbuffer()[end] = 0
    return buffer.getvalue()


def _idat(png: bytes) -> bytes:
    """The compressed rows of a PNG, which is what a PDF with PNG predictors holds."""
    rows = b""
    position = 8
    while position < len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        if kind == b"IDAT":
            rows += png[position + 8 : position + 8 + length]
        position += 12 + length
    return rows
