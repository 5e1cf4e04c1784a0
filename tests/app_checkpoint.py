"""A checkpoint for tests of the app: a small trained-looking network with a description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CLASSES = ("grey", "red", "green", "blue", "striped")
NAME = "test.safetensors"


def write_titled(folder: Path, name: str, architecture: str, **about: Any) -> None:
    """A network of the same five classes, titled after its file; `about` may give `attention`,
    other `weights`, and what else its description says.
    """
    from safetensors.torch import save_file

    from cbam_viz import create_model

    attention, weights = about.pop("attention", "cbam"), about.pop("weights", None)
    model = create_model(architecture, attention=attention, num_classes=len(CLASSES))
    about = {
        "schema": 1,
        "title": f"Titled {name}",
        "architecture": architecture,
        "attention": attention,
        "num_classes": len(CLASSES),
        "classes": list(CLASSES),
        **about,
    }
    tensors = {key: one.contiguous() for key, one in (weights or model.state_dict()).items()}
    save_file(tensors, folder / name, {"cbam_viz": json.dumps(about)})


def write_checkpoint(folder: Path, *, fixed_size: bool = False) -> Path:
    """A ResNet-18 with CBAM, random weights whose gates differ from 0.5, five classes.

    With `fixed_size` the view of the whole image fits it into 224 x 224 with a border.
    """
    import torch
    from safetensors.torch import save_file

    from cbam_viz import create_model

    arguments = {"zero_init_last": False}
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = create_model("resnet18", num_classes=len(CLASSES), **arguments)
    about = {
        "schema": 1,
        "title": "Test network",
        "description": "Random weights.",
        "architecture": "resnet18",
        "attention": "cbam",
        "arguments": arguments,
        "num_classes": len(CLASSES),
        "classes": list(CLASSES),
        "default": True,
        "pretrained_cfg": {"fixed_input_size": fixed_size},
    }
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / NAME, {"cbam_viz": json.dumps(about)})
    return folder / NAME
