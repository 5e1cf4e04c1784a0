"""`layers`, `show` and `checkpoints` against the network itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm.data
import torch
from PIL import Image
from torch import nn

import cbam_viz
from cbam_viz.images import DEFAULT_VIEW, VIEWS, samples
from cbam_viz.ui.session.link import Settings

from .conftest import CLASSES, invoke, write_photo, write_tiny

LAYERS = [f"layer{stage}.0.se" for stage in (1, 2, 3, 4)]


def gates_by_hand(checkpoint: Path, photo: Path) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Channel weights and spatial maps by hooks of our own behind timm's own transform."""
    model = cbam_viz.load_model(checkpoint).model
    config = timm.data.resolve_data_config({"input_size": (3, 64, 64)}, model=model)
    transform = timm.data.create_transform(**config)
    found: dict[str, torch.Tensor] = {}

    def keep(name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _m, _i, out: found.update({name: out.detach().clone()}))

    for name in LAYERS:
        block = model.get_submodule(name)
        keep(f"{name}.channel", block.channel.gate)
        keep(f"{name}.spatial", block.spatial.gate)
    with torch.inference_mode():
        logits = model(transform(Image.open(photo).convert("RGB"))[None])
    return found, logits[0]


def test_show_gives_the_networks_prediction_and_numbers(folder: Path, checkpoints: Path) -> None:
    photo = write_photo(folder / "photo.png")
    ended = invoke("show", photo, "--json")
    assert ended.exit_code == 0, ended.output
    shown = json.loads(ended.stdout)
    gates, logits = gates_by_hand(checkpoints / "tiny.safetensors", photo)
    assert [layer["name"] for layer in shown["layers"]] == LAYERS
    assert shown["border"] == {"share": 0, "note": ""}
    for layer in shown["layers"]:
        for gate in ("channel", "spatial"):
            values = gates[f"{layer['name']}.{gate}"].double().squeeze()
            numbers = layer["statistics"][gate]
            area = areas(values, layer["cells"]) if gate == "spatial" else torch.ones(len(values))
            area = area / area.sum()
            mean = (area * values).sum().item()
            spread = (area * (values - mean) ** 2).sum().sqrt().item()
            assert numbers["mean"] == pytest.approx(mean, abs=1e-5)
            assert numbers["minimum"] == pytest.approx(values.min().item(), abs=1e-5)
            assert numbers["spread"] == pytest.approx(spread, abs=1e-5)
            assert numbers["count"] == numbers["total"] == values.numel()
    shares = logits.softmax(0)
    best = int(shares.argmax())
    assert shown["predictions"][0]["label"] == CLASSES[best]
    assert shown["predictions"][0]["probability"] == pytest.approx(shares[best].item(), abs=1e-5)
    assert shown["image"]["height"] == 60
    assert shown["image"]["width"] == 90


def test_the_default_view_is_that_of_app_and_python(folder: Path) -> None:
    write_photo(folder / "photo.png")
    shown = json.loads(invoke("show", "photo.png", "--json").stdout)
    assert shown["view"] == DEFAULT_VIEW == Settings().view == "crop"
    for command in ("show", "export", "figure", "layers"):
        text = " ".join(invoke(command, "--help").stdout.split())
        assert f"--view [{'|'.join(VIEWS)}]" in text
        assert f"[default: {DEFAULT_VIEW}" in text


def areas(values: torch.Tensor, cells: dict[str, float]) -> torch.Tensor:
    """Pixels of the crop of 64 x 64 that are nearest to each cell's centre."""
    pixels = torch.arange(64 * 16) / 16 + 1 / 32
    sides = []
    for axis, count in zip("yx", values.shape, strict=True):
        centres = cells[f"offset_{axis}"] + cells[f"stride_{axis}"] * torch.arange(count)
        nearest = (pixels[:, None] - centres).abs().argmin(1)
        sides.append(torch.bincount(nearest, minlength=count).double())
    return torch.outer(*sides)


