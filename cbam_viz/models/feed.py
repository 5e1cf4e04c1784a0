"""What a network is called with, made of one photo or several, and calls that fail in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from cbam_viz._foreign import ASKS_FOR_KEYS, exit_call, kept_apart, place_of
from cbam_viz._text import counted, named, said, shortened
from cbam_viz.errors import CbamVizError, ModelError
from cbam_viz.images import Geometry, ModelInput, Photo, View, part_of, prepare, prepare_by
from cbam_viz.models.channels import takes_inputs
from cbam_viz.models.loaded import LoadedModel
from cbam_viz.models.yolo.feeding import alone_with, is_ultralytics
from cbam_viz.wrappers import unwrap


def inputs_of(
    loaded: LoadedModel, photo: Photo, view: View, also: Sequence[Photo] = ()
) -> tuple[Geometry, tuple[Tensor, ...]]:
    """Where the network's input lies on the photo, and what the network is called with."""
    if not also:
        made = input_of(loaded, photo, view)
        return made.geometry, (made.tensor,)
    together = (photo, *also)
    single, channels = loaded, loaded.spec.channels
    apart = takes_inputs(loaded.model) == len(together)
    if not apart and loaded.transform is None:
        if channels % len(together):
            raise ModelError(
                f"{loaded.name} takes {channels} channels, which {len(together)} photos do not "
                "make. Give as many photos as it has inputs, or say its channels (--channels)."
            )
        single = replace(loaded, spec=part_of(loaded.spec, len(together)))
    made_of = [input_of(single, one, view) for one in together]
    sizes = {tuple(made.tensor.shape[2:]) for made in made_of}
    if len(sizes) > 1:
        listed = ", ".join(f"{width} x {height}" for height, width in sorted(sizes))
        raise ModelError(
            f"The photos make inputs of several sizes ({listed}). Take photos of one size, or the "
            "view 'crop'."
        )
    tensors = tuple(made.tensor for made in made_of)
    return made_of[0].geometry, tensors if apart else (torch.cat(tensors, 1),)


def input_of(loaded: LoadedModel, photo: Photo, view: View) -> ModelInput:
    """One photo's input, by the network's own transform if it brings one."""
    if loaded.transform is not None:
        return prepare_by(loaded.transform, photo)
    return prepare(photo, loaded.spec, view)


def as_weights(model: nn.Module, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Move the inputs to the network's device and dtype."""
    like = next((weight for weight in model.parameters() if weight.is_floating_point()), inputs[0])
    return tuple(one.to(device=like.device, dtype=like.dtype) for one in inputs)


@contextmanager
def running(loaded: LoadedModel, inputs: Sequence[Tensor], view: View) -> Iterator[None]:
    """Let a network run under inference_mode; whatever its code does wrong is a ModelError.

    One of ultralytics' runs in one thread at a time: its head keeps the places of its cells on
    itself, and those of another visitor's photo would make boxes beside the objects.
    """
    alone = alone_with(loaded.model) if is_ultralytics(loaded.model) else nullcontext()
    try:
        with alone, kept_apart(loaded.surroundings), torch.inference_mode():
            yield
    except CbamVizError:
        raise
    except BaseException as error:
        if not _is_of_its_code(error):
            raise
        height, width = inputs[0].shape[-2:]
        cause = _cause(error)
        if isinstance(error, SystemExit):
            cause = f"its code ended the program ({exit_call(error)})"
        what = f"{len(inputs)} inputs, each of" if len(inputs) > 1 else "an input of"
        raise ModelError(
            f"{loaded.name} fails on {what} {width} x {height} pixels: {cause}.{place_of(error)} "
            f"{_next_step(loaded.model, error, view, inputs)}"
        ) from error


def _is_of_its_code(error: BaseException) -> bool:
    """Whether the network's code raised it: not whoever stops this program, or a visitor's run."""
    if isinstance(error, KeyboardInterrupt):  # Ctrl-C interrupts the main thread alone
        return threading.current_thread() is not threading.main_thread()
    theirs = type(error).__module__.startswith("streamlit.")
    return not theirs and not isinstance(error, GeneratorExit)


def _cause(error: BaseException) -> str:
    """What an error says; TorchScript says it last."""
    line = said(error) if isinstance(error, Exception) else named(error)
    if "TorchScript" in line:
        line = shortened(str(error).strip().rpartition("\n")[2], 200)
    return line.rstrip(".")


def _next_step(model: nn.Module, error: BaseException, view: View, inputs: Sequence[Tensor]) -> str:
    """What to do about a forward that fails."""
    if isinstance(error, SystemExit):
        return "A network's forward must not do that; let it raise an error that says why."
    if isinstance(error, EOFError):
        return ASKS_FOR_KEYS.strip()
    needed = takes_inputs(model)
    if needed != len(inputs):
        return (
            f"Its forward takes {counted(needed, 'input')}: give as many photos, the further ones "
            "by --also, in Python analyse(..., also=[photo]); for inputs that are no photos there "
            "is cbam_viz.analyse_tensor."
        )
    if other := _takes_other_than_photos(model):
        return other
    if view == "whole":
        return "Try the view 'crop', or another network."
    channels = inputs[0].shape[1]
    return (
        f"It was given {counted(channels, 'channel')}. If it takes another size "
        "or other channels, say so: --input and --channels, in Python "
        "cbam_viz.InputSpec(size=..., channels=...)."
    )


_OF_OTHERS = {
    nn.Conv3d: "volumes or videos, (B, C, D, H, W)",
    nn.Conv1d: "sequences or signals, (B, C, L)",
    nn.Embedding: "numbers of words, (B, L)",
    nn.RNNBase: "sequences, (B, L, C)",
}
"""Layers that begin networks of other things than photos, and what they take."""


def _takes_other_than_photos(model: nn.Module) -> str:
    """Say what a network takes that has no layer for photos; empty where it may take them."""
    parts = list(unwrap(model).modules())
    if any(isinstance(part, nn.Conv2d) for part in parts):
        return ""
    for part in parts:
        for kind, takes in _OF_OTHERS.items():
            if isinstance(part, kind):
                return (
                    f"It was given a photo, (1, C, H, W), and has no 2-D convolution; its "
                    f"{type(part).__name__} takes {takes}. cbam-viz shows what networks of photos "
                    "attend to: let a module of your own make this network's input of a photo."
                )
    return ""
