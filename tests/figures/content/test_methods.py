"""Columns of other methods and of what gates do, on networks whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cbam_viz.figures.content.made as made_module
from cbam_viz import wrap_model
from cbam_viz.errors import FigureError
from cbam_viz.figures import Column, FigureSpec, build, columns_from_text, study
from cbam_viz.figures.ask.registry import COLUMNS
from cbam_viz.figures.beside.caption import caption
from cbam_viz.figures.beside.manifest import make_manifest
from cbam_viz.figures.beside.tables import numbers_text, shown_values
from cbam_viz.figures.content.columns.method import head
from cbam_viz.figures.content.values import axis_around
from cbam_viz.images import InputSpec, Photo
from cbam_viz.methods import METHODS
from cbam_viz.models import LoadedModel

from ..conftest import make_photo

SIDE = 16
PIXELS = InputSpec((SIDE, SIDE), (0.5,) * 3, (1.0,) * 3, crop_pct=1.0)
WEIGHTS = torch.tensor([[1.0, -2.0, 0.5], [0.25, 1.0, -1.0]])


class Gated(nn.Module):
    """Logits are WEIGHTS times the means of x * M_s; M_s is 0.25 in the left half, else 0.75.

    The map is made of the features, as it must be, and the same whatever they are. The layer
    `stage` gives the gated features.
    """

    num_classes = 2

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.stage = Half(), nn.Identity()
        self.fc = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(WEIGHTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stage(self.gate(x)).mean((2, 3)))


class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        logit = torch.full(x.shape[2:], np.log(3.0))
        logit[:, : x.shape[3] // 2] *= -1
        return x * (logit + 0 * x.mean(1, keepdim=True)).sigmoid()


class Plain(Gated):
    """The same without the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Identity()


def loaded(
    network: type[nn.Module] = Gated, names: tuple[str, ...] = ("cat", "dog")
) -> LoadedModel:
    return wrap_model(network().eval(), PIXELS, names, network.__name__)


def photo(seed: int = 0) -> Photo:
    return make_photo(SIDE, SIDE, seed=seed, name=f"photo{seed}.png")


def pixels(seed: int = 0) -> Tensor:
    """(3, H, W) as the network gets them."""
    return torch.tensor(np.array(photo(seed).pixels)).permute(2, 0, 1) / 255 - 0.5


