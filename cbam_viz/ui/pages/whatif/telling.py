"""What other gates change, in sentences. Nothing here knows Streamlit."""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz._text import few
from cbam_viz.ablation import Aim, Constant, Effect, Mean, Replacement
from cbam_viz.ablation.results import SMALL
from cbam_viz.analysis import Analysis
from cbam_viz.computation import GateKind
from cbam_viz.layer_names import Titles
from cbam_viz.ui.parts.strokes import Brushed
from cbam_viz.ui.words import percent, plain

WORDS: dict[str, tuple[str, str]] = {
    "channel": ("the channel weights", "channel weights"),
    "spatial": ("the spatial map", "spatial maps"),
    "both": ("the channel weights and the spatial map", "gates"),
}
"""Of one layer, and of several."""
UNCHANGED = 0.0005
"""What a share must move by to be told in percent with one decimal."""


def gates_of(kinds: Sequence[GateKind], titles: Sequence[str], stage: str, every: bool) -> str:
    """Which gates, such as `the spatial maps of stage 3`; `stage` is its title if it is one."""
    one, several = WORDS["both" if len(kinds) > 1 else kinds[0]]
    if every:
        return f"all {several}"
    if stage:
        return f"the {several} of {stage}"
    if len(titles) == 1:
        return f"{one} of {titles[0]}"
    return f"the {several} of {few(titles, 3)}"


def with_instead(by: Replacement, gates: str, *, one: bool) -> str:
    """Such as `Without the spatial maps of stage 3`; `one` if that is a single gate."""
    if by == Constant(1.0):
        return f"Without {gates}"
    if isinstance(by, Constant):
        return f"With {by.value:g} in place of {gates}"
    if isinstance(by, Brushed):
        return f"With {'what is painted' if by.cells else 'nothing painted yet'} on {gates}"
    if isinstance(by, Mean):
        return f"With {'its mean' if one else 'means'} in place of {gates}"
    return f"With {gates} shuffled"


def moves(aim: Aim, after: float) -> str:
    """What becomes of a class or object, such as `cat falls from 93.0 % to 41.0 %`."""
    name, before = plain(aim.label), percent(aim.before)
    if aim.kind != "class" and after == 0:
        return f"{name} is not found any more (its score was {before})"
    if abs(after - aim.before) < UNCHANGED:
        return f"{name} stays at {before}"
    return f"{name} {'falls' if after < aim.before else 'rises'} from {before} to {percent(after)}"


def outcome(lead: str, aim: Aim, after: float, before: Analysis, changed: Analysis) -> str:
    """What the network says with other gates, in a sentence."""
    told = f"{plain(lead)}, **{moves(aim, after)}**"
    if aim.kind == "object" and before.detections is not None:
        count = 0 if changed.detections is None else len(changed.detections)
        if count != len(before.detections):
            told += f"; {count} are found in place of {len(before.detections)}"
    if before.predictions and changed.predictions:
        old, new = before.predictions[0], changed.predictions[0]
        if old.index == new.index:
            told += f"; the network still says {plain(new.label)}"
            if new.index != aim.place:
                told += f", {percent(new.probability)}"
        else:
            told += (
                f"; the network now says **{plain(new.label)}, {percent(new.probability)}** in "
                f"place of {plain(old.label)}"
            )
    return f"{told}."


def summary(rows: Sequence[Effect], aim: Aim, by: Replacement, titles: Titles) -> str:
    """What the effects on one photo amount to: of single gates, and of stages if there are several.

    `rows` are effects on the aim's share, of one photo.
    """
    told = []
    for unit in ("stage", "gate"):
        among = sorted((row for row in rows if row.unit == unit), key=lambda row: -abs(row.mean))
        if unit == "gate" or len({row.name for row in among}) > 1:
            told.append(_of_unit(among, aim, by, titles))
    return " ".join(filter(None, told))


def _of_unit(among: Sequence[Effect], aim: Aim, by: Replacement, titles: Titles) -> str:
    """The largest effect, and where there is none; the rows are ranked."""
    if not among:
        return ""
    first, single = among[0], among[0].unit == "gate"
    if abs(first.mean) < SMALL:
        alone = "single gate" if single else "stage's gates"
        do = "changes" if single else "change"
        return f"No {alone} {do} much here: {plain(aim.label)} stays near {percent(aim.before)}."
    lead = with_instead(by, named(first, titles), one=single)
    told = f"{plain(lead)}, **{moves(aim, float(first.after[0]))}**"
    nothing = [row for row in among if row.kind == first.kind and abs(row.mean) < SMALL]
    if nothing:
        least = plain(place_of(nothing[-1], titles))
        that = "that" if single and first.kind == "spatial" else "those"
        told += (
            f"; without {that} of {least} nothing changes"
            if by == Constant(1.0)
            else f"; the same at {least} changes nothing"
        )
    return f"{told}."


def place_of(row: Effect, titles: Titles) -> str:
    """Which layer or stage, as people call it; `all layers` for all of them."""
    if row.unit == "all":
        return "all layers"
    return (titles.layers if row.unit == "gate" else titles.stages).get(row.name, row.name)


def named(row: Effect, titles: Titles) -> str:
    """The gates of an effect, such as `the spatial maps of stage 3`."""
    one, several = WORDS[row.kind]
    if row.unit == "all":
        return f"all {several}"
    return f"{one if row.unit == 'gate' else f'the {several}'} of {place_of(row, titles)}"
