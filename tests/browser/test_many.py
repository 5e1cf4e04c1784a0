"""Many photos in a browser: views by clicks, charts that are drawn, nothing cut on a phone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import cbam_viz
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from tests.browser.conftest import free_port, settle, start_server
from tests.cli.conftest import write_photo, write_tiny

pytest.importorskip("pyarrow")

VIEWS = (
    "Layers",
    "Classes",
    "Curves",
    "Channel",
    "Photo",
    "Unusual photos",
    "This photo",
    "Two stores",
)
BEYOND = """() => [...document.querySelectorAll(
    "[data-testid=stMain] img, [data-testid=stMain] svg, [data-testid=stMain] canvas")]
  .map(part => part.getBoundingClientRect())
  .filter(box => box.width && (box.left < -1 || box.right > innerWidth + 1)).length"""


@pytest.fixture(scope="module")
def address(checkpoint_folder, tmp_path_factory):
    """A server with a store of twelve photos of three classes."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(12):
        write_photo(folder / "photos" / "abc"[number % 3] / f"{number}.png", seed=number)
    loaded = cbam_viz.load_model(write_tiny(folder / "tiny.safetensors"))
    photos, store = [str(folder / "photos")], folder / "stores" / "tiny"
    run_batch(loaded, photos, store, Settings(view="crop"), workers=1)
    port, log = free_port(), folder / "log.txt"
    before = os.environ.get("CBAM_VIZ_STORES")
    os.environ["CBAM_VIZ_STORES"] = str(folder / "stores")
    try:
        process = start_server(checkpoint_folder, port, log)
    finally:
        del os.environ["CBAM_VIZ_STORES"]
        if before is not None:
            os.environ["CBAM_VIZ_STORES"] = before
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)
    assert "Traceback" not in Path(log).read_text()


@pytest.mark.parametrize("width", [390, 1440])
def test_every_view_is_drawn_and_none_is_wider_than_the_window(context, address, width):
    page = context.new_page()
    try:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{address}/many?image=cat")
        page.get_by_text("12 photos of 3 classes in").wait_for()
        for view in VIEWS:
            page.get_by_role("radio", name=view, exact=True).click()
            settle(page)
            main = page.get_by_test_id("stMain")
            assert main.evaluate("main => main.scrollWidth - main.clientWidth") <= 1
            assert page.get_by_test_id("stAlertContentError").count() == 0
            if view == "Classes":
                cells = page.locator("[data-testid=stVegaLiteChart] .mark-rect.role-mark path")
                cells.nth(3 * 32 + 9 - 1).wait_for(state="attached")
                assert cells.count() == 3 * 32 + 3 * 3
                box = cells.first.bounding_box()
                assert box["height"] > 15
            if view == "Channel":
                assert main.get_by_role("img", name=".png").count() == 16
            assert page.evaluate(BEYOND) == 0
        assert "many_view=stores" in page.url
        assert "many_store=tiny" in page.url
    finally:
        page.close()
