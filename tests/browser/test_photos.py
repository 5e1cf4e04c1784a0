"""How photos come in, how one switches between them, and what a phone shows."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from cbam_viz.images import samples
from cbam_viz.ui.entries import ENTRIES
from tests.browser.conftest import settle

pytestmark = pytest.mark.browser

CANVAS = "canvas[role=img]"
RED, GREEN, BLUE = (200, 60, 60), (60, 170, 60), (60, 60, 200)
PHONE = {"width": 390, "height": 844}
CLIPPED = Path(__file__).with_name("clipped.js").read_text("utf-8")

TRANSFER = """files => {
  const transfer = new DataTransfer()
  for (const { name, type, content, size } of files) {
    const bytes = size ? new Uint8Array(size) : Uint8Array.from(atob(content), c => c.charCodeAt(0))
    transfer.items.add(new File([bytes], name, { type }))
  }
  return transfer
}"""


def file(name: str, content: bytes = b"", *, kind: str = "image/png", size: int = 0) -> dict:
    """A file of the browser: with this content, or of so many zeros."""
    text = base64.b64encode(content).decode()
    return {"name": name, "type": kind, "content": text, "size": size}


def titles(page) -> list[str]:
    """The strip from left to right."""
    page.locator(".photos .pick").first.wait_for()
    picks = page.locator(".photos .pick").all()
    return [pick.get_attribute("aria-label") for pick in picks]


def shown(page) -> str:
    """The photo that the strip marks; the picture must be of the same."""
    return page.locator(".photos .pick[aria-current=true]").get_attribute("aria-label")


def wait_for_photo(page, name: str) -> None:
    page.locator(f"{CANVAS}[aria-label^='{name} ']").wait_for()
    settle(page)


def choose(page, *files: tuple[str, bytes]) -> None:
    page.locator(".photos .add").wait_for()
    chooser = page.get_by_test_id("stSidebar").get_by_test_id("stFileUploaderDropzoneInput").first
    chooser.set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files]
    )


def drop(page, target: str, *files: dict) -> None:
    transfer = page.evaluate_handle(TRANSFER, list(files))
    page.locator(target).dispatch_event("dragover", {"dataTransfer": transfer})
    assert page.locator(".photos .drop").is_visible()
    page.locator(target).dispatch_event("drop", {"dataTransfer": transfer})
    assert page.locator(".photos .drop").is_hidden()


def said(page) -> str:
    alert = page.get_by_test_id("stMain").get_by_test_id("stAlert").first
    return alert.get_by_test_id("stMarkdownContainer").inner_text()


def own(address: str) -> str:
    return parse_qs(urlparse(address).query).get("own", [""])[0]


SAMPLES = [sample.title for sample in samples()]


def test_several_photos_at_once_and_a_bad_one_costs_none_of_the_others(visit, png):
    page = visit()
    choose(page, ("red.png", png(RED)), ("bad.png", b"nothing"), ("blue.png", png(BLUE)))
    wait_for_photo(page, "red.png")
    assert titles(page) == ["Your photo: red.png", "Your photo: blue.png", *SAMPLES]
    assert "bad.png" in said(page)
    assert page.get_by_test_id("stMain").get_by_test_id("stAlert").count() == 1
    page.get_by_label("Your photo: blue.png", exact=True).click()
    wait_for_photo(page, "blue.png")
    assert shown(page) == "Your photo: blue.png"
    assert own(page.url) == "2"
    assert page.get_by_test_id("stMain").get_by_test_id("stAlert").count() == 0
    page.get_by_label(SAMPLES[1], exact=True).click()
    wait_for_photo(page, "coffee.jpg")
    page.go_back()
    wait_for_photo(page, "blue.png")
    page.go_back()
    wait_for_photo(page, "red.png")


def test_photos_stay_in_their_session(visit, png):
    page = visit()
    choose(page, ("red.png", png(RED)))
    wait_for_photo(page, "red.png")
    other = visit(urlparse(page.url).query and f"/?{urlparse(page.url).query}")
    assert titles(other) == SAMPLES
    assert "A link does not carry uploaded photos" in said(other)


def test_a_photo_is_dropped_on_the_picture(visit, png):
    page = visit()
    wait_for_photo(page, "cat.jpg")
    drop(page, CANVAS, file("red.png", png(RED)), file("green.png", png(GREEN)))
    wait_for_photo(page, "red.png")
    drop(page, CANVAS, file("blue.png", png(BLUE)))
    wait_for_photo(page, "blue.png")
    assert len(titles(page)) == 3 + len(SAMPLES)


def test_what_is_too_large_or_no_picture_is_not_sent_and_named(visit, png):
    page = visit()
    wait_for_photo(page, "cat.jpg")
    sent = []
    page.on("request", lambda one: sent.append(one) if one.method == "PUT" else None)
    large = file("large.png", size=101 * 2**20)
    note = file("notes.txt", b"x", kind="text/plain")
    network = file("net.pth", b"x", kind="")
    drop(page, CANVAS, large, note, network, file("red.png", png(RED)))
    wait_for_photo(page, "red.png")
    assert len(sent) == 1
    text = said(page)
    assert "large.png has 101.0 MB; the limit is 100 MB." in text
    assert "notes.txt is not a picture that can be read." in text
    assert "net.pth is not a photo. For a network, choose" in text
    drop(page, CANVAS, *(file(f"{at}.png", png(GREEN, (8, 8 + at))) for at in range(18)))
    wait_for_photo(page, "0.png")
    assert said(page).startswith("Not taken: 16.png, 17.png. At once there may be 16 photos")
    assert "No longer kept: red.png" in page.get_by_test_id("stMain").inner_text()
    assert len(titles(page)) == 16 + len(SAMPLES)


def test_a_link_is_not_fetched(visit):
    page = visit()
    wait_for_photo(page, "cat.jpg")
    link = page.evaluate_handle(
        """() => {
          const transfer = new DataTransfer()
          transfer.setData("text/uri-list", "http://127.0.0.1/cat.jpg")
          return transfer
        }"""
    )
    page.locator(CANVAS).dispatch_event("drop", {"dataTransfer": link})
    assert "web addresses are not fetched" in said(page)
    assert page.outside == []


def test_other_uploaders_keep_what_is_dropped_on_them(visit, png):
    page = visit("/figure")
    page.get_by_text("The preview is this very file").wait_for()
    transfer = page.evaluate_handle(TRANSFER, [file("row.png", png(RED))])
    zone = page.get_by_test_id("stMain").get_by_test_id("stFileUploaderDropzone")
    zone.dispatch_event("drop", {"dataTransfer": transfer})
    page.get_by_text("Row 2: row.png").wait_for()
    assert titles(page) == SAMPLES


def test_an_upload_that_breaks_off_is_said_and_the_next_one_works(visit, png):
    page = visit()
    wait_for_photo(page, "cat.jpg")
    page.route("**/upload_file/**", lambda route: route.abort())
    drop(page, CANVAS, file("red.png", png(RED)))
    assert said(page) == "red.png did not arrive. Try again."
    page.unroute("**/upload_file/**")
    settle(page)
    drop(page, CANVAS, file("red.png", png(RED)))
    wait_for_photo(page, "red.png")
    assert page.get_by_test_id("stMain").get_by_test_id("stAlert").count() == 0


def test_files_that_come_while_others_are_on_their_way_are_taken_too(visit, png):
    page = visit()
    wait_for_photo(page, "cat.jpg")
    drop(page, CANVAS, file("red.png", png(RED)))
    drop(page, CANVAS, file("green.png", png(GREEN)))
    drop(page, CANVAS, file("blue.png", png(BLUE)))
    page.get_by_label("Your photo: blue.png", exact=True).wait_for()
    names = [f"Your photo: {one}.png" for one in ("red", "green", "blue")]
    assert titles(page) == [*names, *SAMPLES]


def copy(page, content: bytes) -> None:
    """Put a picture into the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.bring_to_front()
    page.evaluate(
        """async content => {
          const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0))
          const blob = new Blob([bytes], { type: "image/png" })
          await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })])
        }""",
        base64.b64encode(content).decode(),
    )


