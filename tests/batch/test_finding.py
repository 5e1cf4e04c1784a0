"""Which operation gives a gate: not one that does so on the first photos alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import cbam_viz
from cbam_viz.analysis import analyse
from cbam_viz.batch import fast
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.errors import ModelError
from cbam_viz.models import LoadedModel, wrap_model
from tests.batch.test_fast import prepared
from tests.cli.conftest import write_photo

pq = pytest.importorskip("pyarrow.parquet")


class Own(torch.nn.Module):
    """Own code whose gate is another one for bright photos, which come last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze = torch.nn.Conv2d(3, 6, 3, 2, 1), torch.nn.Linear(6, 6)

    def gate(self, x: torch.Tensor, bright: torch.Tensor) -> torch.Tensor:
        """The channel weights, from the logits and how much brighter a photo is than most."""
        return torch.sigmoid(x - 8 * bright).clamp(min=0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = (x.mean((1, 2, 3), keepdim=True)[:, :, 0, 0] - 1.5).relu()
        x = self.stem(x)
        weights = self.gate(self.squeeze(x.mean((2, 3))) / 4, bright)
        return (x * weights[:, :, None, None].expand_as(x)).mean((2, 3))


class Replaced(Own):
    def gate(self, x: torch.Tensor, bright: torch.Tensor) -> torch.Tensor:
        return torch.where(bright > 0, torch.ones_like(x), torch.sigmoid(x))


class Masked(Own):
    def gate(self, x: torch.Tensor, bright: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x) * (bright == 0).float()


class Returned(Own):
    """The limited weights are only told of."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        bright = (x.mean((1, 2, 3), keepdim=True)[:, :, 0, 0] - 1.5).relu()
        x = self.stem(x)
        weights = torch.sigmoid(self.squeeze(x.mean((2, 3))) / 4 - 8 * bright)
        mixed = (x * weights[:, :, None, None]).mean((2, 3))
        return {"logits": mixed, "weights": weights.clamp(min=0.3)}


def own(make: type[torch.nn.Module]) -> LoadedModel:
    torch.manual_seed(0)
    return wrap_model(make().eval(), cbam_viz.InputSpec(size=(64, 64)))


@pytest.mark.parametrize("make", [Own, Replaced, Masked, Returned])
def test_a_gate_that_later_photos_show_to_be_another(
    make: type[torch.nn.Module], tmp_path: Path
) -> None:
    for number in range(8):
        write_photo(tmp_path / "photos" / f"{number}.png", seed=number)
    from PIL import Image

    for number in (8, 9):
        white = Image.new("RGB", (64, 64), (255, 255, 245 + number))
        white.save(tmp_path / "photos" / f"{number}.png")
    loaded = own(make)
    settings = Settings(view="crop", precision="float32", fast=("fuse",), batch=4)
    run_batch(loaded, [str(tmp_path / "photos")], tmp_path / "store", settings, workers=1)
    rows = pq.read_table(tmp_path / "store" / "gates").to_pylist()
    assert len(rows) == 10
    (layer,) = [key.removesuffix("/channel") for key in rows[0] if key.endswith("/channel")]
    found = np.array([row[f"{layer}/channel"] for row in rows])
    alone = [
        analyse(loaded, cbam_viz.read_photo(tmp_path / "photos" / row["name"])) for row in rows
    ]
    wanted = np.array([one.attention[layer].channel[0].numpy() for one in alone])
    np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=0)


class Twice(Own):
    """Multiplied by weights, and by limited ones that are the same on most photos."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        weights = torch.sigmoid(self.squeeze(x.mean((2, 3))) / 4)
        limited = weights.clamp(max=0.999)
        features = x.relu() * weights[:, :, None, None]
        return torch.cat([features, x * limited[:, :, None, None]], 1).mean((2, 3))


def test_two_that_are_the_same_on_the_first_photos_are_refused(photos: Path) -> None:
    network = own(Twice)
    with pytest.raises(ModelError, match="cannot be told for certain"):
        fast.fast_forward(network, prepared(network, photos), 4, ("fuse",))


def test_one_photo_alone_does_not_make_its_gates_constant(photos: Path) -> None:
    network = own(Own)
    one = prepared(network, photos, 1)
    _, effect = fast.fast_forward(network, one, 4, ("fuse",))
    assert effect.gates < 1e-5
    assert effect.photos == 1


class Scalar(torch.nn.Module):
    """One feature, whose gate is one number, as are others on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 1, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x) + 0 * x.mean()
        return (x * torch.sigmoid(x.mean((2, 3)))[:, :, None, None]).mean((2, 3))


def test_numbers_without_axes_are_no_gates(photos: Path) -> None:
    network = own(Scalar)
    _, effect = fast.fast_forward(network, prepared(network, photos, 1), 1, ("channels_last",))
    assert effect.gates < 1e-5
