"""The manifest beside a figure, from which the same figure can be made again.

It names everything that decides the bytes: specification, photos and networks with their SHA-256,
the view, the versions, and the SHA-256 of the files that came out. Photos and checkpoints stay
where they are; the manifest names them relative to its own folder.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cbam_viz._places import SAMPLE
from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.plain import from_plain
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.beside.tables import shown_values
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.evaluated import Evaluated, evaluated, read_table
from cbam_viz.figures.content.values import Shown
from cbam_viz.images import DEFAULT_VIEW, InputOptions, Photo, View, read_photo, samples
from cbam_viz.models import LoadedModel
from cbam_viz.models.loaded import weights_sha256

SCHEMA = 1
MAX_BYTES = 4 * 1024**2

_PACKAGES = ("torch", "timm", "numpy", "matplotlib", "pillow", "tueplots")


@dataclass(frozen=True)
class PhotoSource:
    """A photo that the figure shows."""

    file: str
    """Its path from the manifest's folder; `sample:NAME` for a photo of the project."""
    name: str
    sha256: str
    size: tuple[int, int]
    """Height and width in pixels."""
    window: tuple[float, float] | None = None
    """The values that were stated to be black and white."""
    index: int | None = None
    """Which slice of a volume."""


@dataclass(frozen=True)
class NetworkSource:
    """A network that the figure shows, and how it was opened."""

    name: str
    checkpoint: str | None = None
    """Path of the file, like a photo's; None: no checkpoint."""
    checkpoint_sha256: str | None = None
    weights_sha256: str | None = None
    """Of all tensors, where there is no checkpoint."""
    architecture: str | None = None
    attention: str | None = None
    """As asked for: `cbam`, `lcbam` or `none`; None: what the checkpoint says."""
    num_classes: int | None = None
    factory: str | None = None
    """`MODULE:FACTORY` of a network of one's own; never run because a manifest says so."""
    arguments: tuple[tuple[str, str], ...] = ()
    """Of that factory, as text."""
    allow_missing_attention: bool = False
    input: InputOptions | None = None
    """What of its input was asked for."""
    classes: tuple[str, ...] | None = None
    """Names of its classes, where they were stated."""


@dataclass(frozen=True)
class StoreSource:
    """A store of many photos that the figure is made from."""

    file: str
    """Path of its folder, like a photo's."""
    fingerprint: str
    """`Store.fingerprint`: of what it was made with, its photos and labels."""
    photos: int
    shown: tuple[str, ...] = ()
    """SHA-256 of its photos whose picture is in the figure."""


@dataclass(frozen=True)
class RunSource:
    """A training run that the figure shows, in place of photos and networks."""

    folder: str
    """Its path from the manifest's folder; `sample:NAME` for a run of the project."""
    numbers: tuple[int, ...]
    """Epochs, or steps, that are shown."""
    sha256: tuple[str, ...]
    """Of their files."""
    photos: int | None = None
    """How many of its probe photos, from the first on; None: all."""


@dataclass(frozen=True)
class FileMade:
    """A file that came out."""

    name: str
    """Without a folder: files lie beside the manifest."""
    sha256: str

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or any(mark in self.name for mark in "/\\\0"):
            raise FigureError(f"{self.name!r} in the manifest is no plain file name.")


