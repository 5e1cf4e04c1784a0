"""What if in a real browser: one click from a replacement to what the network then says."""

from __future__ import annotations

import re

import pytest
import torch

import cbam_viz
from cbam_viz.ablation import Painted
from cbam_viz.images import prepare, read_photo, samples
from tests.app_checkpoint import CLASSES

pytestmark = pytest.mark.browser

EVERYTHING = "whatif_every=1&whatif_channels=1&layer=layer3.0.se"
SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"


def settle(page) -> None:
    page.wait_for_timeout(300)
    page.wait_for_selector(SETTLED)
    page.wait_for_timeout(300)


def test_from_how_it_works_to_other_gates_and_what_is_then_said(visit, checkpoint_folder):
    page = visit("/how?layer=layer3.0.se")
    page.get_by_role("link", name=re.compile("What if: change more")).click()
    page.wait_for_url(re.compile("/whatif"))
    settle(page)
    page.get_by_text("All layers", exact=True).last.click()
    page.get_by_text("Spatial maps", exact=True).click()
    page.get_by_role("combobox", name="Replace each with").click()
    page.get_by_role("option", name="one: the gate is off").click()
    told = page.get_by_text(re.compile("^Without all spatial maps, "))
    told.wait_for()
    loaded = cbam_viz.load_model(checkpoint_folder / "test.safetensors")
    x = prepare(read_photo(samples()[0].path), loaded.spec).tensor
    with torch.inference_mode():
        before, top = loaded.model(x)[0].softmax(0).max(0)
        with cbam_viz.ablate(loaded.model, {"*": {"spatial": "one"}}):
            after = float(loaded.model(x)[0].softmax(0)[top])
    assert abs(after - before) > 0.001
    assert f"from {100 * before:.1f} % to {100 * after:.1f} %" in told.inner_text()
    assert page.locator(".viewer canvas").count() >= 2
    assert "whatif_reach=all" in page.url
    assert page.outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_measured_is_drawn_and_nothing_is_cut_on_a_phone(visit, scheme):
    page = visit(f"/whatif?{EVERYTHING}", viewport={"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)
    page.get_by_text(re.compile("rank correlation")).first.wait_for()
    charts = page.get_by_test_id("stVegaLiteChart").locator("svg, canvas")
    charts.nth(1).wait_for()
    settle(page)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    width = page.get_by_test_id("stMain").bounding_box()["width"]
    for chart in charts.all():
        box = chart.bounding_box()
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width


PAINTER = ".painter canvas"


def painted(page, count: int) -> None:
    """Wait until so many cells are painted, and the server has answered."""
    page.locator(f"{PAINTER}[data-painted='{count}']").wait_for()
    settle(page)


def share_shown(page, label: str) -> float:
    """The length of a class's bar with other gates: all digits, where the text has three."""
    row = page.locator(".ranking").nth(1).locator("tr", has_text=label)
    return float(row.locator(".bar div").evaluate("bar => bar.style.width").rstrip("%")) / 100


@pytest.mark.parametrize("view", ["crop", "whole"])
def test_a_stroke_moves_the_scores_to_what_ablate_gives(visit, checkpoint_folder, view):
    """The mouse goes to places of cells on the photo, as the layer's `Cells` have them."""
    page = visit(f"/whatif?layer=layer4.1.se&whatif_by=painted&whatif_value=0.1&view={view}")
    page.locator(PAINTER).wait_for()
    loaded = cbam_viz.load_model(checkpoint_folder / "test.safetensors")
    analysis = cbam_viz.analyse(loaded, read_photo(samples()[0].path), view)
    layer, (height, width) = analysis.attention["layer4.1.se"], analysis.photo.size
    mask, cells, fit = torch.zeros(layer.spatial.shape[1:]), layer.cells, analysis.geometry
    row, first = (side // 2 for side in mask.shape)
    box = page.locator(PAINTER).bounding_box()
    for column in (first, first + 3):  # near the edges of these two, and over those between
        mask[row, first : column + 1] = 1
        y = fit.offset_y + fit.scale_y * (cells.offset_y + (row - 0.3) * cells.stride_y)
        x = fit.offset_x + fit.scale_x * (cells.offset_x + (column + 0.3) * cells.stride_x)
        page.mouse.move(box["x"] + x / width * box["width"], box["y"] + y / height * box["height"])
        if column == first:
            page.mouse.down()
    page.mouse.up()
    painted(page, 4)
    x = prepare(read_photo(samples()[0].path), loaded.spec, view).tensor
    by = {"layer4.1.se": {"spatial": Painted(mask, 0.1)}}
    with torch.inference_mode():
        before, top = loaded.model(x)[0].softmax(0).max(0)
        with cbam_viz.ablate(loaded.model, by):
            after = float(loaded.model(x)[0].softmax(0)[top])
    assert abs(after - before) > 5e-5
    page.get_by_text(re.compile("^With what is painted on the spatial map of ")).wait_for()
    assert share_shown(page, CLASSES[top]) == pytest.approx(after, abs=1e-6)
    page.get_by_role("button", name="Undo").click()
    painted(page, 0)
    page.get_by_text(re.compile("^With nothing painted yet")).wait_for()
    assert share_shown(page, CLASSES[top]) == pytest.approx(float(before), abs=1e-6)
    page.get_by_role("button", name="Redo").click()
    painted(page, 4)
    assert page.outside == []


def test_cells_are_painted_by_keys_and_by_a_finger_on_a_phone(visit):
    page = visit(
        "/whatif?layer=layer4.1.se&whatif_by=painted", viewport={"width": 390, "height": 844}
    )
    page.emulate_media(color_scheme="dark")
    frame = page.locator(".painter .frame")
    frame.focus()
    page.keyboard.press("ArrowRight")
    said = page.locator(".painter .said").first
    first = said.inner_text()
    assert re.fullmatch(r"row 4, column \d of 7 × 7: [\d.]+", first)
    page.keyboard.press("Enter")
    painted(page, 1)
    assert said.inner_text() == first.replace(": ", ": painted 0.000, its own ")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("]")
    page.keyboard.press("]")  # three cells wide: the neighbours of both, and those between
    page.keyboard.press("Enter")
    painted(page, 9)
    page.keyboard.press("Control+z")
    painted(page, 1)
    page.keyboard.press("Control+y")
    painted(page, 9)
    page.keyboard.press("Delete")
    painted(page, 0)
    page.get_by_role("button", name="Undo").click()
    painted(page, 9)
    page.get_by_role("button", name="Clear").click()
    painted(page, 0)
    assert "whatif_brush=3" in page.url
    frame.evaluate(
        """frame => {
          const box = frame.getBoundingClientRect()
          const at = (type, x, y) => frame.dispatchEvent(new PointerEvent(type, {
            pointerId: 7, pointerType: "touch", isPrimary: true, bubbles: true, buttons: 1,
            clientX: box.left + x * box.width, clientY: box.top + y * box.height }))
          frame.setPointerCapture = () => {}
          at("pointerdown", 0.4, 0.5)
          at("pointermove", 0.6, 0.5)
          at("pointerup", 0.6, 0.5)
        }"""
    )
    page.locator(f"{PAINTER}:not([data-painted='0'])").wait_for()
    settle(page)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.outside == []
