"""Statistics of a store are those of NumPy on all values at once, and of `cbam_viz.statistics`."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import cbam_viz
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Part, Settings
from cbam_viz.dataset import (
    Moments,
    Store,
    compare_stores,
    extremes,
    gate_summary,
    neighbours,
    open_store,
    selectivity,
    unusual,
)
from cbam_viz.dataset.checking import checked
from cbam_viz.dataset.gates import GateSummary
from cbam_viz.errors import StoreError
from cbam_viz.models import LoadedModel
from cbam_viz.statistics import layer_statistics
from tests.cli.conftest import invoke, write_photo, write_tiny

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

LABELS = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty photos of three classes of different sizes, and two without a label."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(30):
        label = LABELS[min(2, number // 5)]
        size = ((60, 90), (90, 60), (200, 30))[number % 3]
        write_photo(folder / label / f"{number:02}.png", size=size, seed=number)
    for number in (30, 31):
        write_photo(folder / f"{number}.png", seed=number)
    return folder


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny network whose photos get borders, so that not all cells count."""
    path = write_tiny(tmp_path_factory.mktemp("networks") / "tiny.safetensors", default=True)
    loaded = cbam_viz.load_model(path)
    return replace(loaded, spec=replace(loaded.spec, crop_mode="border"))


