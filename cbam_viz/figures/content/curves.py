"""Channel weights of classes as lines, with the mean of all classes, as in SENet's figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cbam_viz.errors import FigureError
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.classes import (
    LayerClasses,
    classes_of,
    classes_sentence,
)
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import settled_layers, stages
from cbam_viz.figures.content.sentences import (
    axes_sentence,
    channels_sentence,
    left_out_sentence,
    order_words,
)
from cbam_viz.figures.content.values import Axis, Floats, Shown, Study, axis_of

MOST_CLASSES = 8
"""Lines of more cannot be told apart."""
MEAN = "mean of all classes"


@dataclass(frozen=True)
class Curves:
    """A panel for each layer, a line for each class."""

    panels: tuple[LayerClasses, ...]
    whose: str
    """A sentence: whose word the classes are."""
    mean_of: str
    """Whose mean it is, in words."""
    photos: int
    """That the mean is made of."""
    spread: bool = False
    """Whether each line has a band of one standard deviation within its class."""

    map_scale = None
    predicted = ()

    @property
    def has_mean(self) -> bool:
        """Whether there is a line for the mean: of one class it would be that class again."""
        return len(self.panels[0].classes) > 1 or self.panels[0].all_classes is not None

    @property
    def axis(self) -> Axis:
        """Of all panels; bands are cut at its ends."""
        return axis_of(panel.matrix for panel in self.panels)

    def band(self, panel: LayerClasses) -> Floats:
        """(classes, channels): how far the bands reach on both sides of their lines."""
        if not self.spread:
            return np.zeros_like(panel.matrix)
        return np.stack([one.spread for one in panel.classes])[:, panel.channels]

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return tuple(panel.layer for panel in self.panels)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return settled_layers(spec, self.layers).with_(by="class")

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`."""
        network, photos = study.networks[0], f"{self.photos} photos"
        for number, panel in enumerate(self.panels):
            first = number * len(panel.classes) + 1
            yield from panel.shown(first, network, None, spread=self.spread)
            if self.has_mean:
                yield Shown(f"mean {number + 1}", photos, network, "channel weights", MEAN,
                            panel.mean, text=panel.layer)  # fmt: skip

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        layers, spec = len(self.panels), figure.spec
        of = f"layer {self.layers[0]}" if layers == 1 else f"{layers} layers"
        ranked = "from the highest mean of all classes to the lowest"
        order = order_words(spec) if spec.order == "index" else ranked
        return [
            f"Channel weights of {of} of {figure.study.networks[0]}, {order}; a line is the mean "
            "over the photos of its class",
            f"The dotted black line is the mean of {self.mean_of}, each counting once"
            if self.has_mean
            else "",
            "Bands are one standard deviation between the photos of a class, on both sides of its "
            "line, cut where the axis ends"
            if self.spread
            else "",
            self.whose,
            channels_sentence(spec),
            axes_sentence(self.axis),
            left_out_sentence([panel.matrix for panel in self.panels]),
        ]


def content(spec: FigureSpec, study: Study) -> Curves:
    """Mean weights of each class, in the layers asked for, else in the last one of each stage.

    Raises:
        FigureError: for more classes than lines that can be told apart, or layers without weights.
    """
    attention = study.analyses[0][0].attention
    gated = [
        [layer.name for layer in layers if layer.channel is not None]
        for layers in stages(attention).values()
    ]
    names = spec.named_layers or tuple(layers[-1] for layers in gated if layers)
    if not names:
        raise FigureError("The network has no layer with channel weights.")
    panels = classes_of(spec, study, names)
    check_classes(len(panels[0].classes))
    whose, photos = classes_sentence(spec, study), len(study.analyses)
    return Curves(panels, whose, "all classes", photos, spec.spread)


def check_classes(count: int) -> None:
    """Raise FigureError if there are more classes than lines that can be told apart."""
    if count > MOST_CLASSES:
        raise FigureError(
            f"Lines of {count} classes cannot be told apart; the most is {MOST_CLASSES}. Choose "
            "photos of fewer classes, or leave out the curves: a class is a line of coloured cells "
            "then."
        )
