"""Measures of maps: where one lies, what it agrees with, and what chance gives.

Every map is an array (H, W) of finite numbers, higher where there is more of it; every mask an
array (H, W) of booleans on the same pixels. Nothing here knows networks. All measures are better
when higher, and a docstring says what a uniform map gets.
"""

from cbam_viz.metrics.agreement import histogram_intersection, pearson, spearman, top_overlap
from cbam_viz.metrics.baselines import centre_gaussian, smooth_random, uniform
from cbam_viz.metrics.inside import (
    above_minimum,
    energy_inside,
    overlap_at_area,
    pointing_hit,
)
from cbam_viz.metrics.intervals import bootstrap_interval, correlation_interval
from cbam_viz.metrics.regions import Region, box_mask, read_regions, regions_of
from cbam_viz.metrics.variance import VarianceShares, variance_shares

__all__ = [
    "Region",
    "VarianceShares",
    "above_minimum",
    "bootstrap_interval",
    "box_mask",
    "centre_gaussian",
    "correlation_interval",
    "energy_inside",
    "histogram_intersection",
    "overlap_at_area",
    "pearson",
    "pointing_hit",
    "read_regions",
    "regions_of",
    "smooth_random",
    "spearman",
    "top_overlap",
    "uniform",
    "variance_shares",
]
