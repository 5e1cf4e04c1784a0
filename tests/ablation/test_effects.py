"""Effects on a network whose answer is known in closed form."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cbam_viz
from cbam_viz.ablation import Shuffled, channel_importance, effects, gate_means, gate_variance
from cbam_viz.ablation.tables import as_json, csv_text, latex_text
from cbam_viz.errors import CaptureError, MetricError
from cbam_viz.metrics import bootstrap_interval, spearman, variance_shares
from tests.gates.networks import photos, timm_cbam


class Known(nn.Module):
    """Two channels and two cells; gates sigmoid(2 mean) of each channel and of each cell.

    Logits are the sums of the gated channels, so that with M_c, M_s in their place all is a sum.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.num_classes = 2

    def forward(self, x: Tensor) -> Tensor:
        channel = torch.sigmoid(self.weight * x.mean((2, 3), keepdim=True))
        y = x * channel
        spatial = torch.sigmoid(self.weight * y.mean(1, keepdim=True))
        return (y * spatial).sum((2, 3))


def gates_of(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    channel = 1 / (1 + np.exp(-2 * x.mean((2, 3), keepdims=True)))
    spatial = 1 / (1 + np.exp(-2 * (x * channel).mean(1, keepdims=True)))
    return channel, spatial


def by_hand(x: np.ndarray, channel: np.ndarray | None, spatial: np.ndarray | None) -> np.ndarray:
    """Logits (B, 2) with these gates; None for the network's own."""
    channel = gates_of(x)[0] if channel is None else channel
    y = x * channel
    if spatial is None:
        spatial = 1 / (1 + np.exp(-2 * y.mean(1, keepdims=True)))
    return (y * spatial).sum((2, 3))


def inputs(count: int = 5) -> Tensor:
    return torch.randn(count, 2, 3, 4, generator=torch.Generator().manual_seed(0))


ONE = np.ones((1, 1, 1, 1))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_effects_are_those_worked_out_by_hand(batch: int) -> None:
    x = inputs()
    found = effects(Known().eval(), x, "logit", targets=[0, 1, 0, 1, 1], batch=batch)
    plain = by_hand(x.numpy(), None, None)
    expected = {
        ("gate", "channel"): by_hand(x.numpy(), ONE, None),
        ("gate", "spatial"): by_hand(x.numpy(), None, ONE),
        ("all", "both"): by_hand(x.numpy(), ONE, ONE),
    }
    rows = {(row.unit, row.kind): row for row in found.rows}
    photo, target = np.arange(5), [0, 1, 0, 1, 1]
    for key, logits in expected.items():
        change = (logits - plain)[photo, target]
        np.testing.assert_allclose(rows[key].changes, change, atol=1e-5)
        np.testing.assert_allclose(rows[key].mean, change.mean(), atol=1e-5)
        np.testing.assert_allclose(
            rows[key].interval, bootstrap_interval(rows[key].changes), atol=1e-9
        )
    assert set(rows) == {*expected, ("all", "channel"), ("all", "spatial")}
    assert found.targets == (0, 1, 0, 1, 1)


def test_probability_loss_accuracy_and_agreement_by_hand() -> None:
    x, target = inputs(), np.array([0, 1, 0, 1, 1])
    scores = ("probability", "loss", "accuracy", "agreement")
    found = effects(Known().eval(), x, scores, targets=target.tolist(), by=0.2)
    plain = by_hand(x.numpy(), None, None)
    later = by_hand(x.numpy(), None, 0.2 * ONE)
    shares = [np.exp(one) / np.exp(one).sum(1, keepdims=True) for one in (plain, later)]
    before, after = (share[np.arange(5), target] for share in shares)
    rows = {row.score: row for row in found.rows if (row.unit, row.kind) == ("gate", "spatial")}
    np.testing.assert_allclose(rows["probability"].changes, after - before, atol=1e-6)
    np.testing.assert_allclose(rows["loss"].changes, np.log(before / after), atol=1e-5)
    top = [one.argmax(1) for one in (plain, later)]
    np.testing.assert_array_equal(rows["accuracy"].before, top[0] == target)
    np.testing.assert_array_equal(rows["accuracy"].after, top[1] == target)
    np.testing.assert_array_equal(rows["agreement"].before, 1)
    np.testing.assert_array_equal(rows["agreement"].after, top[1] == top[0])


def test_without_targets_the_networks_own_class_counts() -> None:
    x = inputs()
    found = effects(Known().eval(), x)
    assert found.targets == tuple(by_hand(x.numpy(), None, None).argmax(1))


def test_a_score_of_ones_own() -> None:
    """Of an output that is no row of class scores."""

    class Maps(Known):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"maps": super().forward(x)[:, :, None, None].expand(-1, 2, 2, 2)}

    x = inputs(3)
    found = effects(Maps().eval(), x, lambda out: out["maps"].sum((1, 2, 3)), kinds=("channel",))
    change = 4 * (by_hand(x.numpy(), ONE, None) - by_hand(x.numpy(), None, None)).sum(1)
    np.testing.assert_allclose(found.rows[0].changes, change, atol=1e-4)
    assert found.scores == ("score",)
    with pytest.raises(MetricError, match="no row of class scores"):
        effects(Maps().eval(), x)


