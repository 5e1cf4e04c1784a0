"""Checkpoints of every wrapping come back exactly, or the sentence says why not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from cbam_viz import CheckpointError, ModelError
from cbam_viz.models import LoadedModel, create_model, input_spec, load_model
from cbam_viz.models.infer import classifier_size, infer_architecture, shapes_of

State = dict[str, Tensor]


def network(name: str = "test_resnet", classes: int = 7, **kwargs: Any) -> nn.Module:
    """A network whose every tensor differs from a fresh one's."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=classes, zero_init_last=False, **kwargs)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.mul_(0.9).add_(0.01)
    return model


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return network()


@pytest.fixture(scope="module")
def state(model: nn.Module) -> State:
    return dict(model.state_dict())


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def described(state: State, **entries: Any) -> bytes:
    return save(state, {"cbam_viz": json.dumps({"schema": 1, **entries})})


def assert_same(loaded: LoadedModel, model: nn.Module) -> None:
    want, got = model.state_dict(), loaded.model.state_dict()
    assert got.keys() == want.keys()
    for name, value in want.items():
        assert torch.equal(got[name], value), name
    assert not loaded.model.training


def prefixed(prefix: str) -> Callable[[State], Any]:
    return lambda state: {prefix + name: value for name, value in state.items()}


WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "arch": "x"},
    "model": lambda state: {"model": state, "optimizer": {"state": {0: {"m": torch.ones(3)}}}},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": torch.tensor(1.0)},
    "timm": lambda state: {"arch": "r", "state_dict": broken(state), "state_dict_ema": state},
    "ema": lambda state: {"model": broken(state), "ema": {"decay": 0.9, "shadow": state}},
    "ema module": lambda state: {"model_ema": prefixed("module.")(state), "model": broken(state)},
    "lightning": lambda state: {
        "pytorch-lightning_version": "2.0",
        "state_dict": {**prefixed("model.")(state), "criterion.weight": torch.ones(7)},
        "hyper_parameters": {"lr": 0.1},
    },
    "DataParallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "both": prefixed("module._orig_mod."),
    "backbone": prefixed("backbone."),
    "encoder": prefixed("model.encoder."),
    "net": prefixed("net."),
    "backbone with a head of its own": lambda state: {
        ("" if name.startswith("fc") else "backbone.") + name: value
        for name, value in state.items()
    },
    "averaged": lambda state: {"n_averaged": torch.tensor(3), **prefixed("module.")(state)},
    "a name nobody knows": lambda state: {"best": {"student_weights": state}},
    "without counters": lambda state: {
        name: value for name, value in state.items() if "num_batches" not in name
    },
}


def broken(state: State) -> State:
    """Weights that must not be the ones taken."""
    return {name: torch.zeros_like(value) for name, value in state.items()}


@pytest.mark.parametrize("wrapping", sorted(WRAPPINGS))
def test_wrappings(model: nn.Module, state: State, wrapping: str) -> None:
    loaded = load_model(saved(WRAPPINGS[wrapping](state)))
    assert_same(loaded, model)
    report = loaded.report
    assert report is not None
    assert not report.missing
    counters = sum("num_batches" in name for name in state)
    assert len(report.matched) == len(state) - (counters if "counters" in wrapping else 0)
    assert f"{len(report.matched)} tensors of the checkpoint matched" in report.text
    assert "the network is test_resnet" in report.text


