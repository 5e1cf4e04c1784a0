"""What is found, and what counts as found."""

from __future__ import annotations

from dataclasses import dataclass

from cbam_viz.detections import Detections

MIN_SCORE = 0.25
"""Detections of lower scores are left out; ultralytics' `conf` when it predicts."""


@dataclass(frozen=True)
class Found:
    """What was found, or why that cannot be told."""

    detections: Detections | None = None
    """In pixels of the network's input; None for a network that detects nothing."""
    note: str = ""
    """A sentence: why there are none of a network that should give some."""
