"""What a visitor does, in a real browser."""

from __future__ import annotations

import io
import itertools
import re
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from PIL import Image

import cbam_viz
from cbam_viz.images import read_photo, samples
from cbam_viz.render import absolute_scale, overlay, place
from cbam_viz.statistics import layer_to_show

pytestmark = pytest.mark.browser

CANVAS = "canvas[role=img]"
BARS = ".bars svg"
SLIDER = "input[type=range]"
GREY = (120, 130, 140)


def settle(page) -> None:
    page.wait_for_timeout(150)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_timeout(200)


def upload(page, name: str, content: bytes, *, good: bool = True) -> None:
    chooser = page.get_by_test_id("stSidebar").get_by_test_id("stFileUploaderDropzoneInput").first
    chooser.set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
    if good:
        page.locator(f"{CANVAS}[aria-label^='{name}']").wait_for()
    else:
        page.get_by_test_id("stMain").get_by_test_id("stAlert").wait_for()
    settle(page)


def pixel(page, across: float, down: float) -> np.ndarray:
    """RGB of the canvas at a place given in shares of its width and height."""
    values = page.locator(CANVAS).evaluate(
        """(canvas, [x, y]) => Array.from(canvas.getContext("2d").getImageData(
            Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data)""",
        [across, down],
    )
    return np.array(values[:3], float)


def drawn(page) -> str:
    """What the canvas says it shows: layer, way, opacity in per cent."""
    return page.locator(CANVAS).get_attribute("data-drawn")


def wait_until_drawn(page, pattern: str) -> None:
    page.wait_for_function(
        """pattern => {
          const find = root => {
            for (const node of root.querySelectorAll("*")) {
              if (node.matches("canvas[role=img]")) return node
              const inner = node.shadowRoot && find(node.shadowRoot)
              if (inner) return inner
            }
          }
          const canvas = find(document)
          return canvas && new RegExp(pattern).test(canvas.dataset.drawn || "")
        }""",
        arg=pattern,
    )


def params(page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def own_analysis(content: bytes, checkpoint_folder, view="crop"):
    """The same photo in the same network, by the Python API in this process."""
    loaded = cbam_viz.load_model(checkpoint_folder / "test.safetensors")
    return cbam_viz.analyse(loaded, read_photo(content, name="own.png"), view)


def test_the_first_page_shows_a_photo_its_map_and_a_prediction(visit):
    page = visit()
    wait_until_drawn(page, "overlay")
    assert (
        page.locator(CANVAS).get_attribute("aria-label").startswith("cat.jpg with the spatial map")
    )
    assert page.get_by_text("Prediction", exact=True).is_visible()
    assert page.locator("table.ranking tr").count() == 5
    assert page.outside == []
    assert page.get_by_test_id("stAppDeployButton").count() == 0


def test_dragging_the_opacity_blends_in_the_browser_and_asks_the_server_nothing(visit, png):
    page = visit()
    upload(page, "own.png", png(GREY))
    wait_until_drawn(page, "overlay 55")
    spot = (0.3, 0.6)
    sent = []
    page.evaluate(
        """() => {
          window.sentMessages = 0
          const send = WebSocket.prototype.send
          WebSocket.prototype.send = function (...a) {
            window.sentMessages++
            return send.apply(this, a)
          }
        }"""
    )
    box = page.locator(SLIDER).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.6 * box["width"], middle)
    page.mouse.down()
    for share in (0.0, 1.0, 0.25, 0.5, 0.75):
        page.mouse.move(box["x"] + 1 + share * (box["width"] - 2), middle, steps=3)
        page.wait_for_timeout(60)
        sent.append(
            (page.locator(SLIDER).evaluate("s => s.valueAsNumber / 100"), pixel(page, *spot))
        )
    assert page.evaluate("window.sentMessages") == 0
    page.mouse.up()

    (bare, photo), (full, colours), *between = sent
    assert (bare, full) == (0, 1)
    np.testing.assert_allclose(photo, GREY, atol=3)
    assert np.abs(colours - photo).max() > 20
    for opacity, seen in between:
        assert 0.15 < opacity < 0.85
        np.testing.assert_allclose(seen, (1 - opacity) * photo + opacity * colours, atol=1.5)

    settle(page)
    assert page.evaluate("window.sentMessages") >= 1  # only the end of the drag is told
    assert float(params(page)["opacity"]) == between[-1][0]


