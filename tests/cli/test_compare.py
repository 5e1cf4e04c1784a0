"""`cbam-viz compare`: networks and photos beside each other, files, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import cbam_viz
from cbam_viz.images import read_photo
from cbam_viz.methods import photo_maps

from .conftest import SHAPE, invoke


@pytest.fixture
def photos(folder: Path) -> list[Path]:
    """Two photos of one size."""
    paths = [folder / f"p{k}.png" for k in range(2)]
    for k, path in enumerate(paths):
        noise = np.random.default_rng(k).integers(0, 255, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return paths


def told(*args: object) -> dict:
    result = invoke("compare", *map(str, args), "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_two_networks_on_one_photo_in_a_table_and_three_files(photos, folder, checkpoints) -> None:
    outputs = [folder / f"out.{ending}" for ending in ("png", "csv", "json")]
    named = [part for output in outputs for part in ("-o", str(output))]
    result = invoke("compare", str(photos[0]), "-c", "tiny", "-c", "zebra", "-l", "-1", *named)
    assert result.exit_code == 0, result.stderr
    for text in ("Tiny: ", "Zebra: ", "Wrote"):
        assert text in result.stdout
    assert Image.open(outputs[0]).size[0] > 1000
    (first, second) = (
        row for row in csv.DictReader(io.StringIO(outputs[1].read_text()))
        if row["gate"] == "spatial"
    )  # fmt: skip
    loaded = [
        cbam_viz.load_model(checkpoints / f"{name}.safetensors") for name in ("tiny", "zebra")
    ]
    one = cbam_viz.compare(loaded, read_photo(photos[0])).compared(1, first["layer"])
    assert float(second["mean_difference"]) == pytest.approx(
        one.second.spatial.mean - one.first.spatial.mean
    )
    assert float(second["largest_difference"]) == pytest.approx(one.difference.largest)
    whole = json.loads(outputs[2].read_text())
    assert [side["title"] for side in whole["sides"]] == ["Tiny", "Zebra"]
    assert len(whole["pairs"]) == 1


def test_photos_in_one_network_have_differences_if_they_show_one_scene(photos) -> None:
    apart = told(*photos)
    (row, *_) = (one for one in apart["table"] if one["side"] == 1 and one["gate"] == "spatial")
    assert "different photos" in row["note"]
    same = told(*photos, "--same-scene")
    (row, *_) = (one for one in same["table"] if one["side"] == 1 and one["gate"] == "spatial")
    assert row["mean_absolute_difference"] > 0


def test_layers_are_paired_by_hand(photos) -> None:
    found = told(photos[0], "-c", "tiny", "-c", "zebra", "--pair", "2:-1=0", "-l", "-1")
    (pair,) = found["pairs"]
    assert pair["beside"][1]["way"] == "chosen"
    assert pair["beside"][1]["layer"] != pair["layer"]


def test_a_checkpoint_without_attention_can_be_one_of_them(photos, folder) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        plain = cbam_viz.create_model("resnet10t", attention=None, num_classes=5, **SHAPE)
    about = {"schema": 1, "title": "Plain", "architecture": "resnet10t", "attention": None,
             "arguments": SHAPE, "num_classes": 5}  # fmt: skip
    tensors = {name: one.contiguous() for name, one in plain.state_dict().items()}
    save_file(tensors, folder / "plain.safetensors", {"cbam_viz": json.dumps(about)})
    found = told(photos[0], "-c", folder / "plain.safetensors", "-c", "tiny")
    assert [side["gates"] for side in found["sides"]] == [False, True]
    assert found["reference"] == 1
    assert {row["side"] for row in found["table"]} == {1}


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["-c", "tiny"], "not 1 network on 1 photo"),
        (["-c", "tiny", "-c", "zebra", "-l", "layer9"], "no attention layer 'layer9'"),
        (["-c", "tiny", "-c", "zebra", "--pair", "nonsense"], "is not [N:]LAYER=LAYER"),
        (["-c", "tiny", "-c", "zebra", "--pair", "3:0=0"], "give one of 2"),
        (["-c", "tiny", "-c", "zebra", "-o", "out.txt"], "must end in one of"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(photos, args, text) -> None:
    result = invoke("compare", str(photos[0]), *args)
    assert result.exit_code == 2
    assert text in result.stderr


def test_maps_of_a_method_are_compared_for_one_class(photos, folder, checkpoints) -> None:
    outputs = [folder / f"by_method.{ending}" for ending in ("png", "csv", "json")]
    named = [part for output in outputs for part in ("-o", str(output))]
    networks = [checkpoints / "tiny.safetensors", folder / "again.safetensors"]
    model = cbam_viz.load_model(networks[0])
    state = {name: one.clone() for name, one in model.model.state_dict().items()}
    state["fc.weight"] = state["fc.weight"].flip(1).contiguous()
    with safe_open(networks[0], "pt") as file:
        save_file(state, networks[1], file.metadata())
    chosen = ("-c", networks[0], "-c", networks[1], "--method", "gradcam", "--layer", "layer4")
    found = told(photos[0], *chosen, "--target", "1", *named)
    expected = [
        photo_maps(cbam_viz.load_model(one), read_photo(photos[0]), ("layer4",), target=1)[0]
        for one in networks
    ]
    for row, one in zip(found["maps"], expected, strict=True):
        assert (row["layer"], row["score"]) == ("layer4", pytest.approx(one.score))
        assert row["highest"] == pytest.approx(float(one.values.max()))
    assert found["maps"][0]["pearson"] is None
    again = json.loads(outputs[2].read_text())["maps"]
    assert again[1]["pearson"] == found["maps"][1]["pearson"]
    rows = list(csv.DictReader(io.StringIO(outputs[1].read_text())))
    assert float(rows[1]["spearman"]) == pytest.approx(found["maps"][1]["spearman"])
    assert Image.open(outputs[0]).size[0] > 100


def test_a_map_agrees_with_itself_and_photos_have_rows(photos, checkpoints) -> None:
    tiny = checkpoints / "tiny.safetensors"
    (first, second) = told(photos[0], "-c", tiny, "-c", tiny, "--method", "eigencam")["maps"]
    assert second["network"] == f"{first['network']} (2)"
    assert (second["pearson"], second["spearman"]) == pytest.approx((1.0, 1.0))
    assert second["overlap"] > 0.95  # equally high cells at the border count in part
    assert first["target"] == ""
    one, other = told(*photos, "-c", tiny, "--method", "layercam")["maps"]
    assert (one["photo"], other["photo"]) == ("p0.png", "p1.png")
    assert other["pearson"] is None  # of another photo


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--method", "eigencam", "--target", "1"), "knows no class"),
        (("--method", "whole", "--layer", "layer4"), "is of no layer"),
        (("--target", "1"), "belongs to --method"),
        (("--method", "gradcam", "-l", "layer4", "-l", "layer3"), "give --layer once"),
        (("--method", "gradcam", "--target", "no such class"), "no class 'no such class'"),
        (("--method", "gradcam", "--layer", "nowhere"), "no layer 'nowhere'"),
    ],
)
def test_what_a_method_cannot_compare_is_a_sentence(photos, checkpoints, more, says) -> None:
    tiny = str(checkpoints / "tiny.safetensors")
    result = invoke("compare", str(photos[0]), "-c", tiny, "-c", tiny, *more)
    assert result.exit_code
    assert says in result.stderr
    assert "Traceback" not in result.stderr