def gate() -> Tensor:
    found = torch.full((SIDE, SIDE), 0.75)
    found[:, : SIDE // 2] = 0.25
    return found


def share(seed: int, index: int, gated: bool = True) -> float:
    x = pixels(seed) * gate() if gated else pixels(seed)
    return float((WEIGHTS @ x.mean((1, 2))).softmax(0)[index])


def built(columns: str, *seeds: int, networks: tuple[LoadedModel, ...] = (), **more: object):
    spec = FigureSpec(columns=columns_from_text(columns), **more)  # type: ignore[arg-type]
    made = study(spec, networks or (loaded(),), [photo(seed) for seed in seeds or (0,)])
    return build(spec, made)


def texts(figure: object) -> set[str]:
    return {text.get_text() for text in figure.figure.texts}  # type: ignore[attr-defined]


def test_every_method_is_a_column() -> None:
    assert {*METHODS} <= {*COLUMNS}
    for name, method in METHODS.items():
        kind = COLUMNS[name]
        assert (kind.of_class, bool(kind.takes), kind.of_gates) == (
            method.of_class, method.of_layer, method.of_gates,
        )  # fmt: skip


@pytest.mark.parametrize("target", ["cat", "1"])
def test_gradcam_is_the_weighted_features_of_the_class_that_is_named(target: str) -> None:
    index = {"cat": 0, "1": 1}[target]
    figure = built(f"gradcam:stage@{target}")
    (place,) = figure.content.rows[0]
    expected = torch.einsum("c,chw->hw", WEIGHTS[index] / SIDE**2, pixels() * gate()).relu()
    np.testing.assert_allclose(place.values[0], expected, atol=1e-7)
    assert (place.scale.low, place.scale.high) == (0, pytest.approx(float(expected.max())))
    assert place.target.name == ("cat", "dog")[index]
    assert place.target.probability == pytest.approx(share(0, index), abs=1e-6)


def test_the_class_stands_in_heading_caption_table_and_manifest() -> None:
    figure = built("input,gradcam:stage@dog")
    told = f"{share(0, 1):.2f}"
    assert figure.content.heads == ("Input", f"Grad-CAM of stage for dog, P = {told}".replace(
        " = ", "\u00a0=\u00a0"
    ))  # fmt: skip
    assert figure.content.notes == (("", ""),)
    assert f"Column 2 is for the class: dog, probability {told}." in caption(figure)
    assert "Maps of Gated. Columns" in caption(figure)
    line = numbers_text(figure).splitlines()[1]
    assert "Grad-CAM,stage,,0," in line
    assert line.endswith(f'"for dog, probability {share(0, 1):.4f}"')
    manifest = make_manifest(figure, (), (), files={}, dpi=300)
    assert manifest.about["made"] == [
        {"photo": "photo0.png", "network": "Gated", "shown": "Grad-CAM", "name": "stage",
         "for": f"dog, probability {share(0, 1):.4f}"}
    ]  # fmt: skip
    assert manifest.spec.columns[1].target == "dog"
    assert FigureSpec.from_dict(json.loads(manifest.to_json())["spec"]) == figure.spec


def test_a_module_and_the_attention_inside_it_have_headings_of_their_own(one) -> None:
    """Without `.se`, which all attention layers end in, the second would be called as the first."""
    names = "layer2.1", "layer2.1.se"
    heads = [head(Column("gradcam", name), one) for name in names]
    assert heads == ["Grad-CAM of layer2.1", "Grad-CAM of layer2.1.se"]


def test_of_several_photos_each_has_its_class_or_probability_below_it() -> None:
    named = built("gradcam:stage@dog,gradcam:stage@cat=Own", 0, 1, 2)
    assert named.content.heads == ("Grad-CAM of stage for dog", "Own")
    below = [f"P\u00a0=\u00a0{share(seed, 1):.2f}" for seed in range(3)]
    assert [row[0] for row in named.content.notes] == below
    assert {text.replace("\u00a0", " ") for text in below} <= {
        text.replace("\u00a0", " ") for text in texts(named)
    }
    assert [row[1] for row in named.content.notes] == [
        f"cat\n{share(seed, 0):.2f}" for seed in range(3)
    ]
    seeds = (0, 3)
    best = [max((0, 1), key=lambda index: share(seed, index)) for seed in seeds]
    assert best == [0, 1]  # one of each
    predicted = built("gradcam:stage", *seeds)
    assert predicted.content.heads == ("Grad-CAM of stage",)
    assert [row[0] for row in predicted.content.notes] == [
        f"{('cat', 'dog')[k]}\n{share(seed, k):.2f}" for seed, k in zip(seeds, best, strict=True)
    ]


def test_a_second_network_is_asked_for_the_class_that_the_first_predicts() -> None:
    networks = loaded(), loaded(Plain, ("dog", "cat"))  # its classes the other way round
    figure = built("input,gradcam@2:stage,gradcam:stage", networks=networks)
    one, two = figure.content.rows[0][1:]
    assert one.target.name == two.target.name == "cat"
    assert two.target.probability == pytest.approx(share(0, 0), abs=1e-6)
    assert one.target.probability == pytest.approx(share(0, 1, gated=False), abs=1e-6)
    expected = torch.einsum("c,chw->hw", WEIGHTS[1] / SIDE**2, pixels()).relu()
    np.testing.assert_allclose(one.values[0], expected, atol=1e-7)
    assert [head.partition(", P")[0] for head in figure.content.heads[1:]] == [
        "Grad-CAM of stage for cat", "Grad-CAM of stage for cat",
    ]  # fmt: skip
    assert [[one.text for one in level] for level in figure.content.over] == [["Plain", "Gated"]]
    other = built("gradcam:stage,gradcam@2:stage", networks=(loaded(), loaded(Plain, ("a", "b"))))
    own = ("a", "b")[max((0, 1), key=lambda index: share(0, index, gated=False))]
    assert other.content.rows[0][1].target.name == own  # it has no cat


def test_the_effect_of_a_gate_is_what_the_probability_loses_with_it() -> None:
    figure = built("effect:@dog,whole")
    bars, whole = figure.content.rows[0]
    without = float((WEIGHTS @ pixels().mean((1, 2))).softmax(0)[1])
    assert [(one.layer, one.kind) for one in bars.effects] == [("gate", "spatial")]
    assert bars.effects[0].change == pytest.approx(without - share(0, 1), abs=1e-6)
    assert bars.axis[0] <= bars.effects[0].change <= bars.axis[1]
    np.testing.assert_allclose(whole.values[0], gate(), atol=1e-6)
    assert figure.content.heads[1] == "All spatial gates (heuristic)"
    assert "is a heuristic" in caption(figure)
    shown = shown_values(figure)[0]
    assert (shown.shown, shown.name) == ("effect without", "spatial map of gate")
    assert float(shown.values) == pytest.approx(bars.effects[0].change)
    assert f"effect without,spatial map of gate,,{float(shown.values):.9g}" in numbers_text(figure)


@pytest.mark.parametrize(
    ("changes", "axis"),
    [
        ([-0.37, 0.02], (-0.4, 0.1)),
        ([0.003], (0.0, 0.003)),
        ([-0.021, -0.0004], (-0.03, 0.0)),
        ([0.0, 0.0], (-0.01, 0.01)),
        ([float("nan"), 0.5], (0.0, 0.5)),
        ([], (-0.01, 0.01)),
    ],
)
def test_an_axis_has_round_ends(changes: list[float], axis: tuple[float, float]) -> None:
    assert axis_around(changes) == axis


def test_a_flat_map_says_so() -> None:
    class Blind(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x - x)

    figure = built("input,gradcam:stage@cat", networks=(loaded(Blind),))
    assert {"all 0"} <= texts(figure)
    assert "0 everywhere and says nothing of any place" in caption(figure)


def test_without_a_layer_it_is_the_last_stage_or_layer() -> None:
    figure = built("gradcam,eigencam")
    assert [column.name for column in figure.spec.columns] == ["gate", "gate"]
    assert figure.content.layers == ("gate",)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("gradcam:stage@unicorn", "no class 'unicorn'"),
        ("gradcam:stage@2", "no class '2'"),
        ("effect:@unicorn", "no class 'unicorn'"),
        ("gradcam:layer9", "no layer 'layer9'"),
        ("eigencam:stage@cat", "same for every class"),
        ("whole:@cat", "same for every class"),
        ("gradcam:stage@", "Which class"),
        ("occlusion:stage", "takes no layer"),
        ("effect@2:@cat", "asks for network 2"),
    ],
)
def test_what_cannot_be_is_one_sentence(columns: str, message: str) -> None:
    with pytest.raises(FigureError, match=message):
        built(columns)


