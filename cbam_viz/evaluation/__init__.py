"""What maps are worth over many photos: measured, summarised, put into tables.

`measures` says what there is and which direction is better, `measuring` measures one photo's maps
beside those of chance, `summary` makes means and intervals of many and `curves` those of insertion
and deletion, `tables` writes them. `following` is the score of a detector's box while gates change.
"""

from cbam_viz.evaluation.curves import Curve, mean_curves
from cbam_viz.evaluation.following import BoxFollowed
from cbam_viz.evaluation.measures import GROUPS, MEASURES, Group, Measure
from cbam_viz.evaluation.measuring import Measured, Plan, mean_colour_words, measure_photo
from cbam_viz.evaluation.summary import Row, Summary, summarise
from cbam_viz.evaluation.tables import as_json, csv_text, latex_text

__all__ = [
    "GROUPS",
    "MEASURES",
    "BoxFollowed",
    "Curve",
    "Group",
    "Measure",
    "Measured",
    "Plan",
    "Row",
    "Summary",
    "as_json",
    "csv_text",
    "latex_text",
    "mean_colour_words",
    "mean_curves",
    "measure_photo",
    "summarise",
]
