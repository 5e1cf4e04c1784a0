"""Stores of odd gates and labels: what is not known is not told, and what can be told is."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from cbam_viz.dataset import compare_stores, gate_summary, open_store, selectivity, unusual
from cbam_viz.dataset.against import against
from cbam_viz.dataset.gates import selectivity_of, summaries_of
from cbam_viz.figures import FigureSpec, build, study_beside
from cbam_viz.figures.beside.caption import caption
from tests.cli.conftest import invoke, write_photo, write_tiny

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

LAYER, OTHER = "layer4.0.se", "layer3.0.se"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine photos of two classes, and three without."""
    folder = tmp_path_factory.mktemp("odd")
    for number in range(9):
        write_photo(folder / "photos" / "ab"[number % 2] / f"{number}.png", seed=number)
    for number in (9, 10, 11):
        write_photo(folder / "photos" / f"{number}.png", seed=number)
    network = write_tiny(folder / "tiny.safetensors")
    out = folder / "store"
    ended = invoke("batch", folder / "photos", "--out", out, "-c", network, "--dtype", "float32")
    assert ended.exit_code == 0, ended.output
    return out


@pytest.fixture(scope="module")
def odd(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same; at one layer negative weights, three photos with NaN and one that did not run, and
    a channel that differs by rounding alone.
    """

    def change(table: pa.Table) -> pa.Table:
        column = f"{LAYER}/channel"
        values = table[column].to_pylist()
        for place, number in enumerate(table["photo"].to_pylist()):
            values[place][0] = -0.25 if number % 2 else -0.5
            values[place][1] = 0.5 + 1e-6 * number
            if number < 3:
                values[place][3] = float("nan")
            if number == 3:
                values[place] = None
        place = table.schema.get_field_index(column)
        kind = table.schema.field(column).type
        return table.set_column(place, column, pa.array(values, kind))

    return changed(plain, tmp_path_factory.mktemp("odd") / "store", change)


def changed(store: Path, folder: Path, change) -> Path:  # type: ignore[no-untyped-def]
    """A copy whose shards are other tables."""
    (folder / "gates").mkdir(parents=True)
    (folder / "store.json").write_bytes((store / "store.json").read_bytes())
    (folder / "plan.parquet").write_bytes((store / "plan.parquet").read_bytes())
    for shard in sorted((store / "gates").iterdir()):
        table = pq.read_table(shard)
        made = change(table).replace_schema_metadata(table.schema.metadata)
        pq.write_table(made, folder / "gates" / shard.name)
    return folder


def test_photos_without_a_label_are_no_class(plain: Path) -> None:
    """However far they are from the others, that is no variance between classes."""
    store = open_store(plain)
    table = pq.read_table(plain / "gates")
    labels = table["label"].to_pylist()
    values = np.array(table[f"{LAYER}/channel"].to_pylist(), np.float64)
    mean = values.mean(0)
    apart = np.square(values - mean).sum()
    between = sum(
        labels.count(name) * np.square(values[[one == name for one in labels]].mean(0) - mean).sum()
        for name in "ab"
    )
    shares = gate_summary(store, LAYER, "channel").shares
    assert shares["classes"] / shares["photos"] == pytest.approx(between / (apart - between))


def test_selectivity_is_of_what_is_not_negative(odd: Path) -> None:
    found = selectivity_of(np.array([[-0.5, 0.0, 0.3, 0.2], [0.9, 0.0, 0.1, -0.1]]))
    np.testing.assert_allclose(found.index, [np.nan, 0, 0.5, np.nan])
    assert found.order.tolist() == [2, 1, 0, 3]
    assert found.note.startswith("2 of 4 channels have a negative mean")
    summary = gate_summary(open_store(odd), LAYER, "channel")
    assert np.isnan(selectivity(summary).index[0])
    ended = invoke("stats", odd, "--layer", LAYER, "--json")
    told = json.loads(ended.stdout)
    assert told["selectivity"]["index"][0] is None
    assert "1 of " in invoke("stats", odd, "--layer", LAYER).stdout.split("highest for")[1]


def test_entropy_of_negative_gates_is_not_told(odd: Path) -> None:
    ended = invoke("stats", odd)
    (line,) = (one for one in ended.stdout.splitlines() if one.startswith(f"{LAYER}  channel"))
    assert line.split()[5] == "–"
    assert f"no entropy of {LAYER} (channel)" in ended.stderr
    notes = json.loads(invoke("stats", odd, "--json").stdout)["notes"]
    assert any("no entropy" in note for note in notes)
    assert any("4 of 12 photos count nowhere" in note for note in notes)


def test_unusual_is_what_against_says(odd: Path) -> None:
    """Both leave out channels that differ by no more than rounding."""
    store = open_store(odd)
    summary = gate_summary(store, LAYER, "channel")
    assert 0 < summary.spread[1] < 1e-5
    rows = {row["photo"]: row for row in pq.read_table(odd / "gates").to_pylist()}
    found = unusual(store, LAYER, 12)
    assert len(found) == 8
    for one in found:
        weights = np.array(rows[one.photo][f"{LAYER}/channel"])
        assert against(summary, weights).whole == pytest.approx(one.value, rel=1e-12)


def test_one_layer_of_two_stores_and_a_table(plain: Path, odd: Path, tmp_path: Path) -> None:
    path = tmp_path / "changes.csv"
    ended = invoke("stats", plain, "--against", odd, "--layer", LAYER, "--csv", path)
    assert ended.exit_code == 0, ended.output
    assert OTHER not in ended.stdout
    changes = {(one.layer, one.part): one for one in compare_stores(*map(open_store, (plain, odd)))}
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert {row["layer"] for row in rows} == {LAYER}
    for row in rows:
        change = changes[row["layer"], row["gate"]]
        wanted = change.classes[row["class"]] if row["class"] else change.profile
        assert float(row["profile"]) == wanted
    assert invoke("stats", plain, "--against", odd, "--csv", path).exit_code == 3  # is there
    unchanged = invoke("stats", plain, "--against", plain).stdout.splitlines()[1]
    assert unchanged.split()[-1] == "–"


def test_maps_of_many_sizes_do_not_hide_channel_weights(plain: Path, tmp_path: Path) -> None:
    other = changed(plain, tmp_path / "varying", lambda table: table)
    document = json.loads((other / "store.json").read_text())
    document["layout"]["varying"] = True
    (other / "store.json").write_text(json.dumps(document))
    changes = compare_stores(open_store(plain), open_store(other))
    assert {one.part for one in changes} == {"channel"}
    ended = invoke("stats", plain, "--against", other)
    assert ended.exit_code == 0, ended.output
    assert "not compared" in ended.stderr
    built = build(FigureSpec(layout="stores"), study_beside([open_store(plain), open_store(other)]))
    assert len(built.content.tables[0].rows) == len(open_store(plain).gates("channel"))


def test_a_map_of_points_leaves_out_photos_without_vectors(odd: Path, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "atlas.parquet"
    told = json.loads(invoke("stats", odd, "--export", path, "--json").stdout)
    column = f"{LAYER}/channel"
    assert told["without"][column] == 4
    assert told["without"][f"{OTHER}/channel"] == 0
    data = pq.read_table(path)
    assert data[column].is_null().to_pylist() == [photo < 4 for photo in data["photo"].to_pylist()]
    words = shlex.split(told["command"])
    assert words[words.index("--vector") + 1] == column
    query = words[words.index("--query") + 1]
    chosen = duckdb.sql(query).fetchall()
    assert len(chosen) == 8
    said = invoke("stats", odd, "--export", path, "--layer", LAYER, "--force").stdout
    assert f"4 of 12 photos have no finite {column}" in said


def test_captions_say_which_photos_have_no_part(odd: Path) -> None:
    study = study_beside([open_store(odd)])
    for layout, more in (
        ("channels", {"by": "class"}), ("distances", {}), ("unusual", {}), ("extremes", {}),
    ):  # fmt: skip
        built = build(FigureSpec(layout=layout, layer=LAYER, **more), study)
        told = caption(built)
        assert "4 of 12 photos count nowhere" in told, layout
        assert ("3 photos have no class" in told) == (layout in ("channels", "distances"))


def test_layers_that_ran_for_other_photos_stand_in_one_figure(odd: Path) -> None:
    """Classes then have other numbers of photos from layer to layer."""
    spec = FigureSpec(layout="channels", by="class", layers=(OTHER, LAYER))
    built = build(spec, study_beside([open_store(odd)]))
    drawn = {text.get_text() for axes in built.figure.axes for text in axes.texts}
    drawn |= {text.get_text() for text in built.figure.texts}
    labels = np.array([row or "" for row in open_store(odd).photos["label"].to_pylist()])
    photos = np.asarray(open_store(odd).photos["photo"])
    for name in "ab":
        for wanted in ((labels == name).sum(), ((labels == name) & (photos > 3)).sum()):
            assert (f"{name} ({wanted} photos)" if wanted > 1 else name) in drawn
    assert (labels[photos < 4] == "a").any()  # so that numbers differ


def test_few_photos_are_highest_or_lowest_not_both(odd: Path) -> None:
    store = open_store(odd)
    built = build(FigureSpec(layout="extremes", layer=LAYER, channel=2, listed=8),
                  study_beside([store]))  # fmt: skip
    assert [one.where for one in built.content.listed] == ["highest"] * 4 + ["lowest"] * 4
    values = [one.photo.value for one in built.content.listed]
    assert values == sorted(values, reverse=True)


def test_slim_summaries_have_all_but_the_classes_gates(plain: Path) -> None:
    store = open_store(plain)
    whole, _ = summaries_of(store, store.gates())
    slim, _ = summaries_of(store, store.gates(), slim=True)
    for one, other in zip(whole, slim, strict=True):
        assert other.class_mean.shape == other.class_spread.shape == (2, 0)
        assert other.shares == one.shares
        np.testing.assert_array_equal(other.class_numbers["mean"], one.class_numbers["mean"])
