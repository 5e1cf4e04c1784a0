"""What `log_gates` is asked for by mistake, and the trainings around it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from timm.utils import ModelEmaV2, ModelEmaV3
from torch import distributed, nn
from torch.testing._internal.distributed.fake_pg import FakeStore

from cbam_viz.errors import CaptureError, StoreError
from cbam_viz.runs import log_gates, open_run
from cbam_viz.wrappers import unwrap
from tests.runs.nets import LAYERS, Gated, network
from tests.runs.test_log import probes

pytest.importorskip("pyarrow")
ANY = probes()
PICTURE = np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("number", "inputs", "options", "said"),
    [
        ("3", ANY, {}, "whole number from 0 on, to 9,007,199,254,740,992, not '3'"),
        (None, ANY, {}, "not None"),
        (1.5, ANY, {}, r"not 1\.5"),
        (float("nan"), ANY, {}, "not nan"),
        (True, ANY, {}, "not True"),
        (2**64, ANY, {}, "whole number"),
        (torch.tensor([1, 2]), ANY, {}, "whole number"),
        (0, [ANY[0]], {}, r"a tensor \(N, C, H, W\), not list"),
        (0, ANY.numpy(), {}, r"not ndarray of shape \(2, 3, 16, 16\)"),
        (0, ANY.to(torch.complex64), {}, "real numbers"),
        (0, ANY.to("meta"), {}, "without values"),
        (0, ANY * float("nan"), {}, "NaN or infinite"),
        (0, ANY / 0, {}, "NaN or infinite"),
        (0, ANY, {"unit": "iteration"}, "'epoch' or by 'step', not by 'iteration'"),
        (0, ANY, {"names": [1, 2]}, "list of texts"),
        (0, ANY, {"names": "ab"}, "list of texts"),
        (0, ANY, {"pictures": torch.zeros(2, 4, 4, 3, dtype=torch.uint8)}, "NumPy array"),
        (0, ANY, {"pictures": [PICTURE, PICTURE[:0]]}, "NumPy array"),
        (0, ANY, {"writer": object()}, "add_scalar and add_image; object has not"),
    ],
)
def test_what_cannot_be_logged_is_said_and_nothing_is_written(
    number: Any, inputs: Any, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CaptureError, match=said):
        log_gates(Gated(), number, inputs, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (None, "not NoneType. Give the network itself"),
        (Gated().state_dict(), "not OrderedDict. Give the network itself"),
        (SimpleNamespace(ema=Gated()), "not SimpleNamespace. Give the network in it, its .ema"),
    ],
)
def test_what_is_no_network(model: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=said):
        log_gates(model, 0, ANY, tmp_path / "run")
    with pytest.raises(CaptureError, match="the name of a folder"):
        log_gates(Gated(), 0, ANY, "")


@pytest.mark.parametrize("number", [3, 3.0, np.int64(3), torch.tensor(3)])
def test_whole_numbers_of_other_kinds(number: Any, tmp_path: Path) -> None:
    log_gates(Gated(), number, ANY, tmp_path / "run")
    assert open_run(tmp_path / "run").epoch(3).number == 3


def test_pictures_in_one_array_and_names_that_cannot_be_written(tmp_path: Path) -> None:
    pictures = np.stack([PICTURE, PICTURE + 255])
    log_gates(Gated(), 0, ANY, tmp_path / "run", pictures=pictures, names=["\ud800", "b"])
    photos = open_run(tmp_path / "run").photos
    assert [one.name for one in photos] == ["?", "b"]
    assert [int(one.pixels.mean()) for one in photos] == [0, 255]


def test_folders_of_other_things_are_not_written_into(tmp_path: Path) -> None:
    own = tmp_path / "photos" / "000.jpg"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    with pytest.raises(StoreError, match="photos is there already and belongs to no run"):
        log_gates(Gated(), 0, ANY, tmp_path)
    assert own.read_bytes() == b"mine"
    assert [one.name for one in tmp_path.iterdir()] == ["photos"]


def test_pictures_that_a_killed_call_did_not_write_are_written_by_the_next(tmp_path: Path) -> None:
    log_gates(Gated(), 0, ANY, tmp_path)
    pictures = sorted((tmp_path / "photos").iterdir())
    kept = [one.read_bytes() for one in pictures]
    pictures[1].unlink()
    log_gates(Gated(), 1, ANY, tmp_path)
    assert [one.read_bytes() for one in pictures] == kept


class Broken:
    """TensorBoard's writer on a full disk."""

    def add_scalar(self, *_: object) -> None:
        raise OSError("No space left")

    add_image = add_scalar


def test_a_writer_that_fails_is_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="epoch 4 are not in TensorBoard: No space left"):
        log_gates(Gated(), 4, ANY, tmp_path / "run", writer=Broken())
    assert open_run(tmp_path / "run").numbers == (4,)


@pytest.mark.parametrize("rank", [0, 1])
def test_of_a_distributed_training_the_first_process_writes(rank: int, tmp_path: Path) -> None:
    model = Gated()
    distributed.init_process_group("fake", rank=rank, world_size=2, store=FakeStore())
    try:
        found = log_gates(model, 0, ANY, tmp_path / "run")
    finally:
        distributed.destroy_process_group()
    assert len(found) == 1
    assert (tmp_path / "run").exists() is (rank == 0)
    assert model.training


@pytest.mark.parametrize("average", [ModelEmaV2, ModelEmaV3])
def test_layers_of_timms_averages_have_the_networks_own_names(
    average: type[nn.Module], tmp_path: Path
) -> None:
    averaged = average(network())
    assert tuple(log_gates(averaged, 0, probes(side=32), tmp_path / "run")) == LAYERS
    assert unwrap(averaged) is averaged.module
    log_gates(network(), 1, probes(side=32), tmp_path / "run")  # the run goes on without it
