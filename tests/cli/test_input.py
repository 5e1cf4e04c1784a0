"""What a network is fed, said and chosen on the command line, and what own code may be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cbam_viz
from cbam_viz.cli import app as app_module
from cbam_viz.models import offered

from .conftest import invoke, write_photo

CODE = """
import torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channel = nn.Conv2d(channels, channels, 1)
        self.spatial = nn.Conv2d(2, 1, 3, padding=1)
    def forward(self, x):
        x = x * torch.sigmoid(self.channel(x.mean((2, 3), keepdim=True)))
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial(both))

class Net(nn.Module):
    def __init__(self, channels=3, num_classes=3, gates=True):
        super().__init__()
        self.attention = Attention(8) if gates else nn.Identity()  # made before the stem
        self.stem = nn.Conv2d(channels, 8, 3, 2, 1)
        self.classifier = nn.Linear(8, num_classes)
        self.num_classes = num_classes
        self.seen = None
    def forward(self, x):
        Net.fed = x
        return self.classifier(self.attention(self.stem(x)).mean((2, 3)))

class Two(Net):
    def forward(self, before, after):
        return super().forward(after - before)

class Spatial(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.gate = nn.Conv2d(8, 1, 1)
    def forward(self, x):
        x = self.stem(x)
        return x * torch.sigmoid(self.gate(x))

network = Net().eval()

def grey(): return Net(1)
def pair(): return Net(6)
def plain(): return Net(gates=False)
def tuple_of_three(): return 1, 2, 3
def needs(width): return Net()

def brings_transform():
    from torchvision import transforms as T
    return Net(), T.Compose([T.Resize((64, 96)), T.ToTensor()])

def described():
    import cbam_viz
    spec = cbam_viz.InputSpec(size=(32, 48), mean=0.5 * torch.ones(3), std=(0.5,), crop_pct=1.0)
    return cbam_viz.wrap_model(Net(), spec, classes=["ant", "bee", "cat"], name="mine")
"""


@pytest.fixture
def own(folder: Path) -> Path:
    (folder / "mine.py").write_text(CODE)
    write_photo(folder / "photo.png")
    write_photo(folder / "after.png", seed=1)
    return folder


def shown(*arguments: str) -> dict:
    ended = invoke("show", *arguments, "--json")
    assert ended.exit_code == 0, ended.output
    return {**json.loads(ended.stdout), "stderr": ended.stderr}


def fed() -> torch.Tensor:
    """What the network of the last command was given."""
    import sys

    (module,) = [m for name, m in sys.modules.items() if name.startswith("_cbam_viz_user_mine_")
                 and getattr(getattr(m, "Net", None), "fed", None) is not None][-1:]  # fmt: skip
    return module.Net.fed


@pytest.mark.parametrize("what", ["Net", "network", "brings_transform", "described"])
def test_what_own_code_may_be(own: Path, what: str) -> None:
    found = shown("photo.png", "--model", f"mine.py:{what}")
    assert [layer["name"] for layer in found["layers"]] == ["attention"]
    sizes = {"brings_transform": (64, 96), "described": (32, 48)}
    assert tuple(fed().shape[2:]) == sizes.get(what, (224, 224))
    if what == "described":
        assert {one["label"] for one in found["predictions"]} == {"ant", "bee", "cat"}
        assert found["input"]["assumed"] == []
    if what == "brings_transform":
        expected = "Input: 96 × 64, by the transform of brings_transform, as its code gives it."
        assert found["input"]["sentence"] == expected


def test_arguments_of_the_factory(own: Path) -> None:
    (own / "names.txt").write_text("ant\nbee\ncat\ndog\n")
    arguments = ("--model-arg", "channels=1", "--model-arg", "num_classes=4")
    found = shown("photo.png", "--model", "mine.py:Net", *arguments, "--classes", "names.txt")
    assert {one["label"] for one in found["predictions"]} == {"ant", "bee", "cat", "dog"}
    assert fed().shape[1] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (
            ("--model", "mine.py:Net", "--model-arg", "chanels=1"),
            3,
            "takes the arguments channels=3",
        ),
        (("--model", "mine.py:needs"), 3, "missing a required argument: 'width'"),
        (("--model", "mine.py:tuple_of_three"), 3, "returned tuple of int, int, int"),
        (("--model", "mine.py:gray"), 3, "has no function gray. Did you mean grey?"),
        (("--model", "mine.py:network", "--model-arg", "a=1"), 3, "takes no --model-arg"),
        (("--model-arg", "a=1"), 2, "--model-arg is for a network of --model"),
        (("--model", "mine.py:Net", "--model-arg", "depth"), 2, "is not KEY=VALUE"),
        (("--model", "mine.py:Net", "--model", "mine.py:grey"), 2, "give --model once"),
        (("-c", "a", "-c", "b"), 2, "2 checkpoints for 1 network"),
        (("--model", "mine.py:brings_transform", "--input", "64"), 2, "brings its own transform"),
        (("--model", "mine.py:Net", "--input", "0"), 2, "is no size"),
        (("--model", "mine.py:Net", "--fit", "stretch"), 2, "is no way to fit a photo"),
        (("--model", "mine.py:Net", "--mean", "a,b"), 2, "write a number for each channel"),
        (("--model", "mine.py:Net", "--mean", "0.5"), 3, "half of a normalisation"),
        (("--model", "mine.py:Net", "--classes", "none.txt"), 2, "cannot be read"),
        (("--model", "mine.py:Net", "--channels", "1"), 3, "It was given 1 channel. If it takes"),
        (("--model", "mine.py:pair"), 3, "has 3 channels, and the network takes 6"),
        (("--model", "mine.py:plain", "--layer", "-1"), 3, "gates no feature map"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    own: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    ended = invoke("show", "photo.png", *arguments)
    assert ended.exit_code == status, ended.output
    assert says in ended.stderr
    assert "Traceback" not in ended.output
    assert "view 'crop'" not in ended.stderr


def test_every_option_reaches_the_network(own: Path) -> None:
    Image.fromarray(np.full((20, 40, 3), (255, 0, 51), np.uint8)).save(own / "plain.png")
    given = {"input": "32x64", "fit": "letterbox:0", "mean": "1,2,3", "std": "2", "range": "0..255",
             "interpolation": "nearest"}  # fmt: skip
    options = ["--bgr", *(f"--{name}={value}" for name, value in given.items())]
    found = shown("plain.png", "--model", "mine.py:Net", *options)
    assert fed().shape == (1, 3, 32, 64)
    assert fed()[0, :, 16, 32].tolist() == [(51 - 1) / 2, (0 - 2) / 2, (255 - 3) / 2]
    assert found["input"]["assumed"] == []
    assert found["stderr"].count("Input: ") == 1
    sentence = (
        "Input: 64 × 32 letterbox (filled with 0) in BGR, mean 1, 2, 3 and std 2, 2, 2 of values "
        "from 0 to 255 (as asked)."
    )
    assert sentence in found["stderr"]
    assert found["input"]["sentence"] == sentence


def test_one_channel_everywhere(own: Path) -> None:
    model = ("--model", "mine.py:grey")
    for command in (
        ("show", "photo.png", *model, "-o", "o.png"),
        ("layers", "--image", "photo.png", *model),
        ("export", "photo.png", *model, "-o", "out", "--format", "npz", "--format", "png"),
        ("figure", "photo.png", *model, "-o", "f.svg", "--columns", "input,map:-1"),
        ("cost", *model),
    ):
        ended = invoke(*command)
        assert ended.exit_code == 0, ended.output
    colours = np.asarray(Image.open(own / "o.png").convert("RGB")).astype(int)
    crop = fed().shape
    assert crop[1] == 1
    corner = colours[5, 5]  # outside the crop: the photo darkened, in grey
    assert np.ptp(corner) <= 2


def test_two_scans_of_one_patient_differ_by_what_differs(own: Path) -> None:
    for name, hot in (("a", 1000), ("b", 60_000)):
        values = np.full((32, 32), 900, np.uint16)
        values[0, 0] = hot
        Image.fromarray(values).save(own / f"{name}.png")
        shown(f"{name}.png", "--model", "mine.py:grey", "--window", "0,1000", "--mean", "none",
              "--input", "32")  # fmt: skip
        assert fed()[0, 0, 16, 16].item() == pytest.approx(0.9)


@pytest.mark.parametrize("factory", ["pair", "Two"])
def test_several_photos_are_one_input(own: Path, factory: str) -> None:
    options = ("--model", f"mine.py:{factory}", "--mean", "none", "--input", "32")
    shown("photo.png", "--also", "after.png", *options)
    spec = cbam_viz.InputSpec(size=(32, 32), mean=(0.0,), std=(1.0,))
    before, after = (
        cbam_viz.prepare(cbam_viz.read_photo(own / name), spec).tensor
        for name in ("photo.png", "after.png")
    )
    expected = after - before if factory == "Two" else torch.cat([before, after], 1)
    assert torch.equal(fed(), expected)


def test_a_network_without_gates_shows_its_prediction(own: Path) -> None:
    ended = invoke("show", "photo.png", "--model", "mine.py:plain")
    assert ended.exit_code == 0, ended.output
    assert "class 1" in ended.stdout
    assert "gates no feature map" in ended.stdout
    assert shown("photo.png", "--model", "mine.py:plain")["layers"] == []


def test_a_layer_of_a_map_alone_has_its_name(own: Path) -> None:
    ended = invoke("show", "photo.png", "--model", "mine.py:Spatial")
    (row,) = [line for line in ended.stdout.splitlines() if " M_s " in line]
    (name,) = [
        layer["name"] for layer in shown("photo.png", "--model", "mine.py:Spatial")["layers"]
    ]
    assert row.startswith(name)


def test_a_figure_of_several_networks_is_made_again_from_its_manifest(own: Path) -> None:
    networks = ("--model", "mine.py:Net", "--model", "mine.py:grey")
    drawn = invoke("figure", "photo.png", *networks, "-o", "f.svg", "--with", "manifest", "--input",
                   "64", "--mean", "none", "--columns", "input,map:-1,map@2:-1")  # fmt: skip
    assert drawn.exit_code == 0, drawn.output
    manifest = json.loads((own / "f.manifest.json").read_text())
    assert manifest["about"]["fed"][0].startswith("Input: 64 × 64 crop, values from 0 to 1 (")
    assert [one["input"]["size"] for one in manifest["networks"]] == [[64, 64], [64, 64]]
    again = invoke("figure", "--from", "f.manifest.json", "-o", "g.svg", *networks)
    assert again.exit_code == 0, again.output
    assert (own / "g.svg").read_bytes() == (own / "f.svg").read_bytes()
    refused = invoke("figure", "--from", "f.manifest.json", "-o", "h.svg", *networks[:2])
    assert refused.exit_code == 3
    assert "mine.py:grey" in refused.stderr


def test_a_saved_network_carries_its_input(own: Path) -> None:
    spec = cbam_viz.InputSpec(size=(40, 40), mean=(0.2,), std=(0.3,), channels=1, window=(0, 1000))
    from cbam_viz.models.code import call_factory

    network = call_factory("mine.py:grey")
    loaded = cbam_viz.wrap_model(network, spec, classes=["ant", "bee", "cat"])
    cbam_viz.save_model(loaded, own / "saved.safetensors")
    with pytest.raises(cbam_viz.CheckpointError, match="exists"):
        cbam_viz.save_model(loaded, own / "saved.safetensors")
    Image.fromarray(np.full((40, 40), 500, np.uint16)).save(own / "scan.png")
    found = shown("scan.png", "--model", "mine.py:grey", "-c", "saved.safetensors")
    assert fed().flatten()[0].item() == pytest.approx((0.5 - 0.2) / 0.3)
    assert found["input"]["assumed"] == []
    assert {one["label"] for one in found["predictions"]} == {"ant", "bee", "cat"}
    assert "window 0 to 1000" in found["input"]["sentence"]


def test_timm_networks_of_one_channel_are_told_from_their_tensors(own: Path) -> None:
    network = cbam_viz.create_model("resnet18", in_chans=1, num_classes=3)
    torch.save(network.state_dict(), own / "one.pth")
    found = shown("photo.png", "-c", "one.pth", "--input", "64")
    assert found["input"]["channels"] == 1
    assert len(found["layers"]) == 8


def test_the_app_offers_own_networks_and_nothing_else(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offered, "_offered", {})
    monkeypatch.setattr(app_module, "run_streamlit", lambda arguments: 0)
    state = call_state()
    torch.save(state, own / "w.pth")
    ended = invoke("app", "--model", "mine.py:Net", "-c", "w.pth", "--model", "mine.py:grey",
                   "--input", "64")  # fmt: skip
    assert ended.exit_code == 0, ended.output
    assert list(offered.offered()) == ["mine.py:Net", "mine.py:grey"]
    first, second = offered.offered().values()
    assert first.report is not None
    assert (second.report, second.spec.channels, second.spec.size) == (None, 1, (64, 64))
    refused = invoke("app", "--checkpoint", "w.pth")
    assert refused.exit_code == 2
    assert "with --model alone" in refused.stderr


def call_state() -> dict[str, torch.Tensor]:
    from cbam_viz.models.code import call_factory

    state: dict[str, torch.Tensor] = call_factory("mine.py:Net").state_dict()
    return state


def test_an_option_that_nobody_knows_is_said_in_our_words(folder: Path) -> None:
    ended = invoke("app", "--colour", "red")
    assert ended.exit_code == 2
    assert "Neither cbam-viz app nor Streamlit has an option --colour" in ended.stderr
    assert "streamlit run" not in ended.stderr


def test_the_code_in_the_docs_runs(folder: Path) -> None:
    text = (Path(cbam_viz.__file__).parents[1] / "docs" / "own_network.md").read_text("utf-8")
    (folder / "mycbam.py").write_text(text.split("```python\n")[1].split("```")[0])
    ended = invoke("layers", "--model", "mycbam.py:Net", "--model-arg", "num_classes=23", "--json")
    assert ended.exit_code == 0, ended.output
    assert [layer["name"] for layer in json.loads(ended.stdout)] == ["attention"]
    assert "Input: 224 × 224 crop, ImageNet mean and std (assumed" in text
    assert text.split("```console\n")[1].splitlines()[1] in ended.stderr
