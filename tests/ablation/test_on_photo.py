"""Other gates on one photo, on networks whose answer is known in closed form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

import cbam_viz
from cbam_viz.ablation import (
    Aim,
    Constant,
    Mean,
    aims,
    analyse_with,
    effects_on_photo,
    importance_on_photo,
    learnt,
)
from cbam_viz.ablation.followed import logit_of, share_of
from cbam_viz.analysis import Analysis, analyse
from cbam_viz.detections import Detections
from cbam_viz.errors import CaptureError, MetricError
from cbam_viz.images import InputSpec, Photo, prepare, read_photo
from cbam_viz.models import LoadedModel

SIZE = 32
Numbers = npt.NDArray[np.float64]


class Known(nn.Module):
    """Gates sigmoid(2 mean) of each channel and of each cell; logits are the gated means."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        y = x * torch.sigmoid(self.weight * x.mean((2, 3), keepdim=True))
        y = y * torch.sigmoid(self.weight * y.mean(1, keepdim=True))
        return 4 * y.mean((2, 3))


def by_hand(x: Numbers, channel: Numbers | float | None, spatial: str = "") -> Numbers:
    """The three logits with these channel weights; `spatial` is `mean` or `one`."""
    weights = 1 / (1 + np.exp(-2 * x.mean((1, 2)))) if channel is None else channel
    y = x * np.broadcast_to(weights, 3)[:, None, None]
    gate = 1 / (1 + np.exp(-2 * y.mean(0)))
    gate = {"mean": np.full_like(gate, gate.mean()), "one": np.ones_like(gate)}.get(spatial, gate)
    found: Numbers = 4 * (y * gate).mean((1, 2))
    return found


def softmax(logits: Numbers) -> Numbers:
    powers = np.exp(logits - logits.max())
    found: Numbers = powers / powers.sum()
    return found


@pytest.fixture(scope="module")
def photo() -> Photo:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    pixels[8:20, 10:22, 0] = 250
    return read_photo(pixels)


