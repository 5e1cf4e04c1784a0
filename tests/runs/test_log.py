"""Gates logged during a training: what is written, and that the training notices nothing."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cbam_viz.errors import CaptureError, NoAttentionError, StoreError
from cbam_viz.runs import findings, log_gates, open_run, run_numbers
from tests.runs.nets import LAYERS, Gated, network, set_gates

pytest.importorskip("pyarrow")


def probes(seed: int = 0, count: int = 2, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_a_log_in_closed_form(tmp_path: Path) -> None:
    """Channel weights 0.5 that collapse at epoch 3; a ramp that is flat at first."""
    model = Gated().eval()
    for epoch, (weight, ramp) in enumerate(
        [(0.5, (0.5, 0.5)), (0.7, (0.2, 0.8)), (0.02, (0.0, 1.0)), (0.01, (0.1, 0.9))], 1
    ):
        model.weight, model.ramp = weight, ramp
        log_gates(model, epoch, probes(), tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert run.numbers == (1, 2, 3, 4)
    rows = {(one.part, one.number): one for one in run_numbers(run)}
    ramp = np.linspace(0.2, 0.8, 16)
    assert rows["channel", 2].mean == pytest.approx(0.7)
    assert rows["spatial", 2].mean == pytest.approx(0.5)
    assert rows["spatial", 2].spread == pytest.approx(ramp.std())
    assert rows["spatial", 2].fixed == pytest.approx(1)
    apart = np.linspace(0, 1, 16) - ramp
    assert rows["spatial", 3].change_previous == pytest.approx(np.sqrt((apart**2).mean()))
    assert rows["channel", 2].change_last == pytest.approx(0.69)
    assert rows["spatial", 3].saturated == pytest.approx(2 / 16)
    told = [(one.kind, one.part, one.began, one.until, one.lasts) for one in
            findings(run_numbers(run))]  # fmt: skip
    assert told == [
        ("collapsed", "channel", 3, 4, True),
        ("constant", "channel", 1, 2, False),
        ("constant", "spatial", 1, 1, False),
    ]


def trained(folder: Path | None, steps: int = 6) -> tuple[list[torch.Tensor], list[float]]:
    """A short training with dropout, BatchNorm and random augmentation, logged or not."""
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002  # the generator that such code uses
    model = Gated()
    model.bn.eval()  # one module in another mode than the rest, as with a frozen BatchNorm
    model.stem.register_forward_hook(lambda *_: None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    data = torch.rand(8, 3, 16, 16)
    losses = []
    for step in range(steps):
        noise = torch.randn_like(data) * random.random() * float(np.random.rand())  # noqa: NPY002
        loss = functional.cross_entropy(model(data + noise), torch.tensor([0, 1] * 4))
        optimizer.zero_grad()
        loss.backward()
        if folder is not None:  # between backward and step: gradients are there
            log_gates(model, step, probes(), folder, unit="step")
        optimizer.step()
        losses.append(loss.item())
        model.bn.train(step % 2 == 0)
    assert model.calls == steps
    assert model.training
    assert len(model.stem._forward_hooks) == 1
    assert model.last is not None
    assert model.last.requires_grad
    state = [*model.state_dict().values(), *(p.grad for p in model.parameters())]
    return [one.clone() for one in state], losses


def test_a_training_is_the_same_bit_for_bit_with_and_without_it(tmp_path: Path) -> None:
    plain, losses = trained(None)
    logged, again = trained(tmp_path / "run")
    assert losses == again
    assert all(torch.equal(one, two) for one, two in zip(plain, logged, strict=True))
    assert open_run(tmp_path / "run").numbers == tuple(range(6))


def test_the_trainings_own_autocast_keeps_no_weights_without_gradients(tmp_path: Path) -> None:
    def gradient(log: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(Gated(), nn.Linear(2, 2))
        with torch.autocast("cpu", torch.bfloat16):
            if log:
                log_gates(model, 0, probes(), tmp_path / "run")
            torch.manual_seed(1)
            loss = model(probes(1)).float().square().sum()
        loss.backward()
        assert model[1].weight.grad is not None
        return model[1].weight.grad

    assert torch.equal(gradient(False), gradient(True))


def test_gates_are_those_of_eval_mode(tmp_path: Path) -> None:
    model = network().train()
    inputs = probes(side=32)
    found = log_gates(model, 1, inputs, tmp_path / "run")
    with torch.no_grad():
        model.eval()
        expected = log_gates(model, 2, inputs, tmp_path / "run")
    for name in LAYERS:
        assert torch.equal(found[name].spatial, expected[name].spatial)
        assert found[name].verified
    assert found[LAYERS[0]].spatial.std() > 0
    set_gates(model, {LAYERS[1]: (0.25, 0.75)})
    found = log_gates(model, 3, inputs, tmp_path / "run")
    torch.testing.assert_close(found[LAYERS[1]].channel, torch.full((2, 4), 0.25))


def test_wrapped_networks_and_a_number_that_comes_again(tmp_path: Path) -> None:
    model = network()
    wrapped = nn.DataParallel(model)
    log_gates(wrapped, 1, probes(side=32), tmp_path / "run")
    log_gates(model, 2, probes(side=32), tmp_path / "run")
    set_gates(model, {LAYERS[0]: (0.3, 0.3)})
    log_gates(model, 2, probes(side=32), tmp_path / "run")  # a training that went back
    run = open_run(tmp_path / "run")
    assert run.numbers == (1, 2)
    layer = run.epoch(2).attentions[0][LAYERS[0]]
    torch.testing.assert_close(layer.channel, torch.full((1, 4), 0.3))


def test_pictures_are_those_given_or_the_inputs(tmp_path: Path) -> None:
    pictures = [np.full((20, 20, 3), 200, np.uint8), np.full((20, 20, 3), 40, np.uint8)]
    log_gates(Gated(), 0, probes(), tmp_path / "a", pictures=pictures, names=["light", "dark"])
    run = open_run(tmp_path / "a")
    assert [photo.name for photo in run.photos] == ["light", "dark"]
    assert [int(photo.pixels.mean()) for photo in run.photos] == [200, 40]
    analysis = run.analyses(0)[0]
    assert analysis.geometry.seen == (0, 0, 20, 20)
    log_gates(Gated(), 0, probes() * 6 - 3, tmp_path / "b")
    photo = open_run(tmp_path / "b").photos[0]
    assert photo.size == (16, 16)
    wanted = probes()[0].numpy().transpose(1, 2, 0)
    near = np.corrcoef(photo.pixels.ravel(), wanted.ravel())[0, 1]
    assert near > 0.5  # JPEG of noise


class Writer:
    """TensorBoard's SummaryWriter, as far as it is used."""

    def __init__(self) -> None:
        self.scalars: dict[tuple[str, int], float] = {}
        self.images: dict[tuple[str, int], torch.Tensor] = {}

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars[tag, step] = value

    def add_image(self, tag: str, image: torch.Tensor, step: int) -> None:
        self.images[tag, step] = image


