"""Put CBAM into a trained EfficientNet and train its gates.

python -m training.teach.insert DATA --cache CACHE --weights FILE --out RUN

The network's outputs start unchanged: all gates begin at one value, which the next convolution is
scaled up by. Then the gates, and nothing else, learn to close as far as the outputs allow it: the
loss is the divergence from the original network's logits plus the share that is still open. What
stays open is what the network needs. Labels are not used, so any folder of photos will do.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.layers.cbam import CbamModule
from torch import Tensor
from tqdm import tqdm

from cbam_viz.errors import CbamVizError
from cbam_viz.models import insert_cbam
from cbam_viz.models.metadata import SCHEMA
from training.data.augment import Augmentation, crop_view, vary
from training.data.cache import ImageCache, open_data
from training.data.teacher import central_square, load_teacher
from training.data.tensors import prepare_images
from training.run.checkpoint import CODE_VERSION, export
from training.run.gates import GateWatch
from training.run.losses import divergence

START = 0.88
"""All gates at first: open, where the sigmoid's slope still lets them learn."""


@dataclass(frozen=True)
class InsertRecipe:
    """What decides the outcome, besides the photos."""

    architecture: str = "tf_efficientnet_lite0"
    stages: tuple[int, ...] = (4, 5, 6)
    """CBAM goes behind these members of the network's `blocks`."""
    side: int = 224
    views: int = 4_000
    """Different views to learn from."""
    images: int = 14_400
    """Views shown in all, repeats counted."""
    batch: int = 32
    scale: tuple[float, float] = (0.4, 1.0)
    lr: float = 1e-2
    open_spatial: float = 3.0
    """Weight of the mean over layers of how open the spatial maps are."""
    open_channel: float = 0.45
    """Weight of the mean over layers of how open the channel weights are."""
    relative: bool = False
    """Measure a gate's mean as a share of its own maximum. That keeps more of the accuracy and
    gives weaker maps, some of them stripes: one cell held open for all photos is enough."""
    temperature: float = 1.0
    seed: int = 0


def insert_gates(network: Any, stages: tuple[int, ...]) -> None:
    """Put CBAM behind `blocks.N` of each stage, all gates at START; outputs stay the same.

    The convolution that reads the gated features must follow without a shortcut around the gate;
    between the stages of an EfficientNet that is so.
    """
    insert_cbam(network, [f"blocks.{stage}" for stage in stages], gate=START)
    with torch.no_grad():
        for stage in stages:
            last = stage + 1 == len(network.blocks)
            reader = network.conv_head if last else network.blocks[stage + 1][0].conv_pw
            reader.weight /= START**2


def behind_gate(network: Any, features: Tensor, stage: int) -> Tensor:
    """Logits of a network with inserted CBAM, from the features (B, C, h, w) its stage made."""
    features = network.blocks[stage].cbam(features)
    for following in network.blocks[stage + 1 :]:
        features = following(features)
    logits: Tensor = network.forward_head(network.bn2(network.conv_head(features)))
    return logits


def behind_stage(network: Any, features: Tensor, stage: int) -> Tensor:
    """Logits of the original network from the same features."""
    for following in network.blocks[stage + 1 :]:
        features = following(features)
    logits: Tensor = network.forward_head(network.bn2(network.conv_head(features)))
    return logits


def up_to_stage(network: Any, images: Tensor, stage: int) -> Tensor:
    """The original network's features behind a stage."""
    features: Tensor = network.bn1(network.conv_stem(images))
    for block in network.blocks[: stage + 1]:
        features = block(features)
    return features


def relative_mean(gate: Tensor) -> Tensor:
    """Mean over a gate (B, ...) as a share of its maximum, averaged over images; a scalar.

    1 for a flat gate, whatever its level: closing all places alike, while the channels open, would
    lower a plain mean and say nothing.
    """
    flat = gate.float().flatten(1)
    return (flat.mean(1) / flat.amax(1)).mean()


def openness(watch: GateWatch, recipe: InsertRecipe) -> Tensor:
    """How open the gates are, weighted as the recipe says; a scalar."""
    measure = relative_mean if recipe.relative else torch.mean
    spatial = torch.stack([measure(gate.float()) for gate in watch.spatial.values()]).mean()
    channel = torch.stack([measure(gate.float()) for gate in watch.channel.values()]).mean()
    return recipe.open_spatial * spatial + recipe.open_channel * channel


def draw(cache: ImageCache, recipe: InsertRecipe) -> NDArray[np.uint8]:
    """Varied views (N, S, S, 3) to learn from, classes alike in number."""
    rng = np.random.default_rng(recipe.seed)
    sizes = np.bincount(cache.labels, minlength=len(cache.classes))
    weight = 1 / sizes[cache.labels]
    # Small images are soft at this resolution, and photos that users bring are not.
    weight = weight * np.where(np.minimum(cache.heights, cache.widths) > 100, 1.0, 0.2)
    count = min(recipe.views, int((weight > 0).sum()))
    chosen = rng.choice(len(cache), count, replace=False, p=weight / weight.sum())
    varying = Augmentation(flip=0.5, degrade=0.1, colour=0.2)
    views = np.empty((count, recipe.side, recipe.side, 3), np.uint8)
    for row, index in enumerate(chosen):
        seed = (recipe.seed, int(index))
        view = crop_view(cache.image(index), seed, recipe.scale, recipe.side)
        views[row] = vary(view, rng, varying, sharp=True)
    return views


