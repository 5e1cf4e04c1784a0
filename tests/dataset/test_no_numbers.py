"""Gates that are not finite, and layers that do not run for some photos: told, never ranked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cbam_viz
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.dataset import (
    compare_stores,
    extremes,
    gate_summary,
    neighbours,
    open_store,
    unusual,
)
from cbam_viz.dataset.gates import summaries_of
from cbam_viz.errors import StoreError
from cbam_viz.images import InputSpec
from tests.cli.conftest import invoke

pq = pytest.importorskip("pyarrow.parquet")


class Squeezing(nn.Module):
    """One channel gate; NaN where the input's mean is."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid()


class Gated(nn.Module):
    """Two gates; for dark photos the second one is NaN, or does not run, as `way` says."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.first, self.second = nn.Conv2d(3, 4, 3), Squeezing(), Squeezing()
        self.head, self.way = nn.Linear(4, 3), way

    def forward(self, x: torch.Tensor) -> Any:
        dark = x.mean((1, 2, 3), keepdim=True) < 0
        x = self.first(self.stem(x))
        if self.way == "nan":
            x = self.second(torch.where(dark, torch.nan, x))
        elif not dark.all():
            x = self.second(x)
        return self.head(x.mean((2, 3)))


LIGHT, DARK = 20, 12


@pytest.fixture(scope="module", params=["nan", "skipped"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Light photos and then dark ones, so that the last shard of eight is dark."""
    folder = tmp_path_factory.mktemp("numbers")
    for number in range(LIGHT + DARK):
        name, low = ("light", 180) if number < LIGHT else ("night", 20)
        pixels = np.random.default_rng(number).integers(low, low + 60, (32, 32, 3), np.uint8)
        path = folder / "photos" / name / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    spec = InputSpec(size=(32, 32))
    net = cbam_viz.wrap_model(Gated(request.param).eval(), spec, name="gated")
    out = folder / "store"
    assert run_batch(net, [str(folder / "photos")], out, Settings("crop"), workers=1).failed == 0
    return out


def test_photos_without_numbers_count_nowhere_and_are_told_of(store: Path) -> None:
    opened = open_store(store)
    (first, _), (second, _) = opened.gates()
    rows = pq.read_table(store / "gates").to_pylist()
    weights = np.array([row[f"{second}/channel"] for row in rows[:LIGHT]])
    summary = gate_summary(opened, second, "channel")
    assert (summary.photos, summary.classes) == (LIGHT, ("light",))
    np.testing.assert_allclose(summary.mean, weights.mean(0), rtol=1e-12)
    np.testing.assert_allclose(summary.spread, weights.std(0), rtol=1e-9)
    summaries, notes = summaries_of(opened, opened.gates())
    assert [one.photos for one in summaries] == [LIGHT + DARK, LIGHT]
    (note,) = notes
    assert note.startswith(f"{DARK} of {LIGHT + DARK} photos count nowhere at {second} (channel)")
    assert first not in note
    said = invoke("stats", store)
    assert said.exit_code == 0
    assert note in said.stderr


def test_they_are_in_no_list(store: Path) -> None:
    opened = open_store(store)
    layer = opened.gates()[1][0]
    lists = [unusual(opened, layer, 40), neighbours(opened, layer, 0, 40)]
    lists += extremes(opened, layer, 1, 40)
    assert [len(one) for one in lists] == [LIGHT, LIGHT - 1, LIGHT, LIGHT]
    for found in lists:
        assert {one.label for one in found} == {"light"}
        assert all(np.isfinite(one.value) for one in found)
    with pytest.raises(StoreError, match=f"no (finite )?channel weights of photo {LIGHT}"):
        neighbours(opened, layer, LIGHT)


def test_a_gate_that_no_photo_has_does_not_hide_the_others(store: Path, tmp_path: Path) -> None:
    spec, net = InputSpec(size=(32, 32)), Gated("nan").eval()
    photos = store.parent / "photos" / "night"
    out = tmp_path / "store"
    run_batch(cbam_viz.wrap_model(net, spec, name="gated"), [str(photos)], out, Settings("crop"))
    opened = open_store(out)
    (first, _), (second, _) = opened.gates()
    summaries, notes = summaries_of(opened, opened.gates())
    assert [one.layer for one in summaries] == [first]
    assert notes == [f"No photo in {out} has finite channel gates at {second}."]
    assert [change.layer for change in compare_stores(open_store(store), opened)] == [first]
    said = invoke("stats", out)
    assert (said.exit_code, notes[0] in said.stderr, first in said.stdout) == (0, True, True)
    with pytest.raises(StoreError, match="has finite channel gates"):
        summaries_of(opened, opened.gates()[1:])
