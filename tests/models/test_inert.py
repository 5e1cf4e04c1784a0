"""Any bytes: an opened file or one sentence. Values of Python come back as they were."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbam_viz import CheckpointError
from cbam_viz.inert import machine
from cbam_viz.inert.transport import from_text, open_data, to_text
from cbam_viz.models.content import build_content
from cbam_viz.models.files import read_weights
from cbam_viz.models.state import find_weights
from tests.models.test_files import Trap, traps
from tests.models.test_formats import described, odds, saved, unzipped, zipped

"\n".encode("unicode_escape")  # imported on first use, by whoever quotes a file's text

QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**900), 2**900) | st.floats(allow_nan=False)
    | st.text() | st.binary() | st.text(min_size=41, max_size=300),
    lambda inner: st.lists(inner)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers(-(2**59), 2**59) | st.none(), inner)
    | st.sets(st.text() | st.integers(-(2**59), 2**59)),
    max_leaves=30,
)  # fmt: skip


@QUICK
@given(PLAIN, st.sampled_from([2, 3, 4, 5]))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    opened = open_data(memoryview(pickle.dumps(value, protocol)))
    for description in (opened, from_text(to_text(opened))):
        found = build_content(description, bytearray(), 10**6)
        assert found == value
        assert described(found) == described(value)


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """Checkpoints with all kinds of things in them, and a trap."""
    content = {"weight": torch.arange(6.0).reshape(2, 3), **odds(), "trap": Trap(os.mkdir, "x")}
    return {
        f"{layout} {protocol}": saved(content, zipped=layout == "zip", protocol=protocol)
        for layout in ("zip", "older")
        for protocol in (2, 5)
    }


def outcome(data: bytes) -> str:
    """What became of it: no other exception than ours, and a sentence."""
    try:
        find_weights(read_weights(data).content)
    except CheckpointError as error:
        text = str(error)
        assert text
        assert "\n" not in text
        assert len(text) < 600
        return text
    return ""


@QUICK
@given(data=st.data())
@pytest.mark.parametrize("kind", ["zip 2", "zip 5", "older 2", "older 5"])
def test_damaged_files(
    kind: str, data: st.DataObject, whole: dict[str, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Bytes changed, cut out, doubled or exchanged, in the pickle as a rule."""
    monkeypatch.chdir(tmp_path)
    content = bytearray(whole[kind])
    end = min(len(content), 4000)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, end - 1))
        new = data.draw(st.binary(min_size=1, max_size=4) | st.sampled_from(INSTRUCTIONS))
        length = data.draw(st.integers(0, 8))
        content[at : at + length] = new
    before = set(sys.modules)
    outcome(bytes(content))
    assert set(sys.modules) == before
    assert not list(tmp_path.iterdir())


INSTRUCTIONS = sorted(machine._INSTRUCTIONS)
NAMES = [
    "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3", "torch Size",
    "torch._utils _rebuild_parameter", "torch._tensor _rebuild_from_type_v2", "torch FloatStorage",
    "_codecs encode", "collections OrderedDict", "collections Counter", "builtins set",
    "numpy dtype", "numpy._core.multiarray scalar", "numpy._core.multiarray _reconstruct",
    "numpy._core.numeric _frombuffer", "os system", "builtins eval", "copyreg _reconstructor",
]  # fmt: skip
PARTS = st.one_of(
    st.sampled_from(INSTRUCTIONS),
    st.sampled_from(NAMES).map(lambda name: b"c" + name.replace(" ", "\n").encode() + b"\n"),
    st.binary(max_size=3).map(lambda number: b"\x8a" + bytes([len(number)]) + number),
    st.sampled_from(["storage", "0", "cpu", "latin1", "f4", "<", "_modules", "_parameters"]).map(
        lambda text: b"X" + len(text).to_bytes(4, "little") + text.encode()
    ),
    st.sampled_from([b"K\x00", b"K\x01", b"K\x04", b"N", b")", b"}", b"]", b"q\x00", b"h\x00"]),
    st.sampled_from([b"(", b"t", b"R", b"b", b"s", b"u", b"a", b"\x85", b"\x86", b"Q", b"\x81"]),
)