def test_what_was_left_out_is_told(state: State) -> None:
    loaded = load_model(saved(WRAPPINGS["lightning"](state)))
    assert loaded.report is not None
    assert loaded.report.unexpected == ("criterion.weight",)
    assert (
        "1 tensor in the checkpoint without a place in the network: left out" in loaded.report.text
    )
    assert "The prefix 'model.' was removed." in loaded.report.text
    loaded = load_model(saved(WRAPPINGS["ema"](state)))
    assert loaded.report is not None
    assert "averaged (EMA)" in loaded.report.text
    assert "taken from 'ema.shadow'" in loaded.report.text


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_resnet", {}),
        ("test_resnet", {"attention_args": {"rd_ratio": 1 / 4}}),
        ("test_resnet", {"attention_args": {"spatial_kernel_size": 3, "mlp_bias": True}}),
        ("test_resnet", {"attention": "lcbam"}),
        ("resnet18", {}),
        ("efficientnet_b0", {"attention_args": {"rd_ratio": 1 / 3, "spatial_kernel_size": 5}}),
        ("mobilenetv3_small_050", {}),
        ("seresnet18", {"attention": None}),
    ],
)
def test_network_and_cbam_arguments_are_inferred(name: str, options: dict[str, Any]) -> None:
    kwargs = {"zero_init_last": False} if "resne" in name else {}
    torch.manual_seed(0)
    model = create_model(name, num_classes=3, **kwargs, **options)
    loaded = load_model(save(model.state_dict()))
    assert_same(loaded, model)
    assert loaded.model.num_classes == 3
    picture = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.model(picture), model(picture))


@pytest.mark.parametrize(
    ("name", "attention"),
    [
        *((name, "cbam") for name in (
            "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet50d",
            "resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "skresnet18",
            "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b4",
            "regnety_008", "mobilenetv3_large_100", "gernet_s", "nf_resnet26", "ese_vovnet19b_dw",
        )),
        *((name, None) for name in ("seresnet34", "seresnext50_32x4d", "convnext_tiny")),
    ],
)  # fmt: skip
def test_architectures_are_recognised(name: str, attention: str | None) -> None:
    with torch.device("meta"):
        model = create_model(name, attention=attention, num_classes=11)
    shapes = shapes_of(model.state_dict())
    assert infer_architecture(shapes)[0] == name
    assert classifier_size(name, shapes) == 11


def test_half_precision_and_other_shapes(model: nn.Module, state: State) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    loaded = load_model(save(half))
    assert loaded.model.fc.weight.dtype == torch.float32
    assert torch.equal(loaded.model.fc.weight, state["fc.weight"].half().float())
    assert "float16 were widened to float32, which changes no value" in loaded.report.text
    double = {k: v.double() if v.is_floating_point() else v for k, v in state.items()}
    loaded = load_model(save(double))
    assert_same(loaded, model)
    assert "float64 were rounded to float32" in loaded.report.text
    linear = {k: v[:, :, 0, 0].clone() if "channel.fc" in k else v for k, v in state.items()}
    loaded = load_model(save(linear), architecture="test_resnet", attention="cbam")
    assert_same(loaded, model)
    assert len(loaded.report.reshaped) == 8


def test_the_description_decides(model: nn.Module, state: State) -> None:
    config = {"input_size": [3, 160, 192], "mean": [0.5] * 3, "std": [0.25] * 3, "crop_pct": 1.0}
    data = described(
        state,
        title="Birds",
        architecture="test_resnet",
        attention="cbam",
        arguments={"zero_init_last": False},
        num_classes=7,
        classes=list("abcdefg"),
        pretrained_cfg=config,
        accuracy={"top1": 0.5},
    )
    loaded = load_model(data)
    assert_same(loaded, model)
    assert loaded.name == "Birds"
    assert loaded.classes == tuple("abcdefg")
    assert loaded.spec.size == (160, 192)
    assert loaded.spec.std == (0.25, 0.25, 0.25)
    assert loaded.spec.crop_pct == 1.0
    assert input_spec(loaded.model) == loaded.spec
    assert loaded.metadata["accuracy"] == {"top1": 0.5}
    with pytest.raises(TypeError):
        loaded.metadata["title"] = "x"  # type: ignore[index]


def test_classes_are_those_that_the_file_names(state: State) -> None:
    assert load_model(save(state)).classes is None
    wrong = load_model(described(state, architecture="test_resnet", classes=["a"]))
    assert wrong.classes is None
    assert "names 1 classes, the network has 7" in wrong.report.text


def test_a_plain_twin_is_meant_to_be_plain() -> None:
    torch.manual_seed(0)
    plain = create_model("test_resnet", attention=None, num_classes=4)
    data = described(dict(plain.state_dict()), architecture="test_resnet", attention=None)
    assert_same(load_model(data), plain)
    assert_same(load_model(save(plain.state_dict()), attention="none"), plain)