@dataclass(frozen=True)
class Manifest:
    """Everything that decides a figure's bytes."""

    spec: FigureSpec
    photos: tuple[PhotoSource, ...]
    networks: tuple[NetworkSource, ...]
    view: View = DEFAULT_VIEW
    dpi: int = 300
    files: tuple[FileMade, ...] = ()
    run: RunSource | None = None
    """Of a figure of a training run, which names no photos and networks."""
    evaluation: FileMade | None = None
    """What was measured, of the layout that shows it; it has neither photos nor networks."""
    stores: tuple[StoreSource, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    """For readers: what is shown, on which scale, how the input was made, versions, command."""

    def to_json(self) -> str:
        """The text of the file; equal manifests give equal texts."""
        data = {"cbam_viz_figure": SCHEMA, **asdict(self)}
        data["spec"] = self.spec.to_dict()
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        # A file name may hold bytes that are no UTF-8; JSON can spell them, UTF-8 cannot.
        return text if _is_unicode(text) else json.dumps(data, indent=2) + "\n"

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions that it was made with."""
        versions: Mapping[str, str] = self.about.get("versions", {})
        return versions


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def photo_source(photo: Photo, path: Path | None, folder: Path) -> PhotoSource:
    """Name a photo for a manifest in `folder`; without a path it is looked for beside it."""
    own = {sample.path.resolve(): sample.name for sample in samples()}
    if path is None:
        file = photo.name
    elif path.resolve() in own:
        file = SAMPLE + own[path.resolve()]
    else:
        file = relative(path, folder)
    return PhotoSource(file, photo.name, photo.sha256, photo.size, photo.window, photo.index)


def network_source(
    loaded: LoadedModel, path: Path | None, folder: Path, **options: Any
) -> NetworkSource:
    """Name a network for a manifest in `folder`; `options` are those that opened it."""
    return NetworkSource(
        name=loaded.name,
        checkpoint=relative(path, folder) if path is not None else None,
        checkpoint_sha256=loaded.sha256,
        weights_sha256=None if loaded.sha256 else weights_sha256(loaded.model),
        **options,
    )


def relative(path: Path, folder: Path) -> str:
    """The path from `folder`, with forward slashes; absolute if there is no such way."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def make_manifest(
    figure: Composition,
    photos: Sequence[PhotoSource],
    networks: Sequence[NetworkSource],
    *,
    files: Mapping[str, bytes],
    dpi: int,
    loaded: Sequence[LoadedModel] = (),
    command: Sequence[str] = (),
    run: RunSource | None = None,
    evaluation: FileMade | None = None,
    stores: Sequence[StoreSource] = (),
) -> Manifest:
    """Describe a figure that has been rendered to `files`."""
    study = figure.study
    about = {
        "layers": list(figure.content.layers),
        "cells": _cells(shown_values(figure)),
        "made": _made(shown_values(figure)),
        "scale": _scale(figure),
        "inputs": [asdict(one.spec) for one in loaded],
        "fed": list(study.fed),
        "geometry": [asdict(row[0].geometry) for row in study.analyses],
        "border": study.border,
        "versions": versions(),
        "command": list(command),
    }
    return Manifest(
        spec=figure.spec,
        photos=tuple(photos),
        networks=tuple(networks),
        view=study.view,
        stores=tuple(stores),
        dpi=dpi,
        files=tuple(FileMade(name, sha256(data)) for name, data in files.items()),
        run=run,
        evaluation=evaluation,
        about=json.loads(json.dumps(about)),
    )


def versions() -> dict[str, str]:
    """Versions of what decides the bytes."""
    import cv2

    from cbam_viz import __version__

    return {
        "cbam_viz": __version__,
        "python": platform.python_version(),
        "opencv": str(cv2.__version__),
        **{package: importlib.metadata.version(package) for package in _PACKAGES},
    }


