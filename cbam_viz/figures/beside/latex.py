r"""The LaTeX that sets a figure with its caption."""

from __future__ import annotations

import re

from cbam_viz.figures.ask.spec import FigureSpec
from cbam_viz.figures.ask.venues import venue
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.content.composition import Composition

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


def latex(figure: Composition, file: str, *, label: str = "cbam-attention") -> str:
    """A `figure` environment (`figure*` across two columns) that includes `file`."""
    wide = figure.spec.width == "text" and _two_columns(figure.spec)
    environment = "figure*" if wide else "figure"
    # The file has the width of the column already; naming the width guards against a changed class.
    width = {"text": r"\textwidth", "column": r"\columnwidth"}.get(str(figure.spec.width))
    option = f"[width={width}]" if width else ""
    plain = _NEVER_IN_FILE_NAMES.sub("-", file)
    rename = f"% LaTeX cannot include a file of that name: rename it to {plain}"
    return "\n".join(
        (
            *(() if plain == file else (rename,)),
            rf"\begin{{{environment}}}[t]",
            r"  \centering",
            rf"  \includegraphics{option}{{{file_name(file)}}}",
            rf"  \caption{{{escape(caption(figure))}}}",
            rf"  \label{{fig:{re.sub(r'[^A-Za-z0-9:-]', '-', label)}}}",
            rf"\end{{{environment}}}",
            "",
        )
    )


def _two_columns(spec: FigureSpec) -> bool:
    place = venue(spec.venue)
    return place.text_width > 1.5 * place.column_width
