"""What a network's own code sets, how it ends and where it fails: none of it reaches others."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import cbam_viz
from cbam_viz._foreign import AtOnceError, end_now, exits_told, kept_apart
from cbam_viz.models.code import call_factory

from .conftest import invoke, write_photo
from .test_own_network import CODE


def gates(folder: Path, reference: str) -> object:
    ended = invoke("show", "p.png", "--model", reference, "--json")
    assert ended.exit_code == 0, ended.output
    said = json.loads(ended.stdout)
    return said["layers"], said["predictions"]


SETTINGS = {
    "type": "torch.set_default_dtype(torch.bfloat16)",
    "device": "torch.set_default_device('meta')",
    "gradients": "torch.set_grad_enabled(False)",
    "folder": "import os; os.chdir('/')",
}


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_what_code_sets_for_the_process_changes_nothing_of_ours(folder: Path, setting: str) -> None:
    (folder / "plain.py").write_text(CODE)
    code = CODE + f"\ndef sets():\n    net = make()\n    {SETTINGS[setting]}\n    return net\n"
    (folder / "sets.py").write_text(code)
    write_photo(folder / "p.png")
    before = (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled())
    assert gates(folder, "sets.py:sets") == gates(folder, "plain.py:make")
    assert (
        torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
    ) == before  # fmt: skip
    assert Path.cwd() == folder


def test_a_forward_has_what_its_code_has_set_and_another_network_has_not(folder: Path) -> None:
    asks = "assert torch.get_default_dtype() is torch.{}, torch.get_default_dtype()\n        "
    for name, kind, first in (
        ("double", "float64", "torch.set_default_dtype(torch.float64)"),
        ("plain", "float32", ""),
    ):
        forward = CODE.replace("return self.head(", f"{asks.format(kind)}return self.head(")
        (folder / f"{name}.py").write_text(f"import torch\n{first}\n{forward}")
    write_photo(folder / "p.png")
    two = ("--model", "double.py:make", "--model", "plain.py:make")
    ended = invoke("compare", "p.png", *two, "--json")
    assert ended.exit_code == 0, ended.output
    # A second factory of a module that is there already is in the same surroundings.
    assert invoke("show", "p.png", "--model", "double.py:make").exit_code == 0


def test_a_forward_that_changes_the_folder_does_not_move_the_files(folder: Path) -> None:
    moved = CODE.replace("return self.head(", "import os; os.chdir('/')\n        return self.head(")
    (folder / "moves.py").write_text(moved)
    write_photo(folder / "p.png")
    ended = invoke("show", "p.png", "--model", "moves.py:make", "-o", "o.png")
    assert ended.exit_code == 0, ended.output
    assert (folder / "o.png").is_file()


ENDS = {
    "at once": ("os._exit(3)", "its code ended the program (os._exit(3)). See line"),
    "with a text": ("sys.exit('no')", "its code ended the program (sys.exit('no')). See line"),
    "at the keyboard": ("input('go on?')", "asks for something at the keyboard"),
}


@pytest.mark.parametrize("case", sorted(ENDS))
@pytest.mark.parametrize("command", ["show p.png", "layers", "export p.png -o out --workers 1"])
def test_a_forward_that_ends_the_program_is_said(
    folder: Path, case: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, says = ENDS[case]
    forward = CODE.replace("return self.head(", f"{code}\n        return self.head(")
    (folder / "ends.py").write_text("import os, sys\n" + forward)
    write_photo(folder / "p.png")
    with (folder / "empty").open("w+") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        ended = invoke(*command.split(), "--model", "ends.py:make")
    assert ended.exit_code in (1, 3), ended.output  # of an export, one photo has failed
    assert says in ended.stderr
    assert "ends.py" in ended.stderr
    assert "--channels" not in ended.stderr  # has nothing to do with it


def test_exits_are_told_in_the_thread_that_asked_alone() -> None:
    leave, seen = os._exit, []
    with exits_told(), exits_told():
        with pytest.raises(AtOnceError):
            os._exit(1)
        inside = os._exit
        other = threading.Thread(target=lambda: seen.append(_leave_told(inside)))
        other.start()
        other.join()
    assert os._exit is leave
    assert seen == [9]
    pid = os.fork()
    if pid == 0:
        with exits_told():
            end_now(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def _leave_told(inside: object) -> int:
    """The status of a process of another thread, which ends as it is used to."""
    pid = os.fork()
    if pid == 0:
        inside(9)  # type: ignore[operator]
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_surroundings_are_put_back_after_an_error() -> None:
    @kept_apart()
    def sets() -> None:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        sets()
    assert torch.get_default_dtype() is torch.float32
    assert torch.zeros(1).device.type == "cpu"


LAZY = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.gate = nn.LazyConv2d(6, 3, 4), nn.Conv2d(6, 6, 1)
        self.head = nn.LazyLinear(3)
        self.num_classes = 3

    def forward(self, x):
        x = self.stem(x)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return self.head(x.flatten(1))
"""


def test_layers_that_wait_for_an_input_get_one_of_the_size_that_is_asked(folder: Path) -> None:
    (folder / "lazy.py").write_text(LAZY)
    write_photo(folder / "p.png")
    arguments = ("show", "p.png", "--model", "lazy.py:Net", "--input", "40", "--json")
    first, second = (json.loads(invoke(*arguments).stdout) for _ in range(2))
    assert first == second  # drawn alike at every run
    assert len(first["predictions"]) == 3
    assert "Not shown" not in invoke(*arguments).stderr


