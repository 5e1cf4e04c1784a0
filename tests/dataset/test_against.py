"""One photo against a store: z-scores are NumPy's, and what has none is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cbam_viz
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.dataset import open_store
from cbam_viz.dataset.against import against, differing, is_as_there
from cbam_viz.dataset.gates import GateSummary
from cbam_viz.dataset.telling import is_constant
from cbam_viz.errors import StoreError
from tests.cli.conftest import write_photo, write_tiny

RANDOM = np.random.default_rng(0)


def summary(values: np.ndarray, labels: list[str]) -> GateSummary:
    names = tuple(sorted(set(labels)))
    mine = [values[np.array(labels) == name] for name in names]
    return GateSummary(
        "x", "channel", values.shape[1:], names, np.array([len(one) for one in mine]), len(values),
        values.mean(0), values.std(0), np.stack([one.mean(0) for one in mine]),
        np.stack([one.std(0) for one in mine]), {}, {}, {},
    )  # fmt: skip


def test_z_is_that_of_numpy() -> None:
    values, labels = RANDOM.random((40, 6)), ["a", "b"] * 20
    weights = RANDOM.random(6)
    found = against(summary(values, labels), weights, "b")
    np.testing.assert_allclose(found.store.z, (weights - values.mean(0)) / values.std(0))
    own = values[1::2]
    np.testing.assert_allclose(found.of_class.z, (weights - own.mean(0)) / own.std(0))
    assert found.whole == pytest.approx(np.sqrt(np.mean(found.store.z**2)))
    assert found.order[0] == np.abs(found.store.z).argmax()
    assert not found.constant.any()
    assert found.store.note == ""


def test_no_spread_no_z() -> None:
    values = np.tile([0.25, 0.5, 0.75], (30, 1))
    values[:, 2] += RANDOM.normal(0, 0.1, 30)
    found = against(summary(values, ["a"] * 30), np.array([0.25, 0.625, 0.75]))
    assert np.isnan(found.store.z).tolist() == [True, True, False]
    assert found.constant.tolist() == [True, True, False]
    assert found.moved.tolist() == [False, True, False]
    assert found.order.tolist() == [2, 1, 0]
    same = summary(np.tile([0.25, 0.5], (5, 1)), ["a"] * 5)
    assert is_constant(same)
    assert np.isnan(against(same, np.array([0.25, 0.5])).whole)


def test_a_constant_that_the_store_has_rounded_is_one_on_the_photo_too() -> None:
    """0.7311 in float16 is 1.2e-4 away from itself: no difference between photos."""
    gate = np.array([0.7311, 0.2689, 3.3])
    rounded = gate.astype(np.float16).astype(np.float64)
    assert np.abs(rounded - gate).min() > 5e-6
    assert np.abs(rounded - gate).max() > 1e-4
    made = summary(np.tile(rounded, (30, 1)), ["a"] * 30)
    assert not against(made, gate, precision="float16").moved.any()
    assert is_as_there(made, gate.reshape(3, 1), "float16")
    assert against(made, gate, precision="float16").without_z.endswith("a constant, not attention.")
    assert against(made, gate).moved.any()
    assert not is_as_there(made, gate, "float32")
    steps = summary(np.tile(np.rint(gate * 2048) / 2048, (30, 1)), ["a"] * 30)
    assert np.abs(steps.mean - gate).max() > 1e-4
    assert is_as_there(steps, gate, "int16")
    assert against(steps, gate + 0.0005, precision="int16").moved.all()
    assert not is_as_there(made, gate[:2], "float16")
    other = against(made, gate + np.array([0, 0.001, 0]), precision="float16")
    assert other.moved.tolist() == [False, True, False]
    assert "differ from them in 1 of 3 channels" in other.without_z
    assert "attention" not in other.without_z


def test_why_there_is_no_z() -> None:
    few = against(summary(np.tile([0.25, 0.5], (5, 1)), ["a"] * 5), np.array([0.25, 0.5]))
    assert few.store.note  # of five photos, which is not why
    assert few.without_z.startswith("Channel weights of this layer are the same for every photo")
    one = against(summary(RANDOM.random((1, 2)), ["a"]), np.ones(2))
    assert one.without_z == one.store.note
    assert against(summary(RANDOM.random((5, 2)), ["a"] * 5), np.ones(2)).without_z == ""


def test_few_photos_are_said() -> None:
    three = against(summary(RANDOM.random((3, 2)), ["a"] * 3), np.ones(2), "a")
    assert "only 3 photos of the store" in three.store.note
    assert "about 50 %" in three.store.note  # 1 / sqrt(2 * (3 - 1))
    assert "class a" in three.of_class.note
    one = against(summary(RANDOM.random((1, 2)), ["a"]), np.ones(2))
    assert "one photo" in one.store.note
    assert np.isnan(one.store.z).all()
    assert not one.moved.any()
    assert not is_constant(summary(np.ones((1, 2)), ["a"]))


def test_what_cannot_be_compared() -> None:
    made = summary(RANDOM.random((4, 2)), ["a"] * 4)
    with pytest.raises(StoreError, match="cannot be compared"):
        against(made, np.ones(3))
    with pytest.raises(StoreError, match="no photo of class 'b'"):
        against(made, np.ones(2), "b")


def test_in_what_a_store_differs(tmp_path: Path) -> None:
    for number in range(4):
        write_photo(tmp_path / "photos" / f"{number}.png", seed=number)
    loaded = cbam_viz.load_model(write_tiny(tmp_path / "tiny.safetensors"))
    run_batch(loaded, [str(tmp_path / "photos")], tmp_path / "store", Settings(view="crop"))
    store = open_store(tmp_path / "store")
    assert differing(store, loaded, "crop") == ""
    assert "what the network sees" in differing(store, loaded, "whole")
    assert "another network" in differing(store, replace(loaded, name="other"), "crop")
    other = cbam_viz.load_model(write_tiny(tmp_path / "other.safetensors", seed=1))
    assert "other weights" in differing(store, replace(other, name=loaded.name), "crop")
    resized = replace(loaded, spec=replace(loaded.spec, mean=(0.1, 0.2, 0.3)))
    assert "another input" in differing(store, resized, "crop")


def test_networks_without_a_file_are_told_apart_by_their_weights(tmp_path: Path) -> None:
    for number in range(2):
        write_photo(tmp_path / "photos" / f"{number}.png", seed=number)
    path = write_tiny(tmp_path / "tiny.safetensors")
    loaded = replace(cbam_viz.load_model(path), sha256=None)
    run_batch(loaded, [str(tmp_path / "photos")], tmp_path / "store", Settings(view="crop"))
    store = open_store(tmp_path / "store")
    assert differing(store, loaded, "crop") == ""
    other = cbam_viz.load_model(write_tiny(tmp_path / "other.safetensors", seed=1))
    other = replace(other, sha256=None, name=loaded.name)
    assert "other weights" in differing(store, other, "crop")
