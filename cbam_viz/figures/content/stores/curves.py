"""Channel weights of a store's classes as lines: the SENet paper's figures, by their protocol.

Hu, Shen, Albanie, Sun and Wu, "Squeeze-and-Excitation Networks", arXiv 1709.01507, "Role of
Excitation" (its number differs between versions): four classes, fifty photos of each, fifty evenly
sampled channels in the last block of each stage, beside them the mean of all classes; a second
figure shows mean and standard deviation within a class.
"""

from __future__ import annotations

import numpy as np

from cbam_viz.dataset import gate_summary
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.curves import Curves, check_classes
from cbam_viz.figures.content.stores.classes import classes_of, layers_of, whose_sentence
from cbam_viz.figures.content.storestudy import StoreStudy, channel_layers, last_of_stages

CLASSES = 4
"""Where none are named: those of most photos."""


def content(spec: FigureSpec, study: StoreStudy) -> Curves:
    """Mean weights of each class, in the layers asked for, else in the last one of each stage.

    Raises:
        FigureError: for more classes than lines that can be told apart.
    """
    layers = channel_layers(study, spec) if spec.named_layers else last_of_stages(study)
    if not layers:
        channel_layers(study, spec)
    first = gate_summary(study.store, layers[0], "channel")
    every = classes_of(study, first, ())
    wanted = spec.classes
    if not wanted:
        shown = np.minimum(first.count, spec.per_class or first.photos)
        most = np.argsort(-shown, kind="stable")[:CLASSES]
        wanted = tuple(every[n] for n in sorted(most))
    check_classes(len(set(wanted)))
    panels = layers_of(spec, study, layers, wanted)
    mean_of = f"all {len(every)} classes of the store"
    whose = whose_sentence(spec, study, layers, wanted)
    return Curves(panels, whose, mean_of, int(first.count.sum()), spec.spread)
