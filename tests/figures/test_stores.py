"""Figures of a store: their values are NumPy's on all photos, and each is made again."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import cbam_viz
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.dataset import open_store
from cbam_viz.errors import CbamVizError, FigureError
from cbam_viz.figures import FigureSpec, StoreStudy, build, study_beside
from cbam_viz.figures.ask.registry import LAYOUTS
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.beside.tables import numbers_text, shown_values
from tests.cli.conftest import invoke, write_photo, write_tiny

pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("scipy")

LABELS = ("ant", "bee", "cat", "dog", "elk")
LAYER = "layer4.0.se"
SPECS = {
    "curves": {"layout": "channels", "by": "class", "plot": "curves", "per_class": 2, "sample": 5},
    "spread": {"layout": "channels", "by": "class", "plot": "curves", "spread": True},
    "cells": {"layout": "channels", "by": "class", "order": "cluster", "top": 9,
              "rank": "selective"},
    "relative": {"layout": "channels", "by": "class", "relative": True},
    "variance": {"layout": "variance"},
    "distances": {"layout": "distances", "order": "cluster"},
    "extremes": {"layout": "extremes", "listed": 2},
    "nearest": {"layout": "nearest", "listed": 3},
    "unusual": {"layout": "unusual", "listed": 3},
    "stores": {"layout": "stores"},
    "against": {"layout": "against", "top": 6},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of five classes of different numbers, and stores of two networks of them."""
    folder = tmp_path_factory.mktemp("stores")
    for number in range(24):
        label = LABELS[number % 5] if number < 20 else "ant"
        write_photo(folder / "photos" / label / f"{number:02}.png", seed=number)
    for name, seed in (("first", 0), ("second", 1)):
        loaded = cbam_viz.load_model(write_tiny(folder / f"{name}.safetensors", seed=seed))
        settings = Settings(view="crop", precision="float32")
        run_batch(loaded, [str(folder / "photos")], folder / name, settings, workers=1)
    return folder


@pytest.fixture(scope="module")
def study(folder: Path) -> StoreStudy:
    return study_beside([open_store(folder / "first")])


def whole(store: Path, layer: str = LAYER, part: str = "channel") -> tuple[np.ndarray, np.ndarray]:
    """Every photo's gates, float64, and its label."""
    table = pq.read_table(store / "gates")
    return (
        np.array(table[f"{layer}/{part}"].to_pylist(), np.float64),
        np.array(table["label"].to_pylist()),
    )


def evenly(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.rint(np.linspace(0, len(rows) - 1, min(count, len(rows)))).astype(int)]


def test_the_papers_figure_is_numpys(folder: Path, study: StoreStudy) -> None:
    """Four classes, so many photos of each, evenly sampled channels, the mean of all classes."""
    built = build(FigureSpec(**SPECS["curves"]), study)
    stages = {one["stage"]: one["name"] for one in study.store.layers}
    assert built.content.layers == tuple(stages.values())
    for panel in built.content.panels:
        values, labels = whole(folder / "first", panel.layer)
        means = {
            label: values[evenly(np.flatnonzero(labels == label), 2)].mean(0) for label in LABELS
        }
        assert [one.name for one in panel.classes] == list(LABELS[:4])
        assert [one.photos for one in panel.classes] == [2] * 4
        for one in panel.classes:
            np.testing.assert_allclose(one.weights, means[one.name], atol=1e-6)
        all_classes = np.mean([values[labels == label].mean(0) for label in LABELS], 0)
        np.testing.assert_allclose(panel.mean, all_classes, atol=1e-6)
        spaced = np.rint(np.linspace(0, values.shape[1] - 1, 5)).astype(int)
        assert panel.channels.tolist() == spaced.tolist()
        lines = {line.get_gid(): line for axes in built.figure.axes for line in axes.lines}
        number = built.content.panels.index(panel) + 1
        drawn = lines[f"panel {number} class 2"].get_ydata()
        np.testing.assert_allclose(drawn, means["bee"][spaced], atol=1e-6)
        drawn = lines[f"panel {number} mean"].get_ydata()
        np.testing.assert_allclose(drawn, all_classes[spaced], atol=1e-6)
    told = caption(built)
    assert "Of each class 2 photos, evenly spaced in the order of the store" in told
    assert "mean of all 5 classes of the store" in told
    assert "the mean of all classes is of all their photos" in told
    assert "5 channels are drawn, evenly spaced by index" in told