def test_networks_that_have_it_not_are_told_of() -> None:
    with pytest.raises(FigureError, match="no spatial gate"):
        built("map:0,whole@2", networks=(loaded(), loaded(Plain)))

    class Features(Gated):
        def forward(self, x: Tensor) -> Tensor:
            return self.stage(self.gate(x))

    for kind in ("gradcam", "effect"):
        with pytest.raises(FigureError, match="gives no class scores"):
            built(kind, networks=(loaded(Features),))
    built("eigencam,whole", networks=(loaded(Features),))


def test_analyses_alone_are_not_enough() -> None:
    from cbam_viz import analyse

    spec = FigureSpec(columns=columns_from_text("gradcam:stage"))
    with pytest.raises(FigureError, match=r"figures\.study"):
        build(spec, analyse(loaded(), photo()))


def test_a_method_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(made_module, "is_installed", lambda name: name != "gradcam")
    with pytest.raises(FigureError, match=r'pip install "cbam-viz\[methods\]"'):
        built("gradcam:stage")
    built("eigencam:stage")


def test_it_is_made_again_with_the_same_bytes(tmp_path: Path) -> None:
    first, again = (built("input,gradcam:-1,effect,whole", 0, 1) for _ in "ab")
    settled = build(first.spec, study(first.spec, (loaded(),), [photo(0), photo(1)]))
    assert first.render("pdf") == again.render("pdf") == settled.render("pdf")
