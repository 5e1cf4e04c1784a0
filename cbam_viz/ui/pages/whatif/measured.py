"""What is computed of a scene with other gates, once for each choice; nothing here draws."""

from __future__ import annotations

import time
from collections.abc import Callable

from cbam_viz.ablation import (
    Aim,
    ChannelImportance,
    Effects,
    Replacement,
    analyse_with,
    effects_on_photo,
    importance_on_photo,
)
from cbam_viz.ablation.followed import share_of
from cbam_viz.analysis import Analysis
from cbam_viz.errors import MetricError
from cbam_viz.ui.pages.whatif.choice import Change
from cbam_viz.ui.scene import Scene

SECONDS = 60.0
"""How long a visitor waits for a table or a chart, at most; others wait for the same processor."""
CHANNELS = 256
"""Of a layer that are tried, at most."""
Progress = Callable[[float], None]
"""Takes the share that is done."""


def changed(scene: Scene, change: Change) -> Analysis:
    """The photo in the network with other gates: one forward, once."""
    return scene.results.pictures.get_or_make(
        key_of(scene, change),
        lambda: analyse_with(scene.loaded, scene.analysis, change.wishes),
    )


def key_of(scene: Scene, change: Change) -> tuple[object, ...]:
    """What results and pictures of a change are kept by."""
    return scene.key, "other gates", change.gates, change.by


def share(scene: Scene, aim: Aim, analysis: Analysis) -> float:
    """The probability or score of an aim in an analysis of this scene."""
    return share_of(aim, scene.loaded, scene.analysis)(analysis.attention.output)


def effects(scene: Scene, aim: Aim, by: Replacement, progress: Progress) -> Effects:
    """Every gate's effect, as far as that is done in time."""

    def measure() -> Effects:
        end = time.monotonic() + SECONDS

        def go_on(done: int, of: int) -> bool:
            progress(done / of)
            return time.monotonic() < end

        return effects_on_photo(scene.loaded, scene.analysis, aim, by, go_on)

    return scene.results.pictures.get_or_make((scene.key, "effects", aim, by), measure)


def importance(scene: Scene, layer: str, aim: Aim, progress: Progress) -> ChannelImportance | str:
    """What each channel of a layer does for a class; a sentence, kept too, if it takes too long."""

    def measure() -> ChannelImportance | str:
        end = time.monotonic() + SECONDS
        gate = scene.layers[layer].channel
        count = min(CHANNELS, 1 if gate is None else gate.shape[1])

        def step(done: int) -> None:
            progress(done / count)
            if time.monotonic() > end and done < count:
                raise _TooLongError(
                    f"{done} of {count} channels took {SECONDS:g} seconds here, as long as a page "
                    "waits. In Python there is no limit: cbam_viz.channel_importance."
                )

        try:
            return importance_on_photo(
                scene.loaded, scene.analysis, layer, aim, most=CHANNELS, progress=step
            )
        except _TooLongError as error:
            return str(error)

    return scene.results.pictures.get_or_make((scene.key, "importance", layer, aim), measure)


class _TooLongError(MetricError):
    """A visitor has waited long enough."""
