"""Faster ways: the same gates within what is stated, and refused where that is not so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import cbam_viz
from cbam_viz.batch import fast
from cbam_viz.batch.fusing import fuse_norms
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.errors import ModelError, StoreError
from cbam_viz.models import LoadedModel, wrap_model
from cbam_viz.models.feed import input_of

pq = pytest.importorskip("pyarrow.parquet")


def prepared(loaded: LoadedModel, photos: Path, count: int = 4) -> list:
    paths = sorted((photos / "ant").iterdir())[:count]
    read = [cbam_viz.read_photo(path) for path in paths]
    return [(photo, input_of(loaded, photo, "crop")) for photo in read]


@pytest.mark.parametrize("ways", [("channels_last",), ("fuse",), ("channels_last", "fuse")])
def test_the_same_gates(loaded: LoadedModel, photos: Path, ways: tuple[str, ...]) -> None:
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    layout = loaded.model.conv1[0].weight.stride()
    first, others = prepared(loaded, photos, 8)[:4], prepared(loaded, photos, 8)[4:]
    forward, effect = fast.fast_forward(loaded, first, 4, ways)
    assert effect.gates < 1e-5
    assert effect.output < 1e-4
    x = torch.cat([made.tensor for _, made in others])
    with torch.inference_mode():
        wanted, found = cbam_viz.capture(loaded.model, x), forward(x)
    assert list(found) == list(wanted)
    for name in wanted:
        torch.testing.assert_close(found[name].channel, wanted[name].channel, atol=1e-5, rtol=0)
        torch.testing.assert_close(found[name].spatial, wanted[name].spatial, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.output, wanted.output, atol=1e-4, rtol=1e-5)
    assert loaded.model.conv1[0].weight.stride() == layout  # the network is as it was
    assert all(torch.equal(value, before[n]) for n, value in loaded.model.state_dict().items())


def test_norms_become_part_of_convolutions() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, groups=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, groups=4, bias=False), torch.nn.BatchNorm2d(8, affine=False),
        torch.nn.ConvTranspose2d(8, 4, 2), torch.nn.BatchNorm2d(4),
    ).eval()  # fmt: skip
    for norm in model:
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
            if norm.affine:
                torch.nn.init.uniform_(norm.weight)
                torch.nn.init.uniform_(norm.bias)
    x = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        module = torch.export.export(model, (x,)).module()
        assert fuse_norms(module) == 2  # the last follows a transposed one
        torch.testing.assert_close(module(x), model(x), atol=1e-5, rtol=1e-5)
    left = [node for node in module.graph.nodes if node.op == "call_function"]
    left = [node for node in left if "batch_norm" in str(node.target)]
    assert len(left) == 1


def test_what_differs_too_much_is_refused_with_the_figure(
    loaded: LoadedModel, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "HALF", 1e-7)
    with pytest.raises(ModelError, match=r"gates of .* differ by \d.*; 1e-07 is allowed"):
        fast.fast_forward(loaded, prepared(loaded, photos), 4, ("bf16",))


class Constant(torch.nn.Module):
    """Own code: a gate that is one half everywhere, for every photo."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 6, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        gate = torch.sigmoid(x.mean((2, 3)) * 0)
        return (x * gate[:, :, None, None]).mean((2, 3))


