"""What a network would predict without a gate: the gate is replaced by ones, in one forward.

`x * M_c` with ones for `M_c` is `x`: all else, the layer's other gate and all other layers, does
what it does on features that were not weighted there. It answers what the gate changes on this
photo, not what a network trained without it would say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cbam_viz.ablation.block import ablate
from cbam_viz.attention import LayerAttention
from cbam_viz.computation import GateKind
from cbam_viz.detections import Detections
from cbam_viz.detectors import on_photo, read_detections
from cbam_viz.images import DEFAULT_VIEW, Photo, View
from cbam_viz.models import LoadedModel
from cbam_viz.models.feed import as_weights, inputs_of, running
from cbam_viz.predictions import Prediction, read_output

GATES: dict[GateKind, str] = {"channel": "the channel weights", "spatial": "the spatial map"}


@dataclass(frozen=True)
class Outcome:
    """What the network says without some gates of one layer."""

    layer: str
    without: tuple[GateKind, ...]
    predictions: tuple[Prediction, ...]
    """The five most probable classes, best first; empty where the output is no class scores."""
    note: str
    """A sentence: why there is no prediction, or that the names of its classes are not known."""
    detections: Detections | None = None
    """What a detector or segmenter finds, on the photo's pixels; None of others."""


def predict_without(
    loaded: LoadedModel,
    photo: Photo,
    layer: LayerAttention,
    *gates: GateKind,
    view: View = DEFAULT_VIEW,
) -> Outcome:
    """Run the network once on the photo, with ones for these gates of the layer.

    The network itself is not touched, and other threads may use it meanwhile.

    Raises:
        CaptureError: the layer has no such gate, or the network does not do the same when it is run
            again.
        ModelError: the network fails on these features.
    """
    geometry, prepared = inputs_of(loaded, photo, view)
    inputs = as_weights(loaded.model, prepared)

    def run() -> Any:
        wanted = {layer.name: dict.fromkeys(gates, "one")}
        with running(loaded, inputs, view), ablate(loaded.model, wanted) as ablated:
            return ablated(*inputs)

    output = run()
    found = read_detections(loaded, output, geometry.input_size)
    reading = read_output(output, loaded.classes, loaded.model, run=run)
    return Outcome(
        layer.name,
        gates,
        reading.predictions,
        found.note or reading.note,
        None if found.detections is None else on_photo(found.detections, geometry),
    )