def test_the_keyboard_moves_the_opacity(visit):
    page = visit()
    wait_until_drawn(page, "overlay 55")
    page.locator(SLIDER).focus()
    page.keyboard.press("ArrowRight")
    wait_until_drawn(page, "overlay 56")
    settle(page)
    assert params(page)["opacity"] == "0.56"


@pytest.mark.parametrize("show", ["overlay", "map", "contours"])
def test_no_value_is_read_out_where_the_network_did_not_look(visit, show):
    """Of 451 x 300 pixels it sees the middle square: columns from 94 on, a fifth of the width."""
    page = visit(f"/?layer=layer3.1.se&show={show}")
    wait_until_drawn(page, f"layer3.1.se {show}")
    box = page.locator(CANVAS).bounding_box()
    readout = page.locator(".viewer .readout")
    for across, seen in ((0.1, False), (0.3, True), (0.5, True), (0.9, False)):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + box["height"] / 2)
        expected = (
            r"^row \d+, column \d+ of 14 × 14: \d\.\d{3}" if seen else "^not seen by the network$"
        )
        page.wait_for_timeout(50)
        assert re.match(expected, readout.inner_text()), across


def test_another_layer_changes_picture_bars_and_address(visit):
    page = visit("/?layer=layer3.1.se")
    wait_until_drawn(page, "layer3.1.se overlay")
    before = pixel(page, 0.5, 0.5)
    page.get_by_role("button", name="Next").click()
    wait_until_drawn(page, "layer4.0.se overlay")
    settle(page)
    assert params(page)["layer"] == "layer4.0.se"
    assert np.abs(pixel(page, 0.5, 0.5) - before).max() > 0
    page.get_by_role("combobox", name=re.compile("^Layer|^Selected .*Layer", re.I)).first.click()
    page.get_by_role("option").first.click()
    wait_until_drawn(page, "layer1.0.se overlay")


def test_a_click_on_a_bar_shows_that_channel_before_and_after_its_gate(
    visit, png, checkpoint_folder
):
    content = png(GREY, square=(240, 40, 40))
    page = visit("/?layer=layer1.0.se")
    upload(page, "own.png", content)
    bars = page.locator(BARS)
    place = bars.locator("rect[data-channel='38']").bounding_box()
    box = bars.bounding_box()
    page.mouse.click(place["x"] + place["width"] / 2, box["y"] + 12)  # above the bar's end
    settle(page)
    channel = int(params(page)["channel"])
    assert channel == 38
    text = page.get_by_text(re.compile(rf"^Channel {channel} · weight")).inner_text()

    layer = own_analysis(content, checkpoint_folder).attention["layer1.0.se"]
    weights = layer.channel[0].numpy()
    rank = 1 + int((weights > weights[channel]).sum())
    assert text == f"Channel {channel} · weight {weights[channel]:.3f} · rank {rank} of 64"
    assert page.get_by_text(re.compile("^Before weighting: ")).is_visible()
    assert page.get_by_text(re.compile("^After × 0")).is_visible()