class Asking(Constant):
    """Own code whose way depends on values: it cannot be exported."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        if float(x.mean()) > 10:
            x = x * 2
        return (x * torch.sigmoid(x.mean((2, 3)))[:, :, None, None]).mean((2, 3))


@pytest.mark.parametrize(
    ("make", "says"), [(Constant, "told for certain"), (Asking, "made faster")]
)
def test_what_cannot_be_done(make: type[torch.nn.Module], says: str, photos: Path) -> None:
    torch.manual_seed(0)
    own = wrap_model(make().eval(), cbam_viz.InputSpec(size=(64, 64)))
    with pytest.raises(ModelError, match=says):
        fast.fast_forward(own, prepared(own, photos), 4, ("fuse",))


class Small(torch.nn.Module):
    """Own code with both gates, small enough to compile in a test."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.score = torch.nn.Conv2d(3, 6, 3, 2, 1), torch.nn.Conv2d(6, 1, 3, 1, 1)
        self.squeeze = torch.nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.stem(x).relu()
        x = x * torch.sigmoid(self.squeeze(x.mean((2, 3))))[:, :, None, None]
        x = x * torch.sigmoid(self.score(x))
        return {"logits": x.mean((2, 3))}


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled(photos: Path) -> None:
    torch.manual_seed(0)
    own = wrap_model(Small().eval(), cbam_viz.InputSpec(size=(64, 64)))
    both = prepared(own, photos, 8)
    forward, effect = fast.fast_forward(own, both[:4], 4, ("compile",))
    assert effect.gates < 1e-5
    x = torch.cat([made.tensor for _, made in both[4:]])
    with torch.inference_mode():
        wanted, found = cbam_viz.capture(own.model, x), forward(x)
    (layer,) = wanted
    torch.testing.assert_close(found[layer].channel, wanted[layer].channel, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[layer].spatial, wanted[layer].spatial, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.output["logits"], wanted.output["logits"])
    # Constants are folded in: what was compiled does not look at the network's weights again.
    with torch.no_grad():
        own.model.stem.weight.zero_()
    with torch.inference_mode():
        again, changed = forward(x), cbam_viz.capture(own.model, x)
    assert torch.equal(again[layer].channel, found[layer].channel)
    assert (changed[layer].channel - wanted[layer].channel).abs().max() > 1e-3


def test_stores_agree(loaded: LoadedModel, photos: Path, tmp_path: Path) -> None:
    exact, faster = tmp_path / "exact", tmp_path / "faster"
    settings = Settings(view="crop", precision="float32", fast=("channels_last", "fuse"))
    run_batch(loaded, [str(photos)], exact, Settings(view="crop", precision="float32"))
    run_batch(loaded, [str(photos)], faster, settings, workers=2)
    one, other = pq.read_table(exact / "gates"), pq.read_table(faster / "gates")
    for name in one.column_names:
        if name.endswith(("/channel", "/spatial")):
            a, b = (np.stack(table[name].to_pylist()) for table in (one, other))
            np.testing.assert_allclose(a, b, atol=1e-5)
    with pytest.raises(StoreError, match="fast ways"):
        run_batch(loaded, [str(photos)], exact, settings)
    varying = Settings(view="whole", fast=("fuse",))
    with pytest.raises(StoreError, match="inputs of one size"):
        run_batch(loaded, [str(photos)], tmp_path / "whole", varying)
    # What was refused is no store, so that the same place takes another.
    run_batch(loaded, [str(photos)], tmp_path / "whole", Settings(view="whole"))


def test_what_torch_logs_of_a_failure_is_not_shown(
    photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    own = wrap_model(Asking().eval(), cbam_viz.InputSpec(size=(64, 64)))
    with pytest.raises(ModelError, match="decides by values of its input"):
        fast.fast_forward(own, prepared(own, photos), 4, ("fuse",))
    assert capfd.readouterr() == ("", "")


class Spectrum(Small):
    """A second output of complex numbers."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        found = super().forward(x)
        return {**found, "spectrum": torch.fft.fft(1j * found["logits"]).conj()}


def test_complex_outputs_are_compared_whole(
    photos: Path, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    own = wrap_model(Spectrum().eval(), cbam_viz.InputSpec(size=(64, 64)))
    _, effect = fast.fast_forward(own, prepared(own, photos), 4, ("channels_last",))
    assert effect.output < 1e-5
    assert not [one for one in recwarn if "imaginary" in str(one.message)]
    assert fast.apart([torch.tensor([1 + 1j])], [torch.tensor([1 + 3j]).conj()]) == 4
    assert fast.apart([torch.tensor([1.0])], [torch.tensor([1.5])]) == 0.5


def test_what_torch_says_of_a_compiler_that_failed_is_told(photos: Path) -> None:
    """The first line of its error says only which part of torch noticed."""
    from torch._dynamo.exc import BackendCompilerFailed

    error = BackendCompilerFailed(print, RuntimeError("no doubles here"), None)
    assert fast._cause(error) == "RuntimeError: no doubles here"
