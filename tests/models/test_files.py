"""Hostile and broken files: nothing in them runs, memory stays bounded, one clear sentence each."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

import cbam_viz.models
import cbam_viz.models.files
from cbam_viz import CheckpointError
from cbam_viz.models.files import read_weights
from cbam_viz.models.records import Record
from cbam_viz.models.state import find_weights
from cbam_viz.models.storages import NUMBERS


class Trap:
    """Makes a file when it is unpickled, by whichever function it is given."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call, self.arguments


class Stateful:
    def __setstate__(self, state: dict[str, str]) -> None:
        Path(state["mark"]).touch()


def traps(mark: Path) -> dict[str, Any]:
    command = f"touch {mark}"
    weights = OrderedDict(weight=torch.ones(2, 2))
    stateful = Stateful()
    stateful.__dict__["mark"] = str(mark)
    return {
        "alone": Trap(os.system, command),
        "nested": {"state_dict": weights, "meta": [{"deep": (Trap(os.system, command),)}]},
        "as key": {Trap(os.mkdir, str(mark)): 1},
        "eval": {"a": Trap(eval, f"open({str(mark)!r}, 'w')")},
        "exec": {"a": Trap(exec, f"import os; os.system({command!r})")},
        "import": {"a": Trap(__import__, "antigravity")},
        "setstate": {"a": stateful, **weights},
        "torch.load": {"a": Trap(torch.load, str(mark))},
        "bytearray": {"a": Trap(bytearray, 10**12)},
        "tensor": {"a": Trap(torch.Tensor, 10**6)},
        "subprocess": {"a": Trap(subprocess.call, ["touch", str(mark)])},
    }


NAMES = sorted(traps(Path("x")))
CALLED = {
    "alone": "posix.system", "nested": "posix.system", "as key": "posix.mkdir",
    "eval": "builtins.eval", "exec": "builtins.exec", "import": "builtins.__import__",
    "torch.load": "torch.serialization.load", "bytearray": "builtins.bytearray",
    "tensor": "torch.Tensor", "subprocess": "commands.call",  # its name in Python 2
}  # fmt: skip
"""What each would call; its class is that of an object with `__setstate__`."""


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_booby_traps_do_not_go_off(tmp_path: Path, name: str, zipped: bool) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / "trap.pth"
    torch.save(traps(mark)[name], path, _use_new_zipfile_serialization=zipped)
    before = set(sys.modules)
    for source in (path, path.read_bytes()):
        found = {record.name.replace("__builtin__", "builtins") for record in records(source)}
        assert found == {CALLED.get(name, f"{Stateful.__module__}.Stateful")}
    assert set(sys.modules) == before
    assert not mark.exists()


def records(source: Path | bytes) -> list[Record]:
    """Every object of a file that would have been made by code that the file names."""
    found, waiting = [], [read_weights(source).content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Record):
            found.append(item)
            waiting += [item.arguments, item.state]
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple)):
            waiting += item
    return found


def test_weights_beside_a_trap_are_read(tmp_path: Path) -> None:
    for name in ("nested", "setstate"):
        torch.save(traps(tmp_path / "mark")[name], tmp_path / "trap.pth")
        weights = find_weights(read_weights(tmp_path / "trap.pth").content)
        assert list(weights.tensors) == ["weight"]
        assert torch.equal(weights.tensors["weight"], torch.ones(2, 2))
    assert not (tmp_path / "mark").exists()


def test_a_file_without_weights_says_what_it_would_have_run(tmp_path: Path) -> None:
    torch.save(traps(tmp_path / "mark")["alone"], tmp_path / "trap.pth")
    with pytest.raises(CheckpointError, match=r"posix\.system.*Nothing of it was run"):
        find_weights(read_weights(tmp_path / "trap.pth").content)


def test_the_traps_are_live(tmp_path: Path) -> None:
    """Without our reader they do go off: the tests above are not vacuous."""
    for index, name in enumerate(("alone", "nested", "as key", "setstate")):
        mark = tmp_path / f"mark{index}"
        torch.save(traps(mark)[name], tmp_path / "trap.pth")
        torch.load(tmp_path / "trap.pth", weights_only=False)
        assert mark.exists(), name


