"""Networks of pytorchcv, segmentation-models-pytorch, pytorch-toolbelt, torchvision and timm.

The truth comes from hooks on the modules that each package's own source multiplies by.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cbam_viz.gates import capture


def pytorchcv(name: str) -> nn.Module:
    """A network of pytorchcv with random weights; its head wants 224 px, so tests cut it off."""
    provider = pytest.importorskip("pytorchcv.model_provider", reason="needs pytorchcv")
    torch.manual_seed(0)
    return provider.get_model(name, pretrained=False).eval()


def run(model: nn.Module, photo: Tensor) -> Any:
    """One capture, as the app runs it."""
    with torch.inference_mode():
        return capture(model, photo)


def assert_gates(attention: Any, channel: list[Tensor], spatial: list[Tensor]) -> None:
    """All channel weights and all spatial maps, in order, bit for bit."""
    found = [layer.channel for layer in attention.values() if layer.channel is not None]
    assert len(found) == len(channel)
    assert all(torch.equal(a, b.flatten(1)) for a, b in zip(found, channel, strict=True))
    found = [layer.spatial for layer in attention.values() if layer.spatial is not None]
    assert len(found) == len(spatial)
    assert all(torch.equal(a, b.squeeze(1)) for a, b in zip(found, spatial, strict=True))
    assert all(layer.verified for layer in attention.values())


def test_pytorchcv_cbam(photo: Tensor, outputs_of: Any) -> None:
    model = pytorchcv("cbam_resnet18")
    channel = outputs_of(model, lambda name, _: name.endswith("ch_gate.sigmoid"))
    spatial = outputs_of(model, lambda name, _: name.endswith("sp_gate.sigmoid"))
    attention = run(model.features[:-1], photo)
    units = [f"stage{stage}.unit{unit}.cbam" for stage in (1, 2, 3, 4) for unit in (1, 2)]
    assert list(attention) == units
    assert {layer.composition for layer in attention.values()} == {"channel then spatial"}
    assert_gates(attention, [gate for _, gate in channel], [gate for _, gate in spatial])
    assert attention.unsupported == ()


def test_pytorchcv_bam_is_reported(photo: Tensor) -> None:
    attention = run(pytorchcv("bam_resnet18").features[:-1], photo)
    assert list(attention) == []
    reported = [entry.module for entry in attention.unsupported]
    assert reported == [f"stage{stage}.unit1.bam" for stage in (2, 3, 4)]
    assert all("joint" in entry.reason for entry in attention.unsupported)


def test_pytorchcv_squeeze_and_excitation(photo: Tensor, outputs_of: Any) -> None:
    model = pytorchcv("seresnet18").features[:-1]
    channel = outputs_of(model, lambda name, _: name.endswith("se.sigmoid"))
    attention = run(model, photo)
    assert list(attention) == [f"stage{s}.unit{u}.se" for s in (1, 2, 3, 4) for u in (1, 2)]
    assert {layer.composition for layer in attention.values()} == {"channel"}
    assert_gates(attention, [gate for _, gate in channel], [])


def test_pytorchcv_one_attention_for_many_units(photo: Tensor, outputs_of: Any) -> None:
    """DIANet: the units of a stage share one recurrent attention module."""
    model = pytorchcv("diaresnet20_cifar10").features[:-1]
    channel = outputs_of(model, lambda name, _: name.endswith("attention.lstm"))
    attention = run(model, photo[..., :32, :32])
    shared = [f"stage{stage}.unit1.attention" for stage in (1, 2, 3)]
    assert list(attention) == [name + suffix for name in shared for suffix in ("", "#2", "#3")]
    assert [layer.call for layer in attention.values()] == [1, 2, 3] * 3
    assert len(channel) == 9
    for layer, (_, (hidden, _)) in zip(attention.values(), channel, strict=True):
        assert torch.equal(layer.channel, hidden[-1])


@pytest.mark.parametrize("name", ["sknet50", "resnesta18"])
def test_pytorchcv_split_attention_is_reported(name: str, photo: Tensor) -> None:
    attention = run(pytorchcv(name).features[:-1], photo[..., :64, :64])
    assert list(attention) == []
    units = [entry.module.split(".body")[0] for entry in attention.unsupported]
    per_stage = (3, 4, 6, 3) if name == "sknet50" else (2, 2, 2, 2)
    assert units == [
        f"stage{stage}.unit{unit}"
        for stage, count in enumerate(per_stage, start=1)
        for unit in range(1, count + 1)
    ]


def test_segmentation_models_scse(photo: Tensor, outputs_of: Any) -> None:
    """scSE is in the decoder, twice a block, in parallel: x * cSE(x) + x * sSE(x)."""
    smp = pytest.importorskip(
        "segmentation_models_pytorch", reason="needs segmentation-models-pytorch"
    )
    torch.manual_seed(0)
    model = smp.Unet(
        "resnet18", encoder_weights=None, decoder_attention_type="scse", classes=3
    ).eval()
    channel = outputs_of(model, lambda name, _: name.endswith(".cSE"))
    spatial = outputs_of(model, lambda name, _: name.endswith(".sSE"))
    attention = run(model, photo)
    assert len(attention) == len(channel) >= 9
    assert {layer.composition for layer in attention.values()} == {"parallel"}
    assert_gates(attention, [gate for _, gate in channel], [gate for _, gate in spatial])
    assert attention.output.shape == (1, 3, 192, 256)


def test_places_in_a_segmentation_decoder(photo: Tensor) -> None:
    """Decoder blocks merge enlarged features with the encoder's; the last one has no encoder."""
    smp = pytest.importorskip(
        "segmentation_models_pytorch", reason="needs segmentation-models-pytorch"
    )
    torch.manual_seed(0)
    arguments = {"encoder_weights": None, "decoder_attention_type": "scse"}
    expected = {
        "resnet18": {(16, 0.5, 8), (8, 0.5, 12), (4, 0.5, 14), (2, 0.5, 15), (1, 0, 15)},
        "vgg11": {(16, 8, 0), (8, 4, 0), (4, 2, 0), (2, 1, 0), (1, 0.5, 0)},
    }
    for encoder, places in expected.items():
        layers = run(smp.Unet(encoder, **arguments).eval(), photo).values()
        found = {(one.cells.stride_y, one.cells.offset_y, one.cells.within) for one in layers}
        assert found == places


