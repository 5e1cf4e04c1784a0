"""A folder of checkpoints whose gates are known, watched once, again and while it grows."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cbam_viz
from cbam_viz.errors import CheckpointError, StoreError
from cbam_viz.images import Photo
from cbam_viz.models import LoadedModel
from cbam_viz.runs import findings, open_run, run_numbers, spaced, watch_checkpoints
from cbam_viz.runs.record import epoch_path
from cbam_viz.runs.watching import fed_alike
from tests.cli.conftest import invoke, write_photo
from tests.runs.nets import LAYERS, write_checkpoint

pytest.importorskip("pyarrow")

SHUT = {LAYERS[2]: (0.4, 0.01)}
STUCK = {LAYERS[0]: (0.98, 0.5)}


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five epochs: a map collapses at the third, and channel weights are stuck from the fourth."""
    folder = tmp_path_factory.mktemp("training")
    for epoch in range(1, 6):
        values = {**(SHUT if epoch >= 3 else {}), **(STUCK if epoch >= 4 else {})}
        write_checkpoint(folder / f"epoch_{epoch}.safetensors", values, seed=epoch % 2)
    (folder / "epoch_2.pth").write_bytes(b"not a checkpoint")
    (folder / "last.safetensors").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [write_photo(folder / f"{seed}.png", seed=seed, size=(40, 60)) for seed in range(2)]
    return [cbam_viz.read_photo(path) for path in paths]


@pytest.fixture
def mine(training: Path, tmp_path: Path) -> Path:
    """The training, without what is broken, for tests to change."""
    folder = shutil.copytree(training, tmp_path / "training")
    (folder / "epoch_2.pth").unlink()
    (folder / "last.safetensors").unlink()
    return folder


