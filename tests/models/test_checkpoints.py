"""The folder of checkpoints, conversion to our own files, and networks of the user's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save
from streamlit.elements.lib.file_uploader_utils import (
    enforce_filename_restriction,
    normalize_upload_file_type,
)
from torch import nn

from cbam_viz import CheckpointError, ModelError
from cbam_viz._suffixes import CHECKPOINTS, bare_name
from cbam_viz.images import InputSpec
from cbam_viz.models import (
    convert_checkpoint,
    create_model,
    default_checkpoint,
    insert_cbam,
    list_checkpoints,
    load_model,
    load_own_model,
    wrap_model,
)
from cbam_viz.models.metadata import survey


def write(path: Path, **entries: Any) -> Path:
    metadata = {"cbam_viz": json.dumps({"schema": 1, **entries})} if entries else None
    path.write_bytes(save({"w": torch.ones(2)}, metadata))
    return path


def test_the_default_comes_first_and_its_description_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", title="A", architecture="resnet18", description="first")
    write(tmp_path / "b.safetensors", title="B", architecture="resnet50", default=True)
    write(tmp_path / "c.safetensors")
    torch.save({"w": torch.ones(2)}, tmp_path / "d.pth")
    entries = list_checkpoints(tmp_path)
    assert [entry.title for entry in entries] == ["B", "A", "c.safetensors", "d.pth"]
    assert [entry.architecture for entry in entries] == ["resnet50", "resnet18", None, None]
    assert entries[1].description == "first"
    chosen = default_checkpoint(tmp_path)
    assert chosen is not None
    assert chosen.path == tmp_path / "b.safetensors"


def test_without_a_folder_it_is_that_of_the_command_line_and_the_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CBAM_VIZ_CHECKPOINTS", raising=False)
    came_along = default_checkpoint()
    assert came_along is not None
    assert came_along.path.name == "everyday23_resnet18_cbam.safetensors"
    write(tmp_path / "mine.safetensors", title="Mine")
    monkeypatch.setenv("CBAM_VIZ_CHECKPOINTS", str(tmp_path))
    assert [entry.title for entry in list_checkpoints()] == ["Mine"]
    chosen = default_checkpoint()
    assert chosen is not None
    assert chosen.path == tmp_path / "mine.safetensors"


def test_a_network_without_attention_is_the_default_only_if_there_is_no_other(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a.safetensors", title="Plain", attention=None)
    assert getattr(default_checkpoint(tmp_path), "title", "") == "Plain"
    write(tmp_path / "b.safetensors", title="Inserted", attention=None, inserted_cbam={"at": ["x"]})
    assert getattr(default_checkpoint(tmp_path), "title", "") == "Inserted"
    write(tmp_path / "a2.safetensors", title="CBAM", attention="cbam")
    assert getattr(default_checkpoint(tmp_path), "title", "") == "CBAM"


def test_what_the_folder_does_not_offer(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "inner").mkdir()
    write(folder / "inner" / "deep.safetensors")
    write(folder / ".hidden.safetensors")
    (folder / "notes.txt").write_text("no weights")
    (folder / "leaves.safetensors").symlink_to(write(tmp_path / "outside.safetensors"))
    (folder / "dangling.safetensors").symlink_to(tmp_path / "nowhere")
    (folder / "cut.safetensors").write_bytes(b"\xff" * 12)
    (folder / "broken.safetensors").write_bytes(save({"w": torch.ones(1)}, {"cbam_viz": "{"}))
    (folder / "folder.pth").mkdir()
    assert list_checkpoints(folder) == ()
    assert default_checkpoint(folder) is None
    assert list_checkpoints(tmp_path / "absent") == ()


@pytest.mark.parametrize(
    "name",
    [
        "a.safetensors",
        "a.pth",
        "a.pt",
        "a.bin",
        "a.ckpt",
        "a.tar",
        "a.pth.tar",
        "a.PTH",
        "A.Pth.Tar",
    ],
)  # fmt: skip
def test_every_ending_is_listed_and_taken_by_the_uploader_alike(tmp_path: Path, name: str) -> None:
    model = trained()
    if name.endswith(".safetensors"):
        (tmp_path / name).write_bytes(save(model.state_dict()))
    else:
        torch.save({"state_dict": model.state_dict()}, tmp_path / name)
    (entry,) = list_checkpoints(tmp_path)
    assert entry.path.name == name
    enforce_filename_restriction(name, normalize_upload_file_type(CHECKPOINTS))
    loaded = load_model(entry.path)
    assert loaded.name.lower() == "a"
    assert bare_name(entry.path).lower() == "a"
    assert (
        convert_checkpoint(entry.path, tmp_path / "b.safetensors", overwrite=True).path.name
        == "b.safetensors"
    )


@pytest.mark.parametrize("name", ["a.tar.gz", "a.pth.txt", "tar", ".pth", ".a.pth", "a.safetensor"])
def test_other_endings_are_not_listed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(save({"w": torch.ones(1)}))
    assert list_checkpoints(tmp_path) == ()


def test_names_without_their_endings() -> None:
    names = ["net.pth.tar", "net.tar", "net.v2.pth", "net.pth.safetensors", "net.CKPT.TAR", "net"]
    assert [bare_name(Path("x") / name) for name in names] == [
        "net", "net", "net.v2", "net.pth", "net", "net"
    ]  # fmt: skip


def test_a_refused_file_of_the_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path / "odd.SAFETENSORS", architecture=3)
    entries, reasons = survey(tmp_path)
    assert entries == ()
    assert len(reasons) == 1
    assert reasons[0].startswith("odd.SAFETENSORS: The checkpoint's description has a wrong")


def trained(**kwargs: Any) -> nn.Module:
    torch.manual_seed(0)
    return create_model("test_resnet", num_classes=3, zero_init_last=False, **kwargs)


@pytest.mark.parametrize("attention", ["cbam", "lcbam"])
def test_a_converted_file_describes_itself(tmp_path: Path, attention: str) -> None:
    model = trained(attention=attention)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "mine.pth")
    conversion = convert_checkpoint(
        tmp_path / "mine.pth", title="Mine", classes=["cat", "dog", "owl"]
    )
    assert conversion.path == tmp_path / "mine.safetensors"
    with safe_open(str(conversion.path), "pt") as opened:
        text = json.loads(opened.metadata()["cbam_viz"])
    assert text["schema"] == 1
    assert text["architecture"] == "test_resnet"
    assert text["attention"] == attention
    assert text["num_classes"] == 3
    loaded = load_model(conversion.path)
    assert loaded.name == "Mine"
    assert loaded.classes == ("cat", "dog", "owl")
    picture = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.model(picture), model(picture))
    assert [entry.title for entry in list_checkpoints(tmp_path)] == ["Mine", "mine.pth"]


def test_inserted_layers_survive_conversion(tmp_path: Path) -> None:
    model = insert_cbam(create_model("test_resnet", attention=None, num_classes=3), ["layer2"])
    torch.save(model.state_dict(), tmp_path / "inserted.pth")
    loaded = load_model(convert_checkpoint(tmp_path / "inserted.pth").path)
    assert loaded.metadata["inserted_cbam"] == {"at": ["layer2"]}
    assert loaded.metadata["attention"] is None
    picture = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.model(picture), model(picture))


def test_conversion_never_overwrites_unasked(tmp_path: Path) -> None:
    source = tmp_path / "w.pth"
    torch.save(trained().state_dict(), source)
    target = tmp_path / "w.safetensors"
    target.write_bytes(b"precious")
    with pytest.raises(CheckpointError, match="exists"):
        convert_checkpoint(source)
    assert target.read_bytes() == b"precious"
    convert_checkpoint(source, overwrite=True)
    with pytest.raises(CheckpointError, match="not the source"):
        convert_checkpoint(target, target, overwrite=True)
    with pytest.raises(CheckpointError, match=r"must end in \.safetensors"):
        convert_checkpoint(source, tmp_path / "w.bin")
    with pytest.raises(CheckpointError, match="2 class names were given for 3"):
        convert_checkpoint(source, tmp_path / "n.safetensors", classes=["a", "b"])
    with pytest.raises(CheckpointError, match="cannot be written"):
        convert_checkpoint(source, tmp_path / "absent" / "n.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.pth", "w.safetensors"]


class Own(nn.Module):
    """A network whose names collide with common prefixes."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(x).mean((2, 3)))


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_own_networks_keep_their_own_names(tmp_path: Path, prefix: str) -> None:
    source, target = Own(), Own()
    state = {prefix + name: value for name, value in source.state_dict().items()}
    torch.save({"model": state}, tmp_path / "own.pth")
    loaded = load_own_model(target, tmp_path / "own.pth", name="mine")
    assert loaded.model is target
    assert loaded.name == "mine"
    assert not target.training
    assert all(
        torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items()
    )
    assert loaded.report is not None
    assert len(loaded.report.matched) == 4