def test_plain_weights_without_a_word_are_refused_unless_insisted_on() -> None:
    plain = create_model("test_resnet", attention=None, num_classes=4).state_dict()
    with pytest.raises(CheckpointError, match="plain test_resnet: it holds no CBAM weights"):
        load_model(save(plain))
    with pytest.raises(CheckpointError, match="attention would be noise"):
        load_model(save(plain), architecture="test_resnet", attention="cbam")
    loaded = load_model(save(plain), allow_missing_attention=True)
    assert torch.equal(loaded.model.conv1[0].weight, plain["conv1.0.weight"])
    missing = loaded.report.missing
    assert len(missing) == 4 * 7  # two of the MLP, one convolution, four of its BatchNorm
    assert all(".se." in name for name in missing)
    assert "random values" in loaded.report.text


def test_partly_missing_attention(state: State) -> None:
    part = {name: value for name, value in state.items() if not name.startswith("layer4.0.se.")}
    with pytest.raises(CheckpointError, match=r"layer4\.0\.se.*noise"):
        load_model(save(part), architecture="test_resnet", attention="cbam")


def test_class_counts(model: nn.Module, state: State) -> None:
    loaded = load_model(save(state), num_classes=10)
    assert loaded.model.num_classes == 7
    assert "10 classes were asked for; the checkpoint's classifier has 7" in loaded.report.text
    headless = {name: value for name, value in state.items() if not name.startswith("fc.")}
    loaded = load_model(save(headless))
    assert loaded.model.num_classes == 0
    with torch.inference_mode():
        assert loaded.model(torch.zeros(1, 3, 64, 64)).shape == (1, 96)


def test_files_of_another_network(state: State) -> None:
    deep = dict(network("resnet18").state_dict())
    with pytest.raises(
        CheckpointError, match=r"not one of test_resnet.*no place in it.*fit resnet18"
    ):
        load_model(save(deep), architecture="test_resnet")
    with pytest.raises(CheckpointError, match=r"not one of resnet18.*missing.*fit test_resnet"):
        load_model(save(state), architecture="resnet18")
    wide = {**state, "layer1.0.conv1.weight": torch.zeros(33, 32, 3, 3)}
    with pytest.raises(CheckpointError, match=r"\[33, 32, 3, 3\] instead of \[32, 32, 3, 3\]"):
        load_model(save(wide), architecture="test_resnet")
    with pytest.raises(CheckpointError, match="cannot be told from the tensors"):
        load_model(save({"blocks.weight": torch.zeros(3, 3)}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(state: State, value: float) -> None:
    """A training that diverged: every map would be empty, or noise."""
    bad = {**state, "conv1.0.weight": torch.full_like(state["conv1.0.weight"], value)}
    with pytest.raises(CheckpointError, match=r"not finite, such as conv1\.0\.weight"):
        load_model(save(bad))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool])
def test_weights_that_are_no_fractions_are_refused(state: State, dtype: torch.dtype) -> None:
    """Quantised weights, say: without their scales they are other numbers."""
    bad = {**state, "fc.weight": (state["fc.weight"] * 100).to(dtype)}
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(CheckpointError, match=f"fc.weight as {kind}"):
        load_model(save(bad))


def test_complex_weights_are_refused(state: State) -> None:
    bad = {**state, "fc.weight": torch.complex(state["fc.weight"], state["fc.weight"])}
    with pytest.raises(CheckpointError, match="complex64"):
        load_model(saved(bad))


def test_an_even_spatial_kernel_is_refused(state: State) -> None:
    """timm pads by half of it: the map would be larger than the features."""
    name = next(name for name in state if name.endswith("spatial.conv.conv.weight"))
    with pytest.raises(CheckpointError, match="4 x 4"):
        load_model(save({**state, name: torch.ones(1, 2, 4, 4)}))


