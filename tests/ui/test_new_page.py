"""A new page is a function of the scene and an entry; link and memory come by themselves."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest
import streamlit as st

from cbam_viz.ui import shell
from cbam_viz.ui.entries import ENTRIES, Entry
from cbam_viz.ui.session import control
from cbam_viz.ui.session.link import Settings
from cbam_viz.ui.session.page_settings import PageSettings
from tests.ui.streamlits import go_to, memory

TRIAL = Entry("trial", "trial", "Trial", ":material/science:", "Tries a page.")


def page(scene) -> None:
    """All that a contributor would write: nothing of links, fragments or errors."""
    strength = st.slider("Strength", 0.0, 1.0, **control("strength", 0.5, between=(0, 1)))
    stages = st.multiselect("Stages", ["one", "two"], **control("stages", [], ["one", "two"]))
    colormap = st.selectbox("Colours", ["viridis", "grey"], **control("colormap"))
    st.markdown(f"{scene.layer().name} {strength} {stages} {colormap}")
    if strength == 1:
        raise ZeroDivisionError


@pytest.fixture
def trial(monkeypatch):
    module = ModuleType(TRIAL.module)
    module.page = page
    monkeypatch.setitem(sys.modules, TRIAL.module, module)
    monkeypatch.setattr(shell, "ENTRIES", (*ENTRIES, TRIAL))


def said(app) -> str:
    return app.main.markdown[-1].value


def test_its_settings_are_in_the_link_and_come_out_of_it(open_app, trial):
    app = open_app("trial")
    assert said(app).endswith("0.5 [] viridis")
    assert not [name for name in app.query_params if name.startswith("trial_")]
    app.slider(key="trial_strength").set_value(0.25).run()
    app.multiselect(key="trial_stages").set_value(["two"]).run()
    app.selectbox(key="set_colormap").set_value("grey").run()
    assert said(app).endswith("0.25 ['two'] grey")
    link = {name: value for name, value in app.query_params.items() if "_" in name}
    assert link == {"trial_strength": "0.25", "trial_stages": "two"}
    other = open_app("trial", **app.query_params)
    assert said(other) == said(app)


def test_they_are_kept_while_other_pages_are_shown_and_are_in_no_other_pages_link(open_app, trial):
    app = open_app("trial", trial_strength="0.25")
    go_to(app, "how")
    assert "trial_strength" not in app.query_params
    go_to(app, "trial")
    assert app.query_params["trial_strength"] == "0.25"
    assert " 0.25 " in said(app)


@pytest.mark.parametrize(
    ("name", "text"), [("strength", "2"), ("strength", "nan"), ("stages", "three")]
)
def test_what_a_link_may_not_say_is_named_and_the_default_shown(open_app, trial, name, text):
    app = open_app("trial", **{f"trial_{name}": text})
    assert said(app).endswith("0.5 [] viridis")
    assert [name in one.value for one in app.info] == [True]


def test_its_errors_become_a_sentence_and_the_address_is_written_all_the_same(open_app, trial):
    app = open_app("trial", trial_strength="1")
    assert not app.exception
    assert len(app.error) == 1
    assert app.query_params["trial_strength"] == "1"


def test_a_page_has_no_say_in_settings_of_another_that_have_the_same_name(open_app, trial):
    app = open_app("trial", strength="0.1", fig_strength="0.2")
    assert " 0.5 " in said(app)
    assert memory(app).page_settings["trial"].link == {}


def test_every_entry_leads_to_a_page_and_no_two_share_an_address_or_a_prefix():
    for entry in ENTRIES:
        draw = importlib.import_module(entry.module).page
        assert list(inspect.signature(draw).parameters) == ["scene"]
    for of in ("folder", "address", "prefix"):
        assert len({getattr(entry, of) for entry in ENTRIES}) == len(ENTRIES)
    shared = [field.name for field in fields(Settings)]
    assert not [name for name in shared for entry in ENTRIES if name.startswith(entry.prefix)]


def test_own_settings_read_a_link_once_and_keep_what_the_visitor_chose():
    own = PageSettings("p_")
    own.open_link({"p_top": "3", "top": "9", "p_never": "drawn"})
    assert own.read("top", 1, between=(0, 5)) == (3, True)
    assert own.params == {"p_top": "3"}
    own.values["top"] = 2
    own.params = {}
    assert own.read("top", 1, between=(0, 5)) == (2, True)
    assert own.params == {"p_top": "2"}
    assert own.link == {"never": "drawn"}
    own.open_link({})
    assert own.read("top", 1) == (1, True)


@pytest.mark.parametrize(
    ("text", "default", "among", "between", "value", "usable"),
    [
        ("a,b,z", [], ["a", "b"], None, ["a", "b"], False),
        ("b", "a", ["a", "b"], None, "b", True),
        ("z", "a", ["a", "b"], None, "a", False),
        ("1,7", (0, 3), None, (0, 5), (0, 3), False),
        ("1,4", (0, 3), None, (0, 5), (1, 4), True),
        ("yes", False, None, None, False, False),
    ],
)
def test_own_settings_take_from_a_link_what_is_allowed(
    text, default, among, between, value, usable
):
    own = PageSettings("p_")
    own.open_link({"p_x": text})
    assert own.read("x", default, among, between) == (value, usable)


def test_the_page_of_the_documentation_is_one(open_app, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text("utf-8")
    (code,) = re.findall(r"To add a page.*?```python\n(.*?)```", text, re.DOTALL)
    entry = Entry("strength", "strength", "Strength", ":material/science:", "Tries a page.")
    module = ModuleType(entry.module)
    exec(compile(code, "architecture.md", "exec"), module.__dict__)  # our own file
    monkeypatch.setitem(sys.modules, entry.module, module)
    monkeypatch.setattr(shell, "ENTRIES", (*ENTRIES, entry))
    app = open_app("strength", colormap="grey")
    app.slider(key="strength_power").set_value(2.0).run()
    assert not app.exception
    assert not app.error
    assert said(app).endswith("to the power of 2, in grey")
    assert app.query_params["strength_power"] == "2"
