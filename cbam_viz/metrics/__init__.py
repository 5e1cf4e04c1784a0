"""Measures of maps: where one lies, what it agrees with, what it is worth, what chance gives.

Every map is an array (H, W) of finite numbers, higher where there is more of it; every mask an
array (H, W) of booleans on the same pixels. Nothing here knows networks: what a network says of a
picture comes as a function. Measures are better when higher unless a docstring says otherwise, and
it says what a uniform map gets.
"""

from cbam_viz.metrics._checks import generator
from cbam_viz.metrics.agreement import histogram_intersection, pearson, spearman, top_overlap
from cbam_viz.metrics.baselines import centre_gaussian, smooth_random, uniform
from cbam_viz.metrics.confidence import Confidence, confidence, let_through
from cbam_viz.metrics.inside import (
    above_minimum,
    energy_inside,
    overlap_at_area,
    pointing_hit,
)
from cbam_viz.metrics.intervals import bootstrap_interval, correlation_interval
from cbam_viz.metrics.regions import Region, box_mask, read_regions
from cbam_viz.metrics.regions_by_photo import Regions, regions_of
from cbam_viz.metrics.removal import Removal, blurred, filled, removal
from cbam_viz.metrics.sparseness import gini
from cbam_viz.metrics.variance import VarianceShares, variance_shares

__all__ = [
    "Confidence",
    "Region",
    "Regions",
    "Removal",
    "VarianceShares",
    "above_minimum",
    "blurred",
    "bootstrap_interval",
    "box_mask",
    "centre_gaussian",
    "confidence",
    "correlation_interval",
    "energy_inside",
    "filled",
    "generator",
    "gini",
    "histogram_intersection",
    "let_through",
    "overlap_at_area",
    "pearson",
    "pointing_hit",
    "read_regions",
    "regions_of",
    "removal",
    "smooth_random",
    "spearman",
    "top_overlap",
    "uniform",
    "variance_shares",
]
