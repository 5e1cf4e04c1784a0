from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.data.augment import Augmentation, crop_view, vary, view_box
from training.data.cache import build_cache, open_data, read_image
from training.data.folder import list_data, list_split
from training.data.loading import in_order, workers_for
from training.errors import TrainingError
from training.run.batches import Batches
from training.run.recipe import Phase, Recipe, parse_phases


def test_lists_classes_in_sorted_order(data: Path) -> None:
    train, val = list_data(data)
    assert train.classes == val.classes == ("blue square", "red square", "stripes")
    assert len(train.files) == 36
    assert train.labels == tuple([0] * 12 + [1] * 12 + [2] * 12)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nowhere is not a folder"):
        list_data(tmp_path / "nowhere")


def test_missing_split_is_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(TrainingError, match="no val/ folder"):
        list_data(tmp_path)


def test_folder_without_classes(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds 0 class folder\(s\)"):
        list_split(tmp_path)


def test_empty_class_is_named(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "train", tmp_path / "train")
    (tmp_path / "train" / "nothing").mkdir()
    with pytest.raises(TrainingError, match="nothing holds no image"):
        list_split(tmp_path / "train")


def test_different_classes_are_named(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "val" / "stripes").rename(tmp_path / "data" / "val" / "dots")
    with pytest.raises(TrainingError, match=r"\['dots', 'stripes'\]"):
        list_data(tmp_path / "data")


def test_unreadable_image_is_named(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "train", tmp_path / "train")
    (tmp_path / "train" / "stripes" / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(TrainingError, match=r"broken\.jpg"):
        build_cache(list_split(tmp_path / "train"), tmp_path / "cache", 160)


def test_cache_holds_the_pixels_and_is_built_once(data: Path, tmp_path: Path) -> None:
    listing = list_split(data / "train")
    built = build_cache(listing, tmp_path, 160)
    for i in (0, 17, 35):
        with Image.open(listing.files[i]) as image:
            np.testing.assert_array_equal(built.image(i), np.asarray(image))
    stamp = next(tmp_path.glob("*/pixels.u8")).stat().st_mtime_ns
    again = build_cache(listing, tmp_path, 160)
    assert next(tmp_path.glob("*/pixels.u8")).stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(again.image(35), built.image(35))


def test_large_and_wide_images_are_reduced(tmp_path: Path) -> None:
    Image.new("RGB", (900, 100)).save(tmp_path / "wide.png")
    assert read_image(tmp_path / "wide.png", 50).shape == (50, 100, 3)


@pytest.mark.parametrize("size", [(64, 64), (40, 200), (3, 2)])
def test_views_lie_in_the_image_and_repeat(size: tuple[int, int]) -> None:
    for view in range(20):
        top, left, height, width = view_box(*size, (0, 5, view), (0.25, 1.0))
        assert 0 <= top <= top + height <= size[0]
        assert 0 <= left <= left + width <= size[1]
        assert min(height, width) >= 1
        assert (top, left, height, width) == view_box(*size, (0, 5, view), (0.25, 1.0))


def test_whole_image_at_its_own_size_is_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    # A square view of the whole area is the image itself; other ratios do not fit.
    np.testing.assert_array_equal(crop_view(image, (1,), (1.0, 1.0), 32), image)


def test_vary_only_flips_where_nothing_else_is_asked_for() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    flipped = vary(image, np.random.default_rng(0), Augmentation(1.0, 0.0, 0.0), sharp=True)
    np.testing.assert_array_equal(flipped, image[:, ::-1])


def test_degrading_spares_soft_images() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    recipe = Augmentation(flip=0.0, degrade=1.0, colour=0.0)
    soft = vary(image, np.random.default_rng(0), recipe, sharp=True)
    assert soft.astype(float).std() < 0.7 * image.astype(float).std()
    np.testing.assert_array_equal(vary(image, np.random.default_rng(0), recipe, False), image)


def test_colour_of_strength_one_half_keeps_grey_grey() -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    varied = vary(grey, np.random.default_rng(3), Augmentation(0.0, 0.0, 0.5), sharp=False)
    assert varied.std() == 0
    assert varied[0, 0, 0] != 100


def test_batches_depend_on_seed_and_step_alone(data: Path, cache: Path) -> None:
    train, _ = open_data(data, cache, 160)
    recipe = Recipe(phases=(Phase(32, 640),), batch=8)
    one, other = Batches(train, recipe, None), Batches(train, recipe, None)
    wanted = one.batch(7)
    other.batch(3)
    drawn = other.batch(7)
    assert (wanted.images == drawn.images).all()
    assert (wanted.labels == drawn.labels).all()
    elsewhere = list(in_order(other.batch, range(5, 9), workers=2))
    assert (elsewhere[2].images == wanted.images).all()
    assert (elsewhere[2].labels == wanted.labels).all()
    assert len(elsewhere) == 4


def test_a_gpu_gets_processes_where_they_can_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn", "fork"])
    assert workers_for(torch.device("cuda")) == 3
    assert workers_for(torch.device("cpu")) == 0
    assert workers_for(torch.device("cpu"), 2) == 2
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    assert workers_for(torch.device("cuda")) == 0
    with pytest.raises(TrainingError, match="fork"):
        list(in_order(abs, range(3), workers=2))


def test_an_epoch_balances_classes_by_the_square_root(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "train", tmp_path / "train")
    for file in sorted((tmp_path / "train" / "stripes").iterdir())[3:]:
        file.unlink()
    listing = build_cache(list_split(tmp_path / "train"), tmp_path / "cache", 160)
    batches = Batches(listing, Recipe(batch=1, phases=(Phase(32, 9),)), None)
    counts = np.zeros(3)
    for epoch in range(40):
        counts += np.bincount(listing.labels[batches._order(epoch)], minlength=3)
    # Sizes 12, 12, 3: shares in proportion to sqrt, 2 : 2 : 1.
    np.testing.assert_allclose(counts / counts.sum(), [0.4, 0.4, 0.2], atol=0.01)


def test_schedule_rises_stays_and_falls() -> None:
    recipe = Recipe(phases=(Phase(64, 1000), Phase(96, 1000)), warmup=200, cooldown=500, batch=10)
    assert recipe.steps == 200
    assert recipe.rate_at(0) == pytest.approx(0.05)
    assert recipe.rate_at(50) == recipe.rate_at(149) == 1.0
    assert recipe.rate_at(175) == pytest.approx(0.5)
    assert recipe.rate_at(200) == 0.0
    assert (recipe.side_at(99), recipe.side_at(100), recipe.side_at(200)) == (64, 96, 96)


def test_phases_are_read_and_refused() -> None:
    assert parse_phases("96:20,128:10") == (Phase(96, 20), Phase(128, 10))
    for text in ("96", "96:x", "8:100", ""):
        with pytest.raises(TrainingError, match="phases"):
            parse_phases(text)
