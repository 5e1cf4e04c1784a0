"""What a checkpoint and the `config.json` beside it state of the network: its input, its classes.

timm and Hugging Face save such a `config.json` with the weights. Both are as untrusted as the
weights: entries that make no sense are left out, with a note.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from cbam_viz._schema import MismatchError, checked
from cbam_viz._text import quoted
from cbam_viz.errors import CheckpointError
from cbam_viz.images import InputOrigin, InputSpec
from cbam_viz.images.spec import PARTS, InputDescription
from cbam_viz.models.channels import input_channels
from cbam_viz.models.loaded import config_of, imagenet_classes, input_spec
from cbam_viz.models.names import ClassNames, find_names, read_names
from cbam_viz.models.records import mapping_of
from cbam_viz.models.schema import Input
from cbam_viz.models.yolo.feeding import feeding_of, is_ultralytics
from cbam_viz.wrappers import unwrap

CONFIG = "config.json"
MAX_CONFIG_BYTES = 16 * 1024**2

THE_FILE = "stated by the checkpoint"
BESIDE = f"stated by {CONFIG} beside the checkpoint"


@dataclass(frozen=True)
class Config:
    """The `config.json` beside a checkpoint; empty where there is none that can be used."""

    content: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def architecture(self) -> str | None:
        """As timm calls it."""
        name = self.content.get("architecture")
        bare = name.partition(".")[0].strip() if isinstance(name, str) and len(name) < 100 else ""
        return bare or None

    @property
    def pretrained_cfg(self) -> Mapping[str, Any]:
        """What timm describes of the weights, as it stands there."""
        cfg = self.content.get("pretrained_cfg")
        return cfg if isinstance(cfg, Mapping) else {}

    def fitting(self, architecture: str | None, count: int | None) -> Config:
        """Return it if it is of this network, else no more than a note that it is of another."""
        said, classes = self.architecture, self._classes
        others = [said] if said not in (None, architecture) else []
        kind = self._family
        if said is None and kind and architecture and not _letters(architecture).startswith(kind):
            others.append(kind)
        if count is not None and classes not in (None, count):
            others.append(f"{classes:,} classes")
        if not others:
            return self
        note = f"The {CONFIG} beside the file is of {', '.join(others)}; not used."
        return Config({}, (*self.notes, note))

    @property
    def of_transformers(self) -> str:
        """A sentence, with a space behind, if it is of a network of Hugging Face's transformers."""
        made = self.content.get("architectures")
        kind = made[0] if isinstance(made, list) and made else self.content.get("model_type")
        if self.architecture is not None or not isinstance(kind, str):
            return ""
        return (
            f"By {CONFIG} beside it, the file is of {quoted(kind)} of Hugging Face's transformers, "
            "whose networks cbam-viz does not build. "
        )

    @property
    def _family(self) -> str:
        """Hugging Face's `model_type`, such as `vit`; empty where it is not stated."""
        kind = self.content.get("model_type")
        return _letters(kind) if isinstance(kind, str) and len(kind) < 100 else ""

    @property
    def _classes(self) -> int | None:
        count = self.content.get("num_classes", self.pretrained_cfg.get("num_classes"))
        return count if isinstance(count, int) else None


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def read_config(source: Path | bytes, folder: Path | None = None) -> Config:
    """Read the `config.json` beside a checkpoint; with `folder`, only if it lies in it."""
    if isinstance(source, bytes):
        return Config()
    path = source.with_name(CONFIG)
    try:
        real = path.resolve()
        if not real.is_file() or (folder is not None and not real.is_relative_to(folder.resolve())):
            return Config()
        if real.stat().st_size > MAX_CONFIG_BYTES:
            return Config(notes=(f"The {CONFIG} beside the file is too large; not used.",))
        content = json.loads(real.read_bytes())
    except (OSError, ValueError, RecursionError):
        return Config(notes=(f"The {CONFIG} beside the file cannot be read; not used.",))
    return Config(content) if isinstance(content, dict) else Config()


def checked_input(
    given: Mapping[str, Any], where: str, channels: int = 3
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the entries of a `pretrained_cfg` that an input can be made of, and notes on others.

    Empty entries state nothing and are no fault. `where` is what the notes call it, `channels` are
    those that the network takes.
    """
    names = InputDescription.__struct_fields__
    given = {key: given[key] for key in names if key in given and not _is_empty(given[key])}
    fitting = {key: value for key, value in given.items() if _fits(key, value, channels)}
    notes = [
        f"{key!r} in {where} is none that an input can have; not used."
        for key in given
        if key not in fitting
    ]
    return fitting, tuple(notes)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, list, tuple)) and not value)


def _fits(key: str, value: Any, channels: int) -> bool:
    """Whether an entry is as `schema.Input` says, and of a picture of so many channels."""
    try:
        found = checked({"input_size": (channels, 1, 1), key: value}, Input)
    except MismatchError:
        return False
    return found.input_size is None or found.input_size[0] == channels


def input_of_training(content: Any, channels: int = 3) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what timm's training script keeps of the input, under `args` in a checkpoint."""
    args = mapping_of(content.get("args")) if isinstance(content, Mapping) else None
    if args is None:
        return {}, ()
    size, side = args.get("input_size"), args.get("img_size")
    if size is None and side is not None:
        size = [channels, side, side]
    return checked_input({**args, "input_size": size}, "the file's 'args'", channels)


@dataclass(frozen=True)
class Stated:
    """What is known of a network besides its weights."""

    spec: InputSpec
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]


