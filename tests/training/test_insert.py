from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.layers.cbam import CbamModule

import cbam_viz
from cbam_viz.models.metadata import KEY
from training.errors import TrainingError
from training.publish import publish
from training.run.checkpoint import read_metadata
from training.run.gates import GateWatch
from training.teach.insert import (
    InsertRecipe,
    Lessons,
    insert_gates,
    metadata,
    prepare_lessons,
    relative_mean,
    train,
)

STAGES = (3, 4, 6)


@pytest.fixture(scope="module")
def original() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("tf_efficientnet_lite0").eval()


def test_outputs_start_unchanged(original: torch.nn.Module) -> None:
    gated = copy.deepcopy(original)
    insert_gates(gated, STAGES)
    gated.eval()
    widths = [gated.blocks[stage].cbam.channel.fc1.in_channels for stage in STAGES]
    assert widths == [80, 112, 320]
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(gated(images), original(images), atol=1e-5, rtol=1e-5)


def test_only_gates_learn(original: torch.nn.Module, tmp_path: Path) -> None:
    gated = copy.deepcopy(original)
    insert_gates(gated, STAGES)
    before = copy.deepcopy(gated.state_dict())
    views = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    recipe = InsertRecipe(stages=STAGES, side=64, images=96, batch=4, lr=0.05)
    lessons = prepare_lessons(original, views, STAGES[0])
    assert isinstance(lessons, Lessons)
    assert lessons.logits.shape == (8, 1000)
    train(gated, lessons, recipe, tmp_path)
    for key, value in gated.state_dict().items():
        gate = any(key.startswith(f"blocks.{stage}.cbam.") for stage in STAGES)
        assert gate or torch.equal(value, before[key]), key
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[0]["spatial"] == pytest.approx([0.88] * 3, abs=5e-3)
    assert max(log[-1]["spatial_within"]) > 0.01


def test_the_watch_measures_what_the_gates_were() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(CbamModule(32), torch.nn.ReLU(), CbamModule(32)).eval()
    watch = GateWatch(network)
    images = torch.randn(2, 32, 5, 6, generator=torch.Generator().manual_seed(1))
    network(images)
    attention = cbam_viz.capture(network, images)
    squares, means = [], []
    for layer in attention.values():
        assert layer.channel is not None
        assert layer.spatial is not None
        squares.append(torch.logit(layer.channel.double()).square().mean().item())
        means.append(layer.spatial.double().mean().item())
    assert watch.mean_square().item() == pytest.approx(sum(squares) / 2, rel=1e-4)
    assert watch.openness().item() == pytest.approx(sum(means) / 2, rel=1e-6)
    assert watch.describe()["spatial"] == pytest.approx(means, abs=1e-3)


def test_a_flat_gate_counts_as_open_at_any_level() -> None:
    assert relative_mean(torch.full((2, 1, 4, 4), 0.1)).item() == pytest.approx(1.0)
    assert relative_mean(torch.tensor([[1.0, 0.0, 0.5, 0.5]])).item() == pytest.approx(0.5)


def test_half_size_rounds_filters_and_nothing_else(tmp_path: Path) -> None:
    described = metadata(InsertRecipe(), None, [str(i) for i in range(1000)])
    weights = {
        "conv": torch.full((2, 3, 1, 1), 1 / 3),
        "bias": torch.tensor([1 / 3]),
        "seen": torch.tensor([[70_000]]),
    }
    save_file(weights, str(tmp_path / "in.safetensors"), {KEY: json.dumps(described)})
    publish(tmp_path / "in.safetensors", tmp_path / "out.safetensors", {}, {}, half=True)
    made = load_file(str(tmp_path / "out.safetensors"))
    assert made["conv"].dtype == torch.float16
    assert made["conv"].flatten().tolist() == [0.333251953125] * 6
    assert torch.equal(made["bias"], weights["bias"])
    assert torch.equal(made["seen"], weights["seen"])


def test_publishing_keeps_the_weights(tmp_path: Path) -> None:
    described = metadata(InsertRecipe(), None, [str(i) for i in range(1000)])
    weights = {"a": torch.arange(3.0)}
    save_file(weights, str(tmp_path / "in.safetensors"), {KEY: json.dumps(described)})
    numbers = {"accuracy": {"top1": 0.71239, "images": 50}}
    publish(tmp_path / "in.safetensors", tmp_path / "out.safetensors", {"title": "Better"}, numbers)
    made = read_metadata(tmp_path / "out.safetensors")
    assert made["title"] == "Better"
    assert made["accuracy"] == {"top1": 0.7124, "split": "validation", "images": 50}
    assert torch.equal(load_file(str(tmp_path / "out.safetensors"))["a"], weights["a"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"architecture": "resnet50"}, "cannot be changed"), ({"classes": ["x"]}, "1000 class names")],
)
def test_publishing_refuses_what_would_not_load(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    described = metadata(InsertRecipe(), None, [str(i) for i in range(1000)])
    source = tmp_path / "in.safetensors"
    save_file({"a": torch.zeros(1)}, str(source), {KEY: json.dumps(described)})
    with pytest.raises(TrainingError, match=message):
        publish(source, tmp_path / "out.safetensors", changes, {})
