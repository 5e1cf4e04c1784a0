"""Which epoch a checkpoint is: by its name, by what it says, by its time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from cbam_viz.errors import CheckpointError
from cbam_viz.runs.order import (
    File,
    files_in,
    folder_of_checkpoints,
    ordered,
    said_by_file,
    said_by_name,
)
from cbam_viz.runs.record import Unit


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("epoch_12.pth", (12, "epoch")),
        ("epoch=3-step=400.ckpt", (3, "epoch")),
        ("checkpoint-12.pth.tar", (12, "epoch")),
        ("model_0012.pth", (12, "epoch")),
        ("weights.03.pt", (3, "epoch")),
        ("epoch0.pt", (0, "epoch")),
        ("ckpt7.safetensors", (7, "epoch")),
        ("12.pth", (12, "epoch")),
        ("Ep 5.pt", (5, "epoch")),
        ("best_coco_bbox_mAP_epoch_12.pth", (12, "epoch")),
        ("iter_4000.pth", (4000, "step")),
        ("global_step300.pt", (300, "step")),
        ("model_12_0.83.pth", (12, "epoch")),
        ("resnet18_cbam_epoch-7_acc0.912.pth", (7, "epoch")),
        ("epoch(12).pth", (12, "epoch")),
        ("12_epoch.pth", (12, "epoch")),
        ("100epochs_ckpt12.pth", (12, "epoch")),
        ("resnet50-12.pth", (12, "epoch")),
        ("itr_12.pth", (12, "step")),
        ("2024-05-01_epoch_5.pth", (5, "epoch")),
        ("model_2024-05-01_12.pth", (12, "epoch")),
        ("ckpt_20240501_120000.pth", None),
        ("model_2024-05-01.pth", None),
        ("recovery-11-250.pth.tar", None),
        ("fold_1.pth", None),
        ("acc_93.pth", None),
        ("best.pt", None),
        ("last.pth", None),
        ("resnet18.pth", None),
        ("everyday23_resnet18_cbam.safetensors", None),
        ("acc0.912.pth", None),
        ("timestep_embedder.pt", None),
        (f"epoch{10**12}.pt", None),
    ],
)
def test_what_a_name_says(name: str, wanted: tuple[int, str] | None) -> None:
    assert said_by_name(name) == wanted


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"epoch": 4, "global_step": 900}, (4, "epoch")),
        ({"epoch": torch.tensor(4)}, (4, "epoch")),
        ({"epoch": 4.0}, (4, "epoch")),
        ({"meta": {"epoch": 6, "iter": 8}}, (6, "epoch")),
        ({"global_step": 900}, (900, "step")),
        ({"epoch": -1}, None),
        ({"epoch": True}, None),
        ({"epoch": "four"}, None),
        ({}, None),
    ],
)
def test_what_a_file_says(content: dict, wanted: tuple[int, str] | None, tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    torch.save({"model": {"w": torch.zeros(2)}, **content}, path)
    assert said_by_file(path) == wanted


def file(name: str, modified: int = 0, size: int = 1) -> File:
    return File(Path(name), name, size, modified)


def test_a_second_file_of_an_epoch_is_left_out_with_that_reason() -> None:
    says = {"last.pth": (3, "epoch"), "best.pth": (2, "epoch"), "odd.pth": None}
    files = [*(file(f"epoch_{n}.pth") for n in (10, 2, 3)), *map(file, says)]
    found = ordered(files, said=lambda path: says[path.name])  # type: ignore[arg-type, return-value]
    assert {n: one.name for n, one in found.epochs.items()} == {
        2: "epoch_2.pth", 3: "epoch_3.pth", 10: "epoch_10.pth",
    }  # fmt: skip
    assert list(found.epochs) == [2, 3, 10]
    reasons = {one.file.name: one.reason for one in found.left_out}
    assert reasons["last.pth"] == "It is of epoch 3 too, which epoch_3.pth stands for."
    assert reasons["odd.pth"].startswith("Neither its name nor the file says which epoch")
    assert not any(one.failed for one in found.left_out)
    assert (found.unit, found.rule) == ("epoch", "name")


def test_without_any_number_the_times_say_it_and_what_is_measured_keeps_its_own() -> None:
    files = [file("b.pth", 20), file("a.pth", 10), file("last.pth", 30)]
    found = ordered(files, said=lambda path: None)
    assert {n: one.name for n, one in found.epochs.items()} == {
        1: "a.pth",
        2: "b.pth",
        3: "last.pth",
    }
    assert found.rule == "time"
    known = {n: one.mark for n, one in found.epochs.items()}
    # the first one is gone, and the last one has been written anew
    later = ordered([file("b.pth", 20), file("last.pth", 50)], known=known,
                    earlier=("time", "epoch"), said=lambda path: None)  # fmt: skip
    assert {n: one.name for n, one in later.epochs.items()} == {2: "b.pth", 4: "last.pth"}


def test_numbers_of_steps_among_epochs_are_left_out() -> None:
    found = ordered([file("epoch_1.pth"), file("epoch_2.pth"), file("iter_500.pth")])
    assert list(found.epochs) == [1, 2]
    assert "a number of steps" in found.left_out[0].reason


def test_a_measured_checkpoint_is_not_read_again() -> None:
    known = {5: file("last.pth", 7).mark}

    def said(path: Path) -> tuple[int, str]:
        assert path.name == "new.pth"
        return 6, "epoch"

    found = ordered([file("last.pth", 7), file("new.pth", 9)], known=known,
                    earlier=("file", "epoch"), said=said)  # type: ignore[arg-type]  # fmt: skip
    assert {n: one.name for n, one in found.epochs.items()} == {5: "last.pth", 6: "new.pth"}


def test_checkpoints_with_a_folder_of_their_own_and_shards(tmp_path: Path) -> None:
    for name in ("checkpoint-500/model.safetensors", "checkpoint-1000/model.safetensors",
                 "logs/model.safetensors", "checkpoint-700/notes.txt", "epoch_3.pt",
                 "model-00001-of-00002.safetensors", "notes.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    os.utime(tmp_path / "epoch_3.pt", ns=(5, 5))
    found = {one.name: one for one in files_in(tmp_path)}
    assert set(found) == {"checkpoint-500", "checkpoint-1000", "epoch_3.pt"}
    assert found["epoch_3.pt"].mark == {"name": "epoch_3.pt", "size": 1, "modified": 5}


def test_checkpoints_below_the_folder_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no checkpoint in"):
        folder_of_checkpoints(tmp_path)
    (tmp_path / "results.csv").write_text("epoch")
    inside = tmp_path / "version_0" / "checkpoints"
    inside.mkdir(parents=True)
    (inside / "epoch=3-step=400.ckpt").write_bytes(b"")
    assert folder_of_checkpoints(tmp_path) == inside
    assert folder_of_checkpoints(inside) == inside
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "best.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"version_0/checkpoints, weights\. Give"):
        folder_of_checkpoints(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"")
    assert folder_of_checkpoints(tmp_path) == tmp_path


def test_the_step_of_a_file_that_says_both(tmp_path: Path) -> None:
    torch.save({"epoch": 4, "global_step": 900}, tmp_path / "last.ckpt")
    assert said_by_file(tmp_path / "last.ckpt", "step") == (900, "step")


def lightning(*pairs: tuple[int, int]) -> list[File]:
    return [file(f"epoch={epoch}-step={step}.ckpt") for epoch, step in pairs]


def test_several_checkpoints_of_an_epoch_are_ordered_by_their_steps() -> None:
    """As Lightning writes them every so many steps."""
    last = file("last.ckpt")
    found = ordered([*lightning((1, 300), (0, 200), (0, 100)), last], said=lambda _: (400, "step"))
    assert {n: one.name for n, one in found.epochs.items()} == {
        100: "epoch=0-step=100.ckpt",
        200: "epoch=0-step=200.ckpt",
        300: "epoch=1-step=300.ckpt",
        400: "last.ckpt",
    }
    assert (found.unit, found.left_out) == ("step", ())
    later = ordered(lightning((5, 900)), earlier=("name", "step"))
    assert list(later.epochs) == [900]
    by_epoch = ordered(lightning((0, 100), (0, 200)), earlier=("name", "epoch"))
    assert list(by_epoch.epochs) == [0]
    assert "measure the run anew by steps" in by_epoch.left_out[0].reason


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_what_a_number_without_a_word_counts_the_newest_file_says(unit: Unit) -> None:
    """detectron2's `model_0004999.pth` is of an iteration, MoCo's `checkpoint_0004` of an epoch."""
    files = [file("model_0004999.pth", 1), file("model_0009999.pth", 2), file("model_final.pth", 3)]
    says = {"model_0009999.pth": (9999, unit), "model_final.pth": (14999, unit)}
    found = ordered(files, said=lambda path: says[path.name])
    assert (found.unit, list(found.epochs)) == (unit, [4999, 9999, 14999])


def test_folders_of_the_hugging_face_trainer_are_numbered_by_steps(tmp_path: Path) -> None:
    for step in (1000, 500):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x")
    found = ordered(files_in(tmp_path), said=lambda _: None)
    assert (found.unit, list(found.epochs)) == ("step", [500, 1000])


def test_names_that_are_dates_are_ordered_by_time() -> None:
    """Noon of the first day is before the morning of the second."""
    files = [file("ckpt_20240502_090000.pth", 2), file("ckpt_20240501_120000.pth", 1)]
    found = ordered(files, said=lambda _: None)
    assert [one.modified for one in found.epochs.values()] == [1, 2]
    assert found.rule == "time"
