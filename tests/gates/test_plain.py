"""timm's other networks: lone channel gates where they are, and no CBAM where there is none."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from cbam_viz import NoAttentionError
from cbam_viz.gates import capture, find_cbam_layers

from .networks import photos

NOTHING = {
    # convolutions, normalisation by hand, re-parametrisation, dense and split connections
    "resnet10t": 64, "vgg11": 32, "densenet121": 32, "convnext_atto": 64, "convnextv2_atto": 64,
    "mobilenetv2_035": 64, "efficientnet_lite0": 64, "regnetx_002": 64, "fbnetc_100": 64,
    "mobileone_s0": 32, "repvgg_a0": 32, "selecsls42b": 64, "dla34": 32, "gernet_s": 32,
    "nf_resnet26": 32, "inception_next_atto": 64, "mambaout_femto": 64, "starnet_s1": 64,
    "edgenext_xx_small": 64, "poolformer_s12": 64, "mobilevit_xxs": 64, "mobilevitv2_050": 64,
    "fastvit_t8": 64, "efficientvit_b0": 64,
    # attention over tokens, gated MLPs, windows, selective kernels
    "vit_tiny_patch16_224": 64, "xcit_nano_12_p16_224": 64, "gmlp_ti16_224": 64, "pvt_v2_b0": 64,
    "swin_tiny_patch4_window7_224": 56, "focalnet_tiny_srf": 64, "mvitv2_tiny": 64,
    "skresnet18": 64, "resnest14d": 64, "davit_tiny": 64,
}  # fmt: skip
"""Networks without a CBAM, and the input size at which they are quick."""

LONE = {
    "efficientnet_b0": 16, "mobilenetv3_small_050": 9, "regnety_002": 13, "ese_vovnet19b_dw": 4,
    "eca_resnet33ts": 10, "legacy_seresnet18": 8, "ghostnet_050": 7, "lcnet_050": 2,
}  # fmt: skip
"""Networks with channel gates alone, and how many."""


def built(name: str, size: int) -> nn.Module:
    torch.manual_seed(0)
    sized = {"img_size": size} if _takes_size(name) else {}
    return timm.create_model(name, num_classes=3, **sized).eval()


def _takes_size(name: str) -> bool:
    return name.startswith(("vit", "xcit", "gmlp", "swin", "mvit"))


@pytest.mark.parametrize("name", NOTHING)
def test_no_layer_is_made_up(name: str) -> None:
    model, image = built(name, NOTHING[name]), photos(2, NOTHING[name], NOTHING[name])
    with torch.inference_mode():
        plain = model(image)
        try:
            attention = capture(model, image)
        except NoAttentionError:
            return
    assert torch.equal(attention.output, plain)
    assert [layer.composition for layer in attention.values() if layer.spatial is not None] in (
        [],
        ["spatial"] * len(attention),
    ), "a pair of gates in a network that has none"


def gates_of(model: nn.Module, image: Tensor) -> list[Tensor]:
    """Outputs of timm's gate modules, which are what multiplies."""
    gates: list[Tensor] = []
    for module in model.modules():
        gate = getattr(module, "gate", None)
        if isinstance(gate, nn.Module):
            gate.register_forward_hook(lambda m, args, out: gates.append(out.clone()))
    model(image)
    return gates


@pytest.mark.parametrize("name", LONE)
def test_lone_channel_gates(name: str) -> None:
    model, image = built(name, 64), photos()
    with torch.no_grad():
        runs = [capture(model, image) for _ in range(2)]
        expected = gates_of(model, image)
    for attention in runs:
        assert len(attention) == LONE[name]
        for layer, gate in zip(attention.values(), expected, strict=False):
            assert layer.composition == "channel"
            assert layer.spatial is None
            assert layer.cells is None
            assert layer.verified
            if len(expected) == LONE[name]:
                assert torch.equal(layer.channel, gate.flatten(1))
    assert find_cbam_layers(model, image) == []


@pytest.mark.parametrize(
    ("name", "arguments", "layers"),
    [
        ("resnet18", {"block_args": {"attn_layer": "cbam"}}, 8),
        ("efficientnet_b0", {"se_layer": "cbam"}, 16),
        ("ese_vovnet19b_dw", {"attn": "lcbam"}, 4),
        ("gernet_s", {"attn_layer": "cbam"}, 14),
        ("skresnet18", {"block_args": {"attn_layer": "cbam"}}, 8),
    ],
)
def test_families_that_take_cbam(name: str, arguments: dict[str, object], layers: int) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3, **arguments).eval()
    names = find_cbam_layers(model)
    with torch.no_grad():
        attention = capture(model, photos())
    both = [layer for layer in attention.values() if layer.spatial is not None]
    assert [layer.name for layer in both] == names
    assert len(names) == layers
    assert all(layer.verified and layer.cells.exact for layer in both)
