"""Checkpoints of several files and folders of Hugging Face's; quantised weights are refused."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from cbam_viz import CheckpointError, create_model, load_model
from cbam_viz.models import list_checkpoints, load_own_model
from cbam_viz.models.files import read_weights
from cbam_viz.models.metadata import survey
from cbam_viz.models.shards import files_of

INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(3)
    return create_model("resnet18", num_classes=5, zero_init_last=False)


def parts_of(tensors: dict[str, Tensor], count: int = 3) -> list[dict[str, Tensor]]:
    names = sorted(tensors)
    return [{name: tensors[name].clone() for name in names[n::count]} for n in range(count)]


def write_shards(
    folder: Path, parts: list[dict[str, Tensor]], weight_map: dict[str, str] | None = None
) -> Path:
    folder.mkdir(exist_ok=True)
    said = {}
    for number, part in enumerate(parts, 1):
        name = f"model-{number:05}-of-{len(parts):05}.safetensors"
        save_file(part, folder / name, {"format": "pt"})
        said |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": 1}, "weight_map": said | (weight_map or {})}
    (folder / INDEX).write_text(json.dumps(index))
    return folder


def assert_loaded(loaded: Any, network: nn.Module) -> None:
    wanted = network.state_dict()
    given = loaded.model.state_dict()
    assert wanted.keys() == given.keys()
    assert all(torch.equal(wanted[name], given[name]) for name in wanted)


@pytest.mark.parametrize("given", ["folder", "index", "text"])
def test_shards_give_the_network_of_one_file(
    tmp_path: Path, network: nn.Module, given: str
) -> None:
    folder = write_shards(tmp_path / "birds.v2", parts_of(network.state_dict()))
    source = {"folder": folder, "index": folder / INDEX, "text": str(folder)}[given]
    loaded = load_model(source)
    assert_loaded(loaded, network)
    assert loaded.name == "birds.v2"
    assert loaded.report is not None
    assert "The weights were read from 3 files" in loaded.report.text
    own = create_model("resnet18", num_classes=5)
    assert_loaded(load_own_model(own, source), network)


def test_shards_of_pickles_and_limits_of_the_app(tmp_path: Path, network: nn.Module) -> None:
    said = {}
    for number, part in enumerate(parts_of(network.state_dict(), 2), 1):
        torch.save(part, tmp_path / f"pytorch_model-{number:05}-of-00002.bin")
        said |= dict.fromkeys(part, f"pytorch_model-{number:05}-of-00002.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": said}))
    assert_loaded(load_model(tmp_path, folder=tmp_path.parent, apart=True), network)


def test_the_digest_is_of_every_file(tmp_path: Path, network: nn.Module) -> None:
    parts = parts_of(network.state_dict())
    first = load_model(write_shards(tmp_path / "a", parts)).sha256
    assert load_model(write_shards(tmp_path / "b", parts)).sha256 == first
    parts[2] = {name: tensor + 1 for name, tensor in parts[2].items()}
    assert load_model(write_shards(tmp_path / "c", parts)).sha256 != first


NAME = "conv1.weight"


@pytest.mark.parametrize(
    ("shard", "text"),
    [
        ("../out.safetensors", "no plain name"),
        ("/etc/passwd", "no plain name"),
        ("sub/x.safetensors", "no plain name"),
        ("..\\out.safetensors", "no plain name"),
        ("C:out.safetensors", "no plain name"),
        ("model.safetensors\0.safetensors", "no plain name"),
        ("config.json", "no plain name"),
        ("", "no plain name"),
        (INDEX, "no plain name"),
        ("model-00009-of-00009.safetensors", "does not lie beside it"),
        ("model-00001-of-00003.safetensors", "lacks conv1.weight"),
    ],
)
def test_an_index_names_files_beside_it_and_tells_the_truth(
    tmp_path: Path, network: nn.Module, shard: str, text: str
) -> None:
    save_file(network.state_dict(), tmp_path / "out.safetensors")
    folder = write_shards(tmp_path / "a", parts_of(network.state_dict()), {NAME: shard})
    with pytest.raises(CheckpointError, match=text):
        load_model(folder)


def test_shards_that_overlap_lack_or_hide_tensors(tmp_path: Path, network: nn.Module) -> None:
    twice = parts_of(network.state_dict())
    twice[0][NAME] = twice[1][NAME] = torch.zeros(64, 3, 7, 7)
    lacking = parts_of(network.state_dict())
    for name, parts, said, text in (
        ("twice", twice, None, "holds conv1.weight, which .* does not say"),
        ("lacking", lacking, {"fc.more": "model-00001-of-00003.safetensors"}, "lacks fc.more"),
    ):
        folder = write_shards(tmp_path / name, parts, said)
        with pytest.raises(CheckpointError, match=text):
            load_model(folder)
    hidden = write_shards(tmp_path / "hidden", parts_of(network.state_dict()))
    index = json.loads((hidden / INDEX).read_text())
    del index["weight_map"][NAME]
    (hidden / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"holds conv1.weight, which .* does not say"):
        load_model(hidden)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "is no index"),
        ("[]", "is no index"),
        ('{"weight_map": {"a": 1}}', "is no index"),
        ('{"weight_map": {}}', "names no tensors"),
        ('{"architecture": "resnet18"}', "is no index"),
        ("[" * 100_000, "is no index"),
        (json.dumps({"weight_map": {f"t{n}": f"{n}.bin" for n in range(300)}}), "in 300 files"),
    ],
)
def test_an_index_that_is_none(tmp_path: Path, content: str, text: str) -> None:
    (tmp_path / INDEX).write_text(content)
    for source in (tmp_path, tmp_path / INDEX):
        with pytest.raises(CheckpointError, match=text):
            load_model(source)


def test_an_index_that_has_other_kinds_of_file_beside_it(
    tmp_path: Path, network: nn.Module
) -> None:
    folder = write_shards(tmp_path / "a", parts_of(network.state_dict()))
    shard = folder / "model-00002-of-00003.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=r"shard model-00002.*damaged or cut off"):
        load_model(folder)
    shard.unlink()
    shard.mkdir()
    with pytest.raises(CheckpointError, match="does not lie beside it"):
        load_model(folder)
    shard.rmdir()
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(whole)
    shard.symlink_to(outside)
    assert_loaded(load_model(folder), network)  # as in Hugging Face's cache
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        load_model(folder, folder=folder)


def test_one_shard_alone_and_uploads_say_what_is_missing(
    tmp_path: Path, network: nn.Module
) -> None:
    folder = write_shards(tmp_path / "a", parts_of(network.state_dict()))
    shard = folder / "model-00001-of-00003.safetensors"
    with pytest.raises(CheckpointError, match="one of several shards"):
        load_model(shard)
    with pytest.raises(CheckpointError, match=r"one of several shards.*into checkpoints/"):
        load_model(shard.read_bytes(), name=shard.name)
    with pytest.raises(CheckpointError, match=r"is JSON.*An upload is one file"):
        load_model((folder / INDEX).read_bytes(), name=INDEX)
    alone = tmp_path / "model-00001-of-00001.safetensors"
    save_file(network.state_dict(), alone)
    assert_loaded(load_model(alone), network)


def test_folders_with_none_or_several(tmp_path: Path, network: nn.Module) -> None:
    with pytest.raises(CheckpointError, match="a folder without weights"):
        load_model(tmp_path)
    for name in ("epoch1.pth", "epoch2.pth"):
        torch.save(network.state_dict(), tmp_path / name)
    with pytest.raises(CheckpointError, match=r"several checkpoints \(epoch1.pth, epoch2.pth\)"):
        load_model(tmp_path)
    (tmp_path / "epoch2.pth").unlink()
    assert_loaded(load_model(tmp_path), network)


def test_a_folder_of_checkpoints_lists_them(tmp_path: Path, network: nn.Module) -> None:
    state = network.state_dict()
    write_shards(tmp_path, parts_of(state))  # directly in it
    write_shards(tmp_path / "sharded", parts_of(state))
    (tmp_path / "hub").mkdir()
    save_file(state, tmp_path / "hub" / "model.safetensors")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "epoch1.pth").write_bytes(b"")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / INDEX).write_text("{")
    (tmp_path / "out").symlink_to(Path(__file__).parent)
    (tmp_path / ".git").mkdir()
    entries = list_checkpoints(tmp_path)
    assert [entry.path.name for entry in entries] == ["hub", INDEX, "sharded"]
    sharded = entries[-1]
    assert sharded.size == sum(path.stat().st_size for path in (tmp_path / "sharded").iterdir())
    assert len(files_of(sharded.path)) == 4
    refusals = survey(tmp_path)[1]
    assert len(refusals) == 1
    assert INDEX in refusals[0]
    for entry in entries:
        assert_loaded(load_model(entry.path, folder=tmp_path, apart=True), network)


def hub(folder: Path, network: nn.Module, config: dict[str, Any], prefix: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_of_timms_states_input_classes_and_arguments(
    tmp_path: Path, network: nn.Module
) -> None:
    config = {
        "architecture": "resnet18",
        "num_classes": 5,
        "global_pool": "avg",
        "label_names": list("abcde"),
        "model_args": {"block_args": {"attn_layer": "cbam"}, "output_stride": 16},
        "pretrained_cfg": {"input_size": [3, 96, 96], "mean": [0.5] * 3, "num_classes": 5},
    }
    loaded = load_model(hub(tmp_path / "mine", network, config))
    assert_loaded(loaded, network)
    assert loaded.spec.size == (96, 96)
    assert loaded.spec.mean == (0.5, 0.5, 0.5)
    assert loaded.classes == tuple("abcde")
    wanted = create_model("resnet18", num_classes=5, output_stride=16)
    wanted.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        features = loaded.model.eval().forward_features(x)
        assert features.shape[-2:] == (6, 6)
        assert torch.equal(features, wanted.eval().forward_features(x))


def test_arguments_that_a_file_may_not_set_are_not_passed_over(
    tmp_path: Path, network: nn.Module
) -> None:
    config = {
        "architecture": "resnet18",
        "model_args": {"checkpoint_dir": "/etc", "num_classes": 7},
    }
    folder = hub(tmp_path / "mine", network, config)
    with pytest.raises(CheckpointError, match=r"config.json .* was built with checkpoint_dir"):
        load_model(folder)
    loaded = load_model(folder, architecture="resnet18")
    assert loaded.report is not None
    assert "checkpoint_dir in config.json beside the file: not used." in loaded.report.text


def test_transformers_wrapper_of_timm_and_its_own_networks(
    tmp_path: Path, network: nn.Module
) -> None:
    wrapper = {
        "architecture": "resnet18",
        "architectures": ["TimmWrapperForImageClassification"],
        "model_type": "timm_wrapper",
        "num_classes": 5,
        "label_names": list("abcde"),
        "pretrained_cfg": {"input_size": [3, 64, 64], "num_classes": 5},
    }
    loaded = load_model(hub(tmp_path / "wrapped", network, wrapper, "timm_model."))
    assert_loaded(loaded, network)
    assert loaded.classes == tuple("abcde")
    own = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    with pytest.raises(CheckpointError, match=r"'ViTForImageClassification'.*--model FILE"):
        load_model(hub(tmp_path / "vit", plain, own))


def test_timms_training_arguments_say_which_of_equal_networks_it_is() -> None:
    torch.manual_seed(0)
    model = create_model("tf_efficientnet_b0", num_classes=3)
    args = argparse.Namespace(model="tf_efficientnet_b0", img_size=64, gp=None, model_kwargs={})
    buffer = io.BytesIO()
    torch.save({"state_dict": model.state_dict(), "args": args}, buffer)
    loaded = load_model(buffer.getvalue())
    assert loaded.report is not None
    assert "By the file's 'args', the network is tf_efficientnet_b0." in loaded.report.text
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded.model(x), model.eval()(x))


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2]
)
@pytest.mark.parametrize("kind", ["safetensors", "pickle", "shards"])
def test_narrow_floats_are_widened_to_the_same_values(
    tmp_path: Path, network: nn.Module, dtype: torch.dtype, kind: str
) -> None:
    state = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    if kind == "shards":
        source: Any = write_shards(tmp_path / "a", parts_of(state))
    elif kind == "pickle":
        torch.save(state, tmp_path / "a.pth")
        source = tmp_path / "a.pth"
    else:
        source = save(state)
    given = load_model(source).model.state_dict()
    assert all(
        torch.equal(given[name], tensor.to(given[name].dtype)) for name, tensor in state.items()
    )


def quantised(network: nn.Module) -> dict[str, dict[str, Tensor]]:
    state = network.state_dict()
    weight = "layer1.0.conv1.weight"
    eight = torch.zeros(64, 64, 3, 3)
    return {
        "fp8 with scales in a shape that says nothing": {
            **state, weight: eight.to(torch.float8_e4m3fn),
            "layer1.0.conv1.weight_scale": torch.ones(7, 3),
        },
        "fp8 with two kinds of scales": {
            **state, weight: eight.to(torch.float8_e4m3fn),
            "layer1.0.conv1.weight_scale_inv": torch.ones(1),
            "layer1.0.conv1.weight_scale": torch.ones(1),
        },
        "torchao": {
            **{name: tensor for name, tensor in state.items() if name != "fc.weight"},
            "fc._weight_qdata": torch.ones(5, 512).char(), "fc._weight_scale": torch.ones(5, 1),
        },
        "bitsandbytes int8": {
            **state, "fc.weight": torch.ones(5, 512).char(), "fc.SCB": torch.ones(5),
        },
        "bitsandbytes nf4": {
            **state, "fc.weight": torch.ones(1280, 1).byte(), "fc.weight.absmax": torch.ones(40),
            "fc.weight.quant_map": torch.ones(16),
            "fc.weight.quant_state.bitsandbytes__nf4": torch.ones(80).byte(),
        },
        "GPTQ": {
            **{name: tensor for name, tensor in state.items() if name != "fc.weight"},
            "fc.qweight": torch.ones(64, 5).int(), "fc.qzeros": torch.ones(4, 1).int(),
            "fc.scales": torch.ones(4, 5).half(),
        },
        "int8 alone": {**state, weight: eight.char()},
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["fp8 with scales in a shape that says nothing", "fp8 with two kinds of scales", "torchao",
     "bitsandbytes int8", "bitsandbytes nf4", "GPTQ",
     "int8 alone"],
)  # fmt: skip
def test_quantised_weights_are_refused_for_what_they_are(
    tmp_path: Path, network: nn.Module, kind: str
) -> None:
    content = save(quantised(network)[kind])
    with pytest.raises(CheckpointError, match="quantised"):
        load_model(content)
    with pytest.raises(CheckpointError, match="quantised"):
        load_own_model(create_model("resnet18", num_classes=5), content)


def test_scales_of_ones_own_code_are_no_quantisation() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(2, 2))
            self.scale = nn.Parameter(torch.rand(2))
            self.register_buffer("steps", torch.zeros(3, dtype=torch.int64))

    own = Own()
    load_own_model(Own(), save(own.state_dict()))


def test_pytorchs_own_quantised_tensors_are_refused() -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.quantize_per_tensor(torch.rand(4), 0.1, 0, torch.qint8)}, buffer)
    with pytest.raises(CheckpointError, match=r"quantised|qint8"):
        read_weights(buffer.getvalue())
