"""Class names and the input: from the file, from `config.json` beside it, or said to be assumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from cbam_viz.errors import ModelError
from cbam_viz.images import InputSpec
from cbam_viz.models import (
    convert_checkpoint,
    create_model,
    imagenet_classes,
    input_spec,
    load_model,
    load_own_model,
    wrap_model,
)
from cbam_viz.models.names import MOST_NAMES, find_names, read_names_file
from cbam_viz.models.stated import checked_input, read_config

ANIMALS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")
BY_NAME = {name: place for place, name in enumerate(ANIMALS)}
BY_PLACE = dict(enumerate(ANIMALS))


def state(classes: int = 7) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return create_model("test_resnet", num_classes=classes, zero_init_last=False).state_dict()


def write(folder: Path, content: Any, config: Any = None) -> Path:
    torch.save(content, folder / "model.pth")
    if config is not None:
        (folder / "config.json").write_text(
            config if isinstance(config, str) else json.dumps(config)
        )
    return folder / "model.pth"


@pytest.mark.parametrize(
    "beside",
    [
        {"classes": list(ANIMALS)},
        {"classes": ANIMALS},
        {"CLASSES": ANIMALS},
        {"class_names": list(ANIMALS)},
        {"class_to_idx": BY_NAME},
        {"class_to_idx": dict(reversed(BY_NAME.items()))},
        {"idx_to_class": BY_PLACE},
        {"idx_to_class": {str(place): name for place, name in BY_PLACE.items()}},
        {"names": BY_PLACE},
        {"label2id": BY_NAME},
        {"class2idx": BY_NAME},
        {"idx2class": BY_PLACE},
        {"label_map": BY_PLACE},
        {"classes": np.array(ANIMALS)},
        {"classes": np.array(ANIMALS, dtype=object)},
        {"label_map": {name: np.int64(place) for name, place in BY_NAME.items()}},
        {"meta": {"categories": list(ANIMALS)}},  # torchvision's
        {"meta": {"dataset_meta": {"classes": ANIMALS, "palette": [[0, 0, 0]]}}},  # mmengine's
        {"hyper_parameters": {"class_names": list(ANIMALS)}},  # Lightning's
        {"classes": list(ANIMALS), "class_to_idx": BY_NAME, "labels": torch.zeros(3)},
        {"classes": 7, "names": list(ANIMALS)},
    ],
)
def test_names_in_the_file_are_the_networks(tmp_path: Path, beside: dict[str, Any]) -> None:
    loaded = load_model(write(tmp_path, {"state_dict": state(), **beside}))
    assert loaded.classes == ANIMALS
    assert loaded.report is not None
    assert "in the file." in loaded.report.text
    own = load_own_model(create_model("test_resnet", num_classes=7), tmp_path / "model.pth")
    assert own.classes == ANIMALS


@pytest.mark.parametrize(
    ("beside", "note"),
    [
        ({"classes": list(ANIMALS[:3])}, "names 3 classes, the network has 7"),
        ({"classes": [*ANIMALS[:6], 7]}, "not every entry is a text"),
        ({"classes": [*ANIMALS[:6], ""]}, "not every entry is a text"),
        ({"classes": [*ANIMALS[:6], "x" * 10**6]}, "longer than 200 characters"),
        ({"classes": ["x"] * (MOST_NAMES + 1)}, "100,001 entries are too many"),
        ({"class_to_idx": {**BY_NAME, "gnu": 5}}, "are not 0, 1, 2 and so on"),
        ({"class_to_idx": {**BY_NAME, "gnu": True}}, "class names"),
        ({"class_to_idx": {name: place + 1 for name, place in BY_NAME.items()}}, "are not 0, 1"),
        ({"idx_to_class": {"0": "ant", "00": "bee"}}, "are not 0, 1, 2 and so on"),
        ({"idx_to_class": {"9" * 5000: "ant"}}, "are not 0, 1, 2 and so on"),
        ({"names": [[]] * 7}, "not every entry is a text"),
        ({"names": {0: {"deep": 1}}}, "not every entry is a text"),
        ({"classes": list(ANIMALS), "class_to_idx": {n: 6 - i for n, i in BY_NAME.items()}},
         "name different classes, so neither is used"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_right_are_left_out_with_a_note(
    tmp_path: Path, beside: dict[str, Any], note: str
) -> None:
    loaded = load_model(write(tmp_path, {"state_dict": state(), **beside}))
    assert loaded.classes is None
    assert loaded.report is not None
    assert note in loaded.report.text
    assert len(loaded.report.text) < 2000


def test_a_file_that_holds_itself_ends() -> None:
    content: dict[str, Any] = {"meta": {}}
    content["meta"]["meta"] = content
    content["config"] = {"config": content["meta"], "data": [content]}
    assert find_names(content, "the file").names is None


def test_names_come_without_letters_that_move_others() -> None:
    found = find_names({"classes": ["a\nb", "c\x1b[31m", "d\u202ee"]}, "the file")
    assert found.names == ("a b", "c [31m", "d e")
    joined = ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f468\u200d\U0001f467")
    assert find_names({"classes": list(joined)}, "the file").names == joined


def test_a_thousand_outputs_are_not_imagenet(tmp_path: Path) -> None:
    assert load_model(write(tmp_path, state(1000))).classes is None
    assert wrap_model(create_model("test_resnet")).classes is None
    assert wrap_model(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 1000))).classes is None
    assert load_model(None, architecture="test_resnet").classes is None


CONFIG = {
    "architecture": "test_resnet",
    "num_classes": 7,
    "num_features": 1,
    "pretrained_cfg": {
        "tag": "mine",
        "input_size": [3, 96, 128],
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "interpolation": "bilinear",
        "crop_pct": 0.75,
        "crop_mode": "squash",
        "num_classes": 7,
    },
    "label_names": [f"n{place}" for place in range(7)],
    "label_descriptions": {f"n{place}": name for place, name in enumerate(ANIMALS)},
}


def test_timms_config_beside_the_file_gives_the_input_and_the_labels(tmp_path: Path) -> None:
    loaded = load_model(write(tmp_path, state(), CONFIG))
    assert loaded.spec.size == (96, 128)
    assert loaded.spec.mean == (0.1, 0.2, 0.3)
    assert loaded.spec.std == (0.4, 0.5, 0.6)
    assert (loaded.spec.interpolation, loaded.spec.crop_pct) == ("bilinear", 0.75)
    assert loaded.spec.crop_mode == "squash"
    assert loaded.spec.assumed == ()
    assert loaded.classes == ANIMALS
    assert "stated by config.json beside the checkpoint" in loaded.spec.sentence()
    assert loaded.report is not None
    assert "Size, normalisation, crop of the input: stated by config.json" in (loaded.report.text)
    assert input_spec(loaded.model) == loaded.spec
    content = (tmp_path / "model.pth").read_bytes()
    assert load_model(content).classes is None  # an upload has nothing beside it
    assert load_model(content).spec.size != (96, 128)
    # The next network of that architecture is as timm has it.
    assert input_spec(timm.create_model("test_resnet")).size != (96, 128)


def test_what_timm_itself_saves_is_read(tmp_path: Path) -> None:
    from timm.models._hub import save_config_for_hf

    model = timm.create_model("test_resnet", num_classes=7)
    save_config_for_hf(model, str(tmp_path / "config.json"), {"label_names": list(ANIMALS)})
    loaded = load_model(write(tmp_path, state()))
    assert loaded.classes == ANIMALS
    assert loaded.spec.assumed == ()


def test_the_file_wins_over_what_lies_beside_it(tmp_path: Path) -> None:
    letters = list("abcdefg")
    args = {"img_size": 64, "mean": [0.5] * 3, "std": None, "crop_pct": 0.9, "model": "x"}
    content = {"state_dict": state(), "class_names": letters, "args": args}
    loaded = load_model(write(tmp_path, content, CONFIG))
    assert loaded.classes == tuple(letters)
    assert loaded.spec.size == (64, 64)
    assert loaded.spec.crop_pct == 0.9
    assert loaded.spec.std == (0.4, 0.5, 0.6)
    assert loaded.spec.origin.size == "stated by the checkpoint"


def test_imagenets_names_where_the_config_says_that_it_is_imagenet(tmp_path: Path) -> None:
    cfg = {"architecture": "test_resnet", "num_classes": 1000, "pretrained_cfg": {"tag": "a_in1k"}}
    assert load_model(write(tmp_path, state(1000), cfg)).classes == imagenet_classes()
    cfg["pretrained_cfg"] = {"tag": "mine"}
    assert load_model(write(tmp_path, state(1000), cfg)).classes is None


@pytest.mark.parametrize(
    ("config", "note"),
    [
        ({**CONFIG, "architecture": "resnet50"}, "config.json beside the file is of resnet50"),
        ({**CONFIG, "num_classes": 1000}, "is of 1,000 classes; not used"),
        ({"model_type": "vit", "id2label": dict(enumerate(ANIMALS))}, "is of vit; not used"),
        ("{", "cannot be read; not used"),
        ("[" * 100_000, "cannot be read; not used"),
        ("7", ""),
        ({"architecture": ["x"], "pretrained_cfg": 3, "label_names": "imagenet"}, ""),
        ({"pretrained_cfg": {"mean": [1e400, 0, 0], "std": 2, "crop_pct": "abc",
                             "input_size": [3, 10**9, 1], "interpolation": [], "tag": 4}},
         "'crop_pct' in config.json beside the file is none that an input can have"),
    ],
)  # fmt: skip
def test_a_config_that_does_not_fit_is_left_out(tmp_path: Path, config: Any, note: str) -> None:
    loaded = load_model(write(tmp_path, state(), config))
    assert loaded.classes is None
    assert set(loaded.spec.assumed) == {"size", "normalisation", "crop"}
    assert loaded.report is not None
    assert note in loaded.report.text


def test_a_config_outside_the_folder_is_not_opened(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    file = write(inside, state())
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (inside / "config.json").symlink_to(tmp_path / "config.json")
    assert read_config(file, inside).content == {}
    assert read_config(file).content == CONFIG


@pytest.mark.parametrize(
    "value", [torch.ones(3), torch.tensor(0.5), True, float("nan"), 10**400, [None] * 3, {}, -1]
)
def test_hostile_inputs_are_left_out(value: Any) -> None:
    given = dict.fromkeys(("input_size", "mean", "std", "crop_pct", "crop_mode"), value)
    fitting, notes = checked_input(given, "it")
    assert fitting == {}
    assert len(notes) == 5


def test_who_says_what_the_input_is(tmp_path: Path) -> None:
    silent = load_model(write(tmp_path, state()))
    assert silent.spec.assumed == ("size", "normalisation", "crop")
    assert silent.spec.sentence().endswith(
        "(assumed: timm's default for test_resnet; the file does not say)."
    )
    untrained = load_model(None, architecture="resnet18")
    assert untrained.spec.assumed == ()
    assert untrained.spec.sentence() == (
        "Input: 224 × 224 crop, ImageNet mean and std (timm's default for resnet18)."
    )
    own = wrap_model(nn.Conv2d(3, 4, 1))
    assert own.spec.sentence() == (
        "Input: 224 × 224 crop, ImageNet mean and std (assumed: the network does not say)."
    )
    assert "normalisation" in own.spec.assumed
    given = wrap_model(nn.Conv2d(3, 4, 1), InputSpec(size=(64, 96)))
    assert given.spec.sentence() == "Input: 96 × 64 crop, ImageNet mean and std (as given)."
    part = InputSpec.from_pretrained_cfg({"input_size": (3, 32, 32), "crop_pct": 1.0}, source="S")
    assert part.assumed == ("normalisation",)
    assert part.sentence("whole") == (
        "Input: whole photo at the scale of a crop of 32 × 32, ImageNet mean and std "
        "(size and crop S; normalisation assumed: the network does not say)."
    )
    fixed = InputSpec(size=(32, 64), fixed_size=True)
    assert fixed.sentence("whole").startswith("Input: whole photo fitted into 64 × 32, ")
    yolo = InputSpec(mean=(0.0,) * 3, std=(1.0,) * 3)
    assert "values from 0 to 1" in yolo.sentence()
    assert (
        "mean 0.5, 0.5, 0.5 and std 0.25" in InputSpec(mean=(0.5,) * 3, std=(0.25,) * 3).sentence()
    )


def test_converting_does_not_turn_assumptions_into_statements(tmp_path: Path) -> None:
    conversion = convert_checkpoint(write(tmp_path, state()))
    again = load_model(conversion.path)
    assert set(again.spec.assumed) == {"size", "normalisation", "crop"}
    assert again.classes is None
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    told = load_model(convert_checkpoint(tmp_path / "model.pth", tmp_path / "t.safetensors").path)
    assert told.spec.mean == (0.1, 0.2, 0.3)
    assert told.spec.origin.normalisation == "stated by the checkpoint"
    assert told.classes == ANIMALS


@pytest.mark.parametrize(
    "text",
    [
        "ant\nbee\ncat",
        "\ufeffant\r\n bee \r\ncat\r\n\r\n",
        '["ant", "bee", "cat"]',
        '{"cat": 2, "ant": 0, "bee": 1}',
        '{"0": ["n1", "ant"], "1": ["n2", "bee"], "2": ["n3", "cat"]}',
        '{"class_to_idx": {"ant": 0, "bee": 1, "cat": 2}, "epoch": 3}',
    ],
)
def test_files_of_class_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "names").write_text(text, encoding="utf-8", newline="")
    assert read_names_file(str(tmp_path / "names")) == ("ant", "bee", "cat")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is empty"),
        ("ant\n\nbee", "not every entry is a text"),
        ('{"ant": 0, "bee": 2}', "are not 0, 1, 2"),
        ("[1, 2]", "not every entry is a text"),
        ("{", "holds no class names"),
    ],
)
def test_files_without_class_names(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "names").write_text(text)
    with pytest.raises(ModelError, match=says):
        read_names_file(str(tmp_path / "names"))
