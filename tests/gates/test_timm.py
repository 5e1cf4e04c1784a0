"""timm's CBAM layers: the very gates, from the weights again, and all that can be had besides."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cbam_viz.attention import Attention
from cbam_viz.gates import capture, find_cbam_layers

from .networks import multiplied, photos, timm_cbam

LAYERS = [f"layer{stage}.{block}.se" for stage in (1, 2, 3, 4) for block in (0, 1)]


def gates_again(module: nn.Module, x: Tensor, light: bool) -> tuple[Tensor, Tensor]:
    """The paper's equations 2 and 3 on a layer's weights, in float64."""
    x = x.double()
    one, two = (module.channel.fc1.weight.double(), module.channel.fc2.weight.double())

    def mlp(pooled: Tensor) -> Tensor:
        return torch.relu(pooled @ one[:, :, 0, 0].T) @ two[:, :, 0, 0].T

    average, maximum = x.mean((2, 3)), x.flatten(2).max(2)[0]
    logits = mlp((average + maximum) / 2) if light else mlp(average) + mlp(maximum)
    channel = 1 / (1 + torch.exp(-logits))
    refined = x * channel[:, :, None, None]
    mean, most = refined.mean(1, keepdim=True), refined.max(1, keepdim=True)[0]
    maps = (mean + most) / 2 if light else torch.cat([mean, most], 1)
    conv, bn = module.spatial.conv.conv, module.spatial.conv.bn
    score = torch.nn.functional.conv2d(maps, conv.weight.double(), padding=conv.padding)
    scale = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    score = (score[:, 0] - bn.running_mean.double()) * scale + bn.bias.double()
    return channel, 1 / (1 + torch.exp(-score))


@pytest.fixture(params=["cbam", "lcbam"])
def seen(request: pytest.FixtureRequest) -> tuple[str, nn.Module, Attention]:
    model = timm_cbam(request.param)
    with torch.no_grad():
        attention = capture(model, photos(), features=True)
    return request.param, model, attention


def test_product_is_what_the_layer_gave(seen: tuple[str, nn.Module, Attention]) -> None:
    _, _, attention = seen
    assert list(attention) == LAYERS
    for layer in attention.values():
        assert torch.equal(multiplied(layer), layer.features.after)
        gated = layer.features.before * layer.channel[:, :, None, None]
        assert torch.equal(gated, layer.features.between)
        assert layer.verified
        assert layer.found_by == "hook"
        assert layer.composition == "channel then spatial"


def test_gates_follow_from_the_weights(seen: tuple[str, nn.Module, Attention]) -> None:
    kind, model, attention = seen
    for name, layer in attention.items():
        module = model.get_submodule(name)
        with torch.no_grad():
            channel, spatial = gates_again(module, layer.features.before, kind == "lcbam")
        assert torch.allclose(layer.channel.double(), channel, atol=2e-6, rtol=0)
        assert torch.allclose(layer.spatial.double(), spatial, atol=2e-6, rtol=0)
        assert layer.channel.std() > 1e-4  # not the 0.5 of an untrained block
        assert layer.spatial.std() > 1e-4


def test_later_captures_give_the_same_bits(seen: tuple[str, nn.Module, Attention]) -> None:
    """The first one watches the network, the others only hook it; other sizes as well."""
    _, model, first = seen
    with torch.no_grad():
        for _ in range(2):
            again = capture(model, photos())
            assert torch.equal(again.output, model(photos()))
            for name, layer in first.items():
                assert torch.equal(again[name].channel, layer.channel)
                assert torch.equal(again[name].spatial, layer.spatial)
                assert again[name].cells == layer.cells
                assert again[name].verified
        wide = capture(model, photos(1, 32, 96), features=True)
    for layer in wide.values():
        assert torch.equal(multiplied(layer), layer.features.after)
    assert wide.input_size == (32, 96)


def test_branches_and_descriptors_are_the_equations() -> None:
    model = timm_cbam()
    with torch.no_grad():
        attention = capture(model, photos(), branches=True, descriptors=True, features=True)
    for name, layer in attention.items():
        x, mlp = layer.features.before, model.get_submodule(name).channel
        with torch.no_grad():
            average = mlp.fc2(mlp.act(mlp.fc1(x.mean((2, 3), keepdim=True))))
            maximum = mlp.fc2(mlp.act(mlp.fc1(x.amax((2, 3), keepdim=True))))
        assert torch.equal(layer.branches.average, average.flatten(1))
        assert torch.equal(layer.branches.maximum, maximum.flatten(1))
        logits = layer.branches.average + layer.branches.maximum
        assert torch.equal(torch.sigmoid(logits[:, :, None, None]).flatten(1), layer.channel)
        assert torch.equal(layer.descriptors.mean, layer.features.between.mean(1))
        assert torch.equal(layer.descriptors.maximum, layer.features.between.amax(1))


def test_extras_come_only_on_request() -> None:
    with torch.no_grad():
        plain = capture(timm_cbam(), photos())
        light = capture(timm_cbam("lcbam"), photos(), branches=True, descriptors=True)
        some = capture(timm_cbam(), photos(), features=["layer2.0.se"])
    for layer in plain.values():
        assert (layer.branches, layer.descriptors, layer.features) == (None, None, None)
    for layer in light.values():  # it pools once, so there is nothing to tell apart
        assert (layer.branches, layer.descriptors) == (None, None)
    assert [name for name, layer in some.items() if layer.features] == ["layer2.0.se"]


def test_a_gate_replaced_by_a_hook_is_the_one_reported() -> None:
    """Ablation: the network multiplies by what the user's hook returned."""
    model = timm_cbam()
    half = model.layer2[0].se.channel.gate.register_forward_hook(
        lambda module, args, output: torch.full_like(output, 0.25)
    )
    with torch.no_grad():
        changed = capture(model, photos())
        half.remove()
        plain = capture(model, photos())
    assert torch.equal(changed["layer2.0.se"].channel, torch.full((2, 128), 0.25))
    assert plain["layer2.0.se"].channel.std() > 0
    assert not torch.equal(changed["layer2.1.se"].channel, plain["layer2.1.se"].channel)


def test_names_are_known_without_an_image() -> None:
    assert find_cbam_layers(timm_cbam()) == LAYERS
    assert find_cbam_layers(nn.DataParallel(timm_cbam("lcbam"))) == LAYERS


def test_a_replaced_layer_is_noticed() -> None:
    model, other = timm_cbam(), timm_cbam(seed=5)
    with torch.no_grad():
        before = capture(model, photos())
        model.layer1[1].se = other.layer1[1].se
        after = capture(model, photos())
        model.layer4[1].se = nn.Identity()
        fewer = capture(model, photos())
    assert not torch.equal(before["layer1.1.se"].channel, after["layer1.1.se"].channel)
    assert list(fewer) == LAYERS[:-1]
