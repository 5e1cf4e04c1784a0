"""A network that is ready to be looked at, and the report on how it came to be."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import timm.data
from torch import Tensor, nn

from cbam_viz._foreign import Surroundings, place_of
from cbam_viz._suffixes import bare_name
from cbam_viz._text import few, named, shortened
from cbam_viz.detections import Detections
from cbam_viz.errors import ModelError
from cbam_viz.images import DEFAULT_VIEW, InputSpec, Transform, View
from cbam_viz.models.channels import input_channels
from cbam_viz.models.names import names_of_network
from cbam_viz.models.photos import takes_photos, whole_photo
from cbam_viz.models.yolo.feeding import feeding_of, is_ultralytics
from cbam_viz.wrappers import undriven, unwrap


@dataclass(frozen=True)
class LoadReport:
    """What became of each tensor of a checkpoint. All names are those of the network."""

    matched: tuple[str, ...]
    """Loaded as they were."""
    missing: tuple[str, ...] = ()
    """In the network and not in the file; these weights are random."""
    unexpected: tuple[str, ...] = ()
    """In the file and not in the network; left out."""
    reshaped: tuple[str, ...] = ()
    """Loaded in another shape with the same values, such as linear as 1 x 1 convolution."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names that were translated: the file's to the network's."""
    notes: tuple[str, ...] = ()
    """What was found out and assumed, in sentences."""

    @property
    def text(self) -> str:
        """The report in plain words, one statement a line."""
        lines = [_count(len(self.matched), "tensor") + " of the checkpoint matched."]
        lines += self.notes
        for names, what in (
            (self.reshaped, "changed shape without changing a value"),
            (self.missing, "missing from the checkpoint: random values"),
            (self.unexpected, "in the checkpoint without a place in the network: left out"),
        ):
            if names:
                lines.append(f"{_count(len(names), 'tensor')} {what}: {few(names)}.")
        if self.renamed:
            lines.append(f"{_count(len(self.renamed), 'tensor')} translated from other names.")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network in eval mode with all that is needed to show it a photo. Shared: never changed."""

    model: nn.Module
    name: str
    spec: InputSpec
    classes: tuple[str, ...] | None
    """Names of the logits in order; None where they are not known."""
    report: LoadReport | None = None
    sha256: str | None = None
    """Of the checkpoint file."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    transform: Transform | None = None
    """What makes the input of a Pillow image in place of `spec`, where the network brings it."""
    decode: Callable[[Any], Detections] | None = None
    """What makes `Detections`, in pixels of the input, of the network's output, where that is not
    known by its family."""

    surroundings: Surroundings | None = None
    """What its code has set for the process, such as torch's default type; its forward has it."""

    def __post_init__(self) -> None:
        """Take the network out of ultralytics' `YOLO(...)`, whose `eval()` would train it."""
        object.__setattr__(self, "model", undriven(self.model))

    def fed(self, view: View = DEFAULT_VIEW, *, hint: bool = False) -> str:
        """What it is fed in this view, in a sentence; `hint` as in `InputSpec.sentence`."""
        if self.transform is not None:
            return f"Input: by the transform of {self.name}, as its code gives it."
        return self.spec.sentence(view, hint=hint)


