"""A photo, a network, one forward: everything the app, the command line and figures show.

Nothing here changes the network; one may serve many threads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from cbam_viz.attention import Attention, LayerAttention, Unsupported
from cbam_viz.capture import capture
from cbam_viz.errors import CbamVizError, ModelError, NoAttentionError
from cbam_viz.images import Geometry, ModelInput, Photo, View, prepare
from cbam_viz.models import LoadedModel

TOP = 5
"""How many predictions are kept."""
BATCH = 8
"""Photos in one forward of `analyse_batch`."""


@dataclass(frozen=True)
class Prediction:
    """One class that the network considers."""

    index: int
    """Position among the logits."""
    label: str
    """The class's name; `class 7` where names are not known."""
    probability: float
    """Softmax over all logits, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """What a network made of one photo."""

    photo: Photo
    model_name: str
    classes: tuple[str, ...] | None
    attention: Attention
    """Of this photo alone: B = 1."""
    geometry: Geometry
    """Where the network's input lies on the photo."""
    predictions: tuple[Prediction, ...]
    """The five most probable classes, best first; empty for networks without class logits."""

    @property
    def layers(self) -> list[LayerAttention]:
        """The captured layers in order of execution."""
        return list(self.attention.values())


def analyse(
    loaded: LoadedModel,
    photo: Photo,
    view: View = "crop",
    *,
    branches: bool = False,
    descriptors: bool = False,
    features: bool | Sequence[str] = False,
) -> Analysis:
    """Show one photo to a network and capture its attention.

    `view` is `"crop"` (what the network was evaluated on) or `"whole"` (nothing cut off). The
    switches are those of `cbam_viz.capture`.

    Raises
    ------
    NoAttentionError
        The network has no gates.
    CaptureError
        A layer could not be captured exactly.
    ModelError
        The network fails on this input.
    ImageError
        The photo cannot be prepared.
    """
    model_input = prepare(photo, loaded.spec, view)
    attention = _forward(
        loaded,
        model_input.tensor,
        {"branches": branches, "descriptors": descriptors, "features": features},
    )
    return _analysis(loaded, photo, model_input.geometry, attention)


def analyse_batch(
    loaded: LoadedModel,
    photos: Iterable[Photo],
    view: View = "crop",
    *,
    branches: bool = False,
    descriptors: bool = False,
    features: bool | Sequence[str] = False,
) -> list[Analysis]:
    """Show several photos, those of equal input size together; results in the photos' order.

    Gates differ from those of `analyse` by rounding only (about 2e-7). Networks whose output is
    not one tensor with a row a photo get one photo at a time. Raises what `analyse` raises.
    """
    options = {"branches": branches, "descriptors": descriptors, "features": features}
    prepared = [(photo, prepare(photo, loaded.spec, view)) for photo in photos]
    results: dict[int, Analysis] = {}
    for positions in _batches([model_input for _, model_input in prepared]):
        inputs = torch.cat([prepared[position][1].tensor for position in positions])
        whole = _forward(loaded, inputs, options)
        for row, position in enumerate(positions):
            photo, model_input = prepared[position]
            if len(positions) > 1 and not _has_rows(whole.output, len(positions)):
                one = _forward(loaded, model_input.tensor, options)
            else:
                one = select(whole, row)
            results[position] = _analysis(loaded, photo, model_input.geometry, one)
    return [results[position] for position in range(len(prepared))]


def select(attention: Attention, index: int) -> Attention:
    """Return the attention of one picture of a batch, as if it had been alone (B = 1)."""
    output = attention.output
    return replace(
        attention,
        layers={name: _row(layer, index) for name, layer in attention.layers.items()},
        output=output[index : index + 1] if isinstance(output, Tensor) else output,
    )


def _row(value: Any, index: int) -> Any:
    """Cut one row out of every tensor of a layer's record, and of the records inside it."""
    changed = {}
    for field in fields(value):
        part = getattr(value, field.name)
        if isinstance(part, Tensor):
            changed[field.name] = part[index : index + 1].clone()
        elif field.name in {"branches", "descriptors", "features"} and part is not None:
            changed[field.name] = _row(part, index)
    return replace(value, **changed)


