"""Foreign layouts convert exactly: the networks here are written without timm."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cbam_viz.models
from cbam_viz import CheckpointError, capture
from cbam_viz.models import convert_checkpoint, load_model
from tests.models.nets import ResNet, randomise


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("depths", "bottleneck", "architecture"),
    [((2, 2, 2, 2), False, "resnet18"), ((3, 4, 6, 3), True, "resnet50")],
)
def test_authors_network_gives_the_same_logits(
    tmp_path: Path,
    picture: torch.Tensor,
    depths: tuple[int, ...],
    bottleneck: bool,
    architecture: str,
) -> None:
    theirs = randomise(ResNet(depths, bottleneck=bottleneck, kind="authors"))
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"epoch": 90, "state_dict": state, "best_prec1": 77.3}, tmp_path / "theirs.pth")
    conversion = convert_checkpoint(tmp_path / "theirs.pth")
    assert conversion.architecture == architecture
    assert conversion.path == tmp_path / "theirs.safetensors"
    assert len(conversion.report.renamed) == 10 * sum(depths)
    assert (
        "No names of the classes are known, so they are called by their numbers"
        in conversion.report.text
    )
    loaded = load_model(conversion.path)
    assert not loaded.report.missing
    assert not loaded.report.unexpected
    with torch.inference_mode():
        want, got = theirs(picture), loaded.model(picture)
    assert want.std() > 0.05, "logits that hardly differ would agree vacuously"
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)


def test_authors_gates_are_those_of_their_modules(picture: torch.Tensor) -> None:
    theirs = randomise(ResNet((2, 2, 2, 2), bottleneck=False, kind="authors"))
    seen = {}
    for name, module in theirs.named_modules():
        if name.endswith("SpatialGate"):
            module.register_forward_hook(
                lambda module, args, out, name=name: seen.update({name: (args[0], out)})
            )
    with torch.inference_mode():
        theirs(picture)
    attention = capture(load_state(theirs).model, picture)
    for block in ("layer1.0", "layer2.1", "layer4.1"):
        before, after = seen[f"{block}.cbam.SpatialGate"]
        gates = attention[f"{block}.se"].spatial
        assert gates.std() > 1e-3
        torch.testing.assert_close(before * gates[:, None], after, rtol=1e-3, atol=1e-4)


def load_state(model: torch.nn.Module) -> cbam_viz.models.LoadedModel:
    import io

    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return load_model(buffer.getvalue())


def test_without_the_flip_it_would_be_wrong(picture: torch.Tensor) -> None:
    theirs = randomise(ResNet((2, 2, 2, 2), bottleneck=False, kind="authors"))
    loaded = load_state(theirs)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if name.endswith("spatial.conv.conv.weight"):
                weight.copy_(weight.flip(1))
        assert (loaded.model(picture) - theirs(picture)).abs().max() > 1e-2


def test_ca_sa_layout_gives_the_same_logits(picture: torch.Tensor) -> None:
    theirs = randomise(ResNet((2, 2, 2, 2), bottleneck=False, kind="ca_sa"))
    loaded = load_state(theirs)
    assert "luuuyi" in loaded.report.text
    with torch.inference_mode():
        want, got = theirs(picture), loaded.model(picture)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)


def test_what_has_no_counterpart_is_refused() -> None:
    theirs = ResNet((2, 2, 2, 2), bottleneck=False, kind="authors")
    state = dict(theirs.state_dict())
    with pytest.raises(CheckpointError, match="BAM has one joint gate"):
        load_dict({**state, "bam1.channel_att.gate_c.gate_c_fc_0.weight": torch.zeros(4, 64)})
    no_spatial = {name: value for name, value in state.items() if "SpatialGate" not in name}
    with pytest.raises(CheckpointError, match="no_spatial"):
        load_dict(no_spatial)
    outside = ResNet((2, 2, 2, 2), bottleneck=False, kind="ca_sa").state_dict()
    with pytest.raises(CheckpointError, match="outside its blocks"):
        load_dict({**outside, "ca.fc1.weight": torch.zeros(4, 64, 1, 1)})


def load_dict(state: dict[str, torch.Tensor]) -> None:
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    load_model(buffer.getvalue())
