"""A layout or column is its modules and a line in the registry; what lies beside does not draw."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from cbam_viz.errors import FigureError
from cbam_viz.figures import FigureSpec, Study, build, columns_from_text
from cbam_viz.figures.ask.registry import COLUMNS, LAYOUTS, ColumnKind, Layout
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.beside.manifest import make_manifest
from cbam_viz.figures.beside.tables import numbers_text, shown_values
from cbam_viz.figures.content.columns import Answer
from cbam_viz.figures.content.values import Shown, Words
from cbam_viz.figures.paper.sheet import style_of

ROOT = Path(__file__).parents[2]
ROOMS = "cbam_viz.figures"


STORES = {"photos": "", "store": "stores.", "evaluation": ""}
"""The room of what is made of photos, of stores, and of a measured evaluation."""


def modules() -> list[tuple[str, str]]:
    """Room and module of each layout's variants; channel weights by layer are of photos alone."""
    found = [
        (STORES[source], name)
        for key, one in LAYOUTS.items()
        for name in one.modules.values() or [key]
        for source in one.of
    ]
    return sorted(set(found) - {("stores.", "layers")})


@pytest.mark.parametrize(("room", "name"), modules())
def test_every_layout_has_what_computes_and_what_draws_it(room: str, name: str) -> None:
    content = import_module(f"{ROOMS}.content.{room}{name}").content
    draw = import_module(f"{ROOMS}.draw.{name}").draw
    assert list(inspect.signature(content).parameters) == ["spec", "study"]
    assert list(inspect.signature(draw).parameters)[:2] == ["spec", "study"]
    assert len(inspect.signature(draw).parameters) == 3


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_column_has_what_answers_it(kind: str) -> None:
    module = import_module(f"{ROOMS}.content.columns.{COLUMNS[kind].module}")
    for name in ("settled", "places", "head", "words"):
        wanted = inspect.signature(getattr(Answer, name)).parameters
        assert [*inspect.signature(getattr(module, name)).parameters] == [*wanted][1:]
    assert isinstance(module.of_a_network, bool)


@pytest.mark.parametrize("room", ["ask", "beside", "content", "wording"])
def test_what_is_shown_and_said_is_known_without_drawing(room: str) -> None:
    files = sorted((ROOT / "cbam_viz/figures").glob(f"{room}/**/*.py")) or [
        ROOT / f"cbam_viz/figures/{room}.py"
    ]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    code = f"import sys\nfor name in {names}: __import__(name)\nprint('matplotlib' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


def added(monkeypatch: pytest.MonkeyPatch, name: str, **functions: object) -> None:
    module = ModuleType(name)
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, f"{ROOMS}.{name}", module)


def test_a_layout_is_added_by_a_line(monkeypatch: pytest.MonkeyPatch, three: Study) -> None:
    """Its content, drawing, table, caption and manifest are reached without any other change."""
    mean = np.float32(three.analyses[0][0].attention["layer1.0.se"].channel.mean())
    content = SimpleNamespace(
        map_scale=None, predicted=(), layers=("layer1.0.se",),
        settled=lambda spec: spec.with_(layers=("layer1.0.se",)),
        shown=lambda study: iter(
            [Shown("dial 1", "p", "n", "channel weights", "dial", np.array([mean]))]
        ),
        sentences=lambda figure: [f"A dial of {len(figure.study.analyses)} photos"],
    )  # fmt: skip
    added(monkeypatch, "content.dial", content=lambda spec, study: content)
    added(monkeypatch, "draw.dial", draw=lambda spec, study, found: style_of(spec).sheet(50).figure)
    with pytest.raises(FigureError, match="layout of the figure is one of"):
        FigureSpec(layout="dial")
    monkeypatch.setitem(LAYOUTS, "dial", Layout("Dial", "a dial", most_photos=3))
    built = build(FigureSpec(layout="dial"), three)
    assert built.spec.layers == ("layer1.0.se",)
    assert built.figure.get_figheight() * 72 == pytest.approx(50)
    assert caption(built) == "A dial of 3 photos."
    assert [one.values for one in shown_values(built)] == [mean]
    manifest = make_manifest(built, (), (), files={}, dpi=300)
    assert manifest.about["layers"] == ["layer1.0.se"]
    assert FigureSpec.from_dict(built.spec.to_dict()) == built.spec
    with pytest.raises(FigureError, match="the most is 3"):
        build(FigureSpec(layout="dial"), Study(three.analyses * 2))


def test_a_column_is_added_by_a_line(monkeypatch: pytest.MonkeyPatch, three: Study) -> None:
    added(
        monkeypatch, "content.columns.size", of_a_network=False,
        settled=lambda column, analysis: column,
        places=lambda column, analyses: [
            Words(one, f"{one.photo.size[1]} px") for one in analyses
        ],
        head=lambda column, analysis: "Size",
        words=lambda column, analysis: "the photo's width",
    )  # fmt: skip
    monkeypatch.setitem(COLUMNS, "size", ColumnKind("size"))
    built = build(FigureSpec(columns=columns_from_text("input,size")), three)
    assert "Columns, from left to right: the input; the photo's width." in caption(built)
    assert {"Size", "128 px"} <= {text.get_text() for text in built.figure.texts}
    assert numbers_text(built).count("128 px") == 3


def test_tables_of_texts_alone_name_their_photos(three: Study) -> None:
    built = build(FigureSpec(columns=columns_from_text("class")), three)
    assert [one.photo for one in shown_values(built)] == ["photo0.png", "photo1.png", "photo2.png"]


def test_the_manifest_of_classes_names_the_layer_and_not_the_classes(three: Study) -> None:
    built = build(FigureSpec(layout="channels", by="class"), three)
    manifest = make_manifest(built, (), (), files={}, dpi=300)
    assert manifest.about["layers"] == ["layer2.1.se"]
