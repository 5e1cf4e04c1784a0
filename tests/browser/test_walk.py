"""How it works in a browser: the cell that the numbers follow is chosen on the pictures."""

from __future__ import annotations

import re

import pytest

import cbam_viz
from cbam_viz.images import read_photo, samples
from cbam_viz.ui import words
from tests.app_checkpoint import NAME
from tests.browser.conftest import settle

pytestmark = pytest.mark.browser

LAYER = "layer3.0.se"


@pytest.fixture(scope="module")
def found(checkpoint_folder):
    """What the network makes of the photo shown first."""
    return cbam_viz.analyse(
        cbam_viz.load_model(checkpoint_folder / NAME), read_photo(samples()[0].path)
    )


def place(found, row: int, column: int) -> tuple[float, float]:
    """The middle of a cell as shares of the photo's width and height."""
    cells, geometry = found.attention[LAYER].cells, found.geometry
    y = geometry.offset_y + (cells.offset_y + row * cells.stride_y) * geometry.scale_y
    x = geometry.offset_x + (cells.offset_x + column * cells.stride_x) * geometry.scale_x
    return x / geometry.photo_size[1], y / geometry.photo_size[0]


def test_a_click_on_a_picture_chooses_its_cell(visit, found):
    page = visit(f"/how?layer={LAYER}", viewport={"width": 1400, "height": 5000})
    page.get_by_text("What would it predict without?").wait_for()
    followed = page.get_by_text(re.compile("^The numbers follow channel"))
    assert "chosen by you;" not in followed.inner_text()
    gate = page.get_by_role("application", name=re.compile("^Spatial map, absolute"))
    gate.wait_for()
    box = gate.bounding_box()
    weights = found.attention[LAYER].spatial[0].numpy()
    row, column = 2, weights.shape[1] - 4
    across, down = place(found, row, column)
    at = {"x": across * box["width"], "y": down * box["height"]}
    gate.hover(position=at)
    value = words.number(float(weights[row, column]))
    page.get_by_text(f"row {row + 1}, column {column + 1}: {value}", exact=True).first.wait_for()
    gate.hover(position={"x": 5, "y": 5})  # where the network did not look
    assert page.get_by_text(re.compile("^row .*: ")).count() == 0
    gate.click(position=at)
    page.get_by_text(f"row {row + 1}, column {column + 1}, chosen by you").wait_for()
    settle(page)
    assert f"how_cell={row + 1}%2C{column + 1}" in page.url
    gate.press("ArrowDown")
    gate.press("Enter")
    page.get_by_text(f"row {row + 2}, column {column + 1}, chosen by you").wait_for()
    page.get_by_role("button", name="Highest cell").click()
    page.wait_for_function("() => !location.search.includes('how_cell')")
    settle(page)
    assert "how_cell" not in page.url
