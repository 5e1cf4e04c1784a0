"""How much memory a picture takes while it is decoded, from its header alone."""

from __future__ import annotations

from PIL import Image

from cbam_viz.errors import ImageError

MAX_MEMORY = 1_000_000_000
"""Bytes that decoding one picture may take, beyond the file itself."""

_DECODED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Bytes a pixel in Pillow's memory; 4 for all other modes."""
_CODEC = {"WEBP": 16, "AVIF": 9, "HEIF": 9}
"""Bytes a pixel that these decoders hold themselves; the others decode into Pillow's memory."""
_KEPT = {"WEBP": 12, "AVIF": 3, "HEIF": 3}
"""What they keep of it until the file is closed, as they may be asked for another frame."""
_RGB = 3
_TWICE = 4 + 6
"""Bytes a pixel of a picture that is decoded twice: again, and all 16 bits of its colours."""
_WIDE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def check_memory(image: Image.Image, title: str, *, turned: bool, twice: bool = False) -> None:
    """Raise ImageError for a picture that would take more than `MAX_MEMORY`; nothing is decoded.

    `turned` and `twice` say what else is to be done with it: be turned, be decoded twice.
    Measured peaks lie below this estimate by up to a third.
    """
    height, width = image.size
    needed = height * width * (_bytes_a_pixel(image, turned) + _TWICE * twice) + _largest_tile(
        image
    )
    if needed > MAX_MEMORY:
        raise ImageError(
            f"{title} has {height * width / 1e6:.1f} megapixels, which would take "
            f"{needed / 1e9:.2f} GB to decode as {image.format or 'a picture'} of this kind; the "
            f"limit is {MAX_MEMORY / 1e9:g} GB. Make it smaller, or save it as a JPEG."
        )


def _bytes_a_pixel(image: Image.Image, turned: bool) -> int:
    decoded = _DECODED.get(image.mode, 4)
    codec, kept = _CODEC.get(image.format or "", 0), _KEPT.get(image.format or "", 0)
    held = decoded + kept
    turning = held + decoded * turned
    if image.mode in _WIDE:
        after = held + decoded + 1 + _RGB  # the numbers, 8 bits of them, three channels
    elif image.has_transparency_data:
        after = held + 1 + _RGB  # put on white in bands
    else:
        converted = 0 if image.mode == "RGB" else 4
        after = held + converted + 2 * _RGB  # Pillow gives its bytes in one piece, then joined
    if image.info.get("icc_profile"):
        after = max(after, held + _RGB + 4 + 4 + _RGB)  # the same again, to and from Pillow
    return max(decoded + codec, turning, after)


def _largest_tile(image: Image.Image) -> int:
    """A TIFF's tiles are decoded whole, and may be larger than the picture."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return 0
    sides = [tags.get(tag) for tag in (322, 323)]  # TileWidth, TileLength
    if not all(isinstance(side, int) for side in sides):
        return 0
    return int(sides[0] * sides[1]) * 4 if sides[0] * sides[1] > image.width * image.height else 0
