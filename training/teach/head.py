"""A classifier fitted anew to a trained network's last features.

python -m training.teach.head CHECKPOINT DATA --out FILE

The last phase (`training.teach.refine`) ends while its classifier still lags behind features that
were changed for the sake of the maps. Here all but the classifier stays what it is, bit for bit,
gates included: multinomial logistic regression on the pooled features of the training photos, each
in one of the app's views in turn, pulled a little towards the weights that were there.

How strongly is an option, to be chosen on photos that are not trained on: features know training
photos, on which the weakest pull looks best.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from cbam_viz.errors import CbamVizError
from cbam_viz.images import read_photo
from training.data.folder import Listing, list_split
from training.measure.evaluate import Loaded, load_checkpoint
from training.measure.views import VIEWS, in_view
from training.run.checkpoint import export
from training.teach.refine import Refinement, kept_from_training

PULL = 3e-4
"""Weight of the squared distance from the old classifier."""
BATCH = 32


@dataclass(frozen=True)
class Lessons:
    """What the classifier learns from: a row a photo."""

    features: Tensor
    """Pooled, (N, D)."""
    labels: Tensor
    """(N,)."""

    def where(self, chosen: Tensor) -> Lessons:
        """The rows that a mask (N,) chooses."""
        return Lessons(self.features[chosen], self.labels[chosen])


def training_photos(data: Path) -> Listing:
    """The training photos, less those that the last phase kept to measure maps on.

    Raises:
        TrainingError: the folder cannot be used.
    """
    all_ = list_split(data / "train")
    out = kept_from_training(data, all_.keys(), Refinement.held_out)
    kept = [index for index in range(len(all_.files)) if index not in out]
    return replace(
        all_,
        files=tuple(all_.files[index] for index in kept),
        labels=tuple(all_.labels[index] for index in kept),
    )


@torch.inference_mode()
def pooled(network: Any, images: Sequence[Tensor]) -> Tensor:
    """Pooled features (N, D) of inputs (1, 3, H, W); those of one size go through together."""
    rows: list[Tensor | None] = [None] * len(images)
    by_size: dict[torch.Size, list[int]] = {}
    for index, image in enumerate(images):
        by_size.setdefault(image.shape, []).append(index)
    for group in by_size.values():
        batch = torch.cat([images[index] for index in group])
        with torch.autocast("cpu", torch.bfloat16):
            maps = network.forward_features(batch.contiguous(memory_format=torch.channels_last))
        found = network.forward_head(maps.float(), pre_logits=True)
        for index, row in zip(group, found, strict=True):
            rows[index] = row
    return torch.stack([row for row in rows if row is not None])


def lessons(loaded: Loaded, listing: Listing) -> Lessons:
    """The features of each photo in one of the views, in turn."""
    network = loaded.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    features = []
    for start in tqdm(range(0, len(listing.files), BATCH), desc="features", disable=None):
        inputs = []
        for number, file in enumerate(listing.files[start : start + BATCH], start):
            view = VIEWS[number % len(VIEWS)]
            inputs.append(in_view(read_photo(file), loaded.spec, view).tensor)
        features.append(pooled(network, inputs))
    return Lessons(torch.cat(features).clone(), torch.tensor(listing.labels))


def fit(taught: Lessons, old: nn.Linear, pull: float, steps: int = 60) -> nn.Linear:
    """The classifier of least loss, begun at `old`.

    The loss is the mean cross-entropy with classes weighted by one over the square root of their
    size, and `pull` times the squared distance of the weights from the old ones.
    """
    sizes = torch.bincount(taught.labels, minlength=old.out_features).clamp(min=1)
    balance = sizes.float().rsqrt()
    start = old.weight.detach().clone()
    new = nn.Linear(old.in_features, old.out_features)
    new.load_state_dict(old.state_dict())
    optimizer = torch.optim.LBFGS(new.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimizer.zero_grad()
        cost = F.cross_entropy(new(taught.features), taught.labels, balance)
        cost = cost + pull * (new.weight - start).square().sum()
        cost.backward()  # type: ignore[no-untyped-call]
        return float(cost.detach())

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return new


@torch.no_grad()
def accuracy(head: nn.Linear, shown: Lessons) -> float:
    """Mean over the classes of the share that is right, 0..1."""
    right = (head(shown.features).argmax(1) == shown.labels).float()
    classes = torch.unique(shown.labels)
    return float(torch.stack([right[shown.labels == one].mean() for one in classes]).mean())


def read_lessons(file: Path) -> Lessons:
    """What an earlier run kept."""
    with np.load(file, allow_pickle=False) as kept:
        return Lessons(*(torch.from_numpy(kept[key]) for key in ("features", "labels")))


def refit(source: Path, data: Path, out: Path, pull: float, kept: Path | None) -> None:
    """Fit the classifier of the checkpoint `source`, and write all to `out`.

    Features are read from the file `kept` if it is there, and otherwise written to it.

    Raises:
        TrainingError: the checkpoint or the folder of photos cannot be used.
    """
    loaded = load_checkpoint(source)
    network: Any = loaded.network
    old: nn.Linear = network.get_classifier()
    if kept and kept.exists():
        taught = read_lessons(kept)
    else:
        taught = lessons(loaded, training_photos(data))
        if kept:
            np.savez(kept, **{key: value.numpy() for key, value in vars(taught).items()})
    shares = [accuracy(old, taught)]
    old.load_state_dict(fit(taught, old, pull).state_dict())
    shares.append(accuracy(old, taught))
    print("on training photos, mean over classes: {:.1%} -> {:.1%}".format(*shares))
    export(network.to(memory_format=torch.contiguous_format), loaded.metadata, out)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path, help="folder with train/CLASS/* and val/CLASS/*")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--pull", type=float, default=PULL, help="towards the old weights")
    parser.add_argument("--features", type=Path, help=".npz in which features are kept")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        refit(options.checkpoint, options.data, options.out, options.pull, options.features)
    except CbamVizError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
