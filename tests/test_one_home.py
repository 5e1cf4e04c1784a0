"""Rules that several parts keep have one home: names of files and layers, defaults, whole files."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from cbam_viz import analyse
from cbam_viz._suffixes import PICTURES, SCANS, is_checkpoint_name, is_photo_name
from cbam_viz._whole import whole
from cbam_viz.cli import cli
from cbam_viz.figures import FigureSpec
from cbam_viz.images import read_photo, sample_of, samples
from cbam_viz.layer_names import find_name, no_such_layer
from cbam_viz.render import overlay
from cbam_viz.ui.session.link import VIEWS, Settings
from cbam_viz.ui.sidebar import intake


@pytest.mark.parametrize(
    "name", ["a.JPG", "b.apng", "c.jfif", "d.dib", "e.nii.gz", "f.dcm", "g.AVIF"]
)
def test_photos_are_known_by_the_same_endings_everywhere(name: str, tmp_path: Path) -> None:
    from cbam_viz.cli.inputs import find_images

    assert is_photo_name(name)
    assert name.lower().endswith(tuple(intake.TYPES))
    (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "weights.pth.tar").touch()
    assert [file.name for file in find_images([str(tmp_path)])] == [name]


def test_no_ending_is_that_of_a_photo_and_of_a_checkpoint() -> None:
    for ending in (*PICTURES, *SCANS):
        assert not is_checkpoint_name(f"file{ending}")


@pytest.mark.parametrize("ending", PICTURES)
def test_training_lists_what_the_package_reads(ending: str, tmp_path: Path) -> None:
    from training.data.folder import list_split

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"photo{ending.upper()}").touch()
    assert len(list_split(tmp_path).files) == 2


def test_a_sample_is_meant_by_its_name_behind_the_word() -> None:
    for sample in samples():
        assert sample.source == f"sample:{sample.name}"
        assert sample_of(sample.source) == sample
        assert sample_of(sample.name) is None
    assert sample_of("sample:dog") is None


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("0", "a"), ("2", "c"), ("-1", "c"), ("-3", "a"), ("b", "b"), ("3", None), ("-4", None),
     ("", None), ("--1", None), (9999 * "9", None), ("1.0", None), ("²", None)],
)  # fmt: skip
def test_a_layer_is_meant_by_name_or_by_place(wanted: str, found: str | None) -> None:
    assert find_name(["a", "b", "c"], wanted) == found


def test_a_name_that_is_a_number_is_a_name_first_and_near_names_are_told() -> None:
    assert find_name(["1", "0"], "0") == "0"
    told = no_such_layer(["layer1.0.se", "layer2.0.se", "stem"], "layer2.0.es")
    assert told.index("layer2.0.se") < told.index("layer1.0.se")
    assert "It has 3" in told


def test_app_command_line_and_python_show_the_same_photo_alike() -> None:
    app, figure = Settings(), FigureSpec()
    python = inspect.signature(overlay).parameters
    show = {option.name: option.default for option in cli.get_command(None, "show").params}
    assert app.opacity == figure.opacity == python["opacity"].default == show["opacity"]
    assert app.colormap == figure.colormap == python["colormap"].default == show["colormap"]
    assert app.scale == figure.scale == show["scale"] == "absolute"
    assert app.view == inspect.signature(analyse).parameters["view"].default == show["view"]
    assert app.view in VIEWS


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"

    def write(fails: int) -> None:
        with whole(target) as part:
            part.write_bytes(b"half")
            assert names(tmp_path) == [part.name]
            1 // fails

    with pytest.raises(ZeroDivisionError):
        write(0)
    assert names(tmp_path) == []
    with whole(target) as part:
        part.write_bytes(b"all")
        assert not target.exists()
    assert target.read_bytes() == b"all"
    with pytest.raises(FileExistsError), whole(target):
        pytest.fail("begun although the file is there")
    with whole(target, force=True) as part:
        part.write_bytes(b"new")
    assert names(tmp_path) == ["out.bin"]
    assert target.read_bytes() == b"new"


def test_a_file_that_appears_while_writing_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "out.bin"

    def write() -> None:
        with whole(target) as part:
            part.write_bytes(b"mine")
            target.write_bytes(b"another's")

    with pytest.raises(FileExistsError):
        write()
    assert target.read_bytes() == b"another's"
    assert names(tmp_path) == ["out.bin"]


def test_a_described_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    import torch

    from cbam_viz.errors import CheckpointError
    from cbam_viz.models.save import write_described

    target = tmp_path / "net.safetensors"
    write_described({"w": torch.ones(2)}, {"schema": 1}, target)
    before = target.read_bytes()
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_described({"w": torch.ones(2).to_sparse()}, {"schema": 1}, target)
    assert target.read_bytes() == before
    assert names(tmp_path) == ["net.safetensors"]


def test_a_photo_is_named_by_content_where_its_ending_promises_another(tmp_path: Path) -> None:
    from PIL import Image

    file = tmp_path / "photo.dib"
    Image.new("RGB", (8, 8)).save(file, "PNG")
    assert "It is named .dib but its content is PNG" in " ".join(read_photo(file).notes)
