"""`crop` is timm's own evaluation transform; `whole` keeps aspect and cuts nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cbam_viz import ImageError, ModelError
from cbam_viz._compat import ensure_torchvision
from cbam_viz.images import InputSpec, prepare, read_photo
from tests.images.helpers import Pixels, scene

ensure_torchvision()
from timm.data import create_transform, resolve_data_config  # noqa: E402
from timm.models import get_pretrained_cfg, list_pretrained  # noqa: E402

SIZES = [(48, 64), (64, 48), (50, 50), (31, 457), (457, 31), (9, 11), (300, 451)]

CONFIGS: list[dict[str, Any]] = [
    {"input_size": (3, 64, 64), "crop_pct": 0.875},
    {"input_size": (3, 64, 64), "crop_pct": 0.95, "interpolation": "bilinear"},
    {"input_size": (3, 64, 64), "crop_pct": 1.0, "interpolation": "lanczos"},
    {"input_size": (3, 64, 64), "crop_mode": "squash", "crop_pct": 1.0},
    {"input_size": (3, 64, 64), "crop_mode": "squash", "crop_pct": 0.9},
    {"input_size": (3, 64, 64), "crop_mode": "border", "crop_pct": 1.0},
    {"input_size": (3, 64, 64), "crop_mode": "border", "crop_pct": 0.8, "mean": (0.5, 0.1, 0.9)},
    {"input_size": (3, 96, 64), "crop_pct": 0.875, "interpolation": "bicubic"},
    {"input_size": (3, 64, 96), "crop_mode": "squash"},
    {"input_size": (3, 64, 96), "crop_mode": "border", "crop_pct": 0.93},
    {"input_size": (3, 65, 65), "crop_pct": 0.7, "mean": (0.5,) * 3, "std": (0.5,) * 3},
    {"input_size": (3, 64, 64), "interpolation": "nearest"},
    {"input_size": (3, 64, 64), "crop_pct": 1.3},  # the crop is larger than what it is cut from
    {},
]


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def timm_tensor(pixels: Pixels, config: dict[str, Any]) -> torch.Tensor:
    transform = create_transform(**resolve_data_config(pretrained_cfg={"_": 0, **config}))
    tensor: torch.Tensor = transform(Image.fromarray(pixels)).unsqueeze(0)
    return tensor


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("config", CONFIGS)
def test_crop_equals_timm_bit_for_bit(size: tuple[int, int], config: dict[str, Any]) -> None:
    pixels = noise(*size)
    made = prepare(read_photo(pixels), InputSpec.from_pretrained_cfg(config), "crop")
    assert made.tensor.dtype == torch.float32
    assert torch.equal(made.tensor, timm_tensor(pixels, config))


def test_crop_equals_timm_for_the_configurations_of_real_networks() -> None:
    seen: dict[tuple[Any, ...], str] = {}
    for name in list_pretrained():
        cfg = get_pretrained_cfg(name).to_dict()
        key = tuple(cfg.get(k) for k in ("interpolation", "crop_mode", "crop_pct"))
        if max(cfg["input_size"]) <= 256:
            seen.setdefault(key, name)
    assert len(seen) > 10
    pixels = noise(60, 83)
    for name in seen.values():
        cfg = get_pretrained_cfg(name).to_dict()
        expected = timm_tensor(pixels, cfg)
        made = prepare(read_photo(pixels), InputSpec.from_pretrained_cfg(cfg), "crop")
        assert torch.equal(made.tensor, expected), name


def test_the_defaults_are_those_of_timm() -> None:
    config = resolve_data_config(pretrained_cfg={"input_size": None})
    spec = InputSpec.from_pretrained_cfg({})
    assert (3, *spec.size) == config["input_size"]
    assert spec.mean == config["mean"]
    assert spec.std == config["std"]
    assert spec.interpolation == config["interpolation"]
    assert spec.crop_pct == config["crop_pct"]
    assert spec.crop_mode == config["crop_mode"]


@pytest.mark.parametrize(
    ("cfg", "says"),
    [
        ({"input_size": (0, 224, 224)}, "input_size"),
        ({"range": "0..7"}, "range '0..7'"),
        ({"fill": 256}, "fill"),
        ({"window": (5, 5)}, "two finite numbers"),
        ({"mean": (124.0, 116.0, 104.0)}, "the range is 0..255"),
        ({"range": "0..255"}, "the range is 0..1"),
        ({"interpolation": "magic"}, "interpolation 'magic'"),
        ({"crop_mode": "oval"}, "crop mode 'oval'"),
        ({"std": (0.0, 1.0, 1.0)}, "must be positive"),
        ({"mean": (0.1, 0.2)}, "2 values"),
    ],
)
def test_descriptions_that_make_no_sense(cfg: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        InputSpec.from_pretrained_cfg(cfg)


def test_an_unknown_view() -> None:
    with pytest.raises(ImageError, match="no view 'all'"):
        prepare(read_photo(scene()), InputSpec(), "all")  # type: ignore[arg-type]


PLAIN = InputSpec(size=(64, 64), mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bilinear")


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ((100, 100), (64, 64)),  # 64 / 0.875 = 73, nearest multiple of 32
        ((100, 200), (64, 160)),  # 73 x 146
        ((200, 100), (160, 64)),
        ((100, 700), (64, 512)),
        ((10, 10), (64, 64)),
    ],
)
def test_whole_rounds_sides_to_multiples(photo: tuple[int, int], expected: tuple[int, int]) -> None:
    made = prepare(read_photo(noise(*photo)), PLAIN, "whole")
    assert made.tensor.shape == (1, 3, *expected)
    assert made.geometry.input_size == expected
    assert made.geometry.seen == pytest.approx((0, 0, *photo))


@pytest.mark.parametrize("multiple", [1, 14, 16, 32])
def test_whole_fits_any_multiple(multiple: int) -> None:
    spec = InputSpec(size=(64, 64), multiple=multiple)
    made = prepare(read_photo(noise(301, 457)), spec, "whole")
    assert all(side % multiple == 0 for side in made.geometry.input_size)


@pytest.mark.parametrize(
    "photo", [(3, 3000), (3000, 3), (1, 60_000), (2, 2), (1, 1), (517, 40), (40, 517), (8, 500)]
)
def test_whole_shows_all_of_extreme_photos_at_bounded_cost(photo: tuple[int, int]) -> None:
    made = prepare(read_photo(noise(*photo)), PLAIN, "whole")
    geometry = made.geometry
    top, left, bottom, right = geometry.seen
    assert (top, left) == pytest.approx((0, 0))
    assert (bottom, right) == pytest.approx(photo)
    assert geometry.seen_share == pytest.approx(1)
    # Nothing is stretched by more than an eighth, rounding to one pixel aside.
    stretch = geometry.scale_y / geometry.scale_x
    tolerance = 1.3 + 1 / min(photo[0] / geometry.scale_y, photo[1] / geometry.scale_x)
    assert 1 / tolerance < stretch < tolerance
    # Eight squares of 73 pixels, and the rounding of a short side up to 32.
    height, width = geometry.input_size
    assert height * width <= 8 * 73 * 73 * 33 or min(height, width) == 32
    assert height * width < 3_000_000


def test_whole_of_a_normal_photo_has_the_scale_of_the_crop() -> None:
    photo = read_photo(noise(300, 450))
    crop, whole = (prepare(photo, InputSpec(), view).geometry for view in ("crop", "whole"))
    assert whole.scale_y == pytest.approx(crop.scale_y, rel=0.07)
    assert whole.scale_x == pytest.approx(crop.scale_x, rel=0.07)


def test_whole_adds_borders_of_the_mean_colour_to_networks_of_fixed_size() -> None:
    spec = InputSpec(size=(64, 64), mean=(0.2, 0.4, 0.6), std=(1.0,) * 3, fixed_size=True)
    made = prepare(read_photo(noise(100, 200)), spec, "whole")
    assert made.tensor.shape == (1, 3, 64, 64)
    assert made.geometry.seen == pytest.approx((0, 0, 100, 200))
    # 200 -> 64, so 100 -> 32: sixteen rows above and below hold the mean, so about zero.
    assert made.tensor[:, :, :16].abs().max() < 0.003
    assert made.tensor[:, :, 48:].abs().max() < 0.003
    assert made.tensor[:, :, 16:48].std() > 0.1


def test_crop_of_an_endless_panorama_takes_little_memory_and_the_right_pixels() -> None:
    strip = np.zeros((2, 60_000, 3), np.uint8)
    strip[:, 29_990:30_010] = 255  # twenty columns around the centre
    made = prepare(read_photo(strip), InputSpec(interpolation="bilinear"), "crop")
    geometry = made.geometry
    assert made.tensor.shape == (1, 3, 224, 224)
    # 224 of 256 rows, each 2 / 256 of a photo pixel: 1.75 photo pixels, all of them white.
    assert geometry.seen == pytest.approx((0.125, 29_999.125, 1.875, 30_000.875))
    white = (1 - torch.tensor(InputSpec().mean)) / torch.tensor(InputSpec().std)
    assert torch.allclose(made.tensor, white.view(1, 3, 1, 1).expand_as(made.tensor))


def test_cutting_while_resizing_is_within_one_level_of_cutting_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo = read_photo(noise(300, 451))
    after = prepare(photo, PLAIN, "crop")
    monkeypatch.setattr("cbam_viz.images.views.MAX_RESIZED_PIXELS", 0)
    during = prepare(photo, PLAIN, "crop")
    assert during.geometry == after.geometry
    assert (during.tensor - after.tensor).abs().max() < 1.5 / 255
