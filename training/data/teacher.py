"""A teacher's answers for every view of the training images, computed once before training.

Any timm network with pretrained weights can teach. Its pooled features of each view give two
targets: the teacher's own class logits, and those of a linear probe that is fitted here to the
folder's classes. Both are kept as float16 memory maps of shape (images, views, classes).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from training.data.augment import crop_view, resize
from training.data.cache import ImageCache, open_data
from training.data.loading import in_order, workers_for
from training.data.tensors import pick_device
from training.errors import TrainingError


@dataclass(frozen=True)
class TeacherSettings:
    """What the targets depend on."""

    model: str
    views: int
    side: int
    scale: tuple[float, float]
    seed: int


@dataclass(frozen=True)
class TeacherTargets:
    """Logits of all views: the teacher's own (N, K, its classes) and the probe's (N, K, C)."""

    settings: TeacherSettings
    own: NDArray[np.float16]
    probe: NDArray[np.float16]


def load_teacher(name: str, weights: Path) -> Any:
    """A timm network in eval mode with the weights of a state-dict file.

    Key names of other ports of the same network may differ, so keys are matched by their order,
    and each shape must agree.

    Raises:
        TrainingError: the file does not fit the network.
    """
    try:
        model: nn.Module = timm.create_model(name)
        loaded = torch.load(weights, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, ValueError) as error:
        raise TrainingError(f"The teacher {name} cannot be loaded: {error}") from error
    own = model.state_dict()
    shapes = [tuple(value.shape) for value in own.values()]
    if shapes != [tuple(value.shape) for value in loaded.values()]:
        raise TrainingError(f"The weights {weights} do not fit the teacher {name}.")
    model.load_state_dict(dict(zip(own, loaded.values(), strict=True)))
    return model.eval()


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """RGB bytes (B, S, S, 3) to a normalised channels-last float tensor (B, 3, S, S)."""
    tensor = images.permute(0, 3, 1, 2).float()
    centre, spread = (tensor.new_tensor(value).view(3, 1, 1) for value in (mean, std))
    return (tensor / 255 - centre) / spread


class PooledFeatures:
    """Pooled features (B, D) of the teacher, on the CPU, for images (B, S, S, 3) of RGB bytes."""

    def __init__(self, model: Any, device: torch.device, compile_model: bool) -> None:
        self.config: dict[str, Any] = model.pretrained_cfg
        self.device = device
        model = model.to(device, memory_format=torch.channels_last)
        model.reset_classifier(0)
        self.run: Any = torch.compile(model) if compile_model else model

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        batch = normalise(images.to(self.device), self.config["mean"], self.config["std"])
        with torch.autocast(self.device.type, torch.bfloat16):
            features: Tensor = self.run(batch)
        return features.float().cpu()


class ViewBatches:
    """Batch `number` of all views, in order: images (B, S, S, 3), the last one filled up."""

    def __init__(self, cache: ImageCache, settings: TeacherSettings, batch: int) -> None:
        self.cache, self.settings, self.batch = cache, settings, batch
        self.count = len(cache) * settings.views

    def __len__(self) -> int:
        return (self.count - 1) // self.batch + 1

    def __call__(self, number: int) -> Tensor:
        views = []
        for position in range(number * self.batch, (number + 1) * self.batch):
            # One shape only, or a compiled teacher compiles again: the last view is repeated.
            index, view = divmod(min(position, self.count - 1), self.settings.views)
            seed = (self.settings.seed, index, view)
            image = self.cache.image(index)
            views.append(crop_view(image, seed, self.settings.scale, self.settings.side))
        return torch.from_numpy(np.stack(views))


def all_features(
    cache: ImageCache, network: PooledFeatures, settings: TeacherSettings, workers: int
) -> NDArray[np.float16]:
    """Pooled features (N, K, D) of every view."""
    made = ViewBatches(cache, settings, 64 if network.device.type == "cpu" else 512)
    batches = in_order(made, range(len(made)), workers)
    rows = [
        network(batch).half().numpy()
        for batch in tqdm(batches, total=len(made), desc="teacher", unit="batch")
    ]
    return np.concatenate(rows)[: made.count].reshape(len(cache), settings.views, -1)


def central_square(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The largest central square of (H, W, 3), resized to (side, side, 3)."""
    short = min(image.shape[:2])
    top, left = (image.shape[0] - short) // 2, (image.shape[1] - short) // 2
    return resize(np.ascontiguousarray(image[top : top + short, left : left + short]), side)


