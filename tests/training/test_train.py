from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.layers.cbam import CbamModule
from torch import nn

import cbam_viz
from training.data.augment import crop_view
from training.data.cache import open_data
from training.data.teacher import TeacherSettings, compute_targets, open_targets
from training.errors import TrainingError
from training.measure.evaluate import evaluate, load_checkpoint, to_markdown
from training.run import train as command
from training.run.checkpoint import load_state, read_metadata
from training.run.losses import divergence
from training.run.model import create_network, soften_gates
from training.run.optimizer import Muon, orthogonalise
from training.run.recipe import Recipe

ARGUMENTS = {
    "layers": [1, 1, 1, 1],
    "channels": [16, 16, 32, 32],
    "stem_width": 8,
    "stem_type": "deep",
}


def options(data: Path, cache: Path, out: Path, *more: str, images: int = 480) -> list[str]:
    return [
        str(data), "--out", str(out), "--cache", str(cache), "--arguments", json.dumps(ARGUMENTS),
        "--phases", f"32:{images}", "--batch", "16", "--warmup", "32", "--cooldown", "160",
        "--ema", "0.8", "--evaluate-every", "160", "--device", "cpu", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(data: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 30 steps."""
    out = tmp_path_factory.mktemp("run")
    command.main(options(data, cache, out))
    return out


def test_the_loss_falls_and_the_classes_are_learnt(finished: Path) -> None:
    log = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [entry["images"] for entry in log] == [160, 320, 480]
    assert log[-1]["loss"] < 0.8 * log[0]["loss"]
    assert log[-1]["top1"] > 0.6


def test_a_resumed_run_equals_an_uninterrupted_one(
    data: Path, cache: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_step = command.Run.train_step

    def stop_after_eleven(run: command.Run, step: int, batch: Any) -> torch.Tensor:
        if step == 11:
            raise KeyboardInterrupt
        return train_step(run, step, batch)

    with monkeypatch.context() as patch:
        patch.setattr(command.Run, "train_step", stop_after_eleven)
        with pytest.raises(SystemExit, match="resumes"):
            command.main(options(data, cache, tmp_path))
    assert load_state(tmp_path / "state.pt").step == 11
    command.main(options(data, cache, tmp_path))
    resumed, whole = load_state(tmp_path / "state.pt"), load_state(finished / "state.pt")
    assert resumed.step == whole.step == 30
    for key, value in whole.model.items():
        assert torch.equal(resumed.model[key], value), key
    for key, value in whole.average.items():
        assert torch.equal(resumed.average[key], value), key


def test_resuming_with_another_recipe_is_refused(
    data: Path, cache: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"error: .*lr differ"):
        command.main(options(data, cache, finished, "--lr", "0.5"))
    with pytest.raises(SystemExit, match="done already"):
        command.main(options(data, cache, finished, images=960))


def test_the_checkpoint_rebuilds_the_network(finished: Path) -> None:
    path = finished / "last.safetensors"
    metadata = read_metadata(path)
    assert metadata["schema"] == 1
    assert metadata["classes"] == ["blue square", "red square", "stripes"]
    network = timm.create_model(
        metadata["architecture"],
        num_classes=metadata["num_classes"],
        block_args={"attn_layer": metadata["attention"]},
        **metadata["arguments"],
    ).eval()
    network.load_state_dict(load_file(str(path)))
    average = load_state(finished / "state.pt").average
    for key, value in network.state_dict().items():
        assert torch.equal(value, average[f"network.{key}"])
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = network(images)
        ours = load_checkpoint(path).network(images)
        shown = cbam_viz.create_model(metadata["architecture"], checkpoint=path)(images)
    assert torch.equal(ours, wanted)
    torch.testing.assert_close(shown, wanted, atol=1e-6, rtol=0)


def test_a_price_on_open_places_closes_them(data: Path, cache: Path, tmp_path: Path) -> None:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    opened = []
    for price in ("0", "5"):
        more = ("--lr", "0.05", "--open-spatial", price, "--open-spatial-after", "160")
        command.main(options(data, cache, tmp_path / price, *more))
        network = load_checkpoint(tmp_path / price / "last.safetensors").network
        maps = [layer.spatial for layer in cbam_viz.capture(network, images).values()]
        opened.append(torch.stack([one.mean() for one in maps if one is not None]).mean().item())
    assert opened[1] < opened[0] - 0.05


def test_penalties_begin_when_the_recipe_says() -> None:
    recipe = Recipe(batch=10, gate_decay=0.5, open_spatial=2.0, open_spatial_after=100)
    assert [recipe.gate_decay_at(step) for step in (0, 9, 10)] == [0.5, 0.5, 0.5]
    assert [recipe.open_spatial_at(step) for step in (0, 9, 10)] == [0.0, 0.0, 2.0]
    without = Recipe(attention=None, gate_decay=0.5, open_spatial=2.0)
    assert (without.gate_decay_at(0), without.open_spatial_at(0)) == (0.0, 0.0)


def test_the_twin_differs_by_its_gates_alone(data: Path, cache: Path, tmp_path: Path) -> None:
    command.main(options(data, cache, tmp_path, "--attention", "none", images=32))
    assert read_metadata(tmp_path / "last.safetensors")["attention"] is None
    twin = set(load_file(str(tmp_path / "last.safetensors")))
    with_cbam = set(create_network("resnet18", "cbam", 3, ARGUMENTS).state_dict())
    assert twin < with_cbam
    assert all(".se." in key for key in with_cbam - twin)


def test_evaluation_of_a_run(finished: Path, data: Path) -> None:
    numbers = evaluate(finished / "last.safetensors", data)
    assert numbers["accuracy"]["images"] == 12
    assert set(numbers["accuracy"]["per_class"]) == {"blue square", "red square", "stripes"}
    assert sum(map(sum, numbers["accuracy"]["confusion"])) == 12
    maps = numbers["localisation"]["maps"]
    assert numbers["localisation"]["images"] == 8
    assert {"layer1.0.se map", "layer4.0.se 1 - map", "uniform", "centre Gaussian"} < set(maps)
    # The box covers 20 x 16 of the central 48 x 48 pixels that the network sees.
    assert maps["uniform"]["energy"] == pytest.approx(320 / 48**2, abs=4e-3)
    assert maps["uniform"]["pointing"] == pytest.approx(320 / 48**2, abs=4e-3)
    assert maps["centre Gaussian"]["pointing"] == 1.0
    text = to_markdown(numbers)
    assert "| layer4.0.se 1 - map |" in text
    assert "Top-1" in text
    assert numbers["views"]["top1"]["crop"] == numbers["accuracy"]["top1"]
    assert "| border |" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--arguments", "{"), "no JSON"),
        (("--architecture", "resnet999"), "timm cannot build"),
        (("--targets", "nowhere"), "no teacher targets"),
    ],
)
def test_wrong_options_give_one_sentence(
    data: Path, cache: Path, tmp_path: Path, more: tuple[str, str], message: str
) -> None:
    with pytest.raises(SystemExit, match=f"error: .*{message}"):
        command.main(options(data, cache, tmp_path, *more))


def test_a_teacher_is_optional_and_its_targets_belong_to_the_views(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    teacher = timm.create_model("test_resnet").eval()
    torch.save(teacher.state_dict(), tmp_path / "teacher.pth")
    train, val = open_data(data, cache, 160)
    settings = TeacherSettings("test_resnet", views=2, side=64, scale=(0.5, 1.0), seed=3)
    compute_targets(
        train,
        val,
        weights=tmp_path / "teacher.pth",
        settings=settings,
        folder=tmp_path / "targets",
        device=torch.device("cpu"),
        workers=2,
        compile_model=False,
    )
    targets = open_targets(tmp_path / "targets", len(train))
    assert targets.settings == settings
    assert targets.own.shape == (36, 2, 1000)
    assert targets.probe.shape == (36, 2, 3)
    view = torch.from_numpy(crop_view(train.image(30), (3, 30, 1), (0.5, 1.0), 64))
    config = teacher.pretrained_cfg
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        wanted = teacher(((view.permute(2, 0, 1) / 255 - mean) / std)[None])[0]
    stored = torch.tensor(targets.own[30, 1].tolist())
    assert torch.corrcoef(torch.stack([stored, wanted]))[0, 1] > 0.99  # bf16 and batch of 64
    command.main(
        options(data, cache, tmp_path / "run", "--targets", str(tmp_path / "targets"), images=64)
    )
    assert (tmp_path / "run" / "last.safetensors").exists()
    with pytest.raises(TrainingError, match="36 images, the data has 35"):
        open_targets(tmp_path / "targets", 35)


def test_divergence_vanishes_for_equal_logits_only() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert divergence(logits, logits + 5, 2.0).item() == pytest.approx(0, abs=1e-6)
    # By hand: teacher 3/4, 1/4 and student 1/2, 1/2 give 0.75 ln 1.5 + 0.25 ln 0.5.
    teacher = torch.tensor([[0.75, 0.25]]).log()
    assert divergence(torch.zeros(1, 2), teacher, 1.0).item() == pytest.approx(0.130812, abs=1e-5)


def test_orthogonalised_updates_have_singular_values_near_one() -> None:
    matrix = torch.randn(24, 90, generator=torch.Generator().manual_seed(0))
    for each in (matrix, matrix.T):
        values = torch.linalg.svdvals(orthogonalise(each).float())
        assert values.min() > 0.5
        assert values.max() < 1.35


def test_muon_descends() -> None:
    weight = nn.Parameter(torch.eye(16, 36).reshape(16, 4, 3, 3))  # every singular value is 1
    optimizer = Muon([weight], lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
    assert torch.linalg.svdvals(weight.reshape(16, -1)).max() < 0.4


def test_gates_start_where_they_can_learn() -> None:
    torch.manual_seed(0)
    network = create_network("resnet18", "cbam", 3, {**ARGUMENTS, "zero_init_last": False})
    soften_gates(network)
    gates: list[torch.Tensor] = []
    for module in network.modules():
        if isinstance(module, CbamModule):
            module.channel.gate.register_forward_hook(lambda m, a, out: gates.append(out))
    network(torch.randn(4, 3, 64, 64))
    assert len(gates) == 4
    for gate in gates:
        assert gate.min() > 0.2
        assert gate.max() < 0.8
        assert gate.std() > 1e-3
