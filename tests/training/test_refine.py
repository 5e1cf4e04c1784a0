from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.layers import create_conv2d
from torch import Tensor, nn

from training.data import framing as frames_of
from training.data.augment import resize, resize_to, soften
from training.data.cache import open_data
from training.data.framing import (
    GREY,
    Frame,
    Framing,
    Source,
    cover,
    cut,
    mirrored,
    moved,
    random_box,
    with_border,
)
from training.data.tensors import prepare_images
from training.errors import TrainingError
from training.run.checkpoint import describe, export, read_metadata, read_state
from training.run.gates import GateWatch
from training.run.model import create_network
from training.run.recipe import Recipe
from training.teach import guide as guide_command
from training.teach import refine as command
from training.teach.guide import Guide, folded, load_guide, look
from training.teach.insert import insert_gates
from training.teach.refine import Refinement, RefineState, at_cells, targets, unlabelled_photos

RED = (220, 30, 30)
ARGUMENTS = {
    "layers": [1, 1, 1, 1],
    "channels": [16, 16, 32, 32],
    "stem_width": 8,
    "stem_type": "deep",
    "zero_init_last": False,  # else blocks give 0 at first, and all maps are flat
}


def drawn(height: int, width: int, pixels: tuple[int, int, int, int]) -> tuple[Any, Any]:
    """A black picture with a red rectangle (x0, y0, x1, y1), and its box."""
    image = np.zeros((height, width, 3), np.uint8)
    x0, y0, x1, y1 = pixels
    image[y0:y1, x0:x1] = RED
    return image, np.array([[x0 / width, y0 / height, x1 / width, y1 / height]])


