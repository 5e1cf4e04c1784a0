"""`cbam-viz compare --method`: another method's maps of networks, or photos, beside each other.

Values of such a method have no unit that two networks share, so nothing is subtracted; how far the
maps agree hangs on no unit. Networks without gates can be compared so.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbam_viz.cli.files import write
from cbam_viz.cli.text import finite, print_json, print_table, say
from cbam_viz.errors import MetricError

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.figures import FigureSpec, Study
    from cbam_viz.images import Photo, View
    from cbam_viz.methods import MethodMap
    from cbam_viz.models import LoadedModel


@dataclass(frozen=True)
class Asked:
    """What maps are compared."""

    method: str
    layer: str | None
    """None for the output of each network's last stage."""
    target: str | None
    """A class, or a detector's box; None for what the first network predicts."""
    pairs: tuple[tuple[int, str, str], ...]
    """Layers of other networks, by their number from 0."""

    def check(self) -> None:
        """Raises click.UsageError for what does not belong together."""
        from cbam_viz.methods import METHODS

        method = METHODS[self.method]
        if self.target is not None and not method.of_class:
            raise click.UsageError(f"{method.title} knows no class: leave --target out.")
        if (self.layer or self.pairs) and not method.of_layer:
            raise click.UsageError(f"{method.title} is of no layer: leave --layer and --pair out.")

    def spec(self, networks: int) -> FigureSpec:
        """The figure: the photo, and a column for each network."""
        from cbam_viz.figures import Column, FigureSpec

        others = {number: layer for number, _, layer in self.pairs}
        columns = [
            Column(self.method, others.get(number, self.layer), number, None, self.target)
            for number in range(networks)
        ]
        return FigureSpec(layout="grid", columns=(Column("input"), *columns), venue="free")


def compare_methods(
    asked: Asked,
    networks: Sequence[LoadedModel],
    photos: Sequence[Photo],
    view: View,
    *,
    same_scene: bool,
    outputs: Sequence[Path],
    force: bool,
    as_json: bool,
) -> None:
    """Make the maps, write and print them, with how far they agree with the first's."""
    from cbam_viz import figures

    spec = asked.spec(len(networks))
    study = figures.study(spec, networks, photos, view)
    rows = _rows(spec, study, same_scene=same_scene)
    told = {"method": asked.method, "target": asked.target, "maps": rows}
    written = []
    for output in outputs:
        ending = output.suffix.lower()
        if ending == ".csv":
            data = _csv(rows).encode()
        elif ending == ".json":
            data = f"{json.dumps(finite(told), indent=2, ensure_ascii=False)}\n".encode()
        else:
            built = figures.build(spec, study)
            data = built.render(figures.format_of(output.name))
        written.append(write(output, data, force=force))
    if as_json:
        print_json({**told, "files": [str(one) for one in written]})
        return
    _print(rows)
    for one in written:
        say(f"Wrote {one}.")


def _rows(spec: FigureSpec, study: Study, *, same_scene: bool) -> list[dict[str, Any]]:
    """A row for each map; agreement is with the first where both are of one photo."""
    from cbam_viz._text import distinct
    from cbam_viz.evaluation.agreement import agreement
    from cbam_viz.figures.content.made import made_for

    networks = distinct([one.model_name for one in study.analyses[0]])
    photos = distinct([analyses[0].photo.name for analyses in study.analyses])
    rows: list[dict[str, Any]] = []
    first: tuple[Analysis, MethodMap] | None = None
    for photo, analyses in zip(photos, study.analyses, strict=True):
        for column in spec.columns[1:]:
            analysis = analyses[column.model]
            made: Any = made_for(column, analysis)
            found: MethodMap = made.found
            said = None if made.target is None else made.target.probability
            row = {"network": networks[column.model], "photo": photo, **_row(found, said)}
            rows.append(row)
            if first is None:
                first = analysis, found
                continue
            one, of = first
            same = one.photo.sha256 == analysis.photo.sha256
            if not (same or (same_scene and one.photo.size == analysis.photo.size)):
                continue
            try:
                both = agreement((of.values, of.cells), (found.values, found.cells), one.geometry,
                                 of_other=analysis.geometry)  # fmt: skip
            except MetricError:  # nothing that both saw
                continue
            for name in ("pearson", "spearman", "overlap"):
                row[name] = getattr(both, name)
                row[f"{name}_chance"] = both.chance[name]
    return rows


def _row(found: MethodMap, probability: float | None) -> dict[str, Any]:
    return {
        "map": found.title,
        "layer": found.layer,
        "target": found.target_name,
        "probability": probability,
        "score": found.score,
        "score_kind": found.score_kind,
        "lowest": float(found.values.min()),
        "highest": float(found.values.max()),
        **{
            f"{name}{ending}": None
            for name in ("pearson", "spearman", "overlap")
            for ending in ("", "_chance")
        },
    }


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    out = io.StringIO()
    flat = []
    for row in rows:
        one = {key: value for key, value in row.items() if not key.endswith("_chance")}
        for name in ("pearson", "spearman", "overlap"):
            low, high = row[f"{name}_chance"] or (None, None)
            one |= {f"{name}_chance_low": low, f"{name}_chance_high": high}
        flat.append(one)
    table = csv.DictWriter(out, list(flat[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(flat)
    return out.getvalue()


def _print(rows: Sequence[dict[str, Any]]) -> None:
    head = ("network", "photo", "map", "says", "lowest", "highest", "Pearson", "Spearman", "IoU")
    print_table(
        head,
        [
            (
                row["network"],
                row["photo"],
                row["map"],
                "" if row["probability"] is None else f"{row['probability']:.1%}",
                f"{row['lowest']:.3g}",
                f"{row['highest']:.3g}",
                *("" if row[name] is None else f"{row[name]:.2f}"
                  for name in ("pearson", "spearman", "overlap")),
            )
            for row in rows
        ],
        right="says lowest highest Pearson Spearman IoU",
    )  # fmt: skip
    say(
        "\nEach map has its own unit, so nothing is subtracted. Agreement is with the first map; "
        "what chance would get is in --json."
    )
