"""`create_model` in every family of the table, and what it says where it cannot."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import cbam_viz.models
from cbam_viz import ModelError, capture
from cbam_viz.models import cbam_families, create_model
from cbam_viz.models.families import CbamFamily

import timm  # isort: skip  (after cbam_viz.models, which makes its import work anywhere)
from timm.layers.cbam import CbamModule, LightCbamModule  # isort: skip


def count(model: nn.Module, cls: type[nn.Module] = CbamModule) -> int:
    return sum(isinstance(module, cls) for module in model.modules())


@pytest.mark.parametrize("family", cbam_families(), ids=lambda family: family.module)
def test_one_of_each_family(family: CbamFamily) -> None:
    with torch.device("meta"):
        model = create_model(family.example)
    assert count(model) == family.layers
    assert not model.training
    assert timm.model_entrypoint(family.example).__module__.endswith(f".{family.module}")


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet50", 16), ("resnext50_32x4d", 16), ("seresnet50", 16), ("ecaresnet50t", 16),
        ("wide_resnet50_2", 16), ("skresnext50_32x4d", 16), ("efficientnet_b3", 26),
        ("tf_efficientnetv2_s", 30), ("mixnet_s", 13), ("repvgg_a0", 22), ("regnetz_b16", 22),
        ("gcresnet33ts", 10), ("bat_resnext26ts", 8), ("nfnet_l0", 12), ("nf_regnet_b0", 16),
        ("cs3darknet_s", 9), ("mobilenetv3_large_100", 8), ("lcnet_050", 2), ("fbnetv3_b", 18),
        ("gc_efficientnetv2_rw_t", 29), ("rexnet_150", 13), ("legacy_seresnext26_32x4d", 8),
    ],
)  # fmt: skip
def test_further_networks(name: str, layers: int) -> None:
    with torch.device("meta"):
        assert count(create_model(name)) == layers


@pytest.mark.parametrize("family", [family.example for family in cbam_families()][::4])
def test_every_layer_of_a_family_runs(family: str) -> None:
    torch.manual_seed(0)
    model = create_model(family, num_classes=3)
    names = [name for name, module in model.named_modules() if isinstance(module, CbamModule)]
    attention = capture(model, torch.randn(1, 3, *model.pretrained_cfg["input_size"][1:]))
    assert set(names) <= set(attention)
    assert attention.output.shape == (1, 3)


def test_selective_kernels_keep_their_own_arguments() -> None:
    plain = timm.create_model("skresnet18").state_dict()
    with_cbam = create_model("skresnet18").state_dict()
    assert {name: value.shape for name, value in plain.items()} == {
        name: value.shape for name, value in with_cbam.items() if ".se." not in name
    }


@pytest.mark.parametrize("name", ["resnet18", "regnety_002", "vgg11"])
def test_the_plain_twin_is_timms(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = create_model(name, attention=None), timm.create_model(name)
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in theirs.state_dict().items()
    }


def test_kinds_of_attention() -> None:
    with torch.device("meta"):
        assert count(create_model("resnet18", attention="lcbam"), LightCbamModule) == 8
        model = create_model("resnet18", attention=partial(CbamModule, mlp_bias=True))
        assert all(layer.channel.fc1.bias is not None for layer in cbams(model))
        model = create_model("resnet18", attention_args={"rd_ratio": 1 / 8})
        assert cbams(model)[-1].channel.fc1.out_channels == 64
        # EfficientNet prescribes a ratio of its own; the user's wins
        model = create_model("efficientnet_b0", attention_args={"rd_ratio": 1 / 2})
        mlps = [layer.channel.fc1 for layer in cbams(model)]
        assert {mlp.in_channels / mlp.out_channels for mlp in mlps} == {2}


def cbams(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, CbamModule)]


class Doubling(nn.Module):
    """A layer of the user's own that takes nothing but the channel count."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.mark.parametrize(
    ("name", "layers"), [("resnet18", 8), ("efficientnet_b0", 16), ("regnety_002", 13)]
)
def test_a_users_own_layer_fits_every_kind_of_family(name: str, layers: int) -> None:
    with torch.device("meta"):
        assert count(create_model(name, attention=Doubling), Doubling) == layers
        function = create_model(name, attention=partial(lambda n, channels: Doubling(channels), 0))
        assert count(function, Doubling) == layers


