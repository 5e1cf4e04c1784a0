"""Pictures of photos that are smaller than what is drawn on them, or much taller than wide."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from cbam_viz.ui.drawing.pictures import LEAST, screen_size

TINY = (14, 20)


@pytest.fixture
def tiny() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((*TINY, 3), 200, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(url: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        (TINY, 1280, (280, LEAST)),
        (TINY, 320, (224, 320)),
        ((1, 1), 1280, (LEAST, LEAST)),
        ((300, 451), 1280, (300, 451)),
        ((3000, 1500), 1280, (1280, 640)),
        ((1, 8000), 1280, (1, 1280)),
    ],
)
def test_pictures_are_neither_tiny_nor_huge(size, longest, expected) -> None:
    assert screen_size(size, longest) == expected


def test_what_is_drawn_on_a_tiny_photo_does_not_cover_it(open_app, tiny) -> None:
    app = open_app(layer="layer4.1.se")
    app.file_uploader(key="photo_file").upload("icon.png", tiny).run()
    viewer = json.loads(app.get_by_key("explore_viewer").proto.json)
    assert viewer["size"] == [280, LEAST]
    photo = pixels(viewer["photo"])
    assert photo.shape == (280, LEAST, 3)
    hatched = photo[140, :40]  # left of the crop: its lines are thin, and dark lies between them
    assert (hatched.max(), hatched.min()) == pytest.approx((130, 60), abs=30)
    assert photo[140, 200].tolist() == pytest.approx([200] * 3, abs=4)
