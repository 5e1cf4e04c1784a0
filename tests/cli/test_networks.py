"""`cost` and `convert`, and the networks that they are about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import cbam_viz

from .conftest import invoke, write_photo, write_tiny


def test_the_plain_part_is_the_well_known_network(folder: Path) -> None:
    ended = invoke("cost", "-a", "resnet18", "--json")
    assert ended.exit_code == 0, ended.output
    cost = json.loads(ended.stdout)
    # ResNet-18 for ImageNet has 11,689,512 parameters and 1.814 G multiply-adds at 224 pixels.
    assert cost["plain_parameters"] == 11_689_512
    assert cost["plain_flops"] / 2 == pytest.approx(1.814e9, rel=1e-3)
    # CBAM after C channels, reduction 16, without biases: 2 C C / 16, and 7 x 7 x 2 with its norm.
    expected = sum(2 * (2 * c * c // 16 + 98 + 2) for c in (64, 128, 256, 512))
    assert cost["cbam_parameters"] == expected
    assert sum(layer["parameters"] for layer in cost["layers"]) == expected
    assert cost["parameters"] == cost["plain_parameters"] + cost["cbam_parameters"]


def test_the_table_says_the_same(folder: Path) -> None:
    lines = invoke("cost", "-a", "resnet18").stdout.splitlines()
    assert lines[1].split()[:4] == ["without", "CBAM", "11,689,512", "3,628,146,688"]
    assert "11.69 M" in lines[1]


def test_flops_follow_the_size_and_heights_come_first(folder: Path) -> None:
    one, four = (
        json.loads(invoke("cost", "--size", size, "--json").stdout) for size in ("64", "128x128")
    )
    wide = json.loads(invoke("cost", "--size", "64x256", "--json").stdout)
    assert wide["input_size"] == [64, 256]
    assert four["flops"] == wide["flops"] != one["flops"]
    assert four["parameters"] == one["parameters"]


@pytest.mark.parametrize("size", ["0", "224x", "a", "1x2x3", "-5"])
def test_sizes_that_are_none_are_wrong_usage(folder: Path, size: str) -> None:
    ended = invoke("cost", f"--size={size}")
    assert ended.exit_code == 2
    assert "--size" in ended.stderr


def test_a_network_without_cbam_has_no_such_cost(folder: Path) -> None:
    ended = invoke("cost", "-a", "resnet18", "--attention", "none")
    assert ended.exit_code == 3
    assert "no CBAM layer" in ended.stderr


@pytest.fixture
def wrapped(folder: Path) -> Path:
    """The tiny network's weights as training code leaves them: wrapped, prefixed, undescribed."""
    model = cbam_viz.create_model("resnet18", num_classes=3, zero_init_last=False)
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, folder / "run.pth")
    return folder / "run.pth"


def test_a_converted_checkpoint_is_the_same_network_and_describes_itself(
    folder: Path, wrapped: Path
) -> None:
    (folder / "names.txt").write_text("ant\nbee\n\ncat\n")
    ended = invoke(
        "convert", wrapped, "-o", "out.safetensors", "--title", "Insects", "--classes", "names.txt"
    )
    assert ended.exit_code == 0, ended.output
    assert "The prefix 'module.' was removed" in ended.stderr
    new, old = cbam_viz.load_model(folder / "out.safetensors"), cbam_viz.load_model(wrapped)
    assert new.name == "Insects"
    assert new.classes == ("ant", "bee", "cat")
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(new.model(x), old.model(x))
    photo = write_photo(folder / "p.png")
    shown = json.loads(invoke("show", photo, "-c", "out.safetensors", "--json").stdout)
    assert {p["label"] for p in shown["predictions"]} == {"ant", "bee", "cat"}


def test_conversion_overwrites_only_with_force(folder: Path, wrapped: Path) -> None:
    target = folder / "out.safetensors"
    target.write_text("mine")
    assert invoke("convert", wrapped, "-o", target).exit_code == 3
    assert target.read_text() == "mine"
    assert invoke("convert", wrapped, "-o", target, "--force").exit_code == 0
    assert cbam_viz.load_model(target).metadata["num_classes"] == 3


def test_what_cannot_be_converted_is_said(folder: Path, wrapped: Path) -> None:
    missing = invoke("convert", "absent.pth", "-o", "o.safetensors")
    assert missing.exit_code == 3
    (folder / "names.txt").write_text("only one")
    names = invoke("convert", wrapped, "-o", "o.safetensors", "--classes", "names.txt")
    assert names.exit_code == 3
    assert "1 class names were given for 3" in names.stderr
    assert not (folder / "o.safetensors").exists()


def test_a_checkpoint_without_attention_needs_insisting(folder: Path) -> None:
    plain = cbam_viz.create_model("resnet18", num_classes=3, attention=None)
    torch.save(plain.state_dict(), folder / "plain.pth")
    photo = write_photo(folder / "p.png")
    refused = invoke("show", photo, "-c", "plain.pth", "-a", "resnet18")
    assert refused.exit_code == 3
    assert "no CBAM weights" in refused.stderr
    shown = invoke("show", photo, "-c", "plain.pth", "-a", "resnet18", "--allow-missing-attention")
    assert shown.exit_code == 0, shown.output
    assert "missing from the checkpoint: random values" in shown.stderr


def test_the_tiny_network_is_what_its_file_says(tmp_path: Path) -> None:
    loaded = cbam_viz.load_model(write_tiny(tmp_path / "tiny.safetensors"))
    assert loaded.name == "Tiny"
    assert loaded.spec.size == (64, 64)


def test_a_folder_or_a_pipe_is_called_what_it_is(folder: Path) -> None:
    (folder / "weights").mkdir()
    run = invoke("layers", "--checkpoint", "weights")
    assert run.exit_code != 0
    assert "There is no file" not in run.stderr
    assert "weights" in run.stderr
    assert "folder" in run.stderr
