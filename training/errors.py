"""What can go wrong in a training, in one sentence."""

from __future__ import annotations

from cbam_viz.errors import CbamVizError


class TrainingError(CbamVizError):
    """Training cannot start or go on: the data or the recipe must change."""