BAD = {
    "a layer that is not there": ({"layers": "nowhere"}, CaptureError, "There is no layer"),
    "a class the network has not": ({"targets": [0, 9]}, MetricError, "There is no class 9"),
    "a class below zero": ({"targets": [0, -4]}, MetricError, "There is no class -4"),
    "too few targets": ({"targets": [0]}, MetricError, "2 photos and 1 targets"),
    "another score": ({"score": "f1"}, MetricError, "There is no score 'f1'"),
    "accuracy of nothing": ({"score": "accuracy"}, MetricError, "true classes"),
    "a mask of the wrong shape": ({"by": np.ones((5, 5))}, CaptureError, "this gate has"),
    "a word": ({"by": "nothing"}, CaptureError, "'nothing' is nothing"),
    "a score of one number": ({"score": lambda _: 1.0, "batch": 2}, MetricError, "1 numbers for 2"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_sentence(what: str) -> None:
    options, kind, text = BAD[what]
    with pytest.raises(kind, match=text):
        effects(Known().eval(), inputs(2), **options)


def test_train_mode_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"model\.eval"):
        effects(Known().train(), inputs(2))


def test_photos_of_different_sizes_go_together() -> None:
    x = [torch.randn(2, 3, 4), torch.randn(2, 5, 6), torch.randn(2, 3, 4)]
    found = effects(Known().eval(), x, "logit", targets=[0, 0, 0], kinds=("spatial",))
    for k, one in enumerate(x):
        image = one[None].numpy()
        change = by_hand(image, None, ONE) - by_hand(image, None, None)
        np.testing.assert_allclose(found.rows[0].changes[k], change[0, 0], atol=1e-5)


def test_tables() -> None:
    found = effects(Known().eval(), inputs(), ("agreement", "logit"), names=list("abcde"))
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert len(rows) == len(found.rows) == 10
    assert float(rows[0]["change"]) == pytest.approx(found.rows[0].mean)
    told = as_json(found)
    assert told["photos"] == list("abcde")
    assert len(told["effects"][0]["each_after"]) == 5
    table = latex_text(found, "logit")
    assert table.count(r"\\") == 6
    assert r"\toprule" in table
    assert r"\bottomrule" in table


def test_the_sentence_tells_what_matters_most() -> None:
    x = inputs()
    found = effects(Known().eval(), x, "probability")
    most = max((row for row in found.rows if row.unit == "gate"), key=lambda row: abs(row.mean))
    sentence = found.sentence()
    assert sentence.startswith(f"Without {most.gates}, the probability ")
    assert f"{most.after.mean():.1%}".replace("%", " %") in sentence
    still = effects(Known().eval(), x, "probability", by=lambda gate: gate)
    assert "No single gate changes" in still.sentence()


def test_stages_of_a_network() -> None:
    found = effects(timm_cbam(), photos(1), "logit", units=("stage",), kinds=("spatial",))
    assert [row.name for row in found.rows] == ["layer1", "layer2", "layer3", "layer4"]
    assert all(row.interval is None for row in found.rows)
    assert found.whole == ""


def test_channel_importance_by_hand() -> None:
    x = inputs(1)
    (name,) = cbam_viz.capture(Known().eval(), x)
    found = channel_importance(Known().eval(), x, name, target=1, copies=3)
    own = gates_of(x.numpy())[0]
    plain = by_hand(x.numpy(), None, None)
    np.testing.assert_allclose(found.weights, own[0, :, 0, 0], atol=1e-6)
    assert found.logit == pytest.approx(plain[0, 1], abs=1e-5)
    for value, got in ((0.0, found.closed), (1.0, found.opened)):
        for channel in (0, 1):
            changed = own.copy()
            changed[0, channel] = value
            change = by_hand(x.numpy(), changed, None) - plain
            assert got[channel] == pytest.approx(change[0, 1], abs=1e-5)


def test_channel_importance_tells_in_words() -> None:
    found = channel_importance(timm_cbam(), photos(1), "layer3.0.se", channels=range(40))
    assert found.correlation == pytest.approx(spearman(found.weights, abs(found.closed)))
    assert "layer3.0.se" in found.sentence
    assert len(found.channels) == 40
    with pytest.raises(CaptureError, match="no channel 999"):
        channel_importance(timm_cbam(), photos(1), "layer3.0.se", channels=[999])


def test_means_over_photos_in_place_of_gates() -> None:
    x = inputs(4)
    means = gate_means(Known().eval(), [x[:1], x[1:]])
    channel = gates_of(x.numpy())[0].mean(0, keepdims=True)
    (name,) = {layer for layer, _ in means.means}
    np.testing.assert_allclose(means.means[name, "channel"], channel[0, :, 0, 0], atol=1e-6)
    assert means.photos == 4
    found = effects(Known().eval(), x, "logit", targets=[0] * 4, by=means, kinds=("channel",))
    change = by_hand(x.numpy(), channel, None) - by_hand(x.numpy(), None, None)
    np.testing.assert_allclose(found.rows[0].changes, change[:, 0], atol=1e-5)
    with pytest.raises(CaptureError, match="no common mean"):
        gate_means(Known().eval(), [torch.randn(1, 2, 3, 4), torch.randn(1, 2, 5, 4)])


def test_shares_of_variance_by_hand() -> None:
    rng = np.random.default_rng(0)
    pattern, level = rng.normal(size=6), rng.normal(size=9)
    pattern, level = pattern - pattern.mean(), level - level.mean()
    found = variance_shares(0.5 + 3 * pattern[None] + level[:, None])
    total = 9 * (pattern**2).mean() + (level**2).mean()
    assert found.within == pytest.approx(0, abs=1e-12)
    assert found.between == pytest.approx((level**2).mean() / total)
    assert found.fixed == pytest.approx(9 * (pattern**2).mean() / total)
    own = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert variance_shares(own).within == pytest.approx(1)
    assert variance_shares(np.stack([pattern, pattern])).is_constant
    still = variance_shares(np.full((3, 2, 2), 0.5))
    assert (still.within, still.between, still.fixed) == (None, None, None)
    assert "0.5 everywhere" in still.sentence
    with pytest.raises(MetricError, match="two photos"):
        variance_shares(pattern[None])


def test_shares_of_a_networks_gates() -> None:
    x = inputs(6)
    found = gate_variance(Known().eval(), [x[:2], x[2:]])
    channel = gates_of(x.numpy())[0][:, :, 0, 0]
    (name,) = {layer for layer, _ in found}
    expected = variance_shares(channel)
    assert found[name, "channel"].within == pytest.approx(expected.within, abs=1e-5)
    assert found[name, "channel"].fixed == pytest.approx(expected.fixed, abs=1e-5)


def test_shuffled_across_photos_takes_a_batch() -> None:
    found = effects(Known().eval(), inputs(4), "logit", by=Shuffled("photos"), batch=4)
    assert found.replaced_by == "its values shuffled over photos (seed 0)"
    with pytest.raises(CaptureError, match="two photos or more"):
        effects(Known().eval(), inputs(1), "logit", by=Shuffled("photos"))


def given(by: float | None, photos: int = 3) -> np.ndarray:
    """Logits (B, 2) of `Known` as they are, or with a number for its spatial gate."""
    return by_hand(inputs(photos).numpy(), None, None if by is None else by * ONE)


class Ending(Known):
    """`Known`, whose logits go out in some way."""

    def __init__(self, end) -> None:
        super().__init__()
        self.end = end

    def forward(self, x: Tensor):
        return self.end(super().forward(x), x)


WAYS_OUT = {
    "logits": lambda z, x: z,
    "probabilities": lambda z, x: z.softmax(1),
    "log-probabilities": lambda z, x: z.log_softmax(1),
    "a tuple with maps": lambda z, x: (z, x),
    "a tuple of logits and their softmax": lambda z, x: (z, z.softmax(1)),
    "a dict that says logits": lambda z, x: {"features": x.mean((2, 3)), "logits": z},
    "a dict in a dict": lambda z, x: {"out": {"logits": z}},
    "features beside them": lambda z, x: {"features": x.mean((2, 3)), "out": z},
    "as of Hugging Face": lambda z, x: type("Output", (), {"logits": z, "hidden_states": (x,)})(),
    "an auxiliary classifier": lambda z, x: {"out": z, "aux": z.flip(1)},
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_class_scores_are_found_however_they_go_out(way: str) -> None:
    """All photos in one forward; what they are is not guessed anew with other gates."""
    found = effects(
        Ending(WAYS_OUT[way]).eval(), inputs(3), "probability", targets=[0, 1, 0], by=0.5,
        kinds=("spatial",), units=("gate",), batch=3,
    )  # fmt: skip
    (row,) = found.rows
    for values, by in ((row.before, None), (row.after, 0.5)):
        shares = np.exp(given(by)) / np.exp(given(by)).sum(1, keepdims=True)
        np.testing.assert_allclose(values, shares[np.arange(3), [0, 1, 0]], atol=1e-6)


NO_CLASSES = {
    "labels that may hold together": (lambda z, x: z.sigmoid(), "a sigmoid of its own|labels"),
    "boxes": (lambda z, x: [{"boxes": z.repeat(1, 2), "scores": z[:, 0]}], "none of them a row"),
    "a sequence": (lambda z, x: z[:, None], "not a row of class scores"),
    "two rows": (lambda z, x: (z, z + 1), "nothing says which"),
    "no numbers": (lambda z, x: z / 0 * 0, "not finite"),
}


@pytest.mark.parametrize("what", NO_CLASSES)
def test_what_is_no_class_scores_gets_no_probability(what: str) -> None:
    end, text = NO_CLASSES[what]
    with pytest.raises(MetricError, match=text) as told:
        effects(Ending(end).eval(), inputs(1), "probability")
    assert "score=lambda output" in str(told.value)


def test_a_network_without_its_classifier_has_no_classes() -> None:
    net = Known().eval()
    net.num_classes = 0
    with pytest.raises(MetricError, match="its classifier was taken off"):
        effects(net, inputs(1), "probability")


@pytest.mark.parametrize("way", ["probabilities", "log-probabilities"])
def test_what_is_no_logit_is_not_called_one(way: str) -> None:
    net = Ending(WAYS_OUT[way]).eval()
    with pytest.raises(MetricError, match=f"gives {way}, so that no class has a logit"):
        effects(net, inputs(1), ("probability", "logit"))
    loss = effects(net, inputs(1), "loss", targets=[1]).rows[0].before
    np.testing.assert_allclose(loss, np.log(1 + np.exp(-np.diff(given(None, 1))[0])), atol=1e-6)


def test_logits_that_a_gate_brings_between_0_and_1_stay_logits() -> None:
    """With zeros for the map all logits are 0 and 0: neither labels nor an embedding."""
    found = effects(Known().eval(), inputs(1), by="zero", kinds=("spatial",), units=("gate",))
    np.testing.assert_allclose(found.rows[0].after, [0.5], atol=1e-7)


class Head(nn.Module):
    """A linear layer whose logits lie between 0 and 1, unless a gate is changed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.last = nn.Conv2d(2, 1, 1), nn.Linear(2, 3)
        nn.init.zeros_(self.last.weight)
        self.last.bias.data = torch.tensor([0.25, 0.5, 0.75])

    def forward(self, x: Tensor) -> Tensor:
        return self.last((x * torch.sigmoid(self.gate(x))).mean((2, 3)))


def test_logits_between_0_and_1_by_chance_are_known_by_what_made_them() -> None:
    found = effects(Head().eval(), inputs(2), ("probability", "logit"), kinds=("spatial",))
    share = np.exp(0.75) / np.exp([0.25, 0.5, 0.75]).sum()
    rows = {row.score: row for row in found.rows if row.unit == "gate"}
    np.testing.assert_allclose(rows["probability"].before, [share, share], atol=1e-6)
    np.testing.assert_allclose(rows["logit"].before, [0.75, 0.75], atol=1e-6)
