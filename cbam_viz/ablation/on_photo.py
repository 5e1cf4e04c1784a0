"""Gates of one photo changed: what the network says then, what each gate does, which channels.

With ones for a gate, features pass as they are, and all else does what it does on them. That tells
what the gate changes on this photo, not what a network trained without it would say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cbam_viz.ablation.block import ablate
from cbam_viz.ablation.channels import ChannelImportance, channel_importance
from cbam_viz.ablation.followed import Aim, logit_of, scores_of, share_of, shares_in
from cbam_viz.ablation.measuring import Measuring
from cbam_viz.ablation.replacements import Wish
from cbam_viz.ablation.results import Effects, Unit
from cbam_viz.ablation.scores import Score
from cbam_viz.analysis import Analysis, analysis_of, of_photos
from cbam_viz.computation import GateKind
from cbam_viz.errors import CaptureError, MetricError
from cbam_viz.layer_names import find_called, no_such_layer
from cbam_viz.models import LoadedModel
from cbam_viz.models.feed import as_weights, inputs_of, running
from cbam_viz.predictions import TOP, Prediction


def analyse_with(
    loaded: LoadedModel,
    analysis: Analysis,
    gates: Mapping[str, Wish | Mapping[GateKind, Wish]],
) -> Analysis:
    """The same photo with other gates, as for `ablate`: one forward.

    Gates that were replaced are as they acted, all others as the network then computed them.

    Raises:
        CaptureError: a gate is not there or cannot be replaced by this.
        ModelError: the network fails on these features.
    """
    view = analysis.geometry.view
    geometry, inputs = inputs_of(loaded, analysis.photo, view)
    inputs = as_weights(loaded.model, inputs)
    with running(loaded, inputs, view), ablate(loaded.model, gates) as block:
        attention = of_photos(block.capture(*inputs), len(inputs[0]))
    found = analysis_of(loaded, analysis.photo, geometry, inputs, attention)
    scores = scores_of(loaded, analysis)
    if scores is None:
        return found
    shares = shares_in(attention.output, scores)
    if not bool(shares.isfinite().all()):
        return found  # which says that the output is no finite numbers
    best = shares.topk(min(TOP, scores.count))
    names = loaded.classes if len(loaded.classes or ()) == scores.count else None
    told = tuple(
        Prediction(int(k), names[int(k)] if names else f"class {int(k)}", float(share))
        for share, k in zip(best.values, best.indices, strict=True)
    )
    return replace(found, predictions=told, prediction_note=analysis.prediction_note)


def effects_on_photo(
    loaded: LoadedModel,
    analysis: Analysis,
    aim: Aim,
    by: Wish,
    go_on: Callable[[int, int], bool] | None = None,
    *,
    units: Sequence[Unit] = ("gate", "stage", "all"),
) -> Effects:
    """What each gate, each stage's and all of them do for an aim on the photo of `analysis`.

    The scores are `share`, the class's probability or the object's score, and `logit` where there
    is one. `go_on` is that of `Measuring`. Raises what `effects` raises.
    """
    share = share_of(aim, loaded, analysis)
    logit = logit_of(aim, loaded, analysis)
    scores: list[Score] = [_named("share", share)]
    if logit is not None:
        scores.append(_named("logit", logit))
    view = analysis.geometry.view
    inputs = as_weights(loaded.model, inputs_of(loaded, analysis.photo, view)[1])
    measuring = Measuring(loaded.model, scores, by=by, units=units, batch=1, go_on=go_on)
    with running(loaded, inputs, view):
        measuring.add(inputs[0], analysis.photo.name)
    return measuring.result()


def importance_on_photo(
    loaded: LoadedModel,
    analysis: Analysis,
    layer: str,
    aim: Aim,
    *,
    most: int,
    progress: Callable[[int], None] | None = None,
) -> ChannelImportance:
    """`channel_importance` of a layer on the photo of `analysis`, of at most so many channels.

    Of more, those that are evenly spread over the order of weights.

    Raises:
        MetricError: the aim is no class: only classes have logits.
        CaptureError: there is no such layer, or it has no channel gate that could be replaced.
    """
    if logit_of(aim, loaded, analysis) is None:
        raise MetricError(
            "How much a channel matters is told by the logit of a class, and this network's "
            "output has none."
        )
    view = analysis.geometry.view
    inputs = as_weights(loaded.model, inputs_of(loaded, analysis.photo, view)[1])
    found = find_called(analysis.attention, layer)
    if found is None:
        raise CaptureError(no_such_layer([*analysis.attention], layer, by_place=False))
    layer, gate = found, analysis.attention[found].channel
    channels = None
    if gate is not None and gate.shape[1] > most:
        order = gate[0].argsort(stable=True).numpy()
        channels = sorted(order[np.linspace(0, len(order) - 1, most).round().astype(int)].tolist())
    with running(loaded, inputs, view):
        return channel_importance(
            loaded.model, inputs[0], layer, target=aim.place, channels=channels, progress=progress
        )


def _named(name: str, score: Callable[[Any], float]) -> Callable[[Any], list[float]]:
    """The same for a batch of this one photo, under a name for tables."""

    def scored(output: Any) -> list[float]:
        return [score(output)]

    scored.__name__ = name
    return scored
