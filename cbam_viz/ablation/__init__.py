"""Does a gate matter? Other gates in its place, and what changes."""

from cbam_viz.ablation.block import Ablation, ablate
from cbam_viz.ablation.replacements import (
    Channels,
    Constant,
    GateMeans,
    Given,
    Made,
    Mean,
    Painted,
    Replacement,
    Shuffled,
)

__all__ = [
    "Ablation",
    "Channels",
    "Constant",
    "GateMeans",
    "Given",
    "Made",
    "Mean",
    "Painted",
    "Replacement",
    "Shuffled",
    "ablate",
]
