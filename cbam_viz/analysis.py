"""A photo, a network, one forward: everything the app, the command line and figures show.

Nothing here changes the network; one may serve many threads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from cbam_viz.attention import Attention, LayerAttention, Unsupported, html_of
from cbam_viz.detections import Detections
from cbam_viz.detectors import NoRowsError, alike, on_photo, read_detections, row_of
from cbam_viz.errors import ModelError, NoAttentionError
from cbam_viz.gates import capture
from cbam_viz.images import (
    DEFAULT_VIEW,
    Geometry,
    InputSpec,
    ModelInput,
    Photo,
    View,
    seen_as,
)
from cbam_viz.models import LoadedModel, wrap_model
from cbam_viz.models.feed import as_weights, input_of, inputs_of, running
from cbam_viz.predictions import TOP, Kind, Prediction, read_output

OF_PARTS = "No prediction of the whole photo: the network detects or segments what is on it."
"""As `prediction_note` where there are `detections`."""
BATCH = 8
"""Photos in one forward of `analyse_batch`."""


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
    """The five most probable classes, best first; empty where the output is no class scores."""
    prediction_note: str = ""
    """A sentence: why there is no prediction, or that the names of its classes are not known."""
    detections: Detections | None = None
    """Of a detector or segmenter, on the photo's pixels; None for networks that are none."""
    spec: InputSpec | None = None
    """What the network was fed, with who says so or that it was assumed; None where its input was
    made by code of its own (`pipeline`)."""
    pipeline: str = ""
    """What made the input in place of `spec`, such as `the transform of my_network`."""
    also: tuple[Photo, ...] = ()
    """Further photos of the same input; maps are drawn on `photo`."""
    no_gates: str = ""
    """Why there are no layers; only where gates were not asked for."""
    output_kind: Kind = "none"
    """What the numbers of the output are: logits, probabilities, their logarithms, or none."""

    @property
    def layers(self) -> list[LayerAttention]:
        """The captured layers in order of execution."""
        return list(self.attention.values())

    @property
    def fed(self) -> str:
        """What the network was fed and who says so, in a sentence; empty if not recorded."""
        height, width = self.geometry.input_size
        if self.pipeline:
            return f"Input: {width} × {height}, {self.pipeline}."
        return "" if self.spec is None else self.spec.sentence(self.geometry.view)

    @property
    def input(self) -> dict[str, Any]:
        """The same as plain data for JSON, with the numbers; empty if not recorded."""
        if self.spec is None:
            return {"sentence": self.fed, "assumed": []} if self.fed else {}
        return {"sentence": self.fed, "assumed": list(self.spec.assumed), **asdict(self.spec)}

    @property
    def doubt(self) -> str:
        """What to add to remarks on the gates if they hold for an assumed normalisation only."""
        assumed = self.spec is not None and "normalisation" in self.spec.assumed
        return "the input's normalisation was assumed" if assumed else ""

    def _repr_html_(self) -> str | None:
        return html_of(self)


def analyse(
    loaded: LoadedModel,
    photo: Photo,
    view: View = DEFAULT_VIEW,
    *,
    also: Sequence[Photo] = (),
    gates: bool = True,
    branches: bool = False,
    descriptors: bool = False,
    features: bool | Sequence[str] = False,
    steps: bool | Sequence[str] = False,
) -> Analysis:
    """Show one photo to a network and capture its attention.

    `view` is `"crop"` (what the network was evaluated on) or `"whole"` (nothing cut off). `also`
    are further photos of one input, as of change detection and stereo: given as arguments of their
    own to a network that takes so many, else put beside each other as channels. With `gates=False`
    a network without gates is welcome, and the result has no layers. The other switches are those
    of `cbam_viz.capture`.

    Raises:
        NoAttentionError: the network has no gates.
        CaptureError: a layer could not be captured exactly.
        ModelError: the network fails on this input.
        ImageError: the photo cannot be prepared.
    """
    options = {
        "branches": branches,
        "descriptors": descriptors,
        "features": features,
        "steps": steps,
    }
    geometry, inputs = inputs_of(loaded, photo, view, also)
    return _looked_at(loaded, photo, geometry, inputs, options, gates=gates, also=tuple(also))