def test_fresh_gates_are_half_and_with_zero_init_last_off_they_vary() -> None:
    torch.manual_seed(0)
    picture = torch.randn(1, 3, 64, 64)
    fresh = capture(create_model("resnet18"), picture)
    assert all(
        torch.equal(layer.spatial, torch.full_like(layer.spatial, 0.5)) for layer in fresh.values()
    )
    varied = capture(create_model("resnet18", zero_init_last=False), picture)
    assert all(layer.spatial.std() > 0 for layer in varied.values())


def test_number_of_classes() -> None:
    with torch.device("meta"):
        assert create_model("resnet18", num_classes=7).fc.out_features == 7


@pytest.mark.parametrize("name", ["convnext_tiny", "mobilenetv2_100", "vit_tiny_patch16_224"])
def test_families_that_cannot(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        create_model(name)
    text = str(caught.value)
    assert text.startswith(f"The blocks of {name} have no place")
    assert f"insert_cbam(timm.create_model('{name}'))" in text
    named = text.partition("take CBAM: ")[2].partition(". To put")[0].split(", ")
    assert 1 <= len(named) <= 3
    for other in named:
        with torch.device("meta"):
            assert count(create_model(other)) > 0, other


def test_pruned_networks_end_in_the_same_sentence() -> None:
    with pytest.raises(ModelError, match="have no place for an attention layer"):
        create_model("ecaresnet50d_pruned")


@pytest.mark.parametrize(
    ("name", "near"), [("resnet_50", "resnet50"), ("resent18", "resnet18"), ("EfficientNet", "")]
)
def test_unknown_names(name: str, near: str) -> None:
    with pytest.raises(ModelError, match=f"timm has no network named '{name}'.*{near}"):
        create_model(name)


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "local-dir:/etc", "../../etc/passwd"])
def test_names_never_lead_elsewhere(name: str) -> None:
    with pytest.raises(ModelError, match="timm has no network named"):
        create_model(name)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"attention": "cbma"}, "no attention layer named 'cbma'"),
        ({"attention": 3}, "must be a name such as 'cbam'"),
        ({"attention": CbamModule(8)}, "must be a name such as 'cbam'"),
        ({"colour": "red"}, "cannot build resnet18 with these arguments.*colour"),
        ({"attention_args": {"colour": 1}}, "cannot build resnet18 with these arguments.*colour"),
        ({"checkpoint_path": "trap.pth"}, "Say checkpoint=... instead"),
        ({"attn_layer": "se"}, "Say attention=... instead of attn_layer"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        create_model("resnet18", **arguments)


def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("timm.models._builder.load_pretrained", refuse)
    with pytest.raises(
        ModelError, match=r"could not be loaded \(ConnectionError: no route\)"
    ) as caught:
        create_model("resnet18", pretrained=True)
    assert "\n" not in str(caught.value)


def test_pretrained_weights_are_kept_around_the_new_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def stamp(model: nn.Module, *args: Any, **kwargs: Any) -> None:
        for weight in model.parameters():
            nn.init.constant_(weight, 0.25)

    monkeypatch.setattr("timm.models._builder.load_pretrained", stamp)
    for name in ("resnet18", "regnety_002"):
        model = create_model(name, pretrained=True)
        inside = {id(weight) for layer in cbams(model) for weight in layer.parameters()}
        kept = [weight for weight in model.parameters() if id(weight) not in inside]
        assert kept
        assert all(torch.equal(weight, torch.full_like(weight, 0.25)) for weight in kept)
        assert cbam_viz.models.input_spec(model).size == (224, 224)
