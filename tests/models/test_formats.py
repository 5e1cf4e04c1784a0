"""What is read is what was saved: every layout, protocol and number type, and people's checkpoints.

The measure is what was given to `torch.save`, and what `torch.load` makes of the file.
"""

from __future__ import annotations

import argparse
import collections
import enum
import io
import json
import pathlib
import pickle
import struct
import subprocess
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cbam_viz import CheckpointError
from cbam_viz.models import create_model, load_model, load_own_model
from cbam_viz.models.files import read_weights
from cbam_viz.models.names import find_names
from cbam_viz.models.records import Key, Named, Record
from cbam_viz.models.state import find_weights
from cbam_viz.models.storages import NUMBERS


def saved(content: Any, *, zipped: bool = True, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return buffer.getvalue()


def read(content: Any, **options: Any) -> Any:
    return read_weights(saved(content, **options)).content


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert type(ours) is Tensor
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.stride() == theirs.stride()
    assert bits(ours) == bits(theirs.detach())


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=generator)
    found = {
        "plain": base,
        "row": base[2],
        "column": base[:, 3],
        "every other": base[::2, 1::2],
        "transposed": base.t(),
        "channels last": torch.arange(120.0)
        .reshape(2, 3, 4, 5)
        .to(memory_format=torch.channels_last),
        "repeated": torch.arange(3).expand(4, 3),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0),
        "empty with sides": torch.empty(3, 0, 2),
        "parameter": nn.Parameter(torch.tensor([0.1, 0.2])),
        "not a number": torch.tensor([torch.nan, torch.inf, -0.0]),
    }
    for dtype in NUMBERS:
        found[str(dtype)] = torch.arange(7).to(dtype)
    return found


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_what_was_saved(zipped: bool, protocol: int) -> None:
    data = saved(tensors(), zipped=zipped, protocol=protocol)
    content = read_weights(data).content
    references = [tensors()]
    if zipped:  # torch cannot read its own older layout with types of 8 bits in it
        references.append(torch.load(io.BytesIO(data), weights_only=False))
    for reference in references:
        assert list(content) == list(reference)
        for name, tensor in reference.items():
            assert_same(content[name], tensor)


def test_shared_storages_stay_shared(tmp_path: Path) -> None:
    base = torch.arange(12.0)
    torch.save({"a": base, "b": base[6:], "c": base}, tmp_path / "shared.pth")
    for source in (tmp_path / "shared.pth", (tmp_path / "shared.pth").read_bytes()):
        content = read_weights(source).content
        content["a"][7] = 100
        assert content["b"][1] == content["c"][7] == 100
    assert read_weights(tmp_path / "shared.pth").content["a"][7] == 7  # the file is as it was


