"""The picture in Explore: cells, zoom, the box, and two pictures with one cursor and one zoom."""

from __future__ import annotations

import re

import numpy as np
import pytest

import cbam_viz
from cbam_viz.images import photo_shares, read_photo, samples
from cbam_viz.render import absolute_scale, cell_edges, colorize, fit_size, place
from tests.browser.conftest import settle
from tests.browser.test_app import pixel, wait_until_drawn

pytestmark = pytest.mark.browser

FRAME, NUMBERS, SAID = ".viewer .frame", ".viewer .numbers", ".viewer .said >> nth=0"


@pytest.fixture(scope="module")
def cat(checkpoint_folder):
    """The sample in the test network, by the Python API."""
    loaded = cbam_viz.load_model(checkpoint_folder / "test.safetensors")
    return cbam_viz.analyse(loaded, read_photo(samples()[0].path))


def window(page, nth: int = 0) -> list[float]:
    """Zoom, and the place in the middle, as shares of the photo."""
    return [float(x) for x in page.locator("canvas").nth(nth).get_attribute("data-window").split()]


def wait_until_window(page, zoom: float) -> None:
    for _ in range(40):
        if abs(window(page)[0] - zoom) < 0.02:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the zoom is {window(page)[0]}, not {zoom}")


def point(page, across: float, down: float, nth: int = 0) -> tuple[float, float]:
    box = page.locator("canvas").nth(nth).bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def drag(page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*point(page, *start))
    page.mouse.down()
    page.mouse.move(*point(page, *end), steps=4)
    page.mouse.up()
    page.wait_for_timeout(100)


def means(page, nth: int = 0) -> list[float]:
    """Mean inside the box, outside it, and the share of the box, as the page computed them."""
    return [float(x) for x in page.locator(NUMBERS).nth(nth).get_attribute("data-means").split()]


def expected_means(analysis, layer: str, box: tuple[float, float, float, float]) -> list[float]:
    """The same by a fine raster: the mean over pixels of the map drawn with hard edges."""
    gates, geometry = analysis.attention[layer], analysis.geometry
    height, width = (4 * side for side in geometry.photo_size)
    placed = place(
        gates.spatial[0].numpy(), gates.cells, geometry, (height, width), method="nearest"
    )
    down, across = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    left, top, right, bottom = box
    inside = np.outer((down > top) & (down < bottom), (across > left) & (across < right))
    inside, outside = inside & placed.seen, ~inside & placed.seen
    share = inside.sum() / placed.seen.sum()
    return [float(placed.values[which].mean()) for which in (inside, outside)] + [float(share)]


def cell_at(analysis, layer: str, across: float, down: float) -> tuple[int, int]:
    """Row and column, from 0, of the cell whose centre is nearest to a place on the photo."""
    height, width = analysis.photo.size
    y, x = analysis.geometry.to_input(down * height, across * width)
    cells = analysis.attention[layer].cells
    return (
        round((y - cells.offset_y) / cells.stride_y),
        round((x - cells.offset_x) / cells.stride_x),
    )


def test_the_picture_stays_where_it_is_from_layer_to_layer(visit):
    page = visit("/?layer=layer1.0.se")
    wait_until_drawn(page, "layer1.0.se")
    tops = []
    while True:
        tops.append(page.locator("canvas").evaluate("c => c.getBoundingClientRect().top"))
        step = page.get_by_role("button", name="Next")
        if not step.is_enabled():
            break
        step.click()
        settle(page)
    assert len(tops) == 8
    assert len(set(tops)) == 1


