"""Codes with scales beside them are the weights that they stand for, number by number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from cbam_viz import CheckpointError, create_model, load_model
from cbam_viz.models import load_own_model
from cbam_viz.models.scaled import block_size_of, multiplied_out

FP8 = [torch.float8_e4m3fn, torch.float8_e5m2]


def codes(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 20
    return values.round().clamp(-127, 127).to(dtype)


def factors(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(9)) + 0.01


def by_hand(code: Tensor, scale: Tensor, sides: tuple[int, ...]) -> np.ndarray:
    """Each number times the scale of the block that it is in, one after the other."""
    values, table = code.float().numpy(), scale.float().numpy()
    made = np.empty_like(values)
    for place in np.ndindex(values.shape):
        at = tuple(k // side for k, side in zip(place, sides, strict=True))
        made[place] = values[place] * table.reshape(*at_least(table, len(at)))[at]
    return made


def at_least(table: np.ndarray, sides: int) -> tuple[int, ...]:
    return (*table.shape, *(1,) * (sides - table.ndim)) if table.size > 1 else (1,) * sides


@pytest.mark.parametrize("dtype", [*FP8, torch.int8])
@pytest.mark.parametrize(
    ("shape", "scale", "sides"),
    [
        ((6, 8), (), (6, 8)),
        ((6, 8), (1,), (6, 8)),
        ((6, 8), (6,), (1, 8)),
        ((6, 8), (6, 1), (1, 8)),
        ((6, 8), (6, 4), (1, 2)),  # groups of inputs
        ((200, 130), (2, 2), (128, 128)),  # the blocks at the edges are cut
        ((4, 3, 3, 3), (4, 1, 1, 1), (1, 3, 3, 3)),
        ((4, 3, 3, 3), (4,), (1, 3, 3, 3)),
        ((4, 3, 3, 3), (1,), (4, 3, 3, 3)),
    ],
)
def test_each_number_is_its_code_times_its_scale(
    shape: tuple[int, ...], scale: tuple[int, ...], sides: tuple[int, ...], dtype: torch.dtype
) -> None:
    code, factor = codes(shape, dtype), factors(scale)
    given = {"a.weight": code, "a.weight_scale": factor, "a.bias": torch.ones(shape[0])}
    found, notes = multiplied_out(given)
    assert set(found) == {"a.weight", "a.bias"}
    assert found["a.weight"].dtype == torch.float32
    np.testing.assert_allclose(found["a.weight"].numpy(), by_hand(code, factor, sides), rtol=1e-6)
    assert len(notes) == 1
    assert "a.weight" in notes[0]


def test_deepseeks_inverse_scale_is_multiplied_too_in_blocks_that_are_stated() -> None:
    code, scale = codes((5, 7), FP8[0]), factors((2, 3)).bfloat16()
    given = {"m.weight": code, "m.weight_scale_inv": scale}
    assert multiplied_out(given) == (given, [])  # no such blocks of 128
    config = {"quantization_config": {"weight_block_size": [3, 3]}}
    found, (note,) = multiplied_out(given, block=block_size_of(config))
    np.testing.assert_allclose(found["m.weight"].numpy(), by_hand(code, scale, (3, 3)), rtol=1e-6)
    assert "3 × 3" in note
    assert "config.json" in note


def test_a_zero_point_is_taken_off_first() -> None:
    code, scale = codes((4, 6), torch.int8), factors((4, 1))
    zero = torch.tensor([[3], [-2], [0], [100]], dtype=torch.int8)
    given = {"weight": code, "weight_scale": scale, "weight_zero_point": zero}
    found, _ = multiplied_out(given)
    wanted = (code.numpy().astype(float) - zero.numpy().astype(float)) * scale.numpy()
    np.testing.assert_allclose(found["weight"].numpy(), wanted, rtol=1e-6)
    assert set(found) == {"weight"}


@pytest.mark.parametrize(
    "more",
    [
        {"m.weight_scale_inv": torch.ones(1)},
        {"m.g_idx": torch.zeros(8).int()},
        {"m.weight_packed": torch.zeros(8).int()},
        {"m.weight.absmax": torch.ones(1)} | {"m.absmax": torch.ones(1)},
    ],
)
def test_what_else_lies_beside_the_weight_changes_its_meaning(more: dict[str, Tensor]) -> None:
    given = {"m.weight": codes((4, 8), FP8[0]), "m.weight_scale": torch.ones(1), **more}
    assert multiplied_out(given) == (given, [])


def test_integers_that_are_no_codes_and_float_weights_stay() -> None:
    plain = {"m.weight": torch.rand(4, 4), "m.weight_scale": torch.rand(1)}
    indices = {"m.weight": torch.ones(4, 4).long(), "m.weight_scale": torch.rand(1)}
    for given in (plain, indices):
        assert multiplied_out(given) == (given, [])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_scales_that_no_weight_can_have_are_refused(bad: float) -> None:
    given = {"m.weight": codes((4, 4), FP8[0]), "m.weight_scale": torch.tensor([bad])}
    with pytest.raises(CheckpointError, match="damaged"):
        multiplied_out(given)


def quantised(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """All convolutions and the classifier by output channel as codes; and what they stand for."""
    state, meant = {}, {}
    for name, tensor in network.state_dict().items():
        if tensor.ndim not in (2, 4):
            state[name] = meant[name] = tensor
            continue
        scale = tensor.flatten(1).abs().amax(1).clamp(min=1e-6) / 448
        across = scale.reshape(-1, *(1,) * (tensor.ndim - 1))
        state[name] = (tensor / across).to(torch.float8_e4m3fn)
        state[f"{name}_scale"] = scale.reshape(-1, 1)
        meant[name] = state[name].float() * across
    return state, meant


def test_a_network_of_codes_is_the_network_that_they_stand_for(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = create_model("resnet18", num_classes=5, zero_init_last=False).eval()
    state, meant = quantised(network)
    loaded = load_model(save({**state, "fc.input_scale": torch.ones(1)}))
    given = loaded.model.state_dict()
    assert all(torch.equal(given[name], tensor) for name, tensor in meant.items())
    assert loaded.report is not None
    assert "multiplied by the scales beside them (one for each output channel)" in (
        loaded.report.text
    )
    assert "activations" in loaded.report.text
    own = create_model("resnet18", num_classes=5)
    load_own_model(own, save(state))
    assert all(torch.equal(own.state_dict()[name], tensor) for name, tensor in meant.items())


def test_the_config_beside_a_file_says_how_large_blocks_are(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(7, 5))
    code, scale = codes((5, 7), FP8[0]), factors((2, 3))
    path = tmp_path / "model.safetensors"
    save_file({"0.weight": code, "0.weight_scale_inv": scale, "0.bias": torch.zeros(5)}, path)
    with pytest.raises(CheckpointError, match="quantised"):
        load_own_model(net, path)
    config = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [3, 3]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    load_own_model(net, path)
    found = net[0].weight.detach().numpy()
    np.testing.assert_allclose(found, by_hand(code, scale, (3, 3)), rtol=1e-6)
