"""Compare in a real browser: one cursor in all pictures, read out from each map's own cells."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import cbam_viz
from cbam_viz.images import read_photo, samples
from tests.app_checkpoint import CLASSES, NAME

pytestmark = pytest.mark.browser

LAYER, OTHER = "layer3.0.se", "beside_compare.safetensors"
NUMBER = re.compile(r"[−+]?\d\.\d{3}")


@pytest.fixture
def beside(checkpoint_folder) -> Path:
    """Another training of the same architecture, while the test runs."""
    with torch.random.fork_rng():
        torch.manual_seed(9)
        model = cbam_viz.create_model("resnet18", num_classes=len(CLASSES), zero_init_last=False)
    about = {"schema": 1, "title": "Another training", "architecture": "resnet18",
             "attention": "cbam", "arguments": {"zero_init_last": False},
             "num_classes": len(CLASSES), "classes": list(CLASSES)}  # fmt: skip
    path = checkpoint_folder / OTHER
    tensors = {name: one.contiguous() for name, one in model.state_dict().items()}
    save_file(tensors, path, {"cbam_viz": json.dumps(about)})
    yield path
    path.unlink()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_one_cursor_reads_all_maps_and_their_difference(
    visit, beside, checkpoint_folder, scheme, width
) -> None:
    page = visit(f"/compare?layer={LAYER}&compare_with={OTHER}", {"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    frames = page.locator(".frames .frame")
    frames.nth(2).wait_for()
    assert frames.count() == 3  # two maps and the difference of one
    page.wait_for_timeout(500)
    frames.nth(0).focus()
    frames.nth(0).press("ArrowRight")
    frames.nth(0).press("ArrowDown")
    told = page.locator(".frames .read").all_inner_texts()
    row, column = (int(part) - 1 for part in re.findall(r"\d+", told[0])[:2])
    photo, values = read_photo(samples()[0].path), []
    for path in (checkpoint_folder / NAME, beside):
        found = cbam_viz.analyse(cbam_viz.load_model(path), photo).attention[LAYER]
        values.append(float(found.spatial[0, row, column]))
    for text, value in zip(told[:2], values, strict=True):
        assert float(NUMBER.findall(text)[-1]) == pytest.approx(value, abs=0.0006)
    less = NUMBER.findall(told[2])[-1].replace("−", "-")
    assert float(less) == pytest.approx(values[1] - values[0], abs=0.0011)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    main = page.get_by_test_id("stMain").bounding_box()
    for frame in frames.all():
        box = frame.bounding_box()
        assert main["x"] <= box["x"]
        assert box["x"] + box["width"] <= main["x"] + main["width"]
    assert page.outside == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_one_zoom_enlarges_all_pictures_about_the_place_under_the_cursor(
    visit, beside, scheme, width
) -> None:
    link = f"/compare?layer={LAYER}&compare_with={OTHER}&cells=grid"
    page = visit(link, {"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    frames = page.locator(".frames .frame")
    frames.nth(2).wait_for()
    page.wait_for_timeout(500)
    frames.nth(0).scroll_into_view_if_needed()
    box = frames.nth(0).bounding_box()
    # Well within a cell, so that rounding of the browser's places does not matter.
    at = box["x"] + box["width"] * 0.31, box["y"] + box["height"] * 0.31
    page.mouse.move(*at)
    before = page.locator(".frames .read").all_inner_texts()
    page.mouse.wheel(0, -600)
    page.locator(".frames .zoom").filter(has_not_text="100 %").wait_for()
    zoom = float(page.locator(".frames .zoom").inner_text().removesuffix(" %")) / 100
    assert zoom == pytest.approx(3.32, abs=0.01)  # exp(0.002 * 600)
    assert page.locator(".frames .read").all_inner_texts() == before
    for inside in page.locator(".frames .inside").all():
        matrix = inside.evaluate("one => getComputedStyle(one).transform")
        across = [float(part) for part in re.findall(r"-?[\d.e-]+", matrix)]
        wide = inside.evaluate("one => one.parentElement.clientWidth")
        assert across[0] == pytest.approx(zoom, abs=0.01)
        assert across[4] == pytest.approx(-0.31 * (zoom - 1) * wide, abs=2 * zoom)
    page.mouse.down()
    page.mouse.move(at[0] - 40, at[1])
    page.mouse.up()
    assert page.locator(".frames .read").all_inner_texts() == before  # the photo went along
    page.get_by_role("button", name="Reset").click()
    assert page.locator(".frames .zoom").inner_text() == "100 %"
    assert page.outside == []
