"""ultralytics' checkpoints: rebuilt without running them, fed as their own, and hostile ones."""

from __future__ import annotations

import copy
import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import cbam_viz
from cbam_viz.ablation import ablate
from cbam_viz.analysis import analyse
from cbam_viz.errors import CheckpointError, ModelError
from cbam_viz.images import InputSpec, prepare, read_photo
from cbam_viz.models import load_model, load_own_model, wrap_model
from tests.models.yolos import Make, maker, png, save
from tests.third_party.test_ultralytics import BLOCKS, flat, is_gate

pytestmark = pytest.mark.third_party


@pytest.fixture
def make(ultralytics: Any, monkeypatch: pytest.MonkeyPatch) -> Make:
    return maker(ultralytics, monkeypatch)


FINE = """
nc: 2
scale: n
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, CBAM, [16]]
  - [-1, 1, Conv, [32, 3, 2]]
head:
  - [[3], 1, Detect, [nc]]
"""
"""A detector of small objects alone: cells of 8 pixels."""


def loaded_by_torch(path: Path) -> nn.Module:
    found: nn.Module = torch.load(path, weights_only=False)["model"].float().eval()
    return found


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("DetectionModel", ""),
        ("DetectionModel", "yolo11n.yaml"),
        ("DetectionModel", "yolo12n.yaml"),
        ("DetectionModel", "yolov10n.yaml"),
        ("DetectionModel", "yolov5n.yaml"),
        ("SegmentationModel", "yolov8n-seg.yaml"),
        ("PoseModel", "yolov8n-pose.yaml"),
        ("OBBModel", "yolov8n-obb.yaml"),
        ("ClassificationModel", "yolov8n-cls.yaml"),
        ("DepthModel", "yolo26n-depth.yaml"),
        ("WorldModel", "yolov8n-world.yaml"),
        ("WorldModel", "yolov8n-worldv2.yaml"),
        ("YOLOESegModel", "yoloe-11n-seg.yaml"),
    ],
)
def test_rebuilt_networks_compute_the_same(
    make: Make, tmp_path: Path, kind: str, config: str
) -> None:
    path = save(tmp_path / "best.pt", make(kind, config))
    loaded = load_model(path)
    reference = loaded_by_torch(path)
    x = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        wanted, found = flat(reference(x)), flat(loaded.model(x))
    assert len(wanted) == len(found) > 0
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert list(loaded.model.state_dict()) == list(reference.state_dict())
    assert not any(part.training for part in loaded.model.modules())


def test_what_the_classes_of_a_yolo_world_are_called_comes_with_it(
    make: Make, tmp_path: Path
) -> None:
    """Vectors of texts are no weights by name, and without them other objects are found."""
    model: Any = make("WorldModel", "yolov8n-worldv2.yaml")
    model.txt_feats = torch.randn(1, 80, 512, generator=torch.Generator().manual_seed(3))
    loaded = load_model(save(tmp_path / "best.pt", model))
    assert torch.equal(loaded.model.txt_feats, model.txt_feats)  # type: ignore[arg-type]
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found = flat(loaded.model(x))[0]
        vars(loaded.model)["txt_feats"] = torch.zeros(1, 80, 512)
        assert not torch.equal(flat(loaded.model(x))[0], found)


def predicted(ultralytics: Any, path: Path, photo: Any) -> dict[str, Tensor]:
    """The gates of ultralytics' own prediction, whose network is a fused copy."""
    yolo = ultralytics.YOLO(str(path))
    pixels = np.ascontiguousarray(photo.pixels[..., ::-1])
    predict = functools.partial(yolo.predict, pixels, verbose=False, save=False)
    predict()
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, args, output: seen.__setitem__(name, output)

    parts = list(yolo.predictor.model.model.named_modules())
    hooks = [part.register_forward_hook(keep(n)) for n, part in parts if is_gate(n, part)]
    predict()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("size", [(120, 170), (37, 400), (200, 90), (160, 161), (500, 500)])
