"""Train a network with CBAM on a folder of class directories.

python -m training.run.train DATA --out RUN
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from cbam_viz.errors import CbamVizError
from cbam_viz.runs import log_gates
from cbam_viz.runs.reading import INSIDE
from training.data.cache import ImageCache, open_data
from training.data.loading import in_order, workers_for
from training.data.teacher import TeacherTargets, central_square, open_targets
from training.data.tensors import pick_device, prepare_images
from training.errors import TrainingError
from training.run.batches import Batch, Batches
from training.run.checkpoint import (
    RunState,
    check_resumable,
    describe,
    export,
    load_state,
    save_state,
)
from training.run.gates import GateWatch
from training.run.losses import student_loss
from training.run.model import Student, create_network, soften_gates
from training.run.optimizer import averaging_share, make_optimizers, set_rate, update_average
from training.run.recipe import Recipe, add_options, given, parse_phases

SHOWN_AT = 224
"""Pixels at which the app shows a network by default."""


LOOK_EVERY = 10
"""Steps between two looks at the loss."""

MOST_PROBES = 4
"""Photos on which the gates are logged at each evaluation: the first one of each class."""


def evaluation_side(side: int) -> int:
    """Pixels at which a network that is being trained at `side` is tested.

    Random crops enlarge what they show, so a network does best somewhat above its training
    resolution (Touvron et al., "Fixing the train-test resolution discrepancy", NeurIPS 2019).
    """
    return SHOWN_AT if side >= 144 else round(side * 1.25 / 32) * 32


@torch.inference_mode()
def top1(
    network: nn.Module, cache: ImageCache, side: int, device: torch.device, batch: int = 88
) -> float:
    """Share of images, in 0..1, that the network gets right from their central square."""
    was_training = network.training
    network.eval()
    right = 0
    for start in range(0, len(cache), batch):
        index = range(start, min(start + batch, len(cache)))
        images = np.stack([central_square(cache.image(i), side) for i in index])
        with torch.autocast(device.type, torch.bfloat16):
            logits = network(prepare_images(torch.from_numpy(images), device))
        labels = torch.from_numpy(cache.labels[index.start : index.stop])
        right += int((logits.argmax(1).cpu() == labels).sum())
    network.train(was_training)
    return right / len(cache)


def probe_pictures(val: ImageCache, side: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Central squares (N, side, side, 3) of the first photo of each class, and the classes."""
    first = [int(np.argmax(val.labels == label)) for label in np.unique(val.labels)][:MOST_PROBES]
    pictures = np.stack([central_square(val.image(i), side) for i in first])
    return pictures, [val.classes[int(val.labels[i])] for i in first]


