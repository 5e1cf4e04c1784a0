"""Which images a folder of class directories holds, and what keeps it from being trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cbam_viz._suffixes import PICTURES
from training.errors import TrainingError


@dataclass(frozen=True)
class Listing:
    """Images of one split: files, the class index of each (same order), and the class names."""

    root: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def keys(self) -> list[str]:
        """Each file's path below `root`, with forward slashes."""
        return [file.relative_to(self.root).as_posix() for file in self.files]


def list_split(root: Path) -> Listing:
    """List `root/CLASS/**/image`, classes in sorted order.

    Raises:
        TrainingError: `root` is no folder, holds fewer than two classes, or a class is empty.
    """
    if not root.is_dir():
        raise TrainingError(f"{root} is not a folder. Give the folder that holds train/ and val/.")
    directories = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(directories) < 2:
        raise TrainingError(
            f"{root} holds {len(directories)} class folder(s); training needs at least two: "
            "one folder a class, the images inside."
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, directory in enumerate(directories):
        found = sorted(p for p in directory.rglob("*") if p.suffix.lower() in PICTURES)
        if not found:
            raise TrainingError(
                f"The class folder {directory} holds no image "
                f"({', '.join(sorted(PICTURES))}). Add images or remove the folder."
            )
        files += found
        labels += [label] * len(found)
    names = tuple(directory.name for directory in directories)
    return Listing(root, tuple(files), tuple(labels), names)


def list_photos(root: Path) -> Listing:
    """List all images below `root`, in whatever folders, as photos of one class without a name.

    Raises:
        TrainingError: `root` is no folder, or holds no image.
    """
    if not root.is_dir():
        raise TrainingError(f"{root} is not a folder. Give a folder of photos.")
    files = tuple(sorted(p for p in root.rglob("*") if p.suffix.lower() in PICTURES))
    if not files:
        raise TrainingError(f"The folder {root} holds no image ({', '.join(sorted(PICTURES))}).")
    return Listing(root, files, (0,) * len(files), ("",))


def list_data(data: Path) -> tuple[Listing, Listing]:
    """List `data/train` and `data/val`, which must name the same classes.

    Raises:
        TrainingError: a split is missing or unusable, or their classes differ.
    """
    if not data.is_dir():
        raise TrainingError(f"{data} is not a folder. Give the folder that holds train/ and val/.")
    for split in ("train", "val"):
        if not (data / split).is_dir():
            raise TrainingError(
                f"{data} has no {split}/ folder. Expected {data}/train/CLASS/*.jpg and "
                f"{data}/val/CLASS/*.jpg."
            )
    train, val = list_split(data / "train"), list_split(data / "val")
    if train.classes != val.classes:
        odd = sorted(set(train.classes) ^ set(val.classes))
        raise TrainingError(f"train/ and val/ must hold the same classes; only one has: {odd}.")
    return train, val