def test_bands_are_one_standard_deviation(folder: Path, study: StoreStudy) -> None:
    spec = FigureSpec(**SPECS["spread"], layer=LAYER, classes=("cat", "ant"))
    built = build(spec, study)
    values, labels = whole(folder / "first")
    (panel,) = built.content.panels
    band = built.content.band(panel)
    for row, name in enumerate(("cat", "ant")):
        np.testing.assert_allclose(band[row], values[labels == name].std(0), atol=1e-6)
    rows = [one for one in shown_values(built) if one.shown.startswith("standard deviation")]
    assert [one.name for one in rows] == ["cat", "ant"]
    assert "one standard deviation between the photos of a class" in caption(built)
    outline = next(
        one.get_paths()[0].vertices
        for axes in built.figure.axes
        for one in axes.collections
        if one.get_gid() == "panel 1 band 1"
    )
    means = values[labels == "cat"].mean(0)
    assert outline[:, 1].max() == pytest.approx((means + band[0]).max(), abs=1e-6)


def test_cells_are_clustered_and_chosen_by_selectivity(folder: Path, study: StoreStudy) -> None:
    from scipy.cluster.hierarchy import fcluster, linkage

    built = build(FigureSpec(**SPECS["cells"]), study)
    (matrix,) = built.content.matrices
    values, labels = whole(folder / "first")
    means = np.stack([values[labels == label].mean(0) for label in LABELS])
    top, rest = means.max(0), (means.sum(0) - means.max(0)) / 4
    index = (top - rest) / (top + rest)
    assert set(matrix.channels) == set(np.argsort(-index, kind="stable")[:9])
    names = [one.name for one in matrix.classes]
    assert sorted(names) == list(LABELS)
    drawn = means[[LABELS.index(name) for name in names]][:, matrix.channels]
    np.testing.assert_allclose(matrix.matrix, drawn, atol=1e-6)
    # Every cluster of every size stands together.
    for rows in (drawn, drawn.T):
        for count in range(2, len(rows)):
            kinds = fcluster(linkage(rows, "average"), count, "maxclust")
            runs = 1 + np.count_nonzero(np.diff(kinds))
            assert runs == len(set(kinds))
    assert "ordered by hierarchical clustering" in caption(built)


def test_differences_are_from_the_mean_of_all_classes(folder: Path, study: StoreStudy) -> None:
    built = build(FigureSpec(**SPECS["relative"], classes=("dog", "bee")), study)
    values, labels = whole(folder / "first")
    means = np.stack([values[labels == label].mean(0) for label in LABELS])
    (matrix,) = built.content.matrices
    np.testing.assert_allclose(matrix.matrix, (means - means.mean(0))[[3, 1]], atol=1e-6)
    scale = built.content.scale
    assert scale.low == -scale.high
    assert built.spec.colormap == "diverging"


def test_shares_of_variance(folder: Path, study: StoreStudy) -> None:
    built = build(FigureSpec(layout="variance", layer=LAYER), study)
    one = next(gate for gate in built.content.gates if gate.part == "channel")
    values, labels = whole(folder / "first")
    profile = values.mean(0)
    means = np.stack([values[labels == label].mean(0) for label in labels])
    parts = (np.broadcast_to(profile - profile.mean(), values.shape), means - profile,
             values - means)  # fmt: skip
    total = ((values - values.mean()) ** 2).sum()
    np.testing.assert_allclose(one.shares, [(p**2).sum() / total for p in parts], rtol=1e-5)
    bars = [
        patch.get_width()
        for axes in built.figure.axes
        if axes.get_gid() == f"gate {built.content.gates.index(one) + 1} axes"
        for patch in axes.patches
    ]
    np.testing.assert_allclose(bars, one.shares)


def test_distances(folder: Path, study: StoreStudy) -> None:
    built = build(FigureSpec(**SPECS["distances"], layer=LAYER), study)
    (table,) = built.content.tables
    values, labels = whole(folder / "first")
    means = np.stack([values[labels == label].mean(0) for label in table.rows])
    wanted = np.sqrt(((means[:, None] - means[None]) ** 2).mean(-1))
    np.testing.assert_allclose(table.values, wanted, atol=1e-9)
    assert table.rows == table.columns
    line = next(
        row for row in csv.DictReader(numbers_text(built).splitlines())
        if row["text"].startswith(f"{table.rows[0]}, {table.rows[2]}: ")
    )  # fmt: skip
    assert float(line["text"].rpartition(" ")[2]) == pytest.approx(wanted[0, 2], rel=1e-6)