def test_traps_in_plain_pickles_and_other_protocols(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        trap = Trap(os.system, f"touch {mark}")
        data = pickle.dumps(trap, protocol=protocol)
        if protocol < 2:
            with pytest.raises(CheckpointError, match="neither safetensors nor"):
                read_weights(data)
        else:
            assert [record.name for record in records(data)] == ["posix.system"]
        archive = io.BytesIO()
        torch.save({"a": trap}, archive, pickle_protocol=max(2, protocol))
        assert [record.name for record in records(archive.getvalue())] == ["posix.system"]
    assert not mark.exists()


def test_trap_in_a_second_pickle_of_the_archive(tmp_path: Path) -> None:
    """Only one of them is the checkpoint; the other is not even looked at."""
    mark = tmp_path / "mark"
    path = tmp_path / "two.pth"
    torch.save({"weight": torch.ones(2)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("two/extra.pkl", pickle.dumps(Trap(os.system, f"touch {mark}"), 2))
    assert torch.equal(read_weights(path).content["weight"], torch.ones(2))
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_newer_pickle_protocols_are_read(tmp_path: Path, protocol: int) -> None:
    """torch itself cannot read them without unpickling."""
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.pth", pickle_protocol=protocol)
    content = read_weights(tmp_path / "weights.pth").content
    assert torch.equal(content["weight"], torch.ones(2))


KINDS = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "without values": lambda: torch.ones(2, device="meta"),
    "complex64": lambda: torch.ones(4, dtype=torch.complex64),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_other_kinds_are_no_danger_and_are_named(tmp_path: Path, kind: str) -> None:
    torch.save({"weight": KINDS[kind]()}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=kind) as refusal:
        read_weights(tmp_path / "odd.pth")
    assert "run code" not in str(refusal.value)


def test_absurd_numbers_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2), "n": 10**5000}, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="more than 300 digits"):
        read_weights(tmp_path / "n.pth")
    torch.save({"weight": torch.ones(2), "n": -(10**300)}, tmp_path / "n.pth")
    assert read_weights(tmp_path / "n.pth").content["n"] == -(10**300)


