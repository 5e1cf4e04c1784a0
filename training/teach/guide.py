"""A guide: what a trained network of ImageNet sees in a picture, and where.

python -m training.teach.guide DATA --cache CACHE --weights FILE --out FILE

The guide's last features, read by a linear probe of the folder's classes, give class logits and, at
each place, how much that place speaks for a class (class activation mapping, Zhou et al., CVPR
2016). A student's spatial maps are taught to be open where the guide finds its evidence.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.data.cache import ImageCache, open_data
from training.data.teacher import (
    PooledFeatures,
    TeacherSettings,
    all_features,
    fit_probe,
    load_teacher,
)
from training.errors import TrainingError
from training.run.train import top1

NETWORK = "tf_efficientnet_lite0"
STRIDE = 32
"""Pixels from one cell of the guide's last features to the next."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Evidence:
    """What the guide says of a batch."""

    logits: Tensor
    """Of the folder's classes, (B, C); its own ones without a probe."""
    own: Tensor
    """Of the guide's own classes, (B, K)."""
    features: Tensor
    """Its last features, (B, D, h, w)."""


class Guide(nn.Module):
    """A frozen network, and a probe that was fitted to its pooled features, if there is one.

    Input: RGB in -1..1, (B, 3, H, W), as `prepare_images` gives it.
    """

    def __init__(self, network: Any, probe: nn.Linear | None) -> None:
        super().__init__()
        self.network, self.probe = network, probe
        self.requires_grad_(False)
        self.eval()

    @property
    def classes(self) -> int:
        """How many classes its logits have."""
        last = self.probe or self.network.classifier
        return int(last.out_features)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Evidence:
        """Look at a batch."""
        with torch.autocast(images.device.type, torch.bfloat16):
            features = self.network.forward_features(images).float()
        pooled = features.mean((2, 3))
        own = self.network.classifier(pooled)
        return Evidence(self.probe(pooled) if self.probe else own, own, features)

    @torch.no_grad()
    def heat(self, seen: Evidence, labels: Tensor) -> Tensor:
        """How much each place speaks for what the picture shows, (B, h, w), 0 and above.

        For a picture with a label (B,), for that class; for one without (-1), for the guide's own
        classes, each as much as the guide believes in it.
        """
        weight = seen.own.softmax(1) @ self.network.classifier.weight.float()
        if self.probe:
            known = self.probe.weight[labels.clamp(min=0)]
            weight = torch.where((labels >= 0)[:, None], known, weight)
        return torch.einsum("bdhw,bd->bhw", seen.features, weight).relu()


def look(guide: Guide, images: Tensor) -> Evidence:
    """The guide's evidence at the cells of a ResNet, one more in each direction.

    The guide pads its strided convolutions at the far side only, so that the middle of its cell `i`
    is at 31.5 + 32 i; moving the picture by 31 pixels puts it at 0.5 + 32 i, where a ResNet's is.
    Sides of `images` (B, 3, H, W) are multiples of 32.
    """
    shifted = F.pad(images, (STRIDE - 1, 1, STRIDE - 1, 1), mode="reflect")
    seen: Evidence = guide(shifted.contiguous(memory_format=torch.channels_last))
    return seen


def load_guide(weights: Path, probe: Path | None) -> Guide:
    """The guide from its network's state dict, and its probe if it is to know other classes.

    Raises:
        TrainingError: a file cannot be read or does not fit.
    """
    network = load_teacher(NETWORK, weights)
    if probe is None:
        return Guide(network, None)
    try:
        state = load_file(str(probe))
        linear = nn.Linear(network.num_features, len(state["bias"]))
        linear.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise TrainingError(f"{probe} holds no probe of {NETWORK}: {error}") from error
    return Guide(network, linear)


def fit(train: ImageCache, val: ImageCache, network: Any, side: int) -> tuple[nn.Linear, float]:
    """Fit the probe to one random crop of each picture; also its accuracy on `val`, 0..1.

    The network's own classifier is taken off.
    """
    settings = TeacherSettings(NETWORK, views=1, side=side, scale=(0.4, 1.0), seed=7)
    pooled = PooledFeatures(network, CPU, compile_model=False)
    features = torch.from_numpy(all_features(train, pooled, settings, 0)[:, 0]).float()
    mean, std = features.mean(0), features.std(0) + 1e-3
    fitted = fit_probe((features - mean) / std, torch.from_numpy(train.labels), len(train.classes))
    probe = folded(fitted, mean, std)
    return probe, top1(nn.Sequential(network, probe), val, side, CPU)


@torch.no_grad()
def folded(probe: nn.Linear, mean: Tensor, std: Tensor) -> nn.Linear:
    """The same probe for features that are not standardised.

    So that what a place adds to a logit is linear in its features.
    """
    plain = nn.Linear(probe.in_features, probe.out_features)
    plain.weight.copy_(probe.weight / std)
    plain.bias.copy_(probe.bias - probe.weight @ (mean / std))
    return plain


def main(arguments: list[str] | None = None) -> None:
    """Command line: fit the probe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train/CLASS/* and val/CLASS/*")
    parser.add_argument("--cache", type=Path, required=True, help="decoded images")
    parser.add_argument("--short-side", type=int, default=160, help="reduce larger images to this")
    parser.add_argument("--weights", type=Path, required=True, help=f"state dict of {NETWORK}")
    parser.add_argument("--out", type=Path, required=True, help="file for the probe")
    parser.add_argument("--side", type=int, default=224, help="pixels of a crop for the guide")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        train, val = open_data(options.data, options.cache, options.short_side)
        probe, accuracy = fit(train, val, load_teacher(NETWORK, options.weights), options.side)
    except TrainingError as error:
        raise SystemExit(f"error: {error}") from error
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in probe.state_dict().items()}, str(options.out))
    print(f"probe top-1 on the validation images: {accuracy:.1%}")


if __name__ == "__main__":
    main()