@settings(QUICK, max_examples=600)
@given(st.lists(PARTS, max_size=40))
def test_pickles_made_at_random(parts: list[bytes]) -> None:
    program = b"\x80\x02" + b"".join(parts) + b"."
    before = set(sys.modules)
    outcome(program)
    outcome(zipped({"a/data.pkl": program, "a/data/0": bytes(64)}))
    assert set(sys.modules) == before


@QUICK
@given(st.data())
def test_damaged_directories(whole: dict[str, bytes], data: st.DataObject) -> None:
    content = bytearray(whole["zip 2"])
    start = content.index(b"PK\x01\x02")
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(start, len(content) - 1))] = data.draw(st.integers(0, 255))
    outcome(bytes(content))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8c\x05torch\x8c\x12_rebuild_tensor_\n2\x93)R.",
        b"\x80\x02(X\x07\x00\x00\x00storageN)NN)tQ.",
        b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NK\x04)tQ.",
    ],
)
def test_what_damage_at_random_found(content: bytes) -> None:
    """A name of two lines, a storage of no kind, a view of nothing."""
    assert outcome(content)
    assert outcome(zipped({"a/data.pkl": content, "a/data/0": bytes(16)}))


def test_a_directory_beyond_all_numbers() -> None:
    data = saved({"a": torch.ones(1)})
    at = data.index(b"PK\x06\x07") + 8
    assert "damaged" in outcome(data[:at] + b"\xff" * 8 + data[at + 8 :])


def test_the_process_with_limits_needs_neither_torch_nor_numpy() -> None:
    """It costs what it imports; torch would take seconds, for each upload."""
    code = "import sys, cbam_viz.inert.transport; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "numpy", "timm", "safetensors"}


def test_two_parts_of_one_name() -> None:
    """Readers differ in which of them they take: one shows other weights than another checked."""
    data = bytearray(saved({"a": torch.ones(1), "b": torch.zeros(1)}))
    assert b"data/1" in data
    with pytest.raises(CheckpointError, match="lists a part twice, data/0"):
        read_weights(bytes(data.replace(b"data/1", b"data/0")))


def test_names_that_climb_are_names_and_no_more(tmp_path: Path) -> None:
    parts = unzipped(saved({"a": torch.ones(2)}))
    parts["archive/../../../escaped"] = b"out"
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "w.pth").write_bytes(zipped(parts))
    assert read_weights(tmp_path / "inner" / "w.pth").content["a"].tolist() == [1, 1]
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "w.pth"]


def test_nothing_of_a_trap_runs_in_the_other_process(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for name, trap in traps(mark).items():
        buffer = io.BytesIO()
        torch.save(trap, buffer)
        read_weights(buffer.getvalue(), apart=name in {"alone", "setstate", "exec"})
    assert not mark.exists()


@pytest.mark.parametrize("oldest", [(0, 6), (2, 3)])
def test_views_of_the_oldest_files(oldest: tuple[int, int]) -> None:
    """Before torch 0.4 a tensor's storage could be a stretch of another: start and count follow."""
    from tests.models.bombs import HEAD, name, text

    first, count = oldest
    view = b"(" + text("v") + bytes([75, first, 75, count]) + b"t"
    storage = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu")
    storage += b"K\x06" + view + b"tQ"
    hooks = name("collections", "OrderedDict") + b")R"
    tensor = name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + b"K\x00"
    tensor += bytes([75, count]) + b"\x85K\x01\x85\x89" + hooks + b"tR"
    numbers = torch.arange(6.0).numpy().tobytes()
    content = read_weights(
        zipped({"a/data.pkl": HEAD + tensor + b".", "a/data/0": numbers})
    ).content
    assert content.tolist() == list(range(first, first + count))
