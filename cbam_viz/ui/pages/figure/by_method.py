"""Columns of other methods on the page Figure, and figures of them that are one click away."""

from __future__ import annotations

import streamlit as st

from cbam_viz.analysis import Analysis
from cbam_viz.figures import format_column
from cbam_viz.figures.ask.presets import PRESETS, preset_columns
from cbam_viz.figures.ask.registry import COLUMNS
from cbam_viz.models import LoadedModel
from cbam_viz.models.metadata import twin_of
from cbam_viz.ui import session
from cbam_viz.ui.pages.figure.state import kept
from cbam_viz.ui.parts.methods import offered, stages
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.sidebar import networks


def columns(analysis: Analysis, at: str, loaded: LoadedModel) -> dict[str, str]:
    """Columns that take more than a forward; `at` says of which network, as a column writes it."""
    options: dict[str, str] = {}
    titles = offered()
    places = stages(loaded) or list(analysis.attention)
    if not analysis.predictions:  # class-targeted maps need a class
        titles = {name: title for name, title in titles.items() if not COLUMNS[name].of_class}
    for name, title in titles.items():
        kind = COLUMNS[name]
        if kind.of_gates and not any(
            one.spatial is not None for one in analysis.attention.values()
        ):
            continue
        if kind.takes:
            # Without a layer it is the last stage, whatever that is called in another network.
            options[f"{name}{at}"] = f"{title} of the last stage"
            options |= {f"{name}{at}:{place}": f"{title} of {place}" for place in places}
        else:
            options[f"{name}{at}"] = title
    if len(analysis.attention) and (analysis.predictions or analysis.detections):
        options[f"effect{at}"] = "Effect of each gate"
    return options


def offer_presets(scene: Scene) -> None:
    """A button for each figure that the sidebar's network can be the first of."""
    twin = _twin(scene)
    if twin is None or not scene.analysis.predictions or "gradcam" not in offered():
        return
    for name, preset in PRESETS.items():
        st.button(
            preset.title,
            icon=":material/compare:",
            help=f"{preset.about[0].upper()}{preset.about[1:]}: the comparison of the CBAM paper.",
            on_click=_take,
            args=(name, twin),
            key=f"figure_preset_{name}",
        )


def _twin(scene: Scene) -> str | None:
    """The file of the network that was made to be compared with the sidebar's."""
    path = scene.request.path
    entry = None if path is None else twin_of(path, networks.entries_beside())
    return None if entry is None else entry.path.name


def _take(name: str, twin: str) -> None:
    values = session.page_settings().values
    kept().preset = values.get("second") != twin
    values["second"] = twin
    values["columns"] = [format_column(one) for one in preset_columns(name)]
