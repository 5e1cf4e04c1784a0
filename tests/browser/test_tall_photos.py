"""A photo four times as tall as wide: pictures of it leave room for what stands beside them."""

from __future__ import annotations

import pytest

from tests.browser.conftest import settle

pytestmark = pytest.mark.browser

HEIGHT = 900
UPLOADER = "[data-testid=stFileUploaderDropzoneInput]"


@pytest.mark.parametrize(
    ("address", "picture", "most"),
    [
        ("/", "canvas[role=img][data-drawn]", 0.75),
        ("/layers", "img.picture", 0.5),
    ],
)
def test_no_picture_of_a_tall_photo_fills_the_window(visit, png, address, picture, most):
    page = visit(address, viewport={"width": 1440, "height": HEIGHT})
    tall = {"name": "tall.png", "mimeType": "image/png", "buffer": png((90, 120, 60), (800, 200))}
    page.locator(UPLOADER).first.set_input_files(tall)
    page.get_by_role("button", name="Your photo: tall.png").wait_for()
    settle(page)
    page.locator(picture).first.wait_for()
    page.wait_for_timeout(500)
    heights = page.locator(picture).evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert 60 < max(heights) <= most * HEIGHT
