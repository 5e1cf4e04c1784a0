"""The frame around the pages: address bar, Back, a server that goes away, what can be read."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from tests.browser.conftest import WINDOW, free_port, settle, start_server

pytestmark = pytest.mark.browser

CONTRASTS = (Path(__file__).parent / "contrast.js").read_text("utf-8")
DRAWN = "canvas[role=img][data-drawn]"
PAGES = {
    "/?layer=layer2.0.se&channel=5": DRAWN,
    "/layers": ".card",
    "/how": "[data-testid=stVegaLiteChart] svg, .katex",
    "/figure": "[data-testid=stBaseButton-primary]",
}


def place(page) -> tuple[str, str | None]:
    """Path, and the layer that the address names."""
    address = urlparse(page.url)
    return address.path, parse_qs(address.query).get("layer", [None])[0]


def wait_for_place(page, path: str, layer: str | None) -> None:
    def there(url: str) -> bool:
        address = urlparse(url)
        return (address.path, parse_qs(address.query).get("layer", [None])[0]) == (path, layer)

    page.wait_for_url(there)
    settle(page)


def layer_drawn(page) -> str:
    return page.locator(DRAWN).first.get_attribute("data-drawn").split()[0]


def test_back_and_forward_take_one_press_for_each_thing_done(visit):
    page = visit("/?layer=layer1.0.se")
    page.wait_for_selector(DRAWN)
    began = page.evaluate("history.length")
    for layer in ("layer1.1.se", "layer2.0.se"):
        page.get_by_role("button", name="Next").click()
        wait_for_place(page, "/", layer)
    page.get_by_role("link", name="All layers").click()
    page.wait_for_selector(".card")
    wait_for_place(page, "/layers", "layer2.0.se")
    assert page.evaluate("history.length") == began + 3
    done = [("/", "layer1.0.se"), ("/", "layer1.1.se"), ("/", "layer2.0.se")]
    for path, layer in reversed(done):
        page.go_back()
        wait_for_place(page, path, layer)
        page.wait_for_function(
            "layer => document.title && location.search.includes(layer)", arg=layer
        )
        page.wait_for_selector(DRAWN)
        settle(page)
        assert layer_drawn(page) == layer
    for path, layer in (*done[1:], ("/layers", "layer2.0.se")):
        page.go_forward()
        wait_for_place(page, path, layer)
    page.wait_for_selector(".card")


def test_the_first_back_leaves_the_app_for_where_one_came_from(context, server):
    page = context.new_page()
    page.goto(f"{server}/_stcore/health")
    page.goto(f"{server}/")
    page.wait_for_selector(DRAWN)
    settle(page)
    page.go_back()
    page.wait_for_url("**/_stcore/health")
    page.close()


@pytest.mark.parametrize("address", ["/explore", "/explore/", "/explore/?layer=layer2.1.se"])
def test_explore_opens_by_its_name(visit, address):
    page = visit(address)
    page.wait_for_selector(DRAWN)
    settle(page)
    assert page.get_by_role("dialog").count() == 0
    assert page.get_by_test_id("stAlert").count() == 0
    assert place(page) == ("/", "layer2.1.se" if "?" in address else None)


def test_an_address_that_is_no_page_is_named_and_explore_opens(visit):
    page = visit("/nowhere")
    page.wait_for_selector(DRAWN)
    settle(page)
    assert "There is no page “nowhere”" in page.get_by_test_id("stAlert").inner_text()
    assert "nowhere" not in page.url
    assert page.get_by_role("dialog").count() == 0


def test_after_a_restart_of_the_server_controls_work_again(browser, checkpoint_folder, tmp_path):
    port, log = free_port(), tmp_path / "log.txt"
    process = start_server(checkpoint_folder, port, log)
    context = browser.new_context(viewport=WINDOW)
    context.set_default_timeout(60_000)
    try:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/?layer=layer2.0.se&show=map")
        page.wait_for_selector(DRAWN)
        settle(page)
        process.terminate()
        process.wait(20)
        said = page.locator(".cbam-viz-frame")
        said.wait_for()
        assert "cbam-viz app" in said.inner_text()
        page.wait_for_timeout(3000)  # Streamlit tries again meanwhile, and says so in a box
        assert page.get_by_text("yourscript").count() == 0
        assert page.get_by_role("dialog").count() == 0
        assert page.locator(DRAWN).is_visible()  # what was there stays

        process = start_server(checkpoint_folder, port, log)
        page.get_by_text("has been opened anew").wait_for()
        page.wait_for_selector(DRAWN)
        settle(page)
        assert page.locator(DRAWN).get_attribute("data-drawn").startswith("layer2.0.se map")
        page.get_by_role("button", name="Next").click()
        page.wait_for_function("location.search.includes('layer=layer2.1.se')")
        settle(page)
        assert layer_drawn(page) == "layer2.1.se"
    finally:
        context.close()
        process.terminate()
        process.wait(20)


def test_an_interruption_that_the_session_outlives_reloads_nothing(visit, png):
    """Of the network, say: what was uploaded is still there."""
    page = visit()
    page.wait_for_selector(DRAWN)
    chooser = page.get_by_test_id("stSidebar").get_by_test_id("stFileUploaderDropzoneInput").first
    own = {"name": "own.png", "mimeType": "image/png", "buffer": png((120, 130, 140))}
    chooser.set_input_files(own)
    page.locator("canvas[role=img][aria-label^='own.png']").wait_for()
    settle(page)
    page.evaluate(
        """() => {
          window.sameDocument = true
          const send = WebSocket.prototype.send
          WebSocket.prototype.send = function (...a) {
            WebSocket.prototype.send = send
            this.close()
          }
        }"""
    )
    page.get_by_role("button", name="Next").click()  # is lost with the connection
    page.wait_for_timeout(4000)
    settle(page)
    assert page.evaluate("window.sameDocument")
    assert page.locator(".cbam-viz-frame").count() == 0
    page.get_by_role("button", name="Previous").click()
    settle(page)
    assert page.locator("canvas[role=img][aria-label^='own.png']").count() == 1


def test_the_welcome_goes_with_the_first_click_and_stays_away(visit):
    page = visit()
    page.wait_for_selector(DRAWN)
    welcome = page.get_by_text(re.compile("^See where a neural network looks"))
    assert welcome.is_visible()
    page.get_by_role("button", name="Previous").click()
    settle(page)
    assert not welcome.is_visible()
    page.get_by_role("link", name="All layers").click()
    page.wait_for_selector(".card")
    settle(page)
    assert not welcome.is_visible()
    link = visit("/?layer=layer2.0.se")
    link.wait_for_selector(DRAWN)
    assert link.get_by_text(re.compile("^See where")).count() == 0


def test_the_first_click_may_open_a_list(visit):
    """What goes away after the first click must not take back what that click opened."""
    page = visit(viewport={"width": 1400, "height": 800})
    page.wait_for_selector(DRAWN)
    choice = page.get_by_role("combobox", name="Colour map")
    choice.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    choice.click()
    page.wait_for_timeout(500)
    assert page.get_by_text(re.compile("^See where a neural network looks")).count() == 1
    page.get_by_role("option", name="magma").click()
    settle(page)
    page.wait_for_selector(".cbam-viz-begun .st-key-welcome", state="hidden")
    assert "colormap=magma" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", PAGES)
def test_all_text_has_a_contrast_of_at_least_four_and_a_half(browser, server, address, scheme):
    context = browser.new_context(viewport=WINDOW, color_scheme=scheme)
    context.set_default_timeout(60_000)
    try:
        page = context.new_page()
        page.goto(server + address)
        page.wait_for_selector(PAGES[address])
        settle(page)
        found = page.evaluate(CONTRASTS)
        assert len(found) > 30
        assert [one for one in found if one["ratio"] < 4.5] == []
    finally:
        context.close()
