"""CBAM after stages: weights kept, outputs barely changed, gradients alive, nothing half done."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import cbam_viz.models
from cbam_viz import ModelError, capture
from cbam_viz.models import insert_cbam
from cbam_viz.models.insert import stage_names

import timm  # isort: skip  (after cbam_viz.models, which makes its import work anywhere)


def network(name: str, **kwargs: object) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, num_classes=5, **kwargs)
    return model.eval()


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18", ["layer1", "layer2", "layer3", "layer4"]),
        ("convnext_atto", ["stages.0", "stages.1", "stages.2", "stages.3"]),
        ("mobilenetv3_small_050", ["blocks.0", "blocks.1", "blocks.3", "blocks.5"]),
        ("densenet121", ["features.denseblock1", "features.denseblock2", "features.denseblock3",
                         "features.norm5"]),
        ("regnetx_002", ["s1", "s2", "s3", "s4"]),
        ("efficientnet_lite0", ["blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6"]),
        ("test_vit", None),
    ],
)  # fmt: skip
def test_after_each_stage(name: str, stages: list[str] | None) -> None:
    model = network(name)
    if stages is None:
        with pytest.raises(ModelError, match="returns a tensor of shape"):
            insert_cbam(model)
        return
    assert stage_names(model) == stages
    before = {key: value.clone() for key, value in model.state_dict().items()}
    picture = torch.randn(2, 3, 64, 64)
    inside = {}
    for stage in stages:
        model.get_submodule(stage).register_forward_hook(
            lambda module, args, out, stage=stage: inside.update({stage: out.clone()})
        )
    with torch.no_grad():
        plain = model(picture)
        first = inside[stages[0]]
        assert insert_cbam(model, input_size=(64, 64)) is model
        changed = model(picture)
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert {key.partition(".cbam.")[0] for key in after.keys() - before.keys()} == set(stages)
    # each layer multiplies by 0.99 * 0.99, so the first stage's output is exactly that
    torch.testing.assert_close(inside[stages[0]], 0.99 * 0.99 * first)
    assert not torch.equal(plain, changed)
    assert (changed - plain).norm() < 0.15 * plain.norm()
    attention = capture(model, picture)
    for stage in stages:
        layer = attention[f"{stage}.cbam"]
        torch.testing.assert_close(layer.channel, torch.full_like(layer.channel, 0.99))
        torch.testing.assert_close(layer.spatial, torch.full_like(layer.spatial, 0.99))


def test_vgg_has_one_after_each_stages_activation() -> None:
    model = timm.create_model("vgg11_bn", num_classes=0)
    assert stage_names(model) == [
        "features.2",
        "features.6",
        "features.13",
        "features.20",
        "features.27",
    ]


def test_a_gate_nearer_to_one_changes_less() -> None:
    picture = torch.randn(1, 3, 64, 64)
    changes = []
    for gate in (0.9, 0.99, 0.999):
        model = network("resnet18")
        with torch.no_grad():
            plain = model(picture)
            changes.append(
                float((insert_cbam(model, gate=gate)(picture) - plain).norm() / plain.norm())
            )
    assert changes == sorted(changes, reverse=True)
    assert changes[2] < 0.01


def test_gradients_reach_every_new_weight_within_two_steps() -> None:
    model = insert_cbam(network("resnet18"), ["layer2"], input_size=(64, 64)).train()
    layer = model.get_submodule("layer2.cbam")
    optimizer = torch.optim.SGD(layer.parameters(), lr=10.0)
    start = {name: weight.detach().clone() for name, weight in layer.named_parameters()}
    for _ in range(3):
        picture = torch.randn(8, 3, 64, 64)
        nn.functional.cross_entropy(model(picture), torch.arange(8) % 5).backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, weight in layer.named_parameters():
        assert not torch.equal(weight, start[name]), name
    gates = capture(model.eval(), torch.randn(1, 3, 64, 64))["layer2.cbam"]
    assert gates.channel.std() > 0
    assert gates.spatial.std() > 0


def test_named_modules_anywhere() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 10, 3, stride=2))
    insert_cbam(model, ["0", "2"], input_size=(16, 16))
    attention = capture(model, torch.randn(1, 3, 16, 16))
    assert [layer.channel.shape for layer in attention.values()] == [(1, 6), (1, 10)]
    assert isinstance(model[0], nn.Conv2d)
    assert model[0].stride == (1, 1)
    assert len(model) == 3


def test_networks_for_grey_pictures() -> None:
    model = insert_cbam(network("test_resnet", in_chans=1), ["layer2"], input_size=(64, 64))
    with torch.no_grad():
        assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 5)


def test_timms_helpers_still_work() -> None:
    model = insert_cbam(network("densenet121"), input_size=(64, 64))
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        features = model.forward_features(picture)
        torch.testing.assert_close(model.forward_head(features), model(picture))
    model = insert_cbam(network("convnext_atto"), input_size=(64, 64))
    with torch.no_grad():
        last, maps = model.forward_intermediates(picture)
        assert len(maps) == 4
        torch.testing.assert_close(model.forward_head(last), model(picture))


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "densenet121", "regnetx_002"])
def test_copies_and_pickles_are_whole(name: str) -> None:
    model = insert_cbam(network(name), input_size=(64, 64))
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(picture)
        assert torch.equal(copy.deepcopy(model)(picture), expected)
        assert torch.equal(pickle.loads(pickle.dumps(model))(picture), expected)
    moved = copy.deepcopy(model).train().double()
    assert all(weight.dtype == torch.float64 for weight in moved.parameters())
    assert all(module.training for module in moved.modules())


def test_mode_and_statistics_stay() -> None:
    model = network("resnet18").train()
    model.layer2.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    insert_cbam(model)
    assert model.training
    assert model.layer1.cbam.training
    assert not model.layer2[0].training
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert not any(module._forward_hooks for module in model.modules())


class Two(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.two = Two()
        self.spare = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(self.conv(x))[0].mean((2, 3)))


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (["conv", "nowhere"], "no module named 'nowhere'"),
        (["conv", ""], "no module named ''"),
        (["conv", "two"], "two returns tuple"),
        (["conv", "head"], r"head returns a tensor of shape \(1, 2\)"),
        (["conv", "spare"], "spare did not run"),
        (["conv", "conv"], "named once"),
        ([], "names no module"),
        (None, "does not say what its stages are.*conv, two, spare, head"),
    ],
)
def test_refusals_leave_the_network_as_it_was(at: list[str] | None, text: str) -> None:
    model = Odd()
    keys = list(model.state_dict())
    with pytest.raises(ModelError, match=text):
        insert_cbam(model, at)
    assert list(model.state_dict()) == keys
    assert type(model.conv) is nn.Conv2d
    assert not any(module._forward_hooks for module in model.modules())


def test_further_refusals() -> None:
    with pytest.raises(ModelError, match="channels last"):
        insert_cbam(network("swin_tiny_patch4_window7_224"), ["layers.0"])
    model = insert_cbam(network("resnet18"), ["layer1"])
    with pytest.raises(ModelError, match="There is a CBAM layer after layer1 already"):
        insert_cbam(model, ["layer1"])
    with pytest.raises(ModelError, match="gate must lie between"):
        insert_cbam(model, ["layer2"], gate=1.0)
    with pytest.raises(ModelError, match="TorchScript"):
        insert_cbam(torch.jit.trace(nn.ReLU(), torch.ones(1)), ["a"])
    with pytest.raises(ModelError, match="did not run on an input"):
        insert_cbam(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4, 2)), ["0"])


def test_inserted_layers_come_back_from_a_file() -> None:
    model = insert_cbam(network("convnext_atto"), ["stages.1", "stages.3"], input_size=(64, 64))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".cbam." in name:
                weight.add_(0.1 * torch.randn_like(weight))
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    loaded = cbam_viz.models.load_model(buffer.getvalue())
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded.model(picture), model(picture))
