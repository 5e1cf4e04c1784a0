"""timm's networks without CBAM: no layer where there is no gate, no pair where there is one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cbam_viz._compat import ensure_torchvision
from cbam_viz.capture import capture
from cbam_viz.errors import NoAttentionError

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