def test_pictures_are_pasted_by_key_and_by_button_and_numbered(visit, png):
    page = visit()
    wait_for_photo(page, "cat.jpg")
    copy(page, png(RED))
    page.keyboard.press("Control+V")
    wait_for_photo(page, "pasted 1.png")
    copy(page, png(GREEN))
    page.get_by_role("button", name="Paste", exact=True).click()
    wait_for_photo(page, "pasted 2.png")
    page.evaluate("navigator.clipboard.writeText('no picture')")
    page.keyboard.press("Control+V")
    settle(page)
    assert len(titles(page)) == 2 + len(SAMPLES)
    page.get_by_role("button", name="Paste", exact=True).click()
    assert "There is no picture in the clipboard." in said(page)


def test_the_camera_is_asked_for_only_when_wanted(visit, context):
    context.grant_permissions(["camera"])
    page = visit()
    wait_for_photo(page, "cat.jpg")
    page.evaluate(
        """() => {
          window.asked = 0
          const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
          navigator.mediaDevices.getUserMedia = wish => { window.asked++; return ask(wish) }
        }"""
    )
    page.get_by_label(SAMPLES[1], exact=True).click()
    wait_for_photo(page, "coffee.jpg")
    assert page.evaluate("window.asked") == 0
    page.get_by_role("button", name="Camera", exact=True).click()
    page.wait_for_function("document.querySelector('video')?.readyState === 4")
    page.get_by_role("dialog").get_by_role("button", name=re.compile("take photo", re.I)).click()
    wait_for_photo(page, "camera 1.jpg")
    assert page.evaluate("window.asked") >= 1
    assert page.get_by_role("dialog").count() == 0