def test_numbers_in_big_endian_order() -> None:
    data = saved({"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([1, 2], dtype=torch.uint8)})
    parts = unzipped(data)
    parts = {
        name: b"big"
        if name.endswith("byteorder")
        else struct.pack(">2f", 1, 2)
        if name.endswith("data/0")
        else content
        for name, content in parts.items()
    }
    content = read_weights(zipped(parts)).content
    assert content["a"].tolist() == [1, 2]
    assert content["b"].tolist() == [1, 2]


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def zipped(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_a_directory_with_sizes_of_64_bits(tmp_path: Path) -> None:
    """torch writes them where it streams; here each entry has them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in unzipped(saved({"w": torch.arange(5.0)})).items():
            with archive.open(name, "w", force_zip64=True) as part:
                part.write(content)
    assert read_weights(out.getvalue()).content["w"].tolist() == [0, 1, 2, 3, 4]


def test_both_processes_read_the_same(tmp_path: Path) -> None:
    """What the process with limits says crosses over whole: texts, bytes, circles and all."""
    content = {**tensors(), **odds(), "long": "x" * 1000, "\ud800": "half a character", "π": -0.0}
    loop: dict[str, Any] = {"content": content}
    loop["self"] = loop
    torch.save(loop, tmp_path / "loop.pth")
    here = read_weights(tmp_path / "loop.pth").content
    there = read_weights(tmp_path / "loop.pth", apart=True).content
    assert there["self"] is there
    assert described(here["content"]) == described(there["content"])
    assert described(here["content"]) == described(
        read_weights((tmp_path / "loop.pth").read_bytes(), apart=True).content["content"]
    )


def described(value: Any) -> Any:
    """A value as texts that compare."""
    if isinstance(value, Tensor):
        return str(value.dtype), tuple(value.shape), value.stride(), bits(value)
    if isinstance(value, dict):
        return [(described(key), described(entry)) for key, entry in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [described(entry) for entry in value]
    if isinstance(value, Record):
        parts = (value.arguments, value.state, list(value.items), dict(value.pairs))
        return value.name, described(parts)
    if isinstance(value, (set, frozenset)):
        return sorted(repr(described(entry)) for entry in value)
    return described(value.value) if isinstance(value, Key) else repr(value)


class Colour(enum.Enum):
    RED = 1


def odds() -> dict[str, Any]:
    """What stands beside weights."""
    return {
        "namespace": argparse.Namespace(model="resnet18", mean=(0.5, 0.5, 0.5), lr=0.1),
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "default": collections.defaultdict(list, {"x": [1, 2]}),
        "counter": collections.Counter("aab"),
        "deque": collections.deque([1, 2], maxlen=3),
        "set": {"a", 1, None},
        "frozen": frozenset({2.5, True}),
        "path": pathlib.PurePosixPath("/data/photos"),
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "enum": Colour.RED,
        "numpy float": np.float64(0.75),
        "numpy int": np.int32(-3),
        "numpy bool": np.bool_(True),
        "numpy text": np.str_("café"),
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "Fortran": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        "big-endian": np.arange(3, dtype=">f4"),
        "no numbers": np.array(["a", "bc"]),
        "bytes": b"\x00\xff",
        "tuple keys": {(1, 2): "a", 2**70: "b", None: "c", 1.5: "d", 3: "e"},
        "class": collections.OrderedDict,
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_stands_beside_weights(zipped: bool, protocol: int) -> None:
    content = read(odds(), zipped=zipped, protocol=protocol)
    assert content["namespace"].name == "argparse.Namespace"
    assert content["namespace"].attributes == {
        "model": "resnet18", "mean": (0.5, 0.5, 0.5), "lr": 0.1,
    }  # fmt: skip
    assert list(content["ordered"].items()) == [("b", 1), ("a", 2)]
    assert content["default"] == {"x": [1, 2]}
    assert content["counter"] == {"a": 2, "b": 1}
    assert content["set"] == {"a", 1, None}
    assert content["frozen"] == {2.5, True}
    assert content["path"].arguments == ("/", "data", "photos")
    assert content["size"] == (2, 3)
    assert type(content["size"]) is tuple
    assert isinstance(content["dtype"], Named)
    assert content["dtype"].name == "torch.float16"
    assert content["enum"].name == f"{__name__}.Colour"
    for name, value in (("float", 0.75), ("int", -3), ("bool", True), ("text", "café")):
        assert content[f"numpy {name}"] == value
        assert type(content[f"numpy {name}"]) is type(value)
    assert content["array"].tolist() == content["Fortran"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert content["array"].dtype == torch.float32
    assert content["big-endian"].tolist() == [0, 1, 2]
    assert content["no numbers"] == ["a", "bc"]  # such as names of classes
    assert content["bytes"] == b"\x00\xff"
    keys = list(content["tuple keys"])
    assert [key.value if isinstance(key, Key) else key for key in keys] == [
        (1, 2), 2**70, None, 1.5, 3,
    ]  # fmt: skip
    assert list(content["tuple keys"].values()) == ["a", "b", "c", "d", "e"]
    assert content["class"].name == "collections.OrderedDict"


def test_numpy_1_names_are_known() -> None:
    data = saved({"a": np.arange(3.0), "b": np.float32(0.5)})
    parts = {
        name: part.replace(b"numpy._core", b"numpy.core") for name, part in unzipped(data).items()
    }
    content = read_weights(zipped(parts)).content
    assert content["a"].tolist() == [0, 1, 2]
    assert content["b"] == 0.5


# Checkpoints of well-known training code.


def network() -> nn.Module:
    torch.manual_seed(0)
    return create_model("test_resnet", num_classes=5, zero_init_last=False)


def assert_loaded(data: bytes | Path, wanted: dict[str, Tensor], *notes: str) -> None:
    loaded = load_model(data)
    state = loaded.model.state_dict()
    assert state.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(state[name], tensor), name
    assert loaded.report is not None
    for note in notes:
        assert note in loaded.report.text


def test_timm_training_checkpoints(tmp_path: Path) -> None:
    """As timm's train.py writes them, with arguments, optimiser and averaged weights."""
    from timm.utils import CheckpointSaver, ModelEmaV2

    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    optimizer.step()
    averaged = ModelEmaV2(model, decay=0.5)
    with torch.no_grad():
        model.fc.weight.add_(1)
    args = argparse.Namespace(model="test_resnet", img_size=None, mean=[0.5] * 3, lr=0.1)
    saver = CheckpointSaver(
        model, optimizer, args=args, model_ema=averaged, checkpoint_dir=str(tmp_path)
    )
    saver.save_checkpoint(1, metric=np.float64(71.25))
    path = next(tmp_path.glob("checkpoint*"))
    with pytest.raises(Exception, match="argparse"):
        torch.load(path, weights_only=True)
    assert_loaded(
        path, averaged.module.state_dict(), "averaged (EMA)", "taken from 'state_dict_ema'"
    )
    loaded = load_model(path)
    assert loaded.spec.mean == (0.5, 0.5, 0.5)  # not ImageNet's: what the training says
    content = read_weights(path).content
    assert content["args"].attributes["model"] == "test_resnet"
    assert content["metric"] == 71.25
    step = content["optimizer"]["state"][0]["exp_avg"]
    assert torch.equal(step, optimizer.state_dict()["state"][0]["exp_avg"])


@pytest.fixture
def gone() -> Iterator[types.ModuleType]:
    """A package that is there while a file is saved, and not when it is read."""
    names = ("omegaconf", "omegaconf.dictconfig", "mmengine", "mmengine.logging", "own_code")
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    yield sys.modules["own_code"]
    for name, module in before.items():
        if module is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module


def put(cls: type, module: str) -> type:
    cls.__module__, cls.__qualname__ = module, cls.__name__
    setattr(sys.modules[module], cls.__name__, cls)
    return cls


def test_lightning_checkpoints(gone: types.ModuleType) -> None:
    class DictConfig(dict):  # type: ignore[type-arg]
        def __init__(self, content: dict[str, Any]) -> None:
            super().__init__()
            self.__dict__["_content"] = content
            self.__dict__["_parent"] = self

    config = put(DictConfig, "omegaconf.dictconfig")({"lr": 0.1, "size": 224})
    model = network()
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    data = saved(
        {
            "epoch": 3,
            "pytorch-lightning_version": "2.1",
            "state_dict": collections.OrderedDict(state),
            "hyper_parameters": {"cfg": config, "root": pathlib.PurePosixPath("/data")},
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
            "optimizer_states": [torch.optim.SGD(model.parameters(), 0.1).state_dict()],
        }
    )
    assert_loaded(data, dict(model.state_dict()), "taken from 'state_dict'", "'model.' was removed")
    read_config = read_weights(data).content["hyper_parameters"]["cfg"]
    assert read_config.attributes["_content"] == {"lr": 0.1, "size": 224}
    assert read_config.attributes["_parent"] is read_config


def test_mmengine_checkpoints(gone: types.ModuleType) -> None:
    class HistoryBuffer:
        def __init__(self) -> None:
            self._log_history = np.array([0.5, 0.25])
            self._statistics_methods = {"mean": len}

    buffer = put(HistoryBuffer, "mmengine.logging")()
    model = network()
    state = {f"backbone.{name}": value for name, value in model.state_dict().items()}
    data = saved(
        {
            "meta": {"dataset_meta": {"classes": ("cat", "dog")}, "iter": 100},
            "state_dict": state,
            "message_hub": {"log_scalars": {"train/loss": buffer}, "resumed_keys": {"lr": True}},
        }
    )
    assert_loaded(data, dict(model.state_dict()), "'backbone.' was removed")
    content = read_weights(data).content
    assert find_names(content, "the file", 2).names == ("cat", "dog")
    assert content["meta"]["dataset_meta"]["classes"] == ("cat", "dog")
    record = content["message_hub"]["log_scalars"]["train/loss"]
    assert record.attributes["_log_history"].tolist() == [0.5, 0.25]


def own_network(code: types.ModuleType) -> nn.Module:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((1,), 1.5))
            self.register_buffer("kept", torch.arange(3.0))
            self.register_buffer("hidden", torch.ones(2), persistent=False)
            self.register_buffer("none", None)
            self.register_parameter("bias", None)
            self.note = "an attribute"

    put(Scale, code.__name__)
    shared = nn.Conv2d(3, 4, 3)
    return nn.Sequential(shared, Scale(), nn.BatchNorm2d(4), nn.ModuleDict({"again": shared}))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: {"epoch": 1, "model": m}])