def mask_of(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels whose middle lies in a box."""
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    inside = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in boxes:
        inside |= np.outer((y >= y0) & (y < y1), (x >= x0) & (x < x1))
    return inside


def test_softening_and_resizing_keep_the_shape_and_the_mean() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (120, 200, 3)).astype(np.uint8)
    soft = soften(image, 30)
    assert soft.shape == image.shape
    assert soft.std() < 0.5 * image.std()
    assert soft.mean() == pytest.approx(image.mean(), abs=1)
    assert soften(image, 120) is image
    np.testing.assert_array_equal(resize(image, 64), resize_to(image, 64, 64))
    # By hand: means of 2 x 2 pixels.
    halved = image.reshape(60, 2, 100, 2, 3).mean((1, 3))
    assert np.abs(resize_to(image, 60, 100) - halved).max() <= 0.5


@pytest.mark.parametrize("window", [(0, 0, 60, 90), (10, 20, 30, 50), (31, 33, 20, 20)])
def test_a_cut_keeps_boxes_on_the_object(window: tuple[int, int, int, int]) -> None:
    image, boxes = drawn(60, 90, (30, 20, 55, 42))
    part, inside = cut(image, boxes, window)
    assert part.shape == (*window[2:], 3)
    assert inside is not None
    np.testing.assert_array_equal(part[..., 0] == RED[0], mask_of(inside, *window[2:]))


def test_a_cut_beside_the_object_leaves_an_empty_box() -> None:
    image, boxes = drawn(60, 90, (30, 20, 55, 42))
    _, inside = cut(image, boxes, (45, 0, 15, 90))
    assert not mask_of(inside, 15, 90).any()
    assert cut(image, None, (0, 0, 5, 5))[1] is None


def test_a_border_keeps_boxes_on_the_object_and_says_where_the_photo_lies() -> None:
    image, boxes = drawn(64, 128, (32, 16, 96, 48))
    framed, place = with_border(image, 64)
    assert place == (0.0, 0.25, 1.0, 0.75)
    outside = ~mask_of(np.array([place]), 64, 64)
    assert (framed[outside] == GREY).all()
    assert outside.sum() == 64 * 32
    on_object = mask_of(moved(boxes, place), 64, 64)
    assert (framed[on_object] == RED).all()
    assert (framed[~on_object & ~outside] == 0).all()
    assert on_object.sum() == 32 * 16


def test_mirroring_keeps_boxes_and_the_photo() -> None:
    image, boxes = drawn(40, 80, (8, 10, 24, 30))
    frame = mirrored(Frame(image, 2, boxes, (0.125, 0.0, 0.5, 1.0)))
    assert (frame.label, frame.photo) == (2, (0.5, 0.0, 0.875, 1.0))
    np.testing.assert_array_equal(frame.image[..., 0] == RED[0], mask_of(frame.boxes, 40, 80))
    assert mirrored(Frame(image, -1, None)).boxes is None


@pytest.mark.parametrize("size", [(480, 640), (64, 40), (5, 300), (300, 5), (1, 1)])
@pytest.mark.parametrize("aspect", [9 / 16, 1.0, 16 / 9])
def test_windows_lie_on_the_photo_and_have_the_aspect(size: tuple[int, int], aspect: float) -> None:
    rng = np.random.default_rng(0)
    largest = min(size[0], size[1] / aspect)
    for _ in range(50):
        top, left, height, width = random_box(size, aspect, (0.4, 1), rng)
        assert 0 <= top <= top + height <= size[0]
        assert 0 <= left <= left + width <= size[1]
        assert min(height, width) >= 1
        # A pixel of rounding on each side, and no more.
        assert math.sqrt(0.4) * largest - 1 <= height <= largest + 1
        assert abs(width - height * aspect) <= 1 + aspect


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("far", [False, True])
def test_cover_is_the_share_of_the_pixels_of_a_cell_on_the_frame(stride: int, far: bool) -> None:
    height, width = 64, 96
    step = stride // 4  # where four points to a side are exact
    rng = np.random.default_rng(stride)
    boxes = []
    for _ in range(3):
        x0, x1 = sorted(rng.choice(np.arange(0, width + 1, step), 2, replace=False))
        y0, y1 = sorted(rng.choice(np.arange(0, height + 1, step), 2, replace=False))
        boxes.append([x0 / width, y0 / height, x1 / width, y1 / height])
    cells = (height // stride, width // stride)
    start = stride - 0.5 if far else 0.5
    share = cover(np.array(boxes), (height, width), cells, stride, start)
    inside = mask_of(np.array(boxes), height, width)
    for i in range(cells[0]):
        for j in range(cells[1]):
            # The middle is at start + stride i, and the cell ends half a stride further on. Boxes
            # lie on a grid of steps, so that of `start` the half pixel does not count.
            ends = [step * round(start / step) + stride * k + stride // 2 for k in (i, j)]
            rows, columns = (slice(max(0, end - stride), end) for end in ends)
            assert share[i, j].item() == pytest.approx(inside[rows, columns].mean(), abs=1e-6)
    assert (cover(np.array([[0, 0, 1, 1.0]]), (height, width), cells, stride) == 1).all()


def test_maps_are_asked_to_be_1_at_the_peak_and_0_on_borders() -> None:
    heat = torch.full((1, 8, 8), 0.1)
    heat[0, 0, 0] = 2.0  # on the border: does not count
    heat[0, 3, 4] = 1.0
    heat[0, 3, 5] = 0.45
    image = np.zeros((224, 224, 3), np.uint8)
    # The photo takes rows 48..176; cells 2 (48.5..80.5) to 5 (144.5..176.5) lie on it.
    frame = Frame(image, 0, None, (0.0, 48 / 224, 1.0, 176 / 224))
    asked = targets(heat, [frame], (7, 7))[0]
    assert asked[3, 4] == 1
    assert asked[3, 5].item() == pytest.approx((0.45 - 0.25) / 0.5)
    assert asked.sum().item() == pytest.approx(1.4)  # 0.1 is less than a quarter of the peak
    whole = targets(heat, [Frame(image, 0, None)], (7, 7))[0]
    assert whole[0, 0] == 1  # also where the cell reaches beyond the frame


def test_cells_that_a_border_cuts_are_asked_for_their_share_of_photo() -> None:
    heat = torch.zeros(1, 8, 8)
    heat[0, 2, 1] = heat[0, 3, 4] = 1.0
    # The photo begins at row 56: a quarter of cell 2 (pixels 48..80) is border.
    frame = Frame(np.zeros((224, 224, 3), np.uint8), 0, None, (0.0, 56 / 224, 1.0, 168 / 224))
    asked = targets(heat, [frame], (7, 7))[0]
    assert asked[3, 4] == 1
    assert asked[2, 1].item() == pytest.approx(0.75)


def test_maps_are_asked_to_be_0_outside_boxes_and_open_inside() -> None:
    heat = torch.zeros(1, 8, 8)
    heat[0, 1, 1] = heat[0, 3, 3] = 1.0
    image = np.zeros((224, 224, 3), np.uint8)
    box = np.array([[80, 80, 144, 144]]) / 224  # cells 3 and 4: pixels 80..144
    asked = targets(heat, [Frame(image, 0, box)], (7, 7))[0]
    assert asked[3, 3] == 1
    wanted = torch.zeros(7, 7)
    wanted[3:5, 3:5] = 0.35
    wanted[3, 3] = 1
    torch.testing.assert_close(asked, wanted)


@pytest.mark.parametrize("start", [0.5, 7.5])
@pytest.mark.parametrize("stride", [8, 16, 32, 64])
def test_evidence_is_read_where_a_layers_cells_are(stride: int, start: float) -> None:
    # A ramp: evidence grows by 1 a pixel to the right and by 10 a pixel downwards.
    position = 0.5 + 32 * torch.arange(9.0)
    heat = (position[None, :] + 10 * position[:, None])[None].repeat(2, 1, 1)
    cells = (256 // stride, 128 // stride)
    y, x = (start + stride * torch.arange(float(n)) for n in cells)
    wanted = (x[None, :] + 10 * y[:, None])[None].repeat(2, 1, 1)
    torch.testing.assert_close(at_cells(heat, cells, stride, start), wanted, rtol=1e-5, atol=1e-2)


def test_targets_of_layers_of_all_strides_agree() -> None:
    heat = torch.zeros(1, 8, 8)
    heat[0, 2, 5] = 1.0  # pixel 64, 160
    frame = Frame(np.zeros((224, 224, 3), np.uint8), 0, None)
    for stride in (4, 8, 16, 32):
        asked = targets(heat, [frame], (224 // stride, 224 // stride))[0]
        row, column = divmod(int(asked.flatten().argmax()), 224 // stride)
        assert asked[64 // stride, 160 // stride] == 1
        assert abs(row * stride - 64) < 16
        assert abs(column * stride - 160) < 16


class StandIn(nn.Module):
    """Five strided convolutions with the guide's padding, and a classifier of its own."""

    def __init__(self, width: int, kernel: int = 3) -> None:
        super().__init__()
        channels = [3] + [width] * 5
        self.convolutions = nn.ModuleList(
            create_conv2d(a, b, kernel, stride=2, padding="same") for a, b in pairwise(channels)
        )
        self.classifier = nn.Linear(width, 10)
        self.num_features = width

    def forward_features(self, images: Tensor) -> Tensor:
        for convolution in self.convolutions:
            images = convolution(images).relu()
        return images


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_guides_cells_lie_where_those_of_a_resnet_do(kernel: int) -> None:
    network = StandIn(1, kernel)
    for convolution in network.convolutions:
        nn.init.zeros_(convolution.weight)
        with torch.no_grad():  # each passes on the pixel in its middle, and no other
            convolution.weight[:, :, kernel // 2, kernel // 2] = 1
    guide = Guide(network, nn.Linear(1, 2))
    for row, column in ((0, 0), (1, 3), (4, 6)):
        images = torch.zeros(1, 3, 160, 224)
        images[0, :, 32 * row, 32 * column] = 1  # its middle is at 0.5 + 32 i
        features = look(guide, images).features[0, 0, :5, :7]
        assert features.nonzero().tolist() == [[row, column]]


def test_heat_is_the_classes_share_of_a_logit_place_by_place() -> None:
    torch.manual_seed(0)
    guide = Guide(StandIn(8), nn.Linear(8, 3))
    images = torch.randn(2, 3, 64, 96)
    seen = guide(images)
    heat = guide.heat(seen, torch.tensor([2, -1]))
    by_hand = torch.einsum("dhw,d->hw", seen.features[0], guide.probe.weight[2])
    torch.testing.assert_close(heat[0], by_hand.clamp(min=0))
    logit = by_hand.mean() + guide.probe.bias[2]
    torch.testing.assert_close(logit, seen.logits[0, 2])
    own = sum(
        share * torch.einsum("dhw,d->hw", seen.features[1], row)
        for share, row in zip(seen.own[1].softmax(0), guide.network.classifier.weight, strict=True)
    )
    torch.testing.assert_close(heat[1], own.clamp(min=0), rtol=1e-4, atol=1e-6)


def test_without_a_probe_the_guide_teaches_its_own_classes() -> None:
    torch.manual_seed(0)
    network = StandIn(8)
    alone, probed = Guide(network, None), Guide(network, nn.Linear(8, 3))
    assert (alone.classes, probed.classes) == (10, 3)
    images = torch.randn(2, 3, 64, 96)
    seen, other = alone(images), probed(images)
    assert torch.equal(seen.logits, seen.own)
    assert torch.equal(seen.own, other.own)
    nobody = torch.tensor([-1, -1])
    assert torch.equal(alone.heat(seen, nobody), probed.heat(other, nobody))


def test_a_folded_probe_says_the_same_of_plain_features() -> None:
    torch.manual_seed(0)
    features, probe = torch.randn(20, 6) * 3 + 1, nn.Linear(6, 4)
    mean, std = features.mean(0), features.std(0)
    plain = folded(probe, mean, std)
    torch.testing.assert_close(plain(features), probe((features - mean) / std))


def test_the_guide_command_fits_a_probe(
    data: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(guide_command, "NETWORK", "test_efficientnet")
    torch.manual_seed(0)
    network = timm.create_model("test_efficientnet")
    weights, probe = tmp_path / "weights.pth", tmp_path / "probe.safetensors"
    torch.save(network.state_dict(), weights)
    guide_command.main(
        [str(data), "--cache", str(cache), "--weights", str(weights), "--out", str(probe),
         "--side", "64"]
    )  # fmt: skip
    accuracy = float(capsys.readouterr().out.split(":")[1].strip(" %\n"))
    guide = load_guide(weights, probe)
    _, val = open_data(data, cache, 160)
    squares = np.stack([middle_square(val.image(i)) for i in range(len(val))])
    logits = guide(prepare_images(torch.from_numpy(squares), torch.device("cpu"))).logits
    right = (logits.argmax(1).numpy() == val.labels).mean()
    assert 100 * right == pytest.approx(accuracy, abs=100 / 12 + 0.1)  # bf16: one photo at most
    save_file({"weight": torch.zeros(3, 7), "bias": torch.zeros(3)}, str(probe))
    with pytest.raises(TrainingError, match="holds no probe"):
        load_guide(weights, probe)
    probe.write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="holds no probe"):
        load_guide(weights, probe)


def middle_square(image: np.ndarray) -> np.ndarray:
    """The middle 48 x 48 of a picture of 48 x 64, at 64 pixels."""
    return resize(np.ascontiguousarray(image[:, 8:56]), 64)


@pytest.mark.parametrize("images", [10, 320, 28_800, 60_000])
def test_the_learning_rate_rises_and_ends_near_0(images: int) -> None:
    recipe = Refinement(images=images, batch=2)
    rates = [recipe.rate_at(step) for step in range(recipe.steps)]
    peak = rates.index(1.0)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak + 1 :] == sorted(rates[peak + 1 :], reverse=True)
    rest = recipe.steps - min(100, recipe.steps // 2)
    assert rates[-1] == pytest.approx(math.sin(math.pi / 2 / rest) ** 2)
    assert recipe.rate_at(recipe.steps) == pytest.approx(0, abs=1e-12)


@pytest.fixture
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of 64 x 64 and 64 x 96 pixels."""
    monkeypatch.setattr(frames_of, "SQUARES", (64,))
    monkeypatch.setattr(frames_of, "RECTANGLES", ((64, 96),))
    monkeypatch.setattr(frames_of, "MOSAIC_SIDE", 32)


def make_framing(data: Path, cache: Path, seed: int) -> Framing:
    source = command.training_source(data, cache, 160, Refinement(), labelled=True)
    photos = unlabelled_photos(data / "val" / "stripes", cache, 160)
    return Framing([source, Source(photos, labelled=False)], [0.7, 0.3], 4, seed)


@pytest.mark.usefixtures("small_frames")
def test_frames_depend_on_the_seed_and_the_step_alone(data: Path, cache: Path) -> None:
    one, again, other = (make_framing(data, cache, seed) for seed in (3, 3, 4))
    forwards = [one.frames(step) for step in range(6)]
    for step in reversed(range(6)):
        for mine, theirs in zip(forwards[step], again.frames(step), strict=True):
            np.testing.assert_array_equal(mine.image, theirs.image)
            assert (mine.label, mine.photo) == (theirs.label, theirs.photo)
            assert (mine.boxes is None) == (theirs.boxes is None)
            if mine.boxes is not None:
                np.testing.assert_array_equal(mine.boxes, theirs.boxes)
    assert any(
        a.image.shape != b.image.shape or (a.image != b.image).any()
        for step in range(6)
        for a, b in zip(forwards[step], other.frames(step), strict=True)
    )


@pytest.mark.usefixtures("small_frames")
def test_frames_of_all_kinds_keep_boxes_on_the_object(data: Path, cache: Path) -> None:
    framing = make_framing(data, cache, 0)
    shapes, bordered, mosaics, unknown = set(), 0, 0, 0
    for step in range(150):
        frames = framing.frames(step)
        assert len({frame.image.shape for frame in frames}) == 1
        for frame in frames:
            height, width = frame.image.shape[:2]
            shapes.add((height, width))
            border = ~mask_of(np.array([frame.photo]), height, width)
            assert (frame.image[border] == GREY).all()
            bordered += bool(border.any())
            unknown += frame.label == -1
            if frame.boxes is None:
                continue
            mosaics += len(frame.boxes) == 4
            inside = mask_of(frame.boxes, height, width)
            # Squares are saturated, and nothing else is: red and blue differ by 190.
            colour = np.abs(frame.image[..., 0].astype(int) - frame.image[..., 2]) > 85
            if inside.sum() > 150:
                assert (colour & inside).sum() / (colour | inside).sum() > 0.75
    assert shapes == {(64, 64), (64, 96), (96, 64)}
    assert bordered > 20
    assert mosaics > 3
    assert 0 < unknown < 500


def test_photos_without_labels_come_from_any_folder(data: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for name, level in (("b.png", 20), ("a.jpg", 10), ("notes.txt", 0)):
        if name.endswith("txt"):
            (flat / name).write_text("no photo")
        else:
            Image.new("RGB", (30, 20), (level,) * 3).save(flat / name)
    photos = unlabelled_photos(flat, tmp_path / "cache", 288)
    assert photos.keys == ("a.jpg", "b.png")
    assert [int(photos.image(i).mean()) for i in range(2)] == [10, 20]
    assert photos.chances().tolist() == [0.5, 0.5]
    split = unlabelled_photos(data, tmp_path / "cache", 288)
    assert len(split) == 36  # those of train/ alone
    (tmp_path / "empty").mkdir()
    for name, message in (("none", "not a folder"), ("empty", "holds no image")):
        with pytest.raises(TrainingError, match=message):
            unlabelled_photos(tmp_path / name, tmp_path / "cache", 288)


def test_held_out_photos_are_not_trained_on(data: Path, cache: Path) -> None:
    source = command.training_source(data, cache, 160, Refinement(held_out=6), labelled=True)
    whole, _ = open_data(data, cache, 160)
    boxed = [key for key in whole.keys if "square" in key]
    assert set(whole.keys) - set(source.cache.keys) == set(boxed[::6])
    assert {source.cache.keys[i] for i in source.boxes} == set(boxed) - set(boxed[::6])
    for index, key in enumerate(source.cache.keys):
        old = whole.keys.index(key)
        np.testing.assert_array_equal(source.cache.image(index), whole.image(old))
        assert source.cache.labels[index] == whole.labels[old]


def test_hooks_are_taken_off() -> None:
    network = create_network("resnet18", "cbam", 3, ARGUMENTS).eval()
    watch = GateWatch(network)
    network(torch.zeros(1, 3, 64, 64))
    assert watch.layers == len(watch.spatial) == 4
    watch.close()
    network(torch.zeros(1, 3, 64, 64))
    assert watch.inputs == watch.channel == watch.spatial == {}


def checkpoint(folder: Path, attention: str | None, classes: int = 3) -> Path:
    """An untrained network of few weights."""
    torch.manual_seed(0)
    network = create_network("resnet18", attention, classes, ARGUMENTS)
    recipe = Recipe(arguments=ARGUMENTS, attention=attention)
    names = [str(i) for i in range(classes)]
    cfg = {"input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3}
    path = folder / "source.safetensors"
    export(network, describe(recipe, names, {"top1": 0.9}, pretrained_cfg=cfg), path)
    return path


@pytest.fixture
def guided(monkeypatch: pytest.MonkeyPatch, small_frames: None) -> None:
    """A guide with random weights."""

    def stand_in(weights: Path, probe: Path | None) -> Guide:
        torch.manual_seed(1)
        return Guide(StandIn(8), nn.Linear(8, 3) if probe else None)

    monkeypatch.setattr(command, "load_guide", stand_in)


def options(source: Path, data: Path, cache: Path, out: Path, *more: str) -> list[str]:
    return [
        str(source), str(data), "--out", str(out), "--cache", str(cache), "--guide", "none",
        "--probe", "none", "--images", "32", "--batch", "4", "--map-layers", "0", "0.5", "1", "1",
        "--sharp", str(data / "val" / "stripes"), *more,
    ]  # fmt: skip


@pytest.mark.usefixtures("guided")
def test_a_resumed_run_equals_an_uninterrupted_one(
    data: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = checkpoint(tmp_path, "cbam")
    command.main(options(source, data, cache, tmp_path / "whole"))
    update = command.Refining.update

    def stop_after_three(run: command.Refining) -> dict[str, float]:
        if run.step == 3:
            raise KeyboardInterrupt
        return update(run)

    with monkeypatch.context() as patch:
        patch.setattr(command.Refining, "update", stop_after_three)
        with pytest.raises(SystemExit, match="resumes"):
            command.main(options(source, data, cache, tmp_path / "parts"))
    assert read_state(tmp_path / "parts" / "state.pt", RefineState).step == 3
    command.main(options(source, data, cache, tmp_path / "parts"))
    resumed, whole = (
        read_state(tmp_path / name / "state.pt", RefineState) for name in ("parts", "whole")
    )
    assert resumed.step == whole.step == 8
    first = load_file(str(source))
    changed = set()
    for key, value in whole.model.items():
        assert torch.equal(resumed.model[key], value), key
        assert torch.equal(resumed.average[key], whole.average[key]), key
        if not torch.equal(first[key], value):
            changed.add(key)
    trained = {key for key in first if key.startswith(("layer2", "layer3", "layer4", "fc"))}
    assert changed <= trained  # conv1, bn1 and layer1 are frozen
    assert "layer4.0.se.spatial.conv.conv.weight" in changed
    assert not any("running" in key or "num_batches" in key for key in changed)
    for key, value in load_file(str(tmp_path / "whole" / "last.safetensors")).items():
        assert torch.equal(value, whole.average[key]), key
    with pytest.raises(SystemExit, match=r"error: .*\(rate differ\)"):
        command.main(options(source, data, cache, tmp_path / "whole", "--rate", "0.5"))


@pytest.mark.usefixtures("guided")
def test_a_twin_without_cbam_runs_too(
    data: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(command, "LOG_EVERY", 8)
    source = checkpoint(tmp_path, None)
    command.main(options(source, data, cache, tmp_path / "twin"))
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record.keys() == {"step", "guide", "label", "img/s"}
    metadata = read_metadata(tmp_path / "twin" / "last.safetensors")
    assert metadata["attention"] is None
    assert "accuracy" not in metadata  # nothing was measured of these weights


@pytest.mark.usefixtures("guided")
def test_a_network_of_the_guides_classes_needs_neither_probe_nor_labels(
    data: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(command, "LOG_EVERY", 8)
    source = checkpoint(tmp_path, "cbam", classes=10)
    arguments = options(source, data, cache, tmp_path / "own")
    at = arguments.index("--probe")
    command.main(arguments[:at] + arguments[at + 2 :])
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record.keys() == {"step", "guide", "maps", "decay", "img/s"}


def test_cells_of_both_paddings_are_asked_where_they_are() -> None:
    resnet = create_network("resnet18", "cbam", 3, ARGUMENTS).eval()
    assert command.cell_starts(resnet, [3, 64, 64]) == [0.5] * 4
    assert command.cell_starts(create_network("resnet18", None, 3, ARGUMENTS), [3, 64, 64]) == []
    padded = timm.create_model("tf_efficientnet_lite0").eval()
    insert_gates(padded, (4, 5, 6))
    assert command.cell_starts(padded, [3, 224, 224]) == [15.5, 31.5, 31.5]
    assert command.cell_starts(padded, [3, 160, 288]) == [15.5, 31.5, 31.5]


def contrast(run: command.Refining, framing: Framing) -> float:
    """How much more open layer 3's map is where it is asked to be open than where closed."""
    opened, closed = [], []
    for step in range(1000, 1020):  # not trained on
        frames = framing.frames(step)
        images = torch.from_numpy(np.stack([frame.image for frame in frames]))
        images = prepare_images(images, torch.device("cpu"))
        labels = torch.tensor([frame.label for frame in frames])
        with torch.no_grad():
            run.model(images)
        spatial = run.gates.spatial[2][:, 0]
        heat = run.guide.heat(look(run.guide, images), labels)
        asked = targets(heat, frames, (spatial.shape[1], spatial.shape[2]))
        opened.append(spatial[asked > 0.5])
        closed.append(spatial[asked < 0.1])
    return (torch.cat(opened).mean() - torch.cat(closed).mean()).item()


@pytest.mark.usefixtures("guided")
def test_maps_learn_what_they_are_asked(data: Path, cache: Path, tmp_path: Path) -> None:
    source, framing = checkpoint(tmp_path, "cbam"), make_framing(data, cache, 0)
    guide = command.load_guide(Path(), Path())
    found = {}
    for weight in (0.0, 10.0):
        recipe = Refinement(
            images=480, batch=4, map_layers=(0, 0, 1, 0), map_weight=weight, rate=2e-3,
            gate_rate=0.02,
        )  # fmt: skip
        run = command.Refining(source, recipe, framing, guide, tmp_path / str(weight))
        for _ in range(recipe.steps):
            run.update()
        found[weight] = contrast(run, framing)
    assert found[10.0] > found[0.0] + 0.1


@pytest.mark.usefixtures("guided")
def test_maps_of_one_half_cost_ln_2_whatever_is_asked(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    framing = make_framing(data, cache, 0)
    recipe = Refinement(map_layers=(0, 0.3, 1, 2), map_weight=0.8, gate_decay=1.0)
    guide = command.load_guide(Path(), Path())
    run = command.Refining(checkpoint(tmp_path, "cbam"), recipe, framing, guide, tmp_path / "run")
    for name, parameter in run.model.named_parameters():
        if ".se." in name:
            nn.init.zeros_(parameter)
    for step in range(5):
        costs = run._costs(framing.frames(step))
        assert costs["maps"].item() == pytest.approx(0.8 * math.log(2), abs=1e-5)
        assert costs["decay"].item() == 0


@pytest.mark.usefixtures("guided")
def test_what_does_not_belong_together_gives_one_sentence(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    source = checkpoint(tmp_path, "cbam")
    for more, message in (
        (("--map-layers", "1", "1"), "4 layers with CBAM; --map-layers gives 2"),
        (("--frozen", "stem"), "no part stem to freeze"),
        (("--sharp", str(tmp_path / "nowhere")), "nowhere is not a folder"),
    ):
        with pytest.raises(SystemExit, match=f"error: .*{message}"):
            command.main(options(source, data, cache, tmp_path / "run", *more))
    other = checkpoint(tmp_path, "cbam", classes=5)
    with pytest.raises(SystemExit, match="error: The guide knows 3 classes, the network 5"):
        command.main(options(other, data, cache, tmp_path / "run"))
    (tmp_path / "run" / "state.pt").write_bytes(b"nothing")
    source = checkpoint(tmp_path, "cbam")
    with pytest.raises(SystemExit, match="cannot be resumed from"):
        command.main(options(source, data, cache, tmp_path / "run"))
    source.write_bytes(b"nothing")
    with pytest.raises(SystemExit, match="no safetensors file"):
        command.main(options(source, data, cache, tmp_path / "other"))
