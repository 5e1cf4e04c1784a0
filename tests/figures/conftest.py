"""Analyses made by hand, so that every value in a figure is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cbam_viz.analysis import Analysis, Prediction
from cbam_viz.attention import Attention, Cells, LayerAttention, LayerFeatures
from cbam_viz.figures import Study
from cbam_viz.images import Geometry, Photo, read_photo

CLASSES = ("tabby", "school bus", "giraffe")


def make_photo(height: int = 96, width: int = 128, *, seed: int = 0, name: str = "p.png") -> Photo:
    """A smooth colour pattern with some texture; every seed another one."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    phase = seed * 0.7
    channels = [np.sin(6 * x + phase), np.cos(5 * y - phase), np.sin(9 * (x + y) + 2 * phase)]
    pixels = np.stack(channels, -1) * 90 + 128
    return read_photo(np.ascontiguousarray(pixels.round().astype(np.uint8)), name=name)


def make_geometry(photo: Photo, *, size: int = 64, view: str = "crop") -> Geometry:
    """The centre square of 7/8 of the shorter side, as timm's evaluation transform has it."""
    height, width = photo.size
    if view == "fitted":
        # The longer side fills the square; what is missing of the shorter one is border.
        scale = max(height, width) / size
        top, left = (height - size * scale) / 2, (width - size * scale) / 2
        grey = (124, 116, 104)
        return Geometry(photo.size, (size, size), scale, scale, top, left, "whole", grey)
    if view == "whole":
        return Geometry(photo.size, (height, width), 1.0, 1.0, 0.0, 0.0, "whole")
    scale = min(height, width) * 0.875 / size
    top, left = (height - size * scale) / 2, (width - size * scale) / 2
    return Geometry(photo.size, (size, size), scale, scale, top, left, "crop")


def make_layer(
    name: str, stage: int, *, seed: int, input_size: tuple[int, int], features: bool = False
) -> LayerAttention:
    """A blob as its map and random channel weights."""
    generator = torch.Generator().manual_seed(seed)
    stride, channels = 2 ** (stage + 1), 8 * stage
    h, w = -(-input_size[0] // stride), -(-input_size[1] // stride)
    y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    centre = torch.rand(2, generator=generator) - 0.5
    blob = torch.exp(-3 * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2))
    spatial = torch.sigmoid(4 * blob - 2)[None]
    channel = torch.sigmoid(2 * torch.randn(1, channels, generator=generator))
    found = None
    if features:
        before = torch.randn(1, channels, h, w, generator=generator)
        between = before * channel[..., None, None]
        found = LayerFeatures(before, between, between * spatial[:, None])
    return LayerAttention(
        name=name, module=name, call=1, stage=f"layer{stage}", channel=channel, spatial=spatial,
        cells=Cells(stride, stride, 0.5, 0.5), composition="channel then spatial",
        found_by="hook", verified=True, dtype=torch.float32, features=found,
    )  # fmt: skip


def make_analysis(
    photo: Photo | None = None,
    *,
    seed: int = 0,
    blocks: tuple[int, ...] = (1, 2),
    network: str = "ResNet-18",
    view: str = "crop",
    classes: bool = True,
    features: bool = False,
) -> Analysis:
    """One photo with layers layer1.0.se, layer2.0.se, layer2.1.se ..."""
    photo = photo or make_photo(seed=seed, name=f"photo{seed}.png")
    geometry = make_geometry(photo, view=view)
    layers = [
        make_layer(
            f"layer{stage}.{block}.se", stage, seed=100 * seed + 10 * stage + block,
            input_size=geometry.input_size, features=features,
        )
        for stage, count in enumerate(blocks, 1)
        for block in range(count)
    ]  # fmt: skip
    attention = Attention({layer.name: layer for layer in layers}, None, geometry.input_size)
    best = Prediction(seed % 3, CLASSES[seed % 3], 0.9 - 0.1 * seed)
    return Analysis(photo, network, CLASSES, attention, geometry, (best,) if classes else ())


@pytest.fixture
def one() -> Analysis:
    """One photo, three layers in two stages."""
    return make_analysis()


@pytest.fixture
def three() -> Study:
    """Three photos by one network."""
    return Study(tuple((make_analysis(seed=seed),) for seed in range(3)))


@pytest.fixture
def two_networks() -> Study:
    """Two photos, each by two networks."""
    return Study(
        tuple(
            (
                make_analysis(seed=seed),
                make_analysis(make_photo(seed=seed), seed=seed + 5, network="Other"),
            )
            for seed in range(2)
        )
    )
