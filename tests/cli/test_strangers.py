"""What people meet who come with a network of their own and get something wrong: the next step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cbam_viz.models import create_model

from .conftest import invoke

CODE = """
import torch
from torch import nn

class CBAM(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.mlp, self.conv = nn.Conv2d(c, c, 1), nn.Conv2d(2, 1, 7, padding=3)
    def forward(self, x):
        x = x * torch.sigmoid(self.mlp(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.conv(torch.cat([x.mean(1, True), x.amax(1, True)], 1)))

class UNet(nn.Module):
    def __init__(self, base=8):
        super().__init__()
        self.stem, self.gate, self.out = nn.Conv2d(1, base, 3), CBAM(base), nn.Conv2d(base, 1, 1)
    def forward(self, x):
        return self.out(self.gate(self.stem(x)))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("strangers")
    (place / "unet.py").write_text(CODE)
    space: dict[str, type] = {"__name__": "unet"}
    exec(CODE, space)
    torch.manual_seed(0)
    torch.save(space["UNet"](16).state_dict(), place / "wide.pth")
    cbam = create_model("resnet18", num_classes=3)
    torch.save({"state_dict": cbam.state_dict()}, place / "model_best.pth.tar")
    plain = create_model("resnet18", num_classes=3, attention=None)
    torch.save(plain.state_dict(), place / "plain.pth")
    return place


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-c", "modelbest.pth.tar"], "Did you mean model_best.pth.tar?"),
        (["-c", "model_best.pth.tar", "-a", "resnet50"], "fit resnet18: name that, or leave"),
        (["-c", "model_best.pth.tar", "--attention", "none"], "leave attention out"),
        (["-c", "wide.pth"], "--model FILE.py:FACTORY"),
        (["-c", "wide.pth", "-a", "resnet18"], "--model FILE.py:FACTORY"),
        (["--model", "unet.py"], "In it are CBAM, UNet: unet.py:UNet, for example."),
        (["--model", "unet.py:UNet", "-c", "wide.pth"], "--model-arg KEY=VALUE"),
        (["-c", "plain.pth"], "--attention none"),
        (["-c", "plain.pth"], "--allow-missing-attention"),
    ],
)
def test_a_message_leads_to_the_next_step(
    place: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(place)
    ended = invoke("show", "sample:cat", *arguments)
    assert ended.exit_code in (2, 3)
    assert said in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "plain.pth", "--attention", "none"],
        ["-c", "model_best.pth.tar"],
        ["--model", "unet.py:UNet", "-c", "wide.pth", "--model-arg", "base=16"],
    ],
)
def test_the_next_step_works(
    place: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(place)
    ended = invoke("show", "sample:cat", "--json", *arguments)
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)["image"]["name"] == "cat.jpg"


def test_pickled_objects_name_their_class(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    import unet  # type: ignore[import-not-found]

    torch.save(unet.UNet(), place / "whole.pt")
    ended = invoke("show", "sample:cat", "-c", "whole.pt")
    assert ended.exit_code == 3
    assert "an object of unet.UNet: show the code of that class" in ended.stderr
    assert "--model FILE.py:UNet" in ended.stderr
    assert invoke("show", "sample:cat", "--model", "unet.py:UNet", "-c", "whole.pt").exit_code == 0


def test_the_walk_is_of_one_layer() -> None:
    ended = invoke("steps", "sample:cat", "--layer", "all")
    assert ended.exit_code == 2
    assert "no attention layer 'all'" in ended.stderr
    assert "means all of them" not in ended.stderr


def test_the_app_says_which_of_its_options_may_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.chdir", lambda folder: None)
    for arguments in (["--prot", "8000"], ["--prot=8000"], ["--modle", "a.py:net"]):
        ended = invoke("app", "--no-browser", *arguments)
        assert ended.exit_code == 2
        assert f"Did you mean {'--port' if 'prot' in arguments[0] else '--model'}?" in ended.stderr


def test_a_folder_with_shards_goes_through_every_command(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place / "sharded"
    folder.mkdir()
    state = create_model("resnet18", num_classes=3, zero_init_last=False).state_dict()
    names, said = sorted(state), {}
    for number in (1, 2):
        file = f"model-0000{number}-of-00002.safetensors"
        part = {name: state[name].clone() for name in names[number - 1 :: 2]}
        save_file(part, folder / file)
        said |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": said}))
    ended = invoke("show", "sample:cat", "-c", str(folder), "--json")
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)["model"] == "sharded"
    page = place / "f.png"
    ended = invoke("figure", "sample:cat", "-c", str(folder), "-o", str(page), "--with", "manifest")
    assert ended.exit_code == 0, ended.stderr
    again = invoke(
        "figure", "--from", str(place / "f.manifest.json"), "-o", str(place / "g.png"), "--json"
    )
    assert json.loads(again.stdout)["identical"], again.stderr
    monkeypatch.setenv("CBAM_VIZ_CHECKPOINTS", str(place))
    assert "sharded" in invoke("checkpoints").stdout
    assert invoke("show", "sample:cat", "-c", "sharded").exit_code == 0