@pytest.fixture(scope="module")
def watched(training: Path, probes: list[Photo], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "run"
    told = watch_checkpoints(training, out, probes, cbam_viz.load_model)
    assert (told.done, told.before) == (5, 0)
    reasons = {one.file.name: one for one in told.left_out}
    # the shorter name of two for epoch 2 is tried first, and then the other stands for it
    assert set(reasons) == {"epoch_2.pth", "last.safetensors"}
    assert all(one.failed for one in reasons.values())
    return out


def test_gates_are_those_of_one_photo_bit_for_bit(
    training: Path, watched: Path, probes: list[Photo]
) -> None:
    run = open_run(watched)
    assert run.numbers == (1, 2, 3, 4, 5)
    assert run.layers == LAYERS
    for number in run.numbers:
        loaded = cbam_viz.load_model(training / f"epoch_{number}.safetensors")
        epoch = run.epoch(number)
        for n, photo in enumerate(probes):
            wanted = cbam_viz.analyse(loaded, photo)
            assert epoch.geometries[n] == wanted.geometry
            for name, layer in wanted.attention.items():
                found = epoch.attentions[n][name]
                assert torch.equal(found.channel, layer.channel)
                assert torch.equal(found.spatial, layer.spatial)
                assert (found.cells, found.verified) == (layer.cells, layer.verified)


def test_numbers_and_the_epochs_at_which_gates_went_wrong(watched: Path) -> None:
    run = open_run(watched)
    numbers = {(one.number, one.layer, one.part): one for one in run_numbers(run)}
    assert len(numbers) == 5 * 8
    shut = numbers[3, LAYERS[2], "spatial"]
    assert shut.mean == pytest.approx(0.01, abs=1e-6)
    assert shut.near_zero == 1
    assert numbers[4, LAYERS[2], "channel"].mean == pytest.approx(0.4, abs=1e-6)
    assert numbers[4, LAYERS[2], "spatial"].change_previous == pytest.approx(0, abs=1e-7)
    stuck = numbers[5, LAYERS[0], "channel"]
    assert (stuck.opened, stuck.saturated) == (1, 1)
    for one in numbers.values():
        values = np.stack([
            getattr(a[one.layer], one.part)[0].double().numpy().ravel()
            for a in run.epoch(one.number).attentions
        ])  # fmt: skip
        if one.part == "channel":
            assert one.mean == pytest.approx(values.mean(), abs=1e-7)
            assert one.spread == pytest.approx(values.std(1).mean(), abs=1e-7)
    told = {(one.kind, one.layer, one.part): one for one in findings(run_numbers(run)) if one.lasts}
    assert told["collapsed", LAYERS[2], "spatial"].began == 3
    assert told["saturated", LAYERS[0], "channel"].began == 4
    assert told["constant", LAYERS[2], "channel"].began == 3
    assert not told["collapsed", LAYERS[2], "spatial"].at_start


def test_the_files_are_open_to_pandas(watched: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = pandas.read_parquet(
        watched / "epochs", columns=["epoch", "name", f"{LAYERS[2]}/spatial"]
    )
    assert rows["epoch"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    means = rows.groupby("epoch")[f"{LAYERS[2]}/spatial"].apply(lambda one: np.stack(one).mean())
    np.testing.assert_allclose(means[3:], 0.01, atol=1e-6)


def test_what_is_measured_is_not_measured_again_and_new_epochs_are(
    mine: Path, probes: list[Photo], tmp_path: Path
) -> None:
    late = (mine / "epoch_5.safetensors").rename(tmp_path / "late")
    opened: list[str] = []

    def load(path: Path) -> cbam_viz.LoadedModel:
        opened.append(path.name)
        return cbam_viz.load_model(path)

    out = mine / "gates"
    assert watch_checkpoints(mine, out, probes, load).done == 4
    kept = {number: epoch_path(out, number).read_bytes() for number in (1, 2, 3, 4)}
    late.rename(mine / "epoch_5.safetensors")
    (mine / "epoch_1.safetensors").unlink()  # as where a training keeps the last ones alone
    opened.clear()
    told = watch_checkpoints(mine, out, probes, load)
    assert opened == ["epoch_5.safetensors"]
    assert (told.done, told.before) == (1, 4)
    assert open_run(mine).numbers == (1, 2, 3, 4, 5)
    assert {number: epoch_path(out, number).read_bytes() for number in kept} == kept
    write_checkpoint(mine / "epoch_3.safetensors", seed=3)  # written anew
    opened.clear()
    watch_checkpoints(mine, out, probes, load)
    assert opened == ["epoch_3.safetensors"]
    assert epoch_path(out, 3).read_bytes() != kept[3]


def test_a_file_that_is_still_being_written_is_taken_when_it_is_whole(
    mine: Path, probes: list[Photo]
) -> None:
    path = mine / "epoch_3.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    (one,) = watch_checkpoints(mine, mine / "gates", probes, cbam_viz.load_model).left_out
    assert (one.file.name, one.failed) == ("epoch_3.safetensors", True)
    assert open_run(mine).numbers == (1, 2, 4, 5)

    def load(path: Path) -> cbam_viz.LoadedModel:
        assert path.name == "epoch_3.safetensors"  # that one alone is tried again
        return cbam_viz.load_model(path)

    (again,) = watch_checkpoints(mine, mine / "gates", probes, load).left_out
    assert again.reason == one.reason
    path.write_bytes(whole)
    told = watch_checkpoints(mine, mine / "gates", probes, cbam_viz.load_model)
    assert (told.done, told.left_out) == (1, ())
    assert open_run(mine).numbers == (1, 2, 3, 4, 5)


def test_another_network_in_the_middle_is_left_out_with_the_reason(
    mine: Path, probes: list[Photo]
) -> None:
    model = cbam_viz.create_model("resnet18", num_classes=3, channels=(4, 4, 8, 8))
    torch.save(model.state_dict(), mine / "epoch_3.pth")
    (mine / "epoch_3.safetensors").unlink()
    write_checkpoint(mine / "epoch_4.safetensors", size=96)

    def load(path: Path) -> cbam_viz.LoadedModel:
        if path.suffix == ".pth":
            return cbam_viz.load_model(path, architecture="resnet18", channels=(4, 4, 8, 8))
        return cbam_viz.load_model(path)

    told = watch_checkpoints(mine, mine / "gates", probes, load)
    reasons = {one.file.name: one.reason for one in told.left_out}
    assert set(reasons) == {"epoch_3.pth", "epoch_4.safetensors"}
    assert all(why.startswith("It is no checkpoint of the same training: ")
               for why in reasons.values())  # fmt: skip
    assert "(56, 56), and (16, 16) for the first epoch" in reasons["epoch_3.pth"]


def test_other_photos_and_a_foreign_folder_are_refused(
    mine: Path, probes: list[Photo], tmp_path: Path
) -> None:
    watch_checkpoints(mine, mine / "gates", probes, cbam_viz.load_model)
    with pytest.raises(StoreError, match="probe photos"):
        watch_checkpoints(mine, mine / "gates", probes[:1], cbam_viz.load_model)
    with pytest.raises(StoreError, match="view"):
        watch_checkpoints(mine, mine / "gates", probes, cbam_viz.load_model, view="whole")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(StoreError, match="thesis"):
        watch_checkpoints(mine, tmp_path / "other", probes, cbam_viz.load_model)


def test_a_folder_of_nothing_that_can_be_shown_says_the_first_reason(
    tmp_path: Path, probes: list[Photo]
) -> None:
    with pytest.raises(CheckpointError, match="There is no checkpoint in"):
        watch_checkpoints(tmp_path, tmp_path / "gates", probes, cbam_viz.load_model)
    (tmp_path / "epoch_1.pth").write_bytes(b"no")
    with pytest.raises(CheckpointError, match=r"The one checkpoint cannot be shown: epoch_1.pth: "):
        watch_checkpoints(tmp_path, tmp_path / "gates", probes, cbam_viz.load_model)


def damaged_record(run: Path) -> None:
    (run / "run.json").write_text('{"schema": 1}')


def later_version(run: Path) -> None:
    told = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**told, "schema": 9}))


