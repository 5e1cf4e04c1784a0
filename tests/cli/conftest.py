"""A folder of tiny checkpoints in place of the demo's, and photos to read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file

import cbam_viz
from cbam_viz.cli.group import cli

CLASSES = ["ant", "bee", "cat", "dog", "elk"]
SHAPE = {"channels": [8, 16, 32, 64], "zero_init_last": False}


def write_tiny(path: Path, *, seed: int = 0, default: bool = False, fixed: bool = False) -> Path:
    """A ResNet-10-t of 8 to 64 channels with CBAM, for 64 pixels and five classes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = cbam_viz.create_model("resnet10t", num_classes=5, **SHAPE)
        for name, weight in model.named_parameters():
            if ".se." in name:  # gates that differ from each other
                torch.nn.init.normal_(weight, std=0.5)
            if "fc1" in name:  # no dead hidden units, so that channel weights differ too
                weight.data.abs_()
    about = {
        "schema": 1,
        "title": path.stem.capitalize(),
        "description": "",
        "architecture": "resnet10t",
        "attention": "cbam",
        "arguments": SHAPE,
        "num_classes": 5,
        "classes": CLASSES,
        "pretrained_cfg": {"input_size": [3, 64, 64], "fixed_input_size": fixed},
        "accuracy": {"top1": 0.25},
        "default": default,
    }
    save_file(model.state_dict(), str(path), {"cbam_viz": json.dumps(about)})
    return path


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the default `tiny` and another network `zebra`."""
    folder = tmp_path_factory.mktemp("checkpoints")
    write_tiny(folder / "zebra.safetensors", seed=1)
    write_tiny(folder / "tiny.safetensors", default=True)
    return folder


@pytest.fixture
def folder(tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a user whose demo network is `tiny`."""
    monkeypatch.setenv("CBAM_VIZ_CHECKPOINTS", str(checkpoints))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_photo(path: Path, *, size: tuple[int, int] = (60, 90), seed: int = 0) -> Path:
    """A smooth random picture of height and width `size`."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC).save(path)
    return path


def invoke(*arguments: str | Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])