def test_gates_are_those_of_the_detectors_own_prediction(
    ultralytics: Any,
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "best.pt", make())
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    photo = read_photo(tmp_path / "photo.png")
    found = analyse(load_model(path), photo)
    seen = predicted(ultralytics, path, photo)
    assert list(found.attention) == BLOCKS
    for name, layer in found.attention.items():
        channel = seen[f"{name}.channel_attention.act"].flatten(1)
        spatial = seen[f"{name}.spatial_attention.act"][:, 0]
        assert layer.channel is not None
        assert layer.spatial is not None
        torch.testing.assert_close(layer.channel, channel, atol=1e-5, rtol=0)
        torch.testing.assert_close(layer.spatial, spatial, atol=1e-5, rtol=0)
    assert torch.equal(
        analyse(load_model(path), photo, "whole").attention[BLOCKS[0]].spatial,  # type: ignore[arg-type]
        found.attention[BLOCKS[0]].spatial,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("size", [(100, 170), (41, 160)])
def test_a_detector_of_small_steps_is_fed_as_predict_feeds_it(
    ultralytics: Any,
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
) -> None:
    """Without its coarser layers a network has steps of 8; `predict` still pads to 32."""
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "best.pt", make(config=FINE))
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    photo = read_photo(png(pixels))
    loaded = load_model(path)
    assert loaded.model.stride.max() == 8
    found = analyse(loaded, photo)
    assert found.geometry.input_size in ((96, 160), (64, 160))
    seen = predicted(ultralytics, path, photo)
    (layer,) = found.layers
    spatial = seen[f"{layer.name}.spatial_attention.act"][:, 0]
    torch.testing.assert_close(layer.spatial, spatial, atol=1e-5, rtol=0)


def test_a_classifier_s_size_is_a_multiple_of_32_as_for_predict(
    ultralytics: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "best.pt", make("ClassificationModel", "yolov8n-cls.yaml", 100))
    pixels = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    found = analyse(load_model(path), read_photo(png(pixels)), gates=False)
    assert found.geometry.input_size == (128, 128)
    yolo = ultralytics.YOLO(str(path))
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    (wanted,) = yolo.predict(bgr, verbose=False, save=False)
    assert found.predictions[0].index == wanted.probs.top1
    assert found.predictions[0].probability == pytest.approx(float(wanted.probs.top1conf), abs=1e-6)


@pytest.mark.parametrize("shape", [(480, 640), (37, 501), (640, 641), (1001, 333), (3, 900)])
def test_the_letterbox_is_ultralytics_own(ultralytics: Any, shape: tuple[int, int]) -> None:
    letterbox = __import__("ultralytics.data.augment", fromlist=["LetterBox"]).LetterBox
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    wanted = letterbox((320, 320), auto=True, stride=32)(image=pixels)
    spec = InputSpec(
        size=(300, 300), mean=(0.0,), std=(1.0,), crop_pct=1.0, crop_mode="rectangle",
        interpolation="opencv", multiple=32,
    )  # fmt: skip
    made = prepare(read_photo(png(pixels)), spec)
    assert made.tensor.shape[2:] == wanted.shape[:2]
    assert torch.equal(made.tensor[0] * 255, torch.from_numpy(wanted).permute(2, 0, 1).float())
    top, left = made.geometry.to_input(0, 0)
    inside = wanted[round(top) :, round(left) :]
    assert (wanted[: round(top)] == 114).all()
    assert (wanted[:, : round(left)] == 114).all()
    assert inside.size


def test_what_is_said_of_a_checkpoint(make: Make, tmp_path: Path) -> None:
    model = make()
    model.names = dict(enumerate("abcdefg"))  # type: ignore[assignment]
    loaded = load_model(save(tmp_path / "best.pt", model))
    assert loaded.classes == tuple("abcdefg")
    assert loaded.name == "best"
    assert loaded.spec.size == (160, 160)
    assert loaded.spec.assumed == ()
    assert cbam_viz.cost(loaded.model, layers=BLOCKS).input_size == (160, 160)
    assert loaded.fed() == (
        "Input: letterbox within 160 × 160 (filled with 114), values from 0 to 1 (size stated by "
        "the checkpoint; normalisation and crop as ultralytics feeds it)."
    )
    assert loaded.report is not None
    assert "written by 8.4.0" in loaded.report.text
    ema = load_model(save(tmp_path / "last.pt", model, model=None, ema=copy.deepcopy(model).half()))
    assert ema.report is not None
    assert "averaged (EMA)" in ema.report.text
    sizeless = load_model(save(tmp_path / "old.pt", model, train_args=None))
    assert sizeless.spec.size == (640, 640)
    assert sizeless.spec.assumed == ("size",)


def test_an_upload_is_read_in_a_process_of_its_own(make: Make, tmp_path: Path) -> None:
    path = save(tmp_path / "best.pt", make())
    found, wanted = load_model(path.read_bytes(), apart=True, name="mine"), load_model(path)
    assert found.name == "mine"
    assert found.spec == wanted.spec
    ours, theirs = found.model.state_dict(), wanted.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_classifier_is_fed_its_crop(make: Make, tmp_path: Path) -> None:
    loaded = load_model(
        save(tmp_path / "b.pt", make("ClassificationModel", "yolov8n-cls.yaml", 64))
    )
    assert (loaded.spec.size, loaded.spec.crop_mode) == ((64, 64), "center")
    assert (loaded.spec.mean, loaded.spec.std) == ((0.0,) * 3, (1.0,) * 3)


