"""A guide: what a trained network of ImageNet sees in a picture, and where.

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
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from cbam_viz.errors import TrainingError

from .augment import crop_view
from .cache import ImageCache, open_data
from .model import prepare_images
from .teacher import central_square, fit_probe, load_teacher

NETWORK = "tf_efficientnet_lite0"
SIDE = 224


@dataclass(frozen=True)
class Evidence:
    """What the guide says of a batch."""

    logits: Tensor
    """Of the folder's classes, (B, C)."""
    own: Tensor
    """Of the guide's own classes, (B, 1000)."""
    features: Tensor
    """Its last features, (B, D, h, w)."""


class Guide(nn.Module):
    """A frozen network and the probe that was fitted to its pooled features.

    Input: RGB in -1..1, (B, 3, H, W), as `prepare_images` gives it.
    """

    def __init__(self, network: Any, probe: nn.Linear) -> None:
        super().__init__()
        self.network, self.probe = network, probe
        self.requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Evidence:
        """Look at a batch."""
        with torch.autocast(images.device.type, torch.bfloat16):
            features = self.network.forward_features(images).float()
        pooled = features.mean((2, 3))
        return Evidence(self.probe(pooled), self.network.classifier(pooled), features)

    @torch.no_grad()
    def heat(self, seen: Evidence, labels: Tensor) -> Tensor:
        """How much each place speaks for what the picture shows, (B, h, w), 0 and above.

        For a picture with a label, for that class; for one without (-1), for the guide's own
        classes, each as much as the guide believes in it.
        """
        belief = seen.own.softmax(1) @ self.network.classifier.weight.float()
        known = self.probe.weight[labels.clamp(min=0)]
        weight = torch.where((labels >= 0)[:, None], known, belief)
        return torch.einsum("bdhw,bd->bhw", seen.features, weight).relu()


def load_guide(weights: Path, probe: Path) -> Guide:
    """The guide from its network's state dict and its probe.

    Raises:
        TrainingError: a file cannot be read or does not fit.
    """
    network = load_teacher(NETWORK, weights)
    try:
        state = load_file(str(probe))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{probe} holds no probe: {error}") from error
    linear = nn.Linear(state["weight"].shape[1], len(state["weight"]))
    linear.load_state_dict(state)
    return Guide(network, linear)


@torch.no_grad()
def pooled_features(network: Any, images: list[Any]) -> Tensor:
    """Pooled features (B, D) of pictures (S, S, 3)."""
    batch = torch.stack([torch.from_numpy(image) for image in images])
    with torch.autocast("cpu", torch.bfloat16):
        features: Tensor = network.forward_features(prepare_images(batch, torch.device("cpu")))
    return features.float().mean((2, 3))


def fit(cache: ImageCache, val: ImageCache, network: Any, side: int) -> tuple[nn.Linear, float]:
    """Fit the probe to one random crop of each picture; also its accuracy on `val`."""
    rows = []
    for start in tqdm(range(0, len(cache), 64), desc="guide", disable=None, mininterval=20):
        index = range(start, min(start + 64, len(cache)))
        crops = [crop_view(cache.image(i), (7, i), (0.4, 1.0), side) for i in index]
        rows.append(pooled_features(network, crops))
    features = torch.cat(rows)
    mean, std = features.mean(0), features.std(0) + 1e-3
    labels = torch.from_numpy(cache.labels)
    probe = fit_probe((features - mean) / std, labels, len(cache.classes))
    # Folded, so that the probe reads plain features, and a place's share of a logit is linear.
    folded = nn.Linear(features.shape[1], len(cache.classes))
    with torch.no_grad():
        folded.weight.copy_(probe.weight / std)
        folded.bias.copy_(probe.bias - probe.weight @ (mean / std))
    right = 0
    for start in range(0, len(val), 64):
        index = range(start, min(start + 64, len(val)))
        squares = [central_square(val.image(i), side) for i in index]
        logits = F.linear(pooled_features(network, squares), folded.weight, folded.bias)
        right += int((logits.argmax(1).numpy() == val.labels[index.start : index.stop]).sum())
    return folded, right / len(val)


def main() -> None:
    """Command line: fit the probe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="the guide's state dict")
    parser.add_argument("--out", type=Path, required=True, help="file for the probe")
    parser.add_argument("--side", type=int, default=SIDE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        train, val = open_data(options.data, options.cache, 160)
        network = load_teacher(NETWORK, options.weights).to(memory_format=torch.channels_last)
    except TrainingError as error:
        raise SystemExit(f"error: {error}") from error
    probe, accuracy = fit(train, val, network, options.side)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in probe.state_dict().items()}, str(options.out))
    print(f"probe top-1 on the validation images: {accuracy:.1%}")


if __name__ == "__main__":
    main()
