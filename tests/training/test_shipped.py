"""The shipped checkpoints: right on sample photos, with gates that differ from place to place."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

import cbam_viz
from cbam_viz.images import InputSpec, prepare, read_photo, samples
from training.measure.evaluate import load_checkpoint
from training.run.checkpoint import read_metadata

FOLDER = Path(__file__).parents[2] / "checkpoints"
EVERYDAY = FOLDER / "everyday23_resnet18_cbam.safetensors"
TWIN = FOLDER / "everyday23_resnet18.safetensors"
IMAGENET = FOLDER / "imagenet_efficientnet_lite0_cbam.safetensors"
GATED = (EVERYDAY, IMAGENET)
RIGHT = (
    (EVERYDAY, "cat", ("cat",)),
    (EVERYDAY, "coffee", ("food",)),
    (EVERYDAY, "portrait", ("person",)),
    (EVERYDAY, "raccoon", ("wild mammal",)),
    (TWIN, "cat", ("cat",)),
    (TWIN, "coffee", ("food",)),
    (TWIN, "portrait", ("person",)),
    (IMAGENET, "cat", ("Egyptian cat", "tabby", "tiger cat")),
    (IMAGENET, "coffee", ("espresso", "cup", "coffee mug")),
)
"""The network that opens first is right on all sample photos. ImageNet has no class for a person or
a raccoon, and the twin takes the raccoon for a cat, as the model card says."""


def sample_input(name: str, spec: InputSpec) -> torch.Tensor:
    path = next(sample.path for sample in samples() if sample.name == name)
    return prepare(read_photo(path), spec).tensor


def test_together_they_stay_small() -> None:
    sizes = [path.stat().st_size for path in FOLDER.glob("*.safetensors")]
    assert len(sizes) == 3
    assert max(sizes) < 50e6
    assert sum(sizes) < 100e6


def test_the_one_right_on_all_samples_is_the_default() -> None:
    default = [path for path in FOLDER.glob("*.safetensors") if read_metadata(path)["default"]]
    assert default == [EVERYDAY]
    assert {name for path, name, _ in RIGHT if path == EVERYDAY} == {s.name for s in samples()}


@pytest.mark.parametrize(
    ("path", "name", "classes"), RIGHT, ids=[f"{path.stem}-{name}" for path, name, _ in RIGHT]
)
def test_sample_photos_are_recognised(path: Path, name: str, classes: tuple[str, ...]) -> None:
    loaded = load_checkpoint(path)
    with torch.inference_mode():
        logits = loaded.network(sample_input(name, loaded.spec))
    assert loaded.metadata["classes"][int(logits.argmax())].split(",")[0] in classes


def test_the_default_network_is_right_on_the_whole_photos_too() -> None:
    network = cbam_viz.load_model(EVERYDAY)
    for path, name, classes in RIGHT:
        if path == EVERYDAY:
            photo = read_photo(next(sample.path for sample in samples() if sample.name == name))
            best = cbam_viz.analyse(network, photo, "whole").predictions[0]
            assert best.label in classes, name


@pytest.mark.parametrize("path", GATED, ids=lambda path: path.stem)
def test_gates_are_not_flat(path: Path) -> None:
    loaded = load_checkpoint(path)
    images = torch.cat([sample_input(sample.name, loaded.spec) for sample in samples()])
    attention = cbam_viz.capture(loaded.network, images)
    assert len(attention) == (8 if path == EVERYDAY else 3)
    for layer in attention.values():
        assert layer.spatial is not None
        assert layer.channel is not None
        within = layer.spatial.flatten(1).std(1)
        assert within.min() > 0.01, layer.name
        if layer.name != "blocks.4.cbam":  # nearly flat, as the model card says
            assert within.mean() > 0.05, layer.name
        assert layer.channel.std(1).min() > 0.03, layer.name
    *_, last = attention.values()
    assert last.spatial is not None
    assert last.spatial.shape == (4, 7, 7)
    assert last.spatial.flatten(1).std(1).mean() > 0.1


@pytest.mark.parametrize("path", [EVERYDAY, TWIN], ids=lambda path: path.stem)
def test_timm_alone_rebuilds_what_the_app_shows(path: Path) -> None:
    metadata = read_metadata(path)
    extra = {"block_args": {"attn_layer": "cbam"}} if metadata["attention"] else {}
    network = timm.create_model(
        metadata["architecture"],
        num_classes=metadata["num_classes"],
        **extra,
        **metadata["arguments"],
    ).eval()
    network.load_state_dict(load_file(str(path)))
    shown = cbam_viz.load_model(path).model
    images = sample_input("cat", InputSpec.from_pretrained_cfg(metadata["pretrained_cfg"]))
    with torch.inference_mode():
        torch.testing.assert_close(shown(images), network(images), atol=1e-5, rtol=1e-5)


def test_the_app_rebuilds_the_network_with_inserted_cbam() -> None:
    loaded = load_checkpoint(IMAGENET)
    shown = cbam_viz.load_model(IMAGENET).model
    images = sample_input("cat", loaded.spec)
    with torch.inference_mode():
        torch.testing.assert_close(shown(images), loaded.network(images), atol=1e-5, rtol=1e-5)


def test_the_twin_has_the_same_recipe_and_no_gates() -> None:
    one, other = read_metadata(EVERYDAY), read_metadata(TWIN)
    assert one["compare_with"] == TWIN.name
    assert other["attention"] is None
    for key in ("architecture", "arguments", "classes", "pretrained_cfg", "training_data"):
        assert one[key] == other[key], key
