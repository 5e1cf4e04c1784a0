r"""A figure's caption in words, and the LaTeX that sets both.

The caption says what is shown and how values became colours, so that a reader needs nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from cbam_viz.attention import Cells
from cbam_viz.figures.build import Built
from cbam_viz.figures.channels import ByClass
from cbam_viz.figures.content import (
    Axis,
    Floats,
    Grid,
    MapPicture,
    Study,
    axis_of,
    bar_weights,
    find_layer,
)
from cbam_viz.figures.depth import Strip
from cbam_viz.figures.gated import GatedChannel
from cbam_viz.figures.legend import tick_text
from cbam_viz.figures.spec import PREDICTED, Column, FigureSpec
from cbam_viz.figures.tables import shown_values
from cbam_viz.render import Scale
from cbam_viz.statistics import placement_note

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "×": r"$\times$",
    "−": r"$-$",
    "–": "--",
    "…": r"\ldots{}",
}


_NEVER_IN_FILE_NAMES = re.compile(r'[#%{}\\"\x00-\x1f\x7f\ud800-\udfff]|  +')
r"""What `\includegraphics` cannot be told in any spelling."""


def escape(text: str) -> str:
    """The text as LaTeX sets it letter by letter: `_`, `%` and their kin lose their power."""
    plain = re.sub(r"[\x00-\x1f\x7f]+", " ", text)
    return "".join(_SPECIAL.get(letter, letter) for letter in plain)


def file_name(name: str) -> str:
    r"""A name that `\includegraphics` finds, with `-` for letters that LaTeX cannot have there."""
    return re.sub(r"([$&~^])", r"\\string\1", _NEVER_IN_FILE_NAMES.sub("-", name))


def caption(built: Built) -> str:
    """What the figure shows, how it is scaled and what the networks were given, in plain text."""
    border = built.study.border
    told = _sentences(f"Photos are {border}") if border else ""
    return " ".join(filter(None, (_shown(built), told, *_assumptions(built))))


def _shown(built: Built) -> str:
    """What the figure shows and how it is scaled."""
    content, spec, study = built.content, built.spec, built.study
    network = study.networks[0]
    if isinstance(content, Grid):
        return _sentences(
            _grid_caption(content, study), *_map_sentences(spec, content.scale, _maps(content)),
            _place_sentence(built), _frame_sentence(spec, study), *_mark_sentences(spec),
            _bars_sentence(content),
        )  # fmt: skip
    if isinstance(content, Strip):
        return _sentences(
            f"Spatial attention of {len(content.maps)} layers of {network}, in the order in which "
            "they run, after the input",
            *_map_sentences(spec, content.scale, list(content.maps)),
            _place_sentence(built), _frame_sentence(spec, study), *_mark_sentences(spec),
        )  # fmt: skip
    if isinstance(content, GatedChannel):
        weights = ", ".join(f"{weight:.2f}" for weight in content.weights)
        return _sentences(
            f"Channel {content.channel} of layer {content.layer} of {network} before and after its "
            f"gates (channel weight {weights})",
            _range_sentence("All feature maps share one scale", content.grid.scale),
            _place_sentence(built),
            _frame_sentence(spec, study),
        )
    if isinstance(content, ByClass):
        return _sentences(
            f"Channel weights of layer {content.layer} of {network}, one line a class, one cell a "
            "channel; a line is the mean over the photos of its class",
            _range_sentence(f"Colours ({spec.colormap}) share one scale", content.scale),
            _outside_sentence([one.weights for one in content.classes], content.scale),
        )
    photos = len(study.analyses)
    many = f": mean (line) and lowest to highest value (band) over {photos} photos"
    order = "by channel index" if spec.order == "index" else "from the highest to the lowest"
    return _sentences(
        f"Channel weights of {len(content)} layers of {network}, {order}"
        + (many if photos > 1 else ""),
        _axes_sentence(axis_of(layer.weights for layer in content)),
    )


def latex(built: Built, file: str, *, label: str = "cbam-attention") -> str:
    """A `figure` environment (`figure*` across two columns) that includes `file`."""
    wide = built.spec.width == "text" and _two_columns(built.spec)
    environment = "figure*" if wide else "figure"
    # The file has the width of the column already; naming the width guards against a changed class.
    width = {"text": r"\textwidth", "column": r"\columnwidth"}.get(str(built.spec.width))
    option = f"[width={width}]" if width else ""
    plain = _NEVER_IN_FILE_NAMES.sub("-", file)
    rename = f"% LaTeX cannot include a file of that name: rename it to {plain}"
    return "\n".join(
        (
            *(() if plain == file else (rename,)),
            rf"\begin{{{environment}}}[t]",
            r"  \centering",
            rf"  \includegraphics{option}{{{file_name(file)}}}",
            rf"  \caption{{{escape(caption(built))}}}",
            rf"  \label{{fig:{re.sub(r'[^A-Za-z0-9:-]', '-', label)}}}",
            rf"\end{{{environment}}}",
            "",
        )
    )


def _assumptions(built: Built) -> list[str]:
    """What was assumed of the networks' inputs, and why a prediction's place is empty."""
    study, content = built.study, built.content
    told = [
        (analysis.model_name, analysis.fed)
        for analysis in study.analyses[0]
        if analysis.spec is not None and analysis.spec.assumed
    ]
    columns = content.columns if isinstance(content, Grid) else ()
    models = {column.model for column in columns if column.kind in PREDICTED}
    told += [
        (row[model].model_name, row[model].prediction_note)
        for row in study.analyses
        for model in sorted(models)
        if not row[model].predictions
    ]
    several = len(study.networks) > 1
    return [f"{name}: {text}" if several else text for name, text in dict.fromkeys(told)]


def _two_columns(spec: FigureSpec) -> bool:
    from cbam_viz.figures.venues import venue

    place = venue(spec.venue)
    return place.text_width > 1.5 * place.column_width


def _sentences(*parts: str) -> str:
    return " ".join(f"{part}." for part in parts if part)


def _grid_caption(grid: Grid, study: Study) -> str:
    shown = "; ".join(_column_words(column, study) for column in grid.columns)
    networks = study.networks
    of = " and ".join(dict.fromkeys(networks[column.model] for column in grid.columns))
    return f"Attention of {of}. Columns, from left to right: {shown}"


def _column_words(column: Column, study: Study) -> str:
    analysis = study.network(column.model)
    of = f" of {analysis.model_name}" if len(study.networks) > 1 else ""
    if column.kind == "input":
        return "the input"
    if column.kind in ("map", "channels"):
        layer = find_layer(analysis.attention, column.name or "").name
        what = "spatial map" if column.kind == "map" else "channel weights"
        return f"{what} of {layer}{of}"
    if column.kind == "stage":
        return f"mean of the spatial maps of stage {column.name}{of}"
    words = {"class": "the predicted class", "probability": "its probability"}
    return words.get(column.kind, "the predicted class with its probability") + of


def _maps(grid: Grid) -> list[MapPicture]:
    return [place for row in grid.rows for place in row if isinstance(place, MapPicture)]


def _bars_sentence(grid: Grid) -> str:
    if not any(column.kind == "channels" for column in grid.columns):
        return ""
    low, high = axis_of(bar_weights(grid))
    return f"Bars are channel weights on an axis from {low:g} to {high:g}{_beyond(low, high)}"


def _axes_sentence(axis: Axis) -> str:
    if axis == (0.0, 1.0):
        return "The axes run from 0 to 1, the range of the sigmoid"
    low, high = axis
    return f"The axes run from {low:g} to {high:g}{_beyond(low, high)}"


def _beyond(low: float, high: float) -> str:
    return "" if (low, high) == (0.0, 1.0) else ", as these gates go beyond 0 to 1"


def _map_sentences(spec: FigureSpec, scale: Scale | None, maps: Sequence[MapPicture]) -> list[str]:
    if not maps:
        return []
    how = (
        "Maps are shown alone"
        if spec.style == "map"
        else f"Maps lie over the photo at {spec.opacity:.0%} opacity"
    )
    values = [part for one in maps for part in one.values]
    if scale is None:
        return [
            how,
            f"Each map has its own scale, from its lowest to its highest value ({spec.colormap}), "
            "printed on it; colours cannot be compared between maps",
            _nan_sentence(values),
        ]
    kind = "one absolute scale" if scale.kind == "absolute" else "one scale"
    shared = _range_sentence(f"Colours ({spec.colormap}) share {kind}", scale)
    return [how, shared, _outside_sentence(values, scale), _nan_sentence(values)]


def _outside_sentence(values: Sequence[Floats], scale: Scale) -> str:
    """What becomes of values beyond the colours, if there are any."""
    everything = np.concatenate([one[~np.isnan(one)].ravel() for one in values])
    if not everything.size or not (share := scale.share_outside(everything)):
        return ""
    low, high = float(everything.min()), float(everything.max())
    return (
        f"Values go from {low:.3g} to {high:.3g}; {_share_text(share).lower()} of them lie beyond "
        "the scale and have the colour of its nearer end"
    )


def _nan_sentence(values: Sequence[Floats]) -> str:
    share = float(np.mean(np.concatenate([np.isnan(one).ravel() for one in values])))
    return f"{_share_text(share)} of the values are no numbers, in magenta" if share else ""


def _share_text(share: float) -> str:
    return "Less than 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def _range_sentence(start: str, scale: Scale | None) -> str:
    if scale is None:
        return ""
    span = scale.high - scale.low
    return f"{start} from {tick_text(scale.low, span)} to {tick_text(scale.high, span)}"


def _place_sentence(built: Built) -> str:
    note = placement_note(Cells(**one) for entry in shown_values(built) for one in entry.cells)
    known, _, why = note.removeprefix("place ").partition(": ")
    return f"Places of maps are {known}: {why}" if note else ""


def _frame_sentence(spec: FigureSpec, study: Study) -> str:
    analysis = study.analyses[0][0]
    height, width = analysis.geometry.input_size
    if any(spec.row(index).crop for index in range(len(study.analyses))):
        return "Photos are cropped"
    if analysis.geometry.view == "whole":
        return "The network saw whole photos"
    if spec.frame == "seen":
        return f"Photos are cut to what the network saw ({height} × {width} pixels of input)"
    return "What the network did not see is faded"


def _mark_sentences(spec: FigureSpec) -> list[str]:
    levels = ", ".join(f"{level:g}" for level in spec.contours)
    return [
        f"Contours: {levels}" if spec.contours else "",
        "The dashed outline is what the network saw" if spec.mark_seen else "",
        "Insets show the outlined region enlarged" if any(row.zoom for row in spec.rows) else "",
    ]