@dataclass(frozen=True)
class Lessons:
    """What the original network makes of the views: features (N, C, h, w) and logits (N, K)."""

    features: Tensor
    logits: Tensor


@torch.no_grad()
def prepare_lessons(original: Any, views: NDArray[np.uint8], stage: int) -> Lessons:
    """Run the original network once over all views; as it is frozen, that is enough."""
    features, logits = [], []
    for part in tqdm(np.array_split(views, max(1, len(views) // 32)), desc="views", disable=None):
        images = prepare_images(torch.from_numpy(part), torch.device("cpu"))
        with torch.autocast("cpu", torch.bfloat16):
            made = up_to_stage(original, images, stage)
            logits.append(behind_stage(original, made, stage).float())
        features.append(made.bfloat16())
    return Lessons(torch.cat(features), torch.cat(logits))


@torch.inference_mode()
def agreement(original: Any, gated: Any, cache: ImageCache, side: int) -> dict[str, float]:
    """Share of validation images on which both networks agree, and the mean KL divergence."""
    same, total = 0, 0.0
    for start in range(0, len(cache), 44):
        index = range(start, min(start + 44, len(cache)))
        images = torch.from_numpy(np.stack([central_square(cache.image(i), side) for i in index]))
        with torch.autocast("cpu", torch.bfloat16):
            ready = prepare_images(images, torch.device("cpu"))
            one, other = original(ready).float(), gated(ready).float()
        same += int((one.argmax(1) == other.argmax(1)).sum())
        total += float(divergence(other, one, 1.0)) * len(index)
    return {"agreement": same / len(cache), "divergence": total / len(cache)}


def train(gated: Any, lessons: Lessons, recipe: InsertRecipe, out: Path) -> None:
    """Train the gates; everything else stays as it is."""
    first = recipe.stages[0]
    modules: list[CbamModule] = [gated.blocks[stage].cbam for stage in recipe.stages]
    gated.eval().requires_grad_(False)
    for module in modules:
        module.train().requires_grad_(True)
    parameters = [p for module in modules for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=0.0, betas=(0.9, 0.98))
    steps = recipe.images // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=steps, pct_start=0.1
    )
    generator = torch.Generator().manual_seed(recipe.seed)
    count, started = len(lessons.logits), time.monotonic()
    with closing(GateWatch(gated)) as watch:
        for step in tqdm(range(steps), desc="gates", disable=None):
            index = torch.randint(count, (recipe.batch,), generator=generator)
            features = lessons.features[index].contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = behind_gate(gated, features, first)
            kl = divergence(logits, lessons.logits[index], recipe.temperature)
            loss = kl + min(1.0, step / (0.2 * steps)) * openness(watch, recipe)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 25 == 0 or step == steps - 1:
                record = {
                    "images": (step + 1) * recipe.batch,
                    "kl": round(kl.item(), 4),
                    **watch.describe(),
                    "seconds": round(time.monotonic() - started),
                }
                with (out / "log.jsonl").open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(record) + "\n")


def metadata(recipe: InsertRecipe, network: Any, classes: list[str]) -> dict[str, Any]:
    """Metadata by which the app rebuilds the network."""
    return {
        "schema": SCHEMA,
        "title": f"{recipe.architecture} with CBAM",
        "description": "Pretrained, with CBAM put in and trained.",
        "architecture": recipe.architecture,
        "attention": None,
        "arguments": {},
        "inserted_cbam": {"at": [f"blocks.{stage}" for stage in recipe.stages]},
        "num_classes": len(classes),
        "classes": classes,
        "pretrained_cfg": {
            "input_size": [3, recipe.side, recipe.side],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "crop_pct": 0.875,
            "interpolation": "bicubic",
            # The gates met maps of one size only; on larger ones they close and answers fade.
            "fixed_input_size": True,
        },
        "recipe": asdict(recipe),
        "code_version": CODE_VERSION,
        "default": False,
        "compare_with": None,
    }


def imagenet_classes() -> list[str]:
    """The 1000 class names, from timm."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return [info.index_to_description(i) for i in range(1000)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = InsertRecipe()
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--short-side", type=int, default=160)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", type=int, nargs="+", default=defaults.stages)
    for name in ("views", "images", "batch", "seed", "side"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    for name in ("lr", "open_spatial", "open_channel", "temperature"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=float, default=getattr(defaults, name))
    parser.add_argument("--relative", action="store_true", help="gates as a share of their maximum")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = ("views", "images", "batch", "seed", "side", "lr", "open_spatial", "open_channel",
             "temperature")  # fmt: skip
    recipe = InsertRecipe(
        stages=tuple(options.stages),
        relative=options.relative,
        **{name: getattr(options, name) for name in names},
    )
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        cache, val = open_data(options.data, options.cache, options.short_side)
        torch.manual_seed(recipe.seed)
        original = load_teacher(recipe.architecture, options.weights)
    except CbamVizError as error:
        raise SystemExit(f"error: {error}") from error
    gated = copy.deepcopy(original)
    insert_gates(gated, recipe.stages)
    original.to(memory_format=torch.channels_last)
    gated.to(memory_format=torch.channels_last)
    lessons = prepare_lessons(original, draw(cache, recipe), recipe.stages[0])
    train(gated, lessons, recipe, options.out)
    gated.eval()
    described = metadata(recipe, gated, imagenet_classes())
    export(gated, described, options.out / "last.safetensors")
    print(json.dumps(agreement(original, gated, val, recipe.side)))


if __name__ == "__main__":
    main()
