"""Other methods beside the gates: Grad-CAM and its kin, EigenCAM, occlusion, of the same layers.

    from cbam_viz.methods import method_map

    found = method_map(model, x, "layer4.1.se", "gradcam")      # x: (1, 3, H, W)
    found.values, found.cells, found.target_name

A map's cells are the layer's own, so that it lies on the photo where the gates' map does. `bench`
runs a private copy of the network that shares its weights (`replica`), and lets the features of the
layers pass places of their own; `gradients` puts torchcam on these, `own` has what torchcam lacks,
`targets` says what a map is for: a class, or one box of a detector (`boxes`), whose score
`squashed` traces back. `maps` is the way in. `randomised` asks whether a map depends on what the
network learnt.
"""

from cbam_viz.methods.bench import Progress
from cbam_viz.methods.boxes import Box
from cbam_viz.methods.maps import (
    METHODS,
    NO_CLASS,
    Method,
    MethodMap,
    is_installed,
    method_map,
    method_maps,
    photo_maps,
)
from cbam_viz.methods.randomised import Randomised, randomised

__all__ = [
    "METHODS",
    "NO_CLASS",
    "Box",
    "Method",
    "MethodMap",
    "Progress",
    "Randomised",
    "is_installed",
    "method_map",
    "method_maps",
    "photo_maps",
    "randomised",
]
