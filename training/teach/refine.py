"""A last phase for a trained network: every view of the app, and maps open on the object.

python -m training.teach.refine CHECKPOINT DATA --out RUN --guide FILE [--probe FILE]

The network learns from labels and from a guide (`training.teach.guide`) on crops, bordered photos,
rectangles and sharp pictures (`training.data.framing`); statistics of BatchNorm stay what they
were. If it has CBAM, the spatial maps of its later layers are asked to be open where the guide
finds its evidence, and closed elsewhere: outside the boxes where there are boxes, and on borders. A
twin without CBAM gets the same lessons less that. Without a probe, the guide teaches its own
classes, and labels are not used.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.layers.cbam import CbamModule
from torch import Tensor

from cbam_viz.errors import CbamVizError
from cbam_viz.gates import capture
from training.data.cache import ImageCache, build_cache, open_data
from training.data.folder import list_photos
from training.data.framing import Boxes, Frame, Framing, Source, cover
from training.data.tensors import prepare_images
from training.errors import TrainingError
from training.measure.evaluate import load_checkpoint, read_boxes
from training.run.checkpoint import export, other_recipe, read_state, save_state
from training.run.gates import GateWatch
from training.run.losses import divergence
from training.run.optimizer import update_average
from training.run.recipe import add_options, given, option
from training.teach.guide import STRIDE, Evidence, Guide, load_guide, look

CPU = torch.device("cpu")
WARM_UP = 100
"""Steps at most over which the learning rate rises."""
LOG_EVERY = 50
"""Steps between two lines of the log."""


@dataclass(frozen=True)
class Refinement:
    """Everything that decides the outcome, besides the network, the photos and the guide."""

    images: int = option(60_000, "images to show in all")
    batch: int = option(32, "images a step")
    rate: float = option(2e-4, "peak learning rate of all but the gates")
    gate_rate: float = option(2e-3, "peak learning rate of the gates")
    weight_decay: float = option(0.02, "of filters and matrices outside the gates")
    label_weight: float = option(0.5, "weight of the labels")
    guide_weight: float = option(1.0, "weight of the guide's classes")
    map_weight: float = option(0.8, "weight of what the spatial maps are asked to be")
    map_layers: tuple[float, ...] = (0, 0, 0, 0, 0.3, 0.8, 1.0, 1.5)
    """How much each layer's map is asked, in order."""
    gate_decay: float = option(0.005, "weight of the mean squared input of the channel gates")
    frozen: tuple[str, ...] = ("conv1", "bn1", "layer1")
    """Parts of the network that stay what they are."""
    seed: int = option(0, "decides all random choices")
    held_out: int = option(14, "every so many photos with a box are kept from training")

    @property
    def steps(self) -> int:
        """Updates of the weights."""
        return self.images // self.batch

    def rate_at(self, step: int) -> float:
        """Share of the full learning rate: a short warm-up, then half a cosine to nothing."""
        rise = min(WARM_UP, self.steps // 2)
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise)))


@dataclass
class RefineState:
    """Everything a run needs to go on as if it had not stopped."""

    recipe: str
    step: int
    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]


def check_same(stored: str, recipe: Refinement) -> None:
    """Refuse to resume with another recipe.

    Raises:
        TrainingError: the recipe was changed.
    """
    old, new = json.loads(stored), json.loads(json.dumps(asdict(recipe)))
    if changed := sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)):
        raise other_recipe(changed)


def at_cells(heat: Tensor, cells: tuple[int, int], stride: float, start: float = 0.5) -> Tensor:
    """What the guide found (B, h, w), at the cells of a layer of another stride, (B, *cells).

    The guide's cell `i` is at `0.5 + 32 i` pixels, the layer's at `start + stride i`.
    """
    axes = [
        2 * (start - 0.5 + stride * torch.arange(count)) / STRIDE / max(1, known - 1) - 1
        for count, known in zip(cells, heat.shape[1:], strict=True)
    ]
    y, x = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([x, y], -1).expand(len(heat), -1, -1, -1)
    placed = F.grid_sample(heat[:, None], grid, padding_mode="border", align_corners=True)
    return placed[:, 0]


