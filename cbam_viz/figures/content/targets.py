"""The classes that columns are for: in headings, below pictures, and in captions."""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.content.values import EffectBars, MapPicture, Place, Study, Target
from cbam_viz.figures.wording import NO_BREAK, tick_text
from cbam_viz.methods import METHODS

MOST_LISTED = 4
"""Photos whose classes a caption lists; of more, they stand below the pictures alone."""


def target_in(place: Place) -> Target | None:
    """What a place is for; None if it is for no class."""
    return place.target if isinstance(place, (MapPicture, EffectBars)) else None


def titled(
    column: Column, head: str, places: Sequence[Place], *, heads: bool
) -> tuple[str, tuple[str, ...]]:
    """A column's heading with the class that it is for, and what stands below each photo's place.

    Of one photo the heading says all; of several, the class if it is the same, and each photo has
    its probability below it. Else, and under a heading of one's own or none, all stands below.
    """
    targets = [target_in(place) for place in places]
    known = [one for one in targets if one is not None]
    if not known:
        return head, ("",) * len(places)
    names = {one.name for one in known}
    if column.head is not None or not heads or len(names) > 1:
        return head, tuple(map(_both, targets))
    if len(places) == 1:
        share = known[0].share
        return f"{head} for {known[0].name}" + (f", {_equals(known[0])}" if share else ""), ("",)
    shares = tuple(_equals(one) if one and one.share else "" for one in targets)
    return f"{head} for {known[0].name}", shares


def _both(target: Target | None) -> str:
    return "" if target is None else f"{target.name}\n{target.share}".strip()


def _equals(target: Target) -> str:
    if target.quantity == "score":
        return f"score{NO_BREAK}{target.share}"
    return f"P{NO_BREAK}={NO_BREAK}{target.share}"


def target_sentences(
    columns: Sequence[Column], rows: Sequence[Sequence[Place]], study: Study
) -> list[str]:
    """Which class columns are for, and how probable the networks find it."""
    told: dict[str, list[str]] = {}
    for number, column in enumerate(columns):
        places = [row[number] for row in rows]
        if not any(map(target_in, places)):
            continue
        what = f"class that {study.networks[0]} predicts" if column.target is None else "class"
        if any(one.quantity == "score" for one in map(target_in, places) if one is not None):
            what = "object of the highest score" if column.target is None else "object"
        listed = _classes(places, [row[0].photo.name for row in study.analyses])
        told.setdefault(f"for the {what}: {listed}", []).append(str(number + 1))
    return [
        f"Column {numbers[0]} is {what}"
        if len(numbers) == 1
        else f"Columns {_listed(numbers)} are {what}"
        for what, numbers in told.items()
    ]


def _classes(places: Sequence[Place], photos: Sequence[str]) -> str:
    known = [
        (photo, target)
        for photo, place in zip(photos, places, strict=True)
        if (target := target_in(place)) is not None
    ]
    names = dict.fromkeys(target.name for _, target in known)
    if len(known) > MOST_LISTED:
        one = next(iter(names))
        return one if len(names) == 1 else "as written below each picture"
    return "; ".join(
        target.name
        + (f" on {photo}" if len(known) > 1 else "")
        + (f", {target.quantity} {target.share}" if target.share else "")
        for photo, target in known
    )


def method_sentences(maps: Sequence[MapPicture], colormap: str) -> list[str]:
    """How values of other methods became colours, and what is to be known of them."""
    if not maps:
        return []
    titles = dict.fromkeys(one.quantity for one in maps)
    notes = [one.note.rstrip(".") for one in METHODS.values() if one.title in titles and one.note]
    flat = [one for one in maps if one.scale.low == one.scale.high]
    each = "Each map" if len(maps) > 1 else "The map"
    return [
        f"{each} of {_listed(list(titles))} has its own scale ({colormap}), from 0, or its lowest "
        "value where that is below 0, to its highest; both ends are printed on it",
        *(
            f"That of {one.quantity} on {one.analysis.photo.name} by {one.analysis.model_name} is "
            f"{tick_text(one.scale.low, 0)} everywhere and says nothing of any place"
            for one in flat
        ),
        *notes,
    ]


def effect_sentences(bars: Sequence[EffectBars]) -> list[str]:
    """What bars of effects show; nothing if there are none."""
    if not bars:
        return []
    skipped = dict.fromkeys(sentence.rstrip(".") for one in bars for sentence in one.skipped)
    return [
        f"Bars are the change of the {bars[0].target.quantity} when one gate alone is put to 1, "
        "which takes it away (below 0 the network is less sure without it), in order of execution: "
        "dark for channel weights, light for spatial maps",
        *skipped,
    ]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
