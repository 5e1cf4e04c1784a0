"""Layers are called what people call them, and nothing is made up."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cbam_viz import capture, create_model, insert_cbam
from cbam_viz.attention import LayerAttention
from cbam_viz.gates.model.names import stage_of
from cbam_viz.layer_names import both_names, find_called, find_name, find_stage, titles


def layer(name: str, *, module: str = "", call: int = 1) -> LayerAttention:
    """A layer of which only names are known."""
    module = module or name
    gate = torch.full((1, 2, 2), 0.5)
    return LayerAttention(
        name, module, call, stage_of(module), None, gate, None, "spatial", "watch", True,
        torch.float32,
    )  # fmt: skip


def alone(name: str) -> str:
    return titles([layer(name)]).layers[name]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        # timm's families
        ("layer4.1.se", "stage 4, block 2"),
        ("layer1.0.se_module", "stage 1, block 1"),
        ("body.layer3.10.se", "stage 3, block 11"),
        ("stages.3.blocks.0.attn", "stage 4, block 1"),
        ("stages.0.0.attn_last", "stage 1, block 1"),
        ("stages.2.blocks.1.aggregation.1", "stage 3, block 2"),
        ("blocks.4.2.se", "stage 5, block 3"),  # timm's own feature_info says stage 5
        ("layers.1.blocks.0.attn", "stage 2, block 1"),
        ("s4.b7.se", "stage 4, block 7"),
        ("blocks.7.attn", "block 8"),
        ("features.denseblock2.cbam", "dense block 2"),
        # put in behind stages
        ("blocks.5.cbam", "stage 6"),
        ("stages.1.cbam", "stage 2"),
        ("layer1.cbam", "stage 1"),
        # other people's code
        ("module.layer4.1.cbam", "stage 4, block 2"),
        ("backbone.layer4.cbam", "stage 4"),
        ("layer1.0.convs.5", "stage 1, block 1"),
        ("encoder.stages.0.layers.1.attention", "stage 1, layer 2"),
        ("encoder.layers.3.attn", "layer 4"),
        ("1.layer2.0.se", "stage 2, block 1"),
        ("model.9", "layer 9"),  # a YOLO's layers are counted from 0 by everybody
        ("model.model.9", "layer 9"),
        ("level3.tree1.cbam", "level 3"),
        ("stage2.0.branches.1.0.se", "stage 2"),
    ],
)
def test_a_layer_is_called_what_people_call_it(name: str, title: str) -> None:
    assert alone(name) == title
    assert both_names(name, title) == f"{title} ({name})"


@pytest.mark.parametrize(
    "name",
    [
        "model",
        "3",
        "0.4.1.cbam",
        "features.3.se",
        "features.4.block.2",
        "features.4.1.block.2",
        "cbam1",
        "conv1.cbam",
        "down1.maxpool_conv.1.cbam",
        "final_conv.cbam",
        "s1.cbam",
        "stages.².cbam",
        f"stages.{'9' * 5000}.cbam",
    ],
)
def test_where_a_path_does_not_say_what_it_counts_it_is_the_title(name: str) -> None:
    assert alone(name) == name
    assert titles([layer(name)]).stages == {stage_of(name): stage_of(name)}
    assert both_names(name, alone(name)) == name


def test_stages_are_counted_like_their_layers() -> None:
    names = ["layer1.0.se", "layer4.1.se", "features.7.se"]
    assert titles(map(layer, names)).stages == {
        "layer1": "stage 1",
        "layer4": "stage 4",
        "features": "features",
    }
    assert titles([layer("model.9.cv1.cbam")]).stages == {"model": "model"}


def test_no_two_layers_are_called_alike() -> None:
    names = ["layer1.0.cbam1", "layer1.0.cbam2", "layer1.1.cbam1", "layer2.cbam", "layer2.0.cbam"]
    assert list(titles(map(layer, names)).layers.values()) == [
        "stage 1, block 1, cbam1",
        "stage 1, block 1, cbam2",
        "stage 1, block 2",
        "stage 2",
        "stage 2, block 1",
    ]
    yolo = ["model.2.m.0.cbam", "model.2.m.1.cbam", "model.9"]
    assert list(titles(map(layer, yolo)).layers.values()) == [
        "layer 2, m.0.cbam",
        "layer 2, m.1.cbam",
        "layer 9",
    ]
    # Of a CBAM that is a layer itself, no block around it is known.
    own = [replace(layer(name), block="") for name in ("model.5", "model.8")]
    assert list(titles(own).layers.values()) == ["layer 5", "layer 8"]
    unknown = [replace(layer(name), block="") for name in ("stuff.5", "stuff.8")]
    assert list(titles(unknown).layers.values()) == ["stuff.5", "stuff.8"]
    dense = [f"dense_stages.{at}.2.dense_block0.layers.layers.5" for at in (2, 4)]
    assert list(titles(map(layer, dense)).layers.values()) == dense


def test_parts_of_a_network_are_said_where_there_are_several() -> None:
    both = ["encoder.layer3.0.se", "decoder.blocks.0.attention1"]
    assert list(titles(map(layer, both)).layers.values()) == [
        "encoder, stage 3, block 1",
        "decoder, block 1",
    ]
    assert titles(map(layer, both)).stages["encoder.layer3"] == "encoder, stage 3"
    twins = ["left.layer1.0.se", "right.layer1.0.se"]
    assert list(titles(map(layer, twins)).layers.values()) == [
        "left, stage 1, block 1",
        "right, stage 1, block 1",
    ]


def test_calls_of_one_module_are_told_apart() -> None:
    calls = [
        layer("layer2.0.se"),
        layer("layer2.0.se#2", module="layer2.0.se", call=2),
        layer("layer2.1.se"),
        layer("cbam"),
        layer("cbam#2", module="cbam", call=2),
    ]
    assert list(titles(calls).layers.values()) == [
        "stage 2, block 1, call 1",
        "stage 2, block 1, call 2",
        "stage 2, block 2",
        "cbam",
        "cbam#2",
    ]


class Own(nn.Module):
    """Attention of one's own: a spatial map from the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x.mean(1, keepdim=True)))