def targets(
    heat: Tensor, frames: list[Frame], cells: tuple[int, int], start: float = 0.5
) -> Tensor:
    """What a layer's map is asked to be, (B, *cells) in 0..1; `start` as in `at_cells`.

    1 where the guide finds three quarters of its strongest evidence or more, 0 where a quarter of
    that or less, and on borders. In a
    frame with boxes, 0 outside them, and at least 0.35 inside, as an object is more than what
    tells it from others.
    """
    height, width = frames[0].image.shape[:2]
    stride = height / cells[0]
    rows = []
    for found, frame in zip(at_cells(heat, cells, stride, start), frames, strict=True):
        photo = cover(np.array([frame.photo]), (height, width), cells, stride, start)
        on_photo = found * photo
        asked = ((on_photo / on_photo.max().clamp(min=1e-6) - 0.25) / 0.5).clamp(0, 1)
        if frame.boxes is not None:
            box = cover(frame.boxes, (height, width), cells, stride, start)
            asked = box * (0.35 + 0.65 * asked)
        rows.append(asked * photo)
    return torch.stack(rows)


def make_optimizer(model: Any, recipe: Refinement) -> torch.optim.AdamW:
    """AdamW for what is not frozen; gates learn at a rate of their own.

    Raises:
        TrainingError: the network lacks a part that is to be frozen.
    """
    for name in recipe.frozen:
        try:
            model.get_submodule(name).requires_grad_(False)
        except AttributeError as error:
            raise TrainingError(f"The network has no part {name} to freeze.") from error
    gates: list[Tensor] = []
    plain: list[Tensor] = []
    heavy: list[Tensor] = []
    cbams = [module for module in model.modules() if isinstance(module, CbamModule)]
    in_gates = {parameter for module in cbams for parameter in module.parameters()}
    for parameter in model.parameters():
        if parameter.requires_grad:
            plain_or_heavy = plain if parameter.ndim < 2 else heavy
            (gates if parameter in in_gates else plain_or_heavy).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": heavy, "lr": recipe.rate, "weight_decay": recipe.weight_decay},
            {"params": plain, "lr": recipe.rate, "weight_decay": 0.0},
            {"params": gates, "lr": recipe.gate_rate, "weight_decay": 0.0},
        ]
    )


def cell_starts(network: Any, input_size: list[int]) -> list[float]:
    """Where the first cell of each layer's map has its middle, in pixels, in order of execution.

    It is the same for all sizes that are multiples of 32.
    """
    if not any(isinstance(module, CbamModule) for module in network.modules()):
        return []
    with torch.inference_mode():
        layers = capture(network, torch.zeros(1, *input_size)).values()
    return [layer.cells.offset_y for layer in layers if layer.cells is not None]