@pytest.mark.parametrize("prefix", ["my_cnn.", "online.trunk."])
def test_a_prefix_nobody_knows(model: nn.Module, state: State, prefix: str) -> None:
    """It is taken off where the tensors without it are a network that timm knows."""
    beside = {"head.weight": torch.ones(2, 2)}
    loaded = load_model(saved({**prefixed(prefix)(state), **beside}))
    assert_same(loaded, model)
    assert (
        f"The prefix {prefix.split('.', maxsplit=1)[0] + '.'!r} was removed" in loaded.report.text
    )


def test_the_hint_names_no_twin_of_the_network_itself(state: State) -> None:
    with pytest.raises(CheckpointError, match="no place in it") as refusal:
        load_model(save({**state, "fc.more": torch.ones(3)}), architecture="test_resnet")
    assert "fit" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (torch.ones(3), "single tensor"),
        ([torch.ones(3)], "holds a list"),
        ({"epoch": 3, "loss": 0.1}, "it holds 'epoch', 'loss'"),
        ({"optimizer": {"state": {"w": torch.ones(3)}}}, "holds no network's weights"),
        ({}, "it holds nothing"),
        ({"model": {"config": {"a": 1}}}, "holds no network's weights"),
    ],
)
def test_files_without_weights(content: Any, text: str) -> None:
    with pytest.raises(CheckpointError, match=text):
        load_model(saved(content))


def test_untrained_and_unnamed() -> None:
    loaded = load_model(architecture="test_resnet")
    assert loaded.report is None
    assert "untrained" in loaded.name
    assert loaded.classes is None
    with pytest.raises(ModelError, match="Give a checkpoint or an architecture"):
        load_model()


def test_create_model_takes_a_checkpoint(tmp_path: Path, model: nn.Module, state: State) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(save(state))
    made = create_model("test_resnet", checkpoint=path)
    assert all(torch.equal(made.state_dict()[name], value) for name, value in state.items())
    assert load_model(path).name == "net"
    with pytest.raises(CheckpointError, match="does not exist"):
        create_model("test_resnet", checkpoint=tmp_path / "nowhere.pth")


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"schema": 2}, "schema 2"),
        ({"schema": "1"}, "schema '1'"),
        ({"architecture": 3}, "wrong 'architecture'"),
        ({"architecture": "hf-hub:someone/thing"}, "timm has no network named"),
        (
            {"architecture": "test_resnet", "arguments": {"pretrained": True}},
            "'pretrained', which a",
        ),
        (
            {"architecture": "test_resnet", "arguments": {"checkpoint_path": "/etc/passwd"}},
            "may not",
        ),
        (
            {"architecture": "test_resnet", "arguments": {"pretrained_cfg": {"file": "/x"}}},
            "may not",
        ),
        ({"architecture": "test_resnet", "arguments": {"pretrained_cfg_overlay": {}}}, "may not"),
        ({"architecture": "test_resnet", "arguments": {"cache_dir": "/x"}}, "may not"),
        ({"architecture": "test_resnet", "arguments": {"layers": [10**9]}}, "makes no sense"),
        ({"architecture": "test_resnet", "arguments": {"layers": [1] * 99}}, "makes no sense"),
        ({"classes": [1, 2]}, "class names"),
        ({"pretrained_cfg": {"input_size": [3, 10**6, 10**6]}}, "input size"),
        ({"pretrained_cfg": {"input_size": "big"}}, "input size"),
    ],
)
def test_descriptions_may_only_shape_the_network(
    state: State, entries: dict[str, Any], text: str
) -> None:
    with pytest.raises((CheckpointError, ModelError), match=text):
        load_model(save(state, {"cbam_viz": json.dumps({"schema": 1, **entries})}))


@pytest.mark.parametrize("text", ["{", "[]", "3", "[" * 100_000])
def test_descriptions_that_are_no_objects(state: State, text: str) -> None:
    with pytest.raises(CheckpointError, match="description in the checkpoint is no JSON"):
        load_model(save(state, {"cbam_viz": text}))


def test_large_claims_in_the_description_build_nothing(state: State) -> None:
    """Shapes are compared before memory is taken: such a network would have over 100 TB."""
    claims = {"layers": [9, 9, 9, 9], "base_width": 65536}
    with pytest.raises(CheckpointError, match="not one of resnet50"):
        load_model(described(state, architecture="resnet50", arguments=claims))