def calls(tree: ast.AST) -> Iterator[tuple[str, dict[str, ast.expr]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            keywords = {word.arg: word.value for word in node.keywords if word.arg}
            yield ast.unparse(node.func), keywords


def test_no_code_of_the_package_unpickles_freely() -> None:
    """Read from the sources: whoever adds such a call meets this test."""
    package = Path(cbam_viz.models.__file__).parents[1]
    seen = 0
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {alias.name.partition(".")[0] for alias in node.names}
                names.add(getattr(node, "module", None) or "")
                assert not names & {"pickle", "dill", "joblib", "cloudpickle", "shelve"}, path
        for name, keywords in calls(tree):
            seen += 1
            if name in {"np.load", "numpy.load"}:
                assert ast.unparse(keywords.get("allow_pickle", ast.Constant(False))) == "False", (
                    path
                )
            assert name not in {
                "torch.load", "torch.jit.load", "torch.hub.load", "timm.models.load_checkpoint",
                "eval", "exec", "marshal.loads", "numpy.lib.format.read_array",
            }, path  # fmt: skip
    assert seen > 1000


def test_old_tar_files_are_refused_without_unpickling(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / "old.pth"
    data = pickle.dumps(Trap(os.system, f"touch {mark}"), 2)
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("pickle")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    with pytest.raises(CheckpointError, match="tar archive"):
        read_weights(path)
    assert not mark.exists()


def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(CheckpointError, match="TorchScript program"):
        read_weights(tmp_path / "script.pt")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dtype", sorted(NUMBERS, key=str))
def test_plain_weights_come_back_bit_for_bit(
    tmp_path: Path, zipped: bool, dtype: torch.dtype
) -> None:
    tensor = (torch.arange(24) % 2).reshape(2, 3, 4).to(dtype).transpose(0, 2)
    saved = {
        "model": {"w": tensor, "p": torch.nn.Parameter(torch.randn(3))},
        "epoch": 3,
        "l": [1.5],
    }
    path = tmp_path / "weights.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    for source in (path, path.read_bytes()):
        content = read_weights(source).content
        assert content["model"]["w"].dtype == dtype
        assert content["model"]["w"].stride() == tensor.stride()
        assert torch.equal(content["model"]["w"].double(), tensor.double())
        assert torch.equal(content["model"]["p"], saved["model"]["p"])
        assert content["epoch"] == 3


def test_hash_is_that_of_the_file(tmp_path: Path) -> None:
    import hashlib

    data = save({"w": torch.ones(3)})
    (tmp_path / "w.safetensors").write_bytes(data)
    for source in (data, tmp_path / "w.safetensors"):
        assert read_weights(source).sha256 == hashlib.sha256(data).hexdigest()


def whole_files(folder: Path) -> dict[str, bytes]:
    state = {f"layer.{index}.weight": torch.randn(8, 8) for index in range(4)}
    files = {"safetensors": save(state)}
    for name, zipped in (("zip", True), ("legacy", False)):
        torch.save(state, folder / name, _use_new_zipfile_serialization=zipped)
        files[name] = (folder / name).read_bytes()
    return files


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_truncation_anywhere_is_one_sentence(tmp_path: Path, kind: str) -> None:
    data = whole_files(tmp_path)[kind]
    assert read_weights(data).size == len(data)
    for length in [
        0,
        1,
        7,
        8,
        9,
        20,
        *range(40, len(data), max(1, len(data) // 40)),
        len(data) - 1,
    ]:
        with pytest.raises(CheckpointError) as caught:
            read_weights(data[:length])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_random_damage_is_never_another_exception(tmp_path: Path, kind: str) -> None:
    data = whole_files(tmp_path)[kind]
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(3):
            place = int(torch.randint(min(len(data), 2000), (1,), generator=generator))
            damaged[place] = int(torch.randint(256, (1,), generator=generator))
        try:
            read_weights(bytes(damaged))
        except CheckpointError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "Keras"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG picture"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        (b"just some text that is no checkpoint", "neither safetensors nor"),
        (bytes(1000), "neither safetensors nor"),
    ],
)
def test_other_files_are_named(data: bytes, text: str) -> None:
    with pytest.raises(CheckpointError, match=text):
        read_weights(data)


def header(entries: dict[str, Any], data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "data",
    [
        header({"a": entry([2], 0, 8)}, bytes(8), length=2**60),
        header({"a": entry([2], 0, 8)}, bytes(8), length=17 * 2**20),
        header({"a": entry([10**9, 10**9], 0, 8)}, bytes(8)),
        header({"a": entry([2], 0, 2**50)}, bytes(8)),
        header({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, bytes(8)),
        header({"a": entry([2], 4, 12)}, bytes(12)),
        header({"a": entry([2], 8, 0)}, bytes(8)),
        header({"a": {"dtype": "F31", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
        struct.pack("<Q", 3) + b"{{}" + bytes(8),
        struct.pack("<Q", 200_000) + b"{" + b"[" * 199_999,
    ],
)
def test_absurd_safetensors_headers(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.safetensors").write_bytes(data)
    for source in (data, tmp_path / "bad.safetensors"):
        with pytest.raises(CheckpointError):
            read_weights(source)


def bomb(packed: bool) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    ) as out:
        out.writestr("a/data.pkl", pickle.dumps({}, 2))
        out.writestr("a/data/0", bytes(50 * 2**20 if packed else 1000))
    return buffer.getvalue()


def overlapping() -> bytes:
    """Two thousand directory entries that all point at the same kilobyte."""
    data = bomb(packed=False)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.start_dir
    directory = data[start : data.rindex(b"PK\x05\x06")]
    second = directory[directory.index(b"PK\x01\x02", 4) :]
    many = directory + second * 2000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2002, 2002, len(many), start, 0)
    return data[:start] + many + end


@pytest.mark.parametrize(
    ("data", "text"),
    [(bomb(True), "compressed zip"), (overlapping(), "more bytes than the file has")],
)
def test_zip_bombs(data: bytes, text: str) -> None:
    with pytest.raises(CheckpointError, match=text):
        read_weights(data)


def test_an_encrypted_zip(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "weights.pth")
    data = bytearray((tmp_path / "weights.pth").read_bytes())
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    with pytest.raises(CheckpointError, match="encrypted"):
        read_weights(bytes(data))


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(2)}, path)
    build = cbam_viz.models.files.build_content

    def replaced(*args: Any) -> object:
        torch.save({"weight": torch.zeros(2)}, tmp_path / "new.pth")
        (tmp_path / "new.pth").replace(path)
        return build(*args)

    monkeypatch.setattr(cbam_viz.models.files, "build_content", replaced)
    with pytest.raises(CheckpointError, match="changed while it was read"):
        read_weights(path)


def test_zip_without_weights() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("holiday.txt", "sun")
    with pytest.raises(CheckpointError, match="without PyTorch weights"):
        read_weights(buffer.getvalue())


def claims(elements: int) -> bytes:
    """A checkpoint of 4 numbers whose pickle claims `elements`."""
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(4)}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in parts if name.endswith("data.pkl"))
    old = b"K\x04tq"  # BININT1 4, TUPLE: the storage's length
    assert parts[name].count(old) == 1
    parts[name] = parts[name].replace(old, b"\x8a\x08" + struct.pack("<q", elements) + b"tq")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for part, data in parts.items():
            archive.writestr(part, data)
    return out.getvalue()


@pytest.mark.parametrize("elements", [10**12, 10**5, 2**62])
def test_storages_larger_than_the_file(elements: int) -> None:
    with pytest.raises(CheckpointError, match="claims a tensor of"):
        read_weights(claims(elements))


def test_storages_a_little_larger_than_their_part() -> None:
    with pytest.raises(CheckpointError):
        read_weights(claims(600))


def test_one_number_repeated_a_billion_times(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1).expand(10**9)}, tmp_path / "wide.pth")
    with pytest.raises(CheckpointError, match="more than 4,000 MB"):
        read_weights(tmp_path / "wide.pth")