def test_whole_networks_without_their_code(gone: types.ModuleType, zipped: bool, wrap: Any) -> None:
    """Names, order and values are those of `state_dict()`; the class is nowhere to be found."""
    model = own_network(gone)
    data = saved(wrap(model), zipped=zipped)
    del gone.Scale
    weights = find_weights(read_weights(data).content)
    wanted = model.state_dict()
    assert list(weights.tensors) == list(wanted)
    for name, tensor in wanted.items():
        assert torch.equal(weights.tensors[name], tensor)
    assert any("torch.nn.modules.container.Sequential" in note for note in weights.notes)
    assert any("neither needed nor run" in note for note in weights.notes)


def test_a_whole_network_of_timm(tmp_path: Path) -> None:
    model = network()
    torch.save(model, tmp_path / "model.pth")
    assert_loaded(tmp_path / "model.pth", dict(model.state_dict()), "neither needed nor run")
    torch.save(nn.DataParallel(model), tmp_path / "parallel.pth")
    assert_loaded(tmp_path / "parallel.pth", dict(model.state_dict()), "'module.' was removed")


@pytest.mark.third_party
def test_ultralytics_checkpoints(ultralytics: Any, tmp_path: Path) -> None:
    """best.pt: the module in half precision under `model`, no state dict; last.pt: under `ema`."""
    network = ultralytics.nn.tasks.DetectionModel
    model = network("yolov8n.yaml", nc=3, verbose=False)
    other = {"train_args": {"imgsz": 640}, "version": ultralytics.__version__, "date": "today"}
    wanted = {name: value.half() for name, value in model.state_dict().items()}
    half = network("yolov8n.yaml", nc=3, verbose=False)
    half.load_state_dict(model.state_dict())
    half.half()
    for content in (
        {"epoch": -1, "model": half, "ema": None, "optimizer": None, **other},
        {"epoch": 3, "model": None, "ema": half, "optimizer": {"state": {}}, **other},
    ):
        torch.save(content, tmp_path / "best.pt")
        file = read_weights(tmp_path / "best.pt", apart=True)
        weights = find_weights(file.content, prefixes=False)
        assert list(weights.tensors) == list(half.state_dict())
        for name, tensor in half.state_dict().items():
            assert torch.equal(weights.tensors[name], tensor), name
            assert tensor.dtype == weights.tensors[name].dtype
        assert ("averaged" in " ".join(weights.notes)) == (content["ema"] is not None)
        names = (content["model"] or content["ema"]).names
        record = file.content["model"] or file.content["ema"]
        assert record.name == "ultralytics.nn.tasks.DetectionModel"
        assert record.attributes["names"] == names
        assert find_names(file.content, "the file", 3).names == tuple(names.values())
    fresh = network("yolov8n.yaml", nc=3, verbose=False)
    loaded = load_own_model(fresh, tmp_path / "best.pt")
    for name, tensor in wanted.items():
        assert torch.equal(loaded.model.state_dict()[name].half(), tensor), name