def test_one_own_code_takes_the_tensors_and_the_input(make: Make, tmp_path: Path) -> None:
    path = save(tmp_path / "best.pt", make())
    found = load_own_model(make(), path)
    assert found.spec == load_model(path).spec
    assert found.spec.assumed == ()


class OwnAttention(nn.Module):
    """Somebody's class, which no other machine has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(64, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * self.conv(x).sigmoid()
        return gated


def test_unknown_classes_are_named(make: Make, tmp_path: Path) -> None:
    model = make()
    own = OwnAttention()
    own.i, own.f = model.model[5].i, model.model[5].f  # type: ignore
    model.model[5] = own  # type: ignore
    path = save(tmp_path / "best.pt", model)
    with pytest.raises(CheckpointError, match=r"OwnAttention.*--model FILE\.py:FACTORY -c") as said:
        load_model(path)
    assert "model.5" in str(said.value)


class Payload:
    """What a pickle would call."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def attack(model: Any, name: str, marker: Path) -> None:
    first = model.model[0]
    match name:
        case "hooks":
            first._forward_hooks[0] = Payload(marker)
            first._forward_pre_hooks[0] = Payload(marker)
            model._forward_hooks[1] = print
        case "forward":
            first.forward = Payload(marker)
            model.forward = Payload(marker)
        case "call":
            first._call_impl = Payload(marker)
            first._compiled_call_impl = Payload(marker)
            first._conv_forward = Payload(marker)
        case "names":
            model.names = Payload(marker)
        case "yaml":
            model.yaml = {"activation": f"__import__('os').mkdir({str(marker)!r})"}
        case "foreign":
            model.extra = Payload(marker)
            first.extra = Payload(marker)
            model.model.__setstate__ = Payload(marker)


@pytest.mark.parametrize("name", ["hooks", "forward", "call", "names", "yaml", "foreign"])
def test_nothing_of_a_file_runs(make: Make, tmp_path: Path, name: str) -> None:
    model = make()
    path = save(tmp_path / "clean.pt", model)
    marker = tmp_path / "ran"
    evil = copy.deepcopy(model)
    attack(evil, name, marker)
    torch.save({"model": evil.half(), "ema": None, "train_args": {"imgsz": 160}}, tmp_path / "e.pt")
    loaded = load_model(tmp_path / "e.pt")
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found, wanted = flat(loaded.model(x)), flat(loaded_by_torch(path)(x))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert not marker.exists()
    for part in loaded.model.modules():
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
        assert not any(isinstance(value, Payload) for value in vars(part).values())


def itself(model: Any) -> None:
    model.model[2].m[0].cv1 = model.model[2]


def doubled(model: Any) -> None:
    part: nn.Module = nn.Identity()
    for _ in range(50):
        part = nn.Sequential(part, part)
    part.i, part.f = 0, -1  # type: ignore
    model.model[0] = part


def huge_padding(model: Any) -> None:
    model.model[0].conv.padding = (50_000, 50_000)


def huge_upsampling(model: Any) -> None:
    for part in model.modules():
        if isinstance(part, nn.Upsample):
            part.scale_factor = 4_000.0


def huge_pool(model: Any) -> None:
    model.model[5].channel_attention.pool.output_size = (90_000, 90_000)


def endless(model: Any) -> None:
    model.model[11].n = 10**12


def long_loop(model: Any) -> None:
    model.model[11].m = nn.Sequential(nn.Identity(), nn.Identity())
    model.model[11].n = 90_000


def within(model: Any) -> None:
    model.model[0].conv = copy.deepcopy(model)


def wrong_place(model: Any) -> None:
    model.model[-1].f = [15, 18, 999]


