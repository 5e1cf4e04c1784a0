"""What a file is that is no readable picture, judged by its first bytes, in words for a user."""

from __future__ import annotations

from pathlib import PurePath

from PIL import Image, PngImagePlugin

from cbam_viz._suffixes import PICTURES
from cbam_viz.errors import ImageError

_ARCHIVE = "a ZIP archive or office document"
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "a JPEG"),
    (b"\x89PNG\r\n\x1a\n", "a PNG"),
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\x00", "a TIFF"),
    (b"MM\x00*", "a TIFF"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"PK\x03\x04", _ARCHIVE),
    (b"\x1f\x8b", "a gzip archive"),
    (b"8BPS", "a Photoshop document"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\x00\x00\x01\x00", "an icon (ICO)"),
    (b"DDS ", "a DDS texture"),
    (b"qoif", "a QOI picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture (HDR)"),
    (b"SIMPLE  =", "a FITS picture"),
    (b"NRRD0", "an NRRD scan"),
    (b"ObjectType", "a MetaImage scan"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file itself (git lfs pull fetches it)",
    ),
    *(
        (start, "a raw camera file")
        for start in (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb")
    ),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)

_BRANDS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"avif", b"avis"), "an AVIF"),
    ((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "a HEIC"),
    ((b"crx ",), "a raw camera file"),
)

_SAME = {"MPO": "JPEG", "DIB": "BMP"}
_SHOWN = {"WEBP": "WebP", "HEIF": "HEIC", "MPO": "JPEG", "DIB": "BMP"}


READABLE = "JPEG, PNG, WebP, BMP, TIFF, GIF or AVIF, and for scans .npy, DICOM or NIfTI"

_SUBFILE, _DNG = 254, 50706
"""TIFF 6.0, section 8: NewSubfileType, whose first bit is of a reduced picture; DNG's version."""


def refuse_preview(image: Image.Image, data: bytes, title: str) -> None:
    """Raise ImageError for a TIFF whose first page is not the picture that is meant.

    Cameras write their raw files as TIFFs that begin with a small preview.
    """
    tags = getattr(image, "tag_v2", None) or {}
    kind = tags.get(_SUBFILE, 0)
    reduced = isinstance(kind, int) and kind & 1
    if tags and (data[8:10] == b"CR" or _DNG in tags):
        raise ImageError(
            f"{title} is a raw camera file, and what could be shown of it is a small preview. "
            "Develop it with your camera's program, and save it as a JPEG, or as a PNG or TIFF of "
            "16 bits."
        )
    if reduced:
        raise ImageError(
            f"{title} begins with a reduced copy of its picture, as raw camera files do, and only "
            "the first page of a TIFF is read. Save the picture alone, as a JPEG, PNG or TIFF."
        )


def say_unidentified(title: str, data: bytes) -> str:
    """Why no decoder took the file, and what to do, as one sentence or two."""
    kind = _kind(data)
    if kind == _ARCHIVE and _first_name(data).endswith(".npy"):
        return (
            f"{title} is an archive of NumPy arrays (.npz). Save the one that is the picture by "
            "itself: numpy.save('photo.npy', array)."
        )
    if kind == "a HEIC":
        return (
            f"{title} is a HEIC photo, which this installation cannot decode. Save it as a JPEG, "
            "or install the package pillow-heif."
        )
    if kind == "a TIFF":
        return (
            f"{title} cannot be read: it is a damaged TIFF, or one whose values are of a kind that "
            "no decoder here takes, such as floats of 64 bits, colours as floats or more than four "
            "channels. Save it as a PNG of 8 or 16 bits, or its numbers as a .npy file."
        )
    if kind in _PICTURES:
        return say_damaged(title, data)
    begins = f": it begins like {kind}" if kind else ""
    return f"{title} is not a picture that can be read{begins}. Use {READABLE}."


def says_too_much(error: Exception) -> bool:
    """Whether Pillow gave up because what stands beside a PNG's picture takes too much memory."""
    told = str(error).lower()
    return "decompressed data too large" in told or "memory used in text chunks" in told


def say_damaged(title: str, data: bytes, error: Exception | None = None) -> str:
    """That decoding failed, why if `error` shows it, and what to do."""
    if error is not None and says_too_much(error):
        return (
            f"{title} has text or a colour profile beside its picture that takes more memory than "
            f"is allowed: {PngImagePlugin.MAX_TEXT_CHUNK >> 20} MB for one that is compressed, "
            f"{PngImagePlugin.MAX_TEXT_MEMORY >> 20} MB for all. Save it again without them."
        )
    kind = _kind(data)
    content = f"{kind.split(maxsplit=1)[1]} content" if kind in _PICTURES else "content"
    return (
        f"{title} is damaged or incomplete: its {content} cannot be decoded to the end. Save or "
        "download it again."
    )


def content_differs(name: str, content: str) -> str:
    """A note if a file's extension promises another format than its content has; else empty."""
    suffix = PurePath(name).suffix.lower()
    promised = PICTURES.get(suffix)
    if promised is None or promised == _SAME.get(content, content):
        return ""
    return (
        f"It is named {suffix} but its content is {_SHOWN.get(content, content)}, and was read so."
    )


_PICTURES = frozenset(
    {"a JPEG", "a PNG", "a GIF", "a BMP", "a TIFF", "a WebP", "an AVIF", "a HEIC"}
)


def _first_name(data: bytes) -> str:
    """Of the first file in a ZIP archive."""
    length = int.from_bytes(data[26:28], "little")
    return data[30 : 30 + length].decode("utf-8", "replace")


def _kind(data: bytes) -> str:
    if data[:4] == b"RIFF":
        return "a WebP" if data[8:12] == b"WEBP" else "sound or video"
    if data[4:8] == b"ftyp":
        return next((kind for brands, kind in _BRANDS if data[8:12] in brands), "a video")
    for beginning, kind in _BEGINNINGS:
        if data.startswith(beginning):
            return kind
    return _text_kind(data[:1024])


def _text_kind(head: bytes) -> str:
    try:
        text = head.decode("utf-8-sig").lstrip().lower()
    except UnicodeDecodeError as error:
        # A cut in the middle of a character, at the very end, still is text.
        if error.start < len(head) - 4:
            return ""
        text = head[: error.start].decode("utf-8", "ignore").lstrip().lower()
    if "<svg" in text:
        return "an SVG drawing, which is made of shapes and not of pixels"
    if text.startswith(("<!doctype html", "<html")):
        return "a web page"
    return "text" if text.isprintable() or "\n" in text else ""