def test_bars_are_as_high_as_the_weights(visit, checkpoint_folder):
    """In one row and in several, by index and sorted, against the weights of this process."""
    content = samples()[0].path.read_bytes()
    attention = own_analysis(content, checkpoint_folder).attention
    for name, order in (("layer1.0.se", "index"), ("layer4.1.se", "sorted")):
        page = visit(f"/?layer={name}&order={order}")
        page.locator(f"{BARS} rect[data-channel]").first.wait_for()
        found = page.locator(BARS).evaluate(
            """svg => [...svg.querySelectorAll("rect[data-channel]")].map(bar => [
                Number(bar.dataset.channel), ...["x", "y", "width", "height"].map(
                    side => Number(bar.getAttribute(side)))])"""
        )
        weights = attention[name].channel[0].numpy()
        bars = {int(channel): rest for channel, *rest in found}
        assert len(bars) == len(weights)
        rows = sorted({round(y + height) for _, y, _, height in bars.values()})
        tall = 160 if len(rows) == 1 else 36
        heights = np.array([bars[channel][3] for channel in range(len(weights))])
        np.testing.assert_allclose(heights, tall * weights, atol=1e-3)
        drawn = sorted(bars, key=lambda c: (round(bars[c][1] + bars[c][3]), bars[c][0]))
        wanted = range(len(weights)) if order == "index" else np.argsort(-weights, kind="stable")
        assert drawn == list(wanted)
        for feet in rows:  # side by side, none over another
            row = sorted(b for b in bars.values() if round(b[1] + b[3]) == feet)
            assert all(a[0] + a[2] <= b[0] for a, b in itertools.pairwise(row))
            assert min(width for _, _, width, _ in row) >= 1


def test_the_keyboard_reaches_the_bars_and_chooses_one(visit):
    page = visit("/?layer=layer1.0.se")
    wait_until_drawn(page, "layer1.0.se")
    page.get_by_role("combobox", name=re.compile("Mark the highest")).focus()
    page.keyboard.press("Tab")
    slider = page.get_by_role("slider", name=re.compile("^Bars of 64 channel weights"))
    assert slider.evaluate("bars => bars.matches(':focus-visible')")
    ring = slider.evaluate("bars => getComputedStyle(bars).outlineStyle")
    assert ring == "solid"
    assert slider.get_attribute("aria-valuetext") == "no channel chosen"
    for key in ("Home", "ArrowRight", "ArrowRight", "PageDown", "ArrowLeft"):
        page.keyboard.press(key)
    assert slider.get_attribute("aria-valuetext").startswith("channel 11 · weight 0.")
    page.wait_for_timeout(300)
    settle(page)
    assert params(page)["channel"] == "11"
    assert page.get_by_text(re.compile("^Channel 11 · weight")).is_visible()
    assert slider.evaluate("bars => bars.matches(':focus')")  # and goes on from here
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    settle(page)
    assert params(page)["channel"] == "63"
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    settle(page)
    assert "channel" not in params(page)


def download(page, name: str) -> bytes:
    page.get_by_test_id("stPopoverButton").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name=re.compile(name)).click()
    content = waiting.value.path().read_bytes()
    page.keyboard.press("Escape")
    return content


def test_downloads_are_the_gates_and_the_picture_at_the_photos_own_size(
    visit, png, checkpoint_folder
):
    content = png(GREY, size=(260, 410), square=(30, 200, 60))
    page = visit("/?layer=layer2.1.se&opacity=0.35&colormap=magma")
    upload(page, "own.png", content)
    mine = own_analysis(content, checkpoint_folder)

    picture = np.asarray(Image.open(io.BytesIO(download(page, "This picture"))))
    layer = mine.attention["layer2.1.se"]
    placed = place(layer.spatial[0].numpy(), layer.cells, mine.geometry)
    expected = overlay(
        mine.photo.pixels, placed, scale=absolute_scale(), colormap="magma", opacity=0.35
    )
    assert picture.shape == (260, 410, 3)
    assert np.abs(picture.astype(int) - expected.astype(int)).max() <= 1

    stored = cbam_viz.load_npz(io.BytesIO(download(page, "NPZ"))).attention
    assert list(stored) == list(mine.attention)
    for name, gates in mine.attention.items():
        np.testing.assert_allclose(stored[name].channel, gates.channel, atol=1e-6)
        np.testing.assert_allclose(stored[name].spatial, gates.spatial, atol=1e-6)

    lines = download(page, "CSV").decode().splitlines()
    count = sum(g.channel.numel() + g.spatial.numel() for g in mine.attention.values())
    assert len(lines) == count + 1


def test_a_bad_file_gets_a_sentence_and_the_session_goes_on(visit, png):
    page = visit()
    upload(page, "broken.png", b"this is no picture", good=False)
    alert = page.get_by_test_id("stMain").get_by_test_id("stAlert")
    assert "broken.png" in alert.inner_text() or "picture" in alert.inner_text()
    assert "Traceback" not in page.content()
    wait_until_drawn(page, "overlay")  # the sample is still there
    upload(page, "good.png", png((200, 40, 40)))
    assert alert.count() == 0