MAKERS = """
class Grey(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 1, 3, 3))
        self.gate = nn.Linear(6, 6)

    def forward(self, x):
        x = torch.nn.functional.conv2d(x, self.kernel)
        return x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]

def scripted():
    return torch.jit.script(Grey())

def traced():
    return torch.jit.trace(Grey(), torch.zeros(1, 1, 64, 64))

def exported():
    return torch.export.export(Grey().eval(), (torch.zeros(1, 1, 224, 224),)).module()

def program():
    return torch.export.export(Grey().eval(), (torch.zeros(1, 1, 224, 224),))
"""


@pytest.mark.parametrize("name", ["Grey", "scripted", "traced", "exported"])
def test_channels_are_found_out_without_a_convolution_of_torchs_own(
    folder: Path, name: str
) -> None:
    (folder / "made.py").write_text("import torch\nfrom torch import nn\n" + MAKERS)
    write_photo(folder / "p.png")
    ended = invoke("show", "p.png", "--model", f"made.py:{name}", "--json")
    assert ended.exit_code == 0, ended.output
    said = json.loads(ended.stdout)
    assert said["input"]["channels"] == 1
    (layer,) = said["layers"]
    assert layer["channels"] == 6


OTHERS = {
    "Volumes": ("nn.Conv3d(2, 4, 3)", "its Conv3d takes volumes or videos"),
    "Signals": ("nn.Conv1d(1, 4, 3)", "its Conv1d takes sequences or signals"),
    "Words": ("nn.Embedding(9, 4)", "its Embedding takes numbers of words"),
    "Steps": ("nn.LSTM(9, 4)", "its LSTM takes sequences"),
}


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_networks_of_other_things_than_photos_are_told_so(folder: Path, name: str) -> None:
    layer, says = OTHERS[name]
    (folder / "other.py").write_text(
        "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n"
        f"        super().__init__()\n        self.layer = {layer}\n\n"
        "    def forward(self, x):\n        return self.layer(x)\n"
    )
    write_photo(folder / "p.png")
    ended = invoke("show", "p.png", "--model", "other.py:Net")
    assert ended.exit_code == 3
    assert says in ended.stderr
    assert "See line 9 of other.py." in ended.stderr
    assert "--channels" not in ended.stderr


SAYS = {
    "makes.py:program": "The network of an exported program is its .module().",
    "makes.py:nothing": "Is its return missing?",
    "makes.py:weights": "give them by --checkpoint",
    "makes.py:kind": "call it.",
    "makes.py:file": "looked for in the folder that you are in",
    "makes.py:pair": "Its forward takes 2 inputs: give as many photos, the further ones by --also",
    "makes.py:modes": "cannot be set to eval mode: TypeError",
    "needs.py:make": "Install it for the Python that runs cbam-viz",
}


@pytest.mark.parametrize("reference", sorted(SAYS))
def test_what_is_wrong_leads_to_the_next_step(folder: Path, reference: str) -> None:
    (folder / "needs.py").write_text("import no_such_package_of_mine\n")
    (folder / "makes.py").write_text(
        "import torch\nfrom torch import nn\n" + MAKERS + "\ndef nothing():\n    Grey()\n\n"
        "def weights():\n    return Grey().state_dict()\n\n"
        "def kind():\n    return Grey\n\n"
        "def file():\n    return torch.load('weights.pt')\n\n"
        "class pair(Grey):\n    def forward(self, one, two):\n        return one - two\n\n"
        "class modes(Grey):\n    def train(self):\n        pass\n"
    )
    write_photo(folder / "p.png")
    ended = invoke("show", "p.png", "--model", reference)
    assert ended.exit_code == 3, ended.output
    assert SAYS[reference] in ended.stderr
    assert "Traceback" not in ended.output


def test_a_default_device_does_not_leave_a_photo_as_it_is() -> None:
    """In-place arithmetic with a number on the meta device does nothing, without a word."""
    photo = cbam_viz.read_photo(np.full((8, 8, 3), 255, np.uint8))
    spec = cbam_viz.InputSpec(size=(8, 8), mean=(0.5,), std=(0.25,), crop_pct=1.0)
    with torch.device("meta"):
        made = cbam_viz.prepare(photo, spec).tensor
    assert made.device.type == "cpu"
    assert (made == 2).all()


def test_two_networks_have_each_the_modules_of_their_own_folder(folder: Path) -> None:
    for name, value in (("one", 1.0), ("two", 2.0)):
        (folder / name).mkdir()
        (folder / name / "parts.py").write_text(f"FILL = {value}\n")
        (folder / name / "net.py").write_text(
            f"from parts import FILL\n{CODE}\ndef filled():\n    net = make()\n"
            "    torch.nn.init.constant_(net.head.bias, FILL)\n    return net\n"
        )
    for name, value in (("one", 1.0), ("two", 2.0), ("one", 1.0)):
        assert (call_factory(f"{name}/net.py:filled").head.bias == value).all()


def test_an_interruption_in_a_thread_is_the_codes_own(folder: Path) -> None:
    forward = CODE.replace(
        "return self.head(", "raise KeyboardInterrupt\n        return self.head("
    )
    (folder / "stops.py").write_text(forward)
    loaded = cbam_viz.wrap_model(call_factory("stops.py:make").eval())
    photo = cbam_viz.read_photo(np.zeros((40, 40, 3), np.uint8))
    raised: list[BaseException] = []

    def look() -> None:
        try:
            cbam_viz.analyse(loaded, photo)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    (error,) = raised
    assert isinstance(error, cbam_viz.ModelError)
    with pytest.raises(KeyboardInterrupt):
        cbam_viz.analyse(loaded, photo)
