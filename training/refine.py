"""A last phase for a trained pair: every view of the app, and maps that are asked where the object is.

python -m training.refine CHECKPOINT DATA --out RUN

The network learns from labels and from a guide (`training.guide`) on crops, bordered photos,
rectangles and sharp pictures; statistics of BatchNorm stay what they were. If it has CBAM, the
spatial maps of its later layers are asked to be open where the guide finds its evidence, and closed
elsewhere: outside the boxes where there are boxes, and on borders.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cbam_viz.errors import TrainingError

from .batches import Batch
from .cache import ImageCache, open_data
from .checkpoint import export, read_metadata
from .evaluate import load_checkpoint
from .framing import Frame, Framing, Source, cover
from .gates import GateWatch
from .guide import Evidence, Guide, load_guide
from .losses import divergence
from .model import prepare_images

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Refinement:
    """What decides the outcome."""

    images: int = 60_000
    batch: int = 32
    rate: float = 2e-4
    gate_rate: float = 2e-3
    weight_decay: float = 0.02
    label_weight: float = 0.5
    guide_weight: float = 1.0
    map_weight: float = 0.8
    map_layers: tuple[float, ...] = (0, 0, 0, 0, 0.3, 0.8, 1.0, 1.5)
    """How much each layer's map is asked, in order; the last layers are 16 and 32 px a cell."""
    gate_decay: float = 0.005
    frozen: tuple[str, ...] = ("conv1", "bn1", "layer1")
    seed: int = 0
    held_out: int = 14
    """Every so many photos with a box are kept from training, to look at the maps."""

    @property
    def steps(self) -> int:
        """Updates of the weights."""
        return self.images // self.batch

    def rate_at(self, step: int) -> float:
        """Share of the full learning rate: a short warm-up, then half a cosine to nothing."""
        if step < 100:
            return (step + 1) / 100
        return 0.5 * (1 + math.cos(math.pi * (step - 100) / max(1, self.steps - 100)))


def boxes_of(cache: ImageCache, file: Path, split: str) -> dict[int, np.ndarray[Any, Any]]:
    """The boxes of `boxes.json`, by index."""
    known = json.loads(file.read_text(encoding="utf-8"))
    return {
        index: np.asarray(known[f"{split}/{key}"], float)
        for index, key in enumerate(cache.keys)
        if known.get(f"{split}/{key}")
    }


def without(cache: ImageCache, left_out: set[int]) -> tuple[ImageCache, dict[int, int]]:
    """A cache less some photos, and the new index of each old one."""
    keep = np.array([i for i in range(len(cache)) if i not in left_out])
    smaller = ImageCache(
        cache.pixels, cache.offsets[keep], cache.heights[keep], cache.widths[keep],
        cache.labels[keep], tuple(cache.keys[i] for i in keep), cache.classes,
    )  # fmt: skip
    return smaller, {int(old): new for new, old in enumerate(keep)}


def look(guide: Guide, images: Tensor) -> Evidence:
    """The guide's evidence at the cells of a ResNet.

    The guide pads its strided convolutions at the far side only, so that the middle of its cell `i`
    is at 31.5 + 32 i; moving the picture by 31 pixels puts it at 0.5 + 32 i, where a ResNet's is.
    """
    moved = F.pad(images, (31, 1, 31, 1), mode="reflect")
    return guide(moved.contiguous(memory_format=torch.channels_last))


def targets(
    heat: Tensor, frames: list[Frame], cells: tuple[int, int], stride: int
) -> Tensor:
    """What a layer's map is asked to be, (B, h, w) in 0..1."""
    size = frames[0].image.shape[:2]
    if stride != 32:
        index = torch.arange(cells[0]) * stride / 32, torch.arange(cells[1]) * stride / 32
        y = 2 * index[0] / max(1, heat.shape[1] - 1) - 1
        x = 2 * index[1] / max(1, heat.shape[2] - 1) - 1
        grid = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), -1)
        heat = F.grid_sample(
            heat[:, None], grid.expand(len(heat), -1, -1, -1), align_corners=True,
            padding_mode="border",
        )[:, 0]  # fmt: skip
    heat = heat[:, : cells[0], : cells[1]]
    rows = []
    for one, frame in zip(heat, frames, strict=True):
        photo = cover(np.array([frame.photo]), size, cells, stride)
        asked = one * photo
        asked = ((asked / asked.max().clamp(min=1e-6) - 0.15) / 0.6).clamp(0, 1)
        if frame.boxes is not None:
            box = cover(frame.boxes, size, cells, stride)
            asked = box * (0.35 + 0.65 * asked)
        rows.append(asked * photo)
    return torch.stack(rows)


