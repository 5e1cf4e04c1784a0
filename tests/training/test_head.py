from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from training.data.folder import list_split
from training.errors import TrainingError
from training.measure.evaluate import load_checkpoint
from training.run.checkpoint import describe, export
from training.run.model import create_network
from training.run.recipe import Recipe
from training.teach.head import Lessons, accuracy, fit, lessons, main, training_photos
from training.teach.refine import Refinement

CLASSES = ["blue square", "red square", "stripes"]
SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights that has learnt nothing."""
    torch.manual_seed(0)
    recipe = Recipe(attention="cbam", architecture="resnet18", arguments=SMALL)
    network = create_network("resnet18", "cbam", len(CLASSES), SMALL)
    described = describe(recipe, CLASSES, {})
    described["pretrained_cfg"] = {**network.pretrained_cfg, "input_size": [3, 64, 64]}
    path = tmp_path_factory.mktemp("checkpoint") / "network.safetensors"
    export(network, described, path)
    return path


def test_the_loss_is_least_where_its_gradient_is_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], (60, 20, 10))
    features = rng.normal(size=(90, 4)) + labels[:, None] * [1, 0, -0.5, 0]
    old = nn.Linear(4, 3)
    pull = 0.05
    new = fit(Lessons(torch.tensor(features).float(), torch.tensor(labels)), old, pull)
    weight = new.weight.detach().double().numpy()
    bias = new.bias.detach().double().numpy()
    logits = features @ weight.T + bias
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    # d(cross-entropy)/d(logits), class by class: sizes 60, 20, 10 weigh 1/sqrt(size).
    weights = 1 / np.sqrt([60, 20, 10])
    slope = (shares - np.eye(3)[labels]) * weights[labels, None] / weights[labels].sum()
    by_weight = slope.T @ features + 2 * pull * (weight - old.weight.detach().double().numpy())
    assert np.abs(by_weight).max() < 2e-4
    assert np.abs(slope.sum(0)).max() < 2e-4


def test_a_strong_pull_keeps_the_old_weights() -> None:
    taught = Lessons(torch.randn(30, 4), torch.arange(30) % 3)
    old = nn.Linear(4, 3)
    assert (fit(taught, old, 1e5).weight - old.weight).abs().max() < 1e-4


def test_accuracy_is_the_mean_over_classes() -> None:
    head = nn.Linear(2, 2, bias=False)
    head.weight.data = torch.eye(2)
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    labels = torch.tensor([0, 0, 0, 1, 1])  # all of the first class, half of the second
    assert accuracy(head, Lessons(features, labels)) == pytest.approx(0.75)


def test_photos_kept_to_measure_maps_are_not_learnt(data: Path) -> None:
    photos = training_photos(data)
    every, kept = list_split(data / "train").keys(), photos.keys()
    boxed = [key for key in every if "square" in key]
    assert set(every) - set(kept) == set(boxed[:: Refinement.held_out])
    assert [photos.classes[label] for label in photos.labels] == [k.split("/")[0] for k in kept]


def test_only_the_classifier_changes_and_it_learns(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, features = tmp_path / "new.safetensors", tmp_path / "features.npz"
    main([str(checkpoint), str(data), "--out", str(out), "--features", str(features)])
    old, new = load_file(checkpoint), load_file(out)
    assert old.keys() == new.keys()
    assert {key for key in old if not torch.equal(old[key], new[key])} == {"fc.weight", "fc.bias"}
    shown = lessons(load_checkpoint(out), list_split(data / "val"))
    assert accuracy(load_checkpoint(out).network.fc, shown) > 0.8
    assert accuracy(load_checkpoint(checkpoint).network.fc, shown) < 0.6
    assert "mean over classes: 33.3% -> " in capsys.readouterr().out

    again = tmp_path / "again.safetensors"  # from the features that were kept
    main([str(checkpoint), str(data), "--out", str(again), "--features", str(features)])
    assert torch.equal(load_file(again)["fc.weight"], new["fc.weight"])


def test_a_folder_without_photos_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is not a folder"):
        main([str(checkpoint), str(tmp_path), "--out", str(tmp_path / "x.safetensors")])
    with pytest.raises(TrainingError):
        training_photos(tmp_path)