def test_cells_are_drawn_with_their_own_colours_and_a_grid_at_their_edges(visit, cat):
    page = visit("/?layer=layer4.1.se&show=map&cells=cells")
    wait_until_drawn(page, "layer4.1.se map")
    gates = cat.attention["layer4.1.se"]
    values = gates.spatial[0].numpy()
    size = fit_size(cat.photo.size, 1280)
    edges = cell_edges(values.shape, gates.cells, cat.geometry, size)
    for row in range(7):
        for column in range(7):
            rows, columns = edges.rows[row : row + 2], edges.columns[column : column + 2]
            if min(rows[1] - rows[0], columns[1] - columns[0]) < 6:
                continue
            colour = colorize(values[row : row + 1, column : column + 1], absolute_scale())[0, 0]
            for share in (0.1, 0.5, 0.9):  # also close to its edges: nothing is interpolated
                y, x = (low + share * (high - low) for low, high in (rows, columns))
                drawn = pixel(page, x / size[1], y / size[0])
                np.testing.assert_allclose(drawn, colour, atol=1)
    page.get_by_text("Grid", exact=True).click()
    page.locator("canvas[data-style=grid]").wait_for()
    path = page.locator(".viewer .marks .grid").get_attribute("d")
    across = sorted(float(y) for y in re.findall(r"M[\d.]+ ([\d.]+)H", path))
    down = sorted(float(x) for x in re.findall(r"M([\d.]+) [\d.]+V", path))
    np.testing.assert_allclose(across, edges.rows[1:-1], atol=1e-6)
    np.testing.assert_allclose(down, edges.columns[1:-1], atol=1e-6)


@pytest.mark.parametrize("show", ["overlay", "map", "contours"])
@pytest.mark.parametrize("style", ["smooth", "cells"])
def test_the_value_under_the_cursor_names_its_cell(visit, cat, show, style):
    page = visit(f"/?layer=layer4.1.se&show={show}&cells={style}")
    wait_until_drawn(page, f"layer4.1.se {show}")
    gates = cat.attention["layer4.1.se"]
    for row, column in ((2, 4), (5, 1)):
        y, x = (gates.cells.offset_y + 32 * row, gates.cells.offset_x + 32 * column)
        down, across = cat.geometry.to_photo(y, x)
        page.mouse.move(*point(page, across / cat.photo.size[1], down / cat.photo.size[0]))
        page.wait_for_timeout(100)
        value = float(gates.spatial[0, row, column])
        text = page.locator(".viewer .readout").inner_text()
        assert text.startswith(f"row {row + 1}, column {column + 1} of 7 × 7: {value:.3f}")
    page.mouse.move(*point(page, 0.05, 0.5))
    page.wait_for_timeout(100)
    assert page.locator(".viewer .readout").inner_text() == "not seen by the network"


def test_wheel_and_keys_zoom_and_pan(visit):
    page = visit("/?layer=layer4.1.se")
    wait_until_drawn(page, "layer4.1.se")
    before = pixel(page, 0.25, 0.25)
    page.mouse.move(*point(page, 0.25, 0.25))
    page.mouse.wheel(0, -500)
    wait_until_window(page, np.e)
    zoom, x, y = window(page)
    # The place under the pointer stays there.
    assert x + (0.25 - 0.5) / zoom == pytest.approx(0.25, abs=2e-3)
    assert y + (0.25 - 0.5) / zoom == pytest.approx(0.25, abs=2e-3)
    np.testing.assert_allclose(pixel(page, 0.25, 0.25), before, atol=12)
    frame = page.locator(FRAME)
    frame.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(100)
    assert window(page)[1:] == pytest.approx([x + 0.1 / zoom, y], abs=2e-4)
    page.keyboard.press("0")
    wait_until_window(page, 1)
    assert window(page)[1:] == [0.5, 0.5]
    page.keyboard.press("+")
    wait_until_window(page, 1.5)
    page.keyboard.press("-")
    wait_until_window(page, 1)
    ring = frame.evaluate("frame => getComputedStyle(frame).outlineStyle")
    assert ring == "solid"
    page.get_by_role("button", name="Zoom in").click()
    wait_until_window(page, 1.5)
    drag(page, (0.5, 0.5), (0.4, 0.5))  # an enlarged picture is moved
    assert window(page)[1] == pytest.approx(0.5 + 0.1 / 1.5, abs=5e-3)
    page.get_by_role("button", name="Previous").click()
    wait_until_drawn(page, "layer4.0.se")
    assert window(page)[0] == 1.5  # to be compared at the same place


def test_full_screen_shows_the_picture_and_comes_back(visit):
    page = visit()
    wait_until_drawn(page, "overlay")
    width = page.locator("canvas").bounding_box()["width"]
    page.get_by_role("button", name="Full screen").click()
    page.get_by_role("button", name="Leave full screen").wait_for()
    assert page.locator("canvas").bounding_box()["width"] > width
    page.get_by_role("button", name="Leave full screen").click()
    page.get_by_role("button", name="Full screen", exact=True).wait_for()


