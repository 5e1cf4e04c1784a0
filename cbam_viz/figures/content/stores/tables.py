"""Tables of numbers as coloured cells, several beside each other on one scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cbam_viz.dataset.clustering import Clusters
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.composition import Composition
from cbam_viz.figures.content.find import settled_layers
from cbam_viz.figures.content.sentences import nan_sentence, range_sentence
from cbam_viz.figures.content.values import Floats, Shown, Study
from cbam_viz.render import Scale


@dataclass(frozen=True)
class Table:
    """Rows and columns with names."""

    layer: str
    """Empty for a table of several layers."""
    head: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: npt.NDArray[np.float64]
    """(rows, columns); NaN where there is nothing."""
    tree: Clusters | None = None
    """Of the rows."""


@dataclass(frozen=True)
class Tables:
    """Tables that share one scale, from 0 up."""

    tables: tuple[Table, ...]
    what: str
    """The values are, at the colour bar."""
    about: tuple[str, ...]
    """Sentences."""
    listed: tuple[str, ...] = ()
    """Layers, where tables are of several."""

    map_scale = None
    predicted = ()

    @property
    def scale(self) -> Scale:
        """From 0 to the highest value of all tables."""
        everything = np.concatenate([one.values.ravel() for one in self.tables])
        finite = everything[np.isfinite(everything)]
        return Scale("shared", 0.0, float(finite.max(initial=0.0)))

    @property
    def layers(self) -> tuple[str, ...]:
        """See `Content`."""
        return self.listed or tuple(one.layer for one in self.tables)

    def settled(self, spec: FigureSpec) -> FigureSpec:
        """See `Content`."""
        return settled_layers(spec, self.layers).with_(scale="shared")

    def shown(self, study: Study) -> Iterator[Shown]:
        """See `Content`: a line for each cell, and each table as an array."""
        network, ends = study.networks[0], (self.scale.low, self.scale.high)
        for number, one in enumerate(self.tables, 1):
            for row, name in enumerate(one.rows):
                for column, other in enumerate(one.columns):
                    place = f"table {number} row {row + 1} column {column + 1}"
                    text = f"{name}, {other}: {one.values[row, column]:.9g}"
                    layer = one.layer or name
                    yield Shown(place, "", network, self.what, layer, None, ends, text)
            values: Floats = one.values.astype(np.float32)
            text = f"rows {', '.join(one.rows)}; columns {', '.join(one.columns)}"
            yield Shown(f"table {number}", "", network, self.what, one.layer, values, ends, text,
                        in_table=False)  # fmt: skip

    def sentences(self, figure: Composition) -> list[str]:
        """See `Content`."""
        values: list[Floats] = [one.values.astype(np.float32) for one in self.tables]
        start = f"Colours ({figure.spec.colormap}) share one scale"
        return [*self.about, range_sentence(start, self.scale), nan_sentence(values)]