def test_averaged_weights_are_preferred_wherever_training_code_puts_them() -> None:
    state = {"w": torch.zeros(2), "b": torch.zeros(1)}
    averaged = {"w": torch.ones(2), "b": torch.ones(1)}
    for name in ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "ema_model"):
        weights = find_weights(read({"state_dict": state, name: averaged}))
        assert torch.equal(weights.tensors["w"], torch.ones(2)), name
        assert weights.notes == [
            f"The weights were taken from '{name}' in the file.",
            "These are the averaged (EMA) weights that the file holds.",
        ]


def test_detectron_pickles_of_arrays() -> None:
    """A plain pickle, without torch's layout around it."""
    import pickle

    state = {"stem.weight": np.ones((2, 3), np.float32), "stem.bias": np.zeros(2, np.float32)}
    for protocol in (2, 4, 5):
        data = pickle.dumps({"model": state, "__author__": "somebody"}, protocol)
        weights = find_weights(read_weights(data).content)
        assert {name: value.tolist() for name, value in weights.tensors.items()} == {
            "stem.weight": [[1, 1, 1], [1, 1, 1]], "stem.bias": [0, 0],
        }  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "quantised"),
        (lambda: torch.eye(3).to_sparse_csr(), "sparse"),
        (lambda: torch.complex(torch.ones(2), torch.ones(2)), "type complex64"),
        (lambda: torch.complex(torch.ones(2), torch.ones(2)).conj(), "conjugated or negated"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_other_tensors_are_refused_for_what_they_are(make: Any, reason: str, zipped: bool) -> None:
    with pytest.raises(CheckpointError, match=reason):
        read({"a": {"deep": make()}}, zipped=zipped)


def test_opening_costs_little_memory(tmp_path: Path) -> None:
    """160 MB of weights are mapped, not read: less than 80 MB are allocated, in both ways."""
    torch.save({f"w{i}": torch.ones(10**7) for i in range(4)}, tmp_path / "big.pth")
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from cbam_viz.models.files import read_weights\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "for apart in (False, True):\n"
        "    content = read_weights(Path(sys.argv[1]), apart=apart).content\n"
        "    assert content['w3'][-1] == 1\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "big.pth")],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert json.loads(done.stdout) < 80_000


def test_a_pickle_that_torch_did_not_write_is_not_called_damaged() -> None:
    with pytest.raises(CheckpointError, match="written by pickle"):
        read_weights(pickle.dumps({"a.weight": torch.ones(3)}, protocol=4))


def test_arrays_that_make_the_pickle_too_long_are_not_called_damage() -> None:
    """What lies beyond the limit is not looked at, and one array may reach over it."""
    data = pickle.dumps({"a.weight": np.zeros(65 * 1024**2, np.uint8)}, protocol=4)
    with pytest.raises(CheckpointError, match="pickle has more than 64 MB"):
        read_weights(data)


def test_names_that_cannot_be_printed_are_escaped() -> None:
    out = io.BytesIO()
    torch.save({"\ud800.weight": torch.ones(3), "\x1b[2J.weight": torch.ones(3)}, out)
    names = list(find_weights(read_weights(out.getvalue()).content).tensors)
    assert all(name.isprintable() for name in names)
    assert names[0].startswith("\\ud800.weight")
    with pytest.raises(CheckpointError, match="cannot be told"):
        load_model(out.getvalue())