class Refining:
    """One run: its network, the average of its weights, and its files in the folder `out`."""

    def __init__(
        self, source: Path, recipe: Refinement, framing: Framing, guide: Guide, out: Path
    ) -> None:
        """Begin with the checkpoint `source`, or go on from the state in `out`.

        Raises:
            TrainingError: a file cannot be read, or recipe, guide and network do not belong
                together.
        """
        self.recipe, self.framing, self.guide, self.out = recipe, framing, guide, out
        loaded = load_checkpoint(source)
        # What was measured of the source is not true of what comes out.
        self.metadata = {k: v for k, v in loaded.metadata.items() if k != "accuracy"}
        if guide.classes != (classes := self.metadata["num_classes"]):
            raise TrainingError(f"The guide knows {guide.classes} classes, the network {classes}.")
        # In eval mode, as statistics of BatchNorm stay.
        network: Any = loaded.network.float()
        self.model = network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model)
        self.optimizer = make_optimizer(self.model, recipe)
        # Beside the optimizer: groups that a stored state brings have no room for it.
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.step = 0
        out.mkdir(parents=True, exist_ok=True)
        if (out / "state.pt").exists():
            self._resume()
        self.starts = cell_starts(self.model, self.metadata["pretrained_cfg"]["input_size"])
        self.gates = GateWatch(self.model)
        if self.gates.layers not in (0, len(recipe.map_layers)):
            self.gates.close()
            raise TrainingError(
                f"The network has {self.gates.layers} layers with CBAM; --map-layers gives "
                f"{len(recipe.map_layers)} weights."
            )

    def _resume(self) -> None:
        state = read_state(self.out / "state.pt", RefineState)
        check_same(state.recipe, self.recipe)
        self.model.load_state_dict(state.model)
        self.average.load_state_dict(state.average)
        self.optimizer.load_state_dict(state.optimizer)
        self.step = state.step
        print(f"resumed at step {self.step}", flush=True)

    def save(self) -> None:
        """Write the state from which the run can go on, and the averaged network so far."""
        state = RefineState(
            json.dumps(asdict(self.recipe)),
            self.step,
            self.model.state_dict(),
            self.average.state_dict(),
            self.optimizer.state_dict(),
        )
        save_state(state, self.out / "state.pt")
        export(self.average, self.metadata, self.out / "last.safetensors")

    def update(self) -> dict[str, float]:
        """One update of the weights; returns each part of the loss.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        costs = self._costs(self.framing.frames(self.step))
        loss = torch.stack(list(costs.values())).sum()
        if not torch.isfinite(loss):
            raise TrainingError(f"The loss became {loss.item()} at step {self.step}. Lower --rate.")
        share = self.recipe.rate_at(self.step)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        # The mean of all steps at first, of about the last 500 later.
        update_average(self.average, self.model, max(0.002, 1 / (self.step + 1)))
        return {name: value.item() for name, value in costs.items()}

    def _costs(self, frames: list[Frame]) -> dict[str, Tensor]:
        """The weighted parts of the loss, by name; scalars."""
        recipe = self.recipe
        images = prepare_images(torch.from_numpy(np.stack([f.image for f in frames])), CPU)
        labels = torch.tensor([frame.label for frame in frames])
        seen = look(self.guide, images)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(images)
        costs = {"guide": recipe.guide_weight * divergence(logits, seen.logits, 1.0)}
        if (labels >= 0).any():
            label = F.cross_entropy(logits.float(), labels, ignore_index=-1, label_smoothing=0.1)
            costs["label"] = recipe.label_weight * label
        if self.gates.layers:
            costs["maps"] = recipe.map_weight * self._map_cost(frames, seen, labels)
            costs["decay"] = recipe.gate_decay * self.gates.mean_square()
        return costs

    def _map_cost(self, frames: list[Frame], seen: Evidence, labels: Tensor) -> Tensor:
        """How far the spatial maps are from what they are asked to be: a mean over layers."""
        heat = self.guide.heat(seen, labels)
        total = torch.zeros(())
        for index, weight in enumerate(self.recipe.map_layers):
            if weight:
                spatial = self.gates.spatial[index][:, 0].float().clamp(1e-4, 1 - 1e-4)
                cells = (spatial.shape[1], spatial.shape[2])
                asked = targets(heat, frames, cells, self.starts[index])
                total = total + weight * F.binary_cross_entropy(spatial, asked)
        return total / (sum(self.recipe.map_layers) or 1)

    def train(self, save_every: float) -> None:
        """Train to the end, saving every `save_every` seconds."""
        saved = began = time.monotonic()
        costs: list[dict[str, float]] = []
        with contextlib.closing(self.gates):
            while self.step < self.recipe.steps:
                costs.append(self.update())
                now = time.monotonic()
                if self.step % LOG_EVERY == 0:
                    speed = len(costs) * self.recipe.batch / (now - began)
                    record = {"step": self.step, **means(costs), "img/s": round(speed, 1)}
                    print(json.dumps(record), flush=True)
                    began, costs = now, []
                if now - saved > save_every:
                    self.save()
                    saved = now
        self.save()


def means(costs: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each part of the loss over the steps that have it."""
    names = sorted({name for one in costs for name in one})
    return {n: round(float(np.mean([one[n] for one in costs if n in one])), 4) for n in names}


