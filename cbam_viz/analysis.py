"""A photo, a network, one forward: everything the app, the command line and figures show.

Nothing here changes the network; one may serve many threads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from cbam_viz.attention import Attention, LayerAttention, Unsupported, html_of
from cbam_viz.capture import capture
from cbam_viz.errors import CbamVizError, ModelError, NoAttentionError
from cbam_viz.images import DEFAULT_VIEW, Geometry, InputSpec, ModelInput, Photo, View, prepare
from cbam_viz.models import LoadedModel
from cbam_viz.predictions import TOP, Prediction, read_output

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
    spec: InputSpec | None = None
    """What the network was fed, with who says so or that it was assumed."""

    @property
    def layers(self) -> list[LayerAttention]:
        """The captured layers in order of execution."""
        return list(self.attention.values())

    @property
    def fed(self) -> str:
        """What the network was fed and who says so, in a sentence; empty if not recorded."""
        return "" if self.spec is None else self.spec.sentence(self.geometry.view)

    @property
    def input(self) -> dict[str, Any]:
        """The same as plain data for JSON, with the numbers; empty if not recorded."""
        if self.spec is None:
            return {}
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
    branches: bool = False,
    descriptors: bool = False,
    features: bool | Sequence[str] = False,
    steps: bool | Sequence[str] = False,
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
        {
            "branches": branches,
            "descriptors": descriptors,
            "features": features,
            "steps": steps,
        },
    )
    return analysis_of(loaded, photo, model_input, attention)


def predict(loaded: LoadedModel, photo: Photo, view: View = DEFAULT_VIEW) -> Analysis:
    """Show one photo to a network that has no attention: an analysis without layers.

    Raises ModelError and ImageError as `analyse` does.
    """
    model_input = prepare(photo, loaded.spec, view)
    inputs = as_weights(loaded.model, model_input.tensor)
    with running(loaded.name, inputs):
        output = loaded.model(inputs)
    height, width = model_input.geometry.input_size
    return analysis_of(loaded, photo, model_input, Attention({}, output, (height, width)))


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
            results[position] = analysis_of(loaded, photo, model_input, one)
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
    inputs = as_weights(loaded.model, inputs)
    with running(loaded.name, inputs):
        return _with_layers(_of_photos(capture(loaded.model, inputs, **options), len(inputs)))


@contextmanager
def running(name: str, inputs: Tensor) -> Iterator[None]:
    """Let a network run under inference_mode; whatever its code does wrong is a ModelError."""
    try:
        with torch.inference_mode():
            yield
    except CbamVizError:
        raise
    except (Exception, SystemExit) as error:
        height, width = inputs.shape[-2:]
        cause = str(error).partition("\n")[0][:200] or type(error).__name__
        if isinstance(error, SystemExit):
            cause = f"its code ended the program (sys.exit({'' if error.code is None else cause}))"
        raise ModelError(
            f"{name} fails on an input of {width} x {height} pixels: {cause}. Try the view "
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


def as_weights(model: nn.Module, inputs: Tensor) -> Tensor:
    """Move the inputs to the network's device and dtype."""
    like = next((weight for weight in model.parameters() if weight.is_floating_point()), inputs)
    return inputs.to(device=like.device, dtype=like.dtype)


def analysis_of(
    loaded: LoadedModel, photo: Photo, model_input: ModelInput, attention: Attention
) -> Analysis:
    """Describe what a forward of one photo gave, its prediction included."""
    inputs = as_weights(loaded.model, model_input.tensor)

    def run() -> Any:
        with torch.inference_mode():
            return loaded.model(inputs)

    reading = read_output(attention.output, loaded.classes, loaded.model, run=run)
    return Analysis(
        photo=photo,
        model_name=loaded.name,
        classes=loaded.classes,
        attention=attention,
        geometry=model_input.geometry,
        predictions=reading.predictions,
        prediction_note=reading.note,
        spec=loaded.spec,
    )


def predictions(
    output: Any, classes: Sequence[str] | None, top: int = TOP
) -> tuple[Prediction, ...]:
    """Return the most probable classes of an output that is class scores, best first.

    The caller vouches for that; `read_output` asks the network. Empty if it cannot be.
    """
    return read_output(output, classes, top=top).predictions


def _has_rows(output: Any, count: int) -> bool:
    return isinstance(output, Tensor) and output.ndim > 0 and output.shape[0] == count
