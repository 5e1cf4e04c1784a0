"""Put CBAM into a trained EfficientNet and train its gates: `python -m training.insert DATA ...`.

The network's outputs start unchanged: all gates begin at one value, which the next convolution is
scaled up by. Then the gates, and nothing else, learn to close as far as the outputs allow it: the
loss is the divergence from the original network's logits plus the share that is still open. What
stays open is what the network needs. Labels are not used, so any folder of photos will do.

The other weights must stay. Where they may learn too, the next convolution makes up for a map that
closes everywhere alike, and such a map says nothing.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.layers.cbam import CbamModule
from torch import Tensor
from torch.optim import AdamW
from tqdm import tqdm

from cbam_viz.errors import CbamVizError
from cbam_viz.models import insert_cbam

from .batches import Batches
from .cache import ImageCache, open_data
from .checkpoint import export
from .gates import GateWatch
from .loading import in_order
from .losses import divergence
from .model import pick_device, prepare_images
from .teacher import central_square, load_teacher

START = 0.88
"""All gates at first: open, where the sigmoid's slope still lets them learn."""


@dataclass(frozen=True)
class InsertRecipe:
    """What decides the outcome, besides the photos."""

    architecture: str = "tf_efficientnet_lite0"
    stages: tuple[int, ...] = (5, 6)
    """CBAM goes behind these members of the network's `blocks`."""
    sides: tuple[int, ...] = (192, 224, 256, 288, 320)
    """Resolutions in pixels, one a step in turn: gates that met one size only fail at others."""
    images: int = 16_000
    batch: int = 32
    lr: float = 1e-2
    open_spatial: float = 2.0
    """Weight of the mean over layers of the spatial maps' means."""
    gate_decay: float = 0.01
    """Weight of the mean squared input of the channel gates, as in `Recipe`."""
    temperature: float = 1.0
    views: int = 1_000
    """Different crops of a photo."""
    scale: tuple[float, float] = (0.35, 1.0)
    soft_weight: float = 0.2
    """How often photos of low resolution are shown: photos that users bring are sharp."""
    flip: float = 0.5
    degrade: float = 0.1
    colour: float = 0.2
    seed: int = 0

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.images // self.batch

    def side_at(self, step: int) -> int:
        """Resolution in pixels at a step."""
        return self.sides[step % len(self.sides)]

    def penalty_at(self, step: int) -> float:
        """Share of the gates' penalties at a step: it rises over the first fifth of the run."""
        return min(1.0, step / (0.2 * self.steps))


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


def up_to_stage(network: Any, images: Tensor, stage: int) -> Tensor:
    """The original network's features (B, C, h, w) behind a stage."""
    features: Tensor = network.bn1(network.conv_stem(images))
    for block in network.blocks[: stage + 1]:
        features = block(features)
    return features


def behind_stage(network: Any, features: Tensor, stage: int) -> Tensor:
    """Logits (B, K) from the features behind a stage, its own gate not included."""
    for following in network.blocks[stage + 1 :]:
        features = following(features)
    logits: Tensor = network.forward_head(network.bn2(network.conv_head(features)))
    return logits


def train(
    gated: Any,
    original: Any,
    cache: ImageCache,
    recipe: InsertRecipe,
    *,
    device: torch.device,
    workers: int,
    out: Path,
) -> None:
    """Train the gates; everything else stays as it is. Write a log to `out`."""
    first = min(recipe.stages)
    watch = GateWatch(gated)
    gated.eval().requires_grad_(False)
    cbams = [module for module in gated.modules() if isinstance(module, CbamModule)]
    for cbam in cbams:
        cbam.train().requires_grad_(True)
    parameters = [parameter for cbam in cbams for parameter in cbam.parameters()]
    optimizer = AdamW(parameters, lr=recipe.lr, weight_decay=0.0, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=recipe.steps, pct_start=0.1
    )
    batches = Batches(cache, recipe, None, recipe.soft_weight)
    started = time.monotonic()
    made = in_order(batches.batch, range(recipe.steps), workers)
    for step, batch in enumerate(tqdm(made, total=recipe.steps, desc="gates", disable=None)):
        with torch.autocast(device.type, torch.bfloat16):
            with torch.no_grad():  # both networks are the same up to the first gate
                features = up_to_stage(original, prepare_images(batch.images, device), first)
                wanted = behind_stage(original, features, first)
            logits = behind_stage(gated, gated.blocks[first].cbam(features), first)
        kl = divergence(logits, wanted, recipe.temperature)
        penalty = recipe.open_spatial * watch.openness() + recipe.gate_decay * watch.mean_square()
        optimizer.zero_grad(set_to_none=True)
        (kl + recipe.penalty_at(step) * penalty).backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0 or step == recipe.steps - 1:
            record = {
                "images": (step + 1) * recipe.batch,
                "side": recipe.side_at(step),
                "kl": round(kl.item(), 4),
                **watch.describe(),
                "seconds": round(time.monotonic() - started),
            }
            with (out / "log.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")