def climbing_picture(run: Path) -> None:
    told = json.loads((run / "run.json").read_text())
    told["probes"][0]["picture"] = "../../secret.png"
    (run / "run.json").write_text(json.dumps(told))


def cut_epoch(run: Path) -> None:
    path = epoch_path(run, 2)
    path.write_bytes(path.read_bytes()[:900])


def no_epoch(run: Path) -> None:
    shutil.rmtree(run / "epochs")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damaged_record, "describes no run, or is damaged"),
        (later_version, "another version of cbam-viz"),
        (climbing_picture, "describes no run"),
        (cut_epoch, "is damaged"),
        (no_epoch, "holds no epoch yet"),
    ],
)
def test_what_is_wrong_with_a_run_is_one_sentence(
    watched: Path, tmp_path: Path, harm: object, said: str
) -> None:
    folder = shutil.copytree(watched, tmp_path / "run")
    harm(folder)  # type: ignore[operator]
    with pytest.raises(StoreError, match=said):
        run_numbers(open_run(folder))


def test_epochs_are_spaced_evenly_with_both_ends() -> None:
    assert spaced(range(100), 4) == (0, 33, 66, 99)
    assert spaced((3, 7), 8) == (3, 7)


def test_the_command_measures_tells_and_draws(training: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(training, tmp_path / "training")
    photo = write_photo(tmp_path / "probe.png", size=(40, 60))
    ended = invoke("watch", folder, "--photos", photo)
    assert ended.exit_code == 1  # a file is broken
    assert "Left out last.safetensors: " in ended.stderr
    assert "5 epochs of ResNet on 1 probe photo, 1 to 5" in ended.stdout
    assert f"The spatial map of {LAYERS[2]} is collapsed since epoch 3: 100 %" in ended.stdout
    out = folder / "gates"
    for stem in ("curves", "maps"):
        for ending in (".pdf", ".png", ".csv", ".npz", ".tex", ".manifest.json"):
            assert (out / f"{stem}{ending}").stat().st_size
    lines = (out / "numbers.csv").read_text().splitlines()
    assert len(lines) == 1 + 5 * 8
    assert lines[0].startswith("epoch,layer,gate,photos,values,mean,spread,")
    assert f"of {LAYERS[2]} is collapsed since epoch 3" in (out / "findings.txt").read_text()
    assert "is collapsed since epoch 3" in (out / "curves.tex").read_text()
    again = invoke("figure", "--from", out / "maps.manifest.json", "-o", tmp_path / "again.pdf")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again.pdf").read_bytes() == (out / "maps.pdf").read_bytes()
    told = json.loads(invoke("watch", folder, "--photos", photo, "--json", "--no-figures").stdout)
    assert told["findings"][0]["kind"] == "collapsed"
    assert {one["checkpoint"] for one in told["left_out"]} == {"epoch_2.pth", "last.safetensors"}
    os.utime(epoch_path(out, 3))
    write_checkpoint(folder / "epoch_3.safetensors", seed=9)
    invoke("watch", folder, "--photos", photo, "--no-figures")
    changed = invoke("figure", "--from", out / "maps.manifest.json", "-o", tmp_path / "no.pdf")
    assert changed.exit_code == 3
    assert "has changed since the figure was made" in changed.stderr.replace("\n", " ")


def test_a_layer_that_is_not_there_is_told_before_measuring(training: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(training, tmp_path / "training")
    photo = write_photo(tmp_path / "probe.png", size=(40, 60))
    ended = invoke("watch", folder, "--photos", photo, "--layer", "layer9")
    assert ended.exit_code == 3
    assert "The network has no attention layer 'layer9'. It has 4" in ended.stderr
    assert not list(folder.rglob("*.arrow"))
    assert not list(folder.rglob("*.npz"))
    assert not (folder / "gates" / "numbers.csv").exists()
    told = invoke("watch", "sample:shapes", "--layer", "layer9", "--out", tmp_path / "out")
    assert told.exit_code == 3
    assert "no attention layer 'layer9'" in told.stderr
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_to_is_told_before_photos_are_read(
    training: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()
    ended = invoke("watch", training, "--photos", "nowhere", "--out", tmp_path / "taken" / "run")
    assert ended.exit_code == 3
    assert "is a file; nothing can be written to" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["none"], 3, "There is no folder none"),
        (["."], 3, "There is no checkpoint in . and no run"),
        (["sample:none"], 3, "There is no run sample:none; there are shapes"),
        ([".", "--checkpoint", "a.pth"], 2, "leave --checkpoint out"),
    ],
)
def test_wrong_places_are_said(
    arguments: list[str], status: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = invoke("watch", *arguments)
    assert ended.exit_code == status
    assert said in ended.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("mode", "view", "wanted"),
    [("rectangle", "crop", "letterbox"), ("center", "whole", "center")],
)
def test_photos_of_several_shapes_are_shown_in_inputs_of_one_size(
    training: Path, tmp_path: Path, mode: Any, view: Any, wanted: str
) -> None:
    """YOLO takes rectangles, the view `whole` inputs of any shape: maps would differ in size."""
    shapes = ((40, 60), (60, 40))
    paths = [write_photo(tmp_path / f"{n}.png", size=size) for n, size in enumerate(shapes)]
    photos = [cbam_viz.read_photo(path) for path in paths]
    folder = tmp_path / "training"
    folder.mkdir()
    shutil.copy(training / "epoch_1.safetensors", folder)

    def opened(path: Path) -> LoadedModel:
        loaded = cbam_viz.load_model(path)
        return replace(loaded, spec=replace(loaded.spec, crop_mode=mode))

    assert watch_checkpoints(folder, tmp_path / "run", photos, opened, view=view).done == 1
    run = open_run(tmp_path / "run")
    spec = run.record.spec
    assert spec is not None
    assert (spec.crop_mode, spec.varies(view)) == (wanted, False)
    asked = opened(folder / "epoch_1.safetensors")
    assert fed_alike(asked, photos[:1], view) == asked  # one photo alone is shown as ever
    fed = replace(asked, spec=spec)
    for n, photo in enumerate(photos):
        layer = cbam_viz.analyse(fed, photo, view).attention[LAYERS[0]]
        assert torch.equal(run.epoch(1).attentions[n][LAYERS[0]].spatial, layer.spatial)
    assert watch_checkpoints(folder, tmp_path / "run", photos, opened, view=view).done == 0
