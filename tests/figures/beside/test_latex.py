from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pypdf
import pytest

from cbam_viz.figures import FigureSpec, Row, Study, build, columns_from_text
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.beside.latex import escape, latex
from cbam_viz.images import InputSpec

from ..conftest import make_analysis, make_photo


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("layer1_0.se", r"layer1\_0.se"),
        ("50 % & $5 #1", r"50 \% \& \$5 \#1"),
        ("a\\b{c}", r"a\textbackslash{}b\{c\}"),
        ("x^2~y", r"x\textasciicircum{}2\textasciitilde{}y"),
        ("224 × 224", r"224 $\times$ 224"),
        ("line\nbreak\x00", "line break "),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
    ],
)
def test_letters_lose_their_power(text: str, wanted: str) -> None:
    assert escape(text) == wanted


def test_no_text_gets_out_of_its_caption() -> None:
    hostile = make_analysis(network=r"\input{/etc/passwd} } \end{figure} %")
    text = latex(build(FigureSpec(), hostile), "a b}$.pdf", label="x}y")
    body = text[text.index(r"\caption{") :]
    depth, position = 0, len(r"\caption")
    escaped = False
    for position in range(len(r"\caption"), len(body)):
        letter = body[position]
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter in "{}":
            depth += 1 if letter == "{" else -1
            if depth == 0:
                break
    assert body[position + 1 :].startswith("\n  \\label{fig:x-y}")
    assert r"\input" not in text
    assert r"\includegraphics[width=\textwidth]{a b-\string$.pdf}" in text


def test_the_caption_says_what_is_shown_and_how(two_networks: Study) -> None:
    spec = FigureSpec(columns=columns_from_text("input,map:0,map@2:-1,stage:layer2,prediction@2"))
    words = caption(build(spec, two_networks))
    assert words.startswith("Attention of ResNet-18 and Other. Columns, from left to right: ")
    assert "spatial map of layer1.0.se of ResNet-18; spatial map of layer2.1.se of Other" in words
    assert "mean of the spatial maps of stage layer2 of ResNet-18" in words
    assert "Colours (viridis) share one absolute scale from 0 to 1." in words
    assert "Maps lie over the photo at 55% opacity." in words
    assert "cut to what the network saw (64 × 64 pixels of input)" in words


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (FigureSpec(scale="per map"), "colours cannot be compared between maps"),
        (FigureSpec(style="map"), "Maps are shown alone."),
        (FigureSpec(frame="photo"), "What the network did not see is faded."),
        (FigureSpec(contours=(0.25, 0.5)), "Contours: 0.25, 0.5."),
        (
            FigureSpec(rows=(Row(zoom=(25, 25, 45, 45)),)),
            "Insets show the outlined region enlarged.",
        ),
        (FigureSpec(layout="depth"), "in the order in which they run"),
        (FigureSpec(layout="channels"), "Channel weights of 3 layers"),
        (FigureSpec(layout="channels", by="class"), "one line a class"),
        (FigureSpec(layout="channel", layer="0"), "before and after its gates (channel weight"),
        (FigureSpec(columns=columns_from_text("channels:0")), "Bars are channel weights"),
    ],
)
def test_settings_are_said(spec: FigureSpec, words: str) -> None:
    assert words in caption(build(spec, make_analysis(features=True)))


@pytest.mark.parametrize("layout", ["grid", "depth", "channels", "channel"])
def test_a_border_is_said_in_every_caption(layout: str) -> None:
    spec = FigureSpec(layout=layout, layer="0")  # type: ignore[arg-type]
    told = "Photos are fitted into 64 × 64 with a grey border: 25 % of the input is border."
    fitted = make_analysis(view="fitted", features=True)
    assert caption(build(spec, fitted)).endswith(told)
    assert "border" not in caption(build(spec, make_analysis(features=True)))
    beside = make_analysis(make_photo(64, 128), view="fitted", network="Other")
    both = caption(build(FigureSpec(), [[make_analysis(), beside]]))
    assert both.endswith("with a grey border: 0 to 50 % of the input is border.")


