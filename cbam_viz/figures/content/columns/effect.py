"""What each gate does for a class: `effect@CLASS`, a bar for each gate.

A bar is the change of the class's probability when that gate alone is put to 1, which takes it
away: below 0, the network is less sure without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from cbam_viz.ablation import Effects
from cbam_viz.analysis import Analysis
from cbam_viz.figures.ask.columns import Column
from cbam_viz.figures.content.made import made_for
from cbam_viz.figures.content.values import EffectBars, GateEffect, Place, axis_around

of_a_network = True


def settled(column: Column, analysis: Analysis) -> Column:
    """See `Answer`."""
    return column


def places(column: Column, analyses: Sequence[Analysis]) -> list[Place]:
    """See `Answer`. All have one axis, so that they can be compared."""
    rows: list[tuple[GateEffect, ...]] = []
    for analysis in analyses:
        effects = made_for(column, analysis).found
        assert isinstance(effects, Effects)
        rows.append(
            tuple(
                GateEffect(one.name, one.kind, one.mean)
                for one in effects.rows
                if one.score == effects.scores[0] and one.kind != "both"
            )
        )
    axis = axis_around([one.change for row in rows for one in row])
    found: list[Place] = []
    for analysis, row in zip(analyses, rows, strict=True):
        made = made_for(column, analysis)
        assert isinstance(made.found, Effects)
        assert made.target is not None
        found.append(EffectBars(analysis, row, made.target, axis, made.found.skipped))
    return found


def head(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return "Effect of each gate"


def words(column: Column, analysis: Analysis) -> str:
    """See `Answer`."""
    return "the effect of each gate"
