"""What if in a real browser: one click from a replacement to what the network then says."""

from __future__ import annotations

import re

import pytest
import torch

import cbam_viz
from cbam_viz.images import prepare, read_photo, samples

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
    page.get_by_role("combobox", name="Replace each by").click()
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
