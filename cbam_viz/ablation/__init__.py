"""Does a gate matter? Other gates in its place, and what changes.

`ablate` (`block`) opens a block in which gates are others; `effects` and `channel_importance`
measure what that does to a score, over photos and over channels; `gate_means` and `gate_variance`
(`over_photos`) look at gates over a data set.

Beneath: a network is run twice so that the place of each gate among its operations is found and
proven (`learnt`); `wishes` says which gates a person means, `replacements` what is put there,
`operands` how that looks where it is multiplied; `passes` brings a forward's operations to what
exchanges some of them (`replacing`); `forwards` runs many of them on one input, and leaves out what
they have in common (`tape`). `on_photo` is what the app asks of one photo: what the network then
says (`analyse_with`), and what each gate does for a class or an object (`followed`).
"""

from cbam_viz.ablation.block import Ablation, ablate
from cbam_viz.ablation.channels import ChannelImportance, channel_importance
from cbam_viz.ablation.followed import Aim, aim_of, aims
from cbam_viz.ablation.measuring import effects
from cbam_viz.ablation.on_photo import analyse_with, effects_on_photo, importance_on_photo
from cbam_viz.ablation.over_photos import gate_means, gate_variance
from cbam_viz.ablation.painting import on_cells
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
from cbam_viz.ablation.results import Effect, Effects
from cbam_viz.ablation.wishes import GATES

__all__ = [
    "GATES",
    "Ablation",
    "Aim",
    "ChannelImportance",
    "Channels",
    "Constant",
    "Effect",
    "Effects",
    "GateMeans",
    "Given",
    "Made",
    "Mean",
    "Painted",
    "Replacement",
    "Shuffled",
    "ablate",
    "aim_of",
    "aims",
    "analyse_with",
    "channel_importance",
    "effects",
    "effects_on_photo",
    "gate_means",
    "gate_variance",
    "importance_on_photo",
    "on_cells",
]