def test_own_networks_refuse_what_does_not_fit(tmp_path: Path) -> None:
    torch.save(Own().state_dict(), tmp_path / "own.pth")
    with pytest.raises(CheckpointError, match=r"\[4, 3, 3, 3\] instead of \[5, 3, 3, 3\]"):
        load_own_model(Own(5), tmp_path / "own.pth")
    torch.save({"backbone.weight": Own().backbone.weight}, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match="no values for 3"):
        load_own_model(Own(), tmp_path / "part.pth")
    names = ("backbone.bias", "head.weight", "head.bias")
    with pytest.raises(CheckpointError, match=r"no values for 1.*Only attention"):
        load_own_model(Own(), tmp_path / "part.pth", may_miss=names[1:])
    loaded = load_own_model(Own(), tmp_path / "part.pth", may_miss=names)
    assert loaded.report is not None
    assert loaded.report.missing == names


def test_own_networks_refuse_values_that_weights_cannot_have(tmp_path: Path) -> None:
    state = Own().state_dict()
    for value in (torch.full_like(state["head.weight"], torch.nan), state["head.weight"].int()):
        torch.save({**state, "head.weight": value}, tmp_path / "own.pth")
        with pytest.raises(CheckpointError, match=r"head\.weight"):
            load_own_model(Own(), tmp_path / "own.pth")
    torch.save({name: value.half() for name, value in state.items()}, tmp_path / "half.pth")
    loaded = load_own_model(Own(), tmp_path / "half.pth")
    assert loaded.report is not None
    assert "float16 were widened" in loaded.report.text


def test_wrapping_any_module() -> None:
    own = Own()
    wrapped = wrap_model(own, InputSpec(size=(32, 48)), ["a", "b"], "mine")
    assert (wrapped.model, wrapped.name, wrapped.classes) == (own, "mine", ("a", "b"))
    assert wrapped.spec.size == (32, 48)
    assert wrap_model(own).name == "Own"
    assert wrap_model(own).spec.size == (224, 224)
    assert wrap_model(own).classes is None
    with pytest.raises(ModelError, match=r"not type\. If it is a class"):
        wrap_model(Own)  # type: ignore[arg-type]