def test_what_was_assumed_and_missing_predictions_are_said() -> None:
    whole = make_analysis()
    assert "assumed" not in caption(build(FigureSpec(), whole))
    spec = InputSpec.from_pretrained_cfg({"input_size": (3, 64, 64)}, source="in the file")
    fed = replace(whole, spec=spec)
    for layout in ("grid", "depth", "channels"):
        words = caption(build(FigureSpec(layout=layout), fed))
        assert words.count("normalisation and crop assumed: the network does not say).") == 1
    none = replace(fed, predictions=(), prediction_note="No prediction: it is so.")
    columns = columns_from_text("input,map:-1,prediction")
    both = caption(build(FigureSpec(columns=columns), [none, none]))
    assert both.count("No prediction: it is so.") == 1
    assert "No prediction" not in caption(build(FigureSpec(), none))  # no place for one
    beside = [[whole, replace(fed, model_name="Other")]]
    assert "Other: Input: 64 × 64 crop" in caption(build(FigureSpec(), beside))


@pytest.mark.parametrize("layout", ["grid", "depth", "channel"])
def test_places_that_are_not_exact_are_said(layout: str) -> None:
    analysis = make_analysis(features=True)
    spec = FigureSpec(layout=layout, layer="0" if layout == "channel" else None)
    assert "Places of maps" not in caption(build(spec, analysis))
    for layer in analysis.attention.values():
        object.__setattr__(layer, "cells", replace(layer.cells, exact=False, within=7.5))
    assert "Places of maps are not exact: what reaches a cell is centred up to 7.5 px" in caption(
        build(spec, analysis)
    )
    only_weights = FigureSpec(columns=columns_from_text("input,channels:0"))
    assert "Places of maps" not in caption(build(only_weights, analysis))


def test_a_shared_scale_is_given_in_numbers(three: Study) -> None:
    spec = FigureSpec(columns=columns_from_text("map:0"), scale="shared")
    maps = [row[0].attention["layer1.0.se"].spatial for row in three.analyses]
    words = caption(build(spec, three))
    low, high = re.search(r"one scale from ([\d.]+) to ([\d.]+)\.", words).groups()  # type: ignore[union-attr]
    assert float(low) == pytest.approx(min(float(m.min()) for m in maps), abs=0.006)
    assert float(high) == pytest.approx(max(float(m.max()) for m in maps), abs=0.006)


@pytest.mark.parametrize(
    ("venue", "width", "environment", "option"),
    [
        ("cvpr", "text", "figure*", r"[width=\textwidth]"),
        ("cvpr", "column", "figure", r"[width=\columnwidth]"),
        ("neurips", "text", "figure", r"[width=\textwidth]"),
        ("free", 80, "figure", ""),
    ],
)
def test_the_environment_fits_the_width(
    one, venue: str, width: str | float, environment: str, option: str
) -> None:
    text = latex(build(FigureSpec(venue=venue, width=width), one), "f.pdf")  # type: ignore[arg-type]
    assert text.startswith(rf"\begin{{{environment}}}[t]")
    assert rf"\includegraphics{option}{{f.pdf}}" in text
    assert text.endswith(f"\\end{{{environment}}}\n")


ODD_NAMES = (
    "two words", "under_score", "a.b.c", "cash$", "a&b", "wavy~", "hat^", "50%", "no#1", "{x}",
    'say "x"', "two  blanks",
)  # fmt: skip


@pytest.mark.parametrize("stem", ODD_NAMES)
def test_latex_sets_the_snippet(stem: str, tmp_path: Path) -> None:
    """By LaTeX itself, where it is installed; the renaming it asks for is done as it says."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    hostile = make_analysis(network=r"50 % & $5 #1 a_b {c} ~ ^ \input{x} <|>")
    built = build(FigureSpec(), hostile)
    text = latex(built, f"{stem}.pdf")
    first = text.splitlines()[0]
    name = first.partition("rename it to ")[2] or f"{stem}.pdf"
    (tmp_path / name).write_bytes(built.render("pdf"))
    page = r"\documentclass{article}\usepackage{graphicx}\begin{document}" + "\n"
    (tmp_path / "page.tex").write_text(f"{page}{text}\n\\end{{document}}\n", encoding="utf-8")
    run = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:]
    (set_page,) = pypdf.PdfReader(tmp_path / "page.pdf").pages
    letters = re.sub(r"\s", "", set_page.extract_text())
    assert "50%&$5#1" in letters
    assert set_page["/Resources"]["/XObject"]


def test_names_that_latex_cannot_have_are_said() -> None:
    built = build(FigureSpec(), make_analysis())
    text = latex(built, "50%.pdf")
    assert text.startswith("% LaTeX cannot include a file of that name: rename it to 50-.pdf\n")
    assert "{50-.pdf}" in text
    assert not latex(built, "two words.pdf").startswith("%")
