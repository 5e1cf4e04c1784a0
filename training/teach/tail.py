"""What follows the last gate learns to make up for what the gates hold back.

python -m training.teach.tail CHECKPOINT DATA --weights FILE --out FILE

`training.teach.insert` trains gates alone, and what reads the gated features stays as it was for
features without gates. Here the gates, and all that comes before the last of them, stay what they
are, bit for bit; the last convolution, its normalisation's scale and shift and the classifier learn
to give the original network's logits again. Labels are not used.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cbam_viz.errors import CbamVizError
from cbam_viz.images import InputSpec, read_photo
from training.data.folder import list_photos
from training.data.teacher import load_teacher
from training.measure.evaluate import load_checkpoint
from training.measure.views import in_view
from training.run.checkpoint import export
from training.run.losses import divergence
from training.run.recipe import add_options, given, option
from training.teach.head import training_photos

VIEWS = ("crop", "tighter crop", "border")
"""Those of one size, as the network takes no other."""
WARM_UP = 50


@dataclass(frozen=True)
class TailRecipe:
    """What decides the outcome, besides the photos."""

    photos: int = option(12_000, "of the training photos, each in one view")
    epochs: int = option(8, "times that each view is shown")
    batch: int = option(64, "views a step")
    rate: float = option(3e-4, "peak learning rate")
    seed: int = option(0, "decides all random choices")


@dataclass(frozen=True)
class Lessons:
    """What there is to learn from: a row a view."""

    features: Tensor
    """Behind the last gate, (N, C, h, w), half precision."""
    logits: Tensor
    """The original network's, (N, K)."""


def chosen(
    photos: Sequence[Path], sharp: Sequence[Path], recipe: TailRecipe
) -> list[tuple[Path, str]]:
    """Files and the view of each: some of the photos in one view, sharp ones in every view."""
    rng = random.Random(recipe.seed)
    some = rng.sample(list(photos), min(recipe.photos, len(photos)))
    pairs = [(file, VIEWS[number % len(VIEWS)]) for number, file in enumerate(some)]
    pairs += [(file, view) for file in sharp for view in VIEWS]
    rng.shuffle(pairs)
    return pairs


def _batches(pairs: Sequence[tuple[Path, str]], spec: InputSpec, size: int) -> Iterator[Tensor]:
    for start in tqdm(range(0, len(pairs), size), desc="views", disable=None):
        views = [
            in_view(read_photo(file), spec, view).tensor
            for file, view in pairs[start : start + size]
        ]
        yield torch.cat(views).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def look(gated: Any, original: Any, batches: Iterator[Tensor]) -> Lessons:
    """Run both networks once over all views; what comes before the last gate never changes."""
    kept: list[Tensor] = []
    hook = gated.conv_head.register_forward_pre_hook(
        lambda _, given: kept.append(given[0].half().contiguous())
    )
    logits = []
    try:
        for images in batches:
            gated(images)
            with torch.autocast("cpu", torch.bfloat16):
                logits.append(original(images).float())
    finally:
        hook.remove()
    return Lessons(torch.cat(kept).clone(), torch.cat(logits).clone())


def behind(network: Any, features: Tensor) -> Tensor:
    """Logits (B, K) from the features behind the last gate."""
    logits: Tensor = network.forward_head(network.bn2(network.conv_head(features)))
    return logits


def rate_at(step: int, steps: int) -> float:
    """Share of the full learning rate: a short warm-up, then half a cosine to nothing."""
    return min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


def learn(network: Any, lessons: Lessons, recipe: TailRecipe) -> list[float]:
    """Train what follows the last gate; returns the mean divergence of each epoch.

    The network stays in eval mode: statistics of BatchNorm are what they were.
    """
    network.eval().requires_grad_(False)
    parts: list[nn.Module] = [network.conv_head, network.bn2, network.classifier]
    parameters = [one for part in parts for one in part.requires_grad_(True).parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=0.0)
    generator = torch.Generator().manual_seed(recipe.seed)
    count = len(lessons.logits)
    steps = recipe.epochs * math.ceil(count / recipe.batch)
    step, means = 0, []
    for _ in tqdm(range(recipe.epochs), desc="epochs", disable=None):
        total = 0.0
        for index in torch.split(torch.randperm(count, generator=generator), recipe.batch):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * rate_at(step, steps)
            features = lessons.features[index].contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                made = behind(network, features)
            loss = divergence(made.float(), lessons.logits[index], 1.0)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step, total = step + 1, total + float(loss.detach()) * len(index)
        means.append(total / count)
    network.requires_grad_(False)
    return means


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="what training.teach.insert wrote")
    parser.add_argument("data", type=Path, help="folder with train/CLASS/* and val/CLASS/*")
    parser.add_argument("--weights", type=Path, required=True, help="the original's state dict")
    parser.add_argument("--sharp", type=Path, help="folder of large photos")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--threads", type=int, default=1)
    add_options(parser.add_argument_group("recipe"), TailRecipe)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    recipe = TailRecipe(**given(options, TailRecipe))
    try:
        loaded = load_checkpoint(options.checkpoint)
        original = load_teacher(loaded.metadata["architecture"], options.weights)
        sharp = list_photos(options.sharp).files if options.sharp else ()
        pairs = chosen(training_photos(options.data).files, sharp, recipe)
    except CbamVizError as error:
        raise SystemExit(f"error: {error}") from error
    network: Any = loaded.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    original.eval().to(memory_format=torch.channels_last)
    lessons = look(network, original, _batches(pairs, loaded.spec, 32))
    means = learn(network, lessons, recipe)
    print("mean divergence by epoch: " + ", ".join(f"{one:.3f}" for one in means))
    export(network.to(memory_format=torch.contiguous_format), loaded.metadata, options.out)


if __name__ == "__main__":
    main()