@torch.inference_mode()
def agreement(
    original: Any, gated: Any, cache: ImageCache, side: int, device: torch.device
) -> dict[str, float]:
    """Share of validation images on which both networks agree, and the mean KL divergence."""
    same, total = 0, 0.0
    for start in range(0, len(cache), 44):
        index = range(start, min(start + 44, len(cache)))
        images = torch.from_numpy(np.stack([central_square(cache.image(i), side) for i in index]))
        with torch.autocast(device.type, torch.bfloat16):
            ready = prepare_images(images, device)
            one, other = original(ready).float(), gated(ready).float()
        same += int((one.argmax(1) == other.argmax(1)).sum())
        total += float(divergence(other, one, 1.0)) * len(index)
    return {"side": side, "agreement": same / len(cache), "divergence": total / len(cache)}


def metadata(recipe: InsertRecipe, classes: list[str]) -> dict[str, Any]:
    """Metadata by which the app rebuilds the network."""
    return {
        "schema": 1,
        "title": f"{recipe.architecture} with CBAM",
        "description": "Pretrained, with CBAM put in and trained.",
        "architecture": recipe.architecture,
        "attention": None,
        "arguments": {},
        "inserted_cbam": {"at": [f"blocks.{stage}" for stage in recipe.stages]},
        "num_classes": len(classes),
        "classes": classes,
        "pretrained_cfg": {
            "input_size": [3, 224, 224],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "crop_pct": 0.875,
            "interpolation": "bicubic",
            # With one size only, gates and answers fail at others.
            "fixed_input_size": len(set(recipe.sides)) == 1,
        },
        "recipe": asdict(recipe),
        "code_version": "0.1.0",
        "default": False,
        "compare_with": None,
    }


def imagenet_classes() -> list[str]:
    """The 1000 class names, from timm."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return [info.index_to_description(i) for i in range(1000)]


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = InsertRecipe()
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--short-side", type=int, default=160)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    whole = ("images", "batch", "views", "seed")
    broken = ("lr", "open_spatial", "gate_decay", "temperature", "soft_weight")
    for name in ("stages", "sides"):
        parser.add_argument(f"--{name}", type=int, nargs="+", default=getattr(defaults, name))
    for kind, names in ((int, whole), (float, broken)):
        for name in names:
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=kind, default=getattr(defaults, name))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--loader-workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    recipe = InsertRecipe(
        stages=tuple(options.stages),
        sides=tuple(options.sides),
        **{name: getattr(options, name) for name in (*whole, *broken)},
    )
    options.out.mkdir(parents=True, exist_ok=True)
    device = pick_device(options.device)
    try:
        cache, val = open_data(options.data, options.cache, options.short_side)
        torch.manual_seed(recipe.seed)
        original = load_teacher(recipe.architecture, options.weights)
        gated = copy.deepcopy(original)
        insert_gates(gated, recipe.stages)
        original.to(device, memory_format=torch.channels_last)
        gated.to(device, memory_format=torch.channels_last)
        train(
            gated, original, cache, recipe,
            device=device, workers=options.loader_workers, out=options.out,
        )  # fmt: skip
    except CbamVizError as error:
        raise SystemExit(f"error: {error}") from error
    gated.eval()
    export(gated, metadata(recipe, imagenet_classes()), options.out / "last.safetensors")
    for side in sorted({224, max(recipe.sides)}):
        print(json.dumps(agreement(original, gated, val, side, device)), flush=True)


if __name__ == "__main__":
    main()
