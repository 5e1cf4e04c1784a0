"""Own photos of a session: several at once, bad ones among them, limits, and nobody else's."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cbam_viz.images import MAX_BYTES, samples
from cbam_viz.ui.pages.figure import sources
from cbam_viz.ui.parts.photo_strip import STRIP
from cbam_viz.ui.session import Memory
from cbam_viz.ui.session import album as albums
from cbam_viz.ui.session.album import KEPT, OwnPhoto, within_limits
from cbam_viz.ui.session.link import Settings
from cbam_viz.ui.sidebar import intake, photos
from cbam_viz.ui.sidebar.intake import UPLOADER, listed, sentences
from tests.ui.streamlits import memory


def photo(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), shade, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def bring(app, *files: tuple[str, bytes]):
    """Choose these files in the uploader that is on the page."""
    (uploader,) = (one for one in app.file_uploader if one.key.startswith(UPLOADER))
    return uploader.set_value([(name, content, "image/png") for name, content in files]).run()


def strip(app) -> dict:
    return json.loads(app.get_by_key(STRIP).proto.json)


def names(app) -> list[str]:
    return [one["name"] for one in strip(app)["photos"] if one["name"]]


def album(app):
    return memory(app).album


def photo_of(app) -> str:
    return memory(app).scene.photo.name


def test_several_photos_come_at_once_and_the_first_is_shown(open_app):
    app = bring(open_app(), ("a.png", photo(10)), ("b.png", photo(20)), ("c.png", photo(30)))
    assert not app.exception
    assert (photo_of(app), names(app)) == ("a.png", ["a.png", "b.png", "c.png"])
    assert strip(app)["current"] == "upload 1"
    assert (app.query_params["image"], app.query_params["own"]) == ("upload", "1")
    app.selectbox(key="set_image").select("upload 3").run()
    assert (photo_of(app), app.query_params["own"]) == ("c.png", "3")
    app.selectbox(key="set_image").select("coffee").run()
    assert photo_of(app) == "coffee.jpg"
    assert "own" not in app.query_params
    bring(app, ("b.png", photo(20)))  # again: the same photo
    assert (photo_of(app), names(app)) == ("b.png", ["a.png", "b.png", "c.png"])


def test_bad_files_among_good_ones_are_named_and_cost_nothing(open_app):
    app = bring(
        open_app(),
        ("bad.png", b"nothing"),
        ("good.png", photo(10)),
        ("cut.png", photo(20)[:60]),
        ("fine.png", photo(30)),
    )
    assert not app.exception
    assert (photo_of(app), names(app)) == ("good.png", ["good.png", "fine.png"])
    (error,) = app.error
    assert "bad.png" in error.value
    assert "cut.png" in error.value
    assert error.value.count("\n- ") + error.value.startswith("- ") == 2
    bring(app, ("last.png", photo(40)))
    assert not app.error


def test_two_photos_of_one_name_are_two(open_app):
    app = bring(open_app(), ("a.png", photo(10)), ("a.png", photo(20)))
    assert names(app) == ["a.png", "a.png"]
    pixels = [memory(app).scene.photo.pixels[0, 0, 0]]
    app.selectbox(key="set_image").select("upload 2").run()
    pixels.append(memory(app).scene.photo.pixels[0, 0, 0])
    assert pixels == [10, 20]


def test_the_oldest_go_beyond_the_limits_and_that_is_said(open_app):
    app = bring(open_app(), ("first.png", photo(0)))
    bring(app, *((f"{at}.png", photo(10 + at)) for at in range(KEPT + 2)))
    assert "Not taken: 16.png, 17.png. At once there may be 16 photos and 200 MB." in [
        one.value for one in app.error
    ]
    assert names(app) == [f"{at}.png" for at in range(KEPT)]
    assert any("No longer kept: first.png." in one.value for one in app.info)
    app.query_params["own"] = "1"
    memory(app).linked = False  # as if one went back
    app.run()
    assert any("no longer kept" in one.value for one in app.info)
    assert photo_of(app) == "cat.jpg"


def test_bytes_are_limited_too(open_app, monkeypatch):
    size = len(photo(10))
    monkeypatch.setattr(albums, "KEPT_BYTES", 2 * size + 10)
    monkeypatch.setattr(intake, "KEPT_BYTES", 2 * size + 10)
    app = bring(open_app(), ("a.png", photo(10)), ("b.png", photo(11)), ("c.png", photo(12)))
    assert names(app) == ["a.png", "b.png"]
    assert "Not taken: c.png." in app.error[0].value


def test_a_limit_never_takes_the_photo_that_is_shown():
    photos = tuple(OwnPhoto(at, f"{at}", "", b"x", "") for at in range(1, KEPT + 3))
    kept, gone = within_limits(photos, shown=1)
    assert [one.number for one in gone] == [2, 3]
    assert kept[0].number == 1
    large = OwnPhoto(1, "large", "", b"x" * (albums.KEPT_BYTES + 1), "")
    assert within_limits((large,), shown=1) == ((large,), ())


def test_the_server_keeps_one_copy_and_it_belongs_to_one_session(open_app):
    app = bring(open_app(), ("mine.png", photo(10)))
    other = open_app(image="upload", own="1")
    assert names(other) == []
    assert photo_of(other) == "cat.jpg"
    assert any("A link does not carry uploaded photos" in one.value for one in other.info)
    (own,) = album(app).photos
    assert own.content == photo(10)
    assert album(app).incoming == ()


def test_a_photo_that_is_no_longer_decoded_is_read_again(open_app):
    app = bring(open_app(), *((f"{at}.png", photo(at)) for at in range(5)))
    for at in (4, 0, 2):
        app.selectbox(key="set_image").select(f"upload {at + 1}").run()
        assert memory(app).scene.photo.pixels[0, 0, 0] == at
    assert len(memory(app).decoded) == 2


def test_a_figure_holds_the_file_of_every_own_photo(open_app, monkeypatch):
    app = bring(open_app(), ("a.png", photo(10)), ("b.png", photo(20)))
    app.selectbox(key="set_image").select("upload 2").run()
    ours = memory(app)
    monkeypatch.setattr(
        photos, "session", SimpleNamespace(memory=lambda: ours, settings=lambda: ours.settings)
    )
    chosen = sources.current_photo(ours.scene)
    assert (chosen.file, chosen.content) == ("b.png", photo(20))


def test_the_camera_window_opens_once_it_is_asked_for(open_app):
    app = open_app()
    assert not app.get("camera_input")
    album(app).camera = True
    app.run()
    assert not app.exception
    (camera,) = app.get("camera_input")
    camera.upload("shot.jpg", jpeg(), "image/jpeg").run()
    assert names(app) == ["camera 1.jpg"]
    assert photo_of(app) == "camera 1.jpg"


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (
            {"why": "size", "name": "x.jpg", "size": MAX_BYTES + 2**19},
            "x.jpg has 100.5 MB; the limit is 100 MB. Make the file smaller, by saving it as a "
            "JPEG for instance.",
        ),
        ({"why": "failed", "name": "../../x.jpg"}, "x.jpg did not arrive. Try again."),
        (
            {"why": "kind", "name": "net.PTH"},
            "net.PTH is not a photo. For a network, choose “Upload a checkpoint …”.",
        ),
        (
            {"why": "kind", "name": "a.txt"},
            "a.txt is not a picture that can be read. Use JPEG, PNG, WebP, BMP, TIFF, GIF or AVIF, "
            "and for scans .npy, DICOM or NIfTI.",
        ),
    ],
)
def test_what_the_browser_left_out_is_said_in_one_sentence(report, said):
    assert sentences([report]) == (said,)


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"why": []},
        {"why": "size", "size": "1"},
        {"why": "size", "size": 10**400},
        {"why": "__class__", "name": {}},
    ],
)
def test_a_report_that_means_nothing_says_nothing(report):
    assert sentences([report]) == ()


def test_long_lists_and_long_names_are_cut():
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(list("abcde")) == "a, b, c and 2 more"
    (sentence,) = sentences([{"why": "failed", "name": "x" * 5000}])
    assert len(sentence) < 140


@pytest.mark.parametrize("name", [[], {}, None, 1, "upload 9", "../cat", "upload"])
def test_a_choice_that_is_none_changes_nothing(monkeypatch, name):
    ours = Memory(settings=Settings(image="cat"))
    of_app = SimpleNamespace(memory=lambda: ours, settings=lambda: ours.settings)
    monkeypatch.setattr(photos, "session", of_app)
    photos.take(name)
    photos.remove(name)
    assert ours.settings == Settings(image="cat")


def test_the_strip_offers_every_sample_as_a_small_picture(open_app):
    shown = strip(open_app())
    assert [one["title"] for one in shown["photos"]] == [sample.title for sample in samples()]
    assert (shown["current"], shown["uploader"]) == ("cat", UPLOADER)
    assert all(len(one["picture"]) < 20_000 for one in shown["photos"])


def test_a_scan_that_says_nothing_of_white_is_read_through_the_sidebars_window(open_app):
    buffer = io.BytesIO()
    np.save(buffer, np.arange(-1000, 1400, dtype=np.int16).reshape(40, 60))
    scan = ("ct.npy", buffer.getvalue())
    app = bring(open_app(), scan)
    assert "“Window of scans” under “Input”" in app.error[0].value
    app.text_input(key="input_window").set_value("-1000,1000").run()
    app = bring(app, scan)
    assert not app.exception
    shown = memory(app).scene.photo
    assert (shown.name, shown.window) == ("ct.npy", (-1000, 1000))
    assert shown.pixels[0, 0, 0] == 0
    assert shown.pixels[-1, -1, 0] == 255
    app.text_input(key="input_window").set_value("-1000,3000").run()
    assert memory(app).scene.photo.pixels[-1, -1, 0] == round(2399 / 4000 * 255)
    app.text_input(key="input_window").set_value("").run()
    assert not app.exception
    assert "nothing says which one is white" in " ".join(one.value for one in app.error)