@pytest.mark.parametrize("layer", ["layer4.1.se", "layer1.0.se"])
def test_a_box_gives_the_means_that_statistics_would(visit, cat, layer):
    page = visit(f"/?layer={layer}")
    wait_until_drawn(page, layer)
    drag(page, (0.3, 0.2), (0.62, 0.71))
    frame = page.locator("canvas").bounding_box()
    # The browser's pixels are whole ones.
    box = tuple(
        round(frame[start] + share * frame[side]) / frame[side] - frame[start] / frame[side]
        for start, side, share in (
            ("x", "width", 0.3),
            ("y", "height", 0.2),
            ("x", "width", 0.62),
            ("y", "height", 0.71),
        )
    )
    expected = expected_means(cat, layer, box)
    assert means(page) == pytest.approx(expected, abs=4e-3)
    inside, outside, share = means(page)
    text = page.locator(NUMBERS).inner_text()
    assert f"Mean inside the box: {inside:.3f} (" in text
    assert f"{100 * share:.1f} % of what the network saw" in text
    assert f"Outside: {outside:.3f}." in text
    # Together they are the mean that the table states.
    gates = cat.attention[layer]
    shares = photo_shares(gates.spatial.shape[1:], gates.cells, cat.geometry)
    whole = float((shares * gates.spatial[0].numpy()).sum())
    assert share * inside + (1 - share) * outside == pytest.approx(whole, abs=2e-6)
    page.mouse.click(*point(page, 0.9, 0.9))
    page.wait_for_timeout(100)
    assert "box for the mean" in page.locator(NUMBERS).inner_text()


def test_a_box_by_keyboard_holds_whole_cells(visit, cat):
    page = visit("/?layer=layer4.1.se")
    wait_until_drawn(page, "layer4.1.se")
    page.locator(FRAME).focus()
    for key in ("ArrowLeft", "ArrowLeft", "b", "ArrowRight", "Shift+ArrowDown", "b"):
        page.keyboard.press(key)
    page.wait_for_timeout(100)
    # The first key marks the cell in the middle; from there one left, then one right and one down.
    gates = cat.attention["layer4.1.se"]
    shares = photo_shares((7, 7), gates.cells, cat.geometry)
    values, chosen = gates.spatial[0].numpy(), np.zeros((7, 7), bool)
    row, column = cell_at(cat, "layer4.1.se", 0.5, 0.5)
    chosen[row : row + 2, column - 1 : column + 1] = True
    expected = [np.average(values[which], weights=shares[which]) for which in (chosen, ~chosen)]
    assert means(page) == pytest.approx([*expected, shares[chosen].sum()], abs=2e-6)
    assert "(4 cells in whole or part" in page.locator(NUMBERS).inner_text()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(100)
    assert page.locator(SAID).inner_text() == (
        f"row {row + 3}, column {column + 1} of 7 × 7: {values[row + 2, column]:.3f}"
    )
    assert "(4 cells" in page.locator(NUMBERS).inner_text()  # it was ended
    page.keyboard.press("Escape")
    page.wait_for_timeout(100)
    assert "box for the mean" in page.locator(NUMBERS).inner_text()


def test_two_pictures_share_cursor_zoom_and_box(visit, cat):
    page = visit("/?layer=layer4.1.se&layer2=layer1.0.se")
    wait_until_drawn(page, "layer4.1.se")
    assert page.locator("canvas").count() == 2
    assert page.locator("canvas").nth(1).get_attribute("data-drawn").startswith("layer1.0.se ")
    page.mouse.move(*point(page, 0.4, 0.6, nth=1))
    page.wait_for_timeout(100)
    for nth, name in enumerate(("layer4.1.se", "layer1.0.se")):
        gates = cat.attention[name]
        row, column = cell_at(cat, name, 0.4, 0.6)
        text = page.locator(".viewer .readout").nth(nth).inner_text()
        rows, columns = gates.spatial.shape[1:]
        value = float(gates.spatial[0, row, column])
        start = f"row {row + 1}, column {column + 1} of {rows} × {columns}: {value:.3f}"
        assert text.startswith(start)
    page.mouse.wheel(0, -400)
    wait_until_window(page, np.exp(0.8))
    assert window(page, 0) == window(page, 1)
    page.locator(FRAME).first.focus()
    page.keyboard.press("0")
    wait_until_window(page, 1)
    drag(page, (0.3, 0.3), (0.7, 0.7))
    for nth, name in enumerate(("layer4.1.se", "layer1.0.se")):
        assert means(page, nth) == pytest.approx(
            expected_means(cat, name, (0.3, 0.3, 0.7, 0.7)), abs=8e-3
        )
    page.get_by_text("Another layer", exact=True).click()
    settle(page)
    assert page.locator("canvas").count() == 1


