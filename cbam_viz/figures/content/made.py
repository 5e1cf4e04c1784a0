"""What a figure shows beyond a network's one forward: maps of other methods, effects of gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from cbam_viz.ablation import Aim, Effects, aim_of, effects_on_photo
from cbam_viz.ablation.followed import scores_of, shares_in
from cbam_viz.analysis import Analysis
from cbam_viz.errors import CbamVizError, FigureError
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.ask.registry import COLUMNS
from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.content.values import Target
from cbam_viz.layer_names import find_name
from cbam_viz.methods import METHODS, MethodMap, is_installed, photo_maps
from cbam_viz.methods.boxes import place_of
from cbam_viz.methods.maps import INSTALL
from cbam_viz.methods.targets import target_of
from cbam_viz.models import LoadedModel
from cbam_viz.models.loaded import feature_entries

EFFECT = "effect"
"""The kind of column that is no method's."""


@dataclass(frozen=True, eq=False)
class Made:
    """What was made of a photo for one column."""

    layer: str | None
    """By name; None where there is none."""
    target: Target | None
    """What it is for; None for a method that knows no class."""
    found: MethodMap | Effects


@dataclass(frozen=True, eq=False)
class Studied(Analysis):
    """An analysis with what its figure shows beyond the forward."""

    made: Mapping[tuple[str, str | None, str | None], Made] = field(default_factory=dict)
    """By `asked(column)`, both as it was asked for and with its layer by name."""


def asked(column: Column) -> tuple[str, str | None, str | None]:
    """What a column asks of a network on a photo, whatever it is called there."""
    return column.kind, column.name, column.target


def made_columns(spec: FigureSpec, model: int) -> tuple[Column, ...]:
    """The columns of network number `model` that are made so; each once."""
    if spec.layout != "grid":
        return ()
    columns = [one for one in spec.columns if one.model == model and COLUMNS[one.kind].made]
    return tuple({asked(one): one for one in columns}.values())


def check_made(spec: FigureSpec) -> None:
    """Refuse columns of methods that are not installed. Raises FigureError."""
    for column in spec.columns:
        if COLUMNS[column.kind].made and column.kind != EFFECT and not is_installed(column.kind):
            raise FigureError(INSTALL.format(METHODS[column.kind].title))


def with_made(
    analysis: Analysis, loaded: LoadedModel, columns: Sequence[Column], first: Analysis | None
) -> Analysis:
    """The analysis with what columns of this network ask for beyond it.

    `first` is the same photo by the figure's first network, whose predicted class columns are for
    that name none; None if this is the first.

    Raises:
        FigureError: the network has no such layer or class, or the method makes no map of it.
    """
    if not columns:
        return analysis
    made: dict[tuple[str, str | None, str | None], Made] = {}
    for column in columns:
        try:
            one = _made(analysis, loaded, column, first)
        except FigureError:
            raise
        except CbamVizError as error:
            raise FigureError(str(error)) from error
        made[asked(column)] = made[column.kind, one.layer, column.target] = one
    known = {one.name: getattr(analysis, one.name) for one in fields(Analysis)}
    return Studied(**known, made=made)


def made_for(column: Column, analysis: Analysis) -> Made:
    """What was made for a column on a photo. Raises FigureError if nothing was."""
    found = analysis.made.get(asked(column)) if isinstance(analysis, Studied) else None
    if found is None:
        raise FigureError(
            f"A column {column.kind!r} is made with the network itself: give build(spec, "
            "figures.study(spec, [network], photos)) in place of analyses."
        )
    return found


def _made(analysis: Analysis, loaded: LoadedModel, column: Column, first: Analysis | None) -> Made:
    if column.kind == EFFECT:
        aim = _aim(analysis, loaded, column, first)
        effects = effects_on_photo(loaded, analysis, aim, "one", units=("gate",))
        if aim.kind == "class":
            return Made(None, Target(aim.label, aim.before), effects)
        name = f"{'box' if aim.kind == 'object' else 'region'} {aim.place + 1}, {aim.label}"
        return Made(None, Target(name, aim.before, "score"), effects)
    wish = None
    if COLUMNS[column.kind].of_class:
        wish = _class(analysis, loaded, column, first)
    layer = _layer(analysis, loaded, column) if COLUMNS[column.kind].takes else None
    (found,) = photo_maps(
        loaded,
        analysis.photo,
        (layer or "",),
        (column.kind,),
        wish,
        view=analysis.geometry.view,
        attention=None if analysis.no_gates else analysis.attention,
    )
    if found.box is not None:
        assert analysis.detections is not None
        score = float(analysis.detections.scores[found.box - 1])
        return Made(layer, Target(found.target_name, score, "score"), found)
    if found.target is None:
        return Made(layer, None, found)
    return Made(
        layer, Target(found.target_name, _probability(analysis, loaded, found.target)), found
    )


def _layer(analysis: Analysis, loaded: LoadedModel, column: Column) -> str:
    """The layer, module or stage that is meant; without a name the output of the last stage."""
    modules = {name for name, _ in loaded.model.named_modules() if name}
    names = list(analysis.attention)
    if column.name is not None:
        if column.name in modules and column.name not in names:
            return column.name
        return find_name(analysis.attention, column.name) or column.name
    stages = [str(entry.get("module", "")) for entry in feature_entries(loaded.model)]
    for name in (*reversed([one for one in stages if one in modules]), *reversed(names)):
        return name
    raise FigureError(
        f"Nothing says which layer of {loaded.name} to take: write {column.kind}:NAME, with the "
        "path of a module."
    )


def _class(
    analysis: Analysis, loaded: LoadedModel, column: Column, first: Analysis | None
) -> int | str | None:
    """The class that a column is for; of a detector a box, None for that of the highest score."""
    if analysis.detections is not None and not analysis.predictions:
        return column.target
    if not analysis.predictions:
        raise FigureError(
            f"{loaded.name} gives no class scores, so there is no class for a column "
            f"{column.kind!r}. {analysis.prediction_note} The columns eigencam and whole are for "
            "no class."
        )
    if column.target is not None:
        return column.target
    best = (first or analysis).predictions
    if first is not None and best:
        label, names = best[0].label, loaded.classes
        if names is not None and label in names:
            return label
        if names is None and first.classes is None and best[0].index < _count(analysis, loaded):
            return best[0].index
    return analysis.predictions[0].index


def _aim(analysis: Analysis, loaded: LoadedModel, column: Column, first: Analysis | None) -> Aim:
    """The class whose probability gates have an effect on; of a detector an object's score."""
    if analysis.detections is not None and not analysis.predictions:
        return aim_of(analysis, place_of(column.target, analysis.detections, loaded.name))
    wish = _class(analysis, loaded, column, first)
    assert wish is not None
    target = target_of(wish, analysis.attention.output, loaded.classes, loaded.model)
    assert target.index is not None
    share = _probability(analysis, loaded, target.index)
    return Aim("class", target.index, target.name, 0.0 if share is None else share)


def _count(analysis: Analysis, loaded: LoadedModel) -> int:
    scores = scores_of(loaded, analysis)
    return 0 if scores is None else scores.count


def _probability(analysis: Analysis, loaded: LoadedModel, index: int) -> float | None:
    scores = scores_of(loaded, analysis)
    return None if scores is None else float(shares_in(analysis.attention.output, scores)[index])
