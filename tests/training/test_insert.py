from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.layers.cbam import CbamModule

import cbam_viz
from cbam_viz.errors import TrainingError
from training.cache import open_data
from training.checkpoint import METADATA_KEY, read_metadata
from training.gates import GateWatch
from training.insert import (
    InsertRecipe,
    behind_stage,
    insert_gates,
    metadata,
    train,
    up_to_stage,
)
from training.publish import publish

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


def test_only_gates_learn(
    original: torch.nn.Module, data: Path, cache: Path, tmp_path: Path
) -> None:
    gated = copy.deepcopy(original)
    insert_gates(gated, STAGES)
    before = copy.deepcopy(gated.state_dict())
    photos, _ = open_data(data, cache, 160)
    recipe = InsertRecipe(stages=STAGES, sides=(64, 96), images=120, batch=4, lr=0.05)
    cpu = torch.device("cpu")
    train(gated, original, photos, recipe, device=cpu, workers=0, out=tmp_path)
    for key, value in gated.state_dict().items():
        gate = any(key.startswith(f"blocks.{stage}.cbam.") for stage in STAGES)
        assert gate or torch.equal(value, before[key]), key
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["side"] for entry in log] == [64, 96, 96]
    assert log[0]["spatial"] == pytest.approx([0.88] * 3, abs=5e-3)
    assert log[0]["channel"] == pytest.approx([0.88] * 3, abs=5e-3)
    assert max(log[-1]["spatial"]) < 0.85


def test_the_two_halves_are_the_network(original: torch.nn.Module) -> None:
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    gated = copy.deepcopy(original)
    insert_gates(gated, STAGES)
    torch.nn.init.normal_(gated.blocks[3].cbam.channel.fc2.weight)
    gated.eval()
    with torch.no_grad():
        features = up_to_stage(original, images, 3)
        halves = behind_stage(original, features, 3)
        gated_halves = behind_stage(gated, gated.blocks[3].cbam(features), 3)
        torch.testing.assert_close(halves, original(images))
        torch.testing.assert_close(gated_halves, gated(images))


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


def test_publishing_keeps_the_weights(tmp_path: Path) -> None:
    described = metadata(InsertRecipe(), [str(i) for i in range(1000)])
    weights = {"a": torch.arange(3.0)}
    save_file(weights, str(tmp_path / "in.safetensors"), {METADATA_KEY: json.dumps(described)})
    numbers = {"accuracy": {"top1": 0.71239, "images": 50}}
    publish(tmp_path / "in.safetensors", tmp_path / "out.safetensors", {"title": "Better"}, numbers)
    made = read_metadata(tmp_path / "out.safetensors")
    assert made["title"] == "Better"
    assert made["accuracy"] == {"top1": 0.7124, "split": "validation", "images": 50}
    assert torch.equal(load_file(str(tmp_path / "out.safetensors"))["a"], weights["a"])


def test_half_size_rounds_filters_and_nothing_else(tmp_path: Path) -> None:
    described = metadata(InsertRecipe(), [str(i) for i in range(1000)])
    weights = {
        "conv": torch.full((2, 3, 1, 1), 1 / 3),
        "bias": torch.tensor([1 / 3]),
        "seen": torch.tensor([[70_000]]),
    }
    save_file(weights, str(tmp_path / "in.safetensors"), {METADATA_KEY: json.dumps(described)})
    publish(tmp_path / "in.safetensors", tmp_path / "out.safetensors", {}, {}, half=True)
    made = load_file(str(tmp_path / "out.safetensors"))
    assert made["conv"].dtype == torch.float16
    assert made["conv"].flatten().tolist() == [0.333251953125] * 6
    assert torch.equal(made["bias"], weights["bias"])
    assert torch.equal(made["seen"], weights["seen"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"architecture": "resnet50"}, "cannot be changed"), ({"classes": ["x"]}, "1000 class names")],
)
def test_publishing_refuses_what_would_not_load(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    described = metadata(InsertRecipe(), [str(i) for i in range(1000)])
    source = tmp_path / "in.safetensors"
    save_file({"a": torch.zeros(1)}, str(source), {METADATA_KEY: json.dumps(described)})
    with pytest.raises(TrainingError, match=message):
        publish(source, tmp_path / "out.safetensors", changes, {})