def analyse_tensor(
    model: nn.Module | LoadedModel,
    x: Tensor | Sequence[Tensor],
    photo: Photo,
    geometry: Geometry | None = None,
    *,
    gates: bool = True,
    branches: bool = False,
    descriptors: bool = False,
    features: bool | Sequence[str] = False,
) -> Analysis:
    """Show a network an input that a pipeline of one's own has made of a photo.

    `x` is (1, C, H, W), as the network takes it, or several such for a network of several inputs;
    maps are drawn on `photo` where `geometry` says that `x` lies, and on all of it without one.
    Switches and errors are those of `analyse`; a ModelError too if `x` is no such tensor.
    """
    loaded = model if isinstance(model, LoadedModel) else wrap_model(model)
    inputs = (x,) if isinstance(x, Tensor) else tuple(x)
    if not all(isinstance(one, Tensor) and one.ndim == 4 and len(one) == 1 for one in inputs):
        shapes = [tuple(getattr(one, "shape", ())) for one in inputs]
        raise ModelError(
            f"analyse_tensor takes the input of one photo, (1, C, H, W), not {shapes}. Give a "
            "batch to cbam_viz.capture."
        )
    if not inputs:
        raise ModelError("analyse_tensor takes at least one tensor.")
    height, width = inputs[0].shape[2:]
    pipeline = "as given, " + ("where it is said to lie" if geometry else "taken for all of it")
    if geometry is None:
        rows, columns = photo.size
        geometry = Geometry(photo.size, (height, width), rows / height, columns / width, 0.0, 0.0)
    elif geometry.photo_size != photo.size or geometry.input_size != (height, width):
        raise ModelError(
            f"The geometry is of an input of {geometry.input_size} on a photo of "
            f"{geometry.photo_size}; given were {(height, width)} on {photo.size} (height, width)."
        )
    options = {"branches": branches, "descriptors": descriptors, "features": features}
    found = _looked_at(loaded, photo, geometry, inputs, options, gates=gates)
    return replace(found, spec=None, pipeline=pipeline)


def _looked_at(
    loaded: LoadedModel,
    photo: Photo,
    geometry: Geometry,
    inputs: Sequence[Tensor],
    options: Mapping[str, Any],
    *,
    gates: bool,
    also: tuple[Photo, ...] = (),
) -> Analysis:
    """One forward of one photo, or of several that are one input, and what it gave."""
    no_gates = ""
    try:
        attention = _forward(loaded, inputs, options, geometry.view)
    except NoAttentionError as error:
        if gates:
            raise
        no_gates = error.reason
        attention = _without_gates(loaded, inputs, geometry)
    found = analysis_of(loaded, photo, geometry, inputs, attention)
    return replace(found, also=also, no_gates=no_gates)


def _without_gates(loaded: LoadedModel, inputs: Sequence[Tensor], geometry: Geometry) -> Attention:
    """What a network without gates gives, and no layers."""
    inputs = as_weights(loaded.model, inputs)
    with running(loaded, inputs, geometry.view):
        output = loaded.model(*inputs)
    return Attention({}, output, geometry.input_size)


def analyse_batch(
    loaded: LoadedModel,
    photos: Iterable[Photo],
    view: View = DEFAULT_VIEW,
    *,
    branches: bool = False,
    descriptors: bool = False,
    features: bool | Sequence[str] = False,
) -> list[Analysis]:
    """Show several photos, those of equal input size together; results in the photos' order.

    Gates differ from those of `analyse` by rounding only (about 2e-7). Networks whose output has no
    row for each photo get one photo at a time. Raises what `analyse` raises.
    """
    options: dict[str, Any] = {
        "branches": branches,
        "descriptors": descriptors,
        "features": features,
    }
    prepared = [(photo, input_of(loaded, photo, view)) for photo in photos]
    results: dict[int, Analysis] = {}
    batches = _batches([model_input for _, model_input in prepared])
    while batches:
        positions, *batches = batches
        found, apart = _together(loaded, [prepared[at] for at in positions], None, options)
        results |= zip(positions, found, strict=True)
        if apart:  # so will the others be: no more forwards for nothing
            batches = [[position] for positions in batches for position in positions]
    return [results[position] for position in range(len(prepared))]


def analyse_inputs(
    loaded: LoadedModel,
    prepared: Sequence[tuple[Photo, ModelInput]],
    *,
    forward: Callable[[Tensor], Attention] | None = None,
    **options: Any,
) -> list[Analysis]:
    """Show photos whose inputs are made, and of one size, to a network in one forward.

    `forward` takes the place of capturing the network: (B, C, H, W) to what `capture` would give.
    Options, differences from `analyse` and errors are those of `analyse_batch`.
    """
    return _together(loaded, prepared, forward, options)[0]


