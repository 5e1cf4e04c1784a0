"""timm's networks without CBAM: no layer where there is no gate, no pair where there is one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cbam_viz._compat import ensure_torchvision
from cbam_viz.errors import NoAttentionError
from cbam_viz.gates import capture

from .truth import photo

ensure_torchvision()


def timm_network(name: str, **arguments: Any) -> nn.Module:
    """A network of timm with random weights."""
    import timm

    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, num_classes=3, **arguments).eval()


WITHOUT: dict[str, dict[str, Any]] = {
    "resnet10t": {},
    "convnext_atto": {},
    "convnextv2_atto": {},
    "convnext_atto_rms": {},
    "vit_tiny_patch16_224": {"img_size": 64, "depth": 2},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 4, "depths": (1, 1, 1, 1)},
    "gmlp_ti16_224": {"img_size": 64},
    "mixer_s16_224": {"img_size": 64},
    "efficientnet_lite0": {},
    "mobilenetv4_conv_small_035": {},
    "nf_resnet26": {},
    "regnetx_002": {},
    "poolformer_s12": {},
    "mambaout_femto": {"depths": (1, 1, 1, 1)},
    "starnet_s050": {},
}


@pytest.mark.parametrize("name", WITHOUT)
def test_networks_without_gates(name: str) -> None:
    """Layer norms, layer scales, gated units, drop path and self-attention are no gates."""
    model = timm_network(name, **WITHOUT[name])
    with torch.inference_mode(), pytest.raises(NoAttentionError, match="gates no feature map"):
        capture(model, photo(1, 64, 64))


CHANNEL = {"ghostnet_050": 7, "mobilenetv3_small_050": 9, "regnety_002": 13, "seresnet18": 8}


@pytest.mark.parametrize("name", CHANNEL)
def test_squeeze_and_excitation_is_one_gate(name: str) -> None:
    model = timm_network(name)
    with torch.inference_mode():
        attention = capture(model, photo(1, 64, 64))
    assert [layer.composition for layer in attention.values()] == ["channel"] * CHANNEL[name]
    assert all(layer.module.split(".")[-1] == "se" for layer in attention.values())
    assert attention.unsupported == ()


@pytest.mark.parametrize("name", ["skresnet18", "resnest14d"])
def test_split_attention_is_reported(name: str) -> None:
    model = timm_network(name)
    with torch.inference_mode():
        attention = capture(model, photo(1, 64, 64))
    assert list(attention) == []
    stages = [entry.module.split(".")[0] for entry in attention.unsupported]
    assert stages == [f"layer{k}" for k in (1, 2, 3, 4) for _ in range(len(stages) // 4)]


def test_attention_of_ghostnetv2_beside_its_gates_is_reported() -> None:
    """DFC: a gate from a coarse copy of the features, enlarged, one weight for every value."""
    model = timm_network("ghostnetv2_100")
    with torch.inference_mode():
        attention = capture(model, photo(1, 128, 128))
    expected = [
        name for name, module in model.named_modules() if type(module).__name__ == "GhostModuleV2"
    ]
    assert len(expected) == 14
    reported = {entry.module: entry.reason for entry in attention.unsupported}
    assert set(expected) == set(reported)
    assert all("a weight for every value" in reason for reason in reported.values())
    assert all(layer.module.endswith(".se") for layer in attention.values())


def test_gates_after_convolutions_with_kernels_for_each_photo() -> None:
    """CondConv folds the photos of a batch into channels; the gates after it are each photo's."""
    model = timm_network("tf_efficientnet_cc_b0_4e")
    seen = {}
    for name, module in model.named_modules():
        if type(module).__name__ == "SqueezeExcite":
            module.gate.register_forward_hook(
                lambda _, args, out, name=name: seen.update({name: out.flatten(1).clone()})
            )
    with torch.inference_mode():
        attention = capture(model, photo(2, 64, 64))
    assert list(attention) == list(seen)
    assert all(torch.equal(layer.channel, seen[name]) for name, layer in attention.items())