def fit_probe(
    features: Tensor, labels: Tensor, classes: int, epochs: int = 12, seed: int = 0
) -> nn.Linear:
    """A linear classifier of standardised features (N, D), balanced by 1/sqrt(class size).

    It is fitted on the device of the features, and returned on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.bincount(labels, minlength=classes).clamp(min=1).float().rsqrt()
    weight = weight / weight.mean()
    probe = nn.Linear(features.shape[1], classes, device=features.device)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=1e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        order = torch.randperm(len(labels), generator=generator).to(labels.device)
        for index in torch.split(order, 256):
            loss = F.cross_entropy(
                probe(features[index].float()), labels[index], weight, label_smoothing=0.05
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    return probe.cpu()


def compute_targets(
    train: ImageCache,
    val: ImageCache,
    *,
    weights: Path,
    settings: TeacherSettings,
    folder: Path,
    device: torch.device,
    workers: int = 0,
    compile_model: bool = True,
) -> float:
    """Write the targets to `folder`; returns the probe's accuracy on the validation images."""
    model = load_teacher(settings.model, weights)
    head: nn.Module = model.get_classifier()
    head_state = {key: value.clone() for key, value in head.state_dict().items()}
    network = PooledFeatures(model, device, compile_model)
    features = all_features(train, network, settings, workers)
    count, views, width = features.shape
    flat = torch.from_numpy(features.reshape(-1, width))
    mean, std = flat.float().mean(0), flat.float().std(0) + 1e-3
    flat = ((flat.float() - mean) / std).half()
    labels = torch.from_numpy(np.repeat(train.labels, views))
    probe = fit_probe(flat.to(device), labels.to(device), len(train.classes), seed=settings.seed)
    probe_logits = torch.cat([probe(part.float()).detach() for part in torch.split(flat, 4096)])
    own = torch.cat(
        [
            F.linear(
                torch.from_numpy(part).float(), head_state["weight"], head_state["bias"]
            ).half()
            for part in np.array_split(features.reshape(-1, width), 64)
        ]
    )
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "own.npy", own.numpy().reshape(count, views, -1))
    np.save(folder / "probe.npy", probe_logits.half().numpy().reshape(count, views, -1))
    right = 0
    for start in range(0, len(val), 64):
        index = range(start, min(start + 64, len(val)))
        images = [central_square(val.image(i), settings.side) for i in index]
        images += [images[-1]] * (64 - len(images))
        features_of = network(torch.from_numpy(np.stack(images)))
        logits = probe((features_of - mean) / std)[: len(index)]
        right += int((logits.argmax(1).numpy() == val.labels[index.start : index.stop]).sum())
    accuracy = right / len(val)
    text = json.dumps({**asdict(settings), "images": count, "probe_top1": accuracy}, indent=1)
    (folder / "settings.json").write_text(text, encoding="utf-8")
    return accuracy


def open_targets(folder: Path, images: int) -> TeacherTargets:
    """Memory-map targets made for `images` training images.

    Raises:
        TrainingError: there are none, or they were made for other data.
    """
    try:
        stored = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        own = np.load(folder / "own.npy", mmap_mode="r")
        probe = np.load(folder / "probe.npy", mmap_mode="r")
    except (OSError, ValueError) as error:
        raise TrainingError(f"{folder} holds no teacher targets: {error}") from error
    if stored["images"] != images:
        raise TrainingError(
            f"The targets in {folder} are for {stored['images']} images, the data has {images}: "
            "run training.data.teacher again."
        )
    settings = TeacherSettings(
        stored["model"],
        stored["views"],
        stored["side"],
        (stored["scale"][0], stored["scale"][1]),
        stored["seed"],
    )
    return TeacherTargets(settings, own, probe)


def main() -> None:
    """Command line: compute a teacher's targets for a data folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--short-side", type=int, default=160)
    parser.add_argument("--model", default="tf_efficientnet_lite0", help="any timm network")
    parser.add_argument("--weights", type=Path, required=True, help="its state dict")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--views", type=int, default=4, help="fixed random crops an image")
    parser.add_argument("--side", type=int, default=160, help="pixels of a view for the teacher")
    parser.add_argument("--scale", type=float, nargs=2, default=(0.25, 1.0), metavar=("MIN", "MAX"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--loader-workers", type=int, help="processes that make views; by default some for a GPU"
    )
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    settings = TeacherSettings(
        options.model, options.views, options.side, tuple(options.scale), options.seed
    )
    try:
        train, val = open_data(options.data, options.cache, options.short_side)
        accuracy = compute_targets(
            train,
            val,
            weights=options.weights,
            settings=settings,
            folder=options.out,
            device=device,
            workers=workers_for(device)
            if options.loader_workers is None
            else options.loader_workers,
            compile_model=not options.no_compile,
        )
    except TrainingError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"probe top-1 on the validation images: {accuracy:.1%}")


if __name__ == "__main__":
    main()
