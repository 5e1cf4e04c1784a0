"""Interactive charts as Vega-Lite specifications: plain dicts, for any page that can show them."""

from cbam_viz.charts.channels import ORDERS, SELECTION, Order, channel_chart, ranks
from cbam_viz.charts.common import Spec
from cbam_viz.charts.walkthrough import branch_chart, sigmoid_chart

__all__ = [
    "ORDERS",
    "SELECTION",
    "Order",
    "Spec",
    "branch_chart",
    "channel_chart",
    "ranks",
    "sigmoid_chart",
]
