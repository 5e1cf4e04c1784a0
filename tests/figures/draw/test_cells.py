"""Maps shown cell by cell, and the lines between cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.image import AxesImage

from cbam_viz.analysis import Analysis
from cbam_viz.attention import Cells
from cbam_viz.figures import FigureSpec, build, columns_from_text
from cbam_viz.figures.beside.caption import caption
from cbam_viz.images import Geometry
from cbam_viz.render import lookup_table

from ..conftest import make_analysis, make_photo

VALUES = torch.tensor([[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]])


@pytest.fixture
def known() -> Analysis:
    """A map of 2 x 3 cells of 32 input pixels; an input pixel is 2 of the photo, from (10, 20)."""
    analysis = make_analysis(make_photo(160, 240), blocks=(1,))
    layer = analysis.attention["layer1.0.se"]
    layer = replace(layer, spatial=VALUES[None], cells=Cells(32, 32, 16, 16))
    geometry = Geometry((160, 240), (64, 96), 2.0, 2.0, 10.0, 20.0, "crop")
    return replace(
        analysis,
        geometry=geometry,
        attention=replace(analysis.attention, layers={layer.name: layer}),
    )


def spec(cells: str, **settings: object) -> FigureSpec:
    columns = columns_from_text("map:0")
    return FigureSpec(columns=columns, cells=cells, style="map", frame="photo", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("cells", ["cells", "grid"])
def test_each_cell_has_one_colour(known: Analysis, cells: str) -> None:
    figure = build(spec(cells), known).figure
    (image,) = [a for a in figure.findobj(AxesImage) if a.get_gid() == "row 1 column 1"]
    shown = np.asarray(image.get_array())
    table = lookup_table("viridis")
    for (row, column), value in np.ndenumerate(VALUES.numpy()):
        top, left = 10 + 64 * row, 20 + 64 * column
        cell = shown[top : top + 64, left : left + 64].reshape(-1, 3)
        assert (cell == table[round(float(value) * 255)]).all()


def test_lines_stand_where_cells_meet(known: Analysis) -> None:
    figure = build(spec("grid"), known).figure
    (lines,) = [a for a in figure.findobj(LineCollection) if a.get_gid() == "row 1 column 1 cells"]
    found = sorted(tuple(map(tuple, line)) for line in lines.get_segments())
    # The photo shows (10, 20) to (138, 212); cells are 64 of its pixels.
    assert found == [((20, 74), (212, 74)), ((84, 10), (84, 138)), ((148, 10), (148, 138))]
    for other in ("smooth", "cells"):
        assert not build(spec(other), known).figure.findobj(LineCollection)


def test_smooth_maps_have_colours_between(known: Analysis) -> None:
    colours = []
    for cells in ("smooth", "cells"):
        (image,) = build(spec(cells), known).figure.axes[0].get_images()
        seen = np.asarray(image.get_array())[10:138, 20:212]
        colours.append(len(np.unique(seen.reshape(-1, 3), axis=0)))
    assert colours[0] > 30 * colours[1]
    assert colours[1] == VALUES.numel()


def test_every_layout_takes_them() -> None:
    for layout in ("grid", "depth", "channel"):
        settings = FigureSpec(layout=layout, layer="0", cells="grid")  # type: ignore[arg-type]
        built = build(settings, make_analysis(features=True))
        assert built.figure.findobj(LineCollection)
        assert "with lines between them." in caption(built)


def test_cells_that_are_too_narrow_have_no_lines(known: Analysis) -> None:
    layer = known.attention["layer1.0.se"]
    fine = replace(layer, spatial=torch.rand(1, 64, 96), cells=Cells(1, 1, 0.5, 0.5))
    attention = replace(known.attention, layers={fine.name: fine})
    built = build(spec("grid", width=50), replace(known, attention=attention))
    assert not built.figure.findobj(LineCollection)
    assert "with lines between them where they are wide enough." in caption(built)
