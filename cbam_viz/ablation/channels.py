"""`channel_importance`: are the channels of large weights those that matter for a class?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cbam_viz.ablation.forwards import Forwards
from cbam_viz.ablation.learnt import GateName
from cbam_viz.ablation.replacements import Given
from cbam_viz.ablation.scores import Values, class_number, class_scores, measured
from cbam_viz.ablation.wishes import matching
from cbam_viz.errors import CaptureError, MetricError
from cbam_viz.metrics import correlation_interval, spearman

COPIES = 16
"""Copies of the photo in one forward, each with another channel replaced."""


@dataclass(frozen=True, eq=False)
class ChannelImportance:
    """What each channel's gate does to the logit of a class on one photo; arrays (K,)."""

    layer: str
    target: int
    """The class."""
    logit: float
    """Its logit with all gates as they are."""
    channels: tuple[int, ...]
    weights: Values
    """The gates."""
    closed: Values
    """Change of the logit when the channel's gate is 0."""
    opened: Values
    """Change of the logit when it is 1."""
    correlation: float | None
    """Of the weights with the size of the change on closing, by ranks; None if they are alike."""
    interval: tuple[float, float] | None
    """Of that, by the bootstrap over channels."""

    @property
    def sentence(self) -> str:
        """Whether large weights are the important ones, in words."""
        if self.correlation is None:
            return (
                f"In {self.layer}, all weights or all changes are alike, so that no order of "
                "importance can be told."
            )
        value, ends = f"{self.correlation:.2f}", self.interval
        told = f"rank correlation {value}"
        if ends is not None:
            told += (
                f", 95 % interval {ends[0]:.2f} to {ends[1]:.2f}, over {len(self.weights)} channels"
            )
        if ends is None or ends[0] <= 0 <= ends[1]:
            return f"In {self.layer}, large weights do not tell which channels matter ({told})."
        if self.correlation < 0:
            return f"In {self.layer}, channels of large weights matter less ({told})."
        how = "mostly" if self.correlation >= 0.5 else "only weakly"
        return f"In {self.layer}, channels of large weights are {how} those that matter ({told})."


def channel_importance(
    model: nn.Module,
    x: Tensor,
    layer: str,
    *,
    target: int | None = None,
    channels: Sequence[int] | None = None,
    copies: int = COPIES,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> ChannelImportance:
    """Set each channel's gate of a layer to 0 and to 1, and see what becomes of a class's logit.

    Args:
        model: a network in eval mode that gives class scores.
        x: one photo, (1, C, H, W), as the network takes it.
        layer: name of the layer.
        target: the class; by default the one on top.
        channels: those to be tried; by default all.
        copies: how many are tried in one forward.
        seed: of the bootstrap.
        progress: called with the number of channels that are done.

    Raises:
        CaptureError: the layer is not there, has no channel gate, or no such channel.
        MetricError: the network gives no class scores, or `x` is not one photo.
    """
    if x.ndim != 4 or len(x) != 1:
        raise MetricError(
            f"channel_importance takes one photo, (1, C, H, W), not {tuple(x.shape)}."
        )
    target = class_number(target)
    if copies < 1:
        raise MetricError(f"At least one copy of the photo goes into a forward, not {copies}.")
    forwards = Forwards(model, x.expand(copies, *x.shape[1:]).contiguous())
    gate = _gate(forwards, layer)
    wanted = None if target is None else np.full(copies, target)
    output = forwards.unchanged([gate])
    where = class_scores(output, copies, ["logit"], model, forwards.bare)
    plain = measured(output, copies, ["logit"], wanted, where)
    assert plain.top is not None
    classes = plain.top if wanted is None else wanted
    before = plain.values["logit"]
    own = forwards.learned.values[gate]
    if forwards.learned.gates[gate].shape[0] != copies:
        raise CaptureError(f"{layer} has several channel gates for one photo (windows or frames).")
    count = own.shape[1]
    chosen = list(range(count)) if channels is None else list(channels)
    wrong = [index for index in chosen if not 0 <= index < count]
    if wrong or not chosen:
        none = f"There is no channel {wrong[0]}" if wrong else "No channel was given to be tried"
        raise CaptureError(f"{none}: {layer} has {count}, from 0 to {count - 1}.")
    forwards.replaced({gate: _itself})
    own = forwards.acted[gate]
    changes = {value: np.empty(len(chosen)) for value in (0.0, 1.0)}
    for start in range(0, len(chosen), copies):
        some = chosen[start : start + copies]
        for value, found in changes.items():
            gates = own.clone()
            gates[torch.arange(len(some), device=gates.device), some] = value
            output = forwards.replaced({gate: Given(gates)})
            after = measured(output, copies, ["logit"], classes, where).values["logit"]
            found[start : start + len(some)] = (after - before)[: len(some)]
        if progress is not None:
            progress(min(start + copies, len(chosen)))
    weights = own[0, chosen].double().numpy()
    size = np.abs(changes[0.0])
    enough = len(chosen) > 2
    return ChannelImportance(
        layer, int(classes[0]), float(before[0]), tuple(chosen), weights, changes[0.0],
        changes[1.0], spearman(weights, size),
        correlation_interval(weights, size, seed=seed) if enough else None,
    )  # fmt: skip


class _Itself:
    text = "itself"

    def __call__(self, gate: Tensor) -> Tensor:
        return gate


_itself = _Itself()


def _gate(forwards: Forwards, layer: str) -> GateName:
    names = matching(layer, forwards.learned)
    if len(names) > 1:
        raise CaptureError(f"{layer!r} names {len(names)} layers, and this takes one.")
    gate: GateName = (names[0], "channel")
    if gate not in forwards.learned.gates:
        raise CaptureError(f"{names[0]} has no channel gate that could be replaced.")
    return gate