def test_a_bad_photo_after_a_good_one_is_not_blamed_on_a_link(visit, png):
    page = visit()
    upload(page, "good.png", png((200, 40, 40)))
    upload(page, "broken.png", b"this is no picture", good=False)
    alert = page.get_by_test_id("stMain").get_by_test_id("stAlert")
    assert alert.count() == 1
    assert "broken.png" in alert.inner_text()
    assert "link" not in alert.get_by_test_id("stMarkdownContainer").inner_text()
    assert params(page)["image"] == "upload"
    assert page.locator(f"{CANVAS}[aria-label^='good.png']").count() == 1
    upload(page, "better.png", png((40, 40, 200)))


def test_two_sessions_never_see_each_others_photo_or_maps(visit, png):
    red, blue = (220, 30, 30), (30, 30, 220)
    first, second = (visit("/?opacity=0&layer=layer3.1.se") for _ in range(2))
    upload(first, "mine.png", png(red, square=(0, 0, 0)))
    upload(second, "mine.png", png(blue, square=(255, 255, 255)))
    for page, colour in ((first, red), (second, blue), (first, red)):
        page.get_by_role("button", name="Previous").click()
        settle(page)
        np.testing.assert_allclose(pixel(page, 0.8, 0.8), colour, atol=3)
    maps = []
    for page in (first, second):
        page.get_by_text("Map only").click()
        wait_until_drawn(page, " map ")
        settle(page)
        maps.append([pixel(page, x, y) for x in (0.2, 0.5, 0.8) for y in (0.2, 0.5, 0.8)])
    assert np.abs(np.array(maps[0]) - np.array(maps[1])).max() > 0


def test_a_link_reopens_everything(visit):
    page = visit()
    page.goto(
        page.url.split("?")[0]
        + "?image=coffee&layer=layer2.0.se&opacity=0.4&colormap=grey&scale=per+map&order=sorted"
        "&top=5&view=crop&channel=7"
    )
    settle(page)
    wait_until_drawn(page, "^layer2.0.se overlay 40$")
    assert page.locator(CANVAS).get_attribute("aria-label").startswith("coffee.jpg")
    assert page.get_by_text("Scale: this map alone").is_visible()
    assert page.get_by_text(re.compile("^Channel 7 · weight")).is_visible()
    assert page.get_by_text(re.compile("The network saw .* of the photo")).is_visible()
    colours = pixel(page, 0.5, 0.5)
    other = visit(page.url[len(page.url.split("?")[0]) - 1 :])
    wait_until_drawn(other, "^layer2.0.se overlay 40$")
    np.testing.assert_allclose(pixel(other, 0.5, 0.5), colours, atol=0)


def test_a_hostile_link_falls_back_with_notes(visit, checkpoint_folder):
    page = visit(
        "/?image=../../etc/passwd&model=/etc/passwd&layer=<script>alert(1)</script>&opacity=nan"
        "&colormap=jet&channel=-1&top=7&view=all"
    )
    wait_until_drawn(page, "overlay 55")
    notes = page.get_by_test_id("stAlert").all_inner_texts()
    assert len(notes) == 8
    cat = own_analysis(samples()[0].path.read_bytes(), checkpoint_folder)
    wait_until_drawn(page, f"^{layer_to_show(cat.layers, geometry=cat.geometry).name} ")
    assert params(page) == {"image": "cat", "model": "test.safetensors"}
    assert page.locator("text=root:").count() == 0


def test_back_returns_to_the_layer_before(visit):
    page = visit("/?layer=layer3.1.se")
    wait_until_drawn(page, "layer3.1.se")
    page.get_by_role("button", name="Next").click()
    wait_until_drawn(page, "layer4.0.se")
    settle(page)
    page.go_back()
    wait_until_drawn(page, "layer3.1.se")


