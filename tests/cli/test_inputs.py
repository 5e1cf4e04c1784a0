"""What a command line of files, folders and patterns means."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from cbam_viz.cli.inputs import find_images, find_one_image
from cbam_viz.cli.results import folder_names


def touch(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_a_folder_gives_its_images_in_name_order_and_nothing_else(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", "notes.txt", "deep/c.webp", ".hidden.jpg", ".cache/d.jpg")
    found = [str(path.relative_to(tmp_path)) for path in find_images([str(tmp_path)])]
    assert found == ["a.png", "b.JPG", str(Path("deep", "c.webp"))]


def test_a_file_named_on_its_own_is_taken_whatever_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "scan.raw")
    assert find_images([str(tmp_path / "scan.raw")]) == [tmp_path / "scan.raw"]


def test_patterns_and_repeated_sources_give_each_file_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.png")
    sources = [str(tmp_path / "*.jpg"), str(tmp_path / "b.jpg"), str(tmp_path)]
    assert [path.name for path in find_images(sources)] == ["a.jpg", "b.jpg", "c.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].jpg", "a1.jpg")
    assert [path.name for path in find_images([str(tmp_path / "a[1].jpg")])] == ["a[1].jpg"]


@pytest.mark.parametrize("source", ["missing.jpg", "*.jpg", "sample:dragon"])
def test_what_names_nothing_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.UsageError, match=source.removeprefix("sample:").replace("*", r"\*")):
        find_images([source])


def test_an_empty_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="No images"):
        find_images([str(tmp_path)])


def test_samples_have_names(tmp_path: Path) -> None:
    assert find_one_image("sample:cat").name == "cat.jpg"


def test_where_one_image_is_wanted_two_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    with pytest.raises(click.UsageError, match="names 2 images"):
        find_one_image(str(tmp_path))


def test_folder_names_are_the_stems_where_these_differ() -> None:
    assert folder_names([Path("x/cat.jpg"), Path("y/dog.png")]) == ["cat", "dog"]


def test_folder_names_take_more_of_the_path_where_stems_collide(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a/cat.jpg", "b/cat.jpg", "b/cat.png", "b/dog.png")]
    assert folder_names(paths) == ["a_cat", "cat.jpg", "cat.png", "dog"]


def test_folder_names_differ_in_more_than_case_and_do_not_depend_on_the_order(
    tmp_path: Path,
) -> None:
    paths = [
        tmp_path / name
        for name in ("Cat.jpg", "cat.jpg", "a/x/cat.jpg", "b/x/cat.jpg", "cat.jpg.png", "x_cat.jpg")
    ]
    names = folder_names(paths)
    assert len({name.casefold() for name in names}) == len(paths)
    assert folder_names(paths[::-1]) == names[::-1]


def test_folder_names_tell_nothing_of_the_folders_above(tmp_path: Path) -> None:
    def named(root: str) -> list[str]:
        folder = tmp_path / "secret user" / root
        paths = [folder / "A.jpg", folder / "a.jpg", folder / "x/1/b.png", folder / "y/1/b.png"]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return folder_names(paths)

    names = named("here")
    assert len({name.casefold() for name in names}) == 4
    assert [name.rpartition("-")[0] for name in names] == ["A", "a", "b", "b"]
    assert names == named("elsewhere")  # the same on every machine


def test_folder_names_stay_in_the_output_folder() -> None:
    for name in folder_names(
        [Path("..hidden.jpg"), Path("a:b.jpg"), Path("CON.jpg"), Path("é.jpg")]
    ):
        assert Path(name).name == name
        assert name not in ("", ".", "..")
        assert ":" not in name