def test_a_border_is_said_and_counted_in_nothing(folder: Path, checkpoints: Path) -> None:
    """A network of one size: 90 x 60 pixels become 64 x 43, with 21 rows of border."""
    write_photo(folder / "photo.png")
    path = write_tiny(folder / "fixed.safetensors", fixed=True)
    ended = invoke("show", "photo.png", "-c", path, "--view", "whole")
    told = "fitted into 64 × 64 with a grey border: 33 % of the input is border"
    assert ended.stdout.splitlines()[1].strip() == f"{told}; numbers of maps are of the photo alone"
    shown = json.loads(invoke("show", "photo.png", "-c", path, "--view", "whole", "--json").stdout)
    assert shown["border"] == {"share": pytest.approx(21 / 64), "note": told}
    # Rows 10 to 53 of the input are photo; cells of 4, 8, 16, 32 rows end at 2.5, 4.5, 10.5, 22.5.
    expected = {"layer1.0.se": (12, 16), "layer2.0.se": (7, 8), "layer3.0.se": (4, 4)}
    for layer in shown["layers"]:
        numbers = layer["statistics"]["spatial"]
        rows, columns = expected.get(layer["name"], (2, 2))
        assert layer["cells_on_photo"] == numbers["count"] == rows * columns, layer["name"]
        assert numbers["total"] == layer["map_size"][0] * layer["map_size"][1]
    ended = invoke("export", "photo.png", "-c", path, "--view", "whole", "-o", "out", "--json")
    assert json.loads(ended.stdout)["images"][0]["border"] == told
    assert f",{told}\n" in (folder / "out" / "index.csv").read_text()
    listed = invoke("layers", "--image", "photo.png", "-c", path, "--view", "whole").stdout
    assert "16 × 16, 192 on the photo" in listed


def test_show_prints_a_line_for_each_gate(folder: Path) -> None:
    write_photo(folder / "photo.png")
    ended = invoke("show", "photo.png", "--layer", "-1")
    assert ended.exit_code == 0
    lines = ended.stdout.splitlines()
    assert lines[0] == "photo.png, 90 × 60 pixels, in Tiny"
    assert sum(line.endswith(tuple(CLASSES)) for line in lines[1:6]) == 5
    gates = [line.split()[:2] for line in lines if " M_" in line]
    assert gates[0] == ["layer4.0.se", "M_c"]
    assert [line.split()[0] for line in lines if line.strip().startswith("M_s")] == ["M_s"]
    assert "matched" in ended.stderr
    # The shortcuts of this network are averages, half a cell beside what they are added to.
    (place,) = [line for line in lines if line.startswith("layer4.0.se: place")]
    shown = json.loads(invoke("show", "photo.png", "--layer", "-1", "--json").stdout)
    cells = shown["layers"][0]["cells"]
    assert f"place not exact: what reaches a cell is centred up to {cells['within']:g} px" in place
    assert (cells["exact"], cells["within"]) == (False, 6)
    assert shown["layers"][0]["statistics"]["flags"][-1] == place.removeprefix("layer4.0.se: ")


