"""Every bomb ends within the stated budget, with one sentence or an opened file."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cbam_viz import CheckpointError
from cbam_viz.inert.machine import SECONDS
from cbam_viz.models import load_model
from cbam_viz.models.files import read_weights
from cbam_viz.models.names import find_names
from cbam_viz.models.state import find_weights
from tests.models.bombs import BOMBS, checkpoint, shadowing, tensor


def message(data: bytes | Path, *, apart: bool = False) -> str:
    """What a user sees of a file; empty if there are weights in it."""
    try:
        find_weights(read_weights(data, apart=apart).content)
    except CheckpointError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("bomb", BOMBS)
def test_it_ends_in_time_with_one_sentence(bomb: str) -> None:
    make, sentence = BOMBS[bomb]
    data = make()
    start = time.thread_time()
    text = message(data)
    assert time.thread_time() - start < SECONDS
    assert sentence in text
    assert "\n" not in text
    assert len(text) < 600
    if not sentence:  # it was read; there may be no weights in it
        read_weights(data)


CHILD = """
import resource, sys
from pathlib import Path
import tests.models.test_bombs as bombs

def data():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData")) * 1024

limit = data() + 10**9
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
for path in sorted(Path(sys.argv[1]).iterdir()):
    assert "enough memory" not in bombs.message(path), path
print("all read")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows have no such limit")
def test_all_of_them_stay_within_the_memory(tmp_path: Path) -> None:
    for bomb, (make, _) in BOMBS.items():
        (tmp_path / re.sub(r"\W", "_", bomb)).write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout == "all read\n", done.stderr[-2000:]


@pytest.mark.parametrize(
    "bomb",
    ["hash of nested tuples", "one text a million times", "60,000 tensors"],
)
def test_the_process_with_limits_says_the_same(bomb: str) -> None:
    data = BOMBS[bomb][0]()
    assert message(data, apart=True) == message(data)


@pytest.mark.parametrize(("what", "said"), [("SECONDS", "took more than"), ("MEGABYTES", "memory")])
def test_a_bomb_that_nobody_thought_of_is_killed(
    what: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"cbam_viz.inert.transport.{what}", 1)
    data = BOMBS["60,000 tensors in the older layout"][0]()
    if what == "SECONDS":
        monkeypatch.setattr("cbam_viz.inert.transport.SECONDS", 0.2)
    with pytest.raises(CheckpointError, match=said) as refusal:
        read_weights(data, apart=True)
    assert "given up" in str(refusal.value)


@pytest.mark.parametrize("where", shadowing())
def test_a_state_hides_no_methods(where: str) -> None:
    """What a file attaches to a tensor or a dictionary is not attached."""
    weights = find_weights(read_weights(shadowing()[where]).content)
    (value,) = weights.tensors.values()
    assert value.element_size() == 4
    assert torch.equal(value, torch.zeros(4))
    with pytest.raises(CheckpointError, match="cannot be told"):
        load_model(shadowing()[where])


def test_a_tensor_that_is_in_order() -> None:
    """The parts of which the bombs are made do make a checkpoint."""
    content = read_weights(checkpoint(tensor(size=b"K\x02K\x02", stride=b"K\x02K\x01"))).content
    assert torch.equal(content["weight"], torch.zeros(2, 2))
    edge = read_weights(checkpoint(tensor(offset=b"K\x03", size=b"K\x01"))).content
    assert edge["weight"].storage_offset() == 3


def test_places_of_classes_with_equal_hashes_are_refused_in_time() -> None:
    """Numbers a multiple of 2 ** 61 - 1 apart hash alike; a dictionary of them takes minutes."""
    places = {f"class {i}": i * (2**61 - 1) for i in range(60_000)}
    start = time.thread_time()
    assert find_names({"class_to_idx": places}, "the file").names is None
    assert time.thread_time() - start < 1


def test_60_000_tensors_with_long_names_of_attention_are_refused_in_time() -> None:
    """Names are matched with patterns, which long ones could slow down without end."""
    state = {f"{'a.' * 150}{i}.cbam.ChannelGate.x": torch.ones(1) for i in range(20_000)}
    state |= {f"{'a1' * 150}{i}.cbam.SpatialGate.x": torch.ones(1) for i in range(20_000)}
    state |= {f"{'layer1.' * 50_000}{i}.sa.conv1.weight": torch.ones(1) for i in range(60)}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    start = time.thread_time()
    with pytest.raises(CheckpointError) as refusal:
        load_model(buffer.getvalue())
    assert time.thread_time() - start < SECONDS
    assert len(str(refusal.value)) < 600


def test_60_000_tensors_are_loaded_in_time(tmp_path: Path) -> None:
    """From the file to the sentence that no network is known that has them."""
    (tmp_path / "many.pth").write_bytes(BOMBS["60,000 tensors"][0]())
    for options in ({}, {"architecture": "resnet18"}):
        start = time.thread_time()
        with pytest.raises(CheckpointError) as refusal:
            load_model(tmp_path / "many.pth", **options)
        assert time.thread_time() - start < SECONDS
        assert len(str(refusal.value)) < 600
