"""Links: written short, read with suspicion."""

from __future__ import annotations

import pytest

from cbam_viz.ui.session import Recent
from cbam_viz.ui.session.link import Settings, from_params, no_choice, to_params

FULL = Settings(
    image="coffee",
    model="demo.safetensors",
    arch="resnet34",
    view="whole",
    layer="layer2.0.se",
    show="contours",
    opacity=0.25,
    colormap="grey",
    scale="per map",
    order="sorted",
    top=5,
    channel=17,
    cells="grid",
    found=False,
    layer2="layer3.0.se",
    model2="other.safetensors",
    image2="cat",
)


def test_a_link_reads_back_as_what_wrote_it():
    assert from_params(to_params(FULL)) == (FULL, ())


def test_defaults_are_left_out_of_a_link():
    assert to_params(Settings()) == {}
    assert to_params(Settings(opacity=0.5)) == {"opacity": "0.5"}
    assert to_params(Settings(channel=0)) == {"channel": "0"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("opacity", "nan"),
        ("opacity", "-0.1"),
        ("opacity", "1.01"),
        ("opacity", "1e400"),
        ("opacity", ""),
        ("opacity", "half"),
        ("channel", "-1"),
        ("channel", "1.5"),
        ("channel", "123456"),
        ("channel", "٣"),
        ("colormap", "jet"),
        ("scale", "Absolute"),
        ("show", "__class__"),
        ("view", ""),
        ("top", "7"),
        ("order", "random"),
        ("layer", "a" * 200),
        ("layer", "a\nb"),
        ("image", ""),
        ("cells", "round"),
        ("layer2", "a\nb"),
        ("model2", "a" * 200),
        ("image2", ""),
    ],
)
def test_a_value_that_is_none_of_the_choices_becomes_the_default_and_a_note(name, text):
    settings, notes = from_params({name: text})
    assert settings == Settings()
    assert len(notes) == 1
    assert name in notes[0]


def test_notes_carry_no_markup_and_no_novel():
    _, notes = from_params({"show": "<script>[x](http://y)" + "z" * 500})
    assert not set("<>[](){}$`*\\") & set(notes[0])
    assert len(notes[0]) < 120


def test_one_bad_value_does_not_spoil_the_others_and_strangers_are_ignored():
    settings, notes = from_params({"opacity": "x", "colormap": "grey", "utm_source": "mail"})
    assert settings == Settings(colormap="grey")
    assert len(notes) == 1


def test_a_session_forgets_what_it_used_longest_ago():
    recent, made = Recent(2), []

    def make(name):
        return recent.get_or_make(name, lambda: made.append(name) or name.upper())

    assert [make("a"), make("b"), make("a"), make("c")] == ["A", "B", "A", "C"]
    assert made == ["a", "b", "c"]
    assert list(recent) == ["a", "c"]  # b was used longest ago
    make("b")
    assert made == ["a", "b", "c", "b"]


def test_of_a_list_in_a_link_only_what_is_not_there_is_named():
    assert no_choice("fig_photos", "cat,dog,cow", ["cat"]) == (
        "The link's fig_photos “dog, cow” is not one of the choices."
    )
    assert no_choice("how_cell", "9,9", (0, 0)) == (
        "The link's how_cell “9,9” is not one of the choices."
    )