def test_photos_in_order_with_their_maps(folder: Path, study: StoreStudy) -> None:
    values, _ = whole(folder / "first")
    maps, _ = whole(folder / "first", part="spatial")
    names = pq.read_table(folder / "first/gates")["name"].to_pylist()
    built = build(FigureSpec(layout="extremes", channel=3, layer=LAYER, listed=2), study)
    order = np.argsort(values[:, 3], kind="stable")
    wanted = [*order[::-1][:2], order[1], order[0]]
    listed = built.content.listed
    assert [one.photo.name for one in listed] == [names[n] for n in wanted]
    assert [one.where for one in listed] == ["highest", "highest", "lowest", "lowest"]
    for row, one in zip(wanted, built.content.grid.maps, strict=True):
        np.testing.assert_array_equal(one.values[0].ravel(), maps[row].astype(np.float32))
        photo = cbam_viz.read_photo(folder / "photos" / names[row])
        np.testing.assert_array_equal(one.analysis.photo.pixels, photo.pixels)
    text = numbers_text(built)
    assert f"highest: weight {values[wanted[0], 3]:.9g}" in text

    near = build(FigureSpec(layout="nearest", photo=names[7], layer=LAYER, listed=3), study)
    distance = np.sqrt(((values - values[7]) ** 2).mean(1))
    assert [one.photo.name for one in near.content.listed] == [
        names[n] for n in np.argsort(distance)[:4]
    ]
    z = np.sqrt((((values - values.mean(0)) / values.std(0)) ** 2).mean(1))
    odd = build(FigureSpec(layout="unusual", layer=LAYER, listed=3), study)
    assert [one.photo.name for one in odd.content.listed] == [names[n] for n in np.argsort(-z)[:3]]


def test_photos_that_are_gone_are_said(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "photos", tmp_path / "photos")
    loaded = cbam_viz.load_model(folder / "first.safetensors")
    run_batch(loaded, [str(tmp_path / "photos")], tmp_path / "store", Settings(view="crop"))
    study = study_beside([open_store(tmp_path / "store")])
    spec = FigureSpec(layout="unusual", listed=3)
    first = build(spec, study).content.listed[0]
    (tmp_path / "photos" / first.photo.name).unlink()
    built = build(spec, study)
    assert [one.seen.there for one in built.content.listed] == [False, True, True]
    assert "1 of 3 photos are no longer where they were" in caption(built)
    assert (built.content.listed[0].seen.analysis.photo.pixels == 255).all()


def test_two_stores(folder: Path) -> None:
    both = study_beside([open_store(folder / name) for name in ("first", "second")])
    built = build(FigureSpec(layout="stores", layer=LAYER), both)
    (table,) = built.content.tables
    assert table.columns == ("all photos", *LABELS)
    for row, part in zip(table.values, ("channel", "spatial"), strict=True):
        (a, labels), (b, _) = (whole(folder / name, part=part) for name in ("first", "second"))
        wanted = [np.sqrt(((a.mean(0) - b.mean(0)) ** 2).mean())]
        wanted += [
            np.sqrt(((a[labels == one].mean(0) - b[labels == one].mean(0)) ** 2).mean())
            for one in LABELS
        ]
        np.testing.assert_allclose(row, wanted, atol=1e-9)


