"""The page Figure: what it shows is what downloads, and it is the figure of the settings."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pypdf
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cbam_viz import create_model
from cbam_viz.figures import format_column
from cbam_viz.figures.beside.manifest import read_manifest
from cbam_viz.figures.remake import remake
from cbam_viz.ui.pages.figure.files import Made, bundle
from cbam_viz.ui.pages.figure.sources import SECOND, UPLOADER, Chosen, Material, Network
from cbam_viz.ui.pages.figure.state import Kept
from tests.app_checkpoint import CLASSES, NAME, write_checkpoint
from tests.ui.streamlits import go_to, memory


def made(app) -> Made:
    """The figure that the page shows."""
    return next(reversed(memory(app).kept[Kept].files.values()))


def texts(app) -> str:
    kinds = ("markdown", "caption", "code", "info", "error")
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


def test_classes_are_drawn_as_curves_of_chosen_channels(page) -> None:
    choose(page, "layout", "channels")
    choose(page, "by", "curves")
    choose(page, "channels", "top")
    choose(page, "many", 7)
    assert not page.error
    spec = made(page).built.spec
    assert (spec.plot, spec.by, spec.top, spec.sample) == ("curves", "class", 7, None)
    assert "the 7 channels of the highest mean weight are drawn" in texts(page)


def test_features_before_and_after_gates_are_columns(page) -> None:
    layer = made(page).built.content.layers[-1]
    choose(page, "columns", ["input", f"energy:{layer}:before", f"energy:{layer}:after"])
    assert not page.error
    assert f"mean absolute feature of {layer} after its gates" in texts(page)


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


def test_an_uploaded_network_stands_beside_the_first(
    page, checkpoint_folder: Path, png: bytes
) -> None:
    choose(page, "second", "upload")
    assert len(made(page).built.study.analyses[0]) == 1  # its file is still missing
    content = (checkpoint_folder / NAME).read_bytes()
    page.get_by_key(SECOND).upload("rival.safetensors", content).run()
    choose(page, "columns", ["input", "map:layer4.1.se", "map@2:layer4.1.se"])
    assert not page.error
    first, second = made(page).built.study.analyses[0]
    assert first.attention["layer4.1.se"].spatial.equal(second.attention["layer4.1.se"].spatial)

    page.get_by_key(SECOND).set_value(None).run()
    page.get_by_key(SECOND).upload("noise.pth", png).run()
    assert not page.exception
    assert len(page.error) == 1
    assert page.get_by_key("figure_venue") is not None  # the page goes on with one network
    assert len(made(page).built.study.analyses[0]) == 1


LINK = {
    "fig_layout": "grid", "fig_photos": "sample:coffee,current", "fig_venue": "icml",
    "fig_width": "free", "fig_mm": "90.5", "fig_scale": "per map", "fig_opacity": "0.3",
    "fig_columns": "map:layer4.1.se,input", "fig_headings": "One, two | Three",
    "fig_contour": "1", "fig_level": "0.25", "fig_blocks": "2", "fig_image_dpi": "300",
}  # fmt: skip


def test_a_link_reopens_the_figure(open_app) -> None:
    app = open_app("figure", **LINK)
    assert not app.exception
    assert not app.error
    assert not app.info
    spec = made(app).built.spec
    assert [column.head for column in spec.columns] == ["One, two", "Three"]
    assert [column.kind for column in spec.columns] == ["map", "input"]
    assert (spec.venue, spec.scale, spec.opacity, spec.blocks) == ("icml", "per map", 0.3, 2)
    assert (spec.contours, spec.image_dpi) == ((0.25,), 300)
    names = [row[0].photo.name for row in made(app).built.study.analyses]
    assert names == ["coffee.jpg", "cat.jpg"]
    (sheet,) = pypdf.PdfReader(io.BytesIO(made(app).data)).pages
    assert float(sheet.mediabox.width) == pytest.approx(90.5 / 25.4 * 72, abs=0.5)
    written = {name: value for name, value in app.query_params.items() if name[:4] == "fig_"}
    assert written == {name: value for name, value in LINK.items() if name != "fig_layout"}


def test_a_zoom_is_in_the_link_and_comes_back(page, open_app) -> None:
    sha = memory(page).scene.photo.sha256[:12]
    choose(page, f"zoom_{sha}", True)
    choose(page, f"zoom_y_{sha}", (10, 90))
    rows = made(page).built.spec.rows
    link = {name: value for name, value in page.query_params.items() if name[:4] == "fig_"}
    assert link == {f"fig_zoom_{sha}": "1", f"fig_zoom_y_{sha}": "10,90"}
    app = open_app("figure", **link)
    assert made(app).built.spec.rows == rows


DRAWN_BESIDE = {
    "blocks": {"fig_photos": "current,sample:coffee"},
    "dpi": {"fig_format": "png"},
}
"""Without which a control has nothing to choose and is not there."""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("layout", "circle"),
        ("photos", "current,../../etc/passwd"),
        ("columns", "input,map:layer9"),
        ("opacity", "nan"),
        ("opacity", "7"),
        ("blocks", "-1"),
        ("blocks", "99999999999999999999"),
        ("heads", "maybe"),
        ("second", "/etc/passwd"),
        ("dpi", "1e9"),
        ("headings", "x" * 5000),
    ],
)
def test_what_a_link_cannot_mean_becomes_the_default_and_a_note(open_app, name, text) -> None:
    app = open_app("figure", **{f"fig_{name}": text}, **DRAWN_BESIDE.get(name, {}))
    assert not app.exception
    assert not app.error
    assert len(app.info) == 1
    assert name in app.info[0].value
    assert f"fig_{name}" not in app.query_params or name in ("photos", "columns")


def test_other_pages_do_not_carry_the_figures_controls_and_give_them_back(page) -> None:
    choose(page, "venue", "icml")
    assert page.query_params["fig_venue"] == "icml"
    go_to(page, "explore")
    assert "fig_venue" not in page.query_params
    go_to(page, "figure")
    assert page.query_params["fig_venue"] == "icml"


def test_the_figure_survives_a_visit_to_another_page(page) -> None:
    choose(page, "venue", "icml")
    data = made(page).data
    go_to(page, "explore")
    go_to(page, "figure")
    assert not page.exception
    assert made(page).built.spec.venue == "icml"
    assert made(page).data == data


def test_the_bundle_makes_the_same_figure_again(page, png: bytes, tmp_path: Path) -> None:
    page.get_by_key(UPLOADER).upload("mine.png", png, "image/png").run()
    shown = made(page)
    scene = memory(page).scene
    brought = next(iter(memory(page).kept[Kept].photos.values()))
    photos = [
        Chosen(scene.photo, "sample:cat", None),
        Chosen(brought.photo, brought.photo.name, brought.content),
    ]
    data = bundle(shown, Material(photos, [Network(scene.loaded, scene.request)]))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path)
        assert archive.read("figure.pdf") == shown.data
        assert archive.read("photos/2-mine.png") == png
    manifest = read_manifest(tmp_path / "figure.manifest.json")
    assert json.loads((tmp_path / "figure.manifest.json").read_text())["networks"][0]["name"]
    remade = remake(manifest, tmp_path, search=(scene.request.path.parent,))
    assert remade.differences == ()
    assert remade.files["figure.pdf"] == shown.data


def test_all_layers_are_shown_of_one_photo(page) -> None:
    choose(page, "photos", ["current", "sample:coffee"])
    choose(page, "layout", "depth")
    assert not page.error
    choose(page, "photo", "sample:coffee")
    assert not page.error
    (row,) = made(page).built.study.analyses
    assert row[0].photo.name == "coffee.jpg"
    choose(page, "layout", "grid")
    assert len(made(page).built.study.analyses) == 2


def test_what_makes_no_figure_is_said_on_the_page(page) -> None:
    choose(page, "venue", "slides")
    choose(page, "width", "free")
    choose(page, "mm", 20.0)
    assert len(page.error) == 1
    assert "have no room in a figure of 57 × 180 points" in page.error[0].value
    choose(page, "mm", 120.0)
    assert not page.error


def plain_twin(folder: Path) -> str:
    """A checkpoint of the same network without attention, there to be compared with."""
    with torch.random.fork_rng():
        model = create_model("resnet18", attention=None, num_classes=5)
    about = {"schema": 1, "title": "Plain", "architecture": "resnet18", "num_classes": 5,
             "classes": list(CLASSES), "compare_with": NAME}  # fmt: skip
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "plain.safetensors", {"cbam_viz": json.dumps(about)})
    return "plain.safetensors"


def test_a_second_network_adds_its_columns(open_app, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "second.safetensors").write_bytes((tmp_path / NAME).read_bytes())
    plain = plain_twin(tmp_path)
    app = open_app("figure", tmp_path)

    def columns() -> list[str]:
        return [format_column(column) for column in made(app).built.spec.columns]

    alone = columns()
    choose(app, "second", "second.safetensors")
    assert columns() == [
        "input", "map:layer3.1.se", "map:layer4.1.se", "prediction",
        "map@2:layer3.1.se", "map@2:layer4.1.se", "prediction@2",
    ]  # fmt: skip
    choose(app, "columns", ["map:layer1.0.se", "map@2:layer1.0.se"])  # a choice of one's own
    choose(app, "second", "")
    assert columns() == ["map:layer1.0.se"]
    choose(app, "second", plain)  # it has no maps
    assert not app.error
    assert columns() == ["map:layer1.0.se", "prediction@2"]
    assert not made(app).built.study.analyses[0][1].attention
    options = app.get_by_key("figure_columns").options
    assert {"Second: input", "Second: prediction"} <= set(options)
    assert not [option for option in options if option.startswith("Second: map")]
    choose(app, "columns", ["input", "input@2", "class@2"])
    assert not app.error
    assert len(alone) == 6


def test_methods_are_columns_for_a_class_that_is_chosen(page) -> None:
    choose(page, "columns", ["input", "gradcam:layer4", "whole", "effect"])
    assert not page.error
    (_, cam, whole, effect) = made(page).built.content.rows[0]
    predicted = made(page).built.study.analyses[0][0].predictions[0].label
    assert cam.target.name == effect.target.name == predicted
    assert whole.target is None
    other = next(name for name in CLASSES if name != predicted)
    choose(page, "class", other)
    (_, cam, _, effect) = made(page).built.content.rows[0]
    assert cam.target.name == effect.target.name == other
    assert page.query_params["fig_class"] == other
    assert f"for the class: {other}" in texts(page)


def test_the_papers_pair_is_one_click_away(open_app, tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    plain = plain_twin(tmp_path)
    app = open_app("figure", tmp_path)
    app.get_by_key("figure_preset_gradcam-pair").click().run()
    assert not app.exception
    assert not app.error
    spec = made(app).built.spec
    assert [format_column(column) for column in spec.columns] == [
        "input", "gradcam@2:layer4", "gradcam:layer4",
    ]  # fmt: skip
    one, two = made(app).built.content.rows[0][1:]
    assert one.target.name == two.target.name
    assert one.analysis.model_name == "Plain"
    assert app.query_params["fig_second"] == plain
    app.get_by_key("figure_preset_gradcam-pair").click().run()  # a second time changes nothing
    assert made(app).built.spec == spec


def drawn_controls(app) -> set[str]:
    kinds = ("selectbox", "slider", "toggle", "multiselect", "text_input", "number_input")
    keys = {element.key for kind in kinds for element in app.get(kind)}
    return {key.removeprefix("figure_") for key in keys if key and key.startswith("figure_")}


@pytest.mark.parametrize(
    ("settings", "there", "gone"),
    [
        ({}, {"opacity", "row_labels", "second"}, {"blocks", "dpi", "mark_seen", "order", "level"}),
        ({"style": "map"}, {"style", "cells"}, {"opacity"}),
        ({"frame": "photo"}, {"mark_seen"}, set()),
        ({"format": "png"}, {"dpi"}, set()),
        ({"photos": "current,sample:coffee"}, {"blocks"}, set()),
        ({"columns": "input,prediction"}, {"frame"}, {"scale", "colormap", "cells", "contour"}),
        ({"columns": "channels:layer4.1.se"}, {"order"}, {"scale", "frame", "scale_bar"}),
        ({"layout": "depth"}, {"photo", "per_line"}, {"photos", "second", "row_labels", "columns"}),
        ({"layout": "channels"}, {"panels", "letters"}, {"scale", "colormap", "frame", "second"}),
        ({"layout": "channels", "by": "class"}, {"scale", "colormap"}, {"letters", "heads"}),
        ({"layout": "channel"}, {"channel", "cells"}, {"scale", "style", "opacity", "second"}),
    ],
)
def test_only_controls_that_do_something_are_shown(open_app, settings, there, gone) -> None:
    app = open_app("figure", **{f"fig_{name}": value for name, value in settings.items()})
    assert not app.error
    shown = drawn_controls(app)
    assert there <= shown
    assert not gone & shown
    for kind in ("selectbox", "slider", "toggle", "multiselect", "text_input", "number_input"):
        assert not [element.key for element in app.get(kind) if element.disabled]


def test_venues_of_one_column_have_one_width(page) -> None:
    choose(page, "venue", "neurips")
    assert page.get_by_key("figure_width").options == ["text, 396 pt", "millimetres"]


def test_the_grey_preview_is_grey(page) -> None:
    from cbam_viz.ui.pages.figure.files import preview

    choose(page, "grey", True)
    picture = preview(made(page), grey=True)
    assert isinstance(picture, bytes)
    assert Image.open(io.BytesIO(picture)).mode == "L"