class Block(nn.Module):
    """A block whose own forward gates."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.gate = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        return x + y * torch.sigmoid(self.gate(y.mean(1, keepdim=True)))


class Net(nn.Module):
    """Blocks, and attention as a step of an nn.Sequential, in stages of the same names."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(Block(), Block())
        self.layer2 = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), Own())
        self.layer3 = nn.Sequential(Block(), Own())

    def forward(self, x):
        return self.layer3(self.layer2(self.layer1(x)))


def test_a_step_of_a_sequential_is_no_block() -> None:
    found = capture(Net().eval(), torch.rand(1, 4, 16, 16))
    assert titles(found.values()).layers == {
        "layer1.0": "stage 1, block 1",
        "layer1.1": "stage 1, block 2",
        "layer2.2": "stage 2",
        "layer3.0": "stage 3, block 1",
        "layer3.1": "stage 3",
    }


@pytest.mark.parametrize(
    ("name", "places", "expected"),
    [
        ("efficientnet_lite0", ["blocks.0", "blocks.5"], ["stage 1", "stage 6"]),
        ("convmixer_768_32", ["blocks.1", "blocks.30"], ["block 2", "block 31"]),
        ("convnext_atto", ["stages.0", "stages.3"], ["stage 1", "stage 4"]),
    ],
)
def test_blocks_by_number_are_stages_only_if_they_hold_blocks(name, places, expected) -> None:
    import timm

    model = insert_cbam(timm.create_model(name), at=places).eval()
    found = capture(model, torch.rand(1, 3, 64, 64))
    assert list(titles(found.values()).layers.values()) == expected


def test_a_whole_network_of_timm_is_counted_through() -> None:
    model = create_model("resnet50", num_classes=2).eval()
    found = titles(capture(model, torch.rand(1, 3, 64, 64)).values())
    assert list(found.layers.values()) == [
        f"stage {stage}, block {block}"
        for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3))
        for block in range(1, blocks + 1)
    ]
    assert list(found.stages.values()) == [f"stage {stage}" for stage in (1, 2, 3, 4)]


FOUR = ["layer1.0.se", "layer2.0.se", "layer2.0.se#2", "layer4.1.se"]


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("layer4.1.se", "layer4.1.se"),
        ("-1", "layer4.1.se"),
        ("0", "layer1.0.se"),
        ("layer4.1", "layer4.1.se"),
        ("layer2.0#2", "layer2.0.se#2"),
        ("stage 4, block 2", "layer4.1.se"),
        ("Stage 4,  block 2", "layer4.1.se"),
        ("stage 4, block 2 (layer4.1.se)", "layer4.1.se"),
        ("stage 2, block 1, call 2", "layer2.0.se#2"),
        ("stage 2, block 1", None),  # it has two calls
        ("stage 4", None),
        ("layer4", None),
        ("", None),
    ],
)
def test_a_layer_is_found_by_all_that_it_is_called(wanted: str, meant: str | None) -> None:
    known = {
        name: layer(name, module=name.partition("#")[0], call=2 if "#" in name else 1)
        for name in FOUR
    }
    assert find_name(known, wanted) == meant
    if wanted not in ("0", "-1"):
        assert find_called(known, wanted) == meant
    if "stage" not in wanted.lower():
        assert find_name(FOUR, wanted) == meant


def test_what_could_be_two_layers_is_none() -> None:
    known = {name: layer(name) for name in ("a.Layer1.se", "a.layer1.se")}
    assert find_name(known, "a.LAYER1") is None
    assert find_name(known, "a.Layer1.se") == "a.Layer1.se"
    assert find_stage([layer("layer4.0.se"), layer("layer4.1.se")], "Stage 4") == "layer4"
    assert find_stage([layer("layer4.0.se")], "stage 3") is None
