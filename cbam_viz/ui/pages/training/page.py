"""Page Training: maps by epoch, numbers by layer, and gates that went wrong since when."""

from __future__ import annotations

import math
from collections.abc import Callable

import streamlit as st

from cbam_viz._places import runs_folder
from cbam_viz._text import few
from cbam_viz.charts.training import epoch_curves
from cbam_viz.layer_names import both_names
from cbam_viz.runs import Finding, GateNumbers
from cbam_viz.runs.findings import WORDS
from cbam_viz.ui import session
from cbam_viz.ui.glossary import hint
from cbam_viz.ui.pages.training import maps, runs
from cbam_viz.ui.parts.layout import two_columns
from cbam_viz.ui.scene import Scene
from cbam_viz.ui.words import layer_beside, plain

CURVES: dict[str, tuple[str, Callable[[GateNumbers], float | None], str]] = {
    "mean": ("Mean", lambda one: one.mean, "The gate's mean."),
    "spread": ("Spread", lambda one: one.spread,
               "Standard deviation over channels, or over the map."),
    "saturated": ("Saturated", lambda one: one.saturated,
                  "Share of the gate below 0.05 or above 0.95."),
    "entropy": ("Entropy", lambda one: one.entropy,
                "1 where all values are equal, 0 if all but one are zero."),
    "within": ("Within photos", lambda one: one.within,
               "Share of the gate's variance in patterns of single photos."),
    "between": ("Between photos", lambda one: one.between,
                "Share of the gate's variance in levels that differ from photo to photo. What is "
                "neither within nor between is the same for every photo."),
    "previous": ("Change from before", lambda one: one.change_previous,
                 "Root mean squared difference from the gate at the point measured before."),
    "last": ("Distance to the last", lambda one: one.change_last,
             "Root mean squared difference from the gate at the last point measured."),
}  # fmt: skip
"""What curves show: title, value, and what it is."""
GATES = {"spatial": "Spatial maps", "channel": "Channel weights"}


def page(scene: Scene) -> None:
    """Choose a run; its warnings, maps and curves."""
    names = runs.names()
    if not names:  # somebody has taken away the run that comes along
        _say_how()
        return
    run = runs.opened(_choose(names))
    record = run.run.record
    st.caption(plain(runs.told(run.run)))
    _say_waiting()
    found = runs.found(run)
    _warn(found, run.run.called(run.run.numbers[-1]))
    number = _number(run)
    layer = _layer(run)
    if layer in run.run.maps:
        shown = maps.Shown(layer, _photo(run), scene.settings.colormap, scene.settings.opacity)
        left, right = two_columns("training")
        with left:
            maps.large(run, shown, number)
        with right:
            _table(run, layer, number)
        maps.strip(run, shown, number)
    else:
        _table(run, layer, number)
    _curves(run, layer, number)
    if record.made_by == "log":
        st.caption("Written by the training itself, on its own inputs, with log_gates.")


def _choose(names: list[str]) -> str:
    """The run, which is in the link also where it is the first: another may come before it."""
    name: str = st.selectbox(
        "Run", names, format_func=runs.title, **session.control("run", names[0], names)
    )
    own = session.page_settings()
    own.params[f"{own.prefix}run"] = name
    return name


def _say_how() -> None:
    st.markdown(
        "A **run** holds what the gates of a network did from epoch to epoch of its training. "
        "Measure a folder of checkpoints with the command below, and it is listed here."
    )
    st.code(f"cbam-viz watch {runs_folder() / 'mine'}", language=None)


def _say_waiting() -> None:
    waiting = runs.waiting()
    if waiting:
        st.caption(
            f"Not measured yet: {plain(few(waiting))}. The command cbam-viz watch "
            f"{plain(str(runs_folder() / waiting[0]))} does that."
        )