def test_tensorboard_gets_numbers_and_maps(tmp_path: Path) -> None:
    model, writer = Gated(), Writer()
    model.weight, model.ramp = 0.25, (0.0, 1.0)
    found = log_gates(model, 7, probes(), tmp_path / "run", writer=writer)
    (name,) = found
    assert writer.scalars[f"gates/{name}/channel/mean", 7] == pytest.approx(0.25)
    assert writer.scalars[f"gates/{name}/spatial/saturated", 7] == pytest.approx(2 / 16)
    image = writer.images[f"gates/{name}/map", 7]
    assert image.shape == (1, 16, 16)
    torch.testing.assert_close(image[0, 0], torch.linspace(0, 1, 16))


@pytest.mark.parametrize(
    ("inputs", "number", "options", "kind", "said"),
    [
        (torch.rand(3, 16, 16), 0, {}, CaptureError, "a batch of inputs"),
        (torch.rand(0, 3, 16, 16), 0, {}, CaptureError, "a batch of inputs"),
        (torch.rand(65, 3, 4, 4), 0, {}, CaptureError, "at most 64"),
        (torch.rand(1, 3, 16, 16), -1, {}, CaptureError, "from 0 on"),
        (torch.rand(1, 3, 16, 16), 0, {"names": ["a", "b"]}, CaptureError, "2 names"),
        (torch.rand(1, 3, 16, 16), 0, {"pictures": [np.zeros((4, 4))]}, CaptureError, "A picture"),
    ],
)  # fmt: skip
def test_wrong_calls_are_said(
    inputs: torch.Tensor, number: int, options: dict, kind: type, said: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said):
        log_gates(Gated(), number, inputs, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_network_without_gates_and_a_run_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoAttentionError):
        log_gates(nn.Conv2d(3, 4, 3), 0, probes(), tmp_path / "run")
    log_gates(Gated(), 0, probes(), tmp_path / "run")
    with pytest.raises(StoreError, match="its inputs are others"):
        log_gates(Gated(), 1, probes(1), tmp_path / "run")
    with pytest.raises(StoreError, match="its numbers are epochs"):
        log_gates(Gated(), 1, probes(), tmp_path / "run", unit="step")
    with pytest.raises(StoreError, match="the run of another network"):
        log_gates(network(), 1, probes(), tmp_path / "run")


def test_a_full_disk_is_a_warning_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_gates(Gated(), 0, probes(), tmp_path / "run")

    def full(*_: object, **__: object) -> None:
        raise StoreError("No space left on device.")

    monkeypatch.setattr("cbam_viz.runs.log.write_epoch", full)
    with pytest.warns(UserWarning, match="The gates of epoch 1 are not logged: No space left"):
        log_gates(Gated(), 1, probes(), tmp_path / "run")
    assert open_run(tmp_path / "run").numbers == (0,)
