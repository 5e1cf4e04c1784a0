"""Pictures of finished files: what a PDF looks like, and what grey printing leaves of a figure."""

from __future__ import annotations

import cv2
import numpy as np

from cbam_viz.errors import FigureError
from cbam_viz.render import encode

PREVIEW_DPI = 160


def pdf_to_png(pdf: bytes, *, dpi: float = PREVIEW_DPI) -> bytes:
    """The first page of that very PDF as PNG, drawn by PDFium, which Chrome shows PDFs with.

    Raises:
        FigureError: if pypdfium2 is missing or the bytes are no PDF.
    """
    try:
        import pypdfium2  # type: ignore[import-untyped]
    except ImportError as error:
        raise FigureError(
            "Previews of PDF files need pypdfium2: run pip install pypdfium2, or preview the PNG."
        ) from error
    try:
        document = pypdfium2.PdfDocument(pdf)
    except pypdfium2.PdfiumError as error:
        raise FigureError(f"This is no PDF: {error}.") from error
    try:
        bitmap = document[0].render(scale=dpi / 72)
        pixels = np.asarray(bitmap.to_numpy())
        return encode(np.ascontiguousarray(pixels[:, :, 2::-1]))
    finally:
        document.close()


def grey_print(png: bytes) -> bytes:
    """The picture as a grey printer sets it: luminance (Rec. 601) alone."""
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise FigureError("The preview is no picture that can be read.")
    return encode(np.asarray(pixels, dtype=np.uint8))
