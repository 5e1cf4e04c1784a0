from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import cbam_viz
from training.run.losses import divergence
from training.teach.insert import insert_gates
from training.teach.tail import VIEWS, WARM_UP, TailRecipe, behind, chosen, learn, look, rate_at


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    """A network, and the same with gates that are no longer all alike."""
    torch.manual_seed(0)
    original: Any = timm.create_model("tf_efficientnet_lite0", num_classes=10).eval()
    original.classifier.weight.data *= 30  # answers that differ from picture to picture
    gated = copy.deepcopy(original)
    insert_gates(gated, (4, 5, 6))
    for stage in (4, 5, 6):
        torch.nn.init.normal_(gated.blocks[stage].cbam.spatial.conv.conv.weight, std=3.0)
    return original, gated.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(12, 3, 96, 96, generator=torch.Generator().manual_seed(0))


def test_lessons_are_what_both_networks_make(pair: tuple[Any, Any], images: torch.Tensor) -> None:
    original, gated = pair
    lessons = look(gated, original, iter(torch.split(images, 5)))
    with torch.no_grad():
        expected, made = gated(images), behind(gated, lessons.features.float())
        torch.testing.assert_close(made, expected, atol=2e-2, rtol=2e-2)  # kept in half precision
        assert (lessons.logits.argmax(1) == original(images).argmax(1)).float().mean() > 0.9
    assert not gated.conv_head._forward_pre_hooks


def test_only_what_follows_the_last_gate_learns(
    pair: tuple[Any, Any], images: torch.Tensor
) -> None:
    original, gated = pair[0], copy.deepcopy(pair[1])
    before = copy.deepcopy(gated.state_dict())
    gates = cbam_viz.capture(gated, images)
    lessons = look(gated, original, iter([images]))
    apart = divergence(behind(gated, lessons.features.float()), lessons.logits, 1.0)
    means = learn(gated, lessons, TailRecipe(epochs=100, batch=6, rate=1e-4))
    after = divergence(behind(gated, lessons.features.float()), lessons.logits, 1.0)
    assert after < 0.6 * apart
    assert means[-1] < means[0]
    changed = {key for key, value in gated.state_dict().items() if not value.equal(before[key])}
    assert changed == {
        "conv_head.weight", "bn2.weight", "bn2.bias", "classifier.weight", "classifier.bias"
    }  # fmt: skip
    for name, layer in cbam_viz.capture(gated, images).items():
        assert torch.equal(layer.channel, gates[name].channel)
        assert torch.equal(layer.spatial, gates[name].spatial)


def test_sharp_photos_are_seen_in_every_view_and_others_in_one() -> None:
    photos = [Path(f"{number}.jpg") for number in range(40)]
    sharp = [Path("a.jpg"), Path("b.jpg")]
    pairs = chosen(photos, sharp, TailRecipe(photos=9, seed=3))
    assert sorted(pair for pair in pairs if pair[0] in sharp) == sorted(
        (file, view) for file in sharp for view in VIEWS
    )
    rest = [pair for pair in pairs if pair[0] not in sharp]
    assert len({file for file, _ in rest}) == 9
    assert sorted(view for _, view in rest) == sorted(VIEWS * 3)
    assert pairs == chosen(photos, sharp, TailRecipe(photos=9, seed=3))
    assert pairs != chosen(photos, sharp, TailRecipe(photos=9, seed=4))


def test_the_rate_rises_and_falls() -> None:
    assert rate_at(0, 1000) == pytest.approx(1 / WARM_UP)
    assert rate_at(500, 1000) == pytest.approx(0.5)
    assert rate_at(999, 1000) < 1e-5
