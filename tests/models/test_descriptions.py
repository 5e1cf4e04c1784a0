"""The description in a file is the word of a stranger: ranges, budgets, one sentence at most."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from cbam_viz import CheckpointError, ModelError
from cbam_viz.images import InputSpec
from cbam_viz.models import (
    convert_checkpoint,
    create_model,
    default_checkpoint,
    list_checkpoints,
    load_model,
)
from cbam_viz.models.metadata import parse_metadata, survey
from cbam_viz.models.schema import Arguments, Description

State = dict[str, Tensor]
LONGEST = 600
"""Characters of a refusal."""
SECONDS = 5.0


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    model = create_model("test_resnet", num_classes=3, zero_init_last=False)
    return dict(model.state_dict())


def described(state: State, entries: Any) -> bytes:
    """A file whose description is `entries`; Python writes NaN, infinities and 10**400 as it is."""
    text = entries if isinstance(entries, str) else json.dumps({"schema": 1, **entries})
    return save(state, {"cbam_viz": text})


def sentence(act: Callable[[], object]) -> str:
    """What is said, checked for its length and for the time that it took; empty if all is well."""
    started = time.process_time()
    try:
        act()
        said = ""
    except (CheckpointError, ModelError) as error:
        said = str(error)
    assert time.process_time() - started < SECONDS
    assert len(said) < LONGEST
    assert said.isprintable()
    return said


def refusal(source: Any, **options: Any) -> str:
    return sentence(lambda: load_model(source, **options))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"pretrained_cfg": {"mean": 2}}, "pretrained_cfg.mean"),
    ({"pretrained_cfg": {"mean": [0.1, "a", 0.2]}}, r"pretrained_cfg.mean\[1\]"),
    ({"pretrained_cfg": {"mean": [0.1, 0.2]}}, "2 values"),
    ({"pretrained_cfg": {"mean": [1e9, 0, 0]}}, "pretrained_cfg.mean"),
    ({"pretrained_cfg": {"mean": [math.nan] * 3}}, "no JSON"),
    ({"pretrained_cfg": {"std": [0, 1, 1]}}, "pretrained_cfg.std"),
    ({"pretrained_cfg": {"std": [1] * 4}}, "mean and std of 1 or 3 values, not 4"),
    ({"pretrained_cfg": {"std": {"r": 1}}}, "pretrained_cfg.std"),
    ({"pretrained_cfg": {"crop_pct": "abc"}}, "pretrained_cfg.crop_pct"),
    ({"pretrained_cfg": {"crop_pct": [1]}}, "pretrained_cfg.crop_pct"),
    ({"pretrained_cfg": {"crop_pct": 1e-9}}, "pretrained_cfg.crop_pct"),
    ({"pretrained_cfg": {"crop_pct": -1}}, "pretrained_cfg.crop_pct"),
    ({"pretrained_cfg": {"crop_pct": 1e9}}, "pretrained_cfg.crop_pct"),
    ({"pretrained_cfg": {"crop_pct": math.nan}}, "no JSON"),
    ({"pretrained_cfg": {"crop_pct": math.inf}}, "no JSON"),
    ({"pretrained_cfg": {"crop_pct": True}}, "pretrained_cfg.crop_pct"),
    ({"pretrained_cfg": {"input_size": [3, 4096, 4096]}}, "input_size"),
    ({"pretrained_cfg": {"input_size": [3, 2048, 2048]}}, "at most 1,048,576 pixels"),
    ({"pretrained_cfg": {"input_size": [3, 0, 64]}}, "input_size"),
    ({"pretrained_cfg": {"input_size": [3, -1, 64]}}, "input_size"),
    ({"pretrained_cfg": {"input_size": [3, 64.5, 64]}}, "input_size"),
    ({"pretrained_cfg": {"input_size": [3, 64]}}, "input_size"),
    ({"pretrained_cfg": {"input_size": [1, 64, 64]}}, "takes 1 input channels"),
    ({"pretrained_cfg": {"input_size": [3, 10**400, 64]}}, "no JSON|input_size"),
    ({"pretrained_cfg": {"interpolation": "x" * 50}}, "pretrained_cfg.interpolation"),
    ({"pretrained_cfg": {"interpolation": 3}}, "pretrained_cfg.interpolation"),
    ({"pretrained_cfg": {"crop_mode": "oval"}}, "pretrained_cfg.crop_mode"),
    ({"pretrained_cfg": {"fixed_input_size": 1}}, "fixed_input_size"),
    ({"pretrained_cfg": [1]}, "pretrained_cfg"),
    ({"arguments": [1]}, "arguments"),
    ({"arguments": {"layers": "abc"}}, "arguments.layers"),
    ({"arguments": {"layers": [500] * 99}}, "arguments.layers"),
    ({"arguments": {"layers": [500, 500, 500, 500]}}, "more than 12,000 tensors"),
    ({"arguments": {"layers": [3, 3, 3, 3]}}, "not one of test_resnet"),
    ({"arguments": {"base_width": 65_536, "cardinality": 65_536}}, "cannot build|not one of"),
    ({"arguments": {"stem_width": 65_536}}, "cannot build|not one of"),
    ({"arguments": {"act_layer": "no such thing"}}, "cannot build"),
    ({"arguments": {"attention_args": 3}}, "arguments.attention_args"),
    ({"arguments": {"attention_args": [3]}}, "arguments.attention_args"),
    ({"arguments": {"attention_args": {"rd_ratio": 0}}}, "rd_ratio"),
    ({"arguments": {"attention_args": {"rd_ratio": "x"}}}, "rd_ratio"),
    ({"arguments": {"attention_args": {"spatial_kernel_size": 10**6}}}, "spatial_kernel_size"),
    ({"arguments": {"attention_args": {"gate_layer": "os.system"}}}, "gate_layer"),
    ({"arguments": {"block_args": 3}}, "arguments.block_args"),
    ({"arguments": {"drop_rate": 7}}, "arguments.drop_rate"),
    ({"arguments": {"in_chans": 10**9}}, "arguments.in_chans"),
    ({"arguments": {"x" * 100_000: 1}}, "which a file may not"),
    ({"inserted_cbam": 3}, "inserted_cbam"),
    ({"inserted_cbam": {"at": 3}}, "inserted_cbam.at"),
    ({"inserted_cbam": {"at": [3]}}, "inserted_cbam.at"),
    ({"inserted_cbam": {}}, "inserted_cbam"),
    ({"inserted_cbam": {"at": ["y" * 100_000]}}, "inserted_cbam.at"),
    ({"inserted_cbam": {"at": ["nowhere"]}}, "no module named 'nowhere'"),
    ({"inserted_cbam": {"at": ["layer1", "layer1"]}}, "once only"),
    ({"attention": 3}, "attention"),
    ({"attention": "x" * 50}, "no attention layer named 'xxx"),
    ({"attention": "x" * 100_000}, "attention"),
    ({"architecture": ""}, "architecture"),
    ({"architecture": "x" * 100_000}, "architecture"),
    ({"architecture": "no_such_net_\x1b[31m"}, r"no_such_net_\\x1b"),
    ({"num_classes": -1}, "num_classes"),
    ({"num_classes": 10**30}, "num_classes"),
    ({"classes": "abc"}, "class names"),
    ({"classes": ["a", None, "c"]}, "class names"),
    ({"classes": ["a"] * 100_001}, "class names"),
    ({"title": "t" * 100_000}, "title"),
    ({"title": 3}, "title"),
    ({"accuracy": {"top1": 89.0}}, "top1"),
    ({"accuracy": {"top1": 1e300}}, "accuracy"),
    ({"accuracy": [1]}, "accuracy"),
    ({"default": "yes"}, "default"),
    ({"license": 3}, "license"),
    ({"schema": 1.5}, "schema"),
    ({"schema": -1}, "schema"),
    ({"schema": True}, "schema"),
    ({"schema": 10**4000}, "no JSON|schema"),
    ({"recipe": [[[[[[1]]]]]]}, "recipe"),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "text"), WRONG)
def test_what_is_of_a_wrong_type_or_out_of_range_is_refused(
    state: State, entries: dict[str, Any], text: str
) -> None:
    data = described(state, {"architecture": "test_resnet", "attention": "cbam", **entries})
    with pytest.raises((CheckpointError, ModelError), match=text):
        load_model(data)
    refusal(data)


@pytest.mark.parametrize(
    "entries",
    [
        {"arguments": None, "pretrained_cfg": None, "inserted_cbam": None, "classes": None},
        {"pretrained_cfg": {"mean": [0.5], "std": [1], "crop_pct": 1}},
        {"pretrained_cfg": {"input_size": None, "mean": None, "interpolation": "", "url": "x"}},
        {"pretrained_cfg": {"input_size": [3, 1024, 1024], "crop_pct": 1.15}},
        {"pretrained_cfg": {"interpolation": "random", "crop_mode": "squash"}},
        {"arguments": {"attention_args": None, "zero_init_last": False}},
        {"arguments": {"attention_args": {"rd_ratio": 0.0625}}},
        {"accuracy": {"top1": 0.5, "images": 1_281_167, "split": "val"}, "default": False},
        {"recipe": {"lr": 0.1, "phases": [{"side": 128, "steps": [1, 2]}]}, "schema": 1},
    ],
)
def test_what_is_within_the_ranges_loads(state: State, entries: dict[str, Any]) -> None:
    assert not refusal(described(state, {"architecture": "test_resnet", **entries}))


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "nul", "[]", "3", '"x"', "[" * 100_000, '{"a":' * 100_000, '{"schema":1}x',
        '{"schema":1,"schema":"x"}', '{"schema":1,"title":"\\ud800"}', '{"schema":1e400}',
        '{"schema":1,"pretrained_cfg":{"crop_pct":1e400}}', "{'schema':1}", "\x00",
        '{"schema":1,"classes":' + "[" * 500 + "]" * 500 + "}",
        '{"schema":1,"x":' + "[" * 900 + "]" * 900 + "}",
        '{"schema":1,"x":"' + "y" * 5_000_000 + '"}',
    ],
)  # fmt: skip
def test_texts_that_are_no_description(state: State, text: str) -> None:
    assert refusal(described(state, text))


def test_a_newer_schema_says_what_to_do(state: State) -> None:
    assert "Install a newer cbam-viz" in refusal(described(state, {"schema": 2}))
    assert "'xx" in refusal(described(state, {"schema": "x" * 10_000}))


@pytest.mark.parametrize(
    ("arguments", "size"),
    [({"output_stride": 8}, 1024), ({"replace_stem_pool": False}, 1024), ({}, 1024)],
)
def test_a_photo_becomes_no_giant(arguments: dict[str, Any], size: int) -> None:
    """A deep network at 1024 pixels; only what needs no more than the limit is loaded."""
    torch.manual_seed(0)
    name = "resnet50" if arguments else "resnet101"
    state = create_model(name, num_classes=2, **arguments).state_dict()
    entries = {
        "architecture": name,
        "arguments": arguments,
        "pretrained_cfg": {"input_size": [3, size, size]},
    }
    said = refusal(described(state, entries))
    heavy = name == "resnet101" or "output_stride" in arguments
    assert ("100 billion" in said) == heavy
    assert heavy or not said


def test_a_giant_of_random_attention_is_refused() -> None:
    plain = create_model("resnet18", num_classes=3, attention=None).state_dict()
    entries: dict[str, Any] = {"architecture": "resnet18", "attention": "cbam"}
    for channels, giant in ((65_536, True), (16, False)):
        entries["arguments"] = {"attention_args": {"rd_channels": channels}}
        said = refusal(described(plain, entries), allow_missing_attention=True)
        # Two matrices in each of eight layers, of 64, 128, 256 and 512 channels, two of each;
        # beside them 2 x 7 x 7 of a convolution and 4 of its normalisation.
        numbers = 2 * 2 * (64 + 128 + 256 + 512) * channels + 8 * (98 + 4)
        assert (f"would have {numbers:,} numbers" in said) == giant
        assert bool(said) == giant


def test_class_names_are_shown_on_one_line_and_short(state: State) -> None:
    entries: dict[str, Any] = {
        "architecture": "test_resnet",
        "classes": ["a\x1b[31m\n", "b" * 200, "猫"],
    }
    classes = load_model(described(state, entries)).classes
    assert classes == ("a [31m", "b" * 200, "猫")
    entries["classes"][1] += "b"
    loaded = load_model(described(state, entries))
    assert loaded.classes is None
    assert loaded.report is not None
    assert "longer than 200 characters" in loaded.report.text


def test_the_title_is_shown_on_one_line(state: State) -> None:
    entries = {"architecture": "test_resnet", "title": " a\nb\x1b[31m "}
    assert load_model(described(state, entries)).name == r"a\nb\x1b[31m"


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
VALUES = st.recursive(
    PLAIN | st.sampled_from([10**400, 2**63, "cbam", "layer1", 0, [3, 64, 64]]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["at", "mean"]), inner, max_size=4)
    ),
    max_leaves=12,
)
ENTRIES = st.dictionaries(st.sampled_from(Description.__struct_fields__), VALUES, max_size=6)
ARGUMENTS = st.dictionaries(st.sampled_from(Arguments.__struct_fields__), VALUES, max_size=4)
CONFIG = st.dictionaries(
    st.sampled_from(
        ["input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode", "fixed_input_size"]
    ),
    VALUES | st.sampled_from([[0.5, 0.5, 0.5], 0.9, "bilinear", [3, 96, 96]]),
    max_size=4,
)


@given(st.one_of(ENTRIES, VALUES, st.text()))
@settings(max_examples=400, deadline=None)
def test_any_description_is_read_or_refused_in_a_sentence(found: Any) -> None:
    text = found if isinstance(found, str) else json.dumps(found)
    sentence(lambda: parse_metadata({"cbam_viz": text}))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "arguments": ARGUMENTS | VALUES,
            "pretrained_cfg": CONFIG | VALUES,
            "inserted_cbam": st.fixed_dictionaries({"at": st.lists(st.sampled_from(
                ["layer1", "layer2.0", "", "conv1", "fc", "nowhere"]), max_size=3)}) | VALUES,
            "attention": st.sampled_from(["cbam", "lcbam", "none", "se", "eca", "bat", None]),
            "classes": st.lists(st.text(max_size=5), max_size=4),
            "num_classes": st.integers(),
            "accuracy": VALUES,
        },
    )
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_any_field_leads_to_a_network_or_to_a_sentence(found: dict[str, Any]) -> None:
    refusal(described(_state(), {"architecture": "test_resnet", **found}))


_cached: State = {}


def _state() -> State:
    if not _cached:
        torch.manual_seed(0)
        _cached.update(create_model("test_resnet", num_classes=3).state_dict())
    return _cached


@given(CONFIG | st.dictionaries(st.text(max_size=8), VALUES, max_size=2))
@settings(max_examples=300, deadline=None)
def test_any_input_description_of_ones_own_network(cfg: dict[str, Any]) -> None:
    """`pretrained_cfg` of a network that the user's code built has no schema but timm's habits."""
    if sentence(lambda: InputSpec.from_pretrained_cfg(cfg)):
        return
    spec = InputSpec.from_pretrained_cfg(cfg)
    assert all(isinstance(side, int) and side >= 1 for side in spec.size)
    assert all(math.isfinite(value) for value in (*spec.mean, *spec.std, spec.crop_pct))


HOSTILE = (
    {"pretrained_cfg": {"mean": 2}},
    {"arguments": {"attention_args": 3}},
    {"inserted_cbam": 3},
    {"architecture": "x" * 100_000},
)


@pytest.mark.parametrize("entries", HOSTILE)
def test_by_every_way_into_the_library(
    tmp_path: Path, state: State, entries: dict[str, Any]
) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(described(state, entries))
    assert refusal(path)
    assert refusal(str(path))
    for way in (
        lambda: create_model("test_resnet", checkpoint=path),
        lambda: convert_checkpoint(path, tmp_path / "out.safetensors"),
    ):
        assert sentence(way)
    assert not (tmp_path / "out.safetensors").exists()


def test_hostile_files_in_a_folder_neither_break_nor_slow_the_list(
    tmp_path: Path, state: State
) -> None:
    (tmp_path / "good.safetensors").write_bytes(described(state, {"architecture": "test_resnet"}))
    for number, entries in enumerate(HOSTILE):
        (tmp_path / f"bad{number}.safetensors").write_bytes(described(state, entries))
    header = b'{"a":' * 1_000_000
    (tmp_path / "deep.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    for number, odd in enumerate(
        (b"{}", b"[]", b'{"__metadata__":3}', b'{"__metadata__":{"a":1}}')
    ):
        (tmp_path / f"odd{number}.safetensors").write_bytes(len(odd).to_bytes(8, "little") + odd)
    started = time.process_time()
    entries, reasons = survey(tmp_path)
    assert time.process_time() - started < SECONDS
    assert {entry.path.name for entry in entries} == {"good.safetensors", "odd0.safetensors"}
    assert len(reasons) == len(HOSTILE) + 1 + 3
    assert all(len(reason) < LONGEST and reason.isprintable() for reason in reasons)
    assert list_checkpoints(tmp_path) == entries
    chosen = default_checkpoint(tmp_path)
    assert chosen is not None
    assert chosen.path.name == "good.safetensors"


@pytest.mark.parametrize("name", ["layer1.{}.weight", "x{}.{}.channel.fc1.weight"])
def test_many_tensors_take_their_time_and_no_more(state: State, name: str) -> None:
    """60,000 beside those of a network: what is quadratic in them takes minutes."""
    flat = torch.zeros(60_000)
    more = {name.format(i, i): flat[i : i + 1].clone() for i in range(60_000)}
    assert "cannot be told from the tensors" in refusal(save({**state, **more}))
    data = described({**state, **more}, {"architecture": "test_resnet"})
    said = refusal(data)  # what lies outside the network's own parts is left out
    assert ("60000 have no place in it" in said) == name.startswith("layer1")


def test_long_names_of_tensors_are_shortened(state: State) -> None:
    long = "layer1." + "n" * 100_000
    for more in ({long: torch.ones(1)}, {"a" * 100_000 + ".x": torch.ones(1)}):
        refusal(save({**state, **more}))
        refusal(save({**state, **more}), architecture="resnet18")
    loaded = load_model(save({**state, "loss." + "n" * 100_000: torch.ones(1)}))
    assert loaded.report is not None
    assert loaded.report.unexpected
    assert len(loaded.report.text) < LONGEST