def test_a_photo_against_the_store(folder: Path) -> None:
    loaded = cbam_viz.load_model(folder / "first.safetensors")
    photo = cbam_viz.read_photo(folder / "photos/bee/01.png")
    study = study_beside([open_store(folder / "first")], [loaded], [photo], "crop")
    built = build(FigureSpec(layout="against", layer=LAYER, top=6, classes=("bee",)), study)
    (panel,) = built.content.panels
    values, labels = whole(folder / "first")
    weights = study.analyses[0][0].attention[LAYER].channel[0].double().numpy()
    z = (weights - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(panel.found.store.z, z, rtol=1e-6)
    bees = values[labels == "bee"]
    np.testing.assert_allclose(
        panel.found.of_class.z, (weights - bees.mean(0)) / bees.std(0), rtol=1e-5
    )
    assert panel.channels.tolist() == np.argsort(-np.abs(z), kind="stable")[:6].tolist()
    assert "only 4 photos of class bee" in caption(built)
    with pytest.raises(FigureError, match=r"another network|other weights"):
        study_beside([open_store(folder / "second")], [loaded], [photo], "crop")


@pytest.mark.parametrize("name", SPECS)
def test_the_kept_specification_makes_the_same_figure(name: str, folder: Path) -> None:
    study = study_of(name, folder)
    built = build(FigureSpec(**SPECS[name]), study)
    again = build(FigureSpec.from_dict(built.spec.to_dict()), study)
    assert again.spec == built.spec
    assert again.render("svg") == built.render("svg")
    assert caption(built).endswith(".")
    assert len(numbers_text(built).splitlines()) > 1


def study_of(name: str, folder: Path) -> StoreStudy:
    stores = [open_store(folder / "first")]
    if name == "stores":
        stores.append(open_store(folder / "second"))
    if name != "against":
        return study_beside(stores)
    loaded = cbam_viz.load_model(folder / "first.safetensors")
    photo = cbam_viz.read_photo(folder / "photos/bee/01.png")
    return study_beside(stores, [loaded], [photo], "crop")


def test_every_layout_of_a_store_is_tried_here() -> None:
    of_store = {name for name, one in LAYOUTS.items() if "store" in one.of}
    assert {spec["layout"] for spec in SPECS.values()} == of_store


@pytest.mark.parametrize(
    "options",
    [
        ("--plot", "curves", "--per-class", "2", "--sample", "5"),
        ("--order", "cluster", "--top", "9", "--top-by", "selective"),
        ("--layout", "extremes", "--list", "2"),
        ("--layout", "stores", "--store", "second"),
        ("--layout", "against", "photos/bee/01.png", "--checkpoint", "first.safetensors"),
    ],
    ids=lambda options: options[1],
)
def test_one_command_and_from_its_manifest(
    folder: Path, tmp_path: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    target = tmp_path / "f.svg"
    made = invoke("figure", "--store", "first", "-o", target, *options, "--with", "all")
    assert made.exit_code == 0, made.output
    manifest = json.loads((tmp_path / "f.manifest.json").read_text())
    assert manifest["stores"][0]["fingerprint"] == open_store(folder / "first").fingerprint
    assert manifest["stores"][0]["photos"] == 24
    assert (tmp_path / "f.csv").stat().st_size > 200
    assert r"\caption{" in (tmp_path / "f.tex").read_text()
    again = invoke("figure", "--from", tmp_path / "f.manifest.json", "-o", tmp_path / "g.svg",
                   "--json")  # fmt: skip
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["identical"] is True
    assert (tmp_path / "g.svg").read_bytes() == target.read_bytes()


def test_a_store_that_changed_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "first", tmp_path / "store")
    made = invoke("figure", "--store", tmp_path / "store", "-o", tmp_path / "f.svg",
                  "--layout", "variance", "--with", "manifest")  # fmt: skip
    assert made.exit_code == 0, made.output
    shutil.copytree(tmp_path / "store", tmp_path / "kept")
    last = max((tmp_path / "store/gates").iterdir())
    last.unlink()
    manifest = tmp_path / "f.manifest.json"
    changed = invoke("figure", "--from", manifest, "-o", tmp_path / "g.svg")
    assert changed.exit_code == 3
    assert "has changed since the figure was made" in changed.output
    shutil.rmtree(tmp_path / "store")
    gone = invoke("figure", "--from", manifest, "-o", tmp_path / "g.svg")
    assert "is not there" in gone.output
    (tmp_path / "kept").rename(tmp_path / "store")
    again = invoke("figure", "--from", manifest, "-o", tmp_path / "g.svg")
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--layout", "grid"), "is of photos. Of a store there are"),
        (("--by", "layer"), "channels by layer"),
        (("--class", "yak"), "has no class 'yak'"),
        (("--layer", "nothing"), "no attention layer 'nothing'"),
        (("--layout", "nearest", "--photo", "nobody.png"), "has no photo 'nobody.png'"),
        (("--layout", "extremes", "--channel", "9999"), "has channels 0 to"),
        (("--layout", "stores"), "takes two stores; there are 1"),
        (("--layout", "against"), "takes one photo beside its store; there are 0"),
        (("--layout", "variance", "sample:cat"), "takes no photos beside it"),
        (("--layout", "variance", "--order", "cluster"), "Clustering puts classes in order"),
        (("--layout", "variance", "--relative"), "are of channel weights by class"),
        (("--spread",), "are of curves"),
        (("--top-by", "selective"), "Selective channels are chosen of classes"),
        (("--layout", "distances", "--class", "ant"), "between 2 to 64 classes, not 1"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(
    folder: Path, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    ended = invoke("figure", "--store", folder / "first", "-o", tmp_path / "f.svg", *options)
    assert ended.exit_code not in (0, 1), ended.output
    assert told in " ".join(ended.output.split())
    assert not (tmp_path / "f.svg").exists()


def test_photos_without_classes_have_no_curves(tmp_path: Path) -> None:
    for number in range(3):
        write_photo(tmp_path / "photos" / f"{number}.png", seed=number)
    loaded = cbam_viz.load_model(write_tiny(tmp_path / "tiny.safetensors"))
    run_batch(loaded, [str(tmp_path / "photos")], tmp_path / "store", Settings(view="crop"))
    for each in ((), ("--per-class", "2")):
        ended = invoke("figure", "--store", tmp_path / "store", "-o", tmp_path / "f.svg",
                       "--plot", "curves", *each)  # fmt: skip
        assert ended.exit_code == 3, ended.output
        assert "have no classes" in ended.output


def test_of_photos_a_store_is_asked_for(tmp_path: Path) -> None:
    for options, told in (
        (("--layout", "variance"), "is of a store of many photos"),
        (("--by", "class", "--per-class", "3"), "are chosen of a store"),
    ):
        ended = invoke("figure", "sample:cat", "-o", tmp_path / "f.svg", *options)
        assert told in " ".join(ended.output.split())
    with pytest.raises(CbamVizError):
        study_beside([])