def text_for_number(model: Any) -> None:
    model.model[0].conv.stride = "os.system('true')"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (itself, "contains itself"),
        (doubled, "more than 20,000 modules"),
        (huge_padding, "GB of memory|billion operations"),
        (huge_upsampling, "GB of memory|billion operations"),
        (huge_pool, "GB of memory|billion operations"),
        (endless, "'n' of a SPPF is 1000000000000"),
        (long_loop, "more than 100,000 calls"),
        (within, "DetectionModel"),
        (wrong_place, "does not run on an input of 160 x 160"),
        (text_for_number, "does not run on an input of 160 x 160"),
    ],
)
def test_hostile_networks_end_soon_and_small(
    make: Make, tmp_path: Path, change: Callable[[Any], None], says: str
) -> None:
    resource = pytest.importorskip("resource")
    model = make().half()
    change(model)
    torch.save({"model": model, "train_args": {"imgsz": 160}}, tmp_path / "e.pt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(CheckpointError, match=says):
        load_model(tmp_path / "e.pt")
    assert time.process_time() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kilobytes


def test_many_tensors_of_few_numbers_cost_no_memory(make: Make, tmp_path: Path) -> None:
    model = make()
    giant = torch.zeros(1).expand(1_000_000_000)
    model.model[0].conv.weight = nn.Parameter(giant.view(1000, 1000, 1000, 1))  # type: ignore
    torch.save({"model": model}, tmp_path / "e.pt")
    with pytest.raises(CheckpointError, match="claim more than"):
        load_model(tmp_path / "e.pt")


def test_fused_networks_are_read(make: Make, tmp_path: Path) -> None:
    model: Any = make()
    path = save(tmp_path / "clean.pt", model)
    fused = loaded_by_torch(path).fuse(verbose=False)  # type: ignore
    torch.save({"model": fused, "train_args": {"imgsz": 160}}, tmp_path / "fused.pt")
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found, wanted = flat(load_model(tmp_path / "fused.pt").model(x)), flat(fused(x))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_the_wrapper_is_taken_apart_and_never_trained(
    ultralytics: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "best.pt", make())
    yolo = ultralytics.YOLO(str(path))

    def trained(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a training was started")

    monkeypatch.setattr(type(yolo), "train", trained)
    photo = read_photo(png(np.zeros((50, 80, 3), np.uint8)))
    loaded = wrap_model(yolo)
    assert loaded.model is yolo.model
    assert not loaded.model.training
    assert loaded.spec.size == (160, 160)
    assert list(analyse(loaded, photo).attention) == BLOCKS
    x = torch.rand(1, 3, 64, 64)
    assert list(cbam_viz.capture(yolo, x)) == BLOCKS
    with cbam_viz.capturing(yolo) as recorder:
        yolo.model(x)
    assert list(recorder.attention()) == BLOCKS
    assert cbam_viz.find_cbam_layers(yolo, x) == BLOCKS
    with torch.no_grad(), ablate(yolo, {BLOCKS[0]: "one"}) as ablated:
        ablated(x)
    assert cbam_viz.cost(yolo, layers=BLOCKS).parameters > 0
    described = cbam_viz.LoadedModel(yolo, "mine", InputSpec(), None)
    assert described.model is yolo.model
    (tmp_path / "own.py").write_text(
        f"from ultralytics import YOLO\ndef make():\n    return YOLO({str(path)!r})\n"
    )
    from cbam_viz.models.code import OwnCode, open_code

    assert (
        list(analyse(open_code(OwnCode(f"{tmp_path / 'own.py'}:make")), photo).attention) == BLOCKS
    )
    yolo.model = None
    vars(yolo)["model"] = "best.onnx"
    yolo._modules.pop("model", None)
    with pytest.raises(ModelError, match=r"holds no PyTorch network, but 'best\.onnx'"):
        wrap_model(yolo)


def test_visitors_do_not_disturb_each_other(make: Make, tmp_path: Path) -> None:
    """The head keeps the places of its cells on itself: those of one photo are not another's."""
    loaded = load_model(save(tmp_path / "best.pt", make()))
    rng = np.random.default_rng(0)
    photos = [
        read_photo(png(rng.integers(0, 256, (*size, 3), dtype=np.uint8)))
        for size in ((60, 160), (160, 60), (90, 160))
    ]
    alone = [flat(analyse(loaded, photo).attention.output) for photo in photos]
    wrong: list[int] = []

    def visit(number: int) -> None:
        for _ in range(6):
            found = flat(analyse(loaded, photos[number]).attention.output)
            same = all(torch.equal(a, b) for a, b in zip(found, alone[number], strict=True))
            wrong.extend([] if same else [number])

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_without_ultralytics_the_sentence_says_what_to_install(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cbam_viz.models.yolo import classes, package

    path = save(tmp_path / "best.pt", make())
    classes.class_named.cache_clear()
    for name in [name for name in __import__("sys").modules if name.startswith("ultralytics")]:
        monkeypatch.delitem(__import__("sys").modules, name)
    monkeypatch.setitem(__import__("sys").modules, "ultralytics", None)
    assert package.loaded_module("nn.tasks") is None
    with pytest.raises(CheckpointError, match=r'pip install "cbam-viz\[yolo\]"'):
        load_model(path)
    classes.class_named.cache_clear()