def test_a_dictionary_that_holds_itself_ends(tmp_path: Path) -> None:
    loop: dict[str, Any] = {"x": 1}
    for index in range(50):
        loop[f"again{index}"] = loop
    torch.save(loop, tmp_path / "loop.pth")
    with pytest.raises(CheckpointError, match="holds no network's weights"):
        find_weights(read_weights(tmp_path / "loop.pth").content)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    os.mkfifo(tmp_path / "pipe")
    for name, text in (
        ("nowhere", "does not exist"),
        ("dangling", "link to nothing"),
        ("circle", "link to nothing"),
        ("pipe", "no ordinary file"),
        (".", "is a folder"),
    ):
        with pytest.raises(CheckpointError, match=text):
            read_weights(tmp_path / name)
    with pytest.raises(CheckpointError, match="no ordinary file"):
        read_weights(Path("/dev/zero"))


def test_links_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    outside = tmp_path / "secret.safetensors"
    outside.write_bytes(save({"w": torch.ones(1)}))
    link = tmp_path / "inside" / "link.safetensors"
    link.symlink_to(outside)
    assert read_weights(link).size > 0
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        read_weights(link, folder=tmp_path / "inside")
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        read_weights(tmp_path / "inside" / ".." / "secret.safetensors", folder=tmp_path / "inside")


CHILD = """
import resource, sys
from pathlib import Path
from cbam_viz.models.files import read_weights
from cbam_viz import CheckpointError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_DATA, (3 * 2**30, 3 * 2**30))
for path in sorted(Path(sys.argv[1]).iterdir()):
    for source in (path, path.read_bytes()):
        try:
            read_weights(source)
        except CheckpointError:
            continue
        sys.exit(f"{path} was opened")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """All bombs in a process of its own: less than 100 MB more than before, in kilobytes."""
    files = {
        "deflated": bomb(True),
        "overlapping": overlapping(),
        "claims": claims(10**12),
        "claims more": claims(10**5),
        "header": header({"a": entry([10**9, 10**9], 0, 8)}, bytes(8)),
        "nested": struct.pack("<Q", 200_000) + b"{" + b"[" * 199_999,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    torch.save({"a": torch.ones(1).expand(10**9)}, tmp_path / "wide")
    torch.save(
        {"a": torch.ones(1).expand(10**9)},
        tmp_path / "old wide",
        _use_new_zipfile_serialization=False,
    )
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