def read_stated(
    model: nn.Module,
    content: Any,
    metadata: Mapping[str, Any],
    config: Config,
    *,
    architecture: str | None,
) -> Stated:
    """Collect what the checkpoint states, then what lies beside it, then what nobody states.

    `content` is what the checkpoint's author saved, `metadata` our own description in it, `config`
    what lies beside it, `architecture` timm's name of the network. The network's `pretrained_cfg`
    is set accordingly, its own only.
    """
    count = getattr(model, "num_classes", None)
    count = count if isinstance(count, int) else None
    config = config.fitting(architecture, count)
    channels = input_channels(model)
    described: Mapping[str, Any] = metadata.get("pretrained_cfg") or {}
    own = {key: described[key] for key in InputDescription.__struct_fields__ if key in described}
    said = own.get("input_size")
    if said and said[0] != channels:
        raise CheckpointError(
            f"The checkpoint's description says that its network takes {said[0]} input channels; "
            f"the network takes {channels}."
        )
    trained, notes_on_training = input_of_training(content, channels)
    beside, notes_beside = checked_input(
        config.pretrained_cfg, f"{CONFIG} beside the file", channels
    )
    named = find_names({"classes": metadata.get("classes")}, "the file's description", count)
    for found in (find_names(content, "the file", count), _names_in_config(config, count)):
        if named.names is None:
            named = ClassNames(found.names, (*named.notes, *found.notes))
    classes = named.names or imagenet_names(config.pretrained_cfg, count)
    spec = _describe_input(
        model, (THE_FILE, {**trained, **own}), (BESIDE, beside), assumed_of=architecture
    )
    if is_ultralytics(unwrap(model)):
        spec = feeding_of(unwrap(model), _entry(content, "train_args"))
    by_config = [part for part in PARTS if getattr(spec.origin, part) == BESIDE]
    on_input = [f"{', '.join(by_config).capitalize()} of the input: {BESIDE}."] * bool(by_config)
    notes = (*config.notes, *named.notes, *notes_on_training, *notes_beside, *on_input)
    return Stated(spec, classes, notes)


def _entry(content: Any, name: str) -> Any:
    return content.get(name) if isinstance(content, Mapping) else None


def _describe_input(
    model: nn.Module, *sources: tuple[str, Mapping[str, Any]], assumed_of: str | None
) -> InputSpec:
    """Let what sources state win over timm's default, on this new network only.

    The first source wins. What none states is timm's default for the architecture `assumed_of`,
    which says nothing about weights that come from elsewhere, and so is assumed.
    """
    if any(stated for _, stated in sources):
        merged: Any = dict(config_of(model))
        for _, stated in reversed(sources):
            merged.update(stated)
        model.pretrained_cfg = merged
    silent = f"timm's default for {assumed_of}; the file does not say" if assumed_of else ""
    origin = InputOrigin.of(*sources, assumption=silent)
    return dataclasses.replace(input_spec(model), origin=origin)


def _names_in_config(config: Config, count: int | None) -> ClassNames:
    """Return the class names of a `config.json`: Hugging Face's `id2label`, timm's label names."""
    where = f"{CONFIG} beside the file"
    labels = {**config.pretrained_cfg, **config.content}
    found = find_names(
        {key: labels[key] for key in ("id2label", "label_names", "classes") if key in labels},
        where,
        count,
    )
    descriptions = labels.get("label_descriptions")
    if found.names is None or not isinstance(descriptions, Mapping):
        return found
    try:
        described = read_names([descriptions.get(name, name) for name in found.names])
    except (ValueError, TypeError):
        return found
    return dataclasses.replace(found, names=described)


def imagenet_names(cfg: Mapping[str, Any], count: int | None) -> tuple[str, ...] | None:
    """Return ImageNet's class names if timm's description of the weights says that they are its.

    A tag such as `a1_in1k` names the data of the last training. The description of an architecture
    alone says nothing about weights that come from elsewhere.
    """
    tag = cfg.get("tag")
    said = isinstance(tag, str) and "in1k" in tag and cfg.get("num_classes", 1000) == 1000
    return imagenet_classes() if said and count == 1000 else None
