"""Channel weights of classes: whose word a class is, curves, chosen channels, several layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cbam_viz.analysis import Analysis
from cbam_viz.errors import FigureError
from cbam_viz.figures import FigureSpec, Row, Study, build
from cbam_viz.figures.ask.labels import classes_by_file, classes_by_folder
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.beside.tables import shown_values
from cbam_viz.figures.content import study as studies
from cbam_viz.figures.content.values import drawn_channels

from .conftest import make_analysis

RAMP = torch.arange(8) / 8


def with_weights(seed: int, layer: str, weights: torch.Tensor) -> Analysis:
    one = make_analysis(seed=seed)
    changed = replace(one.attention[layer], channel=weights[None])
    layers = {**one.attention.layers, layer: changed}
    return replace(one, attention=replace(one.attention, layers=layers))


@pytest.fixture
def ramps() -> Study:
    """In layer1.0.se: 0, 1/8 ... 7/8 twice, and half of that once."""
    shares = (1.0, 1.0, 0.5)
    return Study(tuple((with_weights(n, "layer1.0.se", RAMP * s),) for n, s in enumerate(shares)))


SPEC = FigureSpec(layout="channels", plot="curves", layers=("layer1.0.se",))
GROUPED = SPEC.with_(rows=(Row(group="a"), Row(group="a"), Row(group="b")))


def lines(built) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
    found = {}
    for axes in built.figure.axes:
        for line in axes.lines:
            found[line.get_gid()] = np.asarray(line.get_ydata())
    return found


def test_a_curve_is_its_classes_mean_and_the_black_one_that_of_all_classes(ramps: Study) -> None:
    built = build(GROUPED, ramps)
    drawn = lines(built)
    np.testing.assert_allclose(drawn["panel 1 class 1"], RAMP)
    np.testing.assert_allclose(drawn["panel 1 class 2"], RAMP / 2)
    # Each class counts once, though there are two photos of the first.
    np.testing.assert_allclose(drawn["panel 1 mean"], RAMP * 0.75)
    table = {(one.place, one.name, one.text): one.values for one in shown_values(built)}
    np.testing.assert_allclose(table["mean 1", "mean of all classes", "layer1.0.se"], RAMP * 0.75)
    texts = {text.get_text() for text in built.figure.texts}
    assert {"a (2 photos)", "b", "mean of all classes", "0", "7"} <= texts


def test_curves_take_the_last_layer_of_each_stage(ramps: Study) -> None:
    built = build(SPEC.with_(layers=()), ramps)
    assert built.spec.layers == ("layer1.0.se", "layer2.1.se")
    assert [panel.layer for panel in built.content.panels] == ["layer1.0.se", "layer2.1.se"]
    again = build(FigureSpec.from_dict(built.spec.to_dict()), ramps)
    assert again.spec == built.spec
    assert again.render("pdf") == built.render("pdf")


def test_the_curve_of_one_class_has_no_mean(ramps: Study) -> None:
    built = build(SPEC.with_(rows=(Row(group="a"),) * 3), ramps)
    assert "panel 1 mean" not in lines(built)
    assert "mean of all classes" not in caption(built)


def test_more_classes_than_lines_can_show_are_refused(ramps: Study) -> None:
    many = tuple(Row(group=f"{n}") for n in range(9))
    with pytest.raises(FigureError, match="Lines of 9 classes cannot be told apart; the most is 8"):
        build(SPEC.with_(rows=many), Study(ramps.analyses * 3))
    assert build(SPEC.with_(rows=many[:8]), Study((ramps.analyses * 3)[:8])).render("png")


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6]),
        ({"order": "weight"}, [4, 0, 6, 2, 5, 3, 1]),
        ({"top": 3}, [0, 4, 6]),
        ({"top": 3, "order": "weight"}, [4, 0, 6]),
        ({"top": 99}, [0, 1, 2, 3, 4, 5, 6]),
        ({"sample": 3}, [0, 3, 6]),
        ({"sample": 4, "order": "weight"}, [4, 0, 6, 2]),
        ({"sample": 1}, [0]),
        ({"sample": 99}, [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_channels_are_chosen(settings: dict[str, object], wanted: list[int]) -> None:
    mean = np.array([0.8, np.nan, 0.4, 0.1, 0.9, 0.3, 0.5], np.float32)
    spec = FigureSpec(layout="channels", **settings)  # type: ignore[arg-type]
    assert drawn_channels(spec, mean).tolist() == wanted


@pytest.mark.parametrize("settings", [{"by": "layer"}, {"by": "class"}, {"plot": "curves"}])
def test_chosen_channels_are_what_is_drawn_and_said(
    ramps: Study, settings: dict[str, object]
) -> None:
    spec = FigureSpec(layout="channels", layers=("layer1.0.se",), top=2, **settings)  # type: ignore[arg-type]
    built = build(spec, ramps)
    assert "Of each layer, the 2 channels of the highest mean weight are drawn." in caption(built)
    texts = [text.get_text() for text in built.figure.texts]
    assert {"6", "7"} <= set(texts)  # the first and the last channel on the axis
    widths = {axes.get_xlim()[1] for axes in built.figure.axes if "legend" not in axes.get_gid()}
    assert widths == {2}
    sampled = build(spec.with_(top=None, sample=3), ramps)
    assert "Of each layer, 3 channels are drawn, evenly spaced by index." in caption(sampled)
    # The table has them all.
    assert all(one.values.size == 8 for one in shown_values(sampled))


def test_settings_of_channel_weights_are_refused_elsewhere() -> None:
    for settings in ({"top": 3}, {"sample": 3}, {"plot": "curves"}):
        with pytest.raises(FigureError, match="choose the layout 'channels'"):
            FigureSpec(**settings)  # type: ignore[arg-type]
    with pytest.raises(FigureError, match="give one of them"):
        FigureSpec(layout="channels", top=3, sample=3)
    with pytest.raises(FigureError, match="Top is 1 or more"):
        FigureSpec(layout="channels", top=0)


def test_classes_of_several_layers_stand_below_each_other(three: Study) -> None:
    spec = FigureSpec(layout="channels", by="class", layers=("layer1.0.se", "-1"))
    built = build(spec, three)
    assert built.content.layers == ("layer1.0.se", "layer2.1.se")
    assert built.spec.layer is None
    boxes = {axes.get_gid(): axes.get_position() for axes in built.figure.axes}
    assert boxes["weights axes"].y0 > boxes["weights 2 axes"].y1
    shown = {(one.text, one.name): one.values for one in shown_values(built)}
    own = three.analyses[1][0].attention["layer2.1.se"].channel[0].numpy()
    assert np.array_equal(shown["layer2.1.se", "school bus"], own)
    assert "Channel weights of 2 layers of ResNet-18" in caption(built)


def test_manifests_from_before_keep_their_one_layer(three: Study) -> None:
    """`layer` beside several `layers` was what the command line wrote; only it was drawn."""
    old = FigureSpec(layout="channels", by="class", layer="0", layers=("0", "-1"))
    assert build(old, three).content.layers == ("layer1.0.se",)


def test_whose_word_a_class_is(three: Study) -> None:
    spec = FigureSpec(layout="channels", by="class")
    labelled = Row(group="x")
    assert "Classes are those that the network predicts." in caption(build(spec, three))
    words = caption(build(spec.with_(rows=(labelled,) * 3), three))
    assert "Classes are as labelled." in words
    words = caption(build(spec.with_(rows=(labelled,)), three))
    assert "Classes are as labelled, and as the network predicts for photos without" in words
    none = build(spec, make_analysis(classes=False))
    assert "All photos stand together, as the network predicts no classes." in caption(none)


def test_folders_of_links_have_names_of_their_own(tmp_path: Path) -> None:
    real, cats = tmp_path / "everything", tmp_path / "mine" / "cat"
    real.mkdir()
    cats.mkdir(parents=True)
    (real / "1.png").touch()
    (cats / "a.png").symlink_to(real / "1.png")
    labels = tmp_path / "mine" / "labels.csv"
    labels.write_text("cat/a.png,tabby\n")
    assert classes_by_folder([cats / "a.png"]) == ["cat"]
    assert classes_by_file([cats / "a.png"], labels) == ["tabby"]


def test_classes_come_from_folders(tmp_path: Path) -> None:
    photos = [tmp_path / "train" / "cat" / "a.jpg", tmp_path / "val" / "bus" / "a.jpg"]
    assert classes_by_folder(photos) == ["cat", "bus"]


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg,cat\nb/a.jpg,school bus\n",
        "file,class\na.jpg , cat\n\nb/a.jpg,school bus",
        "a.jpg\tcat\nb/a.jpg\tschool bus\n",
        '\ufefffilename;label\n"a.jpg";cat\nb\\a.jpg;school bus\nother.jpg;dog\n',
        "a,cat\n./b/a.jpg,school bus\n",
        "a.jpg,cat\na.jpg,cat\nb/a.jpg,school bus\n",
    ],
)
def test_classes_come_from_a_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text, encoding="utf-8")
    assert classes_by_file([tmp_path / "a.jpg", tmp_path / "b" / "a.jpg"], file) == [
        "cat", "school bus",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"b.jpg,cat\n", "no class for a.jpg. It takes a line photo,class"),
        (b"a.jpg,cat\na.jpg,dog\n", "several classes: cat, dog"),
        (b"a.jpg\n", "Line 1 of labels.csv is no photo and class"),
        (b"b.jpg,x\na.jpg,\n", "Line 2 of labels.csv is no photo and class"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"", "no class for a.jpg"),
    ],
)
def test_bad_files_of_labels_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(data)
    with pytest.raises(FigureError, match=message):
        classes_by_file([tmp_path / "a.jpg"], file)


def test_selective_channels_of_photos_are_not_judged_by_the_first_photo_alone(
    ramps: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyses = iter([row[0] for row in ramps.analyses])
    monkeypatch.setattr(studies, "analyse_for", lambda *_, **__: next(analyses))
    spec = GROUPED.with_(plot="auto", by="class", rank="selective", top=2)
    found = studies.study(spec, [object()], [object()] * 3)  # type: ignore[list-item]
    assert len(found.analyses) == 3
    assert "the 2 channels that tell classes apart best" in caption(build(spec, found))
