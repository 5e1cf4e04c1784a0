"""Raw gates cut out of a wide convolution: found, whatever cuts them and is done to them."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from cbam_viz.errors import NoAttentionError
from cbam_viz.gates import capture

from .raw import (
    CUTS,
    INNOCENT,
    SQUASHES,
    CutInput,
    Modulated,
    Raw,
    RawBehindNorm,
    RawChannels,
    RawOfLinear,
    RawOnContext,
)
from .test_exact import ready_again, same
from .test_plain import timm_network
from .truth import Make, host, photo, truths

STRUCTURES: dict[str, Make] = {
    **{
        f"cut by {name}": partial(Raw, cut=cut, squash=SQUASHES["none"])
        for name, cut in CUTS.items()
    },
    **{
        f"squashed by {name}": partial(Raw, cut=CUTS["split"], squash=squash)
        for name, squash in SQUASHES.items()
    },
    **{cls.__name__: cls for cls in (RawBehindNorm, RawOnContext, RawChannels, RawOfLinear)},
}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_gate_beside_its_features_is_found(name: str, batch: int) -> None:
    model = host(STRUCTURES[name])
    for seed in (1, 2):
        x = photo(batch, seed=seed)
        with torch.no_grad():
            attention = capture(model, x)
        expected = truths(ready_again(model, x))
        assert [layer.module.split(".")[0] for layer in attention.values()] == ["first", "second"]
        for layer, truth in zip(attention.values(), expected.values(), strict=True):
            assert layer.composition == truth.composition
            assert same(layer.channel, truth.channel)
            assert same(layer.spatial, truth.spatial)
            assert layer.verified


def test_each_level_of_a_modulation_has_its_map() -> None:
    model = host(Modulated)
    with torch.no_grad():
        attention = capture(model, photo())
    expected = truths(model)
    assert len(attention) == len(expected) == 8
    for layer, truth in zip(attention.values(), expected.values(), strict=True):
        assert same(layer.spatial, truth.spatial)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", INNOCENT)
def test_parts_that_are_no_gates(name: str, batch: int) -> None:
    with torch.no_grad(), pytest.raises(NoAttentionError):
        capture(host(INNOCENT[name]), photo(batch))


def test_a_mask_in_the_input_is_no_gate() -> None:
    with torch.no_grad(), pytest.raises(NoAttentionError):
        capture(CutInput().eval(), torch.rand(2, 4, 20, 24))


@pytest.mark.parametrize(("name", "levels"), [("focalnet_tiny_srf", 2), ("focalnet_tiny_lrf", 3)])
def test_focal_modulation(name: str, levels: int) -> None:
    """timm's: the raw maps that weigh the contexts of each block, level by level."""
    model = timm_network(name)
    maps = []
    for module in model.modules():
        if type(module).__name__ == "FocalModulation":
            module.f.register_forward_hook(
                lambda _, args, out, n=levels: maps.extend(out[:, -n - 1 : -1].clone().unbind(1))
            )
    with torch.inference_mode():
        attention = capture(model, photo(2, 64, 64))
    assert len(attention) == len(maps) == 12 * levels
    assert all(same(a.spatial, b) for a, b in zip(attention.values(), maps, strict=True))
    assert {layer.composition for layer in attention.values()} == {"spatial"}


def test_gates_behind_windowed_attention() -> None:
    """timm's gcvit: squeeze-and-excitation in the downsampling behind blocks of windows."""
    model = timm_network("gcvit_xxtiny", img_size=64)
    seen = {}
    for name, module in model.named_modules():
        if type(module).__name__ == "SEModule":
            module.gate.register_forward_hook(
                lambda _, args, out, name=name: seen.update({name: out.flatten(1).clone()})
            )
    for batch in (2, 1):
        with torch.inference_mode():
            attention = capture(model, photo(batch, 64, 64))
        assert list(attention) == list(seen)
        assert len(seen) == 11
        assert all(torch.equal(layer.channel, seen[name]) for name, layer in attention.items())
        assert attention.unsupported == ()