def _batches(inputs: Sequence[ModelInput]) -> list[list[int]]:
    """Group positions by input size, at most `BATCH` together."""
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for position, model_input in enumerate(inputs):
        groups[tuple(model_input.tensor.shape)].append(position)
    return [
        group[start : start + BATCH]
        for group in groups.values()
        for start in range(0, len(group), BATCH)
    ]


def _forward(loaded: LoadedModel, inputs: Tensor, options: Mapping[str, Any]) -> Attention:
    """Run the network once under inference_mode, on its own device and in its own dtype."""
    model = loaded.model
    like = _floating_parameter(model)
    if like is not None:
        inputs = inputs.to(device=like.device, dtype=like.dtype)
    try:
        with torch.inference_mode():
            return _with_layers(_of_photos(capture(model, inputs, **options), len(inputs)))
    except CbamVizError:
        raise
    except Exception as error:
        height, width = inputs.shape[-2:]
        cause = str(error).partition("\n")[0][:200] or type(error).__name__
        raise ModelError(
            f"{loaded.name} fails on an input of {width} x {height} pixels: {cause}. Try the view "
            "'crop', or another network."
        ) from error


def _of_photos(attention: Attention, count: int) -> Attention:
    """Leave out layers that have no row for each photo: none of their rows is the photo's gate."""
    rows = {
        name: len(gate)
        for name, layer in attention.layers.items()
        for gate in (layer.channel, layer.spatial)
        if gate is not None and len(gate) != count
    }
    if not rows:
        return attention
    left_out = tuple(
        Unsupported(
            attention[name].module,
            f"{n} gates for {count} photo{'' if count == 1 else 's'}: of windows, frames or crops "
            "that the network folds into its batch, so that none is a photo's own",
        )
        for name, n in rows.items()
    )
    layers = {name: layer for name, layer in attention.layers.items() if name not in rows}
    return replace(attention, layers=layers, unsupported=attention.unsupported + left_out)


def _with_layers(attention: Attention) -> Attention:
    """Refuse attention of other kinds alone: there is no gate to draw."""
    if attention.layers:
        return attention
    told = "; ".join(f"{one.module}: {one.reason}" for one in attention.unsupported[:3])
    more = f"; and {len(attention.unsupported) - 3} more" if len(attention.unsupported) > 3 else ""
    raise NoAttentionError(
        "This network's attention is neither channel weights nor a spatial map, so it cannot be "
        f"shown ({told}{more}). Put CBAM into it with cbam_viz.insert_cbam(model), or take another "
        "network."
    )


def _floating_parameter(model: nn.Module) -> Tensor | None:
    return next((weight for weight in model.parameters() if weight.is_floating_point()), None)


def _analysis(
    loaded: LoadedModel, photo: Photo, geometry: Geometry, attention: Attention
) -> Analysis:
    return Analysis(
        photo=photo,
        model_name=loaded.name,
        classes=loaded.classes,
        attention=attention,
        geometry=geometry,
        predictions=predictions(attention.output, loaded.classes),
    )


def predictions(
    output: Any, classes: Sequence[str] | None, top: int = TOP
) -> tuple[Prediction, ...]:
    """Return the most probable classes by softmax, best first; empty if `output` has no logits.

    Logits are a tensor (1, classes), alone, first in a tuple, or under `logits`.
    """
    logits = _logits(output)
    if logits is None or logits.shape[0] != 1:
        return ()
    probabilities = logits[0].detach().float().cpu().softmax(0)
    named = classes if classes is not None and len(classes) == len(probabilities) else None
    best = probabilities.topk(min(top, len(probabilities)))
    return tuple(
        Prediction(
            index=int(index),
            label=named[int(index)] if named else f"class {int(index)}",
            probability=float(probability),
        )
        for probability, index in zip(best.values, best.indices, strict=True)
    )


def _logits(output: Any) -> Tensor | None:
    """Find class logits in what a network returned: (B, classes), at least two classes."""
    if isinstance(output, Mapping):
        output = output.get("logits")
    elif isinstance(output, (tuple, list)):
        output = output[0] if output else None
    elif not isinstance(output, Tensor):
        output = getattr(output, "logits", None)
    if not isinstance(output, Tensor) or output.ndim != 2 or not output.is_floating_point():
        return None
    return output if output.shape[1] > 1 and bool(output.isfinite().all()) else None


def _has_rows(output: Any, count: int) -> bool:
    return isinstance(output, Tensor) and output.ndim > 0 and output.shape[0] == count