def kept_from_training(data: Path, keys: Sequence[str], every: int) -> set[int]:
    """Which of the training photos `keys` are kept to measure maps on: some of those with a box."""
    known = read_boxes(data, "train")
    return set([index for index, key in enumerate(keys) if known.get(key)][::every])


def training_source(
    data: Path, cache: Path, short_side: int, recipe: Refinement, *, labelled: bool
) -> Source:
    """The training photos of a data folder, less those that the recipe holds out."""
    train, _ = open_data(data, cache, short_side)
    known = read_boxes(data, "train")
    boxes: dict[int, Boxes] = {
        index: np.asarray(known[key], float)
        for index, key in enumerate(train.keys)
        if known.get(key)
    }
    out = kept_from_training(data, train.keys, recipe.held_out)
    kept = [index for index in range(len(train)) if index not in out]
    return Source(
        train.only(np.asarray(kept)),
        labelled=labelled,
        boxes={new: boxes[old] for new, old in enumerate(kept) if old in boxes},
    )


def unlabelled_photos(folder: Path, cache: Path, short_side: int) -> ImageCache:
    """All photos below a folder, or below its `train/` if it has one."""
    root = folder / "train" if (folder / "train").is_dir() else folder
    return build_cache(list_photos(root), cache, short_side)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.teach.refine",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="what training.run.train exported")
    parser.add_argument("data", type=Path, help="folder with train/, val/ and boxes.json")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run; the same command resumes there"
    )
    parser.add_argument("--cache", type=Path, help="decoded images; if not given, OUT/cache")
    parser.add_argument("--short-side", type=int, default=160, help="reduce larger images to this")
    parser.add_argument("--guide", type=Path, required=True, help="the guide's weights")
    parser.add_argument("--probe", type=Path, help="what training.teach.guide wrote")
    parser.add_argument("--sharp", type=Path, help="folder of large photos; labels are not used")
    parser.add_argument("--sharp-side", type=int, default=288, help="reduce larger ones to this")
    parser.add_argument("--sharp-share", type=float, default=0.2, help="how often one is shown")
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of torch")
    parser.add_argument("--save-every", type=float, default=180, help="seconds")
    recipe = parser.add_argument_group("recipe", "what decides the outcome")
    recipe.add_argument(
        "--map-layers", type=float, nargs="+", default=Refinement.map_layers,
        help="how much each layer's map is asked",
    )  # fmt: skip
    recipe.add_argument(
        "--frozen", nargs="*", default=Refinement.frozen, help="parts that stay what they are"
    )
    add_options(recipe, Refinement)
    return parser


def open_run(options: argparse.Namespace) -> Refining:
    """The run that the command line asks for.

    Raises:
        TrainingError: a folder or file cannot be used.
    """
    recipe = Refinement(
        map_layers=tuple(options.map_layers),
        frozen=tuple(options.frozen),
        **given(options, Refinement),
    )
    cache = options.cache or options.out / "cache"
    labelled = options.probe is not None
    sources = [training_source(options.data, cache, options.short_side, recipe, labelled=labelled)]
    shares = [1.0]
    if options.sharp:
        photos = unlabelled_photos(options.sharp, cache, options.sharp_side)
        sources.append(Source(photos, labelled=False))
        shares = [1 - options.sharp_share, options.sharp_share]
    framing = Framing(sources, shares, recipe.batch, recipe.seed)
    guide = load_guide(options.guide, options.probe)
    return Refining(options.checkpoint, recipe, framing, guide, options.out)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        run = open_run(options)
        run.train(options.save_every)
    except CbamVizError as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        with contextlib.suppress(NameError):
            run.save()
        sys.exit("stopped; the same command resumes")


if __name__ == "__main__":
    main()