def read_manifest(source: Path | bytes) -> Manifest:
    """Read a manifest, every field checked.

    Raises:
        FigureError: if it cannot be read or is none.
    """
    name = "The manifest" if isinstance(source, bytes) else source.name
    try:
        data = source.read_bytes() if isinstance(source, Path) else source
    except OSError as error:
        raise FigureError(f"{name} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise FigureError(f"{name} is too large for a manifest.")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FigureError(f"{name} is no manifest: it is not JSON ({error}).") from error
    if not isinstance(document, dict) or "cbam_viz_figure" not in document:
        raise FigureError(f"{name} is no manifest of a cbam-viz figure.")
    if document.pop("cbam_viz_figure") != SCHEMA:
        raise FigureError(f"{name} was written by another version of cbam-viz; update cbam-viz.")
    return from_plain(Manifest, document, "the manifest")


def open_photo(source: PhotoSource, folder: Path) -> Photo:
    """Read a photo of a manifest that lies in `folder`.

    Raises:
        FigureError: if the file is gone, or is another one now.
        ImageError: if it cannot be read as a photo.
    """
    path = find_file(source.file, folder)
    if path is None:
        raise FigureError(
            f"The photo {source.file} is not there (looked in {folder}). Put it back, or beside "
            "the manifest."
        )
    photo = read_photo(path, name=source.name, window=source.window, index=source.index)
    if photo.sha256 != source.sha256:
        raise FigureError(
            f"The photo {path} has changed since the figure was made: its SHA-256 is "
            f"{photo.sha256[:12]}…, the manifest says {source.sha256[:12]}…. Put the old file "
            "back, or make a new figure."
        )
    return photo


def open_evaluation(source: FileMade, folder: Path) -> Evaluated:
    """Read what was measured, which lies beside the manifest in `folder`.

    Raises:
        FigureError: if the file is gone, is another one now, or is no evaluation.
    """
    path = folder / source.name
    data = read_table(path)
    if sha256(data) != source.sha256:
        raise FigureError(
            f"{path} has changed since the figure was made. Run cbam-viz evaluate again, which "
            "draws a new one."
        )
    return evaluated(data, source.name)


def check_network(source: NetworkSource, loaded: LoadedModel) -> None:
    """Raise FigureError unless it is the network of the manifest."""
    if source.checkpoint_sha256 is not None and loaded.sha256 != source.checkpoint_sha256:
        raise FigureError(
            f"The checkpoint of {source.name} has changed since the figure was made: its SHA-256 "
            f"is {(loaded.sha256 or 'none')[:12]}…, the manifest says "
            f"{source.checkpoint_sha256[:12]}…. Put the old file back, or make a new figure."
        )
    if source.weights_sha256 is not None and weights_sha256(loaded.model) != source.weights_sha256:
        raise FigureError(
            f"The network {source.name} came without a checkpoint, and its weights are others now. "
            "Save them in a checkpoint and make the figure from that."
        )


def find_file(file: str, folder: Path, *, folders: bool = False) -> Path | None:
    """Where a file of a manifest lies: as named, or by its name beside the manifest.

    With `folders` it may be one, as of a checkpoint in shards.
    """
    for sample in samples():
        if file == SAMPLE + sample.name:
            return sample.path
    for path in (folder / file, folder / Path(file).name):
        try:
            if path.is_file() or (folders and path.is_dir()):
                return path
        except OSError:  # a name longer than the file system's, a folder that may not be read
            continue
    return None


def differences(manifest: Manifest, files: Mapping[str, bytes]) -> list[str]:
    """Sentences on files that came out otherwise than the manifest says; empty: all the same."""
    made = {file.name: file.sha256 for file in manifest.files}
    changed = [name for name, data in files.items() if made.get(name, "") not in ("", sha256(data))]
    if not changed:
        return []
    here = versions()
    moved = [
        f"{package} {then} is {here.get(package, 'missing')} here"
        for package, then in manifest.versions.items()
        if here.get(package) != then
    ]
    why = "; ".join(moved) or "versions are the same, so the machine computes slightly otherwise"
    return [f"{name} differs from the file that the manifest describes: {why}." for name in changed]


def _cells(shown: Sequence[Shown]) -> list[dict[str, Any]]:
    """Where the cells of the maps lie on the input, and whether exactly; each layer's once."""
    found: list[dict[str, Any]] = []
    for entry in shown:
        for cells in entry.cells:
            described = {"layer": entry.name, **cells}
            if described not in found:
                found.append(described)
    return found


def _made(shown: Sequence[Shown]) -> list[dict[str, str]]:
    """Maps that are no gates, and what gates do: by which method, of which layer, for which."""
    made = [one for one in shown if one.cells and one.shown != "map"]
    made += [one for one in shown if one.shown == "effect without"]
    return [
        {"photo": one.photo, "network": one.network, "shown": one.shown, "name": one.name,
         "for": one.text.removeprefix("for ")}
        for one in made
    ]  # fmt: skip


def _scale(figure: Composition) -> dict[str, Any]:
    scale = figure.content.map_scale
    if scale is None:
        return {"kind": figure.spec.scale}
    return {"kind": scale.kind, "low": scale.low, "high": scale.high}
