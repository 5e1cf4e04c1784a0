"""CBAM step by step: what one layer computed on one photo, in equations, pictures and numbers.

    analysis = steps.analyse_steps(loaded, photo, "layer4.1.se")
    walk = steps.walk(analysis.attention["layer4.1.se"], loaded.model, analysis.geometry)
    walk.steps[0].title, walk.steps[0].arithmetic

`capture` keeps the operations that ran (`cbam_viz.computation`), whatever the code looks like;
`arrange` says what their values are, `groups` makes steps of them, `symbols` equations, `telling`
sentences and pictures. The app's page, `cbam-viz steps` and `figures.steps` draw the same `Walk`.
"""

from cbam_viz.steps.follow import WISHES, Wish, channels_of
from cbam_viz.steps.records import COUNTING, Number, Picture, Step, Walk
from cbam_viz.steps.walking import analyse_steps, walk

__all__ = [
    "COUNTING",
    "WISHES",
    "Number",
    "Picture",
    "Step",
    "Walk",
    "Wish",
    "analyse_steps",
    "channels_of",
    "walk",
]