def test_an_overlay_of_opacity_one_has_the_colours_of_the_map(
    folder: Path, checkpoints: Path
) -> None:
    """A square photo at the network's own size, whose crop is all of it: cells are known."""
    photo = write_photo(folder / "photo.png", size=(64, 64))
    ended = invoke(
        "show", photo, "-l", "layer1.0.se", "-o", "o.png", "--opacity", "1", "--view", "whole",
        "--colormap", "grey",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    drawn = np.asarray(Image.open(folder / "o.png").convert("RGB")).astype(float) / 255
    loaded = cbam_viz.load_model(checkpoints / "tiny.safetensors")
    analysis = cbam_viz.analyse(loaded, cbam_viz.read_photo(photo), "whole")
    layer = analysis.attention["layer1.0.se"]
    assert layer.spatial is not None
    assert layer.cells is not None
    assert (layer.cells.stride_y, layer.cells.offset_y) == (4.0, 0.5)
    # Cell i is centred on input coordinate 0.5 + 4 i, which is the centre of pixel 4 i.
    expected = layer.spatial[0].numpy()
    assert np.abs(drawn[::4, ::4, 0] - expected).max() < 1.5 / 255


def test_several_layers_go_into_a_folder_and_names_say_which(folder: Path) -> None:
    write_photo(folder / "photo.png")
    ended = invoke("show", "photo.png", "-l", "all", "-o", "out", "--max-side", "30", "--json")
    assert ended.exit_code == 0, ended.output
    files = json.loads(ended.stdout)["overlays"]
    assert list(files) == LAYERS
    assert {Path(file).name for file in files.values()} == {f"photo_{la}.png" for la in LAYERS}
    for file in files.values():
        assert Image.open(file).size == (30, 20)


def test_nothing_is_overwritten_without_force(folder: Path) -> None:
    write_photo(folder / "photo.png")
    (folder / "o.png").write_text("mine")
    ended = invoke("show", "photo.png", "-o", "o.png")
    assert ended.exit_code == 3
    assert "o.png exists already" in ended.stderr
    assert "--force" in ended.stderr
    assert (folder / "o.png").read_text() == "mine"
    assert invoke("show", "photo.png", "-o", "o.png", "--force").exit_code == 0
    assert Image.open(folder / "o.png").size == (90, 60)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["show", "photo.png", "-l", "layer9"], 2, "no attention layer 'layer9'"),
        (["show", "photo.png", "-l", "all", "-o", "o.png"], 3, "Name a .png file for one layer"),
        (["show", "photo.png", "-o", "o.gif"], 3, ".gif files cannot"),
        (["show", "broken.jpg"], 3, "broken.jpg"),
        (["show", "photo.png", "-c", "nope"], 3, "There is no file nope"),
        (["show", "photo.png", "-a", "resnet1888"], 3, "timm has no network"),
        (["show", "photo.png", "--model", "nothing"], 2, "MODULE:FACTORY"),
        (["show", "photo.png", "--model", "nowhere:make"], 3, "nowhere cannot be imported"),
        (["show", "photo.png", "--model", "x:y", "-a", "resnet18"], 2, "does not go with --model"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    folder: Path, arguments: list[str], status: int, message: str
) -> None:
    write_photo(folder / "photo.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    ended = invoke(*arguments)
    assert ended.exit_code == status, ended.output
    assert message in ended.stderr
    assert "Traceback" not in ended.output
    assert not (folder / "o.png").exists()


def test_layers_lists_channels_and_map_sizes(folder: Path) -> None:
    ended = invoke("layers", "--json")
    assert ended.exit_code == 0, ended.output
    listed = json.loads(ended.stdout)
    assert [layer["name"] for layer in listed] == LAYERS
    assert [layer["channels"] for layer in listed] == [8, 16, 32, 64]
    assert [layer["map_size"] for layer in listed] == [[16, 16], [8, 8], [4, 4], [2, 2]]
    table = invoke("layers").stdout.splitlines()
    assert table[0].split() == ["layer", "place", "channels", "map", "gates", "found", "by"]
    assert table[1].split()[:6] == ["layer1.0.se", "stage", "1,", "block", "1", "8"]
    assert [layer["title"] for layer in listed] == [f"stage {at}, block 1" for at in (1, 2, 3, 4)]


def test_layers_of_a_whole_image_follow_its_shape(folder: Path, checkpoints: Path) -> None:
    photo = write_photo(folder / "wide.png", size=(60, 240))
    listed = json.loads(invoke("layers", "--image", photo, "--view", "whole", "--json").stdout)
    spec = cbam_viz.load_model(checkpoints / "tiny.safetensors").spec
    seen = cbam_viz.prepare(cbam_viz.read_photo(photo), spec, "whole").tensor
    height, width = listed[0]["map_size"]
    assert (4 * height, 4 * width) == seen.shape[2:]
    assert width > 4 * height - 8


def test_a_network_without_a_checkpoint_is_named_so_and_is_the_same_every_time(
    folder: Path,
) -> None:
    arguments = ("show", samples()[0].path, "-a", "resnet10t", "--num-classes", "3", "--json")
    first, second = invoke(*arguments), invoke(*arguments)
    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout
    assert "no checkpoint" in first.stderr


def test_checkpoints_are_listed_with_their_numbers_and_found_by_name(folder: Path) -> None:
    lines = invoke("checkpoints").stdout.splitlines()
    assert lines[1].split()[:4] == ["tiny", "*", "resnet10t", "25.0%"]
    assert lines[2].split()[:3] == ["zebra", "resnet10t", "25.0%"]
    listed = json.loads(invoke("checkpoints", "--json").stdout)
    assert [entry["title"] for entry in listed] == ["Tiny", "Zebra"]
    write_photo(folder / "photo.png")
    shown = json.loads(invoke("show", "photo.png", "-c", "zebra", "--json").stdout)
    assert shown["model"] == "Zebra"


def test_without_checkpoints_the_demo_is_missed_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBAM_VIZ_CHECKPOINTS", str(tmp_path / "none"))
    ended = invoke("show", "sample:cat")
    assert ended.exit_code == 3
    assert "no demo checkpoint" in ended.stderr
    assert "There are none" in invoke("checkpoints").stdout