def wrap_model(
    module: nn.Module,
    spec: InputSpec | None = None,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    transform: Transform | None = None,
    *,
    decode: Callable[[Any], Detections] | None = None,
) -> LoadedModel:
    """Describe a network of your own, so that `analyse` can show photos to it.

    Its mode is left as it is; call `.eval()` first unless you mean to look at it in training.
    Without `spec`, the network's `pretrained_cfg` is used, or ImageNet's usual 224 pixels, which
    every result then calls assumed. Without `classes`, names that the network carries are used,
    as ultralytics' `names`; ImageNet's are `cbam_viz.models.imagenet_classes()`. A `transform`
    such as torchvision's, from a Pillow image to a (C, H, W) tensor, takes the place of `spec`.
    Of ultralytics' `YOLO(...)` the network inside is taken and set to eval mode: the mode of that
    object is none of a network's, as its `eval()` would train it. torchvision's detectors resize
    and normalise by themselves, so they get the whole photo. `decode` makes `cbam_viz.Detections`
    of the network's output.

    Raises:
        ModelError: `module` is no torch module.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"A torch.nn.Module is needed, not {type(module).__name__}.{to_get_a_network(module)}"
        )
    driver, module = module, undriven(module)
    if module is not driver:
        module.eval()
    return LoadedModel(
        model=module,
        name=name or type(module).__name__,
        spec=spec or input_spec(module),
        classes=tuple(classes) if classes is not None else names_of_network(unwrap(module)).names,
        transform=transform or (whole_photo if spec is None and takes_photos(module) else None),
        decode=decode,
    )


def to_get_a_network(made: Any) -> str:
    """Return what may give a network where somebody has something else; empty if not known."""
    if made is None:
        return " Is its return missing?"
    if type(made).__name__ == "ExportedProgram":
        return " The network of an exported program is its .module()."
    if isinstance(made, Mapping):
        return " If these are weights, make the network and give them by --checkpoint."
    if isinstance(made, type) or inspect.isroutine(made):
        return " If it is a class or a function that builds the network, call it."
    return ""


def set_to_eval(network: nn.Module) -> nn.Module:
    """Set a network to eval mode, and return it.

    One of torch.export stays in the mode in which it was exported: it has no other.

    Raises:
        ModelError: its own code fails.
    """
    try:
        return network.eval()
    except NotImplementedError:
        return network
    except Exception as error:
        raise ModelError(
            f"{type(network).__name__} cannot be set to eval mode: {named(error)}.{place_of(error)}"
        ) from error


def weights_sha256(model: nn.Module) -> str:
    """Digest of all parameters and buffers with their names, and of whatever else the state has."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if not isinstance(value, Tensor):
            digest.update(f"{name} {value!r}\n".encode())
            continue
        array = value.detach().cpu().contiguous().view(-1)
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(array.float().numpy().tobytes())
    return digest.hexdigest()


def input_spec(model: nn.Module) -> InputSpec:
    """Return what input a network expects, from timm's `pretrained_cfg` where it has one.

    ultralytics' networks are fed as their own `predict` feeds them. `multiple` is the largest
    stride of the network's stages, 32 where that is not known.
    """
    if is_ultralytics(unwrap(model)):
        return feeding_of(unwrap(model))
    cfg = config_of(model)
    strides = [entry.get("reduction", 0) for entry in feature_entries(model)]
    name = cfg.get("architecture")
    return InputSpec.from_pretrained_cfg(
        cfg,
        multiple=int(max(strides, default=0)) or 32,
        channels=input_channels(model),
        source=f"timm's default for {name}" if name else "stated by its pretrained_cfg",
    )


def config_of(model: nn.Module) -> Mapping[str, Any]:
    """Return timm's `pretrained_cfg` of a network; empty where it has none."""
    cfg = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    if not isinstance(cfg, Mapping):
        cfg = cfg.to_dict() if hasattr(cfg, "to_dict") else {}
    return cfg


def feature_entries(model: nn.Module) -> list[Mapping[str, Any]]:
    """Return timm's `feature_info`: a stage's module, channels and stride each; often empty."""
    info = getattr(model, "feature_info", None)
    entries = getattr(info, "info", info)
    return [entry for entry in entries if isinstance(entry, Mapping)] if entries else []


@functools.cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the names of ImageNet's 1000 classes, in the order of the logits."""
    info = timm.data.ImageNetInfo("imagenet-1k")
    return tuple(info.index_to_description(index).partition(",")[0] for index in range(1000))


def frozen(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a read-only copy of JSON-like metadata."""
    return MappingProxyType(json.loads(json.dumps(metadata)))


def display_name(source: Path | bytes | None, metadata: Mapping[str, Any], fallback: str) -> str:
    """Return the name to show: the title in the file, else the file's name, else `fallback`."""
    title = metadata.get("title")
    if isinstance(title, str) and title.strip():
        return shortened(title.strip(), 300)
    return bare_name(source) if isinstance(source, Path) else fallback


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