def _warn(found: list[Finding], now: str) -> None:
    """What is wrong at the last epoch, and behind a click what was wrong for a time."""
    lasting = [one for one in found if one.lasts]
    passed = [one for one in found if not one.lasts]
    if not lasting:
        st.markdown(
            f":material/check_circle: No gate is collapsed, saturated or constant at {plain(now)}."
        )
    for one in lasting:
        st.markdown(
            f":orange[:material/flag: {plain(one.sentence)}]",
            help=hint("saturated") if one.kind == "saturated" else None,
        )
    if passed:
        with st.expander(f"Problems that have passed ({len(passed)})", icon=":material/history:"):
            for one in passed:
                st.caption(plain(one.sentence))


def _number(run: runs.Opened) -> int:
    """The epoch, at a slider; the last one until the visitor moves it."""
    numbers, unit = list(run.run.numbers), run.run.record.unit
    if len(numbers) == 1:
        return numbers[0]
    number: int = st.select_slider(
        unit.capitalize(), numbers, **session.control("at", numbers[-1], numbers)
    )
    return number


def _layer(run: runs.Opened) -> str:
    names = list(run.run.layers)
    first = (run.run.maps or tuple(names))[-1]
    called = runs.titles_of(run)
    name: str = st.selectbox(
        "Layer",
        names,
        format_func=lambda one: layer_beside(one, called[one]),
        **session.control("layer", first, names),
    )
    return name


def _photo(run: runs.Opened) -> int:
    names = [one.name for one in run.run.record.probes]
    if len(names) == 1:
        return 0
    places = list(range(len(names)))
    at: int = st.segmented_control(
        "Photo",
        places,
        format_func=lambda n: plain(names[n]),
        required=True,
        **session.control("photo", 0, places),
    )
    return at


def _table(run: runs.Opened, layer: str, number: int) -> None:
    """The numbers of one layer at the chosen epoch."""
    rows = [one for one in runs.numbers(run) if (one.layer, one.number) == (layer, number)]
    called = runs.titles_of(run)[layer]
    st.markdown(f"**{plain(both_names(layer, called))}** at {plain(run.run.called(number))}")
    st.dataframe(
        {
            "": [title for title, _, _ in CURVES.values()],
            **{
                WORDS[one.part].capitalize(): [_known(get(one)) for _, get, _ in CURVES.values()]
                for one in rows
            },
        },
        key="training_numbers",
        hide_index=True,
        height="content",
        column_config={
            WORDS[one.part].capitalize(): st.column_config.NumberColumn(format="%.3f")
            for one in rows
        },
        alt=f"Numbers of {called} at {run.run.called(number)}",
    )


def _curves(run: runs.Opened, layer: str, number: int) -> None:
    """One number of every layer over all epochs."""
    st.subheader("By layer", anchor=False)
    with st.container(horizontal=True):
        part = st.segmented_control(
            "Gates",
            list(GATES),
            format_func=GATES.__getitem__,
            required=True,
            **session.control("gate", "spatial", GATES),
        )
        what = st.selectbox(
            "Number",
            list(CURVES),
            format_func=lambda key: CURVES[key][0],
            width=220,
            **session.control("number", "mean", CURVES),
        )
    title, get, about = CURVES[what]
    known = {(o.layer, o.number): _known(get(o)) for o in runs.numbers(run) if o.part == part}
    called = runs.titles_of(run)
    lines = {
        called[name]: [known.get((name, at)) for at in run.run.numbers]
        for name in run.run.layers
        if (name, run.run.numbers[0]) in known
    }
    if not lines:
        st.info(f"No layer of this network has {GATES[part].lower()}.")
        return
    spec = epoch_curves(
        lines,
        run.run.numbers,
        chosen=called[layer],
        at=number,
        unit=run.run.record.unit,
        title=title,
    )
    st.vega_lite_chart(spec=spec, key="training_curves", width="stretch")
    st.caption(f"{about} Averaged over {len(run.run.record.probes)} probe photos.")


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
