"""Training in a browser: the slider moves the map, the chart is drawn, nothing is cut."""

from __future__ import annotations

import pytest

from tests.browser.conftest import settle

BEYOND = """() => [...document.querySelectorAll(
    "[data-testid=stMain] img, [data-testid=stMain] svg, [data-testid=stMain] canvas")]
  .map(part => part.getBoundingClientRect())
  .filter(box => box.width && (box.left < -1 || box.right > innerWidth + 1)).length"""


@pytest.mark.parametrize("width", [390, 1440])
def test_the_run_that_comes_along(context, server, width):
    page = context.new_page()
    try:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{server}/training?image=cat")
        page.get_by_text("9 steps of ResNet on").wait_for()
        settle(page)
        main = page.get_by_test_id("stMain")
        large = main.get_by_role("img", name="Spatial map of layer4.0.se at step 400")
        large.wait_for()
        assert main.get_by_role("img", name="layer4.0.se at step").count() == 9 + 1
        box = large.bounding_box()
        assert box["width"] > 250
        page.get_by_role("slider").press("ArrowLeft")
        settle(page)
        main.get_by_role("img", name="Spatial map of layer4.0.se at step 350").wait_for()
        assert "training_at=350" in page.url
        points = page.locator("[data-testid=stVegaLiteChart] .mark-symbol.role-mark path")
        points.nth(4 * 9 - 1).wait_for(state="attached")
        assert main.evaluate("main => main.scrollWidth - main.clientWidth") <= 1
        assert page.evaluate(BEYOND) == 0
    finally:
        page.close()
