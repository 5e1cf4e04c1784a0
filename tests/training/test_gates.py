"""The hooks of training's gate watch go with the run that put them there, however it ends."""

from __future__ import annotations

import copy
from pathlib import Path
from types import ModuleType

import pytest
import timm
import torch
from torch import nn

from tests.training import test_refine, test_train
from training.run import gates, train
from training.teach import insert, refine

guided, small_frames = test_refine.guided, test_refine.small_frames


def hooks_of(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """All networks that runs watch from now on."""
    found: list[nn.Module] = []

    class Noting(gates.GateWatch):
        def __init__(self, network: nn.Module) -> None:
            super().__init__(network)
            assert hooks_of(network) == 2 * self.layers > 0
            found.append(network)

    for command in (train, refine, insert):
        monkeypatch.setattr(command, "GateWatch", Noting)
    return found


def fails(error: type[BaseException]) -> object:
    def step(*_: object, **__: object) -> None:
        raise error

    return step


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError])
def test_of_a_run(
    error: type[BaseException] | None, data: Path, cache: Path, tmp_path: Path,
    watched: list[nn.Module], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    options = test_train.options(data, cache, tmp_path, images=160)
    ended(train, options, error, monkeypatch, train.Run, "train_step")
    assert [hooks_of(network) for network in watched] == [0]


@pytest.mark.usefixtures("guided")
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError])
def test_of_a_refinement(
    error: type[BaseException] | None, data: Path, cache: Path, tmp_path: Path,
    watched: list[nn.Module], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    source = test_refine.checkpoint(tmp_path, "cbam")
    options = test_refine.options(source, data, cache, tmp_path / "run")
    ended(refine, options, error, monkeypatch, refine.Refining, "update")
    assert [hooks_of(network) for network in watched] == [0]


@pytest.mark.usefixtures("guided")
def test_of_a_refinement_that_does_not_begin(
    data: Path, cache: Path, tmp_path: Path, watched: list[nn.Module]
) -> None:
    source = test_refine.checkpoint(tmp_path, "cbam")
    more = ("--map-layers", "1", "1")
    with pytest.raises(SystemExit, match="4 layers with CBAM"):
        refine.main(test_refine.options(source, data, cache, tmp_path / "run", *more))
    assert [hooks_of(network) for network in watched] == [0]


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_of_inserted_gates(
    error: type[BaseException] | None, tmp_path: Path, watched: list[nn.Module],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    original = timm.create_model("tf_efficientnet_lite0").eval()
    gated = copy.deepcopy(original)
    insert.insert_gates(gated, (3, 4, 6))
    recipe = insert.InsertRecipe(stages=(3, 4, 6), side=64, images=8, batch=4)
    lessons = insert.Lessons(torch.randn(4, 80, 4, 4), torch.randn(4, 1000))
    if error is None:
        insert.train(gated, lessons, recipe, tmp_path)
    else:
        monkeypatch.setattr(insert, "behind_gate", fails(error))
        with pytest.raises(error):
            insert.train(gated, lessons, recipe, tmp_path)
    assert [hooks_of(network) for network in watched] == [0]


def ended(
    command: ModuleType, options: list[str], error: type[BaseException] | None,
    monkeypatch: pytest.MonkeyPatch, run: type, step: str,
) -> None:  # fmt: skip
    if error is None:
        command.main(options)
        return
    monkeypatch.setattr(run, step, fails(error))
    with pytest.raises(SystemExit if error is KeyboardInterrupt else error):
        command.main(options)
