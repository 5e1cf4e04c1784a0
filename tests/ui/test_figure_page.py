"""The page Figure: what it shows is what downloads, and it is the figure of the settings."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pypdf
import pytest
from PIL import Image

from cbam_viz.figures.manifest import read_manifest
from cbam_viz.figures.remake import remake
from cbam_viz.ui.figure_files import Made, bundle
from cbam_viz.ui.figure_sources import UPLOADER, Chosen, Network
from tests.app_checkpoint import NAME, write_checkpoint


def made(app) -> Made:
    """The figure that the page shows."""
    return next(reversed(app.session_state["cbam_viz_figure"].files.values()))


def texts(app) -> str:
    kinds = ("markdown", "caption", "info", "error")
    return "\n".join(element.value for kind in kinds for element in app.get(kind))


@pytest.fixture
def page(open_app):
    app = open_app("figure")
    assert not app.exception
    assert not app.error
    return app


def choose(app, key: str, value) -> None:
    """Set whichever widget has that key."""
    widget = app.get_by_key(f"figure_{key}")
    widget.set_value(value).run() if hasattr(widget, "set_value") else widget.select(value).run()
    assert not app.exception


def test_it_opens_with_a_figure_of_the_sidebars_photo(page) -> None:
    shown = made(page)
    assert shown.file_format == "pdf"
    (sheet,) = pypdf.PdfReader(io.BytesIO(shown.data)).pages
    assert float(sheet.mediabox.width) == pytest.approx(495, abs=0.5)
    assert [column.kind for column in shown.built.content.columns] == [
        "input", *["map"] * 4, "prediction",
    ]  # fmt: skip
    assert "495.0 × " in texts(page)
    assert "Attention of Test network." in texts(page)


@pytest.mark.parametrize("layout", ["depth", "channels", "channel"])
def test_each_layout_is_drawn(page, layout: str) -> None:
    choose(page, "layout", layout)
    assert not page.error
    assert made(page).built.spec.layout == layout


@pytest.mark.parametrize("file_format", ["svg", "png", "tiff"])
def test_each_format_is_shown(page, file_format: str) -> None:
    choose(page, "format", file_format)
    assert not page.error
    assert made(page).name == f"figure.{file_format}"


def test_settings_reach_the_figure(page) -> None:
    choose(page, "venue", "neurips")
    choose(page, "scale", "per map")
    choose(page, "letters", "cells")
    choose(page, "headings", "Photo, uncut | | Second")
    spec = made(page).built.spec
    assert (spec.venue, spec.scale, spec.letters) == ("neurips", "per map", "cells")
    assert [column.head for column in spec.columns[:3]] == ["Photo, uncut", None, "Second"]
    (sheet,) = pypdf.PdfReader(io.BytesIO(made(page).data)).pages
    assert float(sheet.mediabox.width) == pytest.approx(396, abs=0.5)


def test_more_photos_become_rows_and_bad_files_are_named(page, png: bytes) -> None:
    uploader = page.get_by_key(UPLOADER)
    uploader.upload("mine.png", png, "image/png")
    uploader.upload("bad.png", b"nothing", "image/png").run()
    assert not page.exception
    rows = made(page).built.study.analyses
    assert [row[0].photo.name for row in rows] == ["cat.jpg", "mine.png"]
    assert len(page.error) == 1
    assert "bad.png" in page.error[0].value


def test_a_second_network_stands_beside_the_first(open_app, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "second.safetensors").write_bytes((tmp_path / NAME).read_bytes())
    app = open_app("figure", tmp_path)
    choose(app, "second", "second.safetensors")
    choose(app, "columns", ["input", "map:layer4.1.se", "map@2:layer4.1.se"])
    assert not app.error
    first, second = made(app).built.study.analyses[0]
    assert first.attention["layer4.1.se"].spatial.equal(second.attention["layer4.1.se"].spatial)


def test_the_figure_survives_a_visit_to_another_page(page) -> None:
    choose(page, "venue", "icml")
    data = made(page).data
    address = page._page_hash
    page._page_hash = page.session_state["cbam_viz_memory"].pages["explore"]._script_hash
    page.run()
    page._page_hash = address
    page.run()
    assert not page.exception
    assert made(page).built.spec.venue == "icml"
    assert made(page).data == data


def test_the_bundle_makes_the_same_figure_again(page, png: bytes, tmp_path: Path) -> None:
    page.get_by_key(UPLOADER).upload("mine.png", png, "image/png").run()
    shown = made(page)
    scene = page.session_state["cbam_viz_memory"].scene
    brought = next(iter(page.session_state["cbam_viz_figure"].photos.values()))
    photos = [
        Chosen(scene.photo, "sample:cat", None),
        Chosen(brought.photo, brought.photo.name, brought.content),
    ]
    data = bundle(shown, photos, [Network(scene.loaded, scene.request)])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path)
        assert archive.read("figure.pdf") == shown.data
        assert archive.read("photos/2-mine.png") == png
    manifest = read_manifest(tmp_path / "figure.manifest.json")
    assert json.loads((tmp_path / "figure.manifest.json").read_text())["networks"][0]["name"]
    remade = remake(manifest, tmp_path, search=(scene.request.path.parent,))
    assert remade.differences == ()
    assert remade.files["figure.pdf"] == shown.data


def test_a_region_that_makes_no_sense_is_said_on_the_page(page) -> None:
    choose(page, "layout", "depth")
    choose(page, "photos", ["current", "sample:coffee"])
    assert len(page.error) == 1
    assert "shows one photo; there are 2" in page.error[0].value
    choose(page, "photos", ["current"])
    assert not page.error


def test_the_grey_preview_is_grey(page) -> None:
    from cbam_viz.ui.figure_files import preview

    choose(page, "grey", True)
    picture = preview(made(page), grey=True)
    assert isinstance(picture, bytes)
    assert Image.open(io.BytesIO(picture)).mode == "L"
