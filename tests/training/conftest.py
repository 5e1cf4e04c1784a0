"""A data folder of generated pictures that a network learns in a few steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbam_viz._compat import ensure_torchvision

ensure_torchvision()  # before a test here imports timm

CLASSES = ("blue square", "red square", "stripes")


def picture(name: str, rng: np.random.Generator) -> np.ndarray:
    """A noisy picture (48, 64, 3) of one class; the square lies in (16..32, 20..40)."""
    pixels = rng.integers(90, 130, (48, 64, 3))
    if name == "stripes":
        pixels[::4] = 230
    else:
        pixels[16:32, 20:40] = (220, 30, 30) if name.startswith("red") else (30, 30, 220)
    return pixels.astype(np.uint8)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train/` and `val/` with three classes, and `boxes.json` for the squares."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    boxes = {}
    for split, count in (("train", 12), ("val", 4)):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(picture(name, rng)).save(root / split / name / f"{i}.png")
                if "square" in name:
                    box = [20 / 64, 16 / 48, 40 / 64, 32 / 48]
                    boxes[f"{split}/{name}/{i}.png"] = [box]
    (root / "boxes.json").write_text(json.dumps(boxes))
    return root


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the decoded pictures of all tests are kept."""
    return tmp_path_factory.mktemp("cache")