def loaded_of(network: nn.Module, **more: object) -> LoadedModel:
    spec = InputSpec(size=(SIZE, SIZE), crop_pct=1.0)
    return cbam_viz.wrap_model(network.eval(), spec, ("red", "green", "blue"), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def known(photo: Photo) -> tuple[LoadedModel, Analysis, Numbers]:
    loaded = loaded_of(Known())
    return loaded, analyse(loaded, photo), prepare(photo, loaded.spec).tensor[0].double().numpy()


def layer_of(analysis: Analysis) -> str:
    (name,) = analysis.attention.layers
    return name


def test_the_analysis_with_other_gates_is_that_worked_out_by_hand(known, photo) -> None:  # type: ignore[no-untyped-def]
    loaded, plain, x = known
    name = layer_of(plain)
    for wishes, logits in (
        ({name: {"spatial": "one"}}, by_hand(x, None, "one")),
        ({name: {"spatial": Mean()}}, by_hand(x, None, "mean")),
        ({name: {"channel": Constant(0.25)}}, by_hand(x, 0.25)),
        ({name: "one"}, by_hand(x, 1.0, "one")),
    ):
        found = analyse_with(loaded, plain, wishes)
        shares = softmax(logits)
        assert [one.index for one in found.predictions] == np.argsort(-shares).tolist()
        assert [one.probability for one in found.predictions] == pytest.approx(
            sorted(shares, reverse=True), abs=1e-5
        )
        assert found.classes == plain.classes
        assert found.geometry == plain.geometry
    weights = found.attention[name].channel
    assert weights is not None
    assert weights.eq(1).all()
    again = analyse(loaded, photo)
    assert torch.equal(again.attention.output, plain.attention.output)
    assert torch.equal(again.attention[name].spatial, plain.attention[name].spatial)  # type: ignore[arg-type]


def test_effects_on_a_photo_are_shares_and_logits_by_hand(known) -> None:  # type: ignore[no-untyped-def]
    loaded, plain, x = known
    before = by_hand(x, None)
    assert len(aims(plain)) == 3
    for aim in aims(plain):
        assert aim.before == pytest.approx(softmax(before)[aim.place], abs=1e-5)
        found = effects_on_photo(loaded, plain, aim, "one")
        expected = {
            ("gate", "channel"): by_hand(x, 1.0),
            ("gate", "spatial"): by_hand(x, None, "one"),
            ("all", "both"): by_hand(x, 1.0, "one"),
        }
        rows = {(row.unit, row.kind, row.score): row for row in found.rows}
        for (unit, kind), logits in expected.items():
            share, logit = rows[unit, kind, "share"], rows[unit, kind, "logit"]
            assert share.after[0] == pytest.approx(softmax(logits)[aim.place], abs=1e-5)
            assert share.before[0] == pytest.approx(softmax(before)[aim.place], abs=1e-5)
            assert logit.mean == pytest.approx((logits - before)[aim.place], abs=1e-5)
        assert not found.skipped


def test_measuring_stops_when_it_is_told_to_and_says_so(known) -> None:  # type: ignore[no-untyped-def]
    loaded, plain, _ = known
    asked: list[tuple[int, int]] = []

    def go_on(done: int, of: int) -> bool:
        asked.append((done, of))
        return done < 2

    found = effects_on_photo(loaded, plain, aims(plain)[0], "one", go_on)
    whole = effects_on_photo(loaded, plain, aims(plain)[0], "one", lambda done, of: True)
    assert asked == [(1, 7), (2, 7)]  # two gates, two of the one stage, three of all
    assert found.skipped == ("5 of 7 replacements were not measured: it took too long.",)
    assert not whole.skipped
    kept = [(row.unit, row.kind, row.score, row.mean) for row in found.rows]
    assert kept == [(row.unit, row.kind, row.score, row.mean) for row in whole.rows][: len(kept)]
    assert {row.unit for row in found.rows} == {"gate"}


def test_a_gate_that_cannot_be_replaced_is_named(photo: Photo, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    places = learnt._places
    monkeypatch.setattr(learnt, "_places", lambda layer: places(layer)[1:])
    loaded = loaded_of(Known())
    plain = analyse(loaded, photo)
    found = effects_on_photo(loaded, plain, aims(plain)[0], "one")
    assert {row.kind for row in found.rows} == {"spatial"}
    assert found.skipped == (
        f"The channel gate of {layer_of(plain)} was not replaced: where it multiplies was not seen "
        "as one plain product.",
    )


def test_logits_stay_logits_where_they_lie_between_0_and_1_by_chance(known) -> None:  # type: ignore[no-untyped-def]
    """Read alone, such an output is labels that may hold together, and there is no prediction."""
    loaded, plain, x = known
    low = by_hand(x, 0.0)
    assert (low == 0).all()
    found = analyse_with(loaded, plain, {layer_of(plain): {"channel": "zero"}})
    assert [one.probability for one in found.predictions] == pytest.approx([1 / 3] * 3)
    aim = aims(plain)[0]
    rows = effects_on_photo(loaded, plain, aim, "zero").rows
    assert [row.after[0] for row in rows if row.score == "share"] == pytest.approx(
        [1 / 3] * len(rows[::2])
    )


def test_channels_are_those_by_hand_and_of_many_some_over_the_order_of_weights(known) -> None:  # type: ignore[no-untyped-def]
    loaded, plain, x = known
    aim, name = aims(plain)[0], layer_of(plain)
    weights = 1 / (1 + np.exp(-2 * x.mean((1, 2))))
    found = importance_on_photo(loaded, plain, name, aim, most=3)
    before = by_hand(x, None)[aim.place]
    for channel in range(3):
        for value, change in ((0.0, found.closed), (1.0, found.opened)):
            other = weights.copy()
            other[channel] = value
            expected = by_hand(x, other)[aim.place] - before
            assert change[channel] == pytest.approx(expected, abs=1e-5)
    some = importance_on_photo(loaded, plain, name, aim, most=2)
    assert some.channels == tuple(sorted((int(weights.argmin()), int(weights.argmax()))))
    assert some.target == aim.place


class Finds(Known):
    """Gives what `decode` makes three objects of: a place from left to right for each logit."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(super().forward(x) / 4)[:, :, None]


def decode(output: Tensor) -> Detections:
    """Boxes as far to the right as their score is high; those below 0.4 are not found."""
    scores = output[0, :, 0].double().numpy()
    kept = np.flatnonzero(scores >= 0.4)
    kept = kept[np.argsort(-scores[kept])]
    boxes = np.array([[0.0, 8.0 * k, 16.0, 8.0 * k + 8] for k in kept]).reshape(-1, 4)
    return Detections(boxes, scores[kept], np.zeros(len(kept)), ["thing"] * len(kept))


def test_an_object_is_followed_at_its_place(photo: Photo) -> None:
    """All objects are of one class: what tells them apart is where they are."""
    loaded = loaded_of(Finds(), decode=decode)
    plain = analyse(loaded, photo)
    x = prepare(photo, loaded.spec).tensor[0].double().numpy()

    def scores(logits: Numbers) -> Numbers:
        found: Numbers = 1 / (1 + np.exp(-logits / 4))
        return np.where(found >= 0.4, found, 0)

    before = scores(by_hand(x, None))
    found = aims(plain)
    assert len(found) > 1
    assert [aim.kind for aim in found] == ["object"] * np.count_nonzero(before)
    assert [aim.before for aim in found] == pytest.approx(
        sorted(before[before > 0])[::-1], abs=1e-6
    )
    after = scores(by_hand(x, None, "one"))
    order = [k for k in np.argsort(-before) if before[k] > 0]
    for aim, place in zip(found, order, strict=True):
        rows = effects_on_photo(loaded, plain, aim, "one").rows
        (row,) = [row for row in rows if (row.unit, row.kind) == ("gate", "spatial")]
        assert row.score == "share"
        assert row.after[0] == pytest.approx(after[place], abs=1e-6)
        assert logit_of(aim, loaded, plain) is None
    with pytest.raises(MetricError, match="logit of a class"):
        importance_on_photo(loaded, plain, layer_of(plain), found[0], most=4)


@pytest.mark.parametrize(
    ("box", "label", "score"),
    [
        ([0, 0, 10, 10], 1, 0.5),  # the same place
        ([0, 0, 10, 20], 1, 0.5),  # half of what both cover is common
        ([0, 0, 10, 21], 1, 0.0),
        ([20, 0, 30, 10], 1, 0.0),  # elsewhere
        ([0, 0, 10, 10], 2, 0.0),  # of another class
    ],
)
def test_what_is_where_an_object_was(known, box, label, score) -> None:  # type: ignore[no-untyped-def]
    _, plain, _ = known
    there = Detections([[0, 0, 10, 10]], [0.9], [1])
    later = Detections([box, [0, 0, 10, 10]], [0.5, 0.99], [label, 7])
    loaded = loaded_of(Known(), decode=lambda output: later)
    seen = Analysis(**{**vars(plain), "detections": there, "predictions": ()})
    (aim,) = aims(seen)
    assert aim == Aim("object", 0, "green", 0.9)
    assert share_of(aim, loaded, seen)(None) == score


def test_what_is_not_there_is_said(known) -> None:  # type: ignore[no-untyped-def]
    loaded, plain, _ = known
    with pytest.raises(CaptureError, match="no layer 'layer9'"):
        analyse_with(loaded, plain, {"layer9": "one"})
    with pytest.raises(MetricError, match="no class 7"):
        share_of(Aim("class", 7, "?", 0.5), loaded, plain)