def _together(
    loaded: LoadedModel,
    prepared: Sequence[tuple[Photo, ModelInput]],
    forward: Callable[[Tensor], Attention] | None,
    options: Mapping[str, Any],
) -> tuple[list[Analysis], bool]:
    """Photos in one forward, and whether each took one of its own after all."""
    view = prepared[0][1].geometry.view
    count = len(prepared)
    alone = [(model_input.tensor,) for _, model_input in prepared]
    inputs = torch.cat([model_input.tensor for _, model_input in prepared])
    if forward is None:
        whole = _forward(loaded, (inputs,), options, view)
    else:
        with running(loaded, (inputs,), view):
            whole = forward(inputs)
    ones = _selected(whole, count)
    apart = ones is None
    if count > 1 and not isinstance(whole.output, Tensor):
        # Rows of several parts are a photo's if a photo alone gives parts of just that size.
        first = _forward(loaded, alone[0], options, view)
        apart = ones is None or not alike(ones[0].output, first.output)
    if ones is None or apart:
        ones = [_forward(loaded, inputs, options, view) for inputs in alone]
    found = [
        analysis_of(loaded, photo, model_input.geometry, inputs, one)
        for (photo, model_input), inputs, one in zip(prepared, alone, ones, strict=True)
    ]
    return found, apart


def _selected(whole: Attention, count: int) -> list[Attention] | None:
    """What was each photo's; None if the output has no row for each."""
    if count == 1:
        return [whole]
    try:
        outputs = [row_of(whole.output, index, count) for index in range(count)]
    except NoRowsError:
        return None
    return [replace(select(whole, index), output=outputs[index]) for index in range(count)]


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


def _forward(
    loaded: LoadedModel, inputs: Sequence[Tensor], options: Mapping[str, Any], view: View
) -> Attention:
    """Run the network once under inference_mode, on its own device and in its own dtype."""
    inputs = as_weights(loaded.model, inputs)
    with running(loaded, inputs, view):
        found = capture(loaded.model, *inputs, **options)
        return with_layers(of_photos(found, len(inputs[0])))


def of_photos(attention: Attention, count: int) -> Attention:
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


def with_layers(attention: Attention) -> Attention:
    """Return it; raise NoAttentionError where all attention is of other kinds: no gate is shown."""
    if attention.layers:
        return attention
    told = "; ".join(f"{one.module}: {one.reason}" for one in attention.unsupported[:3])
    more = f"; and {len(attention.unsupported) - 3} more" if len(attention.unsupported) > 3 else ""
    raise NoAttentionError(
        "This network's attention is neither channel weights nor a spatial map, so it cannot be "
        f"shown ({told}{more}).",
        "Put CBAM into it with cbam_viz.insert_cbam(model), or take another network.",
    )


def analysis_of(
    loaded: LoadedModel,
    photo: Photo,
    geometry: Geometry,
    inputs: Sequence[Tensor],
    attention: Attention,
) -> Analysis:
    """Describe what a forward of one photo gave, its prediction included."""
    inputs = as_weights(loaded.model, inputs)

    def run() -> Any:
        with running(loaded, inputs, geometry.view):
            return loaded.model(*inputs)

    found = read_detections(loaded, attention.output, geometry.input_size)
    reading = read_output(attention.output, loaded.classes, loaded.model, run=run)
    detects = found.detections is not None and not reading.predictions
    note = OF_PARTS if detects else reading.note
    own = loaded.transform is not None
    return Analysis(
        photo=photo if own else seen_as(photo, loaded.spec),
        model_name=loaded.name,
        classes=loaded.classes,
        attention=attention,
        geometry=geometry,
        predictions=reading.predictions,
        prediction_note=found.note or note,
        detections=None if found.detections is None else on_photo(found.detections, geometry),
        output_kind=reading.kind,
        spec=None if own else loaded.spec,
        pipeline=f"by the transform of {loaded.name}, as its code gives it" if own else "",
    )


def predictions(
    output: Any, classes: Sequence[str] | None, top: int = TOP
) -> tuple[Prediction, ...]:
    """Return the most probable classes of an output that is class scores, best first.

    The caller vouches for that; `read_output` asks the network. Empty if it cannot be.
    """
    return read_output(output, classes, top=top).predictions