def test_the_strip_by_keyboard(visit, png):
    page = visit()
    choose(page, ("red.png", png(RED)))
    wait_for_photo(page, "red.png")
    page.locator(".photos .pick[aria-current=true]").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    wait_for_photo(page, samples()[-2].path.name)
    assert shown(page) == SAMPLES[-2]
    page.keyboard.press("Home")
    page.keyboard.press("Delete")
    page.get_by_label("Your photo: red.png", exact=True).wait_for(state="detached")
    assert shown(page) == SAMPLES[-2]
    page.keyboard.press("Delete")  # a sample cannot be removed
    settle(page)
    assert titles(page) == SAMPLES


@pytest.mark.parametrize("path", ["/", "/layers", "/how", "/whatif", "/figure"])
def test_a_phone_shows_name_pages_and_upload_and_cuts_nothing(visit, path):
    page = visit(path, viewport=PHONE)
    main = page.get_by_test_id("stMain")
    for link in ("Explore", "All layers", "How it works", "What if", "Figure"):
        main.get_by_role("link", name=link, exact=True).wait_for()
    for visible in (main.get_by_text("cbam-viz", exact=True), page.locator(".photos .add")):
        visible.wait_for()
        box = visible.bounding_box()
        assert 0 <= box["x"] <= box["x"] + box["width"] <= PHONE["width"]
        assert box["y"] + box["height"] < PHONE["height"] / 3
    page.wait_for_timeout(1500)  # Streamlit loads what draws charts and equations on its own
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert page.evaluate(CLIPPED) == []


def test_a_wide_window_shows_the_pages_once(visit):
    page = visit()
    page.locator(".st-key-masthead").wait_for(state="hidden")
    assert page.get_by_test_id("stTopNavLink").count() == len(ENTRIES)


def test_text_that_is_cut_is_found(visit):
    """What looks for cut text would otherwise pass on any page."""
    page = visit(viewport=PHONE)
    page.evaluate(
        """() => {
          const add = style => {
            const box = document.createElement("div")
            box.textContent = "a sentence that is too long for the box that it stands in, by far"
            box.style = style + "; white-space: nowrap"
            document.querySelector("[data-testid=stMainBlockContainer]").append(box)
          }
          add("overflow: hidden; width: 90px")
          add("overflow: hidden; width: 90px; text-overflow: ellipsis")
          add("overflow-x: auto; width: 90px")
          add("width: 90px; height: 5px; overflow: hidden; white-space: normal")
        }"""
    )
    assert len(page.evaluate(CLIPPED)) == 3