@pytest.mark.parametrize("name", ["ChannelSpatialGate2d", "ChannelGate2d", "SpatialGate2d"])
def test_pytorch_toolbelt(name: str, photo: Tensor) -> None:
    """Its ChannelGate2d is a spatial map, its SpatialGate2d channel weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = pytest.importorskip("pytorch_toolbelt.modules", reason="needs pytorch-toolbelt")
    torch.manual_seed(0)
    gate = getattr(modules, name)(8, **({} if name == "ChannelGate2d" else {"reduction": 2}))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), gate).eval()
    attention = run(model, photo)
    x = model[:2](photo)
    halves = {"ChannelGate2d": gate, "SpatialGate2d": gate}
    if name == "ChannelSpatialGate2d":
        halves = {"ChannelGate2d": gate.channel_gate, "SpatialGate2d": gate.spatial_gate}
    (layer,) = attention.values()
    assert layer.module == "2"
    if "Channel" in name:
        expected = halves["ChannelGate2d"].squeeze(x).sigmoid()
        assert torch.allclose(layer.spatial, expected.squeeze(1), rtol=0, atol=1e-6)
    if "Spatial" in name:
        half = halves["SpatialGate2d"]
        expected = half.expand(half.squeeze(half.avg_pool(x)).relu()).sigmoid()
        assert torch.allclose(layer.channel, expected.flatten(1), rtol=0, atol=1e-6)
    assert layer.composition == {
        "ChannelGate2d": "spatial", "SpatialGate2d": "channel", "ChannelSpatialGate2d": "parallel"
    }[name]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "count"), [("mobilenet_v3_small", 9), ("efficientnet_b0", 16), ("regnet_y_400mf", 16)]
)
def test_torchvision_squeeze_and_excitation(
    name: str, count: int, photo: Tensor, outputs_of: Any
) -> None:
    """Channel weights through hard sigmoid and sigmoid; stochastic depth and swish are no gates."""
    import torchvision

    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None).eval()
    channel = outputs_of(model, lambda name, _: name.endswith("scale_activation"))
    if name == "regnet_y_400mf":
        channel = outputs_of(model, lambda _, module: type(module).__name__ == "Sigmoid")
    attention = run(model, photo)
    assert len(attention) == count
    assert {layer.composition for layer in attention.values()} == {"channel"}
    assert_gates(attention, [gate for _, gate in channel], [])


@pytest.mark.parametrize(
    ("name", "arguments", "gate", "count"),
    [
        ("seresnet18", {}, "se.gate", 8),
        ("ecaresnet26t", {}, None, 8),
        ("ese_vovnet19b_dw", {}, "attn.gate", 4),
        ("efficientnet_b0", {}, "se.gate", 16),
        ("mobilenetv3_small_050", {}, "se.gate", 9),
    ],
)
def test_timm_channel_gates(
    name: str, arguments: dict[str, Any], gate: str | None, count: int, photo: Tensor,
    outputs_of: Any,
) -> None:  # fmt: skip
    """SE, ECA and ESE are channel gates; swish, layer scale and drop path are not."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=3, **arguments).eval()
    channel = outputs_of(model, lambda path, _: gate is not None and path.endswith(gate))
    attention = run(model, photo[..., :128, :128])
    assert len(attention) == count
    assert {layer.composition for layer in attention.values()} == {"channel"}
    if gate is not None:
        assert_gates(attention, [value for _, value in channel], [])