def test_back_through_pages_never_loses_what_was_chosen(visit):
    page = visit("/?layer=layer3.1.se")
    wait_until_drawn(page, "layer3.1.se")
    page.get_by_role("button", name="Previous").click()
    wait_until_drawn(page, "layer3.0.se")
    settle(page)
    for name in ("All layers", "Figure"):
        page.get_by_test_id("stTopNavLink").filter(has_text=name).click()
        settle(page)
    page.get_by_text("One channel", exact=True).click()
    settle(page)
    assert params(page)["fig_layout"] == "channel"
    layers = []
    while urlparse(page.url).path != "/":
        page.go_back()
        settle(page)
        layers.append(params(page).get("layer"))
        assert len(layers) < 10
    assert set(layers) == {"layer3.0.se"}
    wait_until_drawn(page, "layer3.0.se")
    page.go_forward()
    settle(page)
    assert params(page)["layer"] == "layer3.0.se"


def test_a_link_reopens_a_figure(visit):
    page = visit("/figure?fig_layout=channel&fig_layer=layer2.0.se&fig_channel=7&fig_format=svg")
    page.get_by_text("Caption", exact=True).wait_for()
    settle(page)
    assert page.get_by_role("button", name="Figure (SVG)").is_visible()
    assert page.get_by_label("Channel", exact=True).input_value() == "7"
    assert params(page)["fig_channel"] == "7"
    page.get_by_test_id("stTopNavLink").filter(has_text="Explore").click()
    wait_until_drawn(page, "overlay")
    settle(page)
    assert not [name for name in params(page) if name.startswith("fig_")]
    page.get_by_test_id("stTopNavLink").filter(has_text="Figure").click()
    page.get_by_text("Caption", exact=True).wait_for()
    settle(page)
    assert params(page)["fig_channel"] == "7"


def test_a_click_in_the_gallery_opens_the_layer(visit):
    page = visit("/layers")
    cards = page.locator("button.card")
    cards.first.wait_for()
    assert cards.count() == 8
    cards.nth(2).click()
    wait_until_drawn(page, "^layer2.0.se ")
    assert urlparse(page.url).path in ("/", "/explore")


@pytest.mark.parametrize("path", ["/", "/how", "/figure"])
@pytest.mark.parametrize("width", [820, 1024, 1440])
def test_no_column_is_too_narrow_to_read(visit, path, width):
    page = visit(path, viewport={"width": width, "height": 900})
    # Streamlit loads what draws the style on its own, a moment after the first columns.
    page.wait_for_function(
        """() => {
          const columns = document.querySelectorAll("[class*=st-key-two_columns] > *"
            + " > [data-testid=stHorizontalBlock] > [data-testid=stColumn]")
          return columns.length >= 2 && [...columns].every(column => column.clientWidth >= 300)
        }""",
        timeout=10_000,
    )


@pytest.mark.parametrize("path", ["/", "/layers", "/how", "/figure"])
def test_nothing_is_wider_than_a_phone(visit, path):
    page = visit(path, viewport={"width": 420, "height": 900})
    width = page.get_by_test_id("stMain").evaluate("main => main.scrollWidth - main.clientWidth")
    assert width <= 1
    assert page.get_by_test_id("stException").count() == 0


def test_the_walk_on_a_phone_and_the_switches_at_its_end(visit):
    """Each step is there, no picture, chart or equation is cut, and a gate can be taken away."""
    page = visit("/how?layer=layer3.0.se", viewport={"width": 390, "height": 900})
    page.get_by_text("What would it predict without?").wait_for()
    settle(page)
    page.keyboard.press("Escape")  # whatever stands before the page
    assert page.get_by_test_id("stMain").locator("h3").count() == 16
    cut = page.evaluate(
        """() => [...document.querySelectorAll(
            "[data-testid=stMain] img, [data-testid=stMain] svg, [data-testid=stMain] canvas,"
            + " [data-testid=stMain] .katex-html")]
          .map(part => part.getBoundingClientRect())
          .filter(box => box.width && (box.left < -1 || box.right > 391)).length"""
    )
    assert cut == 0
    page.get_by_text("Without the spatial map", exact=True).click()
    page.get_by_text("Without the spatial map of this layer it").wait_for()
    settle(page)
    assert page.locator("table.ranking").count() == 2