class Run:
    """One training run: its networks, optimizers and files in the folder `out`."""

    def __init__(
        self,
        recipe: Recipe,
        train: ImageCache,
        val: ImageCache,
        *,
        targets: TeacherTargets | None,
        out: Path,
        device: torch.device,
    ) -> None:
        self.recipe, self.val, self.out, self.device = recipe, val, out, device
        self.classes = list(train.classes)
        torch.manual_seed(recipe.seed)
        network = create_network(
            recipe.architecture, recipe.attention, len(self.classes), recipe.arguments
        )
        soften_gates(network)
        student = Student(network, targets.own.shape[2] if targets else None)
        student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = student.to(device).train()
        self.average = copy.deepcopy(self.model).eval()
        self.optimizers = make_optimizers(self.model, recipe)
        self.batches = Batches(train, recipe, targets)
        self.shown_at = evaluation_side(recipe.phases[-1].side)
        self.step, self.best = 0, 0.0
        out.mkdir(parents=True, exist_ok=True)
        if (out / "state.pt").exists():
            self._resume()
        self.gates = GateWatch(self.model)  # until the end of `train`
        self.probes = probe_pictures(val, self.shown_at)

    def _resume(self) -> None:
        state = load_state(self.out / "state.pt")
        check_resumable(state.recipe, self.recipe, state.step)
        self.model.load_state_dict(state.model)
        self.average.load_state_dict(state.average)
        for optimizer, stored in zip(self.optimizers, state.optimizers, strict=True):
            optimizer.load_state_dict(stored)
        self.step, self.best = state.step, state.best
        print(f"resumed at {self.step * self.recipe.batch} images", flush=True)

    def save(self) -> None:
        """Write the state from which the run can go on."""
        state = RunState(
            self.step,
            self.recipe.to_json(),
            self.model.state_dict(),
            self.average.state_dict(),
            [optimizer.state_dict() for optimizer in self.optimizers],
            self.best,
        )
        save_state(state, self.out / "state.pt")

    def evaluate(self, loss: float) -> float:
        """Log the averaged network's accuracy, and keep the network if it is the best so far."""
        side = self.recipe.side_at(self.step)
        tested_at = evaluation_side(side)
        accuracy = top1(self.average.network, self.val, tested_at, self.device)
        record = {
            "images": self.step * self.recipe.batch,
            "side": side,
            "tested_at": tested_at,
            "loss": round(loss, 4),
            "top1": round(accuracy, 4),
            "time": time.strftime("%H:%M:%S"),
        }
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)
        if accuracy >= self.best and tested_at == self.shown_at:
            self.best = accuracy
            self.export("best", accuracy)
        return accuracy

    def export(self, name: str, accuracy: float) -> None:
        """Write the averaged network as `NAME.safetensors`, ready for the app."""
        measured = {"top1": accuracy, "split": "val", "images": len(self.val)}
        texts: dict[str, Any] = {
            "title": f"{self.recipe.architecture} trained on {len(self.classes)} classes",
            "description": "Trained with python -m training.run.train.",
            "pretrained_cfg": {
                "input_size": [3, self.shown_at, self.shown_at],
                "mean": [0.5, 0.5, 0.5],
                "std": [0.5, 0.5, 0.5],
                "crop_pct": 1.0,
                "interpolation": "bicubic",
                # It met squares of a few sizes; on others, gates of late layers close or open.
                "fixed_input_size": True,
            },
            "training_data": "a folder of class directories",
            "license": "unknown",
            "default": False,
            "compare_with": None,
        }
        metadata = describe(self.recipe, self.classes, measured, **texts)
        export(self.average.network, metadata, self.out / f"{name}.safetensors")

    def log_gates(self) -> None:
        """Write what the averaged network's gates are on the probe photos to `gates/`."""
        if self.recipe.attention is None:
            return
        pictures, names = self.probes
        inputs = prepare_images(torch.from_numpy(pictures), self.device)
        log_gates(
            self.average.network,
            self.step,
            inputs,
            self.out / INSIDE,
            pictures=list(pictures),
            names=names,
            unit="step",
        )

    def train_step(self, step: int, batch: Batch) -> torch.Tensor:
        """One update of the weights; returns the loss, a scalar."""
        rate = self.recipe.rate_at(step)
        set_rate(self.optimizers, rate)
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits, imitation = self.model(prepare_images(batch.images, self.device))
        loss = student_loss(logits, imitation, batch, self.recipe)
        if (weight := self.recipe.gate_decay_at(step)) > 0:
            loss = loss + weight * self.gates.mean_square()
        if (weight := self.recipe.open_spatial_at(step)) > 0:
            loss = loss + weight * self.gates.openness()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()
        update_average(self.average, self.model, averaging_share(self.recipe.ema, step, rate))
        return loss.detach()

    def train(self, save_every: float, evaluate_every: int, workers: int, stop: int) -> float:
        """Train to step `stop`, saving every `save_every` seconds; returns the last accuracy.

        Raises:
            TrainingError: the loss is no longer a number.
        """
        saved, accuracy = time.monotonic(), 0.0
        losses: list[torch.Tensor] = []  # on the device: reading each would wait for it
        bar = tqdm(total=stop, initial=self.step, desc="train", unit="step", disable=None)
        with contextlib.closing(self.gates):
            if self.step == 0:
                self.log_gates()
            for batch in in_order(self.batches.batch, range(self.step, stop), workers):
                losses.append(self.train_step(self.step, batch))
                self.step += 1
                bar.update()
                at_end = self.step == stop
                if self.step % LOOK_EVERY == 0 or at_end:
                    bar.set_postfix(loss=f"{self.mean_loss(losses):.3f}", best=f"{self.best:.1%}")
                if self.step % max(1, evaluate_every // self.recipe.batch) == 0 or at_end:
                    accuracy = self.evaluate(self.mean_loss(losses))
                    self.log_gates()
                    losses.clear()
                if time.monotonic() - saved > save_every:
                    self.mean_loss(losses)  # never save what is no longer a number
                    self.save()
                    saved = time.monotonic()
        bar.close()
        self.save()
        return accuracy

    def mean_loss(self, losses: list[torch.Tensor]) -> float:
        """The mean of losses, 0 of none.

        Raises:
            TrainingError: it is no number.
        """
        mean = float(torch.stack(losses).mean()) if losses else 0.0
        if not np.isfinite(mean):
            raise TrainingError(
                f"The loss became {mean} before step {self.step}. Lower --lr and --muon-lr."
            )
        return mean


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.run.train",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("data", type=Path, help="folder with train/CLASS/* and val/CLASS/*")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run; the same command resumes there"
    )
    parser.add_argument("--cache", type=Path, help="decoded images; if not given, OUT/cache")
    parser.add_argument("--short-side", type=int, default=160, help="reduce larger images to this")
    parser.add_argument("--targets", type=Path, help="what training.data.teacher wrote")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of torch")
    parser.add_argument(
        "--loader-workers", type=int, help="processes that make batches; by default some for a GPU"
    )
    parser.add_argument("--save-every", type=float, default=180, help="seconds")
    parser.add_argument("--evaluate-every", type=int, default=30_000, help="images")
    recipe = parser.add_argument_group("recipe", "what decides the outcome")
    recipe.add_argument("--arguments", default="{}", help="JSON: more timm.create_model arguments")
    recipe.add_argument("--attention", choices=["cbam", "none"], default="cbam", help="in blocks")
    recipe.add_argument("--phases", default="128:500000", help="SIDE:IMAGES,... in pixels")
    recipe.add_argument(
        "--optimizer", choices=["muon", "adamw"], default=Recipe.optimizer, help="for convolutions"
    )
    recipe.add_argument(
        "--scale", type=float, nargs=2, default=Recipe.scale, metavar=("MIN", "MAX"),
        help="share of an image that a crop covers",
    )  # fmt: skip
    add_options(recipe, Recipe)
    return parser


def recipe_from(options: argparse.Namespace) -> Recipe:
    """The recipe that the command line asks for.

    Raises:
        TrainingError: an option cannot be understood.
    """
    try:
        arguments = json.loads(options.arguments)
    except ValueError as error:
        raise TrainingError(f"--arguments is no JSON object: {error}") from error
    return Recipe(
        arguments=arguments,
        attention=None if options.attention == "none" else options.attention,
        phases=parse_phases(options.phases),
        scale=tuple(options.scale),
        optimizer=options.optimizer,
        **given(options, Recipe),
    )


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        recipe = recipe_from(options)
        train, val = open_data(
            options.data, options.cache or options.out / "cache", options.short_side
        )
        targets = open_targets(options.targets, len(train)) if options.targets else None
        device = pick_device(options.device)
        run = Run(recipe, train, val, targets=targets, out=options.out, device=device)
        size = sum(p.numel() for p in run.model.network.parameters())
        print(f"{size / 1e6:.2f} M parameters, {recipe.steps} steps of {recipe.batch}", flush=True)
        workers = workers_for(device, options.loader_workers)
        last = run.train(options.save_every, options.evaluate_every, workers, recipe.steps)
        run.export("last", last)
    except CbamVizError as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        with contextlib.suppress(NameError):
            run.save()
        sys.exit("stopped; the same command resumes")


if __name__ == "__main__":
    main()
