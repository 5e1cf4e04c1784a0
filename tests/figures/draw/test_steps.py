"""The walk on paper: every step of it, nothing shortened, the same bytes each time."""

from __future__ import annotations

import pytest

import cbam_viz
from cbam_viz import figures
from cbam_viz.ablation import analyse_with
from cbam_viz.images import read_photo, samples
from cbam_viz.steps import analyse_steps, walk
from tests.gates.networks import timm_cbam

LAYER = "layer3.1.se"


@pytest.fixture(scope="module")
def drawn():
    """A walk with what belongs to it."""
    loaded = cbam_viz.wrap_model(timm_cbam(), classes=[f"thing {n}" for n in range(7)])
    photo = read_photo(samples()[0].path)
    analysis = analyse_steps(loaded, photo, LAYER)
    layer = analysis.attention[LAYER]
    outcomes = {
        gate: analyse_with(loaded, analysis, {LAYER: {gate: "one"}})
        for gate in ("channel", "spatial")
    }
    return walk(layer, loaded.model, analysis.geometry), analysis, outcomes


def texts(figure) -> list[str]:
    return [one.get_text() for one in figure.texts]


@pytest.mark.parametrize(("venue", "width"), [("free", "text"), ("cvpr", "column"),
                                              ("slides", "text"), ("free", 60)])  # fmt: skip
def test_every_step_is_there_and_nothing_is_shortened(drawn, venue, width) -> None:
    found, analysis, outcomes = drawn
    spec = figures.FigureSpec(venue=venue, width=width)
    figure = figures.steps(found, analysis, outcomes=outcomes, spec=spec)
    shown = texts(figure)
    joined = " ".join(shown)
    for number, step in enumerate(found.steps, 1):
        assert f"{number}.{step.title}".replace(" ", "") in joined.replace(" ", "")
        for line in step.arithmetic:
            assert line.replace(" ", "") in joined.replace(" ", "")
    assert "Without the channel weights" in joined
    assert not [text for text in shown if "…" in text], shown
    for picture in (one for step in found.steps for one in step.pictures):
        assert picture.title.replace(" ", "") in joined.replace(" ", "")
    place = figures.venue(venue)
    assert figure.get_size_inches()[0] * 72 == pytest.approx(place.width(width))
    smallest = min(one.get_fontsize() for one in figure.texts)
    assert smallest >= place.small


def test_texts_stay_on_the_page(drawn) -> None:
    found, analysis, outcomes = drawn
    figure = figures.steps(found, analysis, outcomes=outcomes)
    figure.set_dpi(72)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches() * 72
    for text in figure.texts:
        box = text.get_window_extent(canvas.get_renderer())
        assert box.x0 >= -1, text.get_text()
        assert box.x1 <= width + 1, text.get_text()
        assert box.y0 >= -1, text.get_text()
        assert box.y1 <= height + 1, text.get_text()


def test_the_same_bytes_each_time(drawn) -> None:
    found, analysis, outcomes = drawn
    made = [figures.steps(found, analysis, outcomes=outcomes) for _ in range(2)]
    first, second = (figures.render(one, "pdf") for one in made)
    assert first == second
    assert first.startswith(b"%PDF")