@pytest.fixture(scope="module")
def store(loaded: LoadedModel, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "store"
    settings = Settings(view="crop", precision="float32")
    run_batch(loaded, [str(photos)], folder, settings, workers=1)
    return folder


def whole(store: Path, layer: str, part: str) -> tuple[np.ndarray, list[str | None]]:
    table = pq.read_table(store / "gates")
    return np.array(table[f"{layer}/{part}"].to_pylist()), table["label"].to_pylist()


def test_moments_are_those_of_the_whole() -> None:
    random = np.random.default_rng(0)
    values = random.normal(1e4, 1e-2, (1000, 7)).astype(np.float32)  # where squares would cancel
    groups = random.integers(0, 4, 1000)
    moments = Moments(5, 7)
    for start, end in ((0, 1), (1, 1), (1, 400), (400, 997), (997, 1000)):
        moments.add(values[start:end], groups[start:end])
    exact = values.astype(np.float64)
    for group in range(4):
        mine = exact[groups == group]
        np.testing.assert_allclose(moments.mean[group], mine.mean(0), rtol=1e-14)
        np.testing.assert_allclose(moments.variance[group], mine.var(0), rtol=1e-7)
    assert moments.count.tolist() == [*np.bincount(groups, minlength=4), 0]
    assert np.isnan(moments.variance[4]).all()
    together = moments.together()
    np.testing.assert_allclose(together.mean[0], exact.mean(0), rtol=1e-14)
    np.testing.assert_allclose(together.variance[0], exact.var(0), rtol=1e-7)


@pytest.mark.parametrize("part", ["channel", "spatial"])
def test_means_and_spreads_of_classes(store: Path, part: str) -> None:
    opened = open_store(store)
    assert opened.classes == LABELS
    for layer, _ in opened.gates(part):
        summary = gate_summary(opened, layer, part)
        values, labels = whole(store, layer, part)
        assert summary.photos == len(values) == 32
        assert summary.count.tolist() == [5, 5, 20]
        np.testing.assert_allclose(summary.mean, values.mean(0), atol=1e-12)
        np.testing.assert_allclose(summary.spread, values.std(0), atol=1e-9)
        for n, name in enumerate(LABELS):
            mine = values[[label == name for label in labels]]
            np.testing.assert_allclose(summary.class_mean[n], mine.mean(0), atol=1e-12)
            np.testing.assert_allclose(summary.class_spread[n], mine.std(0), atol=1e-9)
        means = summary.class_mean
        wanted = np.sqrt(((means[0] - means[2]) ** 2).mean())
        assert summary.distances[0, 2] == pytest.approx(wanted)


def test_numbers_are_those_of_single_photos(store: Path, photos: Path, loaded: LoadedModel) -> None:
    """Borders do not count here either."""
    opened = open_store(store)
    names = opened.photos["name"].to_pylist()
    told = []
    for name in names:
        alone = cbam_viz.analyse(loaded, cbam_viz.read_photo(photos / name))
        layers = alone.attention.values()
        told.append([layer_statistics(layer, geometry=alone.geometry) for layer in layers])
    assert any(one.spatial.count < one.spatial.total for one in told[2])
    for n, layer in enumerate(opened.record.layout.layers):
        for part in ("channel", "spatial"):
            summary = gate_summary(opened, layer.name, part)
            for key in ("mean", "spread", "saturated", "entropy"):
                mine = [getattr(getattr(one[n], part), key) for one in told]
                assert summary.numbers[key] == pytest.approx(np.mean(mine), abs=2e-6), (part, key)
                ants = [value for value, name in zip(mine, names, strict=True) if "ant" in name]
                assert summary.class_numbers[key][0] == pytest.approx(np.mean(ants), abs=2e-6)


def test_shares_of_variance(store: Path) -> None:
    opened = open_store(store)
    layer, _ = opened.gates("channel")[-1]
    values, labels = whole(store, layer, "channel")
    summary = gate_summary(opened, layer, "channel")
    # From the definition: every value's deviation is the sum of three that are orthogonal.
    profile = values.mean(0)
    groups = np.array([label or "" for label in labels])
    means = np.stack([values[groups == group].mean(0) for group in groups])
    parts = {
        "pattern": np.broadcast_to(profile - profile.mean(), values.shape),
        "classes": means - profile,
        "photos": values - means,
    }
    total = ((values - values.mean()) ** 2).sum()
    assert sum(summary.shares.values()) == pytest.approx(1)
    for name, part in parts.items():
        assert summary.shares[name] == pytest.approx((part**2).sum() / total, rel=1e-6)


def made(means: list[list[float]]) -> GateSummary:
    array = np.array(means)
    zeros, count = np.zeros_like(array), np.full(len(array), 2)
    names = tuple("abcdef"[: len(array)])
    return GateSummary(
        "x", "channel", array.shape[1:], names, count, 2 * len(array), array.mean(0), zeros[0],
        array, zeros, {}, {}, {},
    )  # fmt: skip


def test_selectivity_in_closed_form() -> None:
    found = selectivity(made([[0.8, 0.5, 0.0, 0.0], [0.2, 0.5, 0.6, 0.0], [0.4, 0.5, 0.0, 0.0]]))
    np.testing.assert_allclose(found.index, [0.5 / 1.1, 0, 1, 0])
    assert found.best[[0, 2]].tolist() == [0, 1]
    assert found.order[0] == 2
    with pytest.raises(StoreError, match="compares classes"):
        selectivity(made([[0.5]]))


def test_summaries_are_kept_and_only_for_the_same_shards(
    loaded: LoadedModel, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    run_batch(loaded, [str(photos)], folder, Settings(view="crop"), part=Part(1, 2))
    layer, _ = open_store(folder).gates()[0]
    first = gate_summary(open_store(folder), layer, "channel")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "blocks", None)
        again = gate_summary(open_store(folder), layer, "channel")
    for field in fields(GateSummary):
        np.testing.assert_equal(getattr(again, field.name), getattr(first, field.name))
    run_batch(loaded, [str(photos)], folder, Settings(view="crop"))  # the other half
    assert first.photos < gate_summary(open_store(folder), layer, "channel").photos == 32
    for path in (folder / "summaries").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert gate_summary(open_store(folder), layer, "channel").photos == 32


def test_photos_by_their_weights(store: Path) -> None:
    opened = open_store(store)
    layer, _ = opened.gates("channel")[1]
    values, labels = whole(store, layer, "channel")
    highest, lowest = extremes(opened, layer, 3, 4)
    assert [one.value for one in highest] == sorted(values[:, 3], reverse=True)[:4]
    assert [one.value for one in lowest] == sorted(values[:, 3])[:4]
    assert highest[0].photo == int(values[:, 3].argmax())
    assert highest[0].label == labels[highest[0].photo]
    distance = np.sqrt(((values - values[7]) ** 2).mean(1))
    near = neighbours(opened, layer, 7, 3)
    assert [one.photo for one in near] == np.argsort(distance)[1:4].tolist()
    assert near[0].value == pytest.approx(np.sort(distance)[1])
    z = (values - values.mean(0)) / values.std(0)
    score = np.sqrt((z**2).mean(1))
    odd = unusual(opened, layer, 3)
    assert [one.photo for one in odd] == np.argsort(-score)[:3].tolist()
    assert odd[0].value == pytest.approx(score.max(), rel=1e-5)
    with pytest.raises(StoreError, match="channels 0 to"):
        extremes(opened, layer, 10_000)
    with pytest.raises(StoreError, match="of photo 99"):
        neighbours(opened, layer, 99)


def test_two_stores(store: Path, photos: Path, loaded: LoadedModel, tmp_path: Path) -> None:
    other = cbam_viz.load_model(write_tiny(tmp_path / "other.safetensors", seed=1))
    other = replace(other, spec=loaded.spec)
    settings = Settings(view="crop", precision="float32")
    run_batch(other, [str(photos)], tmp_path / "other", settings)
    same = compare_stores(open_store(store), open_store(store))
    assert all((one.mean, one.profile, one.spread) == (0, 0, 0) for one in same)
    changes = compare_stores(open_store(store), open_store(tmp_path / "other"))
    assert len(changes) == 8
    for change in changes:
        a, _ = whole(store, change.layer, change.part)
        b, labels = whole(tmp_path / "other", change.layer, change.part)
        wanted = np.sqrt(((a.mean(0) - b.mean(0)) ** 2).mean())
        assert change.profile == pytest.approx(wanted, abs=1e-9)
        ants = np.array([label == "ant" for label in labels])
        apart = np.sqrt(((a[ants].mean(0) - b[ants].mean(0)) ** 2).mean())
        assert change.classes["ant"] == pytest.approx(apart, abs=1e-9)


def test_what_is_no_store(tmp_path: Path, store: Path, loaded: LoadedModel, photos: Path) -> None:
    with pytest.raises(StoreError, match="is no store"):
        open_store(tmp_path)
    opened = open_store(store)
    with pytest.raises(StoreError, match="has no layer 'nothing'"):
        gate_summary(opened, "nothing", "channel")
    plain = replace(loaded, spec=replace(loaded.spec, crop_mode="center"))
    run_batch(plain, [str(photos)], tmp_path / "whole", Settings(view="whole"))
    varying = open_store(tmp_path / "whole")
    layer, _ = varying.gates()[0]
    with pytest.raises(StoreError, match="differ in size"):
        gate_summary(varying, layer, "spatial")
    assert gate_summary(varying, layer, "channel").photos == 32


def test_the_command(store: Path, tmp_path: Path) -> None:
    layer, _ = open_store(store).gates()[0]
    ended = invoke("stats", store, "--csv", tmp_path / "t.csv")
    assert ended.exit_code == 0, ended.output
    assert "32 photos of 3 classes" in ended.stdout
    with (tmp_path / "t.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 8 * 4
    values, labels = whole(store, layer, "channel")
    (bee,) = [
        row
        for row in rows
        if (row["layer"], row["gate"], row["class"]) == (layer, "channel", "bee")
    ]
    mine = values[[label == "bee" for label in labels]]
    assert float(bee["mean"]) == pytest.approx(mine.mean(), abs=1e-9)
    one = invoke("stats", store, "--layer", layer)
    assert one.exit_code == 0, one.output
    assert "Most selective channels" in one.stdout
    assert "Most unusual photos" in one.stdout
    told = json.loads(invoke("stats", store, "--layer", layer, "--json").stdout)
    assert told["complete"] is True
    assert len(told["selectivity"]["index"]) == values.shape[1]
    assert [gate["part"] for gate in told["gates"]] == ["channel", "spatial"]
    same = invoke("stats", store, "--against", store, "--json")
    assert all(change["profile"] == 0 for change in json.loads(same.stdout))
    assert "most changed class" in invoke("stats", store, "--against", store).stdout
    assert invoke("stats", store, "--layer", "nothing").exit_code == 3
    assert invoke("stats", tmp_path).exit_code == 3


def test_a_class_none_of_whose_photos_has_a_gate_has_no_mean(store: Path, tmp_path: Path) -> None:
    """Such as a layer that did not run for them: 0 would be a lie."""
    folder = Path(shutil.copytree(store, tmp_path / "store"))
    shutil.rmtree(folder / "summaries", ignore_errors=True)
    layer, _ = open_store(folder).gates("channel")[0]
    for shard in (folder / "gates").iterdir():
        rows = pq.read_table(shard)
        at = rows.column_names.index(f"{layer}/channel")
        labels = rows["label"].to_pylist()
        values = [
            None if label == "bee" else value
            for label, value in zip(labels, rows.column(at).to_pylist(), strict=True)
        ]
        column = pa.array(values, rows.schema.field(at).type)
        pq.write_table(rows.set_column(at, rows.schema.field(at), column), shard)
    summary = gate_summary(open_store(folder), layer, "channel")
    assert summary.classes == ("ant", "cat")
    assert summary.count.tolist() == [5, 20]
    assert summary.photos == 27
    assert set(selectivity(summary).best) <= {0, 1}
    values, labels = whole(store, layer, "channel")
    cats = values[[label == "cat" for label in labels]]
    np.testing.assert_allclose(summary.class_mean[1], cats.mean(0), atol=1e-12)


def test_a_store_of_whole_numbers_gives_gates(
    loaded: LoadedModel, photos: Path, store: Path, tmp_path: Path
) -> None:
    """Every number is that of the gates, each within half a step of 1/2048."""
    settings = Settings(view="crop", precision="int16")
    run_batch(loaded, [str(photos)], tmp_path / "store", settings, workers=1)
    exact, steps = open_store(store), open_store(tmp_path / "store")
    for layer, part in exact.gates():
        stored, _ = whole(tmp_path / "store", layer, part)
        assert stored.dtype.kind == "i"
        wanted, found = (gate_summary(one, layer, part) for one in (exact, steps))
        np.testing.assert_allclose(found.mean, stored.mean(0) / 2048, atol=1e-12)
        np.testing.assert_allclose(found.mean, wanted.mean, atol=2**-12)
        np.testing.assert_allclose(found.class_mean, wanted.class_mean, atol=2**-12)
    layer, _ = next(iter(exact.gates("channel")))
    (high, _), (wanted_high, _) = extremes(steps, layer, 3), extremes(exact, layer, 3)
    assert high[0].value == pytest.approx(wanted_high[0].value, abs=2**-12)
    result = invoke("stats", str(tmp_path / "store"), "--export", str(tmp_path / "map.parquet"))
    assert result.exit_code == 0
    exported = np.stack(pq.read_table(tmp_path / "map.parquet")[f"{layer}/channel"].to_pylist())
    np.testing.assert_array_equal(exported, whole(tmp_path / "store", layer, "channel")[0] / 2048)


@pytest.mark.parametrize("fixed", [False, True])
def test_whole_numbers_with_layers_that_did_not_run(fixed: bool) -> None:
    kind = pa.list_(pa.int16(), 2) if fixed else pa.list_(pa.int16())
    lists = [[2048, 0], None, [1, -512]] + ([] if fixed else [[1024]])
    table = pa.table({"se/channel": pa.array(lists, kind)}).slice(1)
    column = checked(table, ["se/channel"])["se/channel"]
    assert column.to_pylist() == [None, [1 / 2048, -0.25]] + ([] if fixed else [[0.5]])
    assert column.type.value_type == pa.float32()
    with pytest.raises(ValueError, match="lists of int16, not of floats"):
        checked(table.rename_columns(["logits"]), ["logits"])
