"""What a file says is quoted briefly and on one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbam_viz._numbers import file_size
from cbam_viz._text import few, named, quoted, said, shortened


def test_texts_are_shortened_at_the_limit() -> None:
    assert shortened("a" * 80) == "a" * 80
    assert shortened("a" * 81) == "a" * 79 + "…"
    assert shortened("abcdef", 4) == "abc…"
    assert quoted("abcdef", 4) == "'abc…'"


def test_what_cannot_be_printed_is_escaped() -> None:
    assert shortened("a\nb\x1b[31m\ud800\u202e猫 é") == r"a\nb\x1b[31m\ud800\u202e猫 é"


def test_other_values_are_told_by_kind_where_they_are_long() -> None:
    values = [None, True, 3, 0.5, [1, 2], {"a": 1}, 10**5000, float("inf")]
    assert [quoted(value) for value in values] == [
        "None", "True", "3", "0.5", "a list of 2", "a dict of 1", "a number of 16,610 bits", "inf"
    ]  # fmt: skip


def test_few_names_and_a_count() -> None:
    assert few(["a", "b"]) == "a, b"
    assert few(["a", "b", "c", "d", "e", "f"]) == "a, b, c, d and 2 more"
    assert few({"k": 1}, limit=5) == "k"
    assert len(few(["n" * 1000] * 1000, shown=2, limit=10)) == 10 + 2 + 10 + len(" and 998 more")


def test_what_an_error_says_of_whatever_class_it_is() -> None:
    class Mute(BaseException):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert [said(one) for one in (ValueError("a\nb"), ValueError(), ValueError(" \n"), Mute())] == [
        "a", "ValueError", "ValueError", "Mute"
    ]  # fmt: skip
    assert [named(one) for one in (ValueError("a"), ValueError(), Mute())] == [
        "ValueError: a", "ValueError", "Mute"
    ]  # fmt: skip
    assert said(ValueError("x" * 10**6)) == "x" * 199 + "…"


@given(st.text(), st.integers(1, 50))
def test_every_text_comes_out_printable_and_short(text: str, limit: int) -> None:
    short = shortened(text, limit)
    assert short.isprintable()
    assert len(short) <= limit
    short.encode()


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (15_400, "15 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (22_446_340, "22.4 MB"),
        (999_949_999, "999.9 MB"),
        (999_950_000, "1.0 GB"),
        (51_000_000_000, "51.0 GB"),
    ],
)
def test_sizes_of_files_have_the_unit_that_suits_them(count: int, told: str) -> None:
    assert file_size(count) == told