def test_a_finger_scrolls_taps_and_draws_a_box_when_asked_to(browser, server, cat):
    opened = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = opened.new_page()
    page.goto(f"{server}/?layer=layer4.1.se&cells=grid")
    page.locator("canvas[data-style=grid]").wait_for()
    settle(page)
    frame = page.locator(FRAME)
    assert frame.evaluate("f => getComputedStyle(f).touchAction") == "pan-y"
    page.touchscreen.tap(*point(page, 0.56, 0.44))
    page.wait_for_timeout(200)
    readout = page.locator(".viewer .readout")
    row, column = cell_at(cat, "layer4.1.se", 0.56, 0.44)
    value = float(cat.attention["layer4.1.se"].spatial[0, row, column])
    assert readout.inner_text() == f"row {row + 1}, column {column + 1} of 7 × 7: {value:.3f}"
    box, edge = readout.bounding_box(), page.locator("canvas").bounding_box()
    assert edge["x"] <= box["x"] + 1
    assert box["x"] + box["width"] <= edge["x"] + edge["width"] + 1
    page.get_by_role("button", name="Box").tap()
    page.wait_for_timeout(100)
    assert frame.evaluate("f => getComputedStyle(f).touchAction") == "none"
    touch = page.context.new_cdp_session(page)
    for kind, where in (
        ("touchStart", (0.3, 0.3)),
        ("touchMove", (0.5, 0.5)),
        ("touchMove", (0.7, 0.6)),
        ("touchEnd", None),
    ):
        points = [dict(zip("xy", point(page, *where), strict=True))] if where else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_timeout(200)
    assert page.locator(NUMBERS).inner_text().startswith("Mean inside the box: ")
    assert frame.evaluate("f => getComputedStyle(f).touchAction") == "pan-y"  # it scrolls again
    opened.close()


def test_contours_state_their_levels_in_the_legend(visit):
    page = visit("/?show=contours")
    wait_until_drawn(page, "contours")
    assert page.locator(".viewer .levels").inner_text() == "Lines at 0.17, 0.33, 0.50, 0.67, 0.83"
    assert page.locator(".viewer .ramp i").count() == 5


def test_a_new_photo_never_leaves_the_canvas_empty(visit, png):
    page = visit()
    wait_until_drawn(page, "overlay")
    page.evaluate(
        """() => {
          const find = root => {
            for (const node of root.querySelectorAll("*")) {
              if (node.matches("canvas[role=img]")) return node
              const inner = node.shadowRoot && find(node.shadowRoot)
              if (inner) return inner
            }
          }
          window.seen = []
          const look = () => {
            const canvas = find(document)
            const context = canvas && canvas.getContext("2d")
            const at = canvas && [canvas.width / 2, canvas.height / 2, 1, 1]
            window.seen.push(canvas ? context.getImageData(...at).data[3] : "no canvas")
            requestAnimationFrame(look)
          }
          look()
        }"""
    )
    chooser = page.get_by_test_id("stSidebar").get_by_test_id("stFileUploaderDropzoneInput").first
    photo = {"name": "tall.png", "mimeType": "image/png", "buffer": png((9, 120, 40), (500, 200))}
    chooser.set_input_files(photo)
    page.locator("canvas[aria-label^='tall.png']").wait_for()
    settle(page)
    seen = page.evaluate("window.seen")
    assert len(seen) > 5
    assert set(seen) == {255}