class Refining:
    """A run: its network, its average and its files."""

    def __init__(
        self, source: Path, recipe: Refinement, framing: Framing, guide: Guide, out: Path
    ) -> None:
        self.recipe, self.framing, self.guide, self.out = recipe, framing, guide, out
        loaded = load_checkpoint(source)
        self.metadata = read_metadata(source)
        self.model: Any = loaded.network.float().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).eval()
        self.gates = GateWatch(self.model)
        self.model.eval()  # BatchNorm keeps its statistics
        frozen = [p for name in recipe.frozen for p in self.model.get_submodule(name).parameters()]
        for parameter in frozen:
            parameter.requires_grad_(False)
        named = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        gate = [p for n, p in named if ".se." in n]
        plain = [p for n, p in named if ".se." not in n and p.ndim < 2]
        heavy = [p for n, p in named if ".se." not in n and p.ndim >= 2]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": heavy, "lr": recipe.rate, "weight_decay": recipe.weight_decay},
                {"params": plain, "lr": recipe.rate, "weight_decay": 0.0},
                {"params": gate, "lr": recipe.gate_rate, "weight_decay": 0.0},
            ]
        )
        self.full = [group["lr"] for group in self.optimizer.param_groups]
        self.step = 0
        out.mkdir(parents=True, exist_ok=True)
        if (out / "state.pt").exists():
            state = torch.load(out / "state.pt", weights_only=True)
            if state["recipe"] != json.dumps(asdict(recipe)):
                raise TrainingError(f"{out} holds a run of another recipe; give another --out.")
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
            print(f"resumed at step {self.step}", flush=True)

    def save(self) -> None:
        """The state from which the run can go on."""
        part = self.out / "state.part"
        torch.save(
            {
                "recipe": json.dumps(asdict(self.recipe)),
                "step": self.step,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            part,
        )
        part.replace(self.out / "state.pt")
        export(self.average, self.metadata, self.out / "last.safetensors")

    def update(self) -> dict[str, float]:
        """One step; what it cost."""
        recipe = self.recipe
        frames = self.framing.frames(self.step)
        images = prepare_images(torch.from_numpy(np.stack([f.image for f in frames])), CPU)
        labels = torch.tensor([frame.label for frame in frames])
        seen = look(self.guide, images)
        rate = recipe.rate_at(self.step)
        for group, full in zip(self.optimizer.param_groups, self.full, strict=True):
            group["lr"] = full * rate
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(images)
        costs = {"guide": divergence(logits, seen.logits, 1.0) * recipe.guide_weight}
        if (labels >= 0).any():
            label = F.cross_entropy(logits.float(), labels, ignore_index=-1, label_smoothing=0.1)
            costs["label"] = label * recipe.label_weight
        if self.gates.spatial:
            costs["maps"] = recipe.map_weight * self._maps(frames, seen, labels)
            costs["decay"] = recipe.gate_decay * self.gates.mean_square()
        loss = torch.stack(list(costs.values())).sum()
        if not torch.isfinite(loss):
            raise TrainingError(f"The loss became {loss.item()} at step {self.step}.")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        share = max(0.002, 1 / (self.step + 1))
        with torch.no_grad():
            for mine, theirs in zip(
                self.average.state_dict().values(), self.model.state_dict().values(), strict=True
            ):
                if mine.is_floating_point():
                    mine.lerp_(theirs, share)
        return {name: value.item() for name, value in costs.items()}

    def _maps(self, frames: list[Frame], seen: Evidence, labels: Tensor) -> Tensor:
        heat = self.guide.heat(seen, labels)
        total = torch.zeros(())
        for index, weight in enumerate(self.recipe.map_layers):
            if weight:
                map_ = self.gates.spatial[index][:, 0].float()
                stride = 2 ** round(math.log2(frames[0].image.shape[0] / map_.shape[1]))
                asked = targets(heat, frames, (map_.shape[1], map_.shape[2]), stride)
                cost = F.binary_cross_entropy(map_.clamp(1e-4, 1 - 1e-4), asked)
                total = total + weight * cost
        return total / sum(self.recipe.map_layers)


def main() -> None:
    """Command line; the same command resumes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path, help="folder with train/, val/ and boxes.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--sharp", type=Path, help="folder with train/CLASS/*: sharp photos, unlabelled")
    parser.add_argument("--sharp-share", type=float, default=0.2)
    parser.add_argument("--guide", type=Path, required=True, help="the guide's weights")
    parser.add_argument("--probe", type=Path, required=True, help="what training.guide wrote")
    parser.add_argument("--images", type=int, default=Refinement.images)
    parser.add_argument("--map-weight", type=float, default=Refinement.map_weight)
    parser.add_argument("--rate", type=float, default=Refinement.rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=float, default=180, help="seconds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Refinement(
        images=options.images, map_weight=options.map_weight, rate=options.rate, seed=options.seed
    )
    try:
        train, _ = open_data(options.data, options.cache, 160)
        boxes = boxes_of(train, options.data / "boxes.json", "train")
        kept, moved = without(train, set(list(boxes)[:: recipe.held_out]))
        sources = [Source(kept, True, {moved[i]: b for i, b in boxes.items() if i in moved})]
        shares = [1.0]
        if options.sharp:
            sources.append(Source(open_data(options.sharp, options.cache, 288)[0], False))
            shares = [1 - options.sharp_share, options.sharp_share]
        framing = Framing(sources, shares, recipe.batch, recipe.seed)
        guide = load_guide(options.guide, options.probe)
        run = Refining(options.checkpoint, recipe, framing, guide, options.out)
        saved, began, costs = time.monotonic(), time.monotonic(), []
        while run.step < recipe.steps:
            costs.append(run.update())
            if run.step % 50 == 0:
                names = {name for one in costs for name in one}
                mean = {n: round(float(np.mean([c[n] for c in costs if n in c])), 4) for n in sorted(names)}
                per_second = len(costs) * recipe.batch / (time.monotonic() - began)
                print(json.dumps({"step": run.step, **mean, "img/s": round(per_second, 1)}), flush=True)
                began, costs = time.monotonic(), []
            if time.monotonic() - saved > options.save_every:
                run.save()
                saved = time.monotonic()
        run.save()
    except TrainingError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
